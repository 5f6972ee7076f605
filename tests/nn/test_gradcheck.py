"""The gradient checker itself: it passes right gradients and, above all, rejects wrong ones."""

import gradcheck
import numpy as np
import pytest
from gradcheck import GradientError, KinkError, check_gradient, numerical_gradient

from xpnet.nn import backprop
from xpnet.nn.mlp import MLP, init


def smooth(params):
    """A function of two parameters that has every derivative."""
    u, V = params["u"], params["V"]
    return float(np.sum(np.exp(u)) + np.sum(np.sin(V)) * np.sum(u**3))


def gradient_of_smooth(params):
    u, V = params["u"], params["V"]
    return {"u": np.exp(u) + 3 * u**2 * np.sum(np.sin(V)), "V": np.cos(V) * np.sum(u**3)}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def point(rng):
    return {"u": rng.standard_normal(5), "V": rng.standard_normal((3, 4))}


@pytest.fixture
def net(rng):
    """The loss of a two-layer network, a point, its gradient there, and the pattern of its units."""
    mlp = MLP((6, 8, 4))
    params = init(mlp, rng, 0.5)
    params = {name: p + 0.1 * rng.standard_normal(p.shape) for name, p in params.items()}
    x, y = rng.standard_normal((7, 6)), rng.integers(4, size=7)

    def loss(params):
        return float(backprop.loss_and_grads(np, mlp, params, x, y, 0.1)[0])

    def pattern(params):
        return [x @ params["W1"] + params["b1"] > 0]

    return loss, params, backprop.loss_and_grads(np, mlp, params, x, y, 0.1)[1], pattern


def test_passes_the_gradient_of_a_smooth_function(point, rng):
    check_gradient(smooth, point, gradient_of_smooth(point), rng)


def test_numerical_gradient_of_a_smooth_function(point):
    measured, exact = numerical_gradient(smooth, point), gradient_of_smooth(point)
    for name in point:
        np.testing.assert_allclose(measured[name], exact[name], rtol=1e-10)


def test_passes_the_gradient_of_a_network(net, rng):
    loss, params, grads, pattern = net
    check_gradient(loss, params, grads, rng, pattern=pattern)


def scaled(grads, factor, names):
    return {name: g * factor if name in names else g for name, g in grads.items()}


@pytest.mark.parametrize("factor", [1.001, 0.999, -1.0, 0.0, np.nan])
@pytest.mark.parametrize("names", [("W1", "b1", "W2", "b2"), ("W1",), ("b1",), ("W2",), ("b2",)])
def test_rejects_a_gradient_off_by_a_thousandth_or_of_the_wrong_sign(net, rng, factor, names):
    loss, params, grads, pattern = net
    with pytest.raises(GradientError, match="along a direction in"):
        check_gradient(loss, params, scaled(grads, factor, names), rng, pattern=pattern)


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
def test_rejects_one_number_off_by_a_thousandth(net, rng, name):
    loss, params, grads, pattern = net
    wrong = grads | {name: grads[name].copy()}
    largest = np.unravel_index(np.argmax(np.abs(wrong[name])), wrong[name].shape)
    wrong[name][largest] *= 1.001
    with pytest.raises(GradientError, match=name):
        check_gradient(loss, params, wrong, rng, pattern=pattern)


def test_rejects_a_missing_parameter_and_a_wrong_shape(net, rng):
    loss, params, grads, _ = net
    with pytest.raises(GradientError, match="names and shapes"):
        check_gradient(loss, params, {k: g for k, g in grads.items() if k != "b2"}, rng)
    with pytest.raises(GradientError, match="names and shapes"):
        check_gradient(loss, params, grads | {"b2": grads["b2"][None]}, rng)


def kinked(params):
    return float(np.sum(np.abs(params["u"])))


def sign(params):
    return [params["u"] > 0]


def test_a_kink_close_by_is_avoided(rng):
    # A kink at 0.5 and at 0.05 steps from the point: without the pattern the quotients mix two slopes.
    params = {"u": np.array([0.5, 0.05]) * gradcheck.STEP}
    with pytest.raises(GradientError):
        check_gradient(kinked, params, {"u": np.ones(2)}, rng)
    check_gradient(kinked, params, {"u": np.ones(2)}, rng, pattern=sign)


def test_a_point_on_a_kink_is_refused(rng):
    params = {"u": np.zeros(2)}
    with pytest.raises(KinkError, match="move the point"):
        check_gradient(kinked, params, {"u": np.ones(2)}, rng, pattern=sign)


def test_numerical_gradient_refuses_a_kink():
    with pytest.raises(KinkError, match="lies within"):
        numerical_gradient(kinked, {"u": np.zeros(2)}, pattern=sign)
