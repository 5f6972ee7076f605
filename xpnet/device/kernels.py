"""Composites as CUDA kernels: those with reductions, which `xpnet.device.fusing` cannot generate.

Each function has the parameters and return values of the composite of the same name in `xpnet.nn.composites`.
"""

import math
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import numpy as np

from xpnet.device.fusing import C_TYPES
from xpnet.typing import Array

__all__ = ["Kernels"]

THREADS = 512
"""Threads in a block, as in ``kernels.cu``."""

BY_ONE_THREAD = 16
"""Maximum number of classes for which one thread does a row; with more, the threads of a warp share it."""

MOST_BLOCKS = 64
"""Maximum number of blocks per network for the rows of a batch."""

ENTRIES = 8 * THREADS
"""Minimum number of array entries for each block to sum."""

MOST_PARTS = 256
"""Maximum number of blocks per array; one more block then adds up their results."""


class Kernels:
    """The composites on a CUDA device.

    Parameters
    ----------
    cupy
        The module.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._modules: dict[str, Any] = {}

    @property
    def composites(self) -> dict[str, Callable[..., Any]]:
        """The functions by the names of the composites that they replace."""
        return {
            "softmax_cross_entropy": self.softmax_cross_entropy,
            "squares": self.squares,
            "regularised": self.regularised,
        }

    def softmax_cross_entropy(
        self, scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
    ) -> tuple[Array, Array]:
        """Return the loss and its gradient, in one launch if a single block can do the rows of a network."""
        *nets, rows, classes = scores.shape
        dtype = scores.dtype
        soft = target.dtype.kind == "f"
        scores = self._in_one_piece(scores, dtype)
        target = self._in_one_piece(target, dtype if soft else np.int64)
        weight, factor = self._in_one_piece(weight, dtype), self._in_one_piece(factor, dtype)
        lanes = 1 if classes <= BY_ONE_THREAD else 32
        blocks = max(1, min(math.ceil(rows * lanes / THREADS), MOST_BLOCKS))
        dscores = self._cupy.empty(scores.shape, dtype)
        loss = self._cupy.empty((*nets, blocks), dtype)
        of_target = _distance(target, rows * (classes if soft else 1))
        labels, probabilities = (None, target) if soft else (target, None)
        arrays = scores, labels, probabilities, weight, factor, dscores, loss
        numbers = rows, classes, of_target, _distance(weight, rows), np.int32(lanes)
        self._launch("softmax_cross_entropy", blocks, nets, dtype, *arrays, *numbers)
        return loss[..., 0] if blocks == 1 else self._cupy.sum(loss, axis=-1), dscores

    def squares(
        self, arrays: Sequence[Array], nets: int, rates: tuple[Array, Array] | None
    ) -> tuple[Array, Array | None]:
        """Return the sums of squares in parts, with one launch per array, which also decays the array."""
        dtype = np.result_type(*(a.dtype for a in arrays))
        rate, decay = (None, None) if rates is None else (self._in_one_piece(a, dtype) for a in rates)
        keep = None
        if not all(a.flags.c_contiguous and a.dtype == dtype for a in arrays):
            arrays = [self._in_one_piece(a, dtype) for a in arrays]
            keep = None if rates is None else 1.0 - rates[0] * rates[1]
            rate = decay = None
        shape = arrays[0].shape[:nets]
        sizes = [math.prod(a.shape[nets:]) for a in arrays]
        blocks = [max(1, min(math.ceil(size / ENTRIES), MOST_PARTS)) for size in sizes]
        parts = self._cupy.empty((*shape, sum(blocks)), dtype)
        first = 0
        for a, size, own in zip(arrays, sizes, blocks, strict=True):
            self._launch("squares", own, shape, dtype, a, rate, decay, parts, size, sum(blocks), first)
            first += own
        return parts, keep

    def regularised(self, loss: Array | float, reg: Array, of_weights: Array) -> Array:
        """Return the loss plus its penalty, in one launch."""
        *nets, parts = of_weights.shape
        dtype = of_weights.dtype
        out = self._cupy.empty(tuple(nets), dtype)
        given = None if isinstance(loss, float) else self._in_one_piece(loss, dtype)
        reg = self._in_one_piece(self._cupy.broadcast_to(reg, out.shape), dtype)
        self._launch("regularised", 1, nets, dtype, given, reg, of_weights, out, parts)
        return out

    def _in_one_piece(self, array: Array | None, dtype: Any) -> Array | None:
        """Return a contiguous array of this dtype: a kernel sees nothing but its address."""
        return None if array is None else self._cupy.ascontiguousarray(array, dtype=dtype)

    def _launch(self, name: str, blocks: int, nets: Sequence[int], dtype: Any, *args: Any) -> None:
        """Launch a kernel; None becomes a null pointer, and Python integers become 64-bit integers."""
        if not math.prod(nets):
            return
        if dtype.name not in self._modules:
            code = resources.files("xpnet.device").joinpath("kernels.cu").read_text(encoding="utf-8")
            code = f"typedef {C_TYPES[dtype.name]} T;\n{code}"
            self._modules[dtype.name] = self._cupy.RawModule(code=code)
        kernel = self._modules[dtype.name].get_function(name)
        given = tuple(np.uintp(0) if a is None else np.int64(a) if isinstance(a, int) else a for a in args)
        kernel((math.prod(nets), blocks), (THREADS,), given)


def _distance(array: Array | None, of_network: int) -> int:
    """Return the distance from one network's part of an array to the next; 0 if all networks share it."""
    return of_network if array is not None and array.size > of_network else 0
