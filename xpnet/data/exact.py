"""Centre and scale rows on the host in float64, if the dtype of the device cannot tell their values apart.

Examples are timestamps, which differ by less than float32 resolves at their size, and numbers so small or
large that their squares leave its range. After scaling they have size 1, and go to the device.
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
"""The largest number accepted: its square still fits into float64."""

CHUNK = 2**20
"""Number of values to prepare at a time."""

PART = 2**15
"""Number of rows whose moments are computed at a time."""

COLUMNS = 16
"""Number of columns made contiguous at a time: in float32 they fill a cache line."""

DIGITS = 1e3
"""A dtype tells the values of a feature apart if their range spans at least this many steps of the dtype."""


def is_needed(X: Any, dtype: str) -> bool:
    """Return whether a feature of training rows is too large, too small or too close together for a dtype.

    Parameters
    ----------
    X
        ``(rows, features)``, finite. Bytes and other short integers fit any dtype.
    dtype
        The dtype to compute in.
    """
    if X.dtype.kind not in "iuf" or X.dtype.itemsize < 4 or not all(X.shape):
        return False
    least, most = ends(X)
    size = np.maximum(np.abs(least), np.abs(most))
    if size.max() > MOST:
        return False
    limits, spread = np.finfo(dtype), most - least
    too_large = size > np.sqrt(float(limits.max) / len(X))  # the sum of squares would overflow
    too_small = spread < np.sqrt(float(limits.tiny)) * 1e4
    too_close = spread < DIGITS * float(limits.eps) * size
    return bool((too_large | ((spread > 0) & (too_small | too_close))).any())


def fit(X: Any, scales: bool, contrast: NDArray[np.float64] | None = None) -> dict[str, NDArray[np.float64]]:
    """Return the mean of each feature and, if ``scales``, 1 over its standard deviation, or 0 if constant.

    Parameters
    ----------
    X
        Training rows.
    scales
        Whether to return the scales, too.
    contrast
        Added to the variance of a row in contrast normalisation, ``(1,)``; None for no normalisation.
    """
    fitted: dict[str, NDArray[np.float64]] = {}
    if contrast is not None:
        fitted["contrast"] = contrast
        X = normalise_contrast(X, contrast)
    fitted["mean"], scale = moments(X)
    return fitted | {"scale": scale} if scales else fitted


def prepare(fitted: Params, X: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return rows centred and, if fitted so, contrast-normalised and scaled, in the dtype of the device."""
    z = np.empty(X.shape, dtype)
    step = max(1, CHUNK // max(1, X.shape[-1]))
    with np.errstate(over="ignore"):  # a number may be far beyond those of training
        for start in range(0, len(X), step):
            part = X[start : start + step]
            if "contrast" in fitted:
                part = normalise_contrast(part, fitted["contrast"])
            part = part - fitted["mean"]
            z[start : start + step] = part * fitted["scale"] if "scale" in fitted else part
    return z


def moments(X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of each column and 1 over its standard deviation, or 0 if it is constant.

    The moments of parts of the rows are combined by the formulas of Chan, Golub and LeVeque (1983,
    doi:10.1080/00031305.1983.10483115). So rows on disk have the same moments as rows in memory, bit for bit.

    Parameters
    ----------
    X
        ``(rows, columns)``, an array or a `Stored`. Gaps are ignored; the mean of a column of gaps is 0.
    """
    low, high = ends(X)
    # Values are divided by this unit, so that their squares cannot overflow.
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
                # For the first part, these are exactly its own moments.
                variance[column] = variance[column] * (count[column] / total) + part.var() * (n / total)
                variance[column] += (count[column] / total) * (n / total) * apart * apart
                mean[column] += apart * (n / total)
                count[column] = total
    deviation = np.sqrt(variance)
    varies = (low < high) & (deviation > 0)
    return mean * unit, np.where(varies, 1.0 / (np.where(varies, deviation, 1.0) * unit), 0.0)


def ends(X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the minimum and maximum of each column, ignoring gaps."""
    if isinstance(X, Stored):
        return X.scan.low, X.scan.high
    low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    return np.asarray(low, np.float64), np.asarray(high, np.float64)


def columns_of(rows: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield each column with its number, as a contiguous array; several adjacent ones are copied together."""
    for begin in range(0, rows.shape[1], COLUMNS):
        some = np.ascontiguousarray(rows[:, begin : begin + COLUMNS].T, np.float64)
        yield from enumerate(some, begin)


def ridge_of(X: NDArray[Any], ridge: float) -> NDArray[np.float64]:
    """Return the number to add to the variance of a row: the ridge times the average variance of a row."""
    unit = float(np.abs(X).max()) or 1.0
    average = float((np.asarray(X, np.float64) / unit).var(axis=-1).mean()) * unit**2
    # At least the smallest float, so that a row without contrast becomes 0 even without a ridge.
    return np.maximum([ridge * average], float(np.finfo(np.float64).tiny))


def normalise_contrast(X: NDArray[Any], contrast: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(x - mean(x)) / sqrt(var(x) + contrast)`` for each row ``x``."""
    rows = np.asarray(X, np.float64)
    rows = rows - rows.mean(axis=-1, keepdims=True)
    return np.asarray(rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + contrast))
