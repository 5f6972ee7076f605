"""Encode the columns of a table as inputs of a network: numbers, categories and gaps.

For a standardised number ``z``, the network gets ``z`` itself and its position in each of several bins, which
hold equal numbers of training rows: 0 below the bin, 1 above it, and linear in between (piecewise-linear
encoding, Gorishniy et al. 2022, https://arxiv.org/abs/2203.05556). From these inputs the first layer can form
any function that is linear within each bin, which it could not from ``z`` alone. For a category, the network
gets a one-hot encoding; for a column that had gaps in training, also a 1 if the value is a gap. All inputs
are centred, and a gap in a column of numbers is encoded as 0.

Every input is one of three kinds, so that a few operations on any device compute all inputs of a kind:

    ramps    clip((z[source] - start) * slope, least, most) - mean
    steps    (z[source] == code) - mean
    gaps     isnan(z[source]) - mean

Category codes start at 0; -1 is a category that did not occur in training, and NaN is a gap.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data.exact import PART, columns_of, moments, prepare
from xpnet.errors import InputError
from xpnet.typing import Array, Namespace, Params

__all__ = ["apply", "fit", "sizes", "standardise"]

ROWS = {"ramps": 6, "steps": 3, "gaps": 2}
"""Number of parameters of an input of each kind, in the order of the formulas above."""

FARTHEST = 5.0
"""Numbers are clipped at this many standard deviations, so that one outlier cannot dominate all others."""

CLOSEST = 1e-5
"""Edges closer than this count as one: in standard deviations, or relative to the edge if that is above 1."""

MOST_BINS, MOST_INPUTS = 24, 512
"""Default maximum number of bins for one number, and for all numbers together."""

SAMPLE = 100_000
"""Maximum number of rows for computing quantiles."""


def fit(X: Any, categories: Sequence[int], bins: int | None = None) -> dict[str, NDArray[np.float64]]:
    """Fit the encoding of the columns of training rows.

    Parameters
    ----------
    X
        ``(rows, columns)``: numbers, codes of categories, and NaN for gaps; an array or a
        `xpnet.datasets.stored.Stored`.
    categories
        Number of categories of each column; 0 for a column of numbers.
    bins
        Maximum number of bins per number; 0 for none, None to choose by the number of columns. If a column
        has only a few distinct values, each pair of neighbours gets a bin.

    Returns
    -------
    dict
        Float64 arrays: ``mean`` and ``scale``, ``(columns,)``, which are 0 and 1 for categories; ``ramps``
        ``(6, inputs)``, ``steps`` ``(3, inputs)`` and ``gaps`` ``(2, inputs)``, as in the formulas of this
        module.

    Raises
    ------
    InputError
        No column has a value.
    """
    if bins is None:
        numbers = sum(not count for count in categories)
        bins = min(MOST_BINS, MOST_INPUTS // max(1, numbers))
    gaps, of_each = _counts(X, categories)
    mean, scale = moments(X)
    is_category = np.array([count > 0 for count in categories])
    mean[is_category], scale[is_category] = 0.0, 1.0
    scale[gaps == len(X)] = 1.0
    found: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in ROWS}
    # Drawn at random, not evenly spaced, as rows may be periodic.
    few = len(X) <= SAMPLE
    sample = X[:] if few else X[np.random.default_rng(0).choice(len(X), SAMPLE, replace=False)]
    for column, values in columns_of(sample):
        share = gaps[column] / len(X)
        if categories[column]:
            part = of_each[column] / len(X)
            code = np.flatnonzero(part)  # the weights of others would learn nothing
            found["steps"].append(np.stack([np.full(code.size, column), code, part[code]]))
        elif share < 1:
            z = (values - mean[column]) * scale[column]
            z = z[~np.isnan(z)]
            ramps = _ramps(z, bins)
            means = _ramp(z[:, None], *ramps).mean(axis=0) if z.size else np.zeros(ramps.shape[1])
            found["ramps"].append(np.stack([np.full(ramps.shape[1], column), *ramps, means]))
        if 0 < share < 1:
            found["gaps"].append(np.array([[column], [share]]))
    if not (found["ramps"] or found["steps"]):
        raise InputError("all columns are empty in the training rows: give one that has values")
    joined = {
        kind: np.concatenate([np.empty((rows, 0)), *found[kind]], axis=1) for kind, rows in ROWS.items()
    }
    return {"mean": mean, "scale": scale, **joined}


def _counts(X: Any, categories: Sequence[int]) -> tuple[NDArray[np.int64], dict[int, NDArray[np.int64]]]:
    """Return the number of gaps in each column and, for columns of categories, the rows of each category."""
    gaps = np.zeros(X.shape[1], np.int64)
    of_each = {column: np.zeros(count, np.int64) for column, count in enumerate(categories) if count}
    for begin in range(0, len(X), PART):
        rows = X[begin : begin + PART]
        gaps += np.isnan(rows).sum(axis=0)
        for column, counts in of_each.items():
            codes = rows[:, column]
            counts += np.bincount(codes[codes >= 0].astype(np.int64), minlength=len(counts))
    return gaps, of_each


def sizes(fitted: Params) -> tuple[int, int, int]:
    """Return the numbers of ramps, steps and gaps; their sum is the number of the network's inputs."""
    ramps, steps, gaps = (int(fitted[kind].shape[1]) for kind in ROWS)
    return ramps, steps, gaps


def standardise(fitted: Params, X: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return standardised rows ``z`` on the host, in the dtype in which `apply` computes.

    They are computed in float64, whatever that dtype is: float32 would lose almost all information in a
    column of times or ids, whose mean is large compared with its standard deviation.
    """
    return prepare({name: fitted[name] for name in ("mean", "scale")}, X, dtype)


def apply(xp: Namespace, fitted: Params, z: Array) -> Array:
    """Return the inputs of a network.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    fitted
        The arrays that `fit` returned, on the device of ``z``, all of one floating dtype.
    z
        ``(…, rows, columns)`` in that dtype, from `standardise`.

    Returns
    -------
    Array
        ``(…, rows, inputs)``.
    """
    parts = []
    if fitted["ramps"].shape[1]:
        source, start, slope, least, most, mean = (fitted["ramps"][row, :] for row in range(6))
        x = _take(xp, z, source)
        x -= start
        x *= slope
        x = xp.minimum(xp.maximum(x, least), most)
        x -= mean
        parts.append(xp.where(xp.isnan(x), 0.0, x))
    if fitted["steps"].shape[1]:
        source, code, mean = (fitted["steps"][row, :] for row in range(3))
        parts.append(xp.astype(_take(xp, z, source) == code, z.dtype) - mean)
    if fitted["gaps"].shape[1]:
        source, mean = (fitted["gaps"][row, :] for row in range(2))
        parts.append(xp.astype(xp.isnan(_take(xp, z, source)), z.dtype) - mean)
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)


def _take(xp: Namespace, z: Array, source: Array) -> Array:
    return xp.take(z, xp.astype(source, xp.int64), axis=-1)


def _ramps(z: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Return start, slope, least and most of the inputs for a column of numbers: the number and its bins."""
    itself = np.array([[0.0], [1.0], [-FARTHEST], [FARTHEST]])
    edges = _edges(z, bins + 1) if bins else z[:0]
    if len(edges) < 3:  # a single bin adds nothing to the number itself
        return itself
    count = len(edges) - 1
    of_bins = [edges[:-1], 1.0 / np.diff(edges), np.zeros(count), np.ones(count)]
    return np.concatenate([itself, np.stack(of_bins)], axis=1)


def _edges(z: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return at most ``count`` different edges that split ``z`` into intervals with about equal counts.

    If many rows have the same value, several quantiles coincide there; the edges saved go to the other rows.
    """
    edges = np.unique(z)
    if len(edges) > count:
        edges = np.unique(np.quantile(z, np.linspace(0, 1, count)))
        while len(edges) < count:
            others = z[~np.isin(z, edges)]
            # Only values that occur, since they are not edges yet; an interpolated value might be one.
            places = np.linspace(0, 1, count - len(edges) + 2)[1:-1]
            more = np.unique(np.quantile(others, places, method="nearest"))
            edges = np.union1d(edges, more)
    # In float32, the difference between closer edges would be rounding error.
    apart = np.diff(edges, prepend=-np.inf) > CLOSEST * np.maximum(1.0, np.abs(edges))
    return np.asarray(edges[apart])


def _ramp(
    z: NDArray[np.float64],
    start: NDArray[np.float64],
    slope: NDArray[np.float64],
    least: NDArray[np.float64],
    most: NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.asarray(np.clip((z - start) * slope, least, most))
