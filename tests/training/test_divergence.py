"""Networks that diverge: when that is so, what is kept of them, and the others undisturbed."""

import dataclasses

import numpy as np
import pytest
from fits import (
    HERE,
    MLP_543,
    REGIME,
    assert_same,
    begin,
    learnable,
    of_net,
    on_host,
    own_sources,
    random_params,
    sources,
    train,
)

from xpnet.data.batches import draw_batches, epoch_ends
from xpnet.data.feed import Feed
from xpnet.nn import backprop
from xpnet.nn.losses import LOSSES
from xpnet.nn.mlp import MLP
from xpnet.nn.solvers import SOLVERS
from xpnet.training import divergence
from xpnet.training.regime import Hyper
from xpnet.training.step import make_advance, make_step


@pytest.fixture
def data():
    return learnable()


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
        explosion=np.inf,
        num_steps=num_steps,
        batch_size=batch_size,
    )
    assert result.diverged_at == 21
    assert not result.interrupted
    W1 = device.to_host(result.params["W1"])
    np.testing.assert_allclose(W1, [[1.2, 0.0]], rtol=1e-6)  # no epoch made it better
    assert np.isfinite(result.history.losses[:20]).all()

    # The evaluation at the end of an epoch tells, and on the host the loss of each step, too.
    end = next(e for e in epoch_ends(num_steps, 7 // batch_size, "replacement") if e >= 20)
    steps = min(end, 21) if device.is_host else end
    assert len(result.history.losses) == result.history.rows[-1].step == steps


def test_a_validation_loss_that_is_not_finite_is_divergence(device, zeros):
    """Rows of 10²⁰ times weights of 1.2 · 10¹⁹ is no float32; the training loss would last one step more."""
    X, y, X_val, y_val = zeros
    data = X, y, X_val + 1e20, y_val
    settings = {"hyper": TENFOLD, "num_steps": 40, "batch_size": 7, "explosion": np.inf}
    result = train(device, growing(), data, "float32", ONE_LAYER, **settings)
    assert result.diverged_at == 20
    np.testing.assert_allclose(device.to_host(result.params["W1"]), [[1.2, 0.0]], rtol=1e-6)
    assert np.isfinite(result.history.losses).all()


def test_divergence_in_float64_comes_later(zeros):
    """(1.2 · 10¹⁵⁴)² is a float64 and (1.2 · 10¹⁵⁵)² isn't."""
    settings = {"hyper": TENFOLD, "num_steps": 200, "batch_size": 1, "explosion": np.inf}
    result = train(HERE, growing(), zeros, "float64", ONE_LAYER, **settings)
    assert result.diverged_at == 156
    np.testing.assert_array_equal(result.params["W1"], [[1.2, 0.0]])


def test_a_loss_that_is_not_finite_from_the_start(device, zeros):
    params = growing(weight=np.nan)
    result = train(device, params, zeros, "float32", ONE_LAYER, batch_size=4)
    assert result.diverged_at == 1
    assert np.isnan(device.to_host(result.params["W1"])[0, 0])  # there is nothing better
    assert len(result.history.losses) == 1


def by_hand(device, params, data, dtype, hyper, num_steps, seed, solver="sgd"):
    """Step by step until the loss is not finite: that step, and the best of what epochs began with."""
    X, y = data[:2]
    regime = dataclasses.replace(REGIME, num_steps=num_steps, solver=solver)
    state = begin(device, params, dtype, regime, hyper)
    feed = Feed(device.put(X, dtype), device.put(y))
    advance = make_advance(device, feed, make_step(device, MLP_543, feed, regime, hyper, state["params"]))
    (rows,) = draw_batches(np.random.default_rng(seed), len(X), 6, num_steps, "replacement")
    draws = {
        "index": device.put(rows),
        "rate": device.put(np.full(num_steps, hyper.learning_rate), dtype),
        "count": device.put(np.arange(1, num_steps + 1), dtype),
    }
    kept, least, epoch = None, np.inf, []
    starts = {0, *epoch_ends(num_steps, len(X) // 6, "replacement")}
    for i in range(num_steps):
        now = None
        if i in starts:
            now = {
                kind: {name: np.array(v) for name, v in on_host(device, arrays).items()}
                for kind, arrays in state.items()
            }
        state, loss = advance(state, draws, i, i + 1)
        found = float(device.to_host(loss)[0])
        if now is not None:
            value, epoch = max(np.mean(epoch) if epoch else -np.inf, found), []
            kept, least = (now, value) if value < least else (kept, least)
        if not np.isfinite(found):
            return i + 1, kept
        epoch.append(found)
    raise AssertionError("the loss stayed finite")


WILD = Hyper(8e2, 1.0, 1e-2)


@pytest.mark.parametrize("solver", ["sgd", "momentum", "nesterov"])
def test_the_best_state_is_that_of_a_loop_by_hand(device, dtype, data, solver):
    """A network that blows up in the middle of its epoch, on batches it has learned from."""
    params = random_params(np.random.default_rng(18))
    hyper = WILD if solver == "sgd" else dataclasses.replace(WILD, momentum=0.5)
    settings = {"hyper": hyper, "num_steps": 120, "seed": 20, "solver": solver}
    at, kept = by_hand(device, params, data, dtype, **settings)
    settings["explosion"] = np.inf
    ends = epoch_ends(120, 5, "replacement")
    assert not {at - 1, at} & set(ends)  # in the middle: neither found nor begun at an epoch's end
    result = train(device, params, data, dtype, **settings)
    assert result.diverged_at == at
    assert result.state.keys() == kept.keys()
    for kind, arrays in kept.items():
        assert_same(on_host(device, result.state[kind]), arrays)
        assert all(np.isfinite(value).all() for value in arrays.values())


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
    settings = {"num_steps": 120, "dtype": "float64"}
    together = train(
        HERE, params, data, hyper=Hyper(rates, 1.0, 1e-2), sources=own_sources(1, 2, 3), **settings
    )
    for net, rate in enumerate(rates):
        hyper = Hyper(rate, 1.0, 1e-2)
        alone = train(HERE, of_net(params, net), data, hyper=hyper, sources=sources(net + 1), **settings)
        assert together.diverged_at[net] == alone.diverged_at
        assert (alone.diverged_at > 0) == (net == 1)
        assert_same(of_net(together.params, net), alone.params)


def test_networks_that_diverge_one_after_the_other(device, zeros):
    """In one epoch and in several: each keeps its own."""
    factors = np.array([[-10.0, -100.0, -30.0], [-1e3, 0.5, -11.0]])  # of the weights in each step
    params = growing((2, 3), weight=1.0)
    hyper = Hyper(1.0 - factors, 1.0, 1.0)
    settings = {"hyper": hyper, "num_steps": 41, "batch_size": 1, "explosion": np.inf}
    result = train(device, params, zeros, "float32", ONE_LAYER, **settings)
    # The last power of each factor whose square is a float32: below 3.4e38.
    powers = np.array([[19, 9, 13], [6, 41, 18]])
    diverged = np.where(powers < 41, powers + 2, 0)
    np.testing.assert_array_equal(result.diverged_at, diverged)
    W1 = device.to_host(result.params["W1"])
    np.testing.assert_allclose(W1[..., 0, 0], np.where(diverged > 0, 1.0, factors**powers), rtol=1e-4)
    assert len(result.history.losses) == 41  # one goes on to the end


@pytest.mark.parametrize("solver", SOLVERS)
def test_solver_state_and_average_are_frozen_with_their_network(solver):
    """Of a stack with everything that is kept from step to step; each network as it is alone."""
    X, y, X_val, y_val = learnable()
    data = X.copy(), y, X_val, y_val
    params = random_params(np.random.default_rng(27), (4,))
    # The networks burst by their penalty alone, whatever the solver makes of gradients.
    decay = np.array([0.0, 3e3, 1e6, 0.0])
    hyper = Hyper(0.01, 1.0, weight_decay=decay, momentum=0.5, ema=np.array([0.9, 0.9, 0.0, 0.0]))
    hyper = dataclasses.replace(hyper, reg=1e-3)
    settings = {"dtype": "float64", "num_steps": 200, "solver": solver}
    together = train(HERE, params, data, hyper=hyper, sources=own_sources(1, 2, 3, 4), **settings)
    assert (together.diverged_at > 0).tolist() == [False, True, True, False]
    for net in range(4):
        one = dataclasses.replace(hyper, weight_decay=decay[net], ema=float(hyper.ema[net]))
        alone = train(HERE, of_net(params, net), data, hyper=one, sources=sources(net + 1), **settings)
        assert together.diverged_at[net] == alone.diverged_at
        assert_same(of_net(together.params, net), alone.params)
        for kind, arrays in alone.state.items():
            assert_same(of_net(together.state[kind], net), arrays)
            assert all(np.isfinite(value).all() for value in arrays.values())


# Before anything is infinite


@pytest.mark.parametrize("batch_size", [1, 7])
def test_an_explosion_is_noticed_long_before_infinity(device, zeros, batch_size):
    """The loss is log 2 + 0.72 · 100ᵏ: its fifth step is 7.2 · 10⁷, a million times the first of 1.4."""
    settings = {"hyper": TENFOLD, "num_steps": 19, "batch_size": batch_size}
    result = train(device, growing(), zeros, "float32", ONE_LAYER, **settings)
    assert result.diverged_at == 5
    np.testing.assert_allclose(device.to_host(result.params["W1"]), [[1.2, 0.0]], rtol=1e-6)
    late = train(device, growing(), zeros, "float32", ONE_LAYER, explosion=np.inf, **settings)
    assert late.diverged_at == 0
    np.testing.assert_allclose(device.to_host(late.params["W1"])[0, 0], -1.2e19, rtol=1e-5)


def of_numbers(nets=(), rows=40):
    """A regression without noise, and a network to learn it."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((rows, 5))
    params = random_params(rng, nets, MLP((5, 4, 1)), 0.3)
    return params, X, X @ rng.standard_normal((5, 1)) + 1.0


NUMBERS = {"mlp": MLP((5, 4, 1)), "loss": "squared-error", "batch_size": 4, "monitor": None}


def test_what_is_kept_is_the_best_epoch():
    """At a rate that grows: what an epoch ended with whose losses, and the first after, are the lowest."""
    params, X, y = of_numbers()
    settings = {**NUMBERS, "hyper": Hyper(0.004, 4.0), "sampling": "shuffle", "num_steps": 200}
    data = X, y, None, None
    found = train(HERE, params, data, **settings, sources=sources(1))
    assert found.diverged_at > 30
    losses = np.reshape(found.history.losses, (-1, 10))
    value = [losses[0, 0], *np.maximum(losses[:-1].mean(axis=1), losses[1:, 0])]
    best = int(np.nanargmin(value))
    assert best > 0
    settings["epochs"] = range(best)
    assert_same(found.params, train(HERE, params, data, **settings, sources=sources(1)).params)


def test_a_first_row_that_is_met_by_chance_is_no_measure():
    """Its loss is 0; that of scores of 0 on all rows tells in which unit losses are."""
    params, X, y = of_numbers()
    y = 1e5 * y
    first = int(sources(1)("batches", 0).permutation(40)[0])
    mlp = NUMBERS["mlp"]
    y[first] = backprop.scores(np, mlp, params, X[first : first + 1])[0]
    settings = {**NUMBERS, "sampling": "shuffle", "batch_size": 1, "num_steps": 80}
    found = train(HERE, params, (X, y, None, None), hyper=Hyper(1e-14), sources=sources(1), **settings)
    assert found.history.losses[0] < 1e-20
    assert found.history.rows[0].train_loss > 1e6
    assert not found.diverged_at


def test_a_wild_row_is_no_divergence():
    """Steps of adam are no longer for it: the loss is beyond all measure, and the weights are not."""
    params, X, y = of_numbers()
    X[7] = 1e9
    settings = {**NUMBERS, "solver": "adam", "hyper": Hyper(1e-3), "sampling": "shuffle", "num_steps": 30}
    found = train(HERE, params, (X, y, None, None), **settings)
    assert found.history.rows[-1].train_loss > 1e10
    assert not found.diverged_at


def test_networks_of_a_stack_explode_by_themselves():
    params, X, y = of_numbers((3,))
    rates = [0.01, 5.0, 0.02]
    settings = {**NUMBERS, "num_steps": 100, "sampling": "shuffle"}
    data = X, y, None, None
    together = train(HERE, params, data, hyper=Hyper(rates), sources=own_sources(1, 2, 3), **settings)
    assert (together.diverged_at > 0).tolist() == [False, True, False]
    for net, rate in enumerate(rates):
        alone = train(
            HERE, of_net(params, net), data, hyper=Hyper(rate), sources=sources(net + 1), **settings
        )
        assert together.diverged_at[net] == alone.diverged_at
        assert_same(of_net(together.params, net), alone.params)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("cross-entropy", np.log(3)),
        ("hinge", 2.0),
        ("logistic", 2 * np.log(2)),
        ("squared-error", 2.5),
        ("absolute-error", 3.0),
    ],
)
def test_the_loss_of_scores_of_zero(device, loss, expected, weighted):
    """Of more rows than are looked at together."""
    mlp = MLP((1, 3 if loss in LOSSES else 2))
    y = np.zeros(2100, np.int64) if loss in LOSSES else np.tile([[1.0, -2.0]], (2100, 1))
    weight = np.arange(2100.0) if weighted else None
    feed = Feed(
        device.put(np.zeros((2100, 1)), "float32"),
        device.put(y, None if loss in LOSSES else "float32"),
        weight=None if weight is None else device.put(weight, "float32"),
    )
    params = {"b1": device.put(np.zeros(mlp.sizes[-1]), "float32")}
    found = divergence._loss_of_nothing(device, mlp, loss, feed, params)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# The parts


def test_the_first_bad_loss():
    nan, inf = float("nan"), float("inf")
    losses = np.array([[1.0, nan, 1.0, 1.0], [1.0, 1.0, 1.0, -inf], [1.0, nan, inf, nan]])
    np.testing.assert_array_equal(divergence.first_bad(losses), [0, 1, 3, 2])
    assert divergence.first_bad(losses[:, 2]) == 3
    np.testing.assert_array_equal(divergence.first_bad(losses, np.array([0.5, 2.0, 2.0, 1.0])), [1, 1, 3, 2])


@pytest.mark.parametrize("nets", [(), (3,), (2, 3)])
def test_chosen_states_are_copies(device, dtype, nets):
    rng = np.random.default_rng(28)
    yes, no = (begin(device, random_params(rng, nets), dtype, REGIME, Hyper(ema=0.9)) for _ in range(2))
    mask = np.arange(int(np.prod(nets))).reshape(nets) % 2 == 0
    chosen = divergence.choose(device, mask, yes, no)
    for kind, arrays in yes.items():
        for name, value in arrays.items():
            for net in np.ndindex(nets):
                source = value if mask[net] else no[kind][name]
                expected = device.to_host(source)[net]
                np.testing.assert_array_equal(device.to_host(chosen[kind][name])[net], expected)
    copied = divergence.copy(device, yes)
    before = {k: {n: np.array(device.to_host(v)) for n, v in of.items()} for k, of in copied.items()}
    for arrays in yes.values():
        for value in arrays.values():
            value *= 0.0
    for kind, arrays in before.items():
        assert_same(on_host(device, copied[kind]), arrays)
