"""Detect whether ``mpiexec`` or ``srun`` started this process with others, to train one network together."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from xpnet.device.team import Team
from xpnet.errors import DeviceError

__all__ = ["find_team", "import_mpi", "is_first", "number_of_processes"]

SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
"""Environment variables with the number of processes that a launcher has started: Open MPI's; that of MPICH,
Intel MPI and others that use PMI; and that of ``srun``, which may start any kind of MPI. The first that is
set counts, because an ``mpiexec`` inside a Slurm job is the actual launcher."""

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
"""Environment variables with the rank of this process, in the same order."""


def number_of_processes(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes the launcher has started; 1 without one."""
    return _told(SIZES, environment, 1)


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is the first process, according to the launcher. Only the first prints."""
    return number_of_processes(environment) == 1 or _told(RANKS, environment, 0) == 0


def find_team() -> Team | None:
    """Return the team of processes that were started with this one; None if there are no others.

    Without a launcher, MPI is not imported.

    Raises
    ------
    DeviceError
        There are other processes, but MPI is missing or does not know them.
    """
    launched = number_of_processes()
    return None if launched == 1 else _team(launched)


@cache
def _team(launched: int) -> Team:
    """Return the team of this process. It is cached: each team needs new communicators, which are limited."""
    MPI = import_mpi("several processes need")
    world = MPI.COMM_WORLD
    if world.Get_size() != launched:
        raise DeviceError(
            f"{launched} processes were started, but MPI knows {world.Get_size()} of them: use the mpiexec "
            "of the MPI that mpi4py has loaded, or `srun --mpi=pmix` (or pmi2)"
        )
    # Separate communicators, so as not to interfere with a script's own use of MPI.
    return Team(world.Dup(), world.Split_type(MPI.COMM_TYPE_SHARED), world.Dup())


def import_mpi(needs: str) -> Any:
    """Return mpi4py's ``MPI`` module.

    Parameters
    ----------
    needs
        The beginning of the error message, which says what needs MPI.

    Raises
    ------
    DeviceError
        mpi4py is missing, or it finds no MPI.
    """
    try:
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise DeviceError(
            f'{needs} mpi4py, which is not installed: run `pip install "xpnet[mpi]"`'
        ) from error
    except (ImportError, RuntimeError, OSError) as error:  # mpi4py has several ways to fail
        reason = str(error).partition("\n")[0]  # the other lines list where it searched
        raise DeviceError(
            f"mpi4py is installed but finds no MPI ({reason}): load the MPI of this machine, or run "
            "`pip install mpich`"
        ) from error
    return MPI


def _told(names: tuple[str, ...], environment: Mapping[str, str], usual: int) -> int:
    for name in names:
        if environment.get(name, "").isdecimal():
            return int(environment[name])
    return usual
