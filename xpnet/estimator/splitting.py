"""The validation rows that early stopping sets aside."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from xpnet.errors import InputError
from xpnet.estimator.jobs import Rows

__all__ = ["set_aside", "split"]


def set_aside(
    rows: Rows, fraction: float, strata: NDArray[Any] | None, random_state: np.random.RandomState
) -> tuple[Rows, Rows]:
    """Split rows into training and validation rows; parameters as for `split`.

    Raises
    ------
    InputError
        As for `split`, or if all weights of a part are 0.
    """
    parts = [
        Rows(rows.X[chosen], rows.target[chosen], None if rows.weight is None else rows.weight[chosen])
        for chosen in split(rows.X.shape[0], fraction, strata, random_state)
    ]
    for part, what in zip(parts, ("left to train on", "drawn for validation"), strict=True):
        if part.weight is not None and not part.weight.any():
            raise InputError(f"the rows {what} all have weight 0: give X_val and y_val")
    return parts[0], parts[1]


def split(
    rows: int, fraction: float, strata: NDArray[Any] | None, random_state: np.random.RandomState
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw validation rows; return the indices of the training rows and of the validation rows.

    Parameters
    ----------
    rows
        Number of rows.
    fraction
        Fraction of the rows to draw.
    strata
        The class of each row, to stratify by, if there are enough rows of each class; None for no classes.
    random_state
        Source of randomness.

    Raises
    ------
    InputError
        If too few rows would be left, or drawn.
    """
    count = math.ceil(fraction * rows)
    if not 2 <= count < rows:
        raise InputError(
            f"validation_fraction {fraction} of {rows} rows leaves too few to train or validate on: change "
            "it, or give X_val and y_val"
        )
    if strata is not None:
        _, each = np.unique(strata, return_counts=True)
        strata = strata if each.min() >= 2 and len(each) <= min(count, rows - count) else None
    order, kept = train_test_split(
        np.arange(rows), test_size=fraction, random_state=random_state, stratify=strata
    )
    return order, kept
