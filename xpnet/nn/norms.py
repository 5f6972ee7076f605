"""Normalisation: batch norm and layer norm, each with its pullback (see `xpnet.nn.layers`).

Both normalise values to mean 0 and variance 1, over the batch or over the layer, and then apply a learnt gain
and shift. With ``x̂ = (x - mean) / σ`` and ``σ² = var + ε``, the gradient of Ioffe and Szegedy (2015,
https://arxiv.org/abs/1502.03167) simplifies to

    dx = (dx̂ - mean(dx̂) - x̂ ⊙ mean(dx̂ ⊙ x̂)) / σ

where ``dx̂ = gain ⊙ dy``, and the means are over the same values as the mean of ``x``.
"""

from __future__ import annotations  # else those of inner functions are evaluated in every step

from xpnet.nn.composites import elementwise, whole
from xpnet.typing import Array, Namespace, Pullback, Share

__all__ = ["EPSILON", "STATISTICS_RATE", "batch_norm", "batch_norm_fixed", "follow", "layer_norm"]

EPSILON = 1e-5
"""Added to the variance."""

STATISTICS_RATE = 0.1
"""Fraction by which the running statistics move towards those of the batch in each step."""


def batch_norm(
    xp: Namespace,
    x: Array,
    gain: Array,
    shift: Array,
    mean: Array,
    variance: Array,
    share: Share | None = None,
) -> tuple[Array, Pullback]:
    """Normalise each unit over the batch, in training.

    If several processes share the batch, statistics and gradients are those of all rows: ``dgain`` and
    ``dshift`` are already sums over all processes, and must not be summed again.

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
    share
        Which rows of the batch ``x`` holds; all by default.

    Returns
    -------
    y : Array
        Shape of ``x``.
    pullback : callable
        ``pullback(dy)`` returns ``(dx, dgain, dshift, dmean, dvariance)``. The last two are not gradients but
        the differences between the running statistics and those of the batch (with its unbiased variance).
        The running statistics are updated as ``mean - STATISTICS_RATE * dmean``.
    """
    rows = x.shape[-2] if share is None else share.rows

    def mean_of_rows(a: Array) -> Array:
        if share is None:
            return xp.mean(a, axis=-2, keepdims=True)
        (total,) = whole(xp, xp.sum(a, axis=-2, keepdims=True))
        return total / rows

    batch_mean = mean_of_rows(x)
    centred, squares = _centred(xp, x, batch_mean)
    batch_variance = mean_of_rows(squares)
    normal, y = _normalised(xp, centred, batch_variance, gain[..., None, :], shift[..., None, :])

    def pullback(dy: Array) -> tuple[Array, ...]:
        dshift = xp.sum(dy, axis=-2)
        dgain = xp.sum(dy * normal, axis=-2)
        if share is not None:
            dshift, dgain = whole(xp, dshift, dgain)
        # With dx̂ = gain ⊙ dy, the two means are gain ⊙ dshift / n and gain ⊙ dgain / n.
        sums = dgain[..., None, :], dshift[..., None, :]
        dx = _pulled_back(xp, dy, normal, *sums, gain[..., None, :], batch_variance, float(rows))
        of_batch = batch_mean[..., 0, :], batch_variance[..., 0, :]
        return dx, dgain, dshift, *_distances(xp, mean, variance, *of_batch, rows / max(rows - 1, 1))

    return y, pullback


def batch_norm_fixed(
    xp: Namespace, x: Array, gain: Array, shift: Array, mean: Array, variance: Array
) -> tuple[Array, Pullback]:
    """Normalise each unit by its running statistics, at evaluation: an affine map of every unit.

    Parameters and returns are those of `batch_norm`; the last two of the pullback are 0.
    """
    of_units = (a[..., None, :] for a in (variance, gain, shift))
    normal, y = _normalised(xp, x - mean[..., None, :], *of_units)

    def pullback(dy: Array) -> tuple[Array, ...]:
        dx = dy * (gain / xp.sqrt(variance + EPSILON))[..., None, :]
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
    centred, squares = _centred(xp, x, xp.mean(x, axis=-1, keepdims=True))
    variance = xp.mean(squares, axis=-1, keepdims=True)
    normal, y = _normalised(xp, centred, variance, gain[..., None, :], shift[..., None, :])

    def pullback(dy: Array) -> tuple[Array, ...]:
        dgain, dshift = xp.sum(dy * normal, axis=-2), xp.sum(dy, axis=-2)
        dnormal, along = _times(xp, dy, gain[..., None, :], normal)
        mean, slope = (xp.mean(a, axis=-1, keepdims=True) for a in (dnormal, along))
        return _less_means(xp, dnormal, normal, mean, slope, variance), dgain, dshift

    return y, pullback


@elementwise
def follow(_xp: Namespace, statistic: Array, distance: Array) -> Array:
    """Update a running statistic in place, given its difference from the pullback of `batch_norm`.

    Both arguments and the result are ``(*nets, units)``.
    """
    statistic -= STATISTICS_RATE * distance
    return statistic


@elementwise
def _centred(_xp: Namespace, x: Array, mean: Array) -> tuple[Array, Array]:
    """Return ``x - mean`` and its square."""
    centred = x - mean
    return centred, centred * centred


@elementwise
def _normalised(
    xp: Namespace, centred: Array, variance: Array, gain: Array, shift: Array
) -> tuple[Array, Array]:
    """Return ``x̂``, which overwrites ``x - mean``, and ``gain ⊙ x̂ + shift``."""
    centred *= 1.0 / xp.sqrt(variance + EPSILON)
    y = centred * gain
    y += shift
    return centred, y


@elementwise
def _pulled_back(
    xp: Namespace,
    dy: Array,
    normal: Array,
    dgain: Array,
    dshift: Array,
    gain: Array,
    variance: Array,
    rows: float,
) -> Array:
    """Return ``dx`` of `batch_norm`."""
    dx = normal * (dgain / -rows)
    dx += dy
    dx -= dshift / rows
    dx *= gain / xp.sqrt(variance + EPSILON)
    return dx


@elementwise
def _distances(
    _xp: Namespace, mean: Array, variance: Array, of_mean: Array, of_variance: Array, unbiased: float
) -> tuple[Array, Array]:
    """Return the differences between running statistics and those of a batch."""
    return mean - of_mean, variance - of_variance * unbiased


@elementwise
def _times(_xp: Namespace, dy: Array, gain: Array, normal: Array) -> tuple[Array, Array]:
    """Return ``dx̂`` and ``dx̂ ⊙ x̂``."""
    dnormal = dy * gain
    return dnormal, dnormal * normal


@elementwise
def _less_means(
    xp: Namespace, dnormal: Array, normal: Array, mean: Array, slope: Array, variance: Array
) -> Array:
    """Return ``dx`` of `layer_norm`, which overwrites ``dx̂``."""
    dnormal -= mean
    dnormal -= normal * slope
    dnormal *= 1.0 / xp.sqrt(variance + EPSILON)
    return dnormal
