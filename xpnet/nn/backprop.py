"""Scores, loss and gradients of a network: matrix-form backprop on one page.

Parameters are plain data, a flat dict (see `xpnet.nn.mlp`), in and out of functions. Leading axes of the
parameters are independent networks (see `xpnet.nn.layers`); one network has none.
"""

from __future__ import annotations  # else those of inner functions are evaluated in every step

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple

from xpnet.nn import layers, noise, norms
from xpnet.nn.activations import ACTIVATIONS, BIASED
from xpnet.nn.losses import find
from xpnet.nn.mlp import MLP
from xpnet.nn.penalty import penalty, plain
from xpnet.typing import Array, Layer, Namespace, Params, Share

__all__ = [
    "Training",
    "forward",
    "loss",
    "loss_and_grads",
    "predict",
    "scores",
    "stack",
]


class Training(NamedTuple):
    """What differs in a forward pass during training: dropout noise, and batch statistics.

    Attributes
    ----------
    dropout, input_dropout
        Rates of the hidden layers and of the input, ``(*nets,)``; None for no dropout.
    key
        Key of the noise (`xpnet.nn.noise`), int32 ``(*nets,)``; each layer derives its own key from it.
    share
        Which rows of the batch these are, if several processes share it; None for all.
    """

    dropout: Array | None = None
    input_dropout: Array | None = None
    key: Array | None = None
    share: Share | None = None


def forward(
    xp: Namespace,
    mlp: MLP,
    params: Params,
    x: Array,
    training: Training | None = None,
    in_factors: Collection[str] = (),
) -> tuple[Array, Callable[[Array], Params]]:
    """Return the scores of ``x`` and their pullback.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    mlp, params
        The network; parameters may have leading axes ``*nets``.
    x
        ``(batch, features)``, or ``(*nets, batch, features)``.
    training
        None at evaluation.
    in_factors
        Names of the weights whose gradients to return as `xpnet.typing.Product`, not multiplied out.

    Returns
    -------
    scores : Array
        ``(*nets, batch, classes)``.
    pullback : callable
        ``pullback(dscores)`` returns the gradients of all parameters; for the running statistics, it returns
        the differences described in `xpnet.nn.norms.batch_norm`.
    """
    if training is not None and training.input_dropout is not None:
        key = noise.fold_in(xp, training.key, 0)
        x, _ = layers.dropout(xp, x, key, training.input_dropout, training.share)
    s, pullback = layers.chain(*_layers(xp, mlp, training, in_factors))(params, x)
    return s, lambda dscores: pullback(dscores)[1]


def _layers(xp: Namespace, mlp: MLP, training: Training | None, in_factors: Collection[str]) -> list[Layer]:
    """Return the layers in the order of their application."""

    def affine(name: str, active: bool = False) -> list[Layer]:  # (1), (3); back: (6) to (10)
        """Return the layer of that name; if ``active``, fused with the activation (2)."""
        W, b = f"W{name}", f"b{name}"
        how = {"need_dx": name != "1", "in_factors": W in in_factors}
        activation = BIASED[mlp.activation] if active else None
        return [layers.named(partial(layers.affine, xp, **how, activation=activation), W, b)]

    def norm(i: int) -> list[Layer]:
        of_batch = (
            norms.batch_norm_fixed if training is None else partial(norms.batch_norm, share=training.share)
        )
        function = {"none": None, "layer": norms.layer_norm, "batch": of_batch}[mlp.norm]
        return [layers.named(partial(function, xp), *mlp.norm_names(i))] if function else []

    def activate() -> list[Layer]:  # (2); back: (8)
        return [layers.named(partial(ACTIVATIONS[mlp.activation], xp))]

    def drop(i: int) -> list[Layer]:
        if training is None or training.dropout is None:
            return []
        key = noise.fold_in(xp, training.key, i)
        how = {"key": key, "rate": training.dropout, "share": training.share}
        return [layers.named(partial(layers.dropout, xp, **how))]

    last = mlp.depth
    stages: list[Layer] = []
    if mlp.residual:
        for i in range(2, last):
            block = [*norm(i), *affine(f"{i}a", active=True), *drop(i), *affine(f"{i}b")]
            stages.append(layers.residual(layers.chain(*block)))
        return [*affine("1"), *stages, *norm(last), *affine(f"{last}")]
    for i in range(1, last):
        between = norm(i)
        bent = [*affine(f"{i}"), *between, *activate()] if between else affine(f"{i}", active=True)
        stages += [*bent, *drop(i)]
    return [*stages, *affine(f"{last}")]


def loss(
    xp: Namespace,
    mlp: MLP,
    params: Params,
    x: Array,
    target: Array,
    training: Training | None = None,
    kind: str = "cross-entropy",
    weight: Array | None = None,
    in_factors: Collection[str] = (),
    factor: Array | None = None,
) -> tuple[Array, Callable[[], Params]]:
    """Return the loss of a batch, without the penalty on the weights, and its pullback.

    Parameters
    ----------
    xp, mlp, params, x, training, in_factors
        As for `forward`.
    target
        Labels ``(batch,)`` or ``(*nets, batch)``, or soft targets (`xpnet.nn.losses`).
    kind
        Name of the loss, see `xpnet.nn.losses.find`.
    weight
        Weights of the rows, ``(batch,)`` or ``(*nets, batch)``, as the loss takes them; None for 1 each.
    factor
        Factor on the gradients, ``(*nets,)``; None for 1. A step of plain gradient descent passes its
        learning rate here, because multiplying the few scores by it is cheaper than multiplying the many
        weights.

    Returns
    -------
    loss : Array
        ``(*nets,)``.
    pullback : callable
        ``pullback()`` returns the gradients of ``factor * loss`` with respect to all parameters.
    """
    s, pullback = forward(xp, mlp, params, x, training, in_factors)
    value, dscores = find(kind)(xp, s, target, weight, factor)
    return value, lambda: pullback(dscores)


def loss_and_grads(
    xp: Namespace,
    mlp: MLP,
    params: Params,
    x: Array,
    y: Array,
    reg: Array | float = 0.0,
    kind: str = "cross-entropy",
    weight: Array | None = None,
) -> tuple[Array, Params]:
    """Return the regularised loss of a batch, as at evaluation, and its gradients.

    Parameters
    ----------
    xp, mlp, params, x
        As for `forward`.
    y
        As ``target`` for `loss`.
    reg
        Strength of the L2 penalty (`xpnet.nn.penalty`), a float or ``(*nets,)``.
    kind, weight
        As for `loss`.

    Returns
    -------
    loss : Array
        ``(*nets,)``.
    grads : Params
        Gradients in the shapes of ``params``.
    """
    value, pullback = loss(xp, mlp, params, x, y, kind=kind, weight=weight)
    grads = pullback()
    reg = plain(reg)
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


def stack(xp: Namespace, networks: Sequence[Params]) -> Params:
    """Stack the parameters of several networks along a new first axis.

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
