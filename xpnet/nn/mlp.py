"""The description of a multi-layer perceptron: its layers, and the names and shapes of its parameters.

Parameters are plain data, a flat dict. In a name, the first letter is the role and the number is the layer:
``W`` weights and ``b`` biases of an affine layer; ``g`` gain, ``s`` shift, ``m`` running mean and ``v``
running variance of a normalisation. The two affine layers of a residual block have an ``a`` and a ``b``
after the number: ``W2a``, ``W2b``.
"""

import math
import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from xpnet.errors import InputError
from xpnet.nn.activations import ACTIVATIONS
from xpnet.typing import Params, Random
from xpnet.values import shown

__all__ = ["EXPANSION", "MLP", "Activation", "Init", "Norm", "init", "operations"]

Activation = Literal["relu", "leaky-relu", "gelu", "silu", "soft-abs", "tanh", "logistic", "identity"]
Norm = Literal["none", "batch", "layer"]
Init = Literal["normal", "he", "glorot"]

EXPANSION = 4
"""Ratio of the inner width of a residual block to its input width."""


@dataclass(frozen=True)
class MLP:
    """Description of a multi-layer perceptron.

    Plain: affine – norm – activation – dropout for each hidden layer, then affine to the scores. Residual:
    affine to the first hidden layer; for each further one a block ``x + f(x)`` with ``f`` = norm – affine
    to `EXPANSION` times the width – activation – dropout – affine back (an inverted bottleneck, Bachmann et
    al. 2023, https://arxiv.org/abs/2306.13575); then norm and affine to the scores.

    Parameters
    ----------
    sizes
        Numbers of features, of units in each hidden layer, and of classes. ``(3072, 300, 10)`` is the
        two-layer network for CIFAR-10.
    activation
        Name in `xpnet.nn.activations.ACTIVATIONS`.
    norm
        Normalisation, over the batch or over the units of the layer.
    residual
        Whether the hidden layers after the first are residual blocks; all must then have the same width.

    Raises
    ------
    InputError
        There are fewer than two sizes, a size is below 1, a name is unknown, or residual blocks differ in
        width.
    """

    sizes: tuple[int, ...]
    activation: Activation = "relu"
    norm: Norm = "none"
    residual: bool = False

    def __post_init__(self) -> None:
        try:
            usable = len(self.sizes) >= 2 and min(map(operator.index, self.sizes)) >= 1
        except TypeError:
            usable = False
        if not usable:
            given = shown(self.sizes)
            raise InputError(
                f"a network needs sizes (features, hidden…, classes), each at least 1; got {given}"
            )
        if self.activation not in ACTIVATIONS:
            raise InputError(f"there is no activation {self.activation!r}: use {', '.join(ACTIVATIONS)}")
        if self.norm not in get_args(Norm):
            raise InputError(f"there is no norm {self.norm!r}: use {', '.join(get_args(Norm))}")
        hidden = self.sizes[1:-1]
        if self.residual and (len(hidden) < 2 or len(set(hidden)) > 1):
            raise InputError(f"residual blocks need two or more hidden layers of one width, not {hidden}")

    @property
    def depth(self) -> int:
        """Number of layers; a residual block counts as one."""
        return len(self.sizes) - 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter of one network, in the order of the layers."""
        shapes: dict[str, tuple[int, ...]] = {}

        def affine(name: str, inputs: int, outputs: int) -> None:
            shapes.update({f"W{name}": (inputs, outputs), f"b{name}": (outputs,)})

        def norm(i: int, units: int) -> None:
            shapes.update(dict.fromkeys(self.norm_names(i), (units,)))

        for i in range(1, self.depth + 1):
            inputs, outputs = self.sizes[i - 1 : i + 1]
            is_last = i == self.depth
            if self.residual and 1 < i < self.depth:
                norm(i, inputs)
                affine(f"{i}a", inputs, EXPANSION * inputs)
                affine(f"{i}b", EXPANSION * inputs, outputs)
            elif self.residual and is_last:
                norm(i, inputs)
                affine(f"{i}", inputs, outputs)
            else:
                affine(f"{i}", inputs, outputs)
                if not (self.residual or is_last):
                    norm(i, outputs)
        return shapes

    def norm_names(self, i: int) -> tuple[str, ...]:
        """Names of the parameters of the normalisation of layer ``i``."""
        letters = {"none": "", "layer": "gs", "batch": "gsmv"}[self.norm]
        return tuple(f"{letter}{i}" for letter in letters)

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """Names of the regularised parameters, which are the weights only."""
        return tuple(name for name in self.shapes if name.startswith("W"))

    @cached_property
    def of_batches(self) -> tuple[str, ...]:
        """Names of the parameters of batch norms, whose gradients are already sums over all processes."""
        return tuple(name for name in self.shapes if self.norm == "batch" and name[0] in "gsmv")

    @cached_property
    def statistics(self) -> tuple[str, ...]:
        """Names of the running statistics, which batches update, not gradients."""
        return tuple(name for name in self.shapes if name[0] in "mv")


def init(mlp: MLP, rng: Random, std: float, scheme: Init = "normal") -> Params:
    """Draw the parameters of one network: normal weights; gains and variances are 1, everything else is 0.

    Parameters
    ----------
    mlp
        The network.
    rng
        Source of randomness on the host; weights are drawn in the order ``W1``, ``W2``, ….
    std
        Standard deviation of the weights with ``"normal"``.
    scheme
        ``"normal"``; or a standard deviation that depends on the shape ``(in, out)`` of each matrix:
        ``"he"``, ``√(2 / in)`` (He et al. 2015, https://arxiv.org/abs/1502.01852), or ``"glorot"``,
        ``√(2 / (in + out))`` (Glorot and Bengio 2010).

    Returns
    -------
    Params
        NumPy float64 arrays in the shapes of ``mlp.shapes``.

    Raises
    ------
    InputError
        The scheme is unknown.
    """
    if scheme not in get_args(Init):
        raise InputError(f"there is no init {scheme!r}: use {', '.join(get_args(Init))}")
    params: Params = {}
    for name, shape in mlp.shapes.items():
        if name.startswith("W"):
            by_shape = {"he": math.sqrt(2.0 / shape[0]), "glorot": math.sqrt(2.0 / sum(shape))}
            params[name] = by_shape.get(scheme, std) * rng.standard_normal(shape)
        else:
            params[name] = np.ones(shape) if name[0] in "gv" else np.zeros(shape)
    return params


def operations(mlp: MLP, batch: int) -> int:
    """Return the floating-point operations of a training step, counting three products for every layer."""
    return 6 * batch * sum(math.prod(mlp.shapes[name]) for name in mlp.weights)
