"""The loop over epochs: what it computes, keeps, tells and stops at."""

import itertools

import numpy as np
import pytest
from fits import (
    EVERYTHING,
    HERE,
    MLP_543,
    NETS,
    REGIME,
    assert_same,
    begin,
    image_feed,
    learnable,
    of_net,
    on_host,
    own_sources,
    random_params,
    some_images,
    sources,
    train,
)
from unreadable import UnreadableDevice

from xpnet.data.batches import draw_batches, epoch_ends
from xpnet.data.feed import Feed
from xpnet.errors import InputError
from xpnet.nn import backprop
from xpnet.nn.solvers import SOLVERS
from xpnet.training.history import History, Row
from xpnet.training.loop import fit
from xpnet.training.regime import Hyper, Regime
from xpnet.training.step import initial_state, make_step


@pytest.fixture
def data():
    return learnable()


# The loop


@pytest.mark.usefixtures("by_definition")
def test_training_reads_once_an_epoch(data):
    device = UnreadableDevice()
    rng = np.random.default_rng(3)
    params = random_params(rng, (2,))
    result = train(device, params, data)
    assert len(result.history.rows) == 5  # epochs end at 1, 6, 11, 16, 17
    assert device.reads == 5
    expected = train(HERE, params, data)
    assert_same({k: device.to_host(p) for k, p in result.params.items()}, expected.params)


@pytest.mark.parametrize("sampling", ["replacement", "shuffle"])
@pytest.mark.parametrize("nets", NETS)
def test_the_loop_is_its_steps(device, dtype, assert_close, data, nets, sampling, monkeypatch):
    """Draws, rates, history: everything against a plain loop over steps in float64 NumPy."""
    monkeypatch.setattr("xpnet.training.step.TOGETHER", 2)  # of the five steps of an epoch
    X, y, X_val, y_val = data
    rng = np.random.default_rng(4)
    params = random_params(rng, nets)
    hyper = Hyper(rng.uniform(0.1, 0.5, nets), rng.uniform(0.8, 1, nets), rng.uniform(0, 0.1, nets))
    reg = np.asarray(hyper.reg)
    result = train(device, params, data, dtype, hyper=hyper, sampling=sampling, seed=5)

    state = begin(HERE, params, "float64", REGIME, hyper)
    step = make_step(HERE, MLP_543, Feed(X, y), REGIME, hyper, state["params"])
    source = np.random.default_rng(5)
    ends, losses = epoch_ends(17, 5, sampling), []
    assert len(result.history.rows) == len(ends)
    for epoch, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        rate = np.asarray(hyper.learning_rate) * np.asarray(hyper.learning_rate_decay) ** epoch
        for rows in draw_batches(source, 30, 6, end - start, sampling)[0]:
            draws = {"index": rows, "rate": rate, "count": np.asarray(len(losses) + 1.0)}
            state, loss = step(state, draws)
            losses.append(loss)
        p = state["params"]
        row = result.history.rows[epoch]
        assert (row.step, row.epoch) == (end, end // 5)
        scores, val_scores = (backprop.scores(np, MLP_543, p, x) for x in (X[rows], X_val))
        expected = {
            "learning_rate": rate,
            "train_loss": np.mean(losses[start:end], axis=0),
            "train_score": np.mean(scores.argmax(axis=-1) == y[rows], axis=-1),
            "val_loss": backprop.loss_and_grads(np, MLP_543, p, X_val, y_val, reg)[0],
            "val_score": np.mean(val_scores.argmax(axis=-1) == y_val, axis=-1),
        }
        rtol = {"float32": 1e-4, "float64": 1e-12}[dtype]
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(row, name), value, rtol=rtol, err_msg=name)
            assert np.shape(getattr(row, name)) == nets
    np.testing.assert_allclose(result.history.losses, losses, rtol=rtol)
    assert_close(result.params, p, {"float32": 1e-4, "float64": 1e-12}[dtype])
    assert result.diverged_at.shape == nets
    assert not result.diverged_at.any()
    assert not result.interrupted


def test_history_of_one_network_is_of_plain_numbers(device, dtype, data):
    history = train(device, random_params(np.random.default_rng(6)), data, dtype).history
    assert isinstance(history, History)
    for row in history.rows:
        assert [type(value) for value in row] == [
            int,
            int,
            float,
            float,
            float,
            float,
            float,
            float,
        ]
    seconds = [row.seconds for row in history.rows]
    assert seconds[0] > 0
    assert seconds == sorted(seconds)
    assert len(history.losses) == 17
    assert {(type(loss).__module__, np.shape(loss)) for loss in history.losses} == {("numpy", ())}
    assert {loss.dtype.name for loss in history.losses} == {dtype}


def test_training_learns(device, dtype, data):
    params = random_params(np.random.default_rng(7))
    hyper = Hyper(0.3, 1.0, 1e-3)
    rows = train(device, params, data, dtype, hyper=hyper, num_steps=150).history.rows
    assert rows[0].train_loss > 1.0 > 0.3 > rows[-1].train_loss
    assert rows[-1].train_score == 1.0


def test_without_validation_rows(device, dtype, data):
    X, y, _, _ = data
    params = random_params(np.random.default_rng(8), (2,))
    result, with_val = (train(device, params, d, dtype) for d in ((X, y, None, None), data))
    for row, expected in zip(result.history.rows, with_val.history.rows, strict=True):
        assert np.isnan(row.val_loss).all()
        assert np.isnan(row.val_score).all()
        np.testing.assert_array_equal(row.train_loss, expected.train_loss)
        np.testing.assert_array_equal(row.train_score, expected.train_score)
    assert not result.diverged_at.any()
    for name, value in with_val.params.items():
        np.testing.assert_array_equal(*map(device.to_host, (result.params[name], value)))


def test_each_network_may_have_batches_of_its_own(device, dtype, data):
    params = random_params(np.random.default_rng(9), (3,))
    each = [np.random.default_rng(seed) for seed in (1, 2, 3)]
    result = train(device, params, data, dtype, sources=lambda _stream, _epoch: each)
    for net, seed in enumerate((1, 2, 3)):
        alone = train(device, of_net(params, net), data, dtype, seed=seed)
        for name, value in alone.params.items():
            expected = device.to_host(value)
            atol = {"float32": 1e-5, "float64": 1e-12}[dtype]
            np.testing.assert_allclose(device.to_host(result.params[name])[net], expected, atol=atol)


def test_a_stack_trains_as_each_network_alone(data):
    """In any number of axes, and so up to rounding: tests/sweep/test_exact.py asks for the bits."""
    params = random_params(np.random.default_rng(10), (2, 3))
    rates = np.random.default_rng(11).uniform(0.1, 0.5, (2, 3))
    together = train(HERE, params, data, hyper=Hyper(rates, 0.9, 0.01), num_steps=100)
    for net in np.ndindex(2, 3):
        hyper = Hyper(float(rates[net]), 0.9, 0.01)
        alone = train(HERE, of_net(params, net), data, hyper=hyper, num_steps=100)
        for name, value in alone.params.items():
            np.testing.assert_allclose(together.params[name][net], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_training_keeps_the_memory_of_its_state(solver):
    """In place on NumPy."""
    regime, hyper = Regime(9, 6, "shuffle", solver), Hyper(clip_norm=0.1, ema=0.9, weight_decay=0.1)
    rng = np.random.default_rng(12)
    params = backprop.stack(np, [random_params(rng) for _ in range(3)])
    state = initial_state(HERE, params, regime, hyper)
    given = {kind: dict(arrays) for kind, arrays in state.items()}
    X, y = rng.standard_normal((30, 5)), rng.integers(3, size=30)
    result = fit(
        MLP_543,
        state,
        Feed(X, y),
        device=HERE,
        regime=regime,
        hyper=hyper,
        sources=sources(1),
    )
    for kind, arrays in given.items():
        for name, array in arrays.items():
            assert np.shares_memory(result.state[kind][name], array), (kind, name)


def test_data_is_not_written_to(device, dtype, data):
    """On ``numpy-read-only`` a write would raise; elsewhere the values are compared afterwards."""
    on_device = [device.put(a, dtype if a.dtype.kind == "f" else None) for a in data]
    before = [device.to_host(a).copy() for a in on_device]
    reg = np.array([0.1, 0.2])
    reg.flags.writeable = False
    params = random_params(np.random.default_rng(13), (2,))
    train(device, params, on_device, dtype, hyper=Hyper(reg, reg, reg))
    for array, values in zip(on_device, before, strict=True):
        np.testing.assert_array_equal(device.to_host(array), values)


def test_on_epoch_sees_the_history_grow(data):
    seen = []
    train(
        HERE,
        random_params(np.random.default_rng(14)),
        data,
        on_epoch=lambda h: seen.append((len(h.rows), len(h.losses), h.rows[-1].step)),
    )
    assert seen == [(1, 1, 1), (2, 6, 6), (3, 11, 11), (4, 16, 16), (5, 17, 17)]


@pytest.mark.parametrize(
    ("solver", "split"), [("adam", 0), ("adam", 1), ("adam", 3), ("adam", 5), ("sgd", 3), ("nesterov", 1)]
)
def test_a_run_in_two_parts_is_the_run(device, dtype, data, split, solver):
    """With the epochs' sources made from their numbers, as a resumed run does."""
    settings = {"sources": sources(8), "hyper": Hyper(0.05, ema=0.8), "solver": solver}
    params = random_params(np.random.default_rng(15))
    whole = train(device, params, data, dtype, **settings)
    first = train(device, params, data, dtype, **settings, epochs=range(split))
    middle = {
        kind: {n: device.xp.asarray(device.put(v), copy=True) for n, v in on_host(device, arrays).items()}
        for kind, arrays in first.state.items()
    }
    second = train(device, None, data, dtype, **settings, state=middle, epochs=range(split, 5))

    assert whole.state.keys() == second.state.keys() >= {"params", "average"}
    for kind, arrays in whole.state.items():
        assert_same(on_host(device, second.state[kind]), on_host(device, arrays))
    rows = [*first.history.rows, *second.history.rows]
    assert [r._replace(seconds=0) for r in rows] == [r._replace(seconds=0) for r in whole.history.rows]
    np.testing.assert_array_equal([*first.history.losses, *second.history.losses], whole.history.losses)


# Stopping early


@pytest.mark.parametrize("answers", [0, 1, 2, 4, 9, 16])
def test_should_stop_ends_the_run_as_if_planned(device, dtype, data, answers):
    asked = itertools.count()
    params = random_params(np.random.default_rng(16))
    # It is asked at these steps: at all of them, or once before as many as the device takes at once.
    epochs = itertools.pairwise([0, *epoch_ends(17, 5, "replacement")])
    steps = [step for begin, end in epochs for step in range(begin, end, device.steps_at_once)]
    steps = steps[min(answers, len(steps) - 1)]
    stopped = train(device, params, data, dtype, should_stop=lambda: next(asked) >= answers)
    if not stopped.interrupted:  # it was not asked so often
        assert answers > len(stopped.history.rows)
        return
    assert len(stopped.history.losses) == steps
    if steps:
        planned = train(device, params, data, dtype, num_steps=steps)
        assert not planned.interrupted
        for name, value in planned.params.items():
            np.testing.assert_array_equal(*map(device.to_host, (stopped.params[name], value)))
        without_time = [
            [row._replace(seconds=0) for row in result.history.rows] for result in (stopped, planned)
        ]
        assert without_time[0] == without_time[1]
    else:
        assert not stopped.history.rows
        for name, value in params.items():
            np.testing.assert_array_equal(device.to_host(stopped.params[name]), value.astype(dtype))


def test_should_stop_that_never_does(data):
    result = train(HERE, random_params(np.random.default_rng(17)), data, should_stop=lambda: False)
    assert not result.interrupted
    assert len(result.history.losses) == 17


# Sources


@pytest.mark.parametrize("nets", [(6,), (2, 3)])
def test_one_source_of_batches_for_each_network(data, nets):
    """Six networks draw from their own source each, whichever way they are laid out."""
    one = random_params(np.random.default_rng(21))
    stacked = {name: np.stack([value] * 6).reshape(*nets, *value.shape) for name, value in one.items()}
    result = train(HERE, stacked, data, sources=own_sources(*range(6)))
    for k, place in enumerate(np.ndindex(*nets)):
        alone = train(HERE, one, data, sources=sources(k))
        for name, value in alone.params.items():
            np.testing.assert_allclose(result.params[name][place], value, rtol=1e-12, atol=1e-14)


def test_too_few_sources_of_batches(data):
    stacked = {n: np.stack([v] * 2) for n, v in random_params(np.random.default_rng(22)).items()}
    with pytest.raises(InputError, match="1 sources of batches for networks"):
        train(HERE, stacked, data, sources=own_sources(0))


# Everything at once


@pytest.mark.usefixtures("by_definition")
def test_everything_at_once_reads_once_an_epoch_and_is_the_same():
    X, y = some_images(11)
    data = None, None, (X - 128.0) / 64, y
    settings = {k: EVERYTHING[k] for k in ("mlp", "hyper", "regime")} | {"sources": sources(19)}
    params = random_params(np.random.default_rng(24), mlp=EVERYTHING["mlp"])
    results = []
    for device in (HERE, UnreadableDevice()):
        feed = image_feed(device, "float64", EVERYTHING["augmentation"])
        results.append(train(device, params, data, **settings, feed=feed))
    assert device.reads == len(results[0].history.rows) == 4  # epochs end at 5, 10, 15 and 17
    for kind, arrays in results[0].state.items():
        assert_same(on_host(device, results[1].state[kind]), arrays)
    assert results[0].params is results[0].state["average"]


def test_the_evaluation_sees_images_as_they_are_and_the_average():
    X, y = some_images(11)
    settings = {k: EVERYTHING[k] for k in ("mlp", "hyper", "regime")} | {"sources": sources(19)}
    params = random_params(np.random.default_rng(25), mlp=EVERYTHING["mlp"])
    feed = image_feed(HERE, "float64", EVERYTHING["augmentation"])
    data = None, None, (X - 128.0) / 64, y
    result = train(HERE, params, data, **settings, feed=feed)
    last = result.history.rows[-1]
    assert last.val_score == np.mean(backprop.predict(np, settings["mlp"], result.params, data[2]) == y)
    rows = draw_batches(sources(19)("batches", 3), 30, 6, 2, "shuffle")[0][-1]
    scores = backprop.scores(np, settings["mlp"], result.params, (feed.X[rows] - 128.0) / 64)
    assert last.train_score == np.mean(scores.argmax(axis=1) == feed.y[rows])
    rate = settings["regime"].learning_rates(settings["hyper"], (), range(16, 17), 3)
    assert last.learning_rate == rate[0]


# The history of a stack as one


def test_the_mean_of_a_history():
    def row(step, a, b):
        return Row(step, 1, np.array([a, b]), *[np.array([b, a])] * 4, 0.5)

    stack = History([row(1, 1.0, 2.0), row(2, 3.0, 5.0)], [np.array([1.0, 3.0]), np.array([2.0, 2.5])])
    mean = stack.mean()
    assert mean.rows == [Row(1, 1, *[1.5] * 5, 0.5), Row(2, 1, *[4.0] * 5, 0.5)]
    assert mean.losses == [2.0, 2.25]
    assert {type(value) for value in mean.rows[0]} == {int, float}
    assert mean.mean() == mean
