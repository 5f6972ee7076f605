"""``xpnet train --device cuda:all``: what it becomes; GPUs are made up here."""

import os
import sys

import pytest
from command_lines import refused

from xpnet.commands import launch, train
from xpnet.errors import DeviceError

ARGUMENTS = ["digits", "--hidden", "8", "--out", "a b"]


class Became(Exception):  # noqa: N818 - no error
    pass


@pytest.fixture
def machine(monkeypatch):
    """Return what makes a machine of so many GPUs, with an MPI or without one."""
    monkeypatch.delenv(launch.VISIBLE, raising=False)

    def machine(gpus, mpi=True):
        def find(device, backend):
            if not gpus:
                raise DeviceError(f"{backend} finds no GPU: use device cpu")
            return device

        def become(path, command, environment):
            assert path == command[0] == "/bin/mpiexec"
            raise Became(command[1:], environment)

        monkeypatch.setattr(launch, "get_device", find)
        monkeypatch.setattr(launch, "count_gpus", lambda _backend: gpus)
        monkeypatch.setattr(launch, "find_spec", lambda _name: object())
        monkeypatch.setattr(launch.shutil, "which", lambda name, **_at: f"/bin/{name}" if mpi else None)
        monkeypatch.setattr(os, "execve", become)

    return machine


@pytest.mark.parametrize(
    ("several", "seen", "processes", "shown"),
    [
        ("cuda:all", None, 4, "0,1,2,3"),
        ("cuda:1,cuda:3", None, 2, "1,3"),
        ("cuda:0,cuda:2", "GPU-a,GPU-b,GPU-c,GPU-d", 2, "GPU-a,GPU-c"),
    ],
)
def test_a_process_for_each_gpu(machine, monkeypatch, several, seen, processes, shown):
    machine(4)
    if seen is not None:
        monkeypatch.setenv(launch.VISIBLE, seen)
    with pytest.raises(Became) as became:
        train.main([*ARGUMENTS, "--device", several])
    command, environment = became.value.args
    of_command = [sys.executable, "-m", "xpnet", "train", *ARGUMENTS, "--device", several, "--device", "cuda"]
    assert command == ["-n", str(processes), *of_command]
    assert environment[launch.VISIBLE] == shown
    assert environment.keys() >= os.environ.keys()
    settings = train._read_config(command[6:])
    assert settings.device == "cuda"  # the last one counts


def test_one_gpu_needs_no_other_process(machine):
    machine(1)
    config = train._read_config([*ARGUMENTS, "--device", "cuda:all"])
    assert launch.on_gpus(config, ARGUMENTS, None).device == "cuda:0"


@pytest.mark.parametrize(
    ("gpus", "mpi", "several", "end"),
    [
        (0, True, "cuda:all", "auto finds no GPU: use device cpu"),
        (2, True, "cuda:0,cuda:2", "this machine has 2, from cuda:0 to cuda:1"),
        (2, True, "cpu,cuda:0", "list GPUs as in cuda:0,cuda:1, or use cuda:all"),
        (2, False, "cuda:all", "and `pip install mpich` unless this machine has an MPI"),
    ],
)
def test_what_it_cannot_become(machine, capsys, gpus, mpi, several, end):
    machine(gpus, mpi)
    assert refused(train.main, capsys, *ARGUMENTS, "--device", several).endswith(end)


def test_within_processes_there_are_no_others(machine):
    machine(2)
    config = train._read_config([*ARGUMENTS, "--device", "cuda:all"])
    with pytest.raises(
        ValueError, match="starts its own processes: drop mpiexec or srun, or use --device cuda"
    ):
        launch.on_gpus(config, ARGUMENTS, object())
