"""Threads of the CPU: as many as are asked for, for a while, and what is said of them."""

import os
import time

import pytest

from xpnet.device import blas_threads, cores, threads, threads_note, using_threads
from xpnet.device.threads import busy_note, one_blas_thread

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
    monkeypatch.setattr(time, "process_time", lambda: used)
    monkeypatch.setattr(threads, "blas_threads", lambda: of_blas)
    said = busy_note()
    assert wanted in said
    assert bool(said) == bool(wanted)
    if said:
        assert said.startswith(f"this machine is busy (load {load} on 4 cores): ")


def test_where_no_load_is_known(monkeypatch):
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.setattr(threads, "blas_threads", lambda: 64)
    assert busy_note() == ""
