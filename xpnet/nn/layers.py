"""The layers that join units, each with its gradient: affine and dropout; and how layers are composed.

A layer returns its value and its *pullback*: the function that takes the gradient of the loss with
respect to the value and returns a tuple of gradients, one for each input. What the gradient needs stays
in the closure, so forward and backward stand side by side. The rooms beside this one hold more of them:
`xpnet.nn.activations`, `xpnet.nn.norms` and, with the gradient instead of a pullback, `xpnet.nn.losses`.

Shapes: rows are samples, and any leading axes (``*nets``) are independent networks. ``x`` is
``(*nets, batch, in)``, or ``(batch, in)`` when all networks see the same batch; ``W`` is
``(*nets, in, out)``; ``b`` is ``(*nets, out)``. The numbers (1) to (10) are those of the equations in
the README.
"""

from __future__ import annotations  # those of inner functions would be evaluated in every step

from collections.abc import Callable

from xpnet.nn import noise
from xpnet.nn.composites import composite, elementwise
from xpnet.typing import Array, Layer, Namespace, Params, Product, Pullback, Share

__all__ = ["affine", "chain", "dropout", "named", "residual", "sum_of_rows"]

VALUES_OF_BITS = 65536
"""Numbers that `xpnet.nn.noise.random_bits` draws from."""


def affine(
    xp: Namespace,
    x: Array,
    W: Array,
    b: Array,
    need_dx: bool = True,
    in_factors: bool = False,
    activation: Callable[..., tuple[Array, Pullback]] | None = None,
) -> tuple[Array, Pullback]:
    """Return ``x W + b`` and its pullback, equations (1) and (3); with an activation ``f(x W + b)``, and (2).

    Each network has its own products, even if all share the same ``x``. One wide product ``(batch, in) x (in,
    nets * out)`` would do the same work and, on a CPU, is faster for the smallest networks only; but its bits
    would depend on the number of networks. So a network of a stack has the same bits as alone.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    x
        ``(*nets, batch, in)``, or ``(batch, in)`` shared by all networks.
    W
        ``(*nets, in, out)``.
    b
        ``(*nets, out)``.
    need_dx
        Whether to compute the gradient with respect to ``x``. The first layer does not need it, and it is a
        third of the work.
    in_factors
        Whether the gradient with respect to ``W`` is wanted as a `Product`: for an update that multiplies
        it out into ``W`` itself.
    activation
        One of `xpnet.nn.activations.BIASED`, which adds the bias and applies the activation in one go.

    Returns
    -------
    y : Array
        ``(*nets, batch, out)``.
    pullback : callable
        ``pullback(dy)`` returns ``(dx, dW, db)`` in the shapes of ``x``, ``W`` and ``b``; ``dx`` is None
        without ``need_dx``.
    """
    y = xp.matmul(x, W)
    bend: Pullback | None = None
    if activation is None:
        y += b[..., None, :]
    else:
        y, bend = activation(xp, y, b[..., None, :])

    def pullback(dy: Array) -> tuple[Array, Array, Array]:
        if bend is not None:
            (dy,) = bend(dy)  # (8), second half
        dx = None
        if need_dx:
            dx = xp.matmul(dy, W.mT)  # (8), first half
            if dx.ndim > x.ndim:  # a shared x gets the sum over the networks that share it
                dx = xp.sum(dx, axis=tuple(range(dx.ndim - x.ndim)))
        dW = Product(x, dy)  # (6), (9)
        return dx, dW if in_factors else dW.multiply(xp), sum_of_rows(xp, dy)  # (7), (10)

    return y, pullback


@composite
def sum_of_rows(xp: Namespace, dy: Array) -> Array:
    """Return ``1ᵀ dy``, ``(*nets, units)`` of ``(*nets, batch, units)``."""
    return xp.sum(dy, axis=-2)


def dropout(
    xp: Namespace, x: Array, key: Array, rate: Array, share: Share | None = None
) -> tuple[Array, Pullback]:
    """Set units to 0 with probability ``rate`` and scale the others so that the mean stays; and the pullback.

    "Inverted" dropout (Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html): with a
    mask ``m`` that is 1 with probability ``1 - rate``, ``y = x ⊙ m / (1 - rate)`` and
    ``dx = dy ⊙ m / (1 - rate)``, so that nothing is left to do at evaluation.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    x
        ``(*nets, batch, units)``, or ``(batch, units)`` when all networks see the same: each drops its own.
    key
        Key of the noise (`xpnet.nn.noise`), int32 ``(*nets,)``.
    rate
        Probability in [0, 1), ``(*nets,)``; kept to the nearest 1/65536.
    share
        What rows of a batch ``x`` has: it gets their masks. All by default.

    Returns
    -------
    y : Array
        ``(*nets, batch, units)``. With a rate of 0, ``x`` to the bit.
    pullback : callable
        ``pullback(dy)`` returns ``(dx,)`` in the shape of ``y``.
    """
    mask = _mask(xp, noise.random_bits(xp, key, x.shape[-2:], share), rate[..., None, None])
    return x * mask, lambda dy: (dy * mask,)


@elementwise
def _mask(xp: Namespace, bits: Array, rate: Array) -> Array:
    """Return 0 where a unit is dropped, else what the others are multiplied by."""
    kept = xp.maximum(xp.round((1.0 - rate) * VALUES_OF_BITS), 1.0)
    mask = xp.astype(bits < xp.astype(kept, xp.int32), kept.dtype)
    mask *= VALUES_OF_BITS / kept
    return mask


def named(layer: Callable[..., tuple[Array, Pullback]], *names: str) -> Layer:
    """Return the layer that takes its parameters by these names and returns their gradients so.

    Parameters
    ----------
    layer
        ``layer(x, *parameters)`` returns its value and a pullback to ``(dx, *gradients)``.
    names
        Of the parameters, in the order in which ``layer`` takes them.
    """

    def apply(params: Params, x: Array) -> tuple[Array, Callable[[Array], tuple[Array, Params]]]:
        y, pullback = layer(x, *[params[name] for name in names])

        def pull_back(dy: Array) -> tuple[Array, Params]:
            dx, *grads = pullback(dy)
            return dx, dict(zip(names, grads, strict=True))

        return y, pull_back

    return apply


def chain(*layers: Layer) -> Layer:
    """Return the layer that applies ``layers`` in turn; its pullback runs theirs in reverse (chain rule)."""

    def apply(params: Params, x: Array) -> tuple[Array, Callable[[Array], tuple[Array, Params]]]:
        pullbacks = []
        for layer in layers:
            x, pullback = layer(params, x)
            pullbacks.append(pullback)

        def pull_back(dy: Array) -> tuple[Array, Params]:
            grads: Params = {}
            for pullback in reversed(pullbacks):
                dy, of_layer = pullback(dy)
                grads |= of_layer
            return dy, grads

        return x, pull_back

    return apply


def residual(layer: Layer) -> Layer:
    """Return the layer ``x + layer(x)``; the gradient goes both ways, and the two are added."""

    def apply(params: Params, x: Array) -> tuple[Array, Callable[[Array], tuple[Array, Params]]]:
        y, pullback = layer(params, x)

        def pull_back(dy: Array) -> tuple[Array, Params]:
            dx, grads = pullback(dy)
            return dx + dy, grads

        return x + y, pull_back

    return apply
