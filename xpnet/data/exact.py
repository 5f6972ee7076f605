"""Rows whose numbers a dtype cannot hold apart: centred and scaled on the host, in float64.

Times, say, which differ by less than float32 can tell at their size; or numbers so small or large that their
squares leave its range. What comes of them is of size 1, and goes to the device.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets.stored import Stored
from xpnet.typing import Params

__all__ = [
    "MOST",
    "PART",
    "columns_of",
    "fit",
    "is_needed",
    "moments",
    "normalise_contrast",
    "prepare",
    "ridge_of",
]

MOST = 1e150
"""The largest number: its square is a float64."""

CHUNK = 2**20
"""Numbers that are prepared at a time."""

PART = 2**15
"""Rows whose moments are taken together."""

COLUMNS = 16
"""Columns that are made contiguous together: of float32 they fill a line of the cache."""

DIGITS = 1e3
"""Steps of a dtype that the range of a feature spans at least, if the dtype tells its values apart."""


def is_needed(X: Any, dtype: str) -> bool:
    """Return whether a feature of training rows is too large, too small or too close together for a dtype.

    Parameters
    ----------
    X
        ``(rows, features)``, finite. Bytes and other short numbers fit any dtype.
    dtype
        What is computed in.
    """
    if X.dtype.kind not in "iuf" or X.dtype.itemsize < 4 or not all(X.shape):
        return False
    least, most = ends(X)
    size = np.maximum(np.abs(least), np.abs(most))
    if size.max() > MOST:
        return False
    limits, spread = np.finfo(dtype), most - least
    too_large = size > np.sqrt(float(limits.max) / len(X))  # the sum of its squares
    too_small = spread < np.sqrt(float(limits.tiny)) * 1e4
    too_close = spread < DIGITS * float(limits.eps) * size
    return bool((too_large | ((spread > 0) & (too_small | too_close))).any())


def fit(X: Any, scales: bool, contrast: NDArray[np.float64] | None = None) -> dict[str, NDArray[np.float64]]:
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
    fitted: dict[str, NDArray[np.float64]] = {}
    if contrast is not None:
        fitted["contrast"] = contrast
        X = normalise_contrast(X, contrast)
    fitted["mean"], scale = moments(X)
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


def moments(X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of each column and one over its deviation, 0 for one that never changes.

    Rows are seen some at a time, whose moments are put together by the formulas of Chan, Golub and LeVeque
    (1983, doi:10.1080/00031305.1983.10483115): so rows on the disk have the moments of those in memory, to
    the bit.

    Parameters
    ----------
    X
        ``(rows, columns)``, an array or a `Stored`; gaps do not count. The mean of gaps alone is 0.
    """
    low, high = ends(X)
    # Squares of what is divided by it overflow in no row.
    unit = np.fmax(np.abs(low), np.abs(high))
    unit = np.where(unit > 0, unit, 1.0)
    count, mean, variance = np.zeros(X.shape[1]), np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for begin in range(0, len(X), PART):
        rows = X[begin : begin + PART]
        for column, values in columns_of(rows):
            part = values[~np.isnan(values)] / unit[column]
            if part.size:
                n, total = part.size, count[column] + part.size
                apart = float(part.mean()) - mean[column]
                # Of the first part these are its own, to the bit.
                variance[column] = variance[column] * (count[column] / total) + part.var() * (n / total)
                variance[column] += (count[column] / total) * (n / total) * apart * apart
                mean[column] += apart * (n / total)
                count[column] = total
    deviation = np.sqrt(variance)
    varies = (low < high) & (deviation > 0)
    return mean * unit, np.where(varies, 1.0 / (np.where(varies, deviation, 1.0) * unit), 0.0)


def ends(X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest value of each column, gaps apart."""
    if isinstance(X, Stored):
        return X.scan.low, X.scan.high
    low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    return np.asarray(low, np.float64), np.asarray(high, np.float64)


def columns_of(rows: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Give each column with its number, contiguous: some at a time, as they lie beside each other."""
    for begin in range(0, rows.shape[1], COLUMNS):
        some = np.ascontiguousarray(rows[:, begin : begin + COLUMNS].T, np.float64)
        yield from enumerate(some, begin)


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
