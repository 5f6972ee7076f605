"""Fast NumPy versions of the composites: few calls, each on a large contiguous piece of memory.

Each function has the parameters and return values of the composite of the same name in `xpnet.nn.composites`.
A network gets the same result in a stack as on its own.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from xpnet.typing import Array

__all__ = ["COMPOSITES"]

FEW = 64
"""Maximum number of classes for which summing class by class, over all rows at once, is faster."""

ROW = 128
"""Maximum number of units for which multiplying by ones is faster than summing the rows of a batch."""

FLAT = 8192
"""Maximum number of entries in a network's matrix whose squares are summed by one dot product. BLAS may split
a longer dot product among its threads, and the bits of the result would then depend on their number."""

LARGE = 2**17
"""Minimum number of entries in an array that is updated in parts."""

PART = 2**16
"""Entries in a part. With a solver's other arrays this is about 1 MB, roughly the private cache of a core.
Where the shared cache is fast, parts of half this size cost more in calls than they save."""


def classes_first(a: Array) -> Array:
    """Return ``(*nets, batch, classes)`` as ``(*nets, classes, batch)``; a copy if there are few classes.

    NumPy reduces the last axis in memory row by row, and the overhead per row exceeds the cost of summing ten
    classes: it takes a quarter of a step in a stack of small networks. Many classes are faster to sum without
    the copy.
    """
    turned = a.mT
    if a.shape[-1] > FEW or a.shape[-1] > a.shape[-2]:
        return turned
    return turned.reshape(-1).reshape(turned.shape)  # flattening makes a copy


def softmax_cross_entropy(
    scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
) -> Any:
    """Return the loss and its gradient for labels of few classes: twice as fast as the portable definition.

    It picks the score and probability of each label by index, not with a one-hot matrix.
    """
    *nets, rows, classes = scores.shape
    if weight is not None or target.dtype != np.int64 or target.shape not in ((rows,), (*nets, rows)):
        return NotImplemented
    # Viewed as unsigned, a negative label is larger than any class.
    # With a single class, `classes_first` would not copy, and `scores` would be overwritten.
    if not 1 < classes <= min(FEW, rows) or target.view(np.uint64).max(initial=0) >= classes:
        return NotImplemented
    shifted = classes_first(scores)
    shifted -= np.maximum.reduce(shifted, axis=-2, keepdims=True)
    places = target * rows
    places += np.arange(rows)
    if nets:
        places = places + _begins(tuple(nets), rows * classes)
    loss = shifted.reshape(-1).take(places)
    P = np.exp(shifted, out=shifted)
    total = np.add.reduce(P, axis=-2, keepdims=True)
    P /= total  # (4)
    P.reshape(-1)[places] -= 1.0
    if factor is None:
        P /= rows
    else:
        P *= factor[..., None, None] / rows if factor.ndim else factor / rows  # (5)
    np.subtract(np.log(total[..., 0, :]), loss, out=loss)
    return np.add.reduce(loss, axis=-1) / rows, P.mT


def sum_of_rows(dy: Array) -> Array:
    """Return ``1ᵀ dy`` as a matrix product, for few units: NumPy's sum makes a call for every row.

    A network gets the same bits in a stack as on its own, because each has a separate product.
    """
    if dy.shape[-1] > ROW:
        return NotImplemented
    return np.matmul(_ones(dy.shape[-2], dy.dtype), dy)[..., 0, :]


def squares(arrays: Sequence[Array], nets: int, rates: tuple[Array, Array] | None) -> Any:
    """Return the sum of squares of each small array as one part, rather than one part per row."""
    if rates is not None or any(math.prod(a.shape[nets:]) > FLAT for a in arrays):
        return NotImplemented
    parts = np.empty((*arrays[0].shape[:nets], len(arrays)), arrays[0].dtype)
    for i, a in enumerate(arrays):
        flat = a.reshape((*a.shape[:nets], -1))
        np.vecdot(flat, flat, out=parts[..., i])
    return parts, None


def in_parts(function: Callable[..., Any], arrays: Sequence[Array], rates: Sequence[Array | None]) -> Any:
    """Update large arrays a few rows at a time, so that they stay in the cache from one pass to the next.

    Adam makes twelve passes. For eight matrices of 3,072 × 300 this saves half of its time; for a single one,
    a quarter, or nothing where the shared cache is fast.
    """
    first = arrays[0]
    if first.size < LARGE or first.ndim < 2:  # first, as it is quick to check and true of most arrays
        return NotImplemented
    contiguous = all(a.flags.c_contiguous for a in arrays)  # else `reshape` below would copy
    # Biases have a vector per network rather than a matrix, so each row would need its own rate.
    of_matrices = all(r is None or not r.ndim or r.shape[-2:] == (1, 1) for r in rates)
    if not (contiguous and of_matrices):
        return NotImplemented
    rows, columns = first.shape[-2:]
    of_nets = [a.reshape(-1, rows, columns) for a in arrays]
    beside = max(1, PART // (rows * columns))
    step = max(1, PART // columns)
    laid = [r if r is None or not r.ndim else r.reshape(-1, 1, 1) for r in rates]
    for net in range(0, len(of_nets[0]), beside):
        nets = slice(net, net + beside)
        given = [r if r is None or not r.ndim else r[nets] for r in laid]
        for begin in range(0, rows, step):
            some = slice(begin, begin + step)
            parts = [a[nets, some] for a in of_nets]
            for part, made in zip([parts[0], *parts[2:]], function(*parts, *given), strict=True):
                if made is not part:
                    part[...] = made
    return first, *arrays[2:]


@lru_cache(maxsize=64)
def _ones(n: int, dtype: Any) -> Array:
    return np.ones((1, n), dtype)


@lru_cache(maxsize=64)
def _begins(nets: tuple[int, ...], size: int) -> Array:
    """Return the index of each network's first entry, ``(*nets, 1)``."""
    return np.arange(0, math.prod(nets) * size, size).reshape((*nets, 1))


COMPOSITES = {f.__name__: f for f in (classes_first, in_parts, softmax_cross_entropy, squares, sum_of_rows)}
"""The functions by the names of the composites that they replace."""
