"""The L2 penalty: the squares of the weights, their part in the loss, and weight decay."""

from __future__ import annotations  # else those of inner functions are evaluated in every step

from collections.abc import Sequence

from xpnet.nn.composites import composite, elementwise
from xpnet.nn.mlp import MLP
from xpnet.typing import Array, Namespace, Params

__all__ = ["kept", "penalty", "plain", "regularised", "squares"]


def penalty(xp: Namespace, mlp: MLP, params: Params, reg: Array | float) -> Array:
    """Return the regularisation term ``0.5 * reg * (ΣW1² + ΣW2² + …)``; biases are not regularised.

    Parameters
    ----------
    xp, mlp, params
        As for `forward`.
    reg
        Strength, a float or ``(*nets,)``.

    Returns
    -------
    Array
        ``(*nets,)``; a plain 0.0 for a ``reg`` of 0.0.
    """
    reg = plain(reg)
    if isinstance(reg, float) and not reg:
        return 0.0
    weights = [params[name] for name in mlp.weights]
    of_weights, _ = squares(xp, weights, weights[0].ndim - 2, None)
    total = xp.sum(of_weights, axis=-1)
    return 0.5 * reg * total if isinstance(reg, float) else regularised(xp, 0.0, reg, of_weights)


@composite
def regularised(xp: Namespace, loss: Array | float, reg: Array, of_weights: Array) -> Array:
    """Return a loss plus its penalty.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    loss
        ``(*nets,)``, or 0.0 for the penalty alone.
    reg
        Strength of the penalty, ``(*nets,)``.
    of_weights
        The result of `squares` for the weights, ``(*nets, parts)``.

    Returns
    -------
    Array
        ``(*nets,)``.
    """
    value = 0.5 * reg * xp.sum(of_weights, axis=-1)
    if not reg.ndim:
        return loss + value
    # `where`, because for a network without a penalty, 0 times an overflowed sum would be NaN.
    return loss + xp.where(reg > 0, value, 0.0)


@composite
def squares(
    xp: Namespace, arrays: Sequence[Array], nets: int, rates: tuple[Array, Array] | None
) -> tuple[Array, Array | None]:
    """Return the sums of squares of each network, in parts; a device may decay the arrays in the same pass.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    arrays
        Each ``(*nets, …)`` with at least one more axis.
    nets
        Number of network axes.
    rates
        Learning rate and decay, ``(*nets,)`` each, if the arrays will then be multiplied by
        ``keep = 1 - learning_rate * decay``; else None.

    Returns
    -------
    squares : Array
        ``(*nets, parts)``: the sum over the last axis is the sum of all squares.
    keep : Array or None
        ``keep``, ``(*nets,)``. None if there is no decay, or if the device has already multiplied the arrays
        in place.
    """
    parts = []
    for a in arrays:
        of_a = xp.vecdot(a, a)
        parts.append(of_a if of_a.ndim > nets else of_a[..., None])
    keep = None if rates is None else kept(xp, *rates)
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1), keep


@elementwise
def kept(_xp: Namespace, learning_rate: Array, decay: Array) -> Array:
    """Return the factor by which weights decay, ``1 - learning_rate * decay``, ``(*nets,)``."""
    return 1.0 - learning_rate * decay


def plain(value: Array | float) -> Array | float:
    """Return a number as a Python float; a NumPy float would turn float32 arrays into float64."""
    return float(value) if isinstance(value, int | float) else value
