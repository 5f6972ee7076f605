"""Affine layers and dropout, each with its gradient, and how to compose layers.

A layer returns its value and its *pullback*: the function that takes the gradient of the loss with
respect to the value and returns a tuple of gradients, one for each input. What the gradient needs stays
in the closure, so forward and backward stand side by side. More layers are in `xpnet.nn.activations`,
`xpnet.nn.norms` and, with the gradient instead of a pullback, `xpnet.nn.losses`.

Shapes: rows are samples, and any leading axes (``*nets``) are independent networks. ``x`` is
``(*nets, batch, in)``, or ``(batch, in)`` when all networks see the same batch; ``W`` is
``(*nets, in, out)``; ``b`` is ``(*nets, out)``. The numbers (1) to (10) are those of the equations in
the README.
"""

from __future__ import annotations  # else those of inner functions are evaluated in every step

from collections.abc import Callable

from xpnet.nn import noise
from xpnet.nn.composites import composite, elementwise
from xpnet.typing import Array, Layer, Namespace, Params, Product, Pullback, Share

__all__ = ["affine", "chain", "dropout", "named", "residual", "sum_of_rows"]

VALUES_OF_BITS = 65536
"""Number of different values that `xpnet.nn.noise.random_bits` draws."""


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

    Each network has its own product, even if all share the same ``x``, so that a network gets the same bits
    in a stack as on its own. One wide product ``(batch, in) x (in, nets * out)`` would do the same work, but
    its bits would depend on the number of networks; and on a CPU it is faster only for the smallest networks.

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
        Whether to return the gradient with respect to ``W`` as a `Product`, for an update that multiplies it
        out into ``W`` itself.
    activation
        One of `xpnet.nn.activations.BIASED`, which adds the bias and applies the activation in one pass.

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
    """Return ``1ᵀ dy``, the sum over the batch: from ``(*nets, batch, units)`` to ``(*nets, units)``."""
    return xp.sum(dy, axis=-2)


def dropout(
    xp: Namespace, x: Array, key: Array, rate: Array, share: Share | None = None
) -> tuple[Array, Pullback]:
    """Set units to 0 with probability ``rate`` and scale the others to keep the mean; and the pullback.

    "Inverted" dropout (Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html): with a
    mask ``m`` that is 1 with probability ``1 - rate``, ``y = x ⊙ m / (1 - rate)`` and
    ``dx = dy ⊙ m / (1 - rate)``, so that nothing is left to do at evaluation.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    x
        ``(*nets, batch, units)``, or ``(batch, units)`` shared by all networks, which drop different units.
    key
        Key of the noise (`xpnet.nn.noise`), int32 ``(*nets,)``.
    rate
        Probability in [0, 1), ``(*nets,)``; rounded to a multiple of 1/65536.
    share
        Which rows of the batch ``x`` holds, to get their masks; all by default.

    Returns
    -------
    y : Array
        ``(*nets, batch, units)``. With a rate of 0, exactly ``x``.
    pullback : callable
        ``pullback(dy)`` returns ``(dx,)`` in the shape of ``y``.
    """
    mask = _mask(xp, noise.random_bits(xp, key, x.shape[-2:], share), rate[..., None, None])
    return x * mask, lambda dy: (dy * mask,)


@elementwise
def _mask(xp: Namespace, bits: Array, rate: Array) -> Array:
    """Return 0 for units that are dropped, and the scale factor for the others."""
    kept = xp.maximum(xp.round((1.0 - rate) * VALUES_OF_BITS), 1.0)
    mask = xp.astype(bits < xp.astype(kept, xp.int32), kept.dtype)
    mask *= VALUES_OF_BITS / kept
    return mask


def named(layer: Callable[..., tuple[Array, Pullback]], *names: str) -> Layer:
    """Return a layer that looks up its parameters by these names, and returns gradients under the same names.

    Parameters
    ----------
    layer
        ``layer(x, *parameters)`` returns its value and a pullback to ``(dx, *gradients)``.
    names
        Names of the parameters, in the order in which ``layer`` takes them.
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
    """Return the layer ``x + layer(x)``; its gradient is the sum of those of both paths."""

    def apply(params: Params, x: Array) -> tuple[Array, Callable[[Array], tuple[Array, Params]]]:
        y, pullback = layer(params, x)

        def pull_back(dy: Array) -> tuple[Array, Params]:
            dx, grads = pullback(dy)
            return dx + dy, grads

        return x + y, pull_back

    return apply
