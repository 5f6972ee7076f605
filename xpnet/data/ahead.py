"""Read-ahead: threads read the rows of the next batches from disk during the current training step."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data.host_rows import HostRows
from xpnet.datasets.stored import Stored
from xpnet.device import blas_threads, cores
from xpnet.typing import Array

__all__ = ["Ahead"]

NUMBERS = 2**20
"""Numbers that a thread reads at a time (4 MB in float32); one batch if that is more."""

WAITING = 4
"""Maximum number of tasks in progress or finished but not yet used, and the number of threads. The threads
wait for the disk, not for a core.

With twice as many, reading a cold disk is less than a fifth faster, and the C library keeps memory for each.
"""


class Ahead:
    """The rows of an epoch's batches, as an array ``(steps, …, batch, features)`` to be indexed step by step.

    Threads read a few tasks in advance, each for several steps; using one task starts the next. So memory is
    bounded, and a step waits only if the disk is slower than the step. If an epoch is left early, only these
    few tasks are left over.

    If BLAS uses all cores, none is free for these threads, and slowing down a product costs more than the
    reading itself. Then rows in the system's file cache are read between steps, until a read waits for the
    disk.

    Parameters
    ----------
    rows
        Rows on disk.
    index
        Row numbers of each step, on the host: ``(steps, …, batch)``.
    """

    def __init__(self, rows: HostRows, index: NDArray[np.integer[Any]]) -> None:
        self._rows = rows
        of_step = index[0].size * rows.shape[1] if len(index) else 1
        self._parts = _parts_of(rows.rows, index, max(1, NUMBERS // max(1, of_step)))
        self._by_threads = not (rows.device.is_host and blas_threads() >= cores())
        self._waiting: deque[Future[tuple[NDArray[Any], bool]]] = deque()
        self._begin = self._end = 0
        self._held: Array = None
        self._coming: Callable[[], Array] | None = None

    def __getitem__(self, key: Any) -> Array:
        """Return the rows of a step, ``(…, batch, features)``; steps must be requested in order."""
        step = key[0]
        while step >= self._end:
            self._fill()
            receive, self._coming = self._coming or self._send(), None
            self._held = receive()
            self._begin, self._end = self._end, self._end + self._held.shape[0]
        self._fill()
        if self._coming is None and self._waiting and _is_read(self._waiting[0]):
            self._coming = self._send()  # transferred to the device during the steps before
        return self._held[step - self._begin, ...]

    def _send(self) -> Callable[[], Array]:
        """Start transferring the rows of the next steps to the device."""
        if self._waiting:
            rows, _ = self._waiting.popleft().result()
        else:
            rows, self._by_threads = self._read(*self._next_part())
        return self._rows.send(rows)

    def _fill(self) -> None:
        while self._by_threads and len(self._waiting) < WAITING:
            try:
                part = self._next_part()
            except StopIteration:
                return
            self._waiting.append(_threads(os.getpid()).submit(self._read, *part))

    def _next_part(self) -> tuple[NDArray[np.integer[Any]], NDArray[Any]]:
        """Return the index of the next steps, and an array for their rows.

        The reading thread does not allocate it, because the C library keeps much of what each thread frees.
        """
        index, rows = next(self._parts), self._rows.rows
        return index, np.empty((index.size, rows.shape[1]), rows.dtype)

    def _read(self, index: NDArray[np.integer[Any]], into: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        """Return the rows of some steps, and whether reading them was mostly waiting."""
        began, worked = time.perf_counter(), time.thread_time()
        rows = self._rows.read(index.reshape(-1), into)
        worked = time.thread_time() - worked
        return rows.reshape(*index.shape, rows.shape[-1]), time.perf_counter() - began > 2 * worked


def _parts_of(
    rows: Stored, index: NDArray[np.integer[Any]], steps: int
) -> Iterator[NDArray[np.integer[Any]]]:
    """Yield the index in parts of ``steps`` steps, and announce in advance which rows will be read."""
    # A block must be read before its first row is needed, so rows are announced half a buffer ahead.
    later = -(-rows.buffer // 2 // index[0].size) if len(index) else 0
    for begin in range(0, len(index), steps):
        if rows.buffer:
            rows.expect(index[begin + later : begin + later + steps].reshape(-1))
        yield index[begin : begin + steps]


def _is_read(task: "Future[tuple[NDArray[Any], bool]]") -> bool:
    """Return whether a task has ended without an error: the step that needs its rows raises the error."""
    return task.done() and task.exception() is None


@lru_cache(maxsize=1)
def _threads(_process: int) -> ThreadPoolExecutor:
    """Return the threads of a process: a forked process does not have those of its parent."""
    return ThreadPoolExecutor(WAITING, "xpnet-rows")
