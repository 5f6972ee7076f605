"""Rows of the next batches, read from the disk by threads while the step before is taken."""

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

    Where products have all cores there is none for these threads, and what they take from a product costs
    more than the reading itself. So rows that the system has in its cache are then read between steps, until
    the disk is waited for.

    Parameters
    ----------
    rows
        Rows on the disk.
    index
        Of each step's rows, on the host: ``(steps, …, batch)``.
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

        It is not made by the thread that reads: of what each thread has freed the C library keeps much.
        """
        index, rows = next(self._parts), self._rows.rows
        return index, np.empty((index.size, rows.shape[1]), rows.dtype)

    def _read(self, index: NDArray[np.integer[Any]], into: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        """Return the rows of some steps, and whether that was to wait more than to work."""
        began, worked = time.perf_counter(), time.thread_time()
        rows = self._rows.read(index.reshape(-1), into)
        worked = time.thread_time() - worked
        return rows.reshape(*index.shape, rows.shape[-1]), time.perf_counter() - began > 2 * worked


def _parts_of(
    rows: Stored, index: NDArray[np.integer[Any]], steps: int
) -> Iterator[NDArray[np.integer[Any]]]:
    """Give the index of so many steps after the other, and say beforehand which rows will be read."""
    # Blocks of rows are read before the first of these is needed, which may be of any block that is held.
    later = -(-rows.buffer // 2 // index[0].size) if len(index) else 0
    for begin in range(0, len(index), steps):
        if rows.buffer:
            rows.expect(index[begin + later : begin + later + steps].reshape(-1))
        yield index[begin : begin + steps]


def _is_read(task: "Future[tuple[NDArray[Any], bool]]") -> bool:
    """Return whether a task has ended, and well: what went wrong is for the step that lacks it."""
    return task.done() and task.exception() is None


@lru_cache(maxsize=1)
def _threads(_process: int) -> ThreadPoolExecutor:
    """Return the threads of a process: one that was forked has none of its parent's."""
    return ThreadPoolExecutor(WAITING, "xpnet-rows")
