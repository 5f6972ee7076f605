"""Solvers: one step against its formula, what decays, and what is consumed."""

import numpy as np
import pytest

from xpnet import optimizers

NETS = [(), (3,), (2, 3)]
SHAPES = {"W1": (4, 3), "b1": (3,), "W2": (3, 2), "b2": (2,)}
WEIGHTS = ("W1", "W2")


def draw(rng, nets):
    return {name: rng.standard_normal((*nets, *shape)) for name, shape in SHAPES.items()}


def test_one_step_by_hand(device, dtype, put_params, assert_close):
    """With decay 1/4: weights keep 3/4 and lose their gradient, biases only lose theirs."""
    params = {"W1": np.array([[4.0, -8.0]]), "b1": np.array([4.0, -8.0])}
    grads = {"W1": np.array([[1.0, 2.0]]), "b1": np.array([1.0, 2.0])}
    new = optimizers.sgd(put_params(params), put_params(grads), ("W1",), device.put(np.array(0.25), dtype))
    assert_close(new, {"W1": [[2.0, -8.0]], "b1": [3.0, -10.0]})


@pytest.mark.parametrize("nets", NETS)
def test_step_is_that_of_the_regularised_loss(device, dtype, put_params, assert_close, nets):
    """``W - rate * (dW + reg * W)``, with a rate and a strength for each network."""
    rng = np.random.default_rng(0)
    params, grads = draw(rng, nets), draw(rng, nets)
    rate, reg = rng.uniform(0.1, 1.0, nets), rng.uniform(0.1, 1.0, nets)

    def over(value, shape):
        return value.reshape(nets + (1,) * len(shape))

    scaled = {name: over(rate, SHAPES[name]) * g for name, g in grads.items()}
    new = optimizers.sgd(
        put_params(params),
        {name: device.put(g, dtype) for name, g in scaled.items()},
        WEIGHTS,
        device.put(rate * reg, dtype),
    )
    expected = {
        name: p
        - over(rate, SHAPES[name]) * (grads[name] + (over(reg, SHAPES[name]) * p if name in WEIGHTS else 0.0))
        for name, p in params.items()
    }
    assert_close(new, expected)


def test_only_the_parameters_are_consumed(device, dtype, put_params):
    """On ``numpy-read-only`` a write to the gradients would raise; elsewhere they are compared."""
    grads = draw(np.random.default_rng(1), (2,))
    scaled = {name: device.put(g.astype(dtype)) for name, g in grads.items()}
    decay = device.put(np.array([0.1, 0.2]), dtype)
    optimizers.sgd(put_params(draw(np.random.default_rng(2), (2,))), scaled, WEIGHTS, decay)
    for name, g in grads.items():
        np.testing.assert_array_equal(device.to_host(scaled[name]), g.astype(dtype))
    np.testing.assert_array_equal(device.to_host(decay), np.array([0.1, 0.2], dtype))


def test_numpy_parameters_are_updated_in_place():
    params = draw(np.random.default_rng(3), ())
    before = dict(params)
    new = optimizers.sgd(params, draw(np.random.default_rng(4), ()), WEIGHTS, np.asarray(0.1))
    for name, array in before.items():
        assert new[name] is array
