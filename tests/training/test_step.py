"""One training step: what it computes, and that it reads nothing back."""

import dataclasses
import math

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
    copies,
    draw_step,
    image_feed,
    learnable,
    of_net,
    on_host,
    own_sources,
    random_params,
    sources,
)
from hypothesis import given
from hypothesis import strategies as st
from unreadable import Unreadable, UnreadableDevice
from unreadable import xp as unreadable_xp

from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.nn import backprop, norms, penalty
from xpnet.nn.mlp import MLP
from xpnet.nn.solvers import SOLVERS
from xpnet.training.regime import Hyper, Regime
from xpnet.training.step import initial_state, make_step, trained


def put_draws(device, dtype, index, rate, count=1):
    return {
        "index": device.put(np.asarray(index)),
        "rate": device.put(np.asarray(rate), dtype),
        "count": device.put(np.asarray(count), dtype),
    }


def feed_of(device, dtype, X, y):
    return Feed(device.put(np.asarray(X), dtype), device.put(np.asarray(y)))


# What it computes


def test_one_step_by_hand(device, dtype, assert_close):
    """The network of ``test_backprop.test_one_evaluation_by_hand``, learning rate 1/2, reg 1/2.

    The batch is rows 2 and 0 of three. Weights keep 1 - 1/4 and lose half their gradient without
    the penalty's; biases lose half of theirs.
    """
    feed = feed_of(device, dtype, [[2.0, 1.0], [100.0, 100.0], [1.0, 2.0]], [0, 1, 0])
    params = {
        "W1": np.array([[0.0, -1.0, 1.0], [-1.0, 2.0, -1.0]]),
        "b1": np.array([3.0, -1.0, 0.0]),
        "W2": np.array([[1.0, -1.0], [0.0, 1.0], [-2.0, 2.0]]),
        "b2": np.array([2.0, 2.0]),
    }
    hyper = Hyper(reg=0.5)
    state = begin(device, params, dtype, REGIME, hyper)
    step = make_step(device, MLP((2, 3, 2)), feed, REGIME, hyper, state["params"])
    state, loss = step(state, put_draws(device, dtype, [2, 0], 0.5))
    assert_close(loss, math.log(2) + 4.75)
    expected = {
        "W1": [[0.75, -0.875, -0.25], [0.0, 1.25, -1.25]],  # 3/4 W1 - 1/2 dW1
        "b1": [3.5, -1.125, -0.5],
        "W2": [[1.125, -1.125], [0.25, 0.5], [-1.375, 1.375]],
        "b2": [2.25, 1.75],
    }
    assert_close(state["params"], expected)
    assert state.keys() == {"params"}


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_steps_of_a_stack_are_those_of_each_network_alone(device, dtype, assert_close, nets, shared):
    X, y, _, _ = learnable()
    rng = np.random.default_rng(1)
    params = random_params(rng, nets)
    rate, reg = rng.uniform(0.1, 0.5, nets), rng.uniform(0.01, 0.1, nets)
    index = rng.integers(30, size=(3, 6) if shared else (3, *nets, 6))

    state = begin(device, params, dtype, REGIME, Hyper(reg=reg))
    step = make_step(device, MLP_543, feed_of(device, dtype, X, y), REGIME, Hyper(reg=reg), state["params"])
    losses = []
    for rows in index:
        state, loss = step(state, put_draws(device, dtype, rows, rate))
        losses.append(loss)

    for net in np.ndindex(nets):
        hyper = Hyper(reg=reg[net])
        alone = begin(HERE, of_net(params, net), "float64", REGIME, hyper)
        step = make_step(HERE, MLP_543, Feed(X, y), REGIME, hyper, alone["params"])
        for i, rows in enumerate(index):
            draws = put_draws(HERE, "float64", rows if shared else rows[net], rate[net])
            alone, loss = step(alone, draws)
            assert_close(losses[i][(*net, ...)], loss)
        assert_close(of_net(state["params"], net), alone["params"])


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_all_networks_have_alike_is_to_the_bit_what_each_has(solver):
    """One number stands for the numbers of all, where they are the same."""
    X, y, _, _ = learnable()
    regime = dataclasses.replace(REGIME, solver=solver)
    stack = random_params(np.random.default_rng(2), (2,))

    def trained_by(params, rate, **given):
        hyper = Hyper(**given)
        state = begin(HERE, params, "float32", regime, hyper)
        step = make_step(HERE, MLP_543, Feed(X.astype("float32"), y), regime, hyper, state["params"])
        for i in (1, 2, 3):
            state, _ = step(state, put_draws(HERE, "float32", range(6), rate, i))
        return state

    own = {"momentum": 0.9, "beta2": 0.99, "epsilon": 1e-6}
    alone = trained_by(of_net(stack, (0,)), 0.1, **own)
    alike = trained_by(stack, [0.1, 0.1], **{name: np.full(2, value) for name, value in own.items()})
    apart = trained_by(stack, [0.1, 0.1], **{name: np.array([v, v / 2]) for name, v in own.items()})
    for kind, of in alone.items():
        for name, value in of.items():
            assert np.array_equal(alike[kind][name][0], value)
            assert np.array_equal(apart[kind][name][0], value)


def one_step(hyper, regime=REGIME, mlp=MLP_543, params=None, feed=None, number=4):
    """Take one step in float64; return the parameters before, the state after, the loss and the draws."""
    X, y, _, _ = learnable()
    feed = feed or Feed(X, y)
    params = params or random_params(np.random.default_rng(2), mlp=mlp)
    state = begin(HERE, params, "float64", regime, hyper)
    draws = draw_step(HERE, feed, regime, hyper, state["params"], sources(3), number)
    state, loss = make_step(HERE, mlp, feed, regime, hyper, state["params"])(state, draws)
    return params, state, loss, draws


def gradient(params, draws, mlp=MLP_543):
    X, y, _, _ = learnable()
    rows = draws["index"]
    return backprop.loss_and_grads(np, mlp, params, X[rows], y[rows])


def test_clipping_is_of_the_gradient_and_not_of_the_step():
    """Sgd's gradients come multiplied by the rate: the limit has to be, too."""
    for limit in (1e-3, 1e3):
        hyper = Hyper(0.5, clip_norm=limit)
        before, after, _, draws = one_step(hyper)
        _, grads = gradient(before, draws)
        norm = math.sqrt(sum(np.sum(g * g) for g in grads.values()))
        for name, g in grads.items():
            expected = before[name] - draws["rate"] * g * min(1.0, limit / norm)
            np.testing.assert_allclose(after["params"][name], expected, rtol=1e-12, err_msg=name)


def test_labels_are_smoothed_and_mixed():
    """The loss is linear in the targets: by hand from that of each class."""
    hyper, regime = Hyper(label_smoothing=0.3), dataclasses.replace(REGIME, mixup=0.7)
    before, _, loss, draws = one_step(hyper, regime)
    X, y, _, _ = learnable()
    rows, share = draws["index"], float(draws["mix"])
    assert 0 < share < 1
    Y = np.eye(3)[y[rows]] * 0.7 + 0.1
    x, Y = (share * a + (1 - share) * a[::-1] for a in (X[rows], Y))
    scores = backprop.scores(np, MLP_543, before, x)
    log_P = scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))
    np.testing.assert_allclose(loss, -np.sum(Y * log_P) / 6, rtol=1e-12)


def test_dropout_is_drawn_anew_in_each_step():
    hyper = Hyper(dropout=0.5, input_dropout=0.3)
    losses = {float(one_step(hyper, number=number)[2]) for number in range(5)}
    assert len(losses) == 5
    assert float(one_step(hyper)[2]) == float(one_step(hyper)[2])


def test_a_rate_of_dropout_that_is_0_for_all_leaves_no_key():
    for hyper, used in ((Hyper(), False), (Hyper(dropout=0.1), True), (Hyper(input_dropout=0.1), True)):
        assert ("dropout" in one_step(hyper)[3]) == used


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_running_statistics_go_a_tenth_of_the_way_to_those_of_the_batch(solver):
    """Whatever the learning rate, and neither the solver nor clipping has a say."""
    mlp = MLP((5, 4, 3), norm="batch")
    regime = dataclasses.replace(REGIME, solver=solver)
    before, after, _, draws = one_step(Hyper(0.5, clip_norm=1e-6), regime, mlp)
    X, _, _, _ = learnable()
    h = X[draws["index"]] @ before["W1"] + before["b1"]
    for name, batch in (("m1", h.mean(axis=0)), ("v1", h.var(axis=0, ddof=1))):
        np.testing.assert_allclose(after["params"][name], 0.9 * before[name] + 0.1 * batch, rtol=1e-12)
    assert norms.STATISTICS_RATE == 0.1
    for kind in after.keys() - {"params"}:  # what the solver keeps of them is as it began
        for name in mlp.statistics:
            np.testing.assert_array_equal(after[kind][name], 0.0)


def test_the_moving_average_by_hand():
    """Steps 1, 2, … move it by at least 9/10, 9/11, …; later by 1 - ema."""
    hyper, params = Hyper(0.5, ema=0.6), random_params(np.random.default_rng(4))
    X, y, _, _ = learnable()
    state = begin(HERE, params, "float64", REGIME, hyper)
    step = make_step(HERE, MLP_543, Feed(X, y), REGIME, hyper, state["params"])
    average = copies(params)
    assert_same(trained(state), params)
    for count in range(1, 30):
        state, _ = step(state, put_draws(HERE, "float64", range(count % 20, count % 20 + 6), 0.5, count))
        decay = min(0.6, count / (count + 9))
        for name, value in average.items():
            value *= decay
            value += (1 - decay) * state["params"][name]
        for name, value in average.items():
            np.testing.assert_allclose(trained(state)[name], value, rtol=1e-12)
    assert decay == 0.6


def test_without_an_average_the_parameters_are_evaluated():
    state = begin(HERE, random_params(np.random.default_rng(5)), "float64", REGIME, Hyper())
    assert trained(state) is state["params"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_state_of_each_solver(solver):
    """What is kept beside the parameters starts at 0, but for the average, which starts where they do."""
    params = random_params(np.random.default_rng(6))
    regime = dataclasses.replace(REGIME, solver=solver)
    state = begin(HERE, params, "float64", regime, Hyper(ema=0.9))
    kinds = SOLVERS[solver].init(np, params)
    assert state.keys() == {"params", "average", *kinds}
    for kind, arrays in state.items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(value, params[name] if kind in ("params", "average") else 0.0)
    assert not np.shares_memory(state["average"]["W1"], state["params"]["W1"])


@given(
    solver=st.sampled_from(sorted(SOLVERS)),
    reg=st.sampled_from([0.0, 0.1]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    clip_norm=st.sampled_from([float("inf"), 0.2]),
    norm=st.sampled_from(["none", "batch", "layer"]),
    loss=st.sampled_from(["cross-entropy", "hinge"]),
)
def test_a_step_is_the_loss_its_gradient_and_the_solver(solver, reg, weight_decay, clip_norm, norm, loss):
    """Whichever way the step takes to it: factors folded into scores, decay into one pass."""
    mlp = MLP((5, 4, 3), "tanh", norm)
    hyper = Hyper(0.05, reg=reg, weight_decay=weight_decay, clip_norm=clip_norm)
    regime = dataclasses.replace(REGIME, solver=solver, loss=loss)
    before, after, value, draws = one_step(hyper, regime, mlp)
    X, y, _, _ = learnable()
    rows = draws["index"]
    expected, pullback = backprop.loss(np, mlp, before, X[rows], y[rows], backprop.Training(), loss)
    np.testing.assert_allclose(value, expected + penalty.penalty(np, mlp, before, reg), rtol=1e-12)
    grads = {name: g for name, g in pullback().items() if name not in mlp.statistics}
    norm_of_all = math.sqrt(sum(np.sum(g * g) for g in grads.values()))
    rate, clipped = float(draws["rate"]), min(1.0, clip_norm / norm_of_all)
    if solver in ("sgd", "momentum", "nesterov"):  # the first step of which is that of sgd, times 1 or 1.9
        for name, g in grads.items():
            is_weight = name in mlp.weights
            g = clipped * g + (reg * before[name] if is_weight else 0.0)
            kept = before[name] * (1 - rate * weight_decay) if is_weight else before[name]
            expected = kept - rate * g * (1.9 if solver == "nesterov" else 1.0)
            np.testing.assert_allclose(after["params"][name], expected, rtol=1e-9, atol=1e-12, err_msg=name)
    else:  # test_optimizers.py says by how much
        assert any(not np.array_equal(after["params"][name], before[name]) for name in grads)


# Products that are subtracted in place

LARGE = MLP((300, 200, 3))
"""Of which ``W1`` is large enough, and ``W2`` isn't."""


class Plain(Device):
    """NumPy without a BLAS of its own to call."""

    def find_subtract(self):
        return None


class Counting(Device):
    """NumPy that counts the products it subtracts in place."""

    count = 0

    def find_subtract(self):
        subtract = super().find_subtract()
        if subtract is None:
            pytest.skip("not with this BLAS")

        def counting(*arrays):
            done = subtract(*arrays)
            self.count += done
            return done

        return counting


def large_steps(device, params, rows, rate, hyper, dtype="float64", regime=REGIME):
    """Take a step with each of ``rows`` on `LARGE`; return the state and the losses."""
    rng = np.random.default_rng(20)
    feed = feed_of(device, dtype, rng.standard_normal((30, 300)), rng.integers(0, 3, 30))
    state, losses = begin(device, params, dtype, regime, hyper), []
    step = make_step(device, LARGE, feed, regime, hyper, state["params"])
    with device.active():
        for count, index in enumerate(rows, 1):
            state, loss = step(state, put_draws(device, dtype, index, rate, np.full(np.shape(rate), count)))
            losses.append(loss)
    return state, np.array(losses)


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    "decays", [{}, {"reg": 0.2}, {"weight_decay": 0.1}, {"reg": 0.2, "weight_decay": 0.1}]
)
@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_subtracting_in_place_is_the_same(nets, shared, decays, ema):
    rng = np.random.default_rng(21)
    params, rate = random_params(rng, nets, LARGE, 0.1), rng.uniform(0.01, 0.1, nets)
    rows, hyper = rng.integers(30, size=(3, 8) if shared else (3, *nets, 8)), Hyper(ema=ema, **decays)
    here = Counting()
    state, losses = large_steps(here, params, rows, rate, hyper)
    expected, expected_losses = large_steps(Plain(), params, rows, rate, hyper)
    assert here.count == 3
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-12)
    assert state.keys() == expected.keys()
    for kind, arrays in expected.items():
        for name, value in arrays.items():
            np.testing.assert_allclose(state[kind][name], value, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype_of_all", ["float32", "float64"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_large_network_of_a_stack_has_the_bits_of_one_alone(dtype_of_all, shared):
    """One of which keeps nothing of its weights: the decay is 1 in all."""
    rng = np.random.default_rng(22)
    params, rate, reg = (
        random_params(rng, (3,), LARGE, 0.1),
        np.array([0.05, 1.0, 0.02]),
        np.array([0.1, 1, 2]),
    )
    rows = rng.integers(30, size=(3, 8) if shared else (3, 3, 8))
    state, _ = large_steps(HERE, params, rows, rate, Hyper(reg=reg), dtype_of_all)
    for net in range(3):
        own = rows if shared else rows[:, net]
        hyper = Hyper(reg=reg[net])
        alone, _ = large_steps(HERE, of_net(params, net), own, rate[net], hyper, dtype_of_all)
        assert_same(of_net(state["params"], net), alone["params"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("reg", [0.0, 1.0, 0.5])
def test_a_large_network_that_is_not_finite_stays_so(bad, reg):
    """Also one of which nothing is kept, with a rate of 1: 0 times infinity is no 0."""
    params = random_params(np.random.default_rng(23), (), LARGE, 0.1)
    params["W1"][7, 9] = bad
    rows = np.arange(16).reshape(2, 8)
    results = [large_steps(device, params, rows, 1.0, Hyper(reg=reg)) for device in (HERE, Plain())]
    for state, losses in results:
        assert not np.isfinite(state["params"]["W1"][7, 9])
        assert not np.isfinite(losses).any()
    finite = [np.isfinite(state["params"]["W1"]) for state, _ in results]
    np.testing.assert_array_equal(*finite)


@pytest.mark.parametrize(
    ("solver", "hyper", "mlp"),
    [
        ("momentum", Hyper(momentum=0.5), LARGE),
        ("adam", Hyper(), LARGE),
        ("sgd", Hyper(clip_norm=1.0), LARGE),
        ("sgd", Hyper(), MLP((200, 200, 3))),
    ],
)
def test_gradients_of_which_more_is_made_and_small_ones_are_multiplied_out(solver, hyper, mlp):
    rng, here = np.random.default_rng(24), Counting()
    regime = dataclasses.replace(REGIME, solver=solver)
    feed = feed_of(here, "float64", rng.standard_normal((30, mlp.sizes[0])), rng.integers(0, 3, 30))
    state = begin(here, random_params(rng, mlp=mlp), "float64", regime, hyper)
    step = make_step(here, mlp, feed, regime, hyper, state["params"])
    step(state, put_draws(here, "float64", np.arange(6), 0.1))
    assert here.count == 0


def test_parameters_that_can_only_be_read_are_not_written_to():
    """BLAS would; NumPy says so."""
    params = random_params(np.random.default_rng(25), (), LARGE)
    feed = feed_of(HERE, "float64", np.ones((6, 300)), np.zeros(6, int))
    step = make_step(HERE, LARGE, feed, REGIME, Hyper(), params)
    before = copies(params)
    params["W1"].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        step({"params": params}, put_draws(HERE, "float64", np.arange(6), 0.1))
    np.testing.assert_array_equal(params["W1"], before["W1"])


# It reads nothing back


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.usefixtures("by_definition")
def test_a_step_reads_nothing_back(nets, shared, solver):
    """With everything on: arrays raise at a float, a truth value or an index; and draws stay as they are."""
    mlp, hyper = EVERYTHING["mlp"], EVERYTHING["hyper"]
    regime = dataclasses.replace(EVERYTHING["regime"], solver=solver)
    params = random_params(np.random.default_rng(7), nets, mlp)
    source = sources(8) if shared else own_sources(*range(math.prod(nets))) if nets else sources(8)
    results = []
    for device in (HERE, UnreadableDevice()):
        feed = image_feed(device, "float64", EVERYTHING["augmentation"])
        state = begin(device, params, "float64", regime, hyper)
        draws = draw_step(device, feed, regime, hyper, state["params"], source)
        assert draws.keys() == {"index", "rate", "count", "augment", "dropout", "mix"}
        before = {name: np.array(device.to_host(value)) for name, value in draws.items()}
        step = make_step(device, mlp, feed, regime, hyper, state["params"])
        reads = getattr(device, "reads", 0)
        for _ in range(2):
            state, loss = step(state, draws)
        assert getattr(device, "reads", 0) == reads
        assert_same({name: device.to_host(value) for name, value in draws.items()}, before)
        results.append((device.to_host(loss), {k: on_host(device, v) for k, v in state.items()}))
    np.testing.assert_array_equal(results[1][0], results[0][0])
    assert results[1][1].keys() == results[0][1].keys() >= {"params", "average"}
    for kind, arrays in results[0][1].items():
        assert_same(results[1][1][kind], arrays)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_step_with_everything_is_the_same_on_every_device(device, dtype, solver):
    mlp, hyper = EVERYTHING["mlp"], EVERYTHING["hyper"]
    if solver not in ("sgd", "momentum", "nesterov"):
        # Batch normalisation takes a bias before it away again: its gradient is nothing but rounding errors,
        # of which the other solvers make full steps.
        mlp = dataclasses.replace(mlp, norm="layer")
    regime = dataclasses.replace(EVERYTHING["regime"], solver=solver)
    params, source = random_params(np.random.default_rng(9), (2,), mlp), own_sources(1, 2)
    results = []
    for place in (device, HERE):
        with place.active():
            feed = image_feed(place, dtype, EVERYTHING["augmentation"])
            state = begin(place, params, dtype, regime, hyper)
            draws = draw_step(place, feed, regime, hyper, state["params"], source)
            state, loss = make_step(place, mlp, feed, regime, hyper, state["params"])(state, draws)
            results.append((place.to_host(loss), on_host(place, trained(state))))
    rtol = {"float32": 1e-4, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=rtol)
    assert results[0][0].dtype == dtype
    for name, value in results[1][1].items():
        np.testing.assert_allclose(results[0][1][name], value, rtol=0, atol=10 * rtol, err_msg=name)


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
    """So the tests above can fail."""
    with pytest.raises(TypeError):  # a ReadError, or NumPy's own
        read(Unreadable(np.array(1)))


def test_initial_state_is_of_the_parameters_given():
    """They are consumed, as a step consumes its state; `fit` makes no copy of its own."""
    params = random_params(np.random.default_rng(13))
    assert initial_state(Device(), params, REGIME, Hyper())["params"] is params


# Weights of rows


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_step_on_a_row_of_weight_n_is_that_on_n_rows(device, dtype, assert_close, nets, solver):
    """By batch, ``reg`` is divided by their sum: 6 here, and 1/6 of it does the same to 6 rows."""
    rng = np.random.default_rng(14)
    X, y, weight = rng.standard_normal((4, 5)), np.array([0, 1, 2, 1]), np.array([2, 0, 1, 3])
    params, regime = random_params(rng, nets), Regime(5, 6, solver=solver)
    rate = np.full(nets, 0.1)

    weighted, repeated = Hyper(reg=0.6), Hyper(reg=0.1)
    feed = Feed(device.put(X, dtype), device.put(y), weight=device.put(weight, dtype))
    state = begin(device, params, dtype, regime, weighted)
    by_batch = dataclasses.replace(regime, reg_per_row=True, weighs_by_batch=True)
    step = make_step(device, MLP_543, feed, by_batch, weighted, state["params"])
    state, loss = step(state, put_draws(device, dtype, np.arange(4), rate))

    begun = begin(device, params, dtype, regime, repeated)
    plain = make_step(device, MLP_543, feed_of(device, dtype, X, y), regime, repeated, begun["params"])
    expected, expected_loss = plain(begun, put_draws(device, dtype, np.arange(4).repeat(weight), rate))
    assert_close(loss, device.to_host(expected_loss))
    assert_close(state["params"], on_host(device, expected["params"]))


def test_a_batch_without_weight_moves_nothing(device, dtype, assert_close):
    X, y = learnable()[:2]
    weight = np.concatenate([np.zeros(6), np.ones(24)])
    hyper, params = Hyper(reg=0.5), random_params(np.random.default_rng(15))
    feed = Feed(device.put(X, dtype), device.put(y), weight=device.put(weight, dtype))
    regime = dataclasses.replace(REGIME, reg_per_row=True, weighs_by_batch=True)
    state = begin(device, params, dtype, regime, hyper)
    step = make_step(device, MLP_543, feed, regime, hyper, state["params"])
    state, loss = step(state, put_draws(device, dtype, np.arange(6), 0.5))
    assert_close(loss, 0.0)
    assert_close(state["params"], params)


@pytest.mark.parametrize("reg_per_row", [False, True])
@pytest.mark.parametrize("nets", NETS)
def test_a_row_moves_as_much_as_it_weighs(device, dtype, nets, reg_per_row):
    """Alone in its batch, too; and no weight changes what the penalty does."""
    rng = np.random.default_rng(17)
    X, y, weight = rng.standard_normal((3, 5)), np.array([0, 1, 2]), np.array([3.0, 1.0, 0.0])
    params, regime = random_params(rng, nets), Regime(5, 1, reg_per_row=reg_per_row)
    feed = Feed(device.put(X, dtype), device.put(y), weight=device.put(weight, dtype))

    def moved(feed, row, hyper):
        state = begin(device, params, dtype, regime, hyper)
        step = make_step(device, MLP_543, feed, regime, hyper, state["params"])
        state, _ = step(state, put_draws(device, dtype, [row], np.full(nets, 0.1)))
        return on_host(device, state["params"])

    def check(found, expected):
        for name, value in expected.items():
            close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
            np.testing.assert_allclose(found[name], value, **close)

    for row, times in enumerate(weight):
        alone = moved(feed_of(device, dtype, X, y), row, Hyper())
        penalised = moved(feed_of(device, dtype, X, y), row, Hyper(reg=0.5))
        expected = {name: params[name] + times * (alone[name] - params[name]) for name in params}
        check(moved(feed, row, Hyper()), expected)
        expected = {name: expected[name] + penalised[name] - alone[name] for name in params}
        check(moved(feed, row, Hyper(reg=0.5)), expected)


def test_mixup_refuses_weights():
    X, y = learnable()[:2]
    feed = Feed(X, y, weight=np.ones(30))
    with pytest.raises(InputError, match="mixup cannot be combined with weights of rows: give one of them"):
        make_step(
            HERE, MLP_543, feed, Regime(5, 6, mixup=0.4), Hyper(), random_params(np.random.default_rng(16))
        )


def test_an_epsilon_of_the_step_takes_the_place_of_the_one_of_all():
    X, y = learnable()[:2]
    regime, after = Regime(5, 6, solver="adam"), []
    for epsilon, draws in ((0.5, {}), (1e-8, {"epsilon": np.asarray(0.5)})):
        hyper = Hyper(epsilon=epsilon)
        state = begin(HERE, random_params(np.random.default_rng(17)), "float64", regime, hyper)
        step = make_step(HERE, MLP_543, feed_of(HERE, "float64", X, y), regime, hyper, state["params"])
        after.append(step(state, put_draws(HERE, "float64", np.arange(6), 0.1) | draws)[0]["params"])
    assert_same(*after)
