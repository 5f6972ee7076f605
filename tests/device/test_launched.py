"""Whether there are other processes, by what launchers tell; ``runs/test_processes.py`` tries MPI itself."""

import sys

import pytest

import xpnet
from xpnet.device import find_team, is_first, number_of_processes
from xpnet.errors import DeviceError


def test_the_nearest_launcher_counts():
    assert number_of_processes({}) == number_of_processes({"PMI_SIZE": "1"}) == 1
    assert number_of_processes({"PMI_SIZE": "2", "SLURM_STEP_NUM_TASKS": "1"}) == 2
    assert number_of_processes({"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "9"}) == 8
    assert number_of_processes({"SLURM_NTASKS": "9"}) == 1  # of a script of sbatch, which is one process
    assert number_of_processes({"PMI_SIZE": "many"}) == 1


def test_a_launcher_without_mpi4py(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "3")
    with pytest.raises(DeviceError, match=r"need mpi4py.*run `pip install \"xpnet\[mpi\]\"`"):
        xpnet.fit("digits")


def test_without_a_launcher_there_is_nobody_else(monkeypatch):
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert find_team() is None
    assert is_first({})


def test_one_of_them_prints():
    assert [is_first({"PMI_SIZE": "2", "PMI_RANK": rank}) for rank in "01"] == [True, False]
    assert not is_first({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"})
    assert is_first({"SLURM_NTASKS": "2", "SLURM_PROCID": "1"})


def test_an_mpi4py_without_an_mpi(monkeypatch):
    class Broken:
        @property
        def MPI(self):  # noqa: N802
            raise RuntimeError("cannot load MPI library")

    monkeypatch.setitem(sys.modules, "mpi4py", Broken())
    monkeypatch.setenv("PMI_SIZE", "3")
    with pytest.raises(DeviceError, match=r"finds no MPI \(cannot load MPI library\): load the MPI of this"):
        find_team()
