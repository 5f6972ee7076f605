"""Runs with several processes: the device of each, a check that all start the same, and how they end.

Only the first process writes and prints. Before and after training, all processes raise what one of them
raises (`Team.together`). During training, a process that fails ends all of them, with one line of
explanation. If the launcher ends all at once, for example because one was killed, a witness process prints
that line.
"""

import contextlib
import platform
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from xpnet import __version__
from xpnet.device import Device, Team, choose, count_gpus, find_team, get_device, limited_blas_threads
from xpnet.errors import InputError, XpnetError
from xpnet.runs.config import Config
from xpnet.runs.witness import witness
from xpnet.text import one_line

__all__ = [
    "agreeing",
    "check_batch",
    "check_same",
    "cores_shared",
    "device_of",
    "leave",
    "said_once",
    "watched",
]


def agreeing(team: Team | None) -> AbstractContextManager[None]:
    """Return a context in which all processes raise what one of them raises."""
    return nullcontext() if team is None else team.together()


def said_once(team: Team | None) -> AbstractContextManager[None]:
    """Return a context in which only the first process warns."""
    return nullcontext() if team is None or team.is_first else warnings.catch_warnings(action="ignore")


def cores_shared(team: Team | None) -> AbstractContextManager[None]:
    """Return a context in which each process has BLAS threads for its share of the cores of the machine."""
    return nullcontext() if team is None else limited_blas_threads(team.cores())


def device_of(config: Config, team: Team | None) -> Device:
    """Return the device of this process; with ``"cuda"``, each process on a machine gets its own GPU.

    Raises
    ------
    DeviceError
        The device cannot be used here.
    """
    if team is None:
        return config.find_device()
    name, backend = config.device, str(config.backend)
    if name == "auto":
        name, backend, _ = choose(backend)
        name = name.partition(":")[0]
    if name == "cuda":
        with contextlib.suppress(Exception):  # the error is reported below
            name = f"cuda:{team.local_rank % count_gpus(backend)}"
    return get_device(name, backend, config.precision, config.compile)


def check_batch(config: Config, team: Team | None) -> None:
    """Refuse batches with fewer rows than processes."""
    if team is not None and config.batch_size < team.size:
        raise InputError(
            f"--batch-size {config.batch_size} is too small for {team.size} processes: give "
            f"{team.size} or more, or start fewer"
        )


def check_same(team: Team | None, run: dict[str, Any]) -> None:
    """Refuse processes that have different data, settings or versions.

    Parameters
    ----------
    team
        All processes; each calls this.
    run
        Description of the run of this process (`xpnet.runs.resume.identity`).
    """
    if team is None:
        return
    versions = {"xpnet": __version__, "Python": platform.python_version(), "NumPy": np.__version__}
    each = team.all_have(run | {"versions": versions})
    for rank, theirs in enumerate(each):
        others = [key for key in each[0] | theirs if theirs.get(key) != each[0].get(key)]
        if others:
            raise InputError(
                f"process {rank} has different {others[0]} from process 0: give all of them the same, "
                f"for example in files that all machines can read"
            )


@contextlib.contextmanager
def watched(team: Team | None) -> Iterator[Callable[[Path | None], None]]:
    """End all processes if one is lost, with one line that says how to continue.

    Parameters
    ----------
    team
        All processes; each enters this.

    Yields
    ------
    callable
        Call it when training begins, with the run folder, if there is one.
    """
    if team is None:
        yield _nothing
        return
    how = "nothing was trained yet: run it again"
    ended: BaseException | None = None
    with contextlib.ExitStack() as stack:
        says = stack.enter_context(witness()) if team.is_first else _nothing

        def begins(folder: Path | None) -> None:
            nonlocal how
            how = "run it again, with --out to keep checkpoints"
            if folder is not None:
                how = f"continue from its last checkpoint with --resume {folder}, on any number of processes"
            says(f"xpnet: a process was lost, and the run with it: {how}")

        says(f"xpnet: a process was lost, and the run with it: {how}")
        try:
            yield begins
        except BaseException as error:
            if team.all_failed():
                raise
            _tell(team, error, how)
            ended = error
    if ended is not None:  # outside, because inside it the witness would report, too
        team.abort(2 if isinstance(ended, XpnetError | OSError | MemoryError) else 1)
        raise ended


def leave(status: int) -> None:
    """End the other processes before this one exits, unless all of them exit.

    For commands: whatever ends one process, at any time, the others must not wait for it forever.
    """
    with contextlib.suppress(XpnetError):  # such as a missing MPI, which has already been reported
        team = find_team()
        if team is not None and not team.all_failed():
            team.abort(status)


def _nothing(_what: object) -> None:
    """Say nothing."""


def _tell(team: Team, error: BaseException, how: str) -> None:
    """In a process that failed on its own, report the error, and end all other processes."""
    time.sleep(min(team.rank, 10) * 0.3)
    # Not to `sys.stderr`, which is silenced in all processes but the first.
    to = sys.__stderr__ or sys.stderr
    known = isinstance(error, XpnetError | OSError | MemoryError | KeyboardInterrupt)
    if not known and type(error).__module__.partition(".")[0] != "mpi4py":
        traceback.print_exception(error, file=to)
    said = (
        f"xpnet: process {team.rank} ended ({one_line(error) or type(error).__name__}), and the run with it"
    )
    # If this is not the first process, the witness says how to continue.
    to.write(f"{said}: {how}\n" if team.is_first else f"{said}\n")
    to.flush()
