"""Checks of labels: refuse mixed types."""

from typing import Any

import numpy as np

from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["refuse_mixed"]


def refuse_mixed(labels: Any, what: str = "y") -> None:
    """Refuse labels that are partly text: NumPy would convert all to text, or fail to sort them.

    Raises
    ------
    InputError
        There are mixed labels, of which the message names the first; or objects that are not text.
    """
    is_list = isinstance(labels, list | tuple)
    if not is_list and str(getattr(labels, "dtype", "")) != "object":
        return
    values = list(labels) if is_list else np.asarray(labels, object).ravel().tolist()
    if any(isinstance(value, list | tuple | np.ndarray) for value in values[:1]):  # a row of labels
        return
    total, values = len(values), [value for value in values if not _is_gap(value)]  # other checks report gaps
    is_text = [isinstance(value, str) for value in values]
    if any(is_text) and not all(is_text):
        other = values[is_text.index(not is_text[0])]
        raise InputError(
            f"{what} holds {shown(values[0])} and {shown(other)}: give labels of one kind, all text or all "
            "integers"
        )
    if values and len(values) == total and not is_list and not any(is_text):
        kind = type(values[0]).__name__
        # scikit-learn's own check looks for the first words.
        raise InputError(
            f"Unknown label type: {what} holds {kind} as an object: give {what}.astype(int), or text"
        )


def _is_gap(value: Any) -> bool:
    """Return whether a label is missing: None, NaN, or pandas' NA, which is not equal to anything."""
    if isinstance(value, str | int):
        return False
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)
