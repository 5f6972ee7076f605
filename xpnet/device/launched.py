"""Detects whether ``mpiexec`` or ``srun`` started this process with others, to train one network together."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from xpnet.device.team import Team
from xpnet.errors import DeviceError

__all__ = ["find_team", "import_mpi", "is_first", "number_of_processes"]

SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables by which launchers tell how many processes they have started: Open MPI's; that of MPICH, Intel
MPI and all others that speak PMI; and that of ``srun``, which may start an MPI of any kind. The first that is
there counts: within a job of Slurm's an ``mpiexec`` is the nearer."""

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
"""Those that tell the number of this one, in the same order."""


def number_of_processes(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes the launcher has started; 1 without one."""
    return _told(SIZES, environment, 1)


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is the first process, which prints, according to the launcher."""
    return number_of_processes(environment) == 1 or _told(RANKS, environment, 0) == 0


def find_team() -> Team | None:
    """Return the processes that were started together with this one; None if there are no others.

    Without a launcher, MPI is not imported.

    Raises
    ------
    DeviceError
        There are other processes, but no MPI that knows them.
    """
    launched = number_of_processes()
    return None if launched == 1 else _team(launched)


@cache
def _team(launched: int) -> Team:
    """Return the one team of this process: each has communicators of its own, which are not many."""
    MPI = import_mpi("several processes need")
    world = MPI.COMM_WORLD
    if world.Get_size() != launched:
        raise DeviceError(
            f"{launched} processes were started, and MPI knows {world.Get_size()} of them: use the mpiexec "
            "of the MPI that mpi4py has loaded, or `srun --mpi=pmix` (or pmi2)"
        )
    # Communicators of its own: what else a script does by MPI is not mixed up with it.
    return Team(world.Dup(), world.Split_type(MPI.COMM_TYPE_SHARED), world.Dup())


def import_mpi(needs: str) -> Any:
    """Return MPI, as mpi4py has it.

    Parameters
    ----------
    needs
        Beginning of the message: what needs MPI.

    Raises
    ------
    DeviceError
        mpi4py is missing, or finds no MPI.
    """
    try:
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise DeviceError(
            f'{needs} mpi4py, which is not installed: run `pip install "xpnet[mpi]"`'
        ) from error
    except (ImportError, RuntimeError, OSError) as error:  # as many kinds as ways not to find an MPI
        reason = str(error).partition("\n")[0]  # where it was looked for is said in further lines
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
