"""Normalisation: batch norm and layer norm, each with its pullback (see `xpnet.nn.layers`).

Both map a unit's values to mean 0 and variance 1, over the batch or over the layer, and then to a gain and
a shift that are learnt. With ``n`` values ``x``, ``x̂ = (x - mean) / σ`` and ``σ² = var + ε``, the gradient
is that of Ioffe and Szegedy (2015, https://arxiv.org/abs/1502.03167), gathered:

    dx = (dx̂ - mean(dx̂) - x̂ ⊙ mean(dx̂ ⊙ x̂)) / σ

where ``dx̂ = gain ⊙ dy`` and the means are taken over the same values as the mean of ``x``.
"""

from __future__ import annotations  # those of inner functions would be evaluated in every step

from xpnet.typing import Array, Namespace, Pullback

__all__ = ["EPSILON", "STATISTICS_RATE", "batch_norm", "batch_norm_fixed", "layer_norm"]

EPSILON = 1e-5
"""Added to the variance."""

STATISTICS_RATE = 0.1
"""Part of the way that the running statistics go towards those of a batch, a step."""


def batch_norm(
    xp: Namespace, x: Array, gain: Array, shift: Array, mean: Array, variance: Array
) -> tuple[Array, Pullback]:
    """Normalise each unit over the batch, in training.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    x
        ``(*nets, batch, units)``, at least two rows.
    gain, shift
        ``(*nets, units)``.
    mean, variance
        Running statistics ``(*nets, units)``, for evaluation; not used here.

    Returns
    -------
    y : Array
        Shape of ``x``.
    pullback : callable
        ``pullback(dy)`` returns ``(dx, dgain, dshift, dmean, dvariance)``. The last two are not gradients
        but how far the running statistics are from those of the batch (its variance the unbiased one);
        the step that ends with ``mean - STATISTICS_RATE * dmean`` is their update.
    """
    rows = x.shape[-2]
    batch_mean = xp.mean(x, axis=-2, keepdims=True)
    normal = x - batch_mean
    batch_variance = xp.mean(normal * normal, axis=-2, keepdims=True)
    per_sigma = 1.0 / xp.sqrt(batch_variance + EPSILON)
    normal *= per_sigma
    y = normal * gain[..., None, :]
    y += shift[..., None, :]

    def pullback(dy: Array) -> tuple[Array, ...]:
        dshift = xp.sum(dy, axis=-2)
        dgain = xp.sum(dy * normal, axis=-2)
        # With dx̂ = gain ⊙ dy, its two means are gain ⊙ dshift / n and gain ⊙ dgain / n.
        dx = normal * (dgain / -rows)[..., None, :]
        dx += dy
        dx -= (dshift / rows)[..., None, :]
        dx *= gain[..., None, :] * per_sigma
        dmean = mean - batch_mean[..., 0, :]
        dvariance = variance - batch_variance[..., 0, :] * (rows / max(rows - 1, 1))
        return dx, dgain, dshift, dmean, dvariance

    return y, pullback


def batch_norm_fixed(
    xp: Namespace, x: Array, gain: Array, shift: Array, mean: Array, variance: Array
) -> tuple[Array, Pullback]:
    """Normalise each unit by its running statistics, at evaluation: an affine map of every unit.

    Parameters and returns are those of `batch_norm`; the last two of the pullback are 0.
    """
    per_sigma = 1.0 / xp.sqrt(variance + EPSILON)
    normal = x - mean[..., None, :]
    normal *= per_sigma[..., None, :]
    y = normal * gain[..., None, :]
    y += shift[..., None, :]

    def pullback(dy: Array) -> tuple[Array, ...]:
        dx = dy * (gain * per_sigma)[..., None, :]
        dgain, dshift = xp.sum(dy * normal, axis=-2), xp.sum(dy, axis=-2)
        return dx, dgain, dshift, xp.zeros_like(mean), xp.zeros_like(variance)

    return y, pullback


def layer_norm(xp: Namespace, x: Array, gain: Array, shift: Array) -> tuple[Array, Pullback]:
    """Normalise each row over its units (Ba et al. 2016, https://arxiv.org/abs/1607.06450).

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    x
        ``(*nets, batch, units)``.
    gain, shift
        ``(*nets, units)``.

    Returns
    -------
    y : Array
        Shape of ``x``.
    pullback : callable
        ``pullback(dy)`` returns ``(dx, dgain, dshift)``.
    """
    normal = x - xp.mean(x, axis=-1, keepdims=True)
    per_sigma = 1.0 / xp.sqrt(xp.mean(normal * normal, axis=-1, keepdims=True) + EPSILON)
    normal *= per_sigma
    y = normal * gain[..., None, :]
    y += shift[..., None, :]

    def pullback(dy: Array) -> tuple[Array, ...]:
        dgain, dshift = xp.sum(dy * normal, axis=-2), xp.sum(dy, axis=-2)
        dx = dy * gain[..., None, :]
        mean = xp.mean(dx, axis=-1, keepdims=True)
        slope = xp.mean(dx * normal, axis=-1, keepdims=True)
        dx -= mean
        dx -= normal * slope
        dx *= per_sigma
        return dx, dgain, dshift

    return y, pullback
