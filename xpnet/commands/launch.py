"""One network on several GPUs of this machine: starts the command again, in one process for each GPU."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from xpnet.device import Team, count_gpus, get_device, gpu_names
from xpnet.errors import DeviceError, InputError
from xpnet.runs.config import Config

__all__ = ["on_gpus"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that says which GPUs a process sees."""


def on_gpus(config: Config, words: Sequence[str], team: Team | None) -> Config:
    """Replace this process with ``mpiexec``, which runs the command once for each GPU in the settings.

    Parameters
    ----------
    config
        Settings whose ``device`` names several GPUs.
    words
        The arguments that the settings were read from.
    team
        The processes that a launcher started together with this one, or None.

    Returns
    -------
    Config
        The settings for one GPU, if there is only one. Otherwise this function does not return.

    Raises
    ------
    InputError
        A launcher has started processes already.
    DeviceError
        There are no such GPUs, or no ``mpiexec``.
    """
    if team is not None:
        raise InputError(
            f"--device {config.device} starts its own processes: drop mpiexec or srun, or use --device cuda"
        )

    def count() -> int:
        get_device("cuda", config.backend)  # without a GPU, its error says what is missing
        return count_gpus(config.backend)

    names = gpu_names(config.device, count)
    if len(names) > 1:
        beside = str(Path(sys.executable).parent)  # where a wheel installs it, on the PATH or not
        mpiexec = shutil.which("mpiexec") or shutil.which("mpiexec", path=beside)
        if find_spec("mpi4py") is None or mpiexec is None:
            raise DeviceError(
                f"--device {config.device} needs mpi4py and mpiexec, which are not installed: run "
                '`pip install "xpnet[mpi]"`, and `pip install mpich` unless this machine has an MPI'
            )
        command = [sys.executable, "-m", "xpnet", "train", *words, "--device", "cuda"]
        _become([mpiexec, "-n", str(len(names)), *command], names)
    return replace(config, device=names[0])


def _become(command: list[str], gpus: Sequence[str]) -> NoReturn:
    """Replace this process with a command that sees only these GPUs. It then receives Ctrl-C itself."""
    numbers = [int(name.partition(":")[2]) for name in gpus]
    shown = os.environ.get(VISIBLE)
    seen = numbers if shown is None else [shown.split(",")[number].strip() for number in numbers]
    sys.stdout.flush()
    os.execve(command[0], command, {**os.environ, VISIBLE: ",".join(map(str, seen))})
