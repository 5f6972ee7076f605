"""BLAS threads on the CPU: products that are worth several, and stacks that have threads of their own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["SHARED_FROM", "one_blas_thread"]


SHARED_FROM = 20_000_000
"""Operations of a step's largest product from which a second BLAS thread begins to pay. With smaller ones
it gains nothing, and on a busy machine threads that wait for each other cost many times the product."""


@contextmanager
def one_blas_thread(wanted: bool = True) -> Iterator[None]:
    """Keep NumPy's products to one thread each, where ``wanted``.

    For products too small to share out, and for stacks that are trained on threads of their own. The
    setting is one of the whole process, so with several users at a time the first makes it and the
    last takes it back.
    """
    if not wanted:
        yield
        return
    _one_thread.enter()
    try:
        yield
    finally:
        _one_thread.leave()


class _OneThread:
    """Counts who wants BLAS kept to one thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limits: Any = None

    def enter(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            if self._users == 0:
                self._limits = threadpool_limits(1)
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limits.restore_original_limits()


_one_thread = _OneThread()
