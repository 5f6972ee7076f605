"""Rows whose numbers a dtype cannot hold apart: centred and scaled on the host, in float64.

Times, say, which differ by less than float32 can tell at their size; or numbers so small or large that their
squares leave its range. What comes of them is of size 1, and goes to the device.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.typing import Params

__all__ = ["MOST", "fit", "is_needed", "moments", "normalise_contrast", "prepare", "ridge_of"]

MOST = 1e150
"""The largest number: its square is a float64."""

CHUNK = 2**20
"""Numbers that are prepared at a time."""

DIGITS = 1e3
"""Steps of a dtype that the range of a feature spans at least, if the dtype tells its values apart."""


def is_needed(X: NDArray[Any], dtype: str) -> bool:
    """Return whether a feature of training rows is too large, too small or too close together for a dtype.

    Parameters
    ----------
    X
        ``(rows, features)``, finite. Bytes and other short numbers fit any dtype.
    dtype
        What is computed in.
    """
    if X.dtype.kind not in "iuf" or X.dtype.itemsize < 4 or not X.size:
        return False
    least, most = (np.asarray(end(axis=0), np.float64) for end in (X.min, X.max))
    size = np.maximum(np.abs(least), np.abs(most))
    if size.max() > MOST:
        return False
    limits, spread = np.finfo(dtype), most - least
    too_large = size > np.sqrt(float(limits.max) / len(X))  # the sum of its squares
    too_small = spread < np.sqrt(float(limits.tiny)) * 1e4
    too_close = spread < DIGITS * float(limits.eps) * size
    return bool((too_large | ((spread > 0) & (too_small | too_close))).any())


def fit(
    X: NDArray[Any], scales: bool, contrast: NDArray[np.float64] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return the mean of each feature and, if asked for, one over its deviation; 0 for one that is constant.

    Parameters
    ----------
    X
        Training rows.
    scales
        Whether to divide by the deviations.
    contrast
        Added to the variance of a row in contrast normalisation, ``(1,)``; None for none.
    """
    fitted: dict[str, NDArray[np.float64]] = {"mean": np.empty(X.shape[1])}
    scale = np.empty(X.shape[1])
    if contrast is not None:
        fitted["contrast"] = contrast
        X = normalise_contrast(X, contrast)
    for column in range(X.shape[1]):
        values = np.ascontiguousarray(X[:, column], np.float64)
        fitted["mean"][column], scale[column] = moments(values)
    return fitted | {"scale": scale} if scales else fitted


def prepare(fitted: Params, X: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return rows less their mean and scaled, as far as that was fitted, in the dtype of the device."""
    z = np.empty(X.shape, dtype)
    step = max(1, CHUNK // max(1, X.shape[-1]))
    with np.errstate(over="ignore"):  # of a number that is farther away than all others
        for start in range(0, len(X), step):
            part = X[start : start + step]
            if "contrast" in fitted:
                part = normalise_contrast(part, fitted["contrast"])
            part = part - fitted["mean"]
            z[start : start + step] = part * fitted["scale"] if "scale" in fitted else part
    return z


def moments(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean of a column and one over its deviation, 0 for one that never changes."""
    unit = float(np.abs(values).max()) or 1.0  # squares of what is divided by it overflow in no row
    part = values / unit
    mean, deviation = float(part.mean()), float(part.std())
    varies = values.min() < values.max() and deviation > 0
    return mean * unit, 1.0 / (deviation * unit) if varies else 0.0


def ridge_of(X: NDArray[Any], ridge: float) -> NDArray[np.float64]:
    """Return what is added to the variance of a row: the ridge, in units of the average row's."""
    unit = float(np.abs(X).max()) or 1.0
    average = float((np.asarray(X, np.float64) / unit).var(axis=-1).mean()) * unit**2
    # At least the smallest float: a row without contrast comes out as 0 also without a ridge.
    return np.maximum([ridge * average], float(np.finfo(np.float64).tiny))


def normalise_contrast(X: NDArray[Any], contrast: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(x - mean(x)) / sqrt(var(x) + contrast)`` for each row ``x``."""
    rows = np.asarray(X, np.float64)
    rows = rows - rows.mean(axis=-1, keepdims=True)
    return np.asarray(rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + contrast))
