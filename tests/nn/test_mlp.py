"""The description of a network: names and shapes of its parameters, what is refused, how they are drawn."""

from typing import get_args

import numpy as np
import pytest

from xpnet.errors import InputError
from xpnet.nn import mlp as mlp_module
from xpnet.nn.activations import ACTIVATIONS
from xpnet.nn.mlp import MLP, init

# The description


def test_description_of_the_two_layer_network():
    mlp = MLP((3072, 300, 10))
    assert mlp.depth == 2
    assert mlp.shapes == {"W1": (3072, 300), "b1": (300,), "W2": (300, 10), "b2": (10,)}
    assert list(mlp.shapes) == ["W1", "b1", "W2", "b2"]
    assert mlp.weights == ("W1", "W2")
    assert mlp.statistics == ()
    assert (mlp.activation, mlp.norm, mlp.residual) == ("relu", "none", False)


def test_batch_norm_follows_every_hidden_affine_layer():
    mlp = MLP((5, 4, 3, 2), norm="batch")
    assert list(mlp.shapes.items()) == [
        *(("W1", (5, 4)), ("b1", (4,)), ("g1", (4,)), ("s1", (4,)), ("m1", (4,)), ("v1", (4,))),
        *(("W2", (4, 3)), ("b2", (3,)), ("g2", (3,)), ("s2", (3,)), ("m2", (3,)), ("v2", (3,))),
        *(("W3", (3, 2)), ("b3", (2,))),
    ]
    assert mlp.weights == ("W1", "W2", "W3")
    assert mlp.statistics == ("m1", "v1", "m2", "v2")


def test_layer_norm_has_no_statistics():
    mlp = MLP((5, 4, 2), norm="layer")
    assert list(mlp.shapes) == ["W1", "b1", "g1", "s1", "W2", "b2"]
    assert mlp.statistics == ()


def test_residual_blocks_are_four_times_as_wide_inside():
    mlp = MLP((5, 3, 3, 3, 2), norm="layer", residual=True)
    assert mlp.depth == 4
    assert list(mlp.shapes.items()) == [
        *(("W1", (5, 3)), ("b1", (3,))),
        *(("g2", (3,)), ("s2", (3,)), ("W2a", (3, 12)), ("b2a", (12,)), ("W2b", (12, 3)), ("b2b", (3,))),
        *(("g3", (3,)), ("s3", (3,)), ("W3a", (3, 12)), ("b3a", (12,)), ("W3b", (12, 3)), ("b3b", (3,))),
        *(("g4", (3,)), ("s4", (3,)), ("W4", (3, 2)), ("b4", (2,))),
    ]
    assert mlp.weights == ("W1", "W2a", "W2b", "W3a", "W3b", "W4")
    batch = MLP((5, 3, 3, 2), norm="batch", residual=True)
    assert batch.statistics == ("m2", "v2", "m3", "v3")
    assert list(MLP((5, 3, 3, 2), residual=True).shapes) == [
        *("W1", "b1", "W2a", "b2a", "W2b", "b2b", "W3", "b3")
    ]


@pytest.mark.parametrize("norm", get_args(mlp_module.Norm))
@pytest.mark.parametrize("residual", [False, True])
def test_every_parameter_has_one_of_the_known_roles(norm, residual):
    shapes = MLP((5, 4, 4, 3), norm=norm, residual=residual).shapes
    assert {name[0] for name in shapes} == set({"none": "Wb", "layer": "Wbgs", "batch": "Wbgsmv"}[norm])
    assert all(len(shape) == (2 if name[0] == "W" else 1) for name, shape in shapes.items())


def test_every_activation_can_be_described():
    assert get_args(mlp_module.Activation) == tuple(ACTIVATIONS)
    for name in ACTIVATIONS:
        assert MLP((4, 3, 2), activation=name).activation == name


def test_a_description_is_compared_by_what_it_says():
    assert MLP((4, 3, 2)) == MLP((4, 3, 2), "relu", "none", residual=False)
    assert len({MLP((4, 3, 2)), MLP((4, 3, 2), norm="layer"), MLP((4, 3, 2), "tanh"), MLP((4, 3, 2))}) == 3


# What is no network


@pytest.mark.parametrize("sizes", [(), (4,), (4, 0), (4, -1, 3), (0, 3), 5, (4, 2.5), ("a", 3)])
def test_sizes_of_no_network(sizes):
    with pytest.raises(InputError, match="sizes") as caught:
        MLP(sizes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "valid"), [("activation", ", ".join(ACTIVATIONS)), ("norm", "none, batch, layer")]
)
def test_unknown_names_are_refused_with_the_known_ones(field, valid):
    with pytest.raises(InputError, match=f"there is no {field} 'sine': use {valid}$"):
        MLP((4, 3, 2), **{field: "sine"})


@pytest.mark.parametrize("sizes", [(5, 3), (5, 3, 4, 2), (5, 3, 3, 4, 2)])
def test_residual_blocks_of_several_widths_or_none_are_refused(sizes):
    MLP(sizes)
    with pytest.raises(InputError, match="one width") as caught:
        MLP(sizes, residual=True)
    assert str(sizes[1:-1]) in str(caught.value)


# Initial parameters


@pytest.mark.parametrize("source", [np.random.default_rng, np.random.RandomState])
def test_init_draws_the_weights_in_order_and_leaves_biases_zero(source):
    params = init(MLP((4, 3, 2)), source(5), 0.01)
    rng = source(5)
    assert list(params) == ["W1", "b1", "W2", "b2"]
    np.testing.assert_array_equal(params["W1"], 0.01 * rng.standard_normal((4, 3)))
    np.testing.assert_array_equal(params["W2"], 0.01 * rng.standard_normal((3, 2)))
    np.testing.assert_array_equal(params["b1"], np.zeros(3))
    np.testing.assert_array_equal(params["b2"], np.zeros(2))
    assert {p.dtype for p in params.values()} == {np.dtype("float64")}


@pytest.mark.parametrize("scheme", get_args(mlp_module.Init))
@pytest.mark.parametrize("norm", get_args(mlp_module.Norm))
@pytest.mark.parametrize("residual", [False, True])
def test_every_scheme_draws_the_same_numbers_and_scales_them(scheme, norm, residual):
    mlp = MLP((6, 4, 4, 3), norm=norm, residual=residual)
    params, rng = init(mlp, np.random.default_rng(5), 0.01, scheme), np.random.default_rng(5)
    assert {name: p.shape for name, p in params.items()} == mlp.shapes
    assert list(params) == list(mlp.shapes)
    for name, p in params.items():
        assert p.dtype == np.float64
        if name[0] == "W":
            inputs, outputs = p.shape
            deviation = {"normal": 0.01, "he": (2 / inputs) ** 0.5, "glorot": (2 / (inputs + outputs)) ** 0.5}
            np.testing.assert_allclose(p, deviation[scheme] * rng.standard_normal(p.shape), rtol=1e-15)
        else:
            np.testing.assert_array_equal(p, np.full(p.shape, 1.0 if name[0] in "gv" else 0.0))


@pytest.mark.parametrize(("scheme", "deviation"), [("normal", 0.3), ("he", 0.1), ("glorot", 0.08)])
def test_deviations_of_the_schemes(scheme, deviation):
    """Measured on 22,400 weights: 2 / 200 and 2 / (200 + 112) are 0.1² and 0.08²."""
    W = init(MLP((200, 112, 2)), np.random.default_rng(6), 0.3, scheme)["W1"]
    assert abs(W.std() / deviation - 1) < 0.02
    assert abs(W.mean()) < 4 * deviation / W.size**0.5
