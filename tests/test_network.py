"""The network: its description, initial weights, stacks, gradients, and one step by hand."""

import math

import numpy as np
import pytest
from gradcheck import check_gradient, numerical_gradient
from hypothesis import given
from hypothesis import strategies as st

from xpnet import network
from xpnet.errors import InputError
from xpnet.network import MLP

NETS = [(), (3,), (2, 3)]
DEPTHS = [(5, 3), (5, 4, 3), (5, 6, 4, 3)]


def random_params(mlp, rng, nets=(), std=0.5):
    """Weights and biases of every network, none of them zero."""
    return {name: std * rng.standard_normal((*nets, *shape)) for name, shape in mlp.shapes.items()}


def of_net(params, net):
    return {name: value[net] for name, value in params.items()}


def pattern_of(mlp, x):
    """Which hidden units are active on which rows: changes where the loss has a kink."""

    def pattern(params):
        h, active = x, []
        for i in range(1, mlp.depth):
            h = h @ params[f"W{i}"] + params[f"b{i}"][..., None, :]
            active.append(h > 0)
            h = np.maximum(h, 0)
        return active

    return pattern


# The description


def test_description_of_the_two_layer_network():
    mlp = MLP((3072, 300, 10))
    assert mlp.depth == 2
    assert mlp.shapes == {"W1": (3072, 300), "b1": (300,), "W2": (300, 10), "b2": (10,)}
    assert list(mlp.shapes) == ["W1", "b1", "W2", "b2"]
    assert mlp.weights == ("W1", "W2")


@pytest.mark.parametrize("sizes", [(), (4,), (4, 0), (4, -1, 3), (0, 3)])
def test_description_that_is_no_network(sizes):
    with pytest.raises(InputError, match="sizes") as caught:
        MLP(sizes)
    assert "\n" not in str(caught.value)


# Initial parameters


@pytest.mark.parametrize("source", [np.random.default_rng, np.random.RandomState])
def test_init_draws_the_weights_in_order_and_leaves_biases_zero(source):
    params = network.init(MLP((4, 3, 2)), source(5), 0.01)
    rng = source(5)
    assert list(params) == ["W1", "b1", "W2", "b2"]
    np.testing.assert_array_equal(params["W1"], 0.01 * rng.standard_normal((4, 3)))
    np.testing.assert_array_equal(params["W2"], 0.01 * rng.standard_normal((3, 2)))
    np.testing.assert_array_equal(params["b1"], np.zeros(3))
    np.testing.assert_array_equal(params["b2"], np.zeros(2))
    assert {p.dtype for p in params.values()} == {np.dtype("float64")}


# Stacks


def test_stack(device, dtype, assert_close):
    rng = np.random.default_rng(0)
    mlp = MLP((5, 4, 3))
    networks = [random_params(mlp, rng) for _ in range(4)]
    on_device = [{k: device.put(v, dtype) for k, v in p.items()} for p in networks]

    stacked = network.stack(device.xp, on_device)
    assert_close(stacked, {k: np.stack([p[k] for p in networks]) for k in networks[0]})
    assert list(stacked) == list(mlp.shapes)


# Scores, loss, gradients


@pytest.mark.parametrize("sizes", DEPTHS)
def test_scores_and_predictions_layer_by_layer(device, dtype, put_params, assert_close, sizes):
    rng = np.random.default_rng(2)
    mlp = MLP(sizes)
    params, x = random_params(mlp, rng), rng.standard_normal((7, 5))
    expected = x
    for i in range(1, mlp.depth + 1):
        expected = expected @ params[f"W{i}"] + params[f"b{i}"]
        expected = np.maximum(expected, 0) if i < mlp.depth else expected

    on_device, rows = put_params(params), device.put(x, dtype)
    assert_close(network.scores(device.xp, mlp, on_device, rows), expected)
    predicted = device.to_host(network.predict(device.xp, mlp, on_device, rows))
    np.testing.assert_array_equal(predicted, expected.argmax(axis=1))


def test_prediction_uses_the_last_bias():
    mlp = MLP((2, 3, 2))
    params = network.init(mlp, np.random.default_rng(0), 1e-4)
    params["b2"][:] = [0.0, 1.0]
    np.testing.assert_array_equal(network.predict(np, mlp, params, np.ones((4, 2))), [1, 1, 1, 1])


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("sizes", DEPTHS)
def test_a_stack_is_each_network_alone(device, dtype, put_params, assert_close, nets, shared, sizes):
    """Every function, on every device, against each network alone in float64."""
    rng = np.random.default_rng(3)
    mlp = MLP(sizes)
    params = random_params(mlp, rng, nets)
    x = rng.standard_normal((7, 5) if shared else (*nets, 7, 5))
    y = rng.integers(3, size=(7,) if shared else (*nets, 7))
    reg = rng.uniform(0.1, 1.0, nets)
    at = list(np.ndindex(nets))
    alone = [(of_net(params, n), x if shared else x[n], y if shared else y[n], float(reg[n])) for n in at]

    xp, p = device.xp, put_params(params)
    rows, labels, strength = device.put(x, dtype), device.put(y), device.put(reg, dtype)
    loss, grads = network.loss_and_grads(xp, mlp, p, rows, labels, strength)
    s, predicted = network.scores(xp, mlp, p, rows), network.predict(xp, mlp, p, rows)

    expected = [network.loss_and_grads(np, mlp, *args) for args in alone]
    assert_close(loss, np.reshape([value for value, _ in expected], nets))
    for name in params:
        assert_close(grads[name], np.reshape([g[name] for _, g in expected], params[name].shape))
    expected_scores = np.reshape([network.scores(np, mlp, *a[:2]) for a in alone], (*nets, 7, 3))
    assert_close(s, expected_scores)
    np.testing.assert_array_equal(device.to_host(predicted), expected_scores.argmax(axis=-1))
    penalties = [network.penalty(np, mlp, a[0], a[3]) for a in alone]
    assert_close(network.penalty(xp, mlp, p, strength), np.reshape(penalties, nets))


@given(
    nets=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple),
    n=st.integers(1, 5),
    shared=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_stack_of_any_shape_is_each_network_alone(nets, sizes, n, shared, seed):
    rng = np.random.default_rng(seed)
    mlp = MLP(sizes)
    params = random_params(mlp, rng, nets)
    x = rng.standard_normal((n, sizes[0]) if shared else (*nets, n, sizes[0]))
    y = rng.integers(sizes[-1], size=(n,) if shared else (*nets, n))
    reg = rng.uniform(0.1, 1.0, nets)
    loss, grads = network.loss_and_grads(np, mlp, params, x, y, reg)
    for net in np.ndindex(nets):
        args = (of_net(params, net), x if shared else x[net], y if shared else y[net])
        loss_alone, alone = network.loss_and_grads(np, mlp, *args, float(reg[net]))
        np.testing.assert_allclose(loss[net], loss_alone, rtol=1e-12)
        for name in params:
            np.testing.assert_allclose(grads[name][net], alone[name], rtol=0, atol=1e-12)


def test_penalty_is_half_the_strength_times_the_squared_weights(device, put_params, assert_close):
    mlp = MLP((2, 2, 1))
    params = {
        "W1": np.array([[1.0, 2.0], [3.0, 4.0]]),  # squares: 30
        "b1": np.array([100.0, 100.0]),  # free
        "W2": np.array([[5.0], [6.0]]),  # squares: 61
        "b2": np.array([100.0]),
    }
    assert_close(network.penalty(device.xp, mlp, put_params(params), 0.5), 0.5 * 0.5 * 91)


@pytest.mark.parametrize("nets", NETS)
def test_pullback_multiplies_the_gradients_by_its_factor(device, dtype, put_params, assert_close, nets):
    rng = np.random.default_rng(4)
    mlp = MLP((5, 4, 3))
    params = random_params(mlp, rng, nets)
    x, y, factor = rng.standard_normal((7, 5)), rng.integers(3, size=7), rng.uniform(1, 2, nets)
    plain = network.loss(np, mlp, params, x, y)[1]()

    rows, labels = device.put(x, dtype), device.put(y)
    _, pullback = network.loss(device.xp, mlp, put_params(params), rows, labels)
    grads = pullback(device.put(factor, dtype))
    for name, g in plain.items():
        inner = (1,) * (g.ndim - factor.ndim)
        assert_close(grads[name], factor.reshape(factor.shape + inner) * g)


@pytest.mark.parametrize("sizes", DEPTHS)
@pytest.mark.parametrize("nets", NETS)
def test_gradients_along_random_directions(nets, sizes):
    """A stack's losses, each with a weight of its own, as one number of all parameters."""
    rng = np.random.default_rng(5)
    mlp = MLP(sizes)
    params = random_params(mlp, rng, nets)
    x, y = rng.standard_normal((7, 5)), rng.integers(3, size=7)
    reg, weight = rng.uniform(0.1, 1.0, nets), rng.uniform(0.5, 1.5, nets)

    def loss(p):
        return float(np.sum(weight * network.loss_and_grads(np, mlp, p, x, y, reg)[0]))

    grads = network.loss_and_grads(np, mlp, params, x, y, reg)[1]
    for name, g in grads.items():
        grads[name] = weight.reshape(nets + (1,) * (g.ndim - len(nets))) * g
    check_gradient(loss, params, grads, rng, pattern=pattern_of(mlp, x))


def test_every_number_of_a_tiny_networks_gradient():
    rng = np.random.default_rng(6)
    mlp = MLP((3, 4, 2))
    params = random_params(mlp, rng)
    x, y = rng.standard_normal((5, 3)), rng.integers(2, size=5)

    def loss(p):
        return float(network.loss_and_grads(np, mlp, p, x, y, 0.3)[0])

    measured = numerical_gradient(loss, params, pattern=pattern_of(mlp, x))
    for name, g in network.loss_and_grads(np, mlp, params, x, y, 0.3)[1].items():
        np.testing.assert_allclose(g, measured[name], rtol=0, atol=1e-10)


def test_no_input_is_written_to(device, dtype):
    """On ``numpy-read-only`` a write would raise; elsewhere the values are compared afterwards."""
    rng = np.random.default_rng(7)
    mlp = MLP((5, 4, 3))
    values = {k: v.astype(dtype) for k, v in random_params(mlp, rng, (2,)).items()}
    values |= {
        "x": rng.standard_normal((7, 5)).astype(dtype),
        "y": rng.integers(3, size=7),
        "reg": np.array([0.1, 0.2], dtype),
    }
    a = {name: device.put(value.copy()) for name, value in values.items()}
    params = {name: a[name] for name in mlp.shapes}

    network.loss_and_grads(device.xp, mlp, params, a["x"], a["y"], a["reg"])
    network.predict(device.xp, mlp, params, a["x"])
    _, pullback = network.loss(device.xp, mlp, params, a["x"], a["y"])
    pullback(a["reg"])
    network.stack(device.xp, [{k: v[i, ...] for k, v in params.items()} for i in range(2)])

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

    assert_close(network.scores(device.xp, mlp, on_device, x), [[3, 3], [2, 2]])
    loss, grads = network.loss_and_grads(device.xp, mlp, on_device, x, y, 0.5)
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
    params = {n: v.astype(np.float32) for n, v in network.init(mlp, rng, 0.3).items()}
    x, y = rng.standard_normal((6, 5), dtype=np.float32), rng.integers(0, 3, 6)
    loss, grads = network.loss_and_grads(np, mlp, params, x, y, reg)
    expected, _ = network.loss_and_grads(np, mlp, params, x, y, np.array(reg, np.float32))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert {g.dtype.name for g in grads.values()} == {"float32"} == {loss.dtype.name}
