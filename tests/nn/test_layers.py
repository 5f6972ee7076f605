"""Affine and dropout, and how layers are composed: values, gradients, leading network axes, memory."""

import itertools

import numpy as np
import pytest
from gradcheck import check_gradient
from hypothesis import given
from hypothesis import strategies as st
from layers import (
    NETS,
    assert_each_alone,
    assert_writes_nothing,
    check_layer,
    each,
    nets_shapes,
    seeds,
    sizes,
)

from xpnet.nn import layers, noise
from xpnet.nn.activations import relu, tanh
from xpnet.typing import Product


def normal(rng, *shape):
    return rng.standard_normal(shape)


def some_keys(rng, nets=()):
    return rng.integers(-(2**31), 2**31, nets, dtype=np.int32)


# Affine


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_affine_values_and_gradients(device, dtype, assert_close, nets, shared):
    rng = np.random.default_rng(0)
    x = normal(rng, 5, 4) if shared else normal(rng, *nets, 5, 4)
    W, b, dy = normal(rng, *nets, 4, 3), normal(rng, *nets, 3), normal(rng, *nets, 5, 3)

    y, pullback = layers.affine(device.xp, *(device.put(a, dtype) for a in (x, W, b)))
    dx, dW, db = pullback(device.put(dy, dtype))

    assert_close(y, np.einsum("...ni,...io->...no", x, W) + b[..., None, :])
    assert_close(dW, np.einsum("...ni,...no->...io", x, dy))
    assert_close(db, dy.sum(axis=-2))
    expected = np.einsum("...no,...io->...ni", dy, W)
    assert_close(dx, expected.reshape(-1, 5, 4).sum(axis=0) if shared else expected)


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_affine_without_dx(device, dtype, nets, shared):
    rng = np.random.default_rng(1)
    x = normal(rng, 5, 4) if shared else normal(rng, *nets, 5, 4)
    arrays = [device.put(a, dtype) for a in (x, normal(rng, *nets, 4, 3), normal(rng, *nets, 3))]
    dy = device.put(normal(rng, *nets, 5, 3), dtype)
    y, pullback = layers.affine(device.xp, *arrays)
    y_without, pullback_without = layers.affine(device.xp, *arrays, need_dx=False)
    with_dx, without_dx = pullback(dy), pullback_without(dy)
    assert with_dx[0] is not None
    assert without_dx[0] is None
    for a, b in zip((y, *with_dx[1:]), (y_without, *without_dx[1:]), strict=True):
        np.testing.assert_array_equal(device.to_host(a), device.to_host(b))


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_affine_leaves_the_gradient_of_weights_in_factors(device, dtype, nets, shared):
    """To the bit the same when they are multiplied."""
    rng = np.random.default_rng(20)
    x = normal(rng, 5, 4) if shared else normal(rng, *nets, 5, 4)
    arrays = [device.put(a, dtype) for a in (x, normal(rng, *nets, 4, 3), normal(rng, *nets, 3))]
    dy = device.put(normal(rng, *nets, 5, 3), dtype)
    dx, dW, db = layers.affine(device.xp, *arrays)[1](dy)
    dx_too, product, db_too = layers.affine(device.xp, *arrays, in_factors=True)[1](dy)
    assert isinstance(product, Product)
    assert product.x is arrays[0]
    assert product.dy is dy
    for a, b in zip((dx, dW, db), (dx_too, product.multiply(device.xp), db_too), strict=True):
        np.testing.assert_array_equal(device.to_host(a), device.to_host(b))


@given(nets=nets_shapes, n=sizes, i=sizes, o=sizes, seed=seeds)
def test_affine_of_a_stack_is_each_network_alone(nets, n, i, o, seed):
    rng = np.random.default_rng(seed)
    arrays = [normal(rng, *nets, n, i), normal(rng, *nets, i, o), normal(rng, *nets, o)]
    assert_each_alone(layers.affine, nets, arrays, rng)  # the same products: equal to the bit


@given(nets=nets_shapes, n=sizes, i=sizes, o=sizes, seed=seeds)
def test_affine_of_a_shared_batch_is_each_network_alone(nets, n, i, o, seed):
    rng = np.random.default_rng(seed)
    x, W, b = normal(rng, n, i), normal(rng, *nets, i, o), normal(rng, *nets, o)
    dy = normal(rng, *nets, n, o)
    y, pullback = layers.affine(np, x, W, b)
    dx, dW, db = pullback(dy)
    dx_alone = np.zeros_like(x)
    for net in each(nets):
        alone_y, alone_pullback = layers.affine(np, x, W[net], b[net])
        alone_dx, alone_dW, alone_db = alone_pullback(dy[net])
        dx_alone += alone_dx
        for a, alone in ((y, alone_y), (dW, alone_dW), (db, alone_db)):
            np.testing.assert_allclose(a[net], alone, rtol=0, atol=1e-12)
    np.testing.assert_allclose(dx, dx_alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype_of_all", [np.float32, np.float64])
def test_a_network_has_the_same_bits_in_any_stack(dtype_of_all):
    """Which is why networks that share x have no product in common; of odd sizes, where a BLAS has edges."""
    rng = np.random.default_rng(2)
    for batch, features, units in itertools.product((2, 7, 50), (3, 17, 64), (2, 13, 300)):
        x = normal(rng, batch, features).astype(dtype_of_all)
        W, b = (normal(rng, 5, *shape).astype(dtype_of_all) for shape in ((features, units), (units,)))
        dy = normal(rng, 5, batch, units).astype(dtype_of_all)
        y, pullback = layers.affine(np, x, W, b)
        _, dW, db = pullback(dy)
        for k in range(5):
            alone, pullback_alone = layers.affine(np, x, W[k], b[k])
            dx, *grads = pullback_alone(dy[k])
            assert dx.shape == x.shape
            for actual, expected in zip((y[k], dW[k], db[k]), (alone, *grads), strict=True):
                np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("nets", NETS)
def test_affine_gradients_by_finite_differences(nets):
    rng = np.random.default_rng(7)
    at = {"x": normal(rng, 5, 4), "W": normal(rng, *nets, 4, 3), "b": normal(rng, *nets, 3)}
    check_layer(layers.affine, at, rng)
    check_layer(layers.affine, at | {"x": normal(rng, *nets, 5, 4)}, rng)


# Dropout


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_dropout_by_its_definition(device, dtype, assert_close, nets, shared):
    """Which units stay follows from the noise, on every device the same."""
    rng = np.random.default_rng(3)
    x = normal(rng, 6, 5) if shared else normal(rng, *nets, 6, 5)
    key, rate, dy = some_keys(rng, nets), rng.integers(10, 50, nets) / 64, normal(rng, *nets, 6, 5)
    y, pullback = layers.dropout(device.xp, device.put(x, dtype), device.put(key), device.put(rate, dtype))
    (dx,) = pullback(device.put(dy, dtype))

    share = (1 - rate)[..., None, None]  # a multiple of 1/64, exact in every dtype
    mask = (noise.random_bits(np, key, (6, 5)) < 65536 * share) / share
    assert 0 < np.count_nonzero(mask) < mask.size
    assert_close(y, x * mask)
    assert_close(dx, dy * mask)


@pytest.mark.parametrize("nets", NETS)
def test_dropout_gradients_by_finite_differences(nets):
    rng = np.random.default_rng(4)
    key, rate = some_keys(rng, nets), rng.uniform(0.2, 0.8, nets)
    check_layer(lambda xp, x: layers.dropout(xp, x, key, rate), {"x": normal(rng, *nets, 5, 4)}, rng)


@pytest.mark.parametrize("dtype_of_all", ["float32", "float64"])
def test_dropout_drops_its_rate_and_keeps_the_mean(dtype_of_all):
    """Of 60,000 units; the bound is 4.5 standard deviations."""
    rates = np.array([0.05, 0.3, 0.5, 0.9])
    key, n = np.full(4, 5, np.int32), 60_000
    y, _ = layers.dropout(np, np.ones((4, 200, 300), dtype_of_all), key, rates.astype(dtype_of_all))
    deviation = np.sqrt(rates * (1 - rates) / n)
    assert np.all(np.abs((y == 0).mean(axis=(1, 2)) - rates) < 4.5 * deviation)
    mean = y.mean(axis=(1, 2), dtype="float64")
    assert np.all(np.abs(mean - 1.0) < 4.5 * deviation / (1 - rates))


def test_dropout_of_no_rate_changes_no_bit(device, dtype):
    """In a stack with a network that drops; neither NaN nor the sign of zero is lost."""
    x = np.array([[1 / 3, -0.0, np.nan], [np.inf, -np.inf, 1e-37]], dtype)
    arrays = (device.put(x), device.put(np.array([1, 1], np.int32)), device.put(np.array([0.0, 0.9]), dtype))
    y, pullback = layers.dropout(device.xp, *arrays)
    (dx,) = pullback(device.put(np.stack([x, x])))
    for result in (y, dx):
        assert device.to_host(result)[0].tobytes() == x.tobytes()
        assert device.to_host(result)[1].tobytes() != x.tobytes()


def test_every_network_and_every_key_drop_their_own():
    """Also of equal rates and of one shared batch; equal keys drop the same."""
    x, rate, keys = np.ones((20, 30)), np.full(4, 0.5), np.array([7, 8, -8, 7], np.int32)
    y, _ = layers.dropout(np, x, keys, rate)
    assert len({one.tobytes() for one in y}) == 3
    np.testing.assert_array_equal(y[0], y[3])
    rows, columns = {row.tobytes() for row in y[0]}, {column.tobytes() for column in y[0].T}
    assert (len(rows), len(columns)) == (20, 30)


@pytest.mark.parametrize("dtype_of_all", ["float32", "float64"])
def test_a_rate_close_to_one_leaves_numbers(dtype_of_all):
    rate = np.array(1.0 - 1e-9, dtype_of_all)  # 1 itself in float32
    key = np.array(1, np.int32)
    y, _ = layers.dropout(np, np.ones((400, 1000), dtype_of_all), key, rate)
    assert set(np.unique(y)) == {0.0, 65536.0}
    np.testing.assert_array_equal(y > 0, noise.random_bits(np, key, (400, 1000)) == 0)


@given(nets=nets_shapes, n=sizes, units=sizes, seed=seeds)
def test_dropout_of_a_stack_is_each_network_alone(nets, n, units, seed):
    rng = np.random.default_rng(seed)
    arrays = [normal(rng, *nets, n, units), some_keys(rng, nets), rng.uniform(0.0, 0.9, nets)]

    def layer(xp, x, key, rate):
        return layers.dropout(xp, x, key, rate)

    assert_each_alone(layer, nets, arrays, rng)
    shared, pullback = layers.dropout(np, arrays[0][(0,) * len(nets)], *arrays[1:])
    (dx,) = pullback(shared)
    for net in each(nets):
        alone, pullback = layers.dropout(np, arrays[0][(0,) * len(nets)], arrays[1][net], arrays[2][net])
        np.testing.assert_array_equal(shared[net], alone)
        np.testing.assert_array_equal(dx[net], pullback(alone)[0])


# Composition. Layers of dicts: every one takes all parameters by name


def affine(i):
    return layers.named(lambda x, W, b: layers.affine(np, x, W, b), f"W{i}", f"b{i}")


def activate(function):
    return layers.named(lambda x: function(np, x))


def some_params(rng, *widths, nets=()):
    params = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths), 1):
        params |= {f"W{i}": normal(rng, *nets, inputs, outputs), f"b{i}": normal(rng, *nets, outputs)}
    return params


def check_composed(layer, params, x, rng, names):
    """Gradients by finite differences, of the parameters in ``names`` and of ``x``."""
    y, pullback = layer(params, x)
    dy = normal(rng, *y.shape)
    dx, grads = pullback(dy)
    assert sorted(grads) == sorted(names)

    def loss(p):
        return float(np.sum(layer(params | p, p["x"])[0] * dy))

    at = {"x": x} | {name: params[name] for name in names}
    check_gradient(loss, at, {"x": dx} | grads, rng)


def test_named_takes_and_returns_parameters_by_their_names():
    rng = np.random.default_rng(5)
    params, x = some_params(rng, 4, 3, 2), normal(rng, 5, 4)
    y, pullback = affine(1)(params, x)
    dx, grads = pullback(y)
    expected_y, expected = layers.affine(np, x, params["W1"], params["b1"])
    expected_dx, dW, db = expected(y)
    for actual, right in ((y, expected_y), (dx, expected_dx), (grads["W1"], dW), (grads["b1"], db)):
        np.testing.assert_array_equal(actual, right)
    assert list(grads) == ["W1", "b1"]
    assert activate(tanh)(params, x)[1](x)[1] == {}


def test_named_refuses_as_many_names_as_do_not_fit_the_gradients():
    layer = layers.named(lambda x, W: layers.affine(np, x, W, np.zeros(2)), "W")
    y, pullback = layer({"W": np.ones((3, 2))}, np.ones((4, 3)))
    with pytest.raises(ValueError, match="zip"):
        pullback(y)


@pytest.mark.parametrize("nets", NETS)
def test_chain_applies_in_turn_and_pulls_back_in_reverse(nets):
    rng = np.random.default_rng(6)
    params, x = some_params(rng, 4, 3, 2, nets=nets), normal(rng, *nets, 5, 4)
    layer = layers.chain(affine(1), activate(tanh), affine(2))
    by_hand = np.tanh(x @ params["W1"] + params["b1"][..., None, :]) @ params["W2"]
    np.testing.assert_allclose(layer(params, x)[0], by_hand + params["b2"][..., None, :], rtol=1e-12)
    check_composed(layer, params, x, rng, list(params))
    check_composed(layers.chain(affine(1)), params, x, rng, ["W1", "b1"])  # nothing of the others


def test_a_chain_of_chains_is_one_chain_and_an_empty_one_does_nothing():
    rng = np.random.default_rng(8)
    params, x = some_params(rng, 4, 3, 2), normal(rng, 5, 4)
    chained = [affine(1), activate(relu), affine(2)]
    y, pullback = layers.chain(*chained)(params, x)
    nested, pullback_nested = layers.chain(chained[0], layers.chain(), layers.chain(*chained[1:]))(params, x)
    np.testing.assert_array_equal(nested, y)
    (dx, grads), (dx_nested, grads_nested) = pullback(y), pullback_nested(y)
    np.testing.assert_array_equal(dx_nested, dx)
    for name in params:
        np.testing.assert_array_equal(grads_nested[name], grads[name])
    nothing, pullback = layers.chain()(params, x)
    assert nothing is x
    assert pullback(x) == (x, {})


@pytest.mark.parametrize("nets", NETS)
def test_residual_adds_its_input_and_both_gradients(nets):
    rng = np.random.default_rng(9)
    params, x = some_params(rng, 4, 6, 4, nets=nets), normal(rng, *nets, 5, 4)
    inside = layers.chain(affine(1), activate(tanh), affine(2))
    y, pullback = layers.residual(inside)(params, x)
    inside_y, inside_pullback = inside(params, x)
    np.testing.assert_array_equal(y, x + inside_y)
    np.testing.assert_array_equal(pullback(y)[0], inside_pullback(y)[0] + y)
    check_composed(layers.residual(inside), params, x, rng, list(params))
    twice = layers.chain(layers.residual(inside), layers.residual(activate(tanh)))
    check_composed(twice, params, x, rng, list(params))


# All of them


@given(nets=nets_shapes, shared=st.booleans(), seed=seeds)
def test_composed_layers_of_a_stack_are_each_network_alone(nets, shared, seed):
    rng = np.random.default_rng(seed)
    params = some_params(rng, 4, 6, 4, nets=nets)
    x = normal(rng, 5, 4) if shared else normal(rng, *nets, 5, 4)
    layer = layers.chain(affine(1), activate(tanh), layers.residual(activate(relu)), affine(2))
    y, pullback = layer(params, x)
    _, grads = pullback(y)
    for net in each(nets):
        alone, pullback_alone = layer({k: v[net] for k, v in params.items()}, x if shared else x[net])
        np.testing.assert_array_equal(y[net], alone)
        for name, g in pullback_alone(alone)[1].items():
            np.testing.assert_array_equal(grads[name][net], g)


def test_no_input_is_written_to(device, dtype):
    rng = np.random.default_rng(10)
    x, W, b = (normal(rng, *shape).astype(dtype) for shape in ((5, 4), (2, 4, 3), (2, 3)))
    assert_writes_nothing(device, layers.affine, [x, W, b], rng)
    assert_writes_nothing(device, layers.dropout, [x, some_keys(rng, 2), np.array([0.3, 0.5], dtype)], rng)

    def composed(xp, x, W, b):
        layer = layers.named(lambda x, W, b: layers.affine(xp, x, W, b), "W", "b")
        y, pullback = layers.residual(layers.chain(layer, layers.residual(layers.chain())))(
            {"W": W, "b": b}, x
        )
        return y, lambda dy: (pullback(dy)[0], *pullback(dy)[1].values())

    square = [normal(rng, *shape).astype(dtype) for shape in ((2, 5, 4), (2, 4, 4), (2, 4))]
    assert_writes_nothing(device, composed, square, rng)
