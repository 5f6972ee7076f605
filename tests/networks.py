"""What tests of whole networks share: one of every kind, parameters, and their scores by the definition."""

from unittest import mock

import numpy as np

from xpnet.nn import backprop
from xpnet.nn.activations import ACTIVATIONS, BIASED
from xpnet.nn.backprop import Training
from xpnet.nn.mlp import MLP

NETWORKS = [
    MLP((5, 3)),
    MLP((5, 4, 3)),
    MLP((5, 6, 4, 3)),
    MLP((5, 6, 4, 3), "gelu", norm="batch"),
    MLP((5, 6, 4, 3), "tanh", norm="layer"),
    MLP((5, 4, 4, 3), residual=True),
    MLP((5, 4, 4, 4, 3), "silu", norm="batch", residual=True),
    MLP((5, 4, 4, 3), "leaky-relu", norm="layer", residual=True),
]


def random_params(mlp, rng, nets=(), std=0.5):
    """Parameters of every network, none of them zero; variances are positive."""
    params = {name: std * rng.standard_normal((*nets, *shape)) for name, shape in mlp.shapes.items()}
    for name, value in params.items():
        if name[0] in "gv":
            params[name] = 0.5 + np.abs(value)
    return params


def of_net(params, net):
    return {name: value[net] for name, value in params.items()}


def random_training(rng, nets=()):
    """Rates are the same numbers in every dtype."""
    hidden, inputs = rng.integers(6, 30, (2, *nets)) / 64
    return Training(hidden, inputs, rng.integers(-(2**31), 2**31, nets, dtype=np.int32))


def training_of(training, net):
    return Training(*(value[net] for value in training[:3]))


def learnt(mlp, arrays):
    """Without the running statistics, of which there are no gradients."""
    return {name: value for name, value in arrays.items() if name not in mlp.statistics}


def pattern_of(mlp, x, training=None):
    """Which hidden units are active on which rows: changes where the loss has a kink."""

    def pattern(params):
        active = []

        def activation(xp, z):
            active.append(z > 0)
            return function(xp, z)

        def biased(xp, x, b):
            return activation(xp, x + b)

        function = ACTIVATIONS[mlp.activation]
        name = mlp.activation
        with mock.patch.dict(ACTIVATIONS, {name: activation}), mock.patch.dict(BIASED, {name: biased}):
            backprop.forward(np, mlp, params, x, training)
        return active

    return pattern if mlp.activation in ("relu", "leaky-relu") else None


def scores_by_definition(mlp, params, x, in_training=False):
    """The scores of one network as `MLP` tells them, layer by layer."""

    def affine(x, name):
        return x @ params[f"W{name}"] + params[f"b{name}"]

    def norm(x, i):
        if mlp.norm == "none":
            return x
        mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
        if mlp.norm == "batch":
            mean, variance = (x.mean(0), x.var(0)) if in_training else (params[f"m{i}"], params[f"v{i}"])
        return (x - mean) / np.sqrt(variance + 1e-5) * params[f"g{i}"] + params[f"s{i}"]

    def activate(x):
        return ACTIVATIONS[mlp.activation](np, x)[0]

    last = len(mlp.sizes) - 1
    if mlp.residual:
        x = affine(x, 1)
        for i in range(2, last):
            x = x + affine(activate(affine(norm(x, i), f"{i}a")), f"{i}b")
        return affine(norm(x, last), last)
    for i in range(1, last):
        x = activate(norm(affine(x, i), i))
    return affine(x, last)
