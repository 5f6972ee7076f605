"""Rows of the host on their way to a CUDA GPU, while what it was asked for before goes on.

A copy from memory that is not paged needs nothing of the host. On a stream of its own it waits for nothing
but what was asked of the GPU before: the memory that it is given may be that of an array which is still read.
What is asked later waits for it only once it needs the rows. Not yet run on a GPU.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.typing import Array

__all__ = ["Uploads", "pinned", "wait"]


class Uploads:
    """The way to one GPU, of one thread.

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
        """Ask for a copy of rows; return what gives them, on the GPU, to what is asked of it from then on.

        Parameters
        ----------
        rows
            From `pinned`, or else it does wait.
        """
        cuda = self._cupy.cuda
        wait(cuda, self._stream, cuda.get_current_stream())
        with self._stream:
            array = self._cupy.empty(rows.shape, rows.dtype)
            array.set(rows, stream=self._stream)
        arrived = self._stream.record(cuda.Event(disable_timing=True))
        # The memory of the host must stay until it has been read.
        while self._under_way and self._under_way[0][0].done:
            self._under_way.popleft()
        self._under_way.append((arrived, rows))

        def receive() -> Array:
            cuda.get_current_stream().wait_event(arrived)
            return array

        return receive


def pinned(cupy: Any, rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows in memory that is not paged, from which a GPU can copy by itself; from any thread."""
    memory = cupy.cuda.alloc_pinned_memory(max(1, rows.nbytes))
    found: NDArray[Any] = np.frombuffer(memory, rows.dtype, rows.size).reshape(rows.shape)
    found[...] = rows
    return found


def wait(cuda: Any, later: Any, earlier: Any) -> None:
    """Let a stream go on when what has been asked of another is done; the host does not wait."""
    later.wait_event(earlier.record(cuda.Event(disable_timing=True)))
