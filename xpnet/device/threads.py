"""Numbers of BLAS threads on the CPU: for large products, and for stacks trained on their own threads."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from xpnet.device.groups import groups
from xpnet.device.shared import Shared

__all__ = [
    "blas_threads",
    "busy_note",
    "cores",
    "limited_blas_threads",
    "one_blas_thread",
    "small_products",
    "threads_note",
    "using_threads",
]

SHARED_FROM = 50_000_000
"""Minimum number of operations in a step's largest product for which a second BLAS thread is worth its risk.
With smaller products it gains little, and on a busy machine, threads that wait for each other may take many
times as long as the product itself."""


_wanted: dict[object, int] = {}
"""The limits set by `using_threads`, one for each user. The latest is last, and applies."""


def cores() -> int:
    """Return the number of cores that this process may use, at most the limit of `using_threads`."""
    return min([_available(), *list(_wanted.values())[-1:]])


def _available() -> int:
    """Return the number of cores that the system lets this process use.

    A container's limit may include a fraction of a core. It is rounded up, so that all of it is used.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(there, quota())))


def quota(root: Path = Path("/")) -> float:
    """Return the CPU seconds per second that a container or a job allows this process; infinite if unlimited.

    Parameters
    ----------
    root
        The folder with ``proc`` and ``sys``.
    """
    least = math.inf
    for version, group in groups("cpu", root):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if version == 1 else ("cpu.max",)
        try:
            time, period = " ".join((group / name).read_text(encoding="ascii") for name in names).split()
            share = int(time) / int(period)
        except (OSError, ValueError, ZeroDivisionError):  # no such group, or no limit: "max"
            continue
        if share > 0:  # no limit is -1 in version 1
            least = min(least, share)
    return least


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Compute on the CPU with this number of threads, whatever the environment says; None changes nothing.

    It limits the BLAS threads, PyTorch's threads, and the number of stacks of networks trained at a time.
    """
    if threads is None:
        yield
        return
    user = object()
    try:
        with _limited.using(_noted_threads, lambda: _set_threads(user, threads)):
            yield
    finally:
        _wanted.pop(user, None)
        if left := list(_wanted.values()):  # the limits of fits on other threads, or of an outer call
            _limit(left[-1])


def _set_threads(user: object, threads: int) -> None:
    _wanted[user] = threads
    _limit(threads)


def _limit(threads: int) -> None:
    for library in _libraries():
        _set(library, threads)
    if (torch := _torch()) is not None:
        torch.set_num_threads(threads)


def _noted_threads() -> Callable[[], None]:
    """Return a function that restores the current numbers of threads."""
    before = [(library, library.num_threads) for library in _libraries()]
    of_torch = None if (torch := _torch()) is None else torch.get_num_threads()

    def restore() -> None:
        for library, threads in before:
            _set(library, threads)
        if of_torch is not None and (torch := _torch()) is not None:
            torch.set_num_threads(of_torch)

    return restore


def _libraries() -> list[Any]:
    """Return the libraries that have threads of their own. Finding them takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().lib_controllers
    return found


def _set(library: Any, threads: int) -> None:
    """Set a library's number of threads, from any thread.

    From version 3.8 on, threadpoolctl lets only one thread set OpenBLAS's number, until that thread releases
    control. Calls from other threads do nothing. In a sweep, one thread sets the number and another one
    restores it.
    """
    let_go = getattr(library, "clear_controlling_thread", None)
    if let_go is not None:
        let_go(force=True)
    library.set_num_threads(threads)
    if let_go is not None:
        let_go(force=True)


def _torch() -> Any:
    return sys.modules.get("torch")  # not imported for this: it takes seconds


def threads_note(threads: int | None, backend: str) -> str:
    """Return a warning about a number of threads that has no effect or is too high; else an empty string."""
    if threads is None:
        return ""
    if backend == "jax":
        return (
            "JAX fixes its number of threads when it starts, so --threads does not change it: on Linux, use "
            "taskset"
        )
    most = _available()
    return f"--threads {threads} is more than the {most} cores here: give {most} or fewer" * (threads > most)


def busy_note() -> str:
    """Return a warning if BLAS has more threads than there are free cores; else an empty string.

    BLAS threads wait for the slowest of them, so one that has to share its core delays all. OpenBLAS does not
    know a container's limit, and other programs may use cores as well.
    """
    threads, total, most = blas_threads(), os.cpu_count() or 1, _available()
    free, load = most, 0.0
    if hasattr(os, "getloadavg"):  # not on Windows
        load = os.getloadavg()[0]
        # The load is the mean over the last minute. This process caused at most its CPU time per minute.
        others = load - time.process_time() / 60
        free = min(most, max(1, total - max(0, math.floor(others))))
    if threads == 1 or free >= threads:
        return ""
    if free < most:
        return f"this machine is busy (load {load:.1f} on {total} cores): --threads {free} may be much faster"
    if _wanted:  # `threads_note` has said it
        return ""
    return (
        f"{threads} BLAS threads share the {most} of {total} cores that this process may use: "
        f"--threads {most} may be much faster"
    )


def blas_threads() -> int:
    """Return how many threads a product in NumPy may use, as set by the user or the caller.

    Finding out takes milliseconds.
    """
    return max((library.num_threads for library in _libraries() if library.user_api == "blas"), default=1)


def small_products(batch_size: int, sizes: Sequence[int]) -> bool:
    """Return whether the products of a step are too small for several threads, given the layers' sizes."""
    return max(2 * batch_size * a * b for a, b in pairwise(sizes)) < SHARED_FROM


@contextmanager
def one_blas_thread(wanted: bool = True) -> Iterator[None]:
    """Limit NumPy's products to one thread each, if ``wanted``.

    This is for products too small for several threads, and for stacks that are trained on threads of their
    own. The setting applies to the whole process: with several users at a time, the first one makes it and
    the last one restores the old numbers.
    """
    if not wanted:
        yield
        return
    before: list[tuple[Any, int]] = []

    def note() -> Callable[[], Any]:
        before.extend((library, library.num_threads) for library in _libraries())
        return restore

    def restore() -> None:
        for library, threads in before:
            _set(library, threads)

    def make() -> None:
        for library, _ in before:  # found once for all users, because that takes milliseconds
            _set(library, 1)

    with _one_thread.using(note, make):
        yield


@contextmanager
def limited_blas_threads(most: int) -> Iterator[None]:
    """Limit NumPy's products to ``most`` threads each, which leaves the others to other users."""
    before = [(library, library.num_threads) for library in _libraries()]
    for library, threads in before:
        _set(library, min(most, threads))
    try:
        yield
    finally:
        for library, threads in before:
            _set(library, threads)


_one_thread, _limited = Shared(), Shared()
