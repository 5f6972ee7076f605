"""Activations: values by their formulas, slopes by finite differences, kinks, and the edges of float."""

import math

import numpy as np
import pytest
from gradcheck import numerical_gradient
from hypothesis import given
from layers import NETS, assert_each_alone, assert_writes_nothing, check_layer, nets_shapes, seeds, sizes

from xpnet.nn.activations import ACTIVATIONS, SLOPE

FORMULAS = {
    "relu": lambda x: max(0.0, x),
    "leaky-relu": lambda x: x if x > 0 else 0.01 * x,
    "gelu": lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "soft-abs": lambda x: x * math.tanh(x),
    "tanh": math.tanh,
    "logistic": lambda x: 1 / (1 + math.exp(-x)),
    "identity": lambda x: x,
}
KINKED = {"relu", "leaky-relu"}

every_activation = pytest.mark.parametrize("name", list(ACTIVATIONS))


def slopes(name, x):
    """The derivative at every number of ``x``, by finite differences of the formula."""

    def total(params):
        return math.fsum(FORMULAS[name](float(value)) for value in params["x"].ravel())

    return numerical_gradient(total, {"x": x}, pattern=lambda params: [params["x"] > 0])["x"]


def test_every_activation_has_its_formula_here():
    assert set(FORMULAS) == set(ACTIVATIONS)


@every_activation
@pytest.mark.parametrize("nets", NETS)
def test_values_and_slopes(device, dtype, assert_close, name, nets):
    rng = np.random.default_rng(0)
    x, dy = 2.0 * rng.standard_normal((*nets, 3, 4)), rng.standard_normal((*nets, 3, 4))
    y, pullback = ACTIVATIONS[name](device.xp, device.put(x, dtype))
    (dx,) = pullback(device.put(dy, dtype))
    assert_close(y, np.vectorize(FORMULAS[name])(x))
    assert_close(dx, slopes(name, x) * dy, rtol=1e-5 if dtype == "float32" else 1e-9)


@every_activation
@pytest.mark.parametrize("nets", NETS)
def test_gradients_by_finite_differences(name, nets):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((*nets, 5, 3))
    pattern = (lambda p: [p["x"] > 0]) if name in KINKED else None
    check_layer(ACTIVATIONS[name], {"x": x}, rng, pattern=pattern)


@every_activation
@given(nets=nets_shapes, n=sizes, units=sizes, seed=seeds)
def test_a_stack_is_each_network_alone(name, nets, n, units, seed):
    rng = np.random.default_rng(seed)
    assert_each_alone(ACTIVATIONS[name], nets, [rng.standard_normal((*nets, n, units))], rng)


@every_activation
def test_no_input_is_written_to(device, dtype, name):
    rng = np.random.default_rng(2)
    assert_writes_nothing(device, ACTIVATIONS[name], [rng.standard_normal((2, 5, 3)).astype(dtype)], rng)


# Kinks and edges


@pytest.mark.parametrize(("name", "below"), [("relu", 0.0), ("leaky-relu", SLOPE)])
def test_at_the_kink_the_slope_is_the_lower_one(device, dtype, assert_close, name, below):
    x = np.array([0.0, -0.0, -1.0, 1.0])
    y, pullback = ACTIVATIONS[name](device.xp, device.put(x, dtype))
    assert_close(y, [0.0, 0.0, -below, 1.0])
    assert_close(pullback(device.put(np.ones(4), dtype))[0], [below, below, below, 1.0])


@every_activation
def test_what_is_not_a_number_is_not_hidden(device, dtype, name):
    x = device.put(np.array([np.nan, 0.0]), dtype)
    y, pullback = ACTIVATIONS[name](device.xp, x)
    np.testing.assert_array_equal(device.to_host(y), [np.nan, FORMULAS[name](0.0)])
    (dx,) = pullback(device.put(np.array([1.0, np.nan]), dtype))
    assert np.isnan(device.to_host(dx)[1])


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("relu", (0.0, np.inf)),
        ("leaky-relu", (-np.inf, np.inf)),
        ("tanh", (-1.0, 1.0)),
        ("soft-abs", (np.inf, np.inf)),
        ("logistic", (0.0, 1.0)),
        ("identity", (-np.inf, np.inf)),
    ],
)
def test_infinity(device, dtype, name, ends):
    y, _ = ACTIVATIONS[name](device.xp, device.put(np.array([-np.inf, np.inf]), dtype))
    np.testing.assert_array_equal(device.to_host(y), ends)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e9])
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("gelu", 0.0, 1.0),
        ("silu", 0.0, 1.0),
        ("soft-abs", -1.0, 1.0),
        ("tanh", 0.0, 0.0),
        ("leaky-relu", SLOPE, 1.0),
    ],
)
def test_far_from_zero_the_slope_is_its_limit(name, low, high, dtype, size):
    """Plain NumPy, outside a device's context: an overflow on the way would be a warning, so an error."""
    x = np.array([-size, size], dtype)
    y, pullback = ACTIVATIONS[name](np, x)
    expected = [-1.0, 1.0] if name == "tanh" else [low * -size, high * size]
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    np.testing.assert_allclose(pullback(np.ones_like(x))[0], [low, high], rtol=1e-6)
