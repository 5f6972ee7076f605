"""The step and the loop: what they compute, read, keep and stop at."""

import itertools
import math

import numpy as np
import pytest
from unreadable import Unreadable, UnreadableDevice
from unreadable import xp as unreadable_xp

from xpnet import network, training
from xpnet.batches import draw_batches, epoch_ends
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.history import History
from xpnet.network import MLP
from xpnet.training import Hyper, evaluate, fit, make_step

NETS = [(), (3,), (2, 3)]
MLP_543 = MLP((5, 4, 3))


def random_params(rng, nets=(), mlp=MLP_543, std=0.5):
    return {name: std * rng.standard_normal((*nets, *shape)) for name, shape in mlp.shapes.items()}


def of_net(params, net):
    """The parameters of one network of a stack."""
    net = net if isinstance(net, tuple) else (net,)
    return {name: value[(*net, ...)] for name, value in params.items()}


def copies(params):
    return {name: np.array(value) for name, value in params.items()}


@pytest.fixture
def data():
    """30 training and 11 validation rows of 5 features in 3 classes, with something to learn."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((41, 5))
    y = np.argmax(X @ rng.standard_normal((5, 3)), axis=1)
    return X[:30], y[:30], X[30:], y[30:]


def train(device, params, data, dtype="float64", mlp=MLP_543, **changes):
    """Call `fit` with all arrays put on the device, and with defaults for a short run."""
    X, y, X_val, y_val = (None if a is None else a for a in data)
    seeds = changes.pop("seed", 1)
    rng = np.random.default_rng(seeds) if isinstance(seeds, int) else seeds
    settings = {
        "hyper": Hyper(0.3, 0.9, 0.01),
        "num_steps": 17,
        "batch_size": 6,
        "sampling": "replacement",
        "rng": lambda _epoch: rng,
    }
    return fit(
        mlp,
        {k: device.xp.asarray(device.put(p, dtype), copy=True) for k, p in params.items()},
        device.put(X, dtype),
        device.put(y),
        None if X_val is None else device.put(X_val, dtype),
        None if y_val is None else device.put(y_val),
        device=device,
        **settings | changes,
    )


def assert_same(actual, expected):
    """The same to the bit."""
    assert sorted(actual) == sorted(expected)
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


# The step


def test_one_step_by_hand(device, dtype, put_params, assert_close):
    """The network of ``test_network.test_one_evaluation_by_hand``, learning rate 1/2, reg 1/2.

    The batch is rows 2 and 0 of three. Weights keep 1 - 1/4 and lose half their gradient without
    the penalty's; biases lose half of theirs.
    """
    X = device.put(np.array([[2.0, 1.0], [100.0, 100.0], [1.0, 2.0]]), dtype)
    y = device.put(np.array([0, 1, 0]))
    params = {
        "W1": np.array([[0.0, -1.0, 1.0], [-1.0, 2.0, -1.0]]),
        "b1": np.array([3.0, -1.0, 0.0]),
        "W2": np.array([[1.0, -1.0], [0.0, 1.0], [-2.0, 2.0]]),
        "b2": np.array([2.0, 2.0]),
    }
    half = device.put(np.array(0.5), dtype)
    step = make_step(device.xp, MLP((2, 3, 2)), X, y, half)
    new, loss = step(put_params(params), device.put(np.array([2, 0])), half)
    assert_close(loss, math.log(2) + 4.75)
    expected = {
        "W1": [[0.75, -0.875, -0.25], [0.0, 1.25, -1.25]],  # 3/4 W1 - 1/2 dW1
        "b1": [3.5, -1.125, -0.5],
        "W2": [[1.125, -1.125], [0.25, 0.5], [-1.375, 1.375]],
        "b2": [2.25, 1.75],
    }
    assert_close(new, expected)


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_steps_of_a_stack_are_those_of_each_network_alone(
    device, dtype, put_params, assert_close, data, nets, shared
):
    X, y, _, _ = data
    rng = np.random.default_rng(1)
    params = random_params(rng, nets)
    rate, reg = rng.uniform(0.1, 0.5, nets), rng.uniform(0.01, 0.1, nets)
    index = rng.integers(30, size=(3, 6) if shared else (3, *nets, 6))

    step = make_step(device.xp, MLP_543, device.put(X, dtype), device.put(y), device.put(reg, dtype))
    p, rates, losses = put_params(params), device.put(rate, dtype), []
    for rows in index:
        p, loss = step(p, device.put(rows), rates)
        losses.append(loss)

    for net in np.ndindex(nets):
        alone = make_step(np, MLP_543, X, y, np.asarray(reg[net]))
        q = copies(of_net(params, net))
        for i, rows in enumerate(index):
            q, loss = alone(q, rows if shared else rows[net], np.asarray(rate[net]))
            assert_close(losses[i][(*net, ...)], loss)
        assert_close(of_net(p, net), q)


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_a_step_reads_nothing_back(data, nets, shared):
    """Its arrays raise at a float, a truth value or an index, and those it may not write at a write."""
    X, y, _, _ = data
    rng = np.random.default_rng(2)
    params, reg = random_params(rng, nets), rng.uniform(0.01, 0.1, nets)
    rate, index = rng.uniform(0.1, 0.5, nets), rng.integers(30, size=(6,) if shared else (*nets, 6))
    expected, expected_loss = make_step(np, MLP_543, X, y, reg)(copies(params), index, rate)

    for array in (X, y, reg, rate, index):
        array.flags.writeable = False
    step = make_step(unreadable_xp, MLP_543, Unreadable(X), Unreadable(y), Unreadable(reg))
    p = {name: Unreadable(value) for name, value in copies(params).items()}
    p, loss = step(p, Unreadable(index), Unreadable(rate))

    device = UnreadableDevice()
    np.testing.assert_array_equal(device.to_host(loss), expected_loss)
    assert_same({name: device.to_host(value) for name, value in p.items()}, expected)


@pytest.mark.parametrize(
    "read",
    [
        float,
        int,
        bool,
        complex,
        list,
        len,
        str,
        np.asarray,
        np.sum,
        range,
        lambda a: 1 if a > 0 else 0,
        lambda a: [1, 2, 3][a],
        lambda a: a[a],
        lambda a: a + np.ones(1),
        lambda a: unreadable_xp.add(a, np.ones(1)),
        lambda a: 1 in a,
    ],
)
def test_unreadable_arrays_cannot_be_read(read):
    """So the test above can fail."""
    with pytest.raises(TypeError):  # a ReadError, or NumPy's own
        read(Unreadable(np.array(1)))


def test_training_reads_once_an_epoch(data):
    device = UnreadableDevice()
    rng = np.random.default_rng(3)
    params = random_params(rng, (2,))
    result = train(device, params, data)
    assert len(result.history.rows) == 5  # epochs end at 1, 6, 11, 16, 17
    assert device.reads == 5
    expected = train(Device(), params, data)
    assert_same({k: device.to_host(p) for k, p in result.params.items()}, expected.params)


# The loop


@pytest.mark.parametrize("sampling", ["replacement", "shuffle"])
@pytest.mark.parametrize("nets", NETS)
def test_the_loop_is_its_steps(device, dtype, assert_close, data, nets, sampling):
    """Draws, rates, history: everything against a plain loop over steps in float64 NumPy."""
    X, y, X_val, y_val = data
    rng = np.random.default_rng(4)
    params = random_params(rng, nets)
    hyper = Hyper(rng.uniform(0.1, 0.5, nets), rng.uniform(0.8, 1, nets), rng.uniform(0, 0.1, nets))
    reg = np.asarray(hyper.reg)
    result = train(device, params, data, dtype, hyper=hyper, sampling=sampling, seed=5)

    step, p, source = make_step(np, MLP_543, X, y, reg), copies(params), np.random.default_rng(5)
    ends, losses = epoch_ends(17, 5, sampling), []
    assert len(result.history.rows) == len(ends)
    for epoch, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        rate = np.asarray(hyper.learning_rate) * np.asarray(hyper.learning_rate_decay) ** epoch
        for rows in draw_batches(source, 30, 6, end - start, sampling):
            p, loss = step(p, rows, rate)
            losses.append(loss)
        row = result.history.rows[epoch]
        assert (row.step, row.epoch) == (end, end // 5)
        scores, val_scores = (network.scores(np, MLP_543, p, x) for x in (X[rows], X_val))
        expected = {
            "learning_rate": rate,
            "train_loss": np.mean(losses[start:end], axis=0),
            "train_accuracy": np.mean(scores.argmax(axis=-1) == y[rows], axis=-1),
            "val_loss": network.loss_and_grads(np, MLP_543, p, X_val, y_val, reg)[0],
            "val_accuracy": np.mean(val_scores.argmax(axis=-1) == y_val, axis=-1),
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
    assert rows[-1].train_accuracy == 1.0


def test_without_validation_rows(device, dtype, data):
    X, y, _, _ = data
    params = random_params(np.random.default_rng(8), (2,))
    result, with_val = (train(device, params, d, dtype) for d in ((X, y, None, None), data))
    for row, expected in zip(result.history.rows, with_val.history.rows, strict=True):
        assert np.isnan(row.val_loss).all()
        assert np.isnan(row.val_accuracy).all()
        np.testing.assert_array_equal(row.train_loss, expected.train_loss)
        np.testing.assert_array_equal(row.train_accuracy, expected.train_accuracy)
    assert not result.diverged_at.any()
    for name, value in with_val.params.items():
        np.testing.assert_array_equal(*map(device.to_host, (result.params[name], value)))


def test_each_network_may_have_batches_of_its_own(device, dtype, data):
    params = random_params(np.random.default_rng(9), (3,))
    sources = [np.random.default_rng(seed) for seed in (1, 2, 3)]
    result = train(device, params, data, dtype, rng=lambda _epoch: sources)
    for net, seed in enumerate((1, 2, 3)):
        alone = train(device, of_net(params, net), data, dtype, seed=seed)
        for name, value in alone.params.items():
            expected = device.to_host(value)
            atol = {"float32": 1e-5, "float64": 1e-12}[dtype]
            np.testing.assert_allclose(device.to_host(result.params[name])[net], expected, atol=atol)


def test_a_stack_trains_as_each_network_alone(data):
    """On a shared batch by one wide product, so up to rounding."""
    params = random_params(np.random.default_rng(10), (2, 3))
    rates = np.random.default_rng(11).uniform(0.1, 0.5, (2, 3))
    together = train(Device(), params, data, hyper=Hyper(rates, 0.9, 0.01), num_steps=100)
    for net in np.ndindex(2, 3):
        hyper = Hyper(float(rates[net]), 0.9, 0.01)
        alone = train(Device(), of_net(params, net), data, hyper=hyper, num_steps=100)
        for name, value in alone.params.items():
            np.testing.assert_allclose(together.params[name][net], value, rtol=0, atol=1e-12)


def test_training_keeps_the_memory_of_its_parameters():
    """In place on NumPy."""
    rng = np.random.default_rng(12)
    params = network.stack(np, [random_params(rng) for _ in range(3)])
    given = dict(params)
    X, y = rng.standard_normal((30, 5)), rng.integers(3, size=30)
    settings = {"num_steps": 9, "batch_size": 6, "sampling": "shuffle", "rng": lambda _epoch: rng}
    result = fit(MLP_543, params, X, y, None, None, device=Device(), hyper=Hyper(), **settings)
    for name, array in given.items():
        assert np.shares_memory(result.params[name], array)


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
        Device(),
        random_params(np.random.default_rng(14)),
        data,
        on_epoch=lambda h: seen.append((len(h.rows), len(h.losses), h.rows[-1].step)),
    )
    assert seen == [(1, 1, 1), (2, 6, 6), (3, 11, 11), (4, 16, 16), (5, 17, 17)]


@pytest.mark.parametrize("split", [0, 1, 3, 5])
def test_a_run_in_two_parts_is_the_run(device, dtype, data, split):
    """With the epochs' sources made from their numbers, as a resumed run does."""
    settings = {"rng": lambda epoch: np.random.default_rng([8, epoch]), "num_steps": 17}
    params = random_params(np.random.default_rng(15))
    whole = train(device, params, data, dtype, **settings)
    first = train(device, params, data, dtype, **settings, epochs=range(split))
    middle = {name: device.to_host(value) for name, value in first.params.items()}
    second = train(device, middle, data, dtype, **settings, epochs=range(split, 5))

    for name, value in whole.params.items():
        np.testing.assert_array_equal(*map(device.to_host, (second.params[name], value)))
    rows = [*first.history.rows, *second.history.rows]
    assert [r._replace(seconds=0) for r in rows] == [r._replace(seconds=0) for r in whole.history.rows]
    np.testing.assert_array_equal([*first.history.losses, *second.history.losses], whole.history.losses)


# Stopping early


@pytest.mark.parametrize("steps", [0, 1, 2, 6, 9, 16])
def test_should_stop_ends_the_run_as_if_planned(device, dtype, data, steps):
    asked = itertools.count()
    params = random_params(np.random.default_rng(16))
    stopped = train(device, params, data, dtype, should_stop=lambda: next(asked) >= steps)
    assert stopped.interrupted
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
    result = train(Device(), random_params(np.random.default_rng(17)), data, should_stop=lambda: False)
    assert not result.interrupted
    assert len(result.history.losses) == 17


# Divergence

ONE_LAYER = MLP((1, 2))
TENFOLD = Hyper(11.0, 1.0, 1.0)  # weights times 1 - 11 in each step


def growing(nets=(), weight=1.2):
    """A network whose rows are all zeros: its weights grow by a factor a step, and that is all."""
    return {"W1": np.full((*nets, 1, 2), [weight, 0.0]), "b1": np.zeros((*nets, 2))}


@pytest.fixture
def zeros():
    return np.zeros((7, 1)), np.arange(7) % 2, np.zeros((2, 1)), np.arange(2)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
@pytest.mark.parametrize("num_steps", [20, 21, 40])
@pytest.mark.parametrize(("validated", "reg"), [(False, 1.0), (True, 1.0), (True, 3.0)])
def test_divergence_at_a_known_step(device, zeros, batch_size, num_steps, validated, reg):
    """(1.2 · 10¹⁹)² is a float32 and (1.2 · 10²⁰)² isn't: the loss of step 21 is the first to overflow.

    Epochs of 7, 3 and 1 steps end before, at and after it. With reg 3 the last finite loss is more than
    half the largest float.
    """
    result = train(
        device,
        growing(),
        zeros if validated else (*zeros[:2], None, None),
        "float32",
        ONE_LAYER,
        hyper=Hyper(11.0 / reg, 1.0, reg),
        num_steps=num_steps,
        batch_size=batch_size,
    )
    assert result.diverged_at == 21
    assert not result.interrupted
    W1 = device.to_host(result.params["W1"])
    np.testing.assert_allclose(W1, [[-1.2e19, 0.0]], rtol=1e-5)
    assert np.isfinite(result.history.losses[:20]).all()

    # The evaluation at the end of an epoch tells, and on the host the loss of each step, too.
    end = next(e for e in epoch_ends(num_steps, 7 // batch_size, "replacement") if e >= 20)
    steps = min(end, 21) if device.is_host else end
    assert len(result.history.losses) == result.history.rows[-1].step == steps


def test_a_validation_loss_that_is_not_finite_is_divergence(device, zeros):
    """Rows of 10²⁰ times weights of 1.2 · 10¹⁹ is no float32; the training loss would last one step more."""
    X, y, X_val, y_val = zeros
    data = X, y, X_val + 1e20, y_val
    settings = {"hyper": TENFOLD, "num_steps": 40, "batch_size": 7}
    result = train(device, growing(), data, "float32", ONE_LAYER, **settings)
    assert result.diverged_at == 20
    np.testing.assert_allclose(device.to_host(result.params["W1"]), [[1.2e18, 0.0]], rtol=1e-5)
    assert np.isfinite(result.history.losses).all()


def test_divergence_in_float64_comes_later(zeros):
    """(1.2 · 10¹⁵⁴)² is a float64 and (1.2 · 10¹⁵⁵)² isn't."""
    settings = {"hyper": TENFOLD, "num_steps": 200, "batch_size": 1}
    result = train(Device(), growing(), zeros, "float64", ONE_LAYER, **settings)
    assert result.diverged_at == 156
    np.testing.assert_allclose(result.params["W1"], [[1.2e154, 0.0]], rtol=1e-12)


def test_a_loss_that_is_not_finite_from_the_start(device, zeros):
    params = growing(weight=np.nan)
    result = train(device, params, zeros, "float32", ONE_LAYER, batch_size=4)
    assert result.diverged_at == 1
    assert np.isnan(device.to_host(result.params["W1"])[0, 0])  # there is nothing better
    assert len(result.history.losses) == 1


def by_hand(device, params, data, dtype, hyper, num_steps, seed):
    """Step by step until the loss is not finite: that step, and the parameters of the one before."""
    xp, (X, y) = device.xp, data[:2]
    reg, rate = (device.put(np.asarray(v), dtype) for v in (hyper.reg, hyper.learning_rate))
    step = make_step(xp, MLP_543, device.put(X, dtype), device.put(y), reg)
    rows = draw_batches(np.random.default_rng(seed), len(X), 6, num_steps, "replacement")
    p = {name: xp.asarray(device.put(value, dtype), copy=True) for name, value in params.items()}
    kept = None
    for i in range(num_steps):
        now = {name: device.to_host(value).copy() for name, value in p.items()}
        p, loss = step(p, device.put(rows[i]), rate)
        if not np.isfinite(device.to_host(loss)):
            return i + 1, kept
        kept = now
    raise AssertionError("the loss stayed finite")


WILD = Hyper(8e2, 1.0, 1e-2)


def test_the_last_finite_parameters_are_those_of_a_loop_that_stops_there(device, dtype, data):
    """A network that blows up in the middle of its epoch, on batches it has learned from."""
    params = random_params(np.random.default_rng(18))
    settings = {"hyper": WILD, "num_steps": 120, "seed": 20}
    at, kept = by_hand(device, params, data, dtype, **settings)
    ends = epoch_ends(120, 5, "replacement")
    assert not {at - 1, at} & set(ends)  # in the middle: neither found nor begun at an epoch's end
    result = train(device, params, data, dtype, **settings)
    assert result.diverged_at == at
    assert_same({name: device.to_host(p) for name, p in result.params.items()}, kept)
    for value in result.params.values():
        assert np.isfinite(device.to_host(value)).all()


def test_what_diverges_leaves_the_other_networks_alone(device, dtype, data):
    """To the bit: they are as in the same stack with a tame network in its place."""
    params = random_params(np.random.default_rng(21), (3,))
    tame = np.array([0.3, 0.3, 0.1])
    wild = np.where([False, True, False], 8e2, tame)
    settings = {"num_steps": 120, "seed": 22}
    calm, mixed = (
        train(device, params, data, dtype, hyper=Hyper(rate, 1.0, 1e-2), **settings) for rate in (tame, wild)
    )
    assert not calm.diverged_at.any()
    assert (mixed.diverged_at > 0).tolist() == [False, True, False]
    assert len(mixed.history.losses) == len(calm.history.losses) == 120

    for name, value in mixed.params.items():
        after = device.to_host(value)
        expected = device.to_host(calm.params[name])
        np.testing.assert_array_equal(after[[0, 2]], expected[[0, 2]])
        assert np.isfinite(after[1]).all()
    for a, b in zip(mixed.history.rows, calm.history.rows, strict=True):
        np.testing.assert_array_equal(a.val_loss[[0, 2]], b.val_loss[[0, 2]])
        np.testing.assert_array_equal(a.train_loss[[0, 2]], b.train_loss[[0, 2]])


def test_networks_with_batches_of_their_own_are_to_the_bit_as_alone_when_one_diverges(data):
    """Such a stack computes by the very products of each network, so nothing may differ."""
    params = random_params(np.random.default_rng(23), (3,))
    rates = [0.3, 8e2, 0.1]
    sources = [np.random.default_rng(seed) for seed in (1, 2, 3)]
    settings = {"num_steps": 120, "dtype": "float64"}
    together = train(
        Device(), params, data, hyper=Hyper(rates, 1.0, 1e-2), rng=lambda _epoch: sources, **settings
    )
    for net, rate in enumerate(rates):
        hyper = Hyper(rate, 1.0, 1e-2)
        alone = train(Device(), of_net(params, net), data, hyper=hyper, seed=net + 1, **settings)
        assert together.diverged_at[net] == alone.diverged_at
        assert (alone.diverged_at > 0) == (net == 1)
        assert_same(of_net(together.params, net), alone.params)


def test_networks_that_diverge_one_after_the_other(device, zeros):
    """In one epoch and in several: each keeps its own last finite parameters."""
    factors = np.array([[-10.0, -100.0, -30.0], [-1e3, 0.5, -11.0]])  # of the weights in each step
    params = growing((2, 3), weight=1.0)
    hyper = Hyper(1.0 - factors, 1.0, 1.0)
    settings = {"hyper": hyper, "num_steps": 41, "batch_size": 1}
    result = train(device, params, zeros, "float32", ONE_LAYER, **settings)
    # The last power of each factor whose square is a float32: below 3.4e38.
    powers = np.array([[19, 9, 13], [6, 41, 18]])
    diverged = np.where(powers < 41, powers + 2, 0)
    np.testing.assert_array_equal(result.diverged_at, diverged)
    W1 = device.to_host(result.params["W1"])
    np.testing.assert_allclose(W1[..., 0, 0], factors**powers, rtol=1e-4)
    assert len(result.history.losses) == 41  # one goes on to the end


# Evaluation


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("rows_at_once", [1, 7, 30, 1000])
def test_evaluation_in_parts_is_the_whole(
    device, dtype, put_params, assert_close, monkeypatch, nets, shared, rows_at_once
):
    monkeypatch.setattr(training, "EVALUATION_ROWS", rows_at_once)
    rng = np.random.default_rng(24)
    params, reg = random_params(rng, nets), rng.uniform(0.1, 1, nets)
    X = rng.standard_normal((30, 5) if shared else (*nets, 30, 5))
    y = rng.integers(3, size=(30,) if shared else (*nets, 30))
    loss, accuracy = evaluate(
        device.xp,
        MLP_543,
        put_params(params),
        device.put(X, dtype),
        device.put(y),
        device.put(reg, dtype),
    )
    assert_close(loss, network.loss_and_grads(np, MLP_543, params, X, y, reg)[0])
    predicted = network.predict(np, MLP_543, params, X)
    assert_close(accuracy, np.mean(predicted == y, axis=-1))


def test_evaluation_without_a_penalty(device, dtype, put_params, assert_close):
    rng = np.random.default_rng(25)
    params, X, y = random_params(rng), rng.standard_normal((9, 5)), rng.integers(3, size=9)
    loss, _ = evaluate(device.xp, MLP_543, put_params(params), device.put(X, dtype), device.put(y))
    assert_close(loss, network.loss(np, MLP_543, params, X, y)[0])


@pytest.mark.parametrize("nets", [(6,), (2, 3)])
def test_one_source_of_batches_for_each_network(data, nets):
    """Six networks draw from their own source each, whichever way they are laid out."""
    one = random_params(np.random.default_rng(21))
    stacked = {name: np.stack([value] * 6).reshape(*nets, *value.shape) for name, value in one.items()}
    result = train(
        Device(), stacked, data, rng=lambda epoch: [np.random.default_rng([k, epoch]) for k in range(6)]
    )
    for k, place in enumerate(np.ndindex(*nets)):
        alone = train(Device(), one, data, rng=lambda epoch, k=k: np.random.default_rng([k, epoch]))
        for name, value in alone.params.items():
            np.testing.assert_allclose(result.params[name][place], value, rtol=1e-12, atol=1e-14)


def test_too_few_sources_of_batches(data):
    stacked = {n: np.stack([v] * 2) for n, v in random_params(np.random.default_rng(22)).items()}
    with pytest.raises(InputError, match="1 sources of batches for networks"):
        train(Device(), stacked, data, rng=lambda _: [np.random.default_rng(0)])
