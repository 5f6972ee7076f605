"""Masked arrays of NumPy: a masked value is a gap, and the value under the mask is ignored."""

from typing import Any

import numpy as np

__all__ = ["is_masked", "unmasked"]


def is_masked(array: Any) -> bool:
    """Return whether a value of an array is masked."""
    return isinstance(array, np.ma.MaskedArray) and bool(np.ma.getmaskarray(array).any())


def unmasked(array: Any, as_objects: bool = False) -> Any:
    """Return an array without a mask: gaps are NaN, NaT or None.

    Parameters
    ----------
    array
        An array; one that is not masked is returned unchanged.
    as_objects
        Whether integers of several dimensions stay integers, too; for targets.

    Returns
    -------
    ndarray
        With gaps, numbers of several dimensions become floats. One-dimensional ones (a column or targets)
        keep their types, as objects.
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
    if kind == "c":  # complex numbers are refused later, whatever their values
        return np.asarray(array)
    objects = np.asarray(array).astype(object)
    objects[np.ma.getmaskarray(array)] = None
    return objects
