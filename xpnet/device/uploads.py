"""Transfer rows from the host to a CUDA GPU while the GPU continues with earlier work.

A copy from pinned (page-locked) memory does not involve the CPU. On a separate stream, it waits only for the
work queued before it, because its memory may belong to an array that this work still reads. Later work waits
for the copy only when it needs the rows. Not yet run on a GPU.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.typing import Array

__all__ = ["Uploads", "pinned", "wait"]


class Uploads:
    """The transfers of one thread to one GPU.

    Parameters
    ----------
    cupy
        The module.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._under_way: deque[tuple[Any, NDArray[Any]]] = deque()

    def send(self, rows: NDArray[Any]) -> Callable[[], Array]:
        """Start copying rows to the GPU; return a function that makes later work wait, and returns the copy.

        Parameters
        ----------
        rows
            An array from `pinned`; with any other, the host waits for the copy.
        """
        cuda = self._cupy.cuda
        wait(cuda, self._stream, cuda.get_current_stream())
        with self._stream:
            array = self._cupy.empty(rows.shape, rows.dtype)
            array.set(rows, stream=self._stream)
        arrived = self._stream.record(cuda.Event(disable_timing=True))
        # Keep the host memory until it has been read.
        while self._under_way and self._under_way[0][0].done:
            self._under_way.popleft()
        self._under_way.append((arrived, rows))

        def receive() -> Array:
            cuda.get_current_stream().wait_event(arrived)
            return array

        return receive


def pinned(cupy: Any, rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows in pinned memory, from which a GPU copies by itself; can be called from any thread."""
    memory = cupy.cuda.alloc_pinned_memory(max(1, rows.nbytes))
    found: NDArray[Any] = np.frombuffer(memory, rows.dtype, rows.size).reshape(rows.shape)
    found[...] = rows
    return found


def wait(cuda: Any, later: Any, earlier: Any) -> None:
    """Make a stream wait for the work already queued on another; the host does not wait."""
    later.wait_event(earlier.record(cuda.Event(disable_timing=True)))
