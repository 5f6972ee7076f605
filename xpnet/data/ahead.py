"""Rows of the next batches, read from the disk by threads while the step before is taken."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data.host_rows import HostRows
from xpnet.typing import Array

__all__ = ["Ahead"]

NUMBERS = 2**20
"""Numbers that a thread reads at a time, 4 MB in float32, or those of a batch if these are more."""

WAITING = 4
"""Tasks that are read or wait to be taken, at most, and threads, which wait for the disk and not for a core.

Twice as many read a cold disk no faster by a fifth, and the C library keeps memory for each.
"""


class Ahead:
    """The rows of an epoch's batches, as an array ``(steps, …, batch, features)`` that is taken step by step.

    A few tasks are read beforehand by threads, each for some steps; the next is asked for as the first is
    taken. So memory is bounded, and a step waits only where the disk is slower than it. Whoever leaves an
    epoch early leaves no more behind than these few tasks.

    Parameters
    ----------
    rows
        Rows on the disk.
    index
        Of each step's rows, on the host: ``(steps, …, batch)``.
    """

    def __init__(self, rows: HostRows, index: NDArray[np.integer[Any]]) -> None:
        self._rows, self._index = rows, index
        of_step = index[0].size * rows.shape[1] if len(index) else 1
        self._steps = max(1, NUMBERS // max(1, of_step))
        self._tasks = self._ask()
        self._waiting: deque[Future[NDArray[Any]]] = deque()
        self._begin = self._end = 0
        self._held: Array = None
        self._coming: Callable[[], Array] | None = None

    def __getitem__(self, key: Any) -> Array:
        """Return the rows of a step, ``(…, batch, features)``: steps are asked for in their order."""
        step = key[0]
        while step >= self._end:
            self._fill()
            receive, self._coming = self._coming or self._send(), None
            self._held = receive()
            self._begin, self._end = self._end, self._end + self._held.shape[0]
        self._fill()
        if self._coming is None and self._waiting and _is_read(self._waiting[0]):
            self._coming = self._send()  # on its way to the device while the steps before are taken
        return self._held[step - self._begin, ...]

    def _send(self) -> Callable[[], Array]:
        """Begin to bring the rows of the next steps to the device."""
        return self._rows.send(self._waiting.popleft().result())

    def _fill(self) -> None:
        while len(self._waiting) < WAITING and (task := next(self._tasks, None)) is not None:
            self._waiting.append(task)

    def _ask(self) -> Iterator["Future[NDArray[Any]]"]:
        rows = self._rows.rows
        # Blocks of rows are read before the first of these is needed, which may be of any block that is held.
        later = -(-rows.buffer // 2 // self._index[0].size) if len(self._index) else 0
        for begin in range(0, len(self._index), self._steps):
            if rows.buffer:
                rows.expect(self._index[begin + later : begin + later + self._steps].reshape(-1))
            yield _threads(os.getpid()).submit(self._read, self._index[begin : begin + self._steps])

    def _read(self, index: NDArray[np.integer[Any]]) -> NDArray[Any]:
        rows = self._rows.read(index.reshape(-1))
        return rows.reshape(*index.shape, rows.shape[-1])


def _is_read(task: "Future[NDArray[Any]]") -> bool:
    """Return whether a task has ended, and well: what went wrong is for the step that lacks it."""
    return task.done() and task.exception() is None


@lru_cache(maxsize=1)
def _threads(_process: int) -> ThreadPoolExecutor:
    """Return the threads of a process: one that was forked has none of its parent's."""
    return ThreadPoolExecutor(WAITING, "xpnet-rows")
