"""The network: scores layer by layer, gradients of every kind, stacks, dropout, and one step by hand."""

import itertools
import math
from typing import get_args
from unittest import mock

import numpy as np
import pytest
from gradcheck import check_gradient, numerical_gradient
from hypothesis import given
from hypothesis import strategies as st
from layers import NETS, each, nets_shapes, seeds
from networks import (
    NETWORKS,
    learnt,
    of_net,
    pattern_of,
    random_params,
    random_training,
    scores_by_definition,
    training_of,
)
from unreadable import Unreadable
from unreadable import xp as unreadable_xp

from xpnet.nn import backprop, layers, losses, penalty
from xpnet.nn.activations import ACTIVATIONS
from xpnet.nn.backprop import Training
from xpnet.nn.mlp import MLP, Norm, init
from xpnet.typing import Product

every_network = pytest.mark.parametrize("mlp", NETWORKS, ids=str)
every_nets = pytest.mark.parametrize("nets", NETS)


def assert_gradients_close(assert_close, xp, actual, expected):
    """Relative to the largest number of all: the bias in front of a batch norm has a gradient of 0."""
    assert {k: tuple(g.shape) for k, g in actual.items()} == {k: g.shape for k, g in expected.items()}
    flat = xp.concat([xp.reshape(actual[name], (-1,)) for name in expected])
    assert_close(flat, np.concatenate([g.ravel() for g in expected.values()]))


# Scores, loss, gradients


@every_network
def test_scores_and_predictions_layer_by_layer(device, dtype, put_params, assert_close, mlp):
    rng = np.random.default_rng(2)
    params, x = random_params(mlp, rng), rng.standard_normal((7, 5))
    on_device, rows = put_params(params), device.put(x, dtype)
    expected = scores_by_definition(mlp, params, x)
    assert_close(backprop.scores(device.xp, mlp, on_device, rows), expected)
    predicted = device.to_host(backprop.predict(device.xp, mlp, on_device, rows))
    np.testing.assert_array_equal(predicted, expected.argmax(axis=1))
    in_training = backprop.forward(device.xp, mlp, on_device, rows, Training())[0]
    assert_close(in_training, scores_by_definition(mlp, params, x, in_training=True))


def test_prediction_uses_the_last_bias():
    mlp = MLP((2, 3, 2))
    params = init(mlp, np.random.default_rng(0), 1e-4)
    params["b2"][:] = [0.0, 1.0]
    np.testing.assert_array_equal(backprop.predict(np, mlp, params, np.ones((4, 2))), [1, 1, 1, 1])


@every_network
def test_whatever_parameter_is_not_a_number_shows_in_the_loss(device, dtype, put_params, mlp):
    rng = np.random.default_rng(8)
    params = random_params(mlp, rng)
    x, y = device.put(rng.standard_normal((7, 5)), dtype), device.put(rng.integers(3, size=7))
    assert np.isfinite(device.to_host(backprop.loss(device.xp, mlp, put_params(params), x, y)[0]))
    for name, value in params.items():
        bad = value.copy()
        bad[(-1,) * bad.ndim] = np.nan
        value, _ = backprop.loss(device.xp, mlp, put_params(params | {name: bad}), x, y)
        assert np.isnan(device.to_host(value)), name


def test_penalty_is_half_the_strength_times_the_squared_weights(device, put_params, assert_close):
    mlp = MLP((2, 2, 1), norm="batch")
    params = {
        "W1": np.array([[1.0, 2.0], [3.0, 4.0]]),  # squares: 30
        **{name: np.array([100.0, 100.0]) for name in ("b1", "g1", "s1", "m1", "v1")},  # free
        "W2": np.array([[5.0], [6.0]]),  # squares: 61
        "b2": np.array([100.0]),
    }
    assert_close(penalty.penalty(device.xp, mlp, put_params(params), 0.5), 0.5 * 0.5 * 91)


@every_nets
@pytest.mark.parametrize("mlp", [NETWORKS[1], NETWORKS[6]], ids=str)
def test_gradients_are_multiplied_by_the_factor(device, dtype, put_params, assert_close, nets, mlp):
    """But not what the running statistics are off by, which is no gradient."""
    rng = np.random.default_rng(4)
    params = random_params(mlp, rng, nets)
    x, y, factor = rng.standard_normal((7, 5)), rng.integers(3, size=7), rng.uniform(1, 2, nets)
    plain = backprop.loss(np, mlp, params, x, y, Training())[1]()

    rows, labels = device.put(x, dtype), device.put(y)
    _, pullback = backprop.loss(
        device.xp, mlp, put_params(params), rows, labels, Training(), factor=device.put(factor, dtype)
    )
    expected = {}
    for name, g in plain.items():
        by = factor.reshape(factor.shape + (1,) * (g.ndim - factor.ndim))
        expected[name] = g if name in mlp.statistics else by * g
    assert_gradients_close(assert_close, device.xp, pullback(), expected)


@every_network
@every_nets
def test_gradients_along_random_directions(nets, mlp):
    """A stack's losses, each with a weight of its own, as one number of all parameters."""
    rng = np.random.default_rng(5)
    params = random_params(mlp, rng, nets)
    x, y = rng.standard_normal((7, 5)), rng.integers(3, size=7)
    reg, weight = rng.uniform(0.1, 1.0, nets), rng.uniform(0.5, 1.5, nets)

    def loss(p):
        return float(np.sum(weight * backprop.loss_and_grads(np, mlp, params | p, x, y, reg)[0]))

    grads = learnt(mlp, backprop.loss_and_grads(np, mlp, params, x, y, reg)[1])
    for name, g in grads.items():
        grads[name] = weight.reshape(nets + (1,) * (g.ndim - len(nets))) * g
    pattern = pattern_of(mlp, x)
    check_gradient(
        loss,
        learnt(mlp, params),
        grads,
        rng,
        pattern=pattern and (lambda p: pattern(params | p)),
    )


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("norm", get_args(Norm))
@pytest.mark.parametrize("residual", [False, True])
def test_gradients_in_training_of_every_kind(activation, norm, residual):
    """With dropout of the input and of every hidden layer, its key fixed, and soft targets."""
    rng = np.random.default_rng(9)
    mlp = MLP((4, 5, 5, 2), activation, norm, residual)
    params, training = random_params(mlp, rng, (2,)), random_training(rng, (2,))
    x, target = rng.standard_normal((6, 4)), rng.dirichlet((1.0, 1.0), size=(2, 6))

    def loss(p):
        return float(np.sum(backprop.loss(np, mlp, params | p, x, target, training)[0]))

    grads = backprop.loss(np, mlp, params, x, target, training)[1]()
    assert sorted(grads) == sorted(mlp.shapes)
    pattern = pattern_of(mlp, x, training)
    check_gradient(
        loss,
        learnt(mlp, params),
        learnt(mlp, grads),
        rng,
        pattern=pattern and (lambda p: pattern(params | p)),
    )


@pytest.mark.parametrize("mlp", NETWORKS)
def test_gradients_of_the_weights_named_stay_in_factors(mlp):
    rng = np.random.default_rng(20)
    params, x, y = random_params(mlp, rng, (2,)), rng.standard_normal((7, 5)), rng.integers(0, 3, 7)
    expected = backprop.loss(np, mlp, params, x, y, Training())[1]()
    for names in (set(), {mlp.weights[-1]}, set(mlp.weights)):
        grads = backprop.loss(np, mlp, params, x, y, Training(), in_factors=names)[1]()
        assert {name for name, g in grads.items() if isinstance(g, Product)} == names
        for name, g in grads.items():
            multiplied = g.multiply(np) if name in names else g
            np.testing.assert_array_equal(multiplied, expected[name])


def test_every_number_of_a_tiny_networks_gradient():
    rng = np.random.default_rng(6)
    for mlp in (MLP((3, 4, 2)), MLP((3, 2, 2, 2), norm="layer", residual=True)):
        params = random_params(mlp, rng)
        x, y = rng.standard_normal((5, 3)), rng.integers(2, size=5)

        def loss(p, mlp=mlp, x=x, y=y):
            return float(backprop.loss_and_grads(np, mlp, p, x, y, 0.3)[0])

        measured = numerical_gradient(loss, params, pattern=pattern_of(mlp, x))
        for name, g in backprop.loss_and_grads(np, mlp, params, x, y, 0.3)[1].items():
            np.testing.assert_allclose(g, measured[name], rtol=0, atol=1e-10)


def test_nobody_computes_the_gradient_of_the_input(monkeypatch):
    """A two-layer network has five products: a sixth would be a third of the work."""
    rng = np.random.default_rng(15)
    mlp, products = MLP((5, 4, 3)), mock.Mock(wraps=np.matmul)
    monkeypatch.setattr(np, "matmul", products)
    backprop.loss_and_grads(np, mlp, random_params(mlp, rng), np.ones((7, 5)), np.zeros(7, int))
    assert products.call_count == 5


@pytest.mark.parametrize("kind", list(losses.LOSSES))
@every_nets
def test_the_loss_is_that_of_the_scores(device, dtype, put_params, assert_close, kind, nets):
    rng = np.random.default_rng(10)
    mlp = MLP((5, 4, 3))
    params, x, y = random_params(mlp, rng, nets), rng.standard_normal((7, 5)), rng.integers(3, size=7)
    s, pullback = backprop.forward(np, mlp, params, x)
    expected, dscores = losses.LOSSES[kind](np, s, y)
    rows, labels = device.put(x, dtype), device.put(y)
    value, pull_back = backprop.loss(device.xp, mlp, put_params(params), rows, labels, kind=kind)
    assert_close(value, expected)
    assert_close(pull_back(), pullback(dscores))


# Stacks


def test_stack(device, dtype, assert_close):
    rng = np.random.default_rng(0)
    mlp = MLP((5, 4, 3))
    networks = [random_params(mlp, rng) for _ in range(4)]
    on_device = [{k: device.put(v, dtype) for k, v in p.items()} for p in networks]

    stacked = backprop.stack(device.xp, on_device)
    assert_close(stacked, {k: np.stack([p[k] for p in networks]) for k in networks[0]})
    assert list(stacked) == list(mlp.shapes)


@pytest.mark.parametrize(("nets", "shared"), [((), True), ((3,), True), ((3,), False), ((2, 3), False)])
@every_network
def test_a_stack_is_each_network_alone(device, dtype, put_params, assert_close, nets, shared, mlp):
    """Every function, on every device, against each network alone in float64."""
    rng = np.random.default_rng(3)
    params, training = random_params(mlp, rng, nets), random_training(rng, nets)
    x = rng.standard_normal((7, 5) if shared else (*nets, 7, 5))
    y = rng.integers(3, size=(7,) if shared else (*nets, 7))
    reg = rng.uniform(0.1, 1.0, nets)
    alone = [(of_net(params, n), x if shared else x[n], y if shared else y[n]) for n in each(nets)]
    strengths = [float(reg[n]) for n in each(nets)]

    xp, p = device.xp, put_params(params)
    rows, labels, strength = device.put(x, dtype), device.put(y), device.put(reg, dtype)
    results = backprop.loss_and_grads(xp, mlp, p, rows, labels, strength)
    s, predicted = backprop.scores(xp, mlp, p, rows), backprop.predict(xp, mlp, p, rows)

    def assert_all_close(results, expected):
        assert_close(results[0], np.reshape([value for value, _ in expected], nets))
        grads = {name: np.reshape([g[name] for _, g in expected], p.shape) for name, p in params.items()}
        assert_gradients_close(assert_close, xp, results[1], grads)

    expected = [backprop.loss_and_grads(np, mlp, *a, r) for a, r in zip(alone, strengths, strict=True)]
    assert_all_close(results, expected)
    expected_scores = np.reshape([backprop.scores(np, mlp, *a[:2]) for a in alone], (*nets, 7, 3))
    assert_close(s, expected_scores)
    np.testing.assert_array_equal(device.to_host(predicted), expected_scores.argmax(axis=-1))
    penalties = [penalty.penalty(np, mlp, a[0], r) for a, r in zip(alone, strengths, strict=True)]
    assert_close(penalty.penalty(xp, mlp, p, strength), np.reshape(penalties, nets))

    put = Training(*(device.put(rate, dtype) for rate in training[:2]), device.put(training.key))
    value, pullback = backprop.loss(xp, mlp, p, rows, labels, put)
    expected = []
    for a, net in zip(alone, each(nets), strict=True):
        value_alone, pullback_alone = backprop.loss(np, mlp, *a, training_of(training, net))
        expected.append((value_alone, pullback_alone()))
    assert_all_close((value, pullback()), expected)


@given(
    nets=nets_shapes,
    hidden=st.integers(1, 5).flatmap(lambda width: st.lists(st.just(width), max_size=3)),
    widths=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    activation=st.sampled_from(list(ACTIVATIONS)),
    norm=st.sampled_from(get_args(Norm)),
    residual=st.booleans(),
    n=st.integers(1, 12),
    shared=st.booleans(),
    seed=seeds,
)
def test_a_stack_of_any_kind_is_each_network_alone(
    nets, hidden, widths, activation, norm, residual, n, shared, seed
):
    """In training: the gradients to the bit, and the loss but for the order of its sum."""
    rng = np.random.default_rng(seed)
    mlp = MLP((widths[0], *hidden, widths[1]), activation, norm, residual and len(hidden) > 1)
    params, training = random_params(mlp, rng, nets), random_training(rng, nets)
    x = rng.standard_normal((n, widths[0]) if shared else (*nets, n, widths[0]))
    y = rng.integers(widths[1], size=(n,) if shared else (*nets, n))
    value, pullback = backprop.loss(np, mlp, params, x, y, training)
    grads = pullback()
    for net in each(nets):
        args = (of_net(params, net), x if shared else x[net], y if shared else y[net])
        alone, pullback_alone = backprop.loss(np, mlp, *args, training_of(training, net))
        np.testing.assert_allclose(value[net], alone, rtol=1e-14)
        for name, g in pullback_alone().items():
            np.testing.assert_array_equal(grads[name][net], g, err_msg=name)


# Dropout


@pytest.fixture
def drops(monkeypatch):
    """Every use of dropout: its rate, and which of the units it keeps."""
    seen, dropout = [], layers.dropout

    def spy(xp, x, key, rate, share=None):
        y, pullback = dropout(xp, x, key, rate, share)
        seen.append((rate, dropout(xp, np.ones_like(y), key, rate, share)[0] != 0))
        return y, pullback

    monkeypatch.setattr(layers, "dropout", spy)
    return seen


@pytest.mark.parametrize("residual", [False, True])
def test_input_and_hidden_layers_drop_their_own_units_at_their_rates(drops, residual):
    """In a residual network inside the blocks; everywhere each network and each layer others."""
    rng = np.random.default_rng(11)
    mlp = MLP((64, 64, 64, 64, 3), residual=residual)
    hidden, inputs, key = np.array([0.4, 0.5]), np.array([0.2, 0.3]), np.array([5, 6], np.int32)
    backprop.forward(np, mlp, random_params(mlp, rng, (2,)), np.ones((40, 64)), Training(hidden, inputs, key))

    rates, masks = zip(*drops, strict=True)
    assert [rate is hidden for rate in rates] == [False] + [True] * (2 if residual else 3)
    assert rates[0] is inputs
    assert {mask.shape[-1] for mask in masks[1:]} == {256 if residual else 64}
    for rate, mask in drops:
        np.testing.assert_allclose(1 - mask.mean(axis=(1, 2)), rate, atol=0.05)
    each_mask = [one.ravel()[:1280] for mask in masks for one in mask]  # equal keys begin alike
    for a, b in itertools.combinations(each_mask, 2):
        assert 0.4 < np.mean(a == b) < 0.7  # independent ones agree on 0.5 to 0.62, of one key on 0.8 or more


def test_no_dropout_at_evaluation_nor_without_rates(drops):
    rng = np.random.default_rng(12)
    mlp = MLP((5, 4, 3))
    params, x = random_params(mlp, rng), rng.standard_normal((7, 5))
    backprop.scores(np, mlp, params, x)
    backprop.loss_and_grads(np, mlp, params, x, np.zeros(7, int))
    backprop.forward(np, mlp, params, x, Training())
    assert drops == []


@pytest.mark.parametrize("mlp", NETWORKS, ids=str)
def test_rates_of_zero_change_no_bit(mlp):
    rng = np.random.default_rng(13)
    params, x, y = random_params(mlp, rng, (2,)), rng.standard_normal((7, 5)), rng.integers(3, size=7)
    none, key = np.zeros(2), np.array([1, 2], np.int32)
    value, pullback = backprop.loss(np, mlp, params, x, y, Training(none, none, key))
    expected, expected_pullback = backprop.loss(np, mlp, params, x, y, Training())
    np.testing.assert_array_equal(value, expected)
    for name, g in expected_pullback().items():
        np.testing.assert_array_equal(pullback()[name], g)


# What is read and written


@every_network
@pytest.mark.parametrize("kind", list(losses.LOSSES))
def test_nothing_is_read_back_to_the_host(mlp, kind):
    """Arrays that cannot be read give what NumPy's give (so is the step, in test_loop)."""
    rng = np.random.default_rng(14)
    params, training = random_params(mlp, rng, (2,)), random_training(rng, (2,))
    x, y, strength = rng.standard_normal((7, 5)), rng.integers(3, size=7), np.array([0.1, 0.2])

    def run(xp, wrap):
        p = {name: wrap(value) for name, value in params.items()}
        target = wrap(y)
        if kind == "cross-entropy":
            target = losses.smooth(xp, losses.one_hot(xp, target, p[f"b{mlp.depth}"]), wrap(strength))
        value, pullback = backprop.loss(
            xp, mlp, p, wrap(x), target, Training(*map(wrap, training[:3])), kind, factor=wrap(strength)
        )
        grads = pullback()
        value_at_evaluation, more_grads = backprop.loss_and_grads(
            xp, mlp, p, wrap(x), wrap(y), wrap(strength)
        )
        predicted = backprop.predict(xp, mlp, p, wrap(x))
        return [value, *grads.values(), value_at_evaluation, *more_grads.values(), predicted]

    for actual, expected in zip(run(unreadable_xp, Unreadable), run(np, np.array), strict=True):
        assert isinstance(actual, Unreadable)
        np.testing.assert_array_equal(actual._array, expected)


@every_network
def test_no_input_is_written_to(device, dtype, mlp):
    """On ``numpy-read-only`` a write would raise; elsewhere the values are compared afterwards."""
    rng = np.random.default_rng(7)
    values = {k: v.astype(dtype) for k, v in random_params(mlp, rng, (2,)).items()}
    rates_and_key = dict(zip(Training._fields, random_training(rng, (2,))[:3], strict=False))
    values |= {k: v if k == "key" else v.astype(dtype) for k, v in rates_and_key.items()}
    values |= {
        "x": rng.standard_normal((7, 5)).astype(dtype),
        "y": rng.integers(3, size=7),
        "reg": np.array([0.1, 0.2], dtype),
    }
    a = {name: device.put(value.copy()) for name, value in values.items()}
    params = {name: a[name] for name in mlp.shapes}

    backprop.loss_and_grads(device.xp, mlp, params, a["x"], a["y"], a["reg"])
    backprop.predict(device.xp, mlp, params, a["x"])
    for kind in losses.LOSSES:
        training = Training(*(a[name] for name in Training._fields[:3]))
        of_batch = mlp, params, a["x"], a["y"], training, kind
        _, pullback = backprop.loss(device.xp, *of_batch, factor=a["reg"])
        pullback()
    backprop.stack(device.xp, [{k: v[i, ...] for k, v in params.items()} for i in range(2)])

    assert list(params) == list(mlp.shapes)
    for name, value in values.items():
        np.testing.assert_array_equal(device.to_host(a[name]), value)


# By hand


def test_one_evaluation_by_hand(device, dtype, put_params, assert_close):
    """All ten equations in numbers that fit in a head: N = 2, D = 2, H = 3, C = 2.

    ========= =================================== ===============================================
    (1) FC1   x W1 + b1                           ((1, 2, -1), (2, -1, 1))
    (2) H     max(0, FC1)                         ((1, 2, 0), (2, 0, 1))
    (3) FC2   H W2 + b2                           ((3, 3), (2, 2)): the classes are even, so
    (4) P                                         ((1/2, 1/2), (1/2, 1/2))
    (5) dFC2  (P - Y) / N, both rows of class 0   ((-1/4, 1/4), (-1/4, 1/4))
    (6) dW2   Hᵀ dFC2                             ((-3/4, 3/4), (-1/2, 1/2), (-1/4, 1/4))
    (7) db2   column sums of dFC2                 (-1/2, 1/2)
    (8) dFC1  dFC2 W2ᵀ = ((-1/2, 1/4, 1), same),  ((-1/2, 1/4, 0), (-1/2, 0, 1))
              where FC1 > 0
    (9) dW1   xᵀ dFC1                             ((-3/2, 1/4, 2), (-3/2, 1/2, 1))
    (10) db1  column sums of dFC1                 (-1, 1/4, 1)
    ========= =================================== ===============================================

    The penalty of reg = 1/2 adds 1/2 · 1/2 · (8 + 11) to the loss log 2, and W / 2 to each dW.
    """
    mlp = MLP((2, 3, 2))
    W1 = np.array([[0.0, -1.0, 1.0], [-1.0, 2.0, -1.0]])
    W2 = np.array([[1.0, -1.0], [0.0, 1.0], [-2.0, 2.0]])
    params = {"W1": W1, "b1": np.array([3.0, -1.0, 0.0]), "W2": W2, "b2": np.array([2.0, 2.0])}
    x, y = device.put(np.array([[1.0, 2.0], [2.0, 1.0]]), dtype), device.put(np.array([0, 0]))
    on_device = put_params(params)

    assert_close(backprop.scores(device.xp, mlp, on_device, x), [[3, 3], [2, 2]])
    loss, grads = backprop.loss_and_grads(device.xp, mlp, on_device, x, y, 0.5)
    assert_close(loss, math.log(2) + 4.75)
    expected = {
        "W1": np.array([[-1.5, 0.25, 2.0], [-1.5, 0.5, 1.0]]) + W1 / 2,
        "b1": [-1.0, 0.25, 1.0],
        "W2": np.array([[-0.75, 0.75], [-0.5, 0.5], [-0.25, 0.25]]) + W2 / 2,
        "b2": [-0.5, 0.5],
    }
    assert_close(grads, expected)


@pytest.mark.parametrize("reg", [1, np.float64(0.5), 0.5])
def test_any_number_regularises_without_a_change_of_dtype(reg):
    mlp = MLP((5, 4, 3))
    rng = np.random.default_rng(31)
    params = {n: v.astype(np.float32) for n, v in init(mlp, rng, 0.3).items()}
    x, y = rng.standard_normal((6, 5), dtype=np.float32), rng.integers(0, 3, 6)
    loss, grads = backprop.loss_and_grads(np, mlp, params, x, y, reg)
    expected, _ = backprop.loss_and_grads(np, mlp, params, x, y, np.array(reg, np.float32))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert {g.dtype.name for g in grads.values()} == {"float32"} == {loss.dtype.name}
