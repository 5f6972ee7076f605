"""Composites of the maths as CUDA kernels: those that reduce, which `xpnet.device.fusing` cannot write.

Each function takes and returns what the composite of its name does, see `xpnet.nn.composites`.
"""

import math
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import numpy as np

from xpnet.typing import Array

__all__ = ["Kernels"]

THREADS = 512
"""Of a block, as in ``kernels.cu``."""

FEW = 16
"""Classes up to which one thread does a row; with more, the threads of a warp share it."""

MOST_BLOCKS = 64
"""Blocks to a network for the rows of a batch."""

ENTRIES = 8 * THREADS
"""Entries of an array that a block is to sum up, at least, ..."""

MOST_PARTS = 256
"""... and blocks to an array at most: what they leave is summed up by one."""

C_NAMES = {"float32": "float", "float64": "double"}


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
        """The functions by the names of the composites that they take the places of."""
        return {
            "softmax_cross_entropy": self.softmax_cross_entropy,
            "squares": self.squares,
            "regularised": self.regularised,
        }

    def softmax_cross_entropy(
        self, scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
    ) -> tuple[Array, Array]:
        """Return the loss and its gradient: one launch where a block can do the rows of a network."""
        *nets, rows, classes = scores.shape
        scores = self._cupy.ascontiguousarray(scores)
        soft = target.dtype.kind == "f"
        target = self._cupy.ascontiguousarray(target, dtype=scores.dtype if soft else np.int64)
        of_row = classes if soft else 1
        lanes = 1 if classes <= FEW else 32
        blocks = max(1, min(math.ceil(rows * lanes / THREADS), MOST_BLOCKS))
        dscores = self._cupy.empty(scores.shape, scores.dtype)
        loss = self._cupy.empty((*nets, blocks), scores.dtype)
        self._launch(
            *("softmax_cross_entropy", blocks, nets, scores.dtype.name, scores),
            *((None, target) if soft else (target, None)),
            *(self._per_network(weight), self._per_network(factor), dscores, loss),
            *(rows, classes, _distance(target, rows * of_row), _distance(weight, rows), np.int32(lanes)),
        )
        return loss[..., 0] if blocks == 1 else self._cupy.sum(loss, axis=-1), dscores

    def squares(self, arrays: Sequence[Array], nets: int, keep: Array | None) -> tuple[Array, Array | None]:
        """Return the squares in parts: a launch for each array, which also multiplies it by ``keep``."""
        in_one_piece = all(a.flags.c_contiguous for a in arrays)
        left = None if in_one_piece else keep
        keep = keep if in_one_piece else None
        shape = arrays[0].shape[:nets]
        sizes = [math.prod(a.shape[nets:]) for a in arrays]
        blocks = [max(1, min(math.ceil(size / ENTRIES), MOST_PARTS)) for size in sizes]
        parts = self._cupy.empty((*shape, sum(blocks)), arrays[0].dtype)
        first = 0
        for a, size, own in zip(arrays, sizes, blocks, strict=True):
            a = self._cupy.ascontiguousarray(a)
            self._launch(
                *("squares", own, shape, a.dtype.name, a, self._per_network(keep), parts),
                *(size, sum(blocks), first),
            )
            first += own
        return parts, left

    def regularised(self, loss: Array | float, reg: Array, of_weights: Array) -> Array:
        """Return the loss and its penalty, in one launch."""
        nets = of_weights.shape[:-1]
        out = self._cupy.empty(nets, of_weights.dtype)
        given = None if isinstance(loss, float) else self._cupy.ascontiguousarray(loss)
        self._launch(
            *("regularised", 1, nets, of_weights.dtype.name, given),
            *(self._per_network(self._cupy.broadcast_to(reg, nets)), of_weights, out, of_weights.shape[-1]),
        )
        return out

    def _per_network(self, values: Array | None) -> Array | None:
        return None if values is None else self._cupy.ascontiguousarray(values)

    def _launch(self, name: str, blocks: int, nets: Sequence[int], dtype: str, *args: Any) -> None:
        """Launch a kernel; None is a null pointer, and Python numbers are 64 bits long."""
        if dtype not in self._modules:
            code = resources.files("xpnet.device").joinpath("kernels.cu").read_text(encoding="utf-8")
            self._modules[dtype] = self._cupy.RawModule(code=f"typedef {C_NAMES[dtype]} T;\n{code}")
        kernel = self._modules[dtype].get_function(name)
        given = tuple(np.uintp(0) if a is None else np.int64(a) if isinstance(a, int) else a for a in args)
        kernel((blocks, math.prod(nets)), (THREADS,), given)


def _distance(array: Array | None, of_network: int) -> int:
    """Return how far a network's part of an array is from the next's: 0 if all share it."""
    return of_network if array is not None and array.size > of_network else 0
