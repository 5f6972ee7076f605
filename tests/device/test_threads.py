"""Threads of the CPU: as many as are asked for, for a while, and what is said of them."""

import math
import os
import threading
import time

import pytest

from xpnet.device import blas_threads, cores, threads, threads_note, using_threads
from xpnet.device.threads import busy_note, limited_blas_threads, one_blas_thread, quota

threadpoolctl = pytest.importorskip("threadpoolctl")


def test_as_many_as_are_asked_for():
    with threadpoolctl.threadpool_limits(2):
        before = blas_threads(), cores()
        with using_threads(1):
            assert (blas_threads(), cores()) == (1, 1)
            with using_threads(3), one_blas_thread():
                assert blas_threads() == 1
                assert cores() == min(3, before[1])
            assert (blas_threads(), cores()) == (1, 1)
        with using_threads(None):
            assert (blas_threads(), cores()) == before
        with using_threads(3):
            assert blas_threads() == min(3, blas_threads())
            assert cores() == min(3, before[1])
        assert (blas_threads(), cores()) == before


def test_they_come_back_after_an_error():
    before = blas_threads(), cores()
    with pytest.raises(ZeroDivisionError), using_threads(1):
        1 / 0  # noqa: B018
    assert (blas_threads(), cores()) == before


def test_any_thread_may_set_them(blas_of_two):
    """threadpoolctl lets the first thread of a process set them, and nothing happens on others."""
    del blas_of_two
    seen = []

    def work():
        with one_blas_thread():
            seen.append(blas_threads())
        seen.append(blas_threads())
        with using_threads(1):
            seen.append(blas_threads())
        with limited_blas_threads(1):
            seen.append(blas_threads())

    with threadpoolctl.threadpool_limits(2):
        for _ in range(2):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert blas_threads() == 2
        with one_blas_thread():
            assert blas_threads() == 1
    assert seen == [1, 2, 1, 1] * 2


def test_what_the_caller_has_set_is_there_afterwards(blas_of_two):
    before = blas_of_two
    with threadpoolctl.threadpool_limits(2):
        with one_blas_thread():
            pass
        assert blas_threads() == 2
    assert blas_threads() == before


@pytest.fixture
def blas_of_two():
    """Return how many threads NumPy's BLAS has, where it can have two; one that can't is no test."""
    before = blas_threads()
    with threadpoolctl.threadpool_limits(2):
        if blas_threads() != 2:
            pytest.skip("NumPy's BLAS has one thread")
    return before


def test_those_of_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    before = torch.get_num_threads()
    with using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_what_is_said_of_a_number(monkeypatch):
    monkeypatch.setattr(threads, "_available", lambda: 4)
    assert threads_note(None, "numpy") == threads_note(4, "numpy") == threads_note(1, "torch") == ""
    assert threads_note(5, "numpy") == "--threads 5 is more than the 4 cores here: give 4 or fewer"
    assert "taskset" in threads_note(1, "jax")


@pytest.fixture
def container(tmp_path):
    """Return what writes the files of control groups, as Linux shows them."""

    def make(groups, **files):
        for name, content in {"proc/self/cgroup": groups, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return tmp_path

    return make


def v1(folder, cpu_time):
    return {f"{folder}/cpu.cfs_quota_us": cpu_time, f"{folder}/cpu.cfs_period_us": 100_000}


def test_a_container_has_the_cpu_time_of_its_group_or_of_one_above(container):
    pod = "sys/fs/cgroup/kubepods/pod1"
    root = container("0::/kubepods/pod1/box", **{f"{pod}/box/cpu.max": "max 100000"})
    assert quota(root) == math.inf
    container("0::/kubepods/pod1/box", **{f"{pod}/cpu.max": "400000 100000"})
    assert quota(root) == 4
    container("0::/kubepods/pod1/box", **{f"{pod}/box/cpu.max": "25000 50000"})
    assert quota(root) == 0.5
    # From within, it is at the top.
    container("0::/", **{"sys/fs/cgroup/cpu.max": "150000 100000"})
    assert quota(root) == 1.5


def test_a_container_of_the_first_version(container):
    groups = "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n2:cpuset:/\n0::/"
    root = container(groups, **v1("sys/fs/cgroup/cpu/docker/1", -1))
    assert quota(root) == math.inf
    container(groups, **v1("sys/fs/cgroup/cpu", 250_000))
    assert quota(root) == 2.5
    container(groups, **v1("sys/fs/cgroup/cpu/docker/1", 100_000))
    assert quota(root) == 1


@pytest.mark.parametrize("content", ["", "max", "1", "0 100000", "100000 0", "a b", "1 2 3"])
def test_what_is_no_limit(container, tmp_path, content):
    assert quota(tmp_path) == math.inf  # no Linux
    assert quota(container("0::/", **{"sys/fs/cgroup/cpu.max": content})) == math.inf


@pytest.mark.parametrize(("cpu_time", "there"), [(math.inf, 64), (100, 64), (2, 2), (1.5, 2), (0.1, 1)])
def test_cores_of_a_container(monkeypatch, cpu_time, there):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(64)), raising=False)
    monkeypatch.setattr(threads, "quota", lambda: cpu_time)
    assert cores() == there
    with using_threads(2):
        assert cores() == min(2, there)


@pytest.mark.parametrize("load", [0.0, 63.0])
def test_a_container_with_a_part_of_the_cores(monkeypatch, load):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    monkeypatch.setattr(threads, "_available", lambda: 2)
    monkeypatch.setattr(threads, "blas_threads", lambda: 64)
    if load:
        assert busy_note().startswith("this machine is busy (load 63.0 on 64 cores): --threads 1 ")
        return
    assert busy_note() == (
        "64 BLAS threads share the 2 of 64 cores that this process may use: --threads 2 may be much faster"
    )
    with using_threads(3):  # of which `threads_note` has said that they are too many
        assert busy_note() == ""
    monkeypatch.setattr(threads, "blas_threads", lambda: 2)
    assert busy_note() == ""


@pytest.mark.parametrize(
    ("load", "used", "of_blas", "wanted"),
    [
        (3.9, 0, 2, "--threads 1 may"),  # of four cores
        (2.2, 0, 2, ""),
        (2.9, 0, 4, "--threads 2 may"),
        (0.9, 0, 4, ""),
        (3.9, 0, 1, ""),
        (3.9, 240, 2, ""),  # the load is its own
        (40.0, 0, 4, "--threads 1 may"),
    ],
)
def test_a_busy_machine(monkeypatch, load, used, of_blas, wanted):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(threads, "_available", lambda: 4)
    monkeypatch.setattr(time, "process_time", lambda: used)
    monkeypatch.setattr(threads, "blas_threads", lambda: of_blas)
    said = busy_note()
    assert wanted in said
    assert bool(said) == bool(wanted)
    if said:
        assert said.startswith(f"this machine is busy (load {load} on 4 cores): ")


def test_where_no_load_is_known(monkeypatch):
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.setattr(threads, "_available", lambda: 64)
    monkeypatch.setattr(threads, "blas_threads", lambda: 64)
    assert busy_note() == ""
    monkeypatch.setattr(threads, "_available", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert "--threads 2 may" in busy_note()
