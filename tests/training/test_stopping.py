"""The best parameters of a run, and when a run, or a network of a stack, is out of patience."""

import dataclasses
import itertools

import numpy as np
import pytest
from fits import HERE, assert_same, learnable, of_net, on_host, own_sources, random_params, sources, train
from sweeps import BASE, blobs, rates
from sweeps import alone as alone_in_sweep

from xpnet import TwoLayerNet, sweep
from xpnet.data.batches import epoch_ends
from xpnet.errors import InputError
from xpnet.runs import experiment
from xpnet.training import divergence
from xpnet.training.regime import Hyper
from xpnet.training.stopping import improve

STEPS, ROWS = 60, 5
"""Steps of the runs, and those of an epoch: they end at 1, 6, 11, …"""

ENDS = epoch_ends(STEPS, ROWS, "replacement")


@pytest.fixture
def data():
    return learnable()


def rule(values, patience, min_delta):
    """Return the best epoch and the last of a list of values, higher is better: the rule in plain words."""
    best = 0
    for epoch, value in enumerate(values):
        if value > values[best] + min_delta:
            best = epoch
        if patience is not None and epoch - best == patience:
            break
    return best, epoch


def values_of(history, monitor):
    """The column that is monitored, higher is better."""
    sign = {"val_loss": -1, "val_score": 1}[monitor]
    return [sign * getattr(row, monitor) for row in history.rows]


def untimed(rows):
    return [row._replace(seconds=0) for row in rows]


def trained_for(steps, params, data, hyper, **changes):
    """The parameters after so many steps of the same run."""
    return train(HERE, params, data, hyper=hyper, num_steps=steps, sources=sources(3), **changes).params


# The rule, by hand


def best_of(histories, min_delta=0.0, running=None):
    """Call `improve` once an epoch; epoch e of network n has parameters 10 e + n."""
    nets = np.shape(histories[0])
    best = None
    for epoch, values in enumerate(histories):
        params = {"W1": np.zeros((*nets, 1, 1)) + np.arange(np.prod(nets)).reshape(*nets, 1, 1) + 10 * epoch}
        on = np.ones(nets, bool) if running is None else np.asarray(running[epoch])
        best = improve(HERE, best, {"params": params}, np.asarray(values, float), epoch, min_delta, on)
        params["W1"] -= 1000  # training goes on in place
    return best.epoch.tolist(), best.value.tolist(), best.params["W1"][..., 0, 0].tolist()


@pytest.mark.parametrize(
    ("values", "min_delta", "epoch"),
    [
        ([1], 0, 0),
        ([1, 2, 3], 0, 2),
        ([1, 3, 2], 0, 1),
        ([1, 3, 3], 0, 1),  # as good is not better
        ([1, 2, 2.5, 3], 1, 2),  # 2 is not above 1 + 1, nor 3 above 2.5 + 1
        ([-2, -1, -1.5], 0, 1),
        ([np.nan, np.nan], 0, 0),
        ([np.nan, 1, np.nan], 0, 1),
        ([1, np.nan, 2], 0, 2),
        ([-np.inf, -1, -np.inf], 5, 1),
    ],
)
def test_the_best_epoch(values, min_delta, epoch):
    value = values[epoch]
    assert best_of(values, min_delta) == (epoch, -np.inf if np.isnan(value) else value, 10 * epoch)


def test_each_network_has_its_own_best():
    found = best_of([[1, 5, np.nan], [3, 4, 2], [2, 6, 1]])
    assert found == ([1, 2, 1], [3, 6, 2], [10, 21, 12])
    assert best_of([[[1], [2]], [[2], [1]]]) == ([[1], [0]], [[2], [2]], [[10], [1]])


def test_of_a_network_that_is_not_trained_nothing_changes():
    running = [[True, True], [True, False], [True, False]]
    assert best_of([[1, 1], [2, 2], [3, 3]], running=running) == ([2, 0], [3, 1], [20, 1])
    assert best_of([[7, 7], [2, 2]], running=[[True, False], [True, True]]) == ([0, 1], [7, 2], [0, 11])


# Runs


@pytest.mark.parametrize(
    ("monitor", "patience", "min_delta"),
    [("val_score", 1, 0.0), ("val_loss", 2, 0.0), ("val_loss", 3, 0.05), ("val_score", 2, 100.0)],
)
def test_a_run_stops_by_the_rule(device, dtype, data, monitor, patience, min_delta):
    hyper = Hyper(1.5, 1.0, 0.0, ema=0.5)
    params = random_params(np.random.default_rng(1))
    settings = {"hyper": hyper, "num_steps": STEPS, "sources": sources(3)}
    whole = train(device, params, data, dtype, **settings)
    best, last = rule(values_of(whole.history, monitor), patience, min_delta)
    assert last < len(ENDS) - 1  # or nothing is tested

    options = {"monitor": monitor, "patience": patience, "min_delta": min_delta}
    stopped = train(device, params, data, dtype, **settings, **options)
    assert stopped.stopped_at == ENDS[last] == len(stopped.history.losses)
    assert not stopped.interrupted
    assert untimed(stopped.history.rows) == untimed(whole.history.rows)[: last + 1]
    np.testing.assert_array_equal(stopped.history.losses, whole.history.losses[: ENDS[last]])
    short = train(device, params, data, dtype, **settings | {"num_steps": ENDS[best]})
    assert (stopped.best.epoch, stopped.best.value) == (best, values_of(whole.history, monitor)[best])
    assert_same(on_host(device, stopped.params), on_host(device, short.params))
    assert_same(on_host(device, stopped.best.params), on_host(device, short.params))


@pytest.mark.parametrize("patience", [None, 1000])
def test_a_run_that_comes_to_its_end(data, patience):
    """Without patience the last parameters stay, and the best are beside them."""
    hyper, params = Hyper(1.5, 1.0, 0.0), random_params(np.random.default_rng(1))
    settings = {"hyper": hyper, "sources": sources(3), "monitor": "val_loss", "patience": patience}
    result = train(HERE, params, data, num_steps=STEPS, **settings)
    best, last = rule(values_of(result.history, "val_loss"), None, 0.0)
    assert best < last == len(ENDS) - 1
    assert result.stopped_at == 0
    assert_same(result.best.params, trained_for(ENDS[best], params, data, hyper))
    kept = STEPS if patience is None else ENDS[best]
    assert_same(result.params, trained_for(kept, params, data, hyper))


@pytest.mark.parametrize("patience", [None, 1000])
@pytest.mark.parametrize("steps", [1, 9, 23])
def test_the_best_of_an_interrupted_run(data, steps, patience):
    """What is left of its last epoch counts as one."""
    hyper, params = Hyper(1.5, 1.0, 0.0), random_params(np.random.default_rng(1))
    settings = {"hyper": hyper, "sources": sources(3), "monitor": "val_loss", "patience": patience}
    asked = itertools.count()
    result = train(HERE, params, data, num_steps=60, should_stop=lambda: next(asked) >= steps, **settings)
    assert result.interrupted
    best, _ = rule(values_of(result.history, "val_loss"), None, 0.0)
    of_best = trained_for(result.history.rows[best].step, params, data, hyper)
    assert_same(result.best.params, of_best)
    of_last = trained_for(steps, params, data, hyper)
    assert_same(result.params, of_last if patience is None else of_best)


@pytest.mark.parametrize("patience", [None, 1000])
def test_the_best_of_a_run_that_diverged(data, patience):
    hyper = Hyper(0.01, 30.0, 0.01)  # thirty times the rate each epoch
    params = random_params(np.random.default_rng(2))
    settings = {"hyper": hyper, "sources": sources(3), "monitor": "val_loss", "patience": patience}
    result = train(HERE, params, data, num_steps=STEPS, **settings)
    assert result.diverged_at > ENDS[1]
    best, _ = rule(values_of(result.history, "val_loss")[:-1], None, 0.0)
    assert_same(result.best.params, trained_for(ENDS[best], params, data, hyper))
    assert (result.best.epoch, result.stopped_at) == (best, 0)
    if patience is not None:
        assert_same(result.params, result.best.params)
        return
    # What is kept is where an epoch began: the one whose losses before and after were the lowest.
    rows, starts = result.history.rows, [0, *ENDS]
    before = [-np.inf, *(row.train_loss for row in rows)]
    after = [result.history.losses[step] for step in starts[: len(rows)]]
    sane = np.nanargmin(np.maximum(before[: len(rows)], after))
    assert_same(result.params, trained_for(starts[sane], params, data, hyper))


@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize("rate", [1e300, [0.1, 1e300]])
def test_the_best_of_a_network_that_diverged_in_its_first_epoch_is_finite(data, rate, patience):
    nets = np.shape(rate)
    params = random_params(np.random.default_rng(3), nets)
    hyper = Hyper(np.asarray(rate), 1.0, 0.01)
    options = {"monitor": "val_score", "patience": patience, "sampling": "shuffle"}
    result = train(HERE, params, data, hyper=hyper, **options)
    assert result.diverged_at.max() > 0
    lost = () if not nets else (1,)
    assert result.best.value[lost] == -np.inf
    for name, value in result.best.params.items():
        assert np.isfinite(value).all()
        assert np.isfinite(result.params[name]).all()
        np.testing.assert_array_equal(value[lost], result.params[name][lost])


def test_without_validation_rows_there_is_no_best(data):
    X, y, _, _ = data
    params = random_params(np.random.default_rng(4))
    given = (X, y, None, None)
    result = train(HERE, params, given, monitor="val_loss", patience=1, num_steps=STEPS)
    assert result.best is None
    assert len(result.history.losses) == STEPS
    assert_same(result.params, train(HERE, params, given, num_steps=STEPS).params)


def test_two_layer_net_trains_to_its_end(data):
    found = TwoLayerNet(5, 4, 3, rng=1).train(*data, num_iters=STEPS, batch_size=6)
    assert len(found["loss_history"]) == STEPS


def test_without_a_monitor_nothing_is_copied(data, monkeypatch):
    made = []
    copy = divergence.copy
    monkeypatch.setattr(divergence, "copy", lambda *args: made.append(1) or copy(*args))
    params = random_params(np.random.default_rng(5))
    result = train(HERE, params, data)
    assert (result.best, len(made)) == (None, len(result.history.rows))  # one an epoch, to replay from
    losses = [row.val_loss for row in train(HERE, params, data, monitor="val_loss").history.rows]
    bests = sum(loss < min(losses[:epoch], default=np.inf) for epoch, loss in enumerate(losses))
    assert len(made) == 2 * len(losses) + bests


# Stacks


@pytest.mark.parametrize("nets", [(4,), (2, 2)])
@pytest.mark.parametrize("monitor", ["val_loss", "val_score"])
def test_each_network_of_a_stack_stops_as_alone(data, nets, monitor):
    params = random_params(np.random.default_rng(6), nets)
    rate = np.reshape([0.05, 1.0, 2.0, 3.0], nets)
    options = {"monitor": monitor, "patience": 2, "num_steps": STEPS}
    together = train(
        HERE, params, data, hyper=Hyper(rate, 1.0, 0.0), sources=own_sources(*range(4)), **options
    )
    for k, net in enumerate(np.ndindex(nets)):
        hyper = Hyper(float(rate[net]), 1.0, 0.0)
        alone = train(HERE, of_net(params, net), data, hyper=hyper, sources=sources(k), **options)
        assert together.stopped_at[net] == alone.stopped_at
        assert together.best.epoch[net] == alone.best.epoch
        assert_same(of_net(together.params, net), alone.params)
        steps = len(alone.history.losses)
        losses = [loss[net] for loss in together.history.losses[:steps]]
        np.testing.assert_array_equal(losses, alone.history.losses)
    assert len(set(together.stopped_at.ravel().tolist())) > 1
    assert len(together.history.losses) == max(
        together.stopped_at.max(), STEPS * (together.stopped_at == 0).any()
    )


def test_what_becomes_of_a_network_after_it_stopped_is_of_no_account(data):
    """The rest of the stack trains on; alone it would never have got to where it diverges."""
    params = random_params(np.random.default_rng(7), (2,))
    hyper = Hyper(np.array([1e-30, 0.02]), np.array([1e9, 1.0]), 0.01)
    options = {"monitor": "val_loss", "min_delta": 1e-4, "num_steps": STEPS, "sources": sources(3)}
    without = train(HERE, params, data, hyper=hyper, **options)
    assert without.diverged_at[0] > ENDS[2]
    result = train(HERE, params, data, hyper=hyper, patience=2, **options)
    assert result.diverged_at.tolist() == [0, 0]
    assert result.stopped_at.tolist() == [ENDS[2], 0]
    assert len(result.history.losses) == STEPS
    alone = Hyper(1e-30, 1e9, 0.01)
    expected = train(HERE, of_net(params, 0), data, hyper=alone, patience=2, **options)
    assert (expected.stopped_at, len(expected.history.rows)) == (ENDS[2], 3)
    assert_same(of_net(result.params, 0), expected.params)


# Sweeps and ensembles


PATIENT = {"patience": 2, "iterations": 200}


@pytest.mark.parametrize("max_nets", [1, 2, 9])
@pytest.mark.parametrize("monitor", ["val_loss", "val_score"])
def test_a_sweep_stops_each_network_as_alone(monitor, max_nets):
    data = blobs()
    configs = rates(0.01, 0.1, 0.3, 1.0, 1e300, share_batches=False, monitor=monitor, **PATIENT)
    found = sweep.run(configs, data, max_nets=max_nets)
    for row in found.rows:
        alone = alone_in_sweep(configs[row["network"]], data)
        rows = alone.result.history.rows
        if row["status"] == "diverged":
            assert alone.summary["status"] == "diverged"
            continue
        assert row["steps"] == alone.summary["steps"] == rows[-1].step
        assert row["curve"] == [[r.step, r.val_score] for r in rows]
        assert row["val_score"] == float(str(alone.summary["val_accuracy"]))
        if row is found.rows[0]:
            assert_same(found.best.params, alone.model.params)
            assert_same(found.best.params, alone.best.params)
    steps = {row["steps"] for row in found.rows}
    assert len(steps) > 2
    assert min(steps - {0}) < 200


def test_halving_and_patience_do_not_go_together():
    with pytest.raises(InputError, match="drop --patience or --halving"):
        sweep.run(rates(0.1, 0.2, **PATIENT), blobs(), halving=True)


def test_the_networks_of_an_ensemble_stop_each_by_itself():
    config = dataclasses.replace(BASE, ensemble=3, monitor="val_loss", learning_rate=1.0, **PATIENT)
    ensemble = experiment.run(config, blobs(), HERE)
    stopped = ensemble.result.stopped_at
    assert ensemble.summary["status"] == "stopped"
    assert ensemble.summary["steps"] == stopped.max() < 200
    assert len(set(stopped.tolist())) > 1
    for k in range(3):
        member = dataclasses.replace(config, ensemble=1, seed=config.seed + k)
        alone = experiment.run(member, blobs(), HERE)
        assert alone.result.stopped_at == stopped[k]
        assert_same(of_net(ensemble.model.params, k), alone.model.params)
        assert_same(of_net(ensemble.best.params, k), alone.best.params)
