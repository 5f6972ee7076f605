"""Preprocessing as pairs of functions: one fits on the training rows, the other applies what was fitted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.typing import Array, Namespace

__all__ = ["fit_mean", "subtract_mean"]


def fit_mean(X: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of the rows of ``X``, summed in float64: the mean image, for images.

    Parameters
    ----------
    X
        ``(rows, features)``, any numeric dtype.

    Returns
    -------
    ndarray
        ``(features,)``.
    """
    return np.asarray(np.mean(X, axis=0, dtype=np.float64))


def subtract_mean(xp: Namespace, X: Array, mean: Array) -> Array:
    """Return ``X - mean`` in the dtype of ``mean``; ``X`` itself is left alone.

    Converts first and subtracts in place, so that only one array of the result's size ever exists.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    X
        ``(rows, features)``, any numeric dtype.
    mean
        ``(features,)`` floats on the same device.

    Returns
    -------
    Array
        ``(rows, features)``.
    """
    centred = xp.astype(X, mean.dtype)  # a copy even where the dtype is right already
    centred -= mean
    return centred
