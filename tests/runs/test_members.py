"""An ensemble as stacks side by side: the same networks however many cores there are, and however it ends."""

import dataclasses
import signal
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from sweeps import BASE, DEVICE, blobs, numbers

from xpnet.device import one_blas_thread
from xpnet.errors import InputError
from xpnet.runs import experiment
from xpnet.runs.experiment import run
from xpnet.runs.fit import fit
from xpnet.runs.networks import train

DATA = blobs()
FIVE = dataclasses.replace(BASE, solver="adam", learning_rate=0.02, dropout=0.1, ensemble=5, iterations=20)


def on(monkeypatch, cores):
    """Train on so many cores: on a thread each, if there are as many networks."""
    monkeypatch.setattr(experiment, "cores", lambda: cores)


def stacks_of(monkeypatch, on_stack=lambda _number: None):
    """Return a list that takes down the seeds of each stack and calls ``on_stack`` where one is begun."""
    found = []

    def train_one(configs, *args, **more):
        found.append([config.seed for config in configs])
        on_stack(len(found))
        return train(configs, *args, **more)

    monkeypatch.setattr("xpnet.runs.members.train", train_one)
    return found


def same(found, other):
    """The same networks and best networks, to the bit, and the same of all that was measured but seconds."""
    for of_found, of_other in ((found.model, other.model), (found.best, other.best)):
        assert (of_found is None) == (of_other is None)
        if of_found is not None:
            for name, value in of_other.params.items():
                np.testing.assert_array_equal(of_found.params[name], value, err_msg=name)
    for kind, arrays in other.result.state.items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(found.result.state[kind][name], value, err_msg=f"{kind} {name}")
    for name in ("diverged_at", "stopped_at", "interrupted", "timed_out"):
        np.testing.assert_array_equal(getattr(found.result, name), getattr(other.result, name), err_msg=name)
    assert {**found.summary, "seconds": 0} == {**other.summary, "seconds": 0}


@pytest.mark.parametrize("data", [DATA, numbers(2, weights=True)], ids=["classes", "numbers"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"solver": "sgd", "ema": 0.9, "batch_seed": 3},
        {"patience": 99},
        {"bagging": True, "batch_seed": 3},
    ],
    ids=["plain", "sgd", "patience", "bagging"],
)
def test_the_number_of_cores_changes_no_bit(monkeypatch, data, changes):
    config = dataclasses.replace(FIVE, **changes)
    on(monkeypatch, 1)
    stacked, seeds = run(config, data, DEVICE), stacks_of(monkeypatch)
    assert seeds == []
    for cores in (2, 3, 5, 64):
        on(monkeypatch, cores)
        found = run(config, data, DEVICE)
        assert len(seeds) == min(cores, 5)
        assert sorted(seed for stack in seeds for seed in stack) == [0, 1, 2, 3, 4]
        assert max(map(len, seeds)) - min(map(len, seeds)) <= 1
        seeds.clear()
        same(found, stacked)
        np.testing.assert_array_equal(found.history.losses, stacked.history.losses)
        for row, other in zip(found.history.rows, stacked.history.rows, strict=True):
            np.testing.assert_allclose(row[:7], other[:7], rtol=1e-12)
        whole = found.result.history
        assert all(loss.shape == (5,) for loss in whole.losses)
        assert whole.rows[0].val_score.shape == (5,)


def test_the_networks_are_those_that_are_trained_alone(monkeypatch):
    on(monkeypatch, 2)
    found = run(FIVE, DATA, DEVICE)
    means = []
    for k in range(5):
        with one_blas_thread():
            alone = run(dataclasses.replace(FIVE, ensemble=1, seed=k), DATA, DEVICE)
        for name, value in alone.model.params.items():
            np.testing.assert_array_equal(found.model.params[name][k], value)
        means.append([row.val_score for row in alone.history.rows])
    np.testing.assert_allclose([row.val_score for row in found.history.rows], np.mean(means, axis=0))


def test_each_epoch_is_told_once_on_the_thread_of_the_caller(monkeypatch):
    """Of all networks, and of no epoch that one of them has still before it."""
    on(monkeypatch, 2)
    caller, told = threading.get_ident(), []

    def on_epoch(history):
        assert threading.get_ident() == caller
        told.append((len(history.rows), len(history.losses), history.rows[-1].val_loss))

    found = run(FIVE, DATA, DEVICE, on_epoch)
    assert told == [(k, row.step, row.val_loss) for k, row in enumerate(found.history.rows, 1)]
    assert len(told) > 5


def test_each_epoch_is_told_of_stacks_that_end_before_anyone_looks(monkeypatch):
    on(monkeypatch, 2)

    class AtOnce(ThreadPoolExecutor):
        def submit(self, *args):
            done = super().submit(*args)
            wait([done])
            return done

    monkeypatch.setattr("xpnet.runs.members.ThreadPoolExecutor", AtOnce)
    told = []
    found = run(FIVE, DATA, DEVICE, lambda history: told.append(len(history.rows)))
    assert told == list(range(1, len(found.history.rows) + 1))


def test_a_stack_that_stops_earlier(monkeypatch):
    """The best of each network is kept, and the others go on."""
    config = dataclasses.replace(FIVE, ensemble=2, iterations=400, patience=1, monitor="val_loss")
    on(monkeypatch, 1)
    stacked = run(config, DATA, DEVICE)
    on(monkeypatch, 2)
    told = []
    found = run(config, DATA, DEVICE, lambda history: told.append(len(history.rows)))
    same(found, stacked)
    first, last = sorted(found.result.stopped_at)
    assert 0 < first < last < 400
    assert found.summary["status"] == "stopped"
    rows = found.result.history.rows
    assert told == list(range(1, len(rows) + 1))
    assert rows[-1].step == len(found.result.history.losses) == last
    at = int(found.result.stopped_at.argmin())
    assert len({row.val_loss[at] for row in rows if row.step >= first}) == 1  # its last goes on


@pytest.mark.parametrize("patience", [None, 50])
def test_one_network_that_diverges_leaves_the_others(monkeypatch, patience):
    on(monkeypatch, 2)
    config = dataclasses.replace(FIVE, ensemble=2, patience=patience)
    whole = run(config, DATA, DEVICE)

    def train_one(configs, *args, **more):
        if configs[0].seed == 1:
            configs = [dataclasses.replace(configs[0], learning_rate=1e300, weight_decay=1.0)]
        return train(configs, *args, **more)

    monkeypatch.setattr("xpnet.runs.members.train", train_one)
    found = run(config, DATA, DEVICE)
    assert found.summary["status"] == "diverged"
    assert found.result.diverged_at[0] == 0 < found.result.diverged_at[1]
    for name, value in whole.model.params.items():
        np.testing.assert_array_equal(found.model.params[name][0], value[0])
        assert np.isfinite(found.model.params[name]).all()


@pytest.mark.parametrize("more", [{}, {"out": "run"}, {"out": "run", "checkpoint_every": 1}])
def test_all_cores_are_used_but_where_checkpoints_are_written(monkeypatch, tmp_path, more):
    """These hold all networks as one."""
    monkeypatch.chdir(tmp_path)
    on(monkeypatch, 2)
    seeds = stacks_of(monkeypatch)
    given = {f.name: getattr(FIVE, f.name) for f in dataclasses.fields(FIVE)} | {
        "dataset": "blobs",
        "quiet": True,
    }
    fit(DATA, **given | more)
    assert len(seeds) == (0 if "checkpoint_every" in more else 2)


# However it ends


def test_should_stop_ends_all(monkeypatch):
    on(monkeypatch, 2)
    asked = []

    def should_stop():
        asked.append(threading.get_ident())
        return len(asked) > 9

    found = run(dataclasses.replace(FIVE, iterations=10**5), DATA, DEVICE, None, should_stop)
    assert found.summary["status"] == "interrupted"
    assert len(set(asked)) == 1  # of the stacks one asks
    assert found.summary["steps"] < 10**5


@pytest.mark.parametrize("error", [InputError("five"), ZeroDivisionError(), KeyboardInterrupt()])
def test_an_exception_in_on_epoch_ends_all(monkeypatch, error):
    on(monkeypatch, 2)

    def on_epoch(_history):
        raise error

    before = threading.active_count()
    with pytest.raises(type(error)):
        run(dataclasses.replace(FIVE, iterations=10**5), DATA, DEVICE, on_epoch)
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [1, 2])
def test_an_exception_in_a_stack_ends_all(monkeypatch, number):
    on(monkeypatch, 2)

    def fail(begun):
        if begun == number:
            raise MemoryError

    stacks_of(monkeypatch, fail)
    before = threading.active_count()
    with pytest.raises(MemoryError):
        run(dataclasses.replace(FIVE, iterations=10**5), DATA, DEVICE)
    assert threading.active_count() == before


def test_ctrl_c_ends_it_with_what_it_has(monkeypatch):
    on(monkeypatch, 2)

    def on_epoch(history):
        if len(history.rows) == 3:
            signal.raise_signal(signal.SIGINT)

    given = {f.name: getattr(FIVE, f.name) for f in dataclasses.fields(FIVE)} | {"dataset": "blobs"}
    with pytest.warns(UserWarning, match="run.model holds the networks reached so far"):
        found = fit(DATA, on_epoch=on_epoch, **given | {"iterations": 10**5, "quiet": True})
    assert found.summary["status"] == "interrupted"
    assert 3 <= len(found.history.rows) < 10**4
    assert found.predict(DATA.X_val).shape == (30,)


def test_time_is_up_for_all(monkeypatch):
    on(monkeypatch, 2)
    found = run(dataclasses.replace(FIVE, iterations=10**6, max_time=0.05), DATA, DEVICE)
    assert found.summary["status"] == "stopped"
    assert found.result.timed_out
