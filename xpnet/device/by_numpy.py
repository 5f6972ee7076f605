"""Composites of the maths as NumPy does them best: few calls, each over much that lies together.

Each function takes and returns what the composite of its name does, see `xpnet.nn.composites`. What a network
gets is the same in a stack as alone.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from xpnet.typing import Array

__all__ = ["COMPOSITES"]

FEW = 64
"""Classes up to which a sum over them is faster one class after the other, all rows of the batch at once."""

ROW = 128
"""Units up to which a product with ones is faster than the sum of a batch's rows."""

FLAT = 8192
"""Entries up to which the squares of a network's matrix are summed at once: of more, BLAS may share out a dot
product among its threads, and its bits would depend on their number."""

LARGE = 2**17
"""Entries from which an array is changed in parts."""

PART = 2**16
"""Entries of a part: with all that a solver has beside them some 1 MB, about a core's own cache. Half as many
cost more by the calls than they save where the cache that cores share is a fast one."""


def classes_first(a: Array) -> Array:
    """Return ``(*nets, batch, classes)`` as ``(*nets, classes, batch)``: few classes also in memory.

    NumPy reduces what is last in memory row by row, and the call for each costs more than the sum of ten
    classes: a quarter of a step in a stack of small networks. Many classes are better summed as they lie.
    """
    turned = a.mT
    if a.shape[-1] > FEW or a.shape[-1] > a.shape[-2]:
        return turned
    return turned.reshape(-1).reshape(turned.shape)  # by way of one axis comes a copy


def softmax_cross_entropy(
    scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
) -> Any:
    """Return the loss and its gradient of labels of few classes: half of the definition's time.

    A label's score and probability are picked by their place, not by a matrix of zeros and ones.
    """
    *nets, rows, classes = scores.shape
    if weight is not None or target.dtype != np.int64 or target.shape not in ((rows,), (*nets, rows)):
        return NotImplemented
    # As a number without a sign, one below 0 is beyond all classes.
    # Nor of one class, whose scores need no copy to lie first.
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
    """Return ``1ᵀ dy`` as a product, of few units: NumPy adds row by row, and each is a call.

    It has the same bits for a network of a stack as for one alone: each has a product of its own.
    """
    if dy.shape[-1] > ROW:
        return NotImplemented
    return np.matmul(_ones(dy.shape[-2], dy.dtype), dy)[..., 0, :]


def squares(arrays: Sequence[Array], nets: int, rates: tuple[Array, Array] | None) -> Any:
    """Return the squares of each small array as one part, not each of its rows."""
    if rates is not None or any(math.prod(a.shape[nets:]) > FLAT for a in arrays):
        return NotImplemented
    parts = np.empty((*arrays[0].shape[:nets], len(arrays)), arrays[0].dtype)
    for i, a in enumerate(arrays):
        flat = a.reshape((*a.shape[:nets], -1))
        np.vecdot(flat, flat, out=parts[..., i])
    return parts, None


def in_parts(function: Callable[..., Any], arrays: Sequence[Array], rates: Sequence[Array | None]) -> Any:
    """Change large arrays some rows at a time: what lies in the cache for one pass is there for the next.

    Of Adam, which takes twelve passes, it saves half of the time for eight matrices of 3,072 × 300; for one a
    quarter, or nothing where the cache that cores share is a fast one.
    """
    first = arrays[0]
    if first.size < LARGE or first.ndim < 2:  # soon said, as it is of most
        return NotImplemented
    contiguous = all(a.flags.c_contiguous for a in arrays)  # or they could not be seen as networks in a row
    # Nor if a network has a row, not a matrix, as biases do: its rates would be those of one row of many.
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
    """Return the place of the first entry of each network, ``(*nets, 1)``."""
    return np.arange(0, math.prod(nets) * size, size).reshape((*nets, 1))


COMPOSITES = {f.__name__: f for f in (classes_first, in_parts, softmax_cross_entropy, squares, sum_of_rows)}
"""The functions by the names of the composites that they take the places of."""
