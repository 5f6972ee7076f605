"""Masked arrays of NumPy: what is masked is a gap, and what stands there counts for nothing."""

from typing import Any

import numpy as np

__all__ = ["is_masked", "unmasked"]


def is_masked(array: Any) -> bool:
    """Return whether a value of an array is masked."""
    return isinstance(array, np.ma.MaskedArray) and bool(np.ma.getmaskarray(array).any())


def unmasked(array: Any, as_objects: bool = False) -> Any:
    """Return an array of which nothing is masked: gaps are NaN, NaT, or None.

    Parameters
    ----------
    array
        What is no masked array stays as it is.
    as_objects
        Whether integers of several dimensions stay integers, too: of targets.

    Returns
    -------
    ndarray
        Numbers of several dimensions are floats if there are gaps. Of one dimension, a column or targets,
        they stay what they are, as objects.
    """
    if not isinstance(array, np.ma.MaskedArray):
        return array
    if not is_masked(array):
        return np.asarray(array)
    kind = array.dtype.kind
    if kind in "mM":
        gap: Any = np.array("NaT", array.dtype)[()]  # of the array's own unit
        return np.asarray(array.filled(gap))
    if kind == "f" or (kind in "biu" and array.ndim > 1 and not as_objects):
        found = np.asarray(array).astype(array.dtype if kind == "f" else np.float64)  # a copy
        found[np.ma.getmaskarray(array)] = np.nan
        return found
    if kind == "c":  # which is refused, whatever is in it
        return np.asarray(array)
    objects = np.asarray(array).astype(object)
    objects[np.ma.getmaskarray(array)] = None
    return objects
