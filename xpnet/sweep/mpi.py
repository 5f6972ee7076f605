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
    "the others: run the same command again to resume, with a smaller --max-nets if memory ran out"
)

_calls_off: Any = None
"""In a training process: the communicator that tells it that its work is no longer needed."""


@contextmanager
def connect() -> Iterator[Executor | None]:
    """Yield the other MPI processes to the first one, as an executor for `xpnet.sweep.run`.

    The other processes train what the first one requests, and get None when nothing is left to train. They
    ignore signals: the first process stops them after their current step.

    Yields
    ------
    Executor or None
        The other processes.

    Raises
    ------
    DeviceError
        mpi4py or an MPI library is not installed, there is no other process, or one has other versions.
    """
    global _calls_off
    MPI, futures = _import()
    world = MPI.COMM_WORLD
    if world.size == 1:
        raise DeviceError(
            "--scheduler mpi needs several processes, one to lead and others to train: start the command "
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
                # Tasks that have not started are cancelled, and the others end after their current step.
                pool.shutdown(wait=False, cancel_futures=True)
                for rank in range(1, world.size):
                    _calls_off.isend(None, rank)
                raise


def nobody_waits() -> bool:
    """Return whether the first process no longer needs the results; called in the other processes."""
    return bool(_calls_off.Iprobe(source=0))


def _import() -> tuple[Any, Any]:
    """Return MPI, and mpi4py's module of executors."""
    MPI = import_mpi("--scheduler mpi needs")
    import mpi4py.futures

    return MPI, mpi4py.futures


def _check_versions(found: list[tuple[str, dict[str, str]]]) -> None:
    """Check that all processes have the same versions of what affects results and the exchange of objects."""
    here = versions()
    for rank, (host, there) in enumerate(found):
        if there != here:
            raise DeviceError(
                f"process {rank}, on {host}, has {differing(there, here)}, but the first one has "
                f"{differing(here, there)}: install the same versions"
            )
