"""Sweeps on MPI: all processes of ``mpiexec`` run the command; the first one leads, the others train."""

import platform
import signal
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from xpnet.device.elsewhere import differing, versions
from xpnet.device.launched import import_mpi
from xpnet.errors import DeviceError
from xpnet.runs.witness import witness

__all__ = ["connect", "nobody_waits"]

LOST = (
    "xpnet sweep: error: an MPI process was lost, perhaps because memory ran out, and the launcher ended "
    "the others: run the same command again to resume, if so with a smaller --max-nets"
)

_calls_off: Any = None
"""Of a process that trains: what it hears by that nobody waits any more."""


@contextmanager
def connect() -> Iterator[Executor | None]:
    """Give the first process of MPI the others as an executor for `xpnet.sweep.run`.

    The others are given None, once there is nothing more to train: they have trained by then what the first
    one asked for. They leave signals to it: it ends them after the step that they are at.

    Yields
    ------
    Executor or None
        The other processes.

    Raises
    ------
    DeviceError
        mpi4py, or a library of MPI, is not installed; there is no other process; or one has other versions.
    """
    global _calls_off
    MPI, futures = _import()
    world = MPI.COMM_WORLD
    if world.size == 1:
        raise DeviceError(
            "--scheduler mpi needs several processes, one to lead and others to train: begin the command "
            "with mpiexec, as in `mpiexec -n 4 xpnet sweep --scheduler mpi …`"
        )
    leads = world.rank == 0
    if not leads:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    _calls_off = world.Dup()
    found = world.gather((platform.node(), versions()))
    with futures.MPICommExecutor(world, root=0) as pool:
        if not leads:
            yield None
            return
        with witness() as says:
            says(LOST)
            _check_versions(found)
            pool.should_stop = nobody_waits
            try:
                yield pool
            except BaseException:
                # What is not begun is not begun any more, and what is ends after a step.
                pool.shutdown(wait=False, cancel_futures=True)
                for rank in range(1, world.size):
                    _calls_off.isend(None, rank)
                raise


def nobody_waits() -> bool:
    """Return whether the first process has called off what it had asked for; asked by the others."""
    return bool(_calls_off.Iprobe(source=0))


def _import() -> tuple[Any, Any]:
    """MPI, and its executors."""
    MPI = import_mpi("--scheduler mpi needs")
    import mpi4py.futures

    return MPI, mpi4py.futures


def _check_versions(found: list[tuple[str, dict[str, str]]]) -> None:
    """See that all processes have what decides on the numbers, and on what can be sent, in common."""
    here = versions()
    for rank, (host, there) in enumerate(found):
        if there != here:
            raise DeviceError(
                f"process {rank}, on {host}, has {differing(there, here)}, but the first one has "
                f"{differing(here, there)}: install the same versions"
            )
