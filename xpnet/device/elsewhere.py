"""What the workers of an executor have to compute with: they are asked, and tell it in a few numbers."""

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
"""Questions to an executor that does not say how many workers it has: it has as many as answer them."""

CPU = Options()

PAUSE = 0.02
"""Seconds that a worker takes to answer, so that others, which are idle, answer too."""

CANNOT = (ImportError, AttributeError, TypeError, RuntimeError, pickle.PickleError)
"""What a worker raises that knows no such question, or cannot read it."""


class Told(NamedTuple):
    """What a worker tells of itself.

    Attributes
    ----------
    place
        Its machine, process and thread, by which workers are told apart.
    memory
        Bytes of its device that are free, for all workers with the same ``pool``.
    pool
        Whose memory that is: the machine's, or a GPU's.
    versions
        Of what decides on the numbers.
    """

    place: tuple[str, int, int]
    memory: int
    pool: tuple[str, ...]
    versions: dict[str, str]


class Workers(NamedTuple):
    """What the workers of an executor have in common.

    Attributes
    ----------
    number
        How many there are.
    beside
        The most of them that share a device's memory.
    memory
        Bytes that each may count on: its part of what is free, where that is least.
    """

    number: int
    beside: int
    memory: int


class Stopped(Exception):  # noqa: N818 - it is no error
    """Nobody waits for answers any more."""


def ask(
    executor: Executor, options: Options = CPU, should_stop: Callable[[], bool] = lambda: False
) -> Workers:
    """Ask the workers of an executor what they have; return what all of them can do with.

    There are as many questions as workers, and each goes to any of them: of those that have not answered it
    is taken that they are where they make the memory scarcest.

    Parameters
    ----------
    executor
        Whose workers.
    options
        What each asks for as its device.
    should_stop
        Asked while answers are waited for.

    Raises
    ------
    Stopped
        ``should_stop`` said so.
    DeviceError
        A worker cannot answer, has no such device, or has other versions than this process.
    """
    known = count_workers(executor)
    told = answers_of([executor.submit(tell, options) for _ in range(known or GUESS)], should_stop)
    of_place = {one.place: one for one in told}
    here = versions()
    for (host, process, _), one in of_place.items():
        if one.versions != here:
            raise DeviceError(
                f"the worker {process} on {host} has {differing(one.versions, here)}, but this process has "
                f"{differing(here, one.versions)}: give both the same versions"
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
    """Return the answers to some questions.

    Raises
    ------
    Stopped
        ``should_stop`` says so before they are all there.
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
            f"a worker cannot say what it has ({type(error).__name__}: {one_line(error)}): give it "
            f"xpnet {__version__}, as here"
        ) from error
    finally:
        for future in waiting:
            future.cancel()
    return answers


def count_workers(executor: Executor) -> int | None:
    """Return how many tasks an executor works on at a time, as far as it says so.

    ``num_workers`` is public, of MPI's; Python's pools and loky's have only a name of their own for it, and
    Dask's executor one for the client, whose workers have some threads each.
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
    """Return what there is here: what a worker is asked for."""
    time.sleep(PAUSE)
    device, host = get_device(*options), platform.node()
    # Of GPUs each process may see another as its first.
    which = () if device.is_host else (device.name, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    place = host, os.getpid(), threading.get_ident()
    return Told(place, device.free_memory(), (host, *which), versions())


def versions() -> dict[str, str]:
    """Return the versions here of what decides on the numbers, and on what can be sent."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "xpnet": __version__,
        "NumPy": np.__version__,
    }


def differing(these: Mapping[str, str], others: Mapping[str, str]) -> str:
    """Return the versions that differ from the others, in words."""
    return ", ".join(f"{name} {v}" for name, v in these.items() if v != others.get(name))
