"""Rows that are read ahead: those of each step, in bounded memory, and what goes wrong is told."""

import gc
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from xpnet.data import ahead
from xpnet.data.ahead import Ahead
from xpnet.data.host_rows import HostRows
from xpnet.datasets.stored import Stored
from xpnet.device import Device

X = np.arange(300, dtype=np.float64).reshape(100, 3)


class Rows(Stored):
    """Rows that count how many of them were asked for, and fail from a step on."""

    def __init__(self, last=100):
        self.shape, self.dtype, self.samples = X.shape, X.dtype, (3,)
        self.asked, self.last, self.lock = 0, last, threading.Lock()

    def take(self, index, out=None):
        with self.lock:
            self.asked += len(index)
        if (index >= self.last).any():
            raise OSError("the disk is gone")
        return X.take(index, axis=0, out=out)

    def part(self, begin, end):
        return X[begin:end]


@pytest.fixture(params=[1, 100, 10**6], ids="{} numbers a task".format)
def _tasks(request, monkeypatch):
    monkeypatch.setattr(ahead, "NUMBERS", request.param)


@pytest.fixture(params=[1, 64], ids="{} threads of BLAS".format)
def _blas(request, monkeypatch):
    """With one there are cores to read with, with many there are none."""
    monkeypatch.setattr(ahead, "blas_threads", lambda: request.param)
    monkeypatch.setattr(ahead, "cores", lambda: 2)


@pytest.mark.usefixtures("_tasks", "_blas")
@pytest.mark.parametrize("shape", [(20, 5), (20, 2, 5), (1, 5)])
def test_each_step_has_its_rows(device, dtype, shape):
    index = np.random.default_rng(0).integers(100, size=shape)
    rows = HostRows(Rows(), device, dtype)
    found = Ahead(rows, index)
    for step in range(len(index)):
        for _ in range(2 - step % 2):  # a step may be asked for twice
            np.testing.assert_array_equal(device.to_host(found[step, ...]), X[index[step]])


@pytest.mark.usefixtures("_blas")
def test_only_a_few_steps_are_read_ahead(device, monkeypatch):
    monkeypatch.setattr(ahead, "NUMBERS", 30)  # two steps
    rows = Rows()
    found = Ahead(HostRows(rows, device, "float32"), np.zeros((1000, 5), np.int64))
    assert rows.asked == 0
    for step in range(10):
        _ = found[step, ...]
        assert rows.asked <= (step + 2 + 2 * (ahead.WAITING + 2)) * 5


@pytest.mark.usefixtures("_blas")
def test_an_error_reaches_who_takes_the_step(device, monkeypatch):
    monkeypatch.setattr(ahead, "NUMBERS", 1)
    found = Ahead(HostRows(Rows(last=50), device, "float32"), np.arange(100).reshape(20, 5))
    for step in range(10):
        np.testing.assert_array_equal(device.to_host(found[step, ...]), X[5 * step : 5 * step + 5])
    with pytest.raises(OSError, match="disk is gone"):
        _ = found[10, ...]


@pytest.mark.parametrize("_blas", [64], indirect=True)
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.usefixtures("_blas")
def test_rows_are_read_between_steps_until_the_disk_is_waited_for(monkeypatch, waits):
    monkeypatch.setattr(ahead, "NUMBERS", 1)
    spent = SimpleNamespace(here=0.0, in_all=0.0)
    clocks = SimpleNamespace(thread_time=lambda: spent.here, perf_counter=lambda: spent.in_all)
    monkeypatch.setattr(ahead, "time", clocks)  # the real ones count other processes' work as waiting
    threads = []

    class Slow(Rows):
        def take(self, index, out=None):
            threads.append(threading.current_thread() is threading.main_thread())
            spent.here += 1
            spent.in_all += 10 if waits else 1.1
            return super().take(index, out)

    index = np.arange(100).reshape(20, 5)
    found = Ahead(HostRows(Slow(), Device(), "float64"), index)
    for step in range(8):
        np.testing.assert_array_equal(found[step, ...], X[index[step]])
    assert threads[0]
    assert all(threads[1:]) is not waits


def test_rows_are_converted_on_the_way(device):
    rows = HostRows(Rows(), device, "float32", lambda part: part * 2)
    index = np.arange(100).reshape(10, 10)
    np.testing.assert_array_equal(device.to_host(Ahead(rows, index)[0, ...]), 2 * X[:10])
    np.testing.assert_array_equal(device.to_host(rows[3:9]), 2 * X[3:9])
    chosen = rows.chosen(device.put(np.array([5, 2])))
    assert chosen.on_disk
    np.testing.assert_array_equal(device.to_host(chosen[0:2]), 2 * X[[5, 2]])


@pytest.mark.usefixtures("_blas")
def test_nothing_is_left_of_an_epoch(monkeypatch):
    """Files are closed with their rows, without waiting for Python's search of cycles."""
    monkeypatch.setattr(ahead, "NUMBERS", 30)
    rows = Rows()
    gone = weakref.ref(rows)
    found = Ahead(HostRows(rows, Device(), "float64"), np.arange(100).reshape(20, 5))
    gc.disable()
    try:
        for step in range(20):
            _ = found[step, ...]
        del rows, found, _
        assert gone() is None
    finally:
        gc.enable()
