"""Sweeps on the workers of an executor: processes of this machine, and a Dask cluster."""

import itertools
import json
import logging
import multiprocessing
import os
import signal
import sys
import warnings
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from unittest.mock import Mock

import pytest
from sweeps import assert_same, blobs, rates, results

from xpnet import sweep
from xpnet.device import Device, Options
from xpnet.device.elsewhere import ask, tell, versions
from xpnet.errors import DeviceError
from xpnet.nn.mlp import MLP
from xpnet.runs.config import Config
from xpnet.sweep import cluster, plan
from xpnet.sweep.plan import Cut
from xpnet.sweep.workers import There, size_on_worker, train_on_worker

# Of own batches, so that they are the same to the bit however they are cut.
CONFIGS = rates(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, share_batches=False)


def process_pool():
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


def loky_pool():
    loky = pytest.importorskip("loky", reason="loky is not installed")
    return loky.ProcessPoolExecutor(2)


pools = pytest.mark.parametrize("pool", [process_pool, loky_pool])


@pytest.fixture(scope="module")
def dask():
    """A client of a real cluster of two worker processes."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    # Port 0 is any that is free; even without a dashboard the scheduler serves its state on one.
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**options) as started,
        distributed.Client(started, set_as_default=False) as client,
    ):
        yield client


def assert_same_sweep(actual, expected):
    assert actual.complete
    assert results(actual.rows) == results(expected.rows)
    assert_same(actual.best.params, expected.best.params)


def networks_in(folder):
    lines = (folder / "results.jsonl").read_text().splitlines()
    return sorted(json.loads(line)["network"] for line in lines)


@pytest.mark.parametrize(("pool", "halving"), [(process_pool, True), (loky_pool, False)])
def test_worker_processes_find_what_is_found_here(pool, halving):
    here = sweep.run(CONFIGS, blobs(), halving=halving)
    with pool() as executor:
        there = sweep.run(CONFIGS, blobs(), halving=halving, max_nets=3, executor=executor)
    assert_same_sweep(there, here)


# Sizes


class Inline(Executor):
    """Does here what its workers, as many as it says, are asked for."""

    def __init__(self, number):
        self.num_workers, self.asked = number, []

    def submit(self, function, *given):
        self.asked.append(function)
        future = Future()
        future.set_result(function(*given))
        return future


def cut_by(executor, count, among=0, max_nets=None):
    there = There(executor, CONFIGS[0], blobs(), None, max_nets, lambda: False)
    return there.cut([CONFIGS[0]] * count, among)


@pytest.mark.parametrize(
    ("workers", "count", "among", "max_nets", "cut"),
    [
        pytest.param(1, 12, 0, None, Cut(12, 1), id="one worker has them all"),
        pytest.param(4, 12, 0, None, Cut(3, 4), id="no worker is left without"),
        pytest.param(100, 12, 0, None, Cut(1, 100), id="nor with more workers than networks"),
        pytest.param(4, 12, 0, 2, Cut(2, 4), id="no more than the user allows"),
        pytest.param(4, 12, 24, None, Cut(6, 2), id="half of the networks have half of the workers"),
        pytest.param(4, 2, 200, None, Cut(2, 1), id="at least one"),
    ],
)
def test_stacks_are_sized_for_the_workers_that_there_are(monkeypatch, workers, count, among, max_nets, cut):
    monkeypatch.setattr(plan, "_seconds_per_step", lambda *_: 100.0)
    assert cut_by(Inline(workers), count, among, max_nets) == cut


def test_stacks_fit_the_memory_that_a_worker_tells_of(monkeypatch):
    monkeypatch.setattr(plan, "_seconds_per_step", lambda *_: 100.0)
    data = blobs()
    mlp = MLP((5, 7, 3))
    each = 2 * 8 * (data.X_train.size + data.X_val.size)
    each += 3.5 * plan.network_bytes(mlp, CONFIGS) / plan.MEMORY_SHARE
    monkeypatch.setattr(Device, "free_memory", lambda _: int(2 * each))
    assert cut_by(Inline(2), 10) == Cut(3, 2)


def test_workers_are_asked_once_and_of_each_shape_one():
    executor = Inline(2)
    configs = [replace(c, hidden=hidden) for hidden in ((7,), (8,)) for c in CONFIGS]
    there = sweep.run(configs, blobs(), executor=executor)
    assert executor.asked.count(tell) == 2
    assert executor.asked.count(size_on_worker) == 2
    assert results(there.rows) == results(sweep.run(configs, blobs()).rows)


def test_nothing_is_asked_where_there_is_nothing_to_choose():
    for configs, max_nets in ((CONFIGS[:1], None), (CONFIGS, 1)):
        executor = Inline(2)
        sweep.run(configs, blobs(), executor=executor, max_nets=max_nets)
        assert set(executor.asked) == {train_on_worker}


def test_a_sweep_that_is_stopped_waits_for_no_answers():
    class Silent(Executor):
        def submit(self, *_):
            return Future()

    stopped = sweep.run(CONFIGS, blobs(), executor=Silent(), should_stop=lambda: True)
    assert (stopped.complete, stopped.rows) == (False, [])


def test_a_worker_of_another_xpnet_is_one_line(monkeypatch):
    other = tell(Options())._replace(versions=versions() | {"xpnet": "99.0"})
    monkeypatch.setattr("xpnet.device.elsewhere.tell", lambda _: other)
    executor = Inline(1)
    with pytest.raises(DeviceError, match=r"has xpnet 99\.0, but this process has") as caught:
        sweep.run(CONFIGS, blobs(), executor=executor)
    assert "\n" not in str(caught.value)


# Losses


class LosingOne(Executor):
    """A pool that loses the worker that takes its fifth stack.

    It ends between two results: Python's own pool waits for ever for the rest of one whose worker was killed
    in the midst of sending it.
    """

    def __init__(self, pool):
        self._pool, self._numbers = pool, itertools.count(1)

    def submit(self, function, *given):
        if function is train_on_worker and next(self._numbers) == 5:
            self._pool.submit(os._exit, 1)
        return self._pool.submit(function, *given)


@pools
def test_a_pool_that_loses_a_worker_is_one_line_and_what_is_done_is_kept(pool, tmp_path):
    """Such a pool is broken for good; the next one trains what is missing."""
    configs, found = rates(*[0.1] * 12, iterations=400, share_batches=False), []
    options = {"max_nets": 2, "out": tmp_path}

    def on_outcome(outcome):
        found.extend(row["network"] for row in outcome.rows)

    with pool() as executor, pytest.raises(DeviceError, match="run the same sweep again") as caught:
        sweep.run(configs, blobs(), executor=LosingOne(executor), on_outcome=on_outcome, **options)
    assert "\n" not in str(caught.value)
    assert networks_in(tmp_path) == sorted(found)
    assert 0 < len(found) < len(configs)

    with pool() as executor:
        again = sweep.run(configs, blobs(), executor=executor, **options)
    assert networks_in(tmp_path) == list(range(len(configs)))
    assert_same_sweep(again, sweep.run(configs, blobs()))


def test_a_dask_cluster_finds_what_is_found_here(dask):
    here = sweep.run(CONFIGS, blobs(), halving=True)
    with cluster.connect(dask.scheduler.address) as executor:
        assert ask(executor)[:2] == (2, 2)
        # A stack of one goes on with the very arrays that it is sent.
        there = sweep.run(CONFIGS, blobs(), halving=True, max_nets=1, executor=executor)
    assert_same_sweep(there, here)


def test_dask_trains_again_what_a_killed_worker_had(dask, tmp_path):
    configs = rates(*[0.1] * 16, iterations=500, share_batches=False)
    killed, outcomes = [], []

    def on_outcome(outcome):
        outcomes.append(outcome.key)
        if not killed:
            # Both are at work: six stacks are left, which the scheduler has dealt out.
            tasks = dask.processing()
            worker = max(tasks, key=lambda address: len(tasks[address]))
            assert tasks[worker]
            killed.append(dask.run(os.getpid, workers=[worker])[worker])
            os.kill(killed[0], getattr(signal, "SIGKILL", signal.SIGTERM))

    with cluster.connect(dask.scheduler.address) as executor:
        there = sweep.run(
            configs, blobs(), max_nets=2, out=tmp_path, executor=executor, on_outcome=on_outcome
        )
    assert killed
    assert killed[0] not in dask.run(os.getpid).values()
    # Each stack once. Where networks were timed to be as fast alone, there is a stack for each.
    assert len(outcomes) == len(set(outcomes)) in (8, 16)
    assert networks_in(tmp_path) == list(range(16))
    assert_same_sweep(there, sweep.run(configs, blobs()))


def test_dask_gives_up_on_what_ends_its_workers(dask, monkeypatch):
    monkeypatch.setattr(dask.cluster.scheduler, "allowed_failures", 0)
    with (
        pytest.raises(DeviceError, match="gave up on a stack after losing 1 workers") as caught,
        cluster.connect(dask.scheduler.address) as executor,
    ):
        executor.submit(os._exit, 1).result()
    assert "\n" not in str(caught.value)


def test_a_worker_loads_the_data_that_the_settings_name():
    configs = sweep.configs(sweep.grid({"seed": [0, 1]}), Config(hidden=(8,), iterations=30))
    with process_pool() as executor:
        there = sweep.run(configs, executor=executor, max_nets=1)
    assert results(there.rows) == results(sweep.run(configs, max_nets=1).rows)


def test_the_device_is_the_workers_own():
    """There is no such GPU here either, but only the worker may say so."""
    configs = [Config(device="cuda:99", hidden=(8,), iterations=30)]
    with process_pool() as executor, pytest.raises(DeviceError, match=r"GPU|CuPy") as caught:
        sweep.run(configs, executor=executor)
    assert caught.value.__cause__ is not None  # the traceback that came from the worker


class Few(Executor):
    """Trains the first tasks at once and never gets to the others."""

    def __init__(self, count):
        self.count = count
        self.waiting = []

    def submit(self, function, *args):
        future = Future()
        if self.count:
            self.count -= 1
            future.set_result(function(*args))
        else:
            self.waiting.append(future)
        return future


def test_a_sweep_on_an_executor_can_be_stopped_and_taken_up_again(tmp_path):
    asked = itertools.count()
    options = {"max_nets": 1, "out": tmp_path}
    executor = Few(3)
    stopped = sweep.run(CONFIGS, blobs(), executor=executor, should_stop=lambda: next(asked) > 0, **options)
    assert not stopped.complete
    assert networks_in(tmp_path) == sorted(row["network"] for row in stopped.rows) == [0, 1, 2]
    assert [future.cancelled() for future in executor.waiting] == [True] * 7

    again = sweep.run(CONFIGS, blobs(), executor=Few(7), **options)
    assert networks_in(tmp_path) == list(range(10))
    assert_same_sweep(again, sweep.run(CONFIGS, blobs()))


def test_an_error_here_cancels_what_waits_there():
    executor, fail = Few(2), Mock(side_effect=OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        sweep.run(CONFIGS, blobs(), max_nets=1, executor=executor, on_outcome=fail)
    assert [future.cancelled() for future in executor.waiting] == [True] * 8


# Connecting


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:1", "Timed out"),
        ("127.0.0.1", "missing port"),
        ("http://127.0.0.1:80", "unknown address scheme"),
    ],
)
def test_no_scheduler_is_one_line(monkeypatch, capfd, address, words):
    pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr(cluster, "PATIENCE", 0.3)
    with pytest.raises(DeviceError) as caught, cluster.connect(address):
        pass
    message = str(caught.value)
    assert repr(address) in message
    assert words in message
    assert "`dask scheduler`" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_a_scheduler_without_workers_is_one_line(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as started,
        pytest.raises(DeviceError, match="has no workers: start some with `dask worker tcp://"),
        cluster.connect(started.scheduler_address),
    ):
        pass


def test_workers_of_another_version_are_one_line(monkeypatch, dask):
    monkeypatch.setattr("xpnet.device.elsewhere.__version__", "99.0")
    with pytest.raises(DeviceError) as caught, cluster.connect(dask.scheduler.address):
        pass
    assert "but this machine has xpnet 99.0: install the same versions" in str(caught.value)
    assert "NumPy" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_dask_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(DeviceError, match=r'pip install "xpnet\[dask\]"'),
        cluster.connect("tcp://127.0.0.1:1"),
    ):
        pass


def test_connecting_leaves_no_trace(dask, capfd):
    names = ("distributed", "distributed.client")
    levels = [logging.getLogger(name).level for name in names]
    filters = warnings.filters[:]
    with cluster.connect(dask.scheduler.address) as executor:
        assert executor.submit(pow, 2, 3).result() == 8
    assert [logging.getLogger(name).level for name in names] == levels
    assert warnings.filters == filters
    assert capfd.readouterr() == ("", "")
