"""Moments, principal components and whitening of rows that come chunk by chunk.

So a data set of small integers is never in memory as floats. Products are in the dtype of the chunks; sums
over chunks and decompositions are in the widest dtype of the device.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from xpnet.typing import Array, Namespace

__all__ = ["Chunks", "Standardized", "inverse_deviation", "moments", "principal", "projection"]

Chunks: TypeAlias = Callable[[], Iterable[Array]]
"""Each call iterates over the rows again, in chunks ``(some rows, features)`` of floats."""

POWERS = 2
"""Number of times the covariance is applied to the random start. On 2,000 images of CIFAR-10, the 150
components found hold 99.8 % of the variance of the 150 best. With one application it is 98.9 %, at 3/5 of the
cost."""


@dataclass(frozen=True, eq=False)
class Standardized:
    """Rows to be analysed as if they were standardised.

    The scale is applied to the thin matrices around the rows, which is cheaper than to the rows: with
    ``S = diag(scale)`` their covariance is ``C = S (Σ cᵀ c) S / count``, summed over the chunks ``c``.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    chunks
        The rows less their mean.
    count
        Number of rows.
    scale
        ``(features,)``: the factor that makes the variance of a feature 1, or 0 to leave the feature out.
    dtype
        Dtype of the chunks.
    """

    xp: Namespace = field(repr=False)
    chunks: Chunks = field(repr=False)
    count: int
    scale: Array = field(repr=False)
    dtype: Any

    def average(self, term: Callable[[Array], Array]) -> Array:
        """Return the sum of ``term(chunk)`` over the chunks, divided by the number of rows."""
        wide, total = _widest(self.xp, self.scale), 0.0
        for chunk in self.chunks():
            total = total + self.xp.astype(term(chunk), wide)
        return total / self.count


def moments(xp: Namespace, chunks: Chunks, need_variance: bool = True) -> tuple[Array, Array]:
    """Return the mean and the variance ``(features,)`` of the rows.

    The squares of each chunk are summed about its own mean and combined by the formulas of Chan, Golub and
    LeVeque (1983, doi:10.1080/00031305.1983.10483115). So no precision is lost if a mean is large compared
    with the standard deviation.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    chunks
        The rows, at least one. Floats, which are overwritten; or integers if only the mean is needed.
    need_variance
        Whether to compute the variance; if not, it is returned as 0.
    """
    count, mean, squares = 0, 0.0, 0.0
    for rows in chunks():
        n, wide = rows.shape[0], _widest(xp, rows)
        if need_variance:
            shift = xp.mean(rows, axis=0)  # the chunk's mean up to rounding, which `rest` corrects
            rows -= shift
            rest = xp.sum(rows, axis=0, dtype=wide) / n
            own_mean = xp.astype(shift, wide) + rest
            rows *= rows
            squares = squares + (xp.sum(rows, axis=0, dtype=wide) - n * xp.square(rest))
            squares += (count * n / (count + n)) * xp.square(own_mean - mean)
        else:
            own_mean = xp.sum(rows, axis=0, dtype=wide) / n
        mean = mean + (own_mean - mean) * (n / (count + n))
        count += n
    if not need_variance:
        return mean, xp.zeros_like(mean)
    return mean, xp.maximum(squares / count, 0.0 * mean)


def inverse_deviation(xp: Namespace, mean: Array, variance: Array, dtype: Any) -> Array:
    """Return 1 over the standard deviation of each feature, or 0 if that is only rounding error of the mean.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    mean, variance
        ``(features,)``, as `moments` returns them.
    dtype
        Dtype of the rows.
    """
    deviation = xp.sqrt(variance)
    varies = deviation > 8 * float(xp.finfo(dtype).eps) * xp.abs(mean)
    return xp.where(varies, 1.0 / xp.where(varies, deviation, 1.0), 0.0)


def projection(
    rows: Standardized, num_components: int, *, ridge: float | None = None, rotate_back: bool = False
) -> Array:
    """Return the matrix ``(features, outputs)`` that maps centred rows to their principal components.

    With the eigenvectors ``U`` and eigenvalues ``λ`` of the covariance of the standardised rows, it is
    ``S U D`` or, rotated back, ``S U D Uᵀ``. The diagonal matrix ``D`` is ``1 / sqrt(λ + ridge)`` to whiten,
    or else ``1 / sqrt(mean(λ))``, which makes the average variance of the outputs 1.

    Parameters
    ----------
    rows
        The rows.
    num_components
        Number of components to keep.
    ridge
        Added to the variances before whitening; None for no whitening.
    rotate_back
        Whether to rotate the outputs back to features.
    """
    xp = rows.xp
    variances, components = principal(rows, num_components)
    variances = xp.maximum(variances, 0.0 * variances)
    divided_by = xp.mean(variances) + 0.0 * variances if ridge is None else variances + ridge
    # A direction in which the rows vary only by rounding is left out, not amplified.
    varies = divided_by > float(xp.finfo(rows.dtype).eps) * variances[0]
    matrix = components * xp.where(varies, 1.0 / xp.sqrt(xp.where(varies, divided_by, 1.0)), 0.0)
    if rotate_back:
        matrix = xp.matmul(matrix, components.mT)
        matrix *= xp.astype(rows.scale > 0, matrix.dtype)  # features that are left out become exactly 0
    return xp.astype(rows.scale[:, None], matrix.dtype) * matrix


def principal(rows: Standardized, num_components: int) -> tuple[Array, Array]:
    """Return the largest eigenvalues of the covariance, and their eigenvectors.

    If many are wanted, they are exact, and the time grows with the cube of the number of features, or of rows
    if these are fewer. Otherwise they come from a random projection, which is the same in every fit.

    Parameters
    ----------
    rows
        The rows.
    num_components
        Number of eigenpairs to return.

    Returns
    -------
    eigenvalues : Array
        ``(num_components,)``, largest first. Also from a random projection, they are the variances of the
        rows along the eigenvectors.
    eigenvectors : Array
        ``(features, num_components)``. The sign is chosen so that the entry of largest magnitude is positive.
    """
    xp, num_features = rows.xp, rows.scale.shape[0]
    size = num_components + 10 + num_components // 5  # more directions than requested
    if 4 * size < min(num_features, rows.count):
        start = np.random.default_rng(0).standard_normal((num_features, size))
        found = _randomised(rows, xp.asarray(start, dtype=rows.dtype, device=rows.scale.device))
    elif num_components <= rows.count < num_features:
        found = _exact_of_few(rows)
    else:
        found = _exact(rows)
    eigenvalues, eigenvectors = found[0][:num_components], found[1][:, :num_components]
    turned = xp.max(eigenvectors, axis=0) + xp.min(eigenvectors, axis=0) < 0
    return eigenvalues, xp.where(turned, -eigenvectors, eigenvectors)


def _exact(rows: Standardized) -> tuple[Array, Array]:
    """Return all eigenpairs of the covariance."""
    xp = rows.xp
    covariance = rows.average(lambda c: xp.matmul(c.mT, c))
    scale = xp.astype(rows.scale, covariance.dtype)
    covariance *= scale
    covariance *= scale[:, None]
    return _largest_first(xp, covariance)


def _exact_of_few(rows: Standardized) -> tuple[Array, Array]:
    """Return as many eigenpairs of the covariance as there are rows; all other eigenvalues are 0.

    With the standardised rows ``C = U Σ Vᵀ``, the covariance ``CᵀC / count`` has the eigenvectors ``V``, and
    the small matrix ``CCᵀ / count`` has the eigenvectors ``U`` for the same eigenvalues; ``V = CᵀU / Σ``.
    """
    xp = rows.xp
    C = xp.concat([xp.astype(chunk, _widest(xp, chunk)) for chunk in rows.chunks()])
    C *= xp.astype(rows.scale, C.dtype)
    eigenvalues, U = _largest_first(xp, xp.matmul(C, C.mT) / rows.count)
    limits = xp.finfo(C.dtype)
    floor = 10 * float(limits.eps) * eigenvalues[0] + float(limits.smallest_normal)
    of_rows = xp.matmul(C.mT, U / xp.sqrt(rows.count * xp.maximum(eigenvalues, floor)))
    return eigenvalues, of_rows


def _randomised(rows: Standardized, start: Array) -> tuple[Array, Array]:
    """Return approximately the largest eigenpairs of the covariance, as many as ``start`` has columns.

    This is subspace iteration, then the eigenvectors within the subspace found: Halko, Martinsson and Tropp
    (2011), algorithms 4.4 and 5.3, doi:10.1137/090771806. The covariance itself is never formed; its product
    with ``Q`` is ``S cᵀ (c (S Q)) / count``.
    """
    xp = rows.xp
    scale = xp.astype(rows.scale[:, None], rows.dtype)

    def product(SQ: Array, c: Array) -> Array:
        return xp.matmul(c.mT, xp.matmul(c, SQ))

    def within(SQ: Array, c: Array) -> Array:
        projected = xp.matmul(c, SQ)
        return xp.matmul(projected.mT, projected)

    Q = start
    for _ in range(POWERS):
        Z = rows.average(partial(product, scale * Q))
        Z *= xp.astype(scale, Z.dtype)
        Q = xp.astype(_orthonormal(xp, Z), start.dtype)
    eigenvalues, U = _largest_first(xp, rows.average(partial(within, scale * Q)))
    return eigenvalues, xp.matmul(xp.astype(Q, U.dtype), U)


def _orthonormal(xp: Namespace, Z: Array) -> Array:
    """Return an orthonormal basis of the columns of ``Z``.

    It uses the small matrix ``Zᵀ Z = U Λ Uᵀ``: the columns of ``Z U Λ^(-1/2)`` are orthonormal. This takes a
    fraction of the time of a QR decomposition of the tall ``Z``. Directions lost to rounding get a norm below
    1, and so count for less afterwards.
    """
    eigenvalues, U = _largest_first(xp, xp.matmul(Z.mT, Z))
    limits = xp.finfo(Z.dtype)
    floor = 10 * float(limits.eps) * eigenvalues[0] + float(limits.smallest_normal)
    return xp.matmul(Z, U / xp.sqrt(xp.maximum(eigenvalues, floor)))


def _largest_first(xp: Namespace, symmetric: Array) -> tuple[Array, Array]:
    eigenvalues, eigenvectors = xp.linalg.eigh(symmetric)
    return xp.flip(eigenvalues), xp.flip(eigenvectors, axis=-1)


def _widest(xp: Namespace, like: Array) -> Array:
    """Return the widest floating dtype of an array's device: float64, or float32 if it has no float64."""
    if not hasattr(xp, "__array_namespace_info__"):  # NumPy 2.0
        return xp.float64
    dtypes = xp.__array_namespace_info__().dtypes(device=like.device, kind="real floating")
    return dtypes.get("float64", dtypes["float32"])
