"""Asks the workers of an executor about their device, memory and versions."""

import os
import pickle
import platform
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Any, NamedTuple

import numpy as np

from xpnet import __version__
from xpnet.device import get_device
from xpnet.device.base import Options
from xpnet.errors import DeviceError, XpnetError
from xpnet.text import one_line

__all__ = [
    "Stopped",
    "Told",
    "Workers",
    "answers_of",
    "ask",
    "count_workers",
    "differing",
    "tell",
    "versions",
]

GUESS = 16
"""Questions sent to an executor that does not say how many workers it has; those that answer are counted."""

CPU = Options()

PAUSE = 0.02
"""Seconds that a worker waits before it answers, so that idle workers get questions too."""

CANNOT = (ImportError, AttributeError, TypeError, RuntimeError, pickle.PickleError)
"""The errors of a worker that does not know the question or cannot unpickle it."""


class Told(NamedTuple):
    """The answer of a worker.

    Attributes
    ----------
    place
        Its machine, process and thread, which identify the worker.
    memory
        Free bytes of its device, shared by all workers with the same ``pool``.
    pool
        Where that memory is: the machine, or a GPU.
    versions
        Versions of the packages that affect the results.
    """

    place: tuple[str, int, int]
    memory: int
    pool: tuple[str, ...]
    versions: dict[str, str]


class Workers(NamedTuple):
    """Summary of the workers of an executor.

    Attributes
    ----------
    number
        Number of workers.
    beside
        Maximum number of workers that share the memory of a device.
    memory
        Bytes available to each: its share of the free memory, on the device with the least.
    """

    number: int
    beside: int
    memory: int


class Stopped(Exception):  # noqa: N818 - it is no error
    """The caller stopped waiting for answers."""


def ask(
    executor: Executor, options: Options = CPU, should_stop: Callable[[], bool] = lambda: False
) -> Workers:
    """Ask the workers of an executor about their resources; return what all of them can rely on.

    It sends as many questions as there are workers, but any worker may answer each. It assumes that workers
    that answered none share memory where this leaves the least to each.

    Parameters
    ----------
    executor
        The executor whose workers to ask.
    options
        The device that each worker is to use.
    should_stop
        Called while waiting for answers; if it returns true, waiting stops.

    Raises
    ------
    Stopped
        ``should_stop`` returned true.
    DeviceError
        A worker cannot answer, has no such device, or has other package versions than this process.
    """
    known = count_workers(executor)
    told = answers_of([executor.submit(tell, options) for _ in range(known or GUESS)], should_stop)
    of_place = {one.place: one for one in told}
    here = versions()
    for (host, process, _), one in of_place.items():
        if one.versions != here:
            raise DeviceError(
                f"the worker {process} on {host} has {differing(one.versions, here)}, but this process has "
                f"{differing(here, one.versions)}: install the same versions on both"
            )
    number = known or len(of_place)
    silent = max(0, number - len(of_place))
    sharing = Counter(one.pool for one in of_place.values())
    return Workers(
        number,
        max(sharing.values()) + silent,
        min(one.memory // (sharing[one.pool] + silent) for one in of_place.values()),
    )


def answers_of(futures: list[Future[Any]], should_stop: Callable[[], bool]) -> list[Any]:
    """Return the answers to questions.

    Raises
    ------
    Stopped
        ``should_stop`` returned true before all had arrived.
    DeviceError
        A worker does not understand its question.
    """
    waiting, answers = set(futures), []
    try:
        while waiting:
            if should_stop():
                raise Stopped
            ended, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            answers += [future.result() for future in ended]
    except CANNOT as error:
        if isinstance(error, XpnetError | BrokenExecutor):
            raise
        raise DeviceError(
            f"a worker cannot report its resources ({type(error).__name__}: {one_line(error)}): install "
            f"xpnet {__version__} there, the same version as here"
        ) from error
    finally:
        for future in waiting:
            future.cancel()
    return answers


def count_workers(executor: Executor) -> int | None:
    """Return how many tasks an executor runs at a time; None if it does not say.

    MPI's executor has a public ``num_workers``. Python's pools and loky's have only a private attribute for
    it, and Dask's executor has one for its client, whose workers may have several threads each.
    """
    threads = getattr(getattr(executor, "_client", None), "nthreads", None)
    if callable(threads):
        return sum(threads().values()) or None
    for name in ("num_workers", "_max_workers"):
        count = getattr(executor, name, None)
        if isinstance(count, int) and count > 0:
            return count
    return None


def tell(options: Options) -> Told:
    """Return the answer of this process."""
    time.sleep(PAUSE)
    device, host = get_device(*options), platform.node()
    # Each process may see a different GPU as its first.
    which = () if device.is_host else (device.name, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    place = host, os.getpid(), threading.get_ident()
    return Told(place, device.free_memory(), (host, *which), versions())


def versions() -> dict[str, str]:
    """Return the versions of the local packages that affect the results or the exchange of objects."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "xpnet": __version__,
        "NumPy": np.__version__,
    }


def differing(these: Mapping[str, str], others: Mapping[str, str]) -> str:
    """Return the versions that differ from the others, as text."""
    return ", ".join(f"{name} {v}" for name, v in these.items() if v != others.get(name))
