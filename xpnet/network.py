"""The multi-layer perceptron: affine – ReLU – … – affine – softmax, by matrix-form backprop.

Parameters are plain data: a flat dict ``{"W1": …, "b1": …, "W2": …}`` that goes in and out of functions.
Leading axes of the parameters are independent networks (see `xpnet.ops`); one network has none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xpnet import ops
from xpnet.errors import InputError
from xpnet.typing import Array, Namespace, Params, Random

__all__ = [
    "MLP",
    "forward",
    "init",
    "loss",
    "loss_and_grads",
    "penalty",
    "predict",
    "scores",
    "stack",
]


@dataclass(frozen=True)
class MLP:
    """Description of a multi-layer perceptron.

    Parameters
    ----------
    sizes
        Number of features, of units in each hidden layer, of classes. ``(3072, 300, 10)`` is the
        two-layer network for CIFAR-10.

    Raises
    ------
    InputError
        Fewer than two sizes, or one below 1.
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise InputError(
                f"a network needs sizes (features, hidden…, classes), each at least 1; got {self.sizes}"
            )

    @property
    def depth(self) -> int:
        """Number of affine layers."""
        return len(self.sizes) - 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter of one network, in the order of the layers."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i in range(1, self.depth + 1):
            shapes[f"W{i}"] = (self.sizes[i - 1], self.sizes[i])
            shapes[f"b{i}"] = (self.sizes[i],)
        return shapes

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the parameters that regularisation applies to: the weights, not the biases."""
        return tuple(f"W{i}" for i in range(1, self.depth + 1))


def init(mlp: MLP, rng: Random, std: float) -> Params:
    """Draw the parameters of one network: weights normal with deviation ``std``, biases zero.

    Parameters
    ----------
    mlp
        The network.
    rng
        Source of randomness on the host; weights are drawn in the order ``W1``, ``W2``, ….
    std
        Standard deviation of the weights.

    Returns
    -------
    Params
        NumPy float64 arrays in the shapes of ``mlp.shapes``.
    """
    return {
        name: std * rng.standard_normal(shape) if name in mlp.weights else np.zeros(shape)
        for name, shape in mlp.shapes.items()
    }


def stack(xp: Namespace, networks: Sequence[Params]) -> Params:
    """Join the parameters of several networks along a new first axis.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    networks
        Parameters of one network each, of the same shapes and dtypes.

    Returns
    -------
    Params
        ``(nets, …)`` arrays.
    """
    return {name: xp.stack([one[name] for one in networks]) for name in networks[0]}


def forward(xp: Namespace, mlp: MLP, params: Params, x: Array) -> tuple[Array, Callable[[Array], Params]]:
    """Return the scores of ``x`` and their pullback.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    mlp, params
        The network; parameters may have leading axes ``*nets``.
    x
        ``(batch, features)``, or ``(*nets, batch, features)``.

    Returns
    -------
    scores : Array
        ``(*nets, batch, classes)``.
    pullback : callable
        ``pullback(dscores)`` returns the gradients of all parameters.
    """
    affine_pullbacks, relu_pullbacks = [], []
    for i in range(1, mlp.depth + 1):
        x, pullback = ops.affine(xp, x, params[f"W{i}"], params[f"b{i}"])  # (1), (3)
        affine_pullbacks.append(pullback)
        if i < mlp.depth:
            x, pullback_relu = ops.relu(xp, x)  # (2)
            relu_pullbacks.append(pullback_relu)

    def pull_back(d: Array) -> Params:
        grads: Params = {}
        for i in range(mlp.depth, 0, -1):
            # (6) (7) and (9) (10); nobody asks for the gradient of the images
            d, grads[f"W{i}"], grads[f"b{i}"] = affine_pullbacks[i - 1](d, need_dx=i > 1)
            if i > 1:
                d = relu_pullbacks[i - 2](d)  # (8)
        return grads

    return x, pull_back


def loss(
    xp: Namespace, mlp: MLP, params: Params, x: Array, y: Array
) -> tuple[Array, Callable[[Array | None], Params]]:
    """Return the cross-entropy of a batch, without the penalty on the weights, and its pullback.

    Parameters
    ----------
    xp, mlp, params, x
        As for `forward`.
    y
        Labels ``(batch,)`` or ``(*nets, batch)``.

    Returns
    -------
    loss : Array
        ``(*nets,)``.
    pullback : callable
        ``pullback(factor)`` returns the gradients of ``factor * loss`` by all parameters; ``factor``
        is ``(*nets,)``, or None for 1. It multiplies the few scores instead of the many weights,
        which is why a training step hands its learning rate in here.
    """
    s, pullback = forward(xp, mlp, params, x)
    value, dscores = ops.softmax_cross_entropy(xp, s, y)

    def pull_back(factor: Array | None = None) -> Params:
        return pullback(dscores if factor is None else dscores * factor[..., None, None])

    return value, pull_back


def penalty(xp: Namespace, mlp: MLP, params: Params, reg: Array | float) -> Array:
    """Return ``0.5 * reg * (ΣW1² + ΣW2² + …)``: the regularisation term; biases are free.

    Parameters
    ----------
    xp, mlp, params
        As for `forward`.
    reg
        Strength, a float or ``(*nets,)``.

    Returns
    -------
    Array
        ``(*nets,)``.
    """
    total = 0.0
    reg = _plain(reg)
    for name in mlp.weights:
        W = params[name]
        total = total + xp.sum(xp.vecdot(W, W), axis=-1)
    return 0.5 * reg * total


def loss_and_grads(
    xp: Namespace, mlp: MLP, params: Params, x: Array, y: Array, reg: Array | float = 0.0
) -> tuple[Array, Params]:
    """Return the regularised loss of a batch and its gradients by all parameters.

    Parameters
    ----------
    xp, mlp, params, x, y
        As for `loss`.
    reg
        Strength of the L2 penalty (`penalty`), a float or ``(*nets,)``.

    Returns
    -------
    loss : Array
        ``(*nets,)``.
    grads : Params
        In the shapes of ``params``.
    """
    value, pullback = loss(xp, mlp, params, x, y)
    grads = pullback(None)
    reg = _plain(reg)
    per_network = reg if isinstance(reg, float) else reg[..., None, None]
    for name in mlp.weights:
        grads[name] += per_network * params[name]
    return value + penalty(xp, mlp, params, reg), grads


def scores(xp: Namespace, mlp: MLP, params: Params, x: Array) -> Array:
    """Return the unnormalised log-probabilities ``(*nets, batch, classes)`` of the rows of ``x``."""
    return forward(xp, mlp, params, x)[0]


def predict(xp: Namespace, mlp: MLP, params: Params, x: Array) -> Array:
    """Return the most probable class ``(*nets, batch)`` of each row of ``x``."""
    return xp.argmax(scores(xp, mlp, params, x), axis=-1)


def _plain(value: Array | float) -> Array | float:
    """A number as a Python float, also if it is NumPy's, which would turn float32 arrays into float64."""
    return float(value) if isinstance(value, int | float) else value
