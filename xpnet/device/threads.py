"""BLAS threads on the CPU: products that are worth several, and stacks that have threads of their own."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from xpnet.device.shared import Shared

__all__ = ["blas_threads", "cores", "limited_blas_threads", "one_blas_thread", "small_products"]

SHARED_FROM = 50_000_000
"""Operations of a step's largest product from which a second BLAS thread is worth its risk. With smaller ones
it gains little, and on a busy machine threads that wait for each other cost many times the product."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas_threads() -> int:
    """Return how many threads a product of NumPy's may have: as the user, or the caller, has set it.

    Looking takes milliseconds.
    """
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().lib_controllers
    return max((library.num_threads for library in libraries if library.user_api == "blas"), default=1)


def small_products(batch_size: int, sizes: Sequence[int]) -> bool:
    """Return whether the products of a step are too small to share out to threads, by the layers' sizes."""
    return max(2 * batch_size * a * b for a, b in pairwise(sizes)) < SHARED_FROM


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
    from threadpoolctl import ThreadpoolController

    found: list[ThreadpoolController] = []

    def note() -> Callable[[], Any]:
        found.append(ThreadpoolController())
        restore: Callable[[], Any] = found[0].limit(limits=None).restore_original_limits
        return restore

    def make() -> None:
        for controller in found:  # the first user's is for all: to look for libraries takes milliseconds
            controller.limit(limits=1)

    with _one_thread.using(note, make):
        yield


@contextmanager
def limited_blas_threads(most: int) -> Iterator[None]:
    """Keep NumPy's products to so many threads each, of those that they may have: others have the rest."""
    from threadpoolctl import ThreadpoolController

    before = [(library, library.num_threads) for library in ThreadpoolController().lib_controllers]
    for library, threads in before:
        library.set_num_threads(min(most, threads))
    try:
        yield
    finally:
        for library, threads in before:
            library.set_num_threads(threads)


_one_thread = Shared()
