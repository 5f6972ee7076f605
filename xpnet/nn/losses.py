"""Losses: the mean over a batch and its gradient with respect to the scores, in one function each.

Every loss takes ``(xp, scores, target)``: scores ``(*nets, batch, classes)`` and as target either integer
labels ``0 .. classes - 1``, ``(*nets, batch)`` or ``(batch,)`` shared by all networks, or soft targets, the
probability of each class: ``(*nets, batch, classes)`` or ``(batch, classes)``, rows that sum to 1. It
returns ``(loss, dscores)`` with the shapes ``(*nets,)`` and that of ``scores``; the memory order of
``dscores`` is not defined. With a ``factor``, ``(*nets,)``, the gradient is that of ``factor · loss``. Labels
are not checked here; one out of range matches no class.

The losses of `OF_OUTPUTS` take a number for each output instead, ``(*nets, batch, outputs)`` or
``(batch, outputs)``. Every loss accepts row weights of 0 or more, ``(*nets, batch)`` or ``(batch,)``. The
mean is then ``Σ weight · loss / batch``, still divided by the number of rows. So a row of weight 2 counts as
two rows, whatever else is in the batch. With weights from `relative`, this is the weighted mean.
"""

from __future__ import annotations  # else those of inner functions are evaluated in every step

from collections.abc import Callable, Mapping
from typing import TypeAlias

from xpnet.nn.composites import composite, elementwise
from xpnet.typing import Array, Namespace

__all__ = [
    "HUBER_DELTA",
    "LOSSES",
    "NUMBERS",
    "OF_OUTPUTS",
    "OUTPUTS",
    "OUTPUT_OF",
    "absolute_error",
    "classes_first",
    "find",
    "huber",
    "logistic",
    "logistic_cross_entropy",
    "multiclass_hinge",
    "one_hot",
    "poisson_deviance",
    "relative",
    "smooth",
    "softmax",
    "softmax_cross_entropy",
    "squared_error",
]

HUBER_DELTA = 1.0
"""Distance up to which `huber` is squared, in units of the standardised target."""

Loss: TypeAlias = Callable[..., tuple[Array, Array]]
"""``loss(xp, scores, target, weight=None, factor=None)`` returns ``(loss, dscores)``, as described above."""


def softmax(xp: Namespace, scores: Array) -> Array:
    """Return the probabilities ``P`` (4) of scores ``(…, classes)``."""
    P = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    P /= xp.sum(P, axis=-1, keepdims=True)
    return P


def one_hot(xp: Namespace, y: Array, like: Array) -> Array:
    """Return ``Y``, the one-hot "mask matrix" of labels ``(…, batch)``: ``(…, batch, classes)``.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    y
        Integer labels.
    like
        An array with one column per class, and with the dtype and device of the result.
    """
    # Tracers in compiled steps have no device, but then there is only one to choose from.
    device = getattr(like, "device", None)
    return xp.astype(xp.arange(like.shape[-1], dtype=xp.int64, device=device) == y[..., None], like.dtype)


def smooth(xp: Namespace, Y: Array, strength: Array, answers: int | None = None) -> Array:
    """Return targets with label smoothing: ``(1 - strength) Y + strength / answers``.

    From Szegedy et al. (2016, https://arxiv.org/abs/1512.00567).

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    Y
        ``(batch, classes)`` or ``(*nets, batch, classes)``.
    strength
        In [0, 1), ``(*nets,)``; 0 leaves the targets exactly as they are.
    answers
        Number of possible answers: by default the number of classes; 2 if each output is a separate yes-or-no
        question.

    Returns
    -------
    Array
        ``(*nets, batch, classes)``.
    """
    return _smoothed(xp, Y, strength[..., None, None], answers or Y.shape[-1])


@elementwise
def _smoothed(_xp: Namespace, Y: Array, strength: Array, answers: int) -> Array:
    return Y * (1.0 - strength) + strength / answers


@composite
def softmax_cross_entropy(
    xp: Namespace, scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
) -> tuple[Array, Array]:
    r"""Return the mean cross-entropy of softmax probabilities, and its gradient.

    With ``P = softmax(scores)`` (4), the loss of one row with target ``Y`` is ``-Σ_j Y_j log P_j``, which is
    ``log(Σ_j exp(s_j)) - Σ_j Y_j s_j``; for a label ``y``, the second sum is ``s_y``. Its derivative with
    respect to ``s_k`` is ``P_k - Y_k``: the derivative of the logarithm of the sum is the softmax itself.
    Hence, for the mean over ``N`` rows,

    .. math:: \partial L / \partial scores = (P - Y) / N

    (5). In one function, there is neither a division by a small ``P_y`` nor a logarithm of a ``P_y`` that
    underflowed to 0. Subtracting the largest score of each row first does not change the result, but keeps
    every exponential at or below 1.
    """
    Y = classes_first(xp, _as_matrix(xp, target, scores))
    scores = classes_first(xp, scores)
    shifted = scores - xp.max(scores, axis=-2, keepdims=True)
    P = xp.exp(shifted)
    total = xp.sum(P, axis=-2, keepdims=True)
    # `where`, because 0 times a score of minus infinity would be NaN.
    target_score = xp.sum(xp.where(Y != 0, Y * shifted, 0.0), axis=-2, keepdims=True)
    P /= total  # (4)
    P -= Y
    loss = xp.log(total) - target_score
    return _mean(xp, (loss.mT, P.mT), weight, factor)  # (5)


def multiclass_hinge(
    xp: Namespace, scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
) -> tuple[Array, Array]:
    """Return the mean multi-class hinge loss and its gradient.

    The loss of one row with label ``y`` is ``Σ_{j ≠ y} max(0, s_j - s_y + 1)`` (Weston and Watkins 1999).
    Its derivative with respect to ``s_j`` is 1 for every class within the margin, and with respect to ``s_y``
    minus the number of these classes. Soft targets must be one-hot.
    """
    Y = classes_first(xp, _as_matrix(xp, target, scores))
    scores = classes_first(xp, scores)
    # `where`, because 0 times a score of minus infinity, which is beyond any margin, would be NaN.
    margins = scores - xp.sum(xp.where(Y != 0, scores * Y, 0.0), axis=-2, keepdims=True)
    margins += 1.0 - Y  # 1 for all classes but the label, whose margin is then 0
    margins = xp.maximum(margins, 0.0)
    dscores = xp.astype(margins > 0, scores.dtype)
    dscores -= Y * xp.sum(dscores, axis=-2, keepdims=True)
    return _mean(xp, (margins.mT, dscores.mT), weight, factor)


def logistic(xp: Namespace, scores: Array) -> Array:
    """Return ``σ(s) = 1 / (1 + exp(-s))`` of each score: ``(1 + tanh(s / 2)) / 2``, which never overflows."""
    P = xp.tanh(0.5 * scores)
    P *= 0.5
    P += 0.5
    return P


def _sigmoid(xp: Namespace, scores: Array) -> Array:
    """Return `logistic`, but precise for small probabilities, too: ``exp(s) / (1 + exp(s))`` for s < 0."""
    e = xp.exp(-xp.abs(scores))
    return xp.where(scores < 0, e, 1.0) / (1.0 + e)


def logistic_cross_entropy(
    xp: Namespace, scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
) -> tuple[Array, Array]:
    """Return the mean, over the rows, of the cross-entropies of all outputs, and its gradient.

    Each output is a separate yes-or-no question, with the probability ``P = σ(score)`` for yes: one output
    for two classes, or one per label if a row may have several labels. The loss of one score ``s`` with
    target ``t`` is ``-t log P - (1 - t) log(1 - P) = max(0, s) - t s + log(1 + exp(-|s|))``, and its
    derivative is ``P - t``.
    """
    return _mean(xp, _logistic(xp, scores, target), weight, factor)


@elementwise
def _logistic(xp: Namespace, scores: Array, target: Array) -> tuple[Array, Array]:
    of_scores = xp.log1p(xp.exp(-xp.abs(scores)))
    of_scores += xp.maximum(scores, 0.0) - target * scores
    return of_scores, logistic(xp, scores) - target


def squared_error(
    xp: Namespace, scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
) -> tuple[Array, Array]:
    """Return half the mean, over the rows, of the squared distance to the target, and its gradient.

    The loss of one row is ``Σ_j (s_j - t_j)² / 2``, and its derivative with respect to ``s_j`` is
    ``s_j - t_j``.
    """
    return _mean(xp, _squared(xp, scores, target), weight, factor)


@elementwise
def _squared(_xp: Namespace, scores: Array, target: Array) -> tuple[Array, Array]:
    distance = scores - target
    return 0.5 * distance * distance, distance


def absolute_error(
    xp: Namespace, scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
) -> tuple[Array, Array]:
    """Return the mean, over the rows, of the distance to the target, and its gradient.

    The loss of one row is ``Σ_j |s_j - t_j|``, and its derivative with respect to ``s_j`` is the sign of
    ``s_j - t_j``, or 0 if they are equal. It is minimal if each score is the median of the targets.
    """
    return _mean(xp, _absolute(xp, scores, target), weight, factor)


@elementwise
def _absolute(xp: Namespace, scores: Array, target: Array) -> tuple[Array, Array]:
    distance = scores - target
    sign = xp.astype(distance > 0, scores.dtype) - xp.astype(distance < 0, scores.dtype)
    return xp.abs(distance), sign


def huber(
    xp: Namespace, scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
) -> tuple[Array, Array]:
    """Return the mean, over the rows, of Huber's loss, and its gradient.

    It is quadratic near the target and linear far from it (Huber 1964, doi:10.1214/aoms/1177703732). With
    ``d = s - t`` and ``δ`` = `HUBER_DELTA`, the loss of one score is ``d² / 2`` if ``|d| <= δ``, and
    ``δ (|d| - δ / 2)`` otherwise. Its derivative is ``d`` clipped to ``[-δ, δ]``. With this clipped ``c``,
    both cases are ``c (d - c / 2)``.
    """
    return _mean(xp, _huber(xp, scores, target), weight, factor)


@elementwise
def _huber(xp: Namespace, scores: Array, target: Array) -> tuple[Array, Array]:
    distance = scores - target
    cut = xp.where(distance > HUBER_DELTA, HUBER_DELTA, distance)
    cut = xp.where(distance < -HUBER_DELTA, -HUBER_DELTA, cut)
    return cut * (distance - 0.5 * cut), cut


def poisson_deviance(
    xp: Namespace, scores: Array, target: Array, weight: Array | None = None, factor: Array | None = None
) -> tuple[Array, Array]:
    """Return half the mean Poisson deviance of ``exp(scores)``, and its gradient.

    Scores are logarithms of the predictions, and targets are 0 or more. The loss of one score ``s`` with
    target ``t`` is ``t log(t / exp(s)) - t + exp(s)``, where ``0 log 0 = 0``. Its derivative is simply
    ``exp(s) - t``, since the logarithm is the canonical link (McCullagh and Nelder 1989, ch. 2).
    """
    return _mean(xp, _poisson(xp, scores, target), weight, factor)


@elementwise
def _poisson(xp: Namespace, scores: Array, target: Array) -> tuple[Array, Array]:
    predicted = xp.exp(scores)
    counted = target > 0
    of_target = xp.where(counted, target * xp.log(xp.where(counted, target, 1.0)), 0.0) - target
    return of_target - target * scores + predicted, predicted - target


def _mean(
    xp: Namespace, of_rows: tuple[Array, Array], weight: Array | None, factor: Array | None
) -> tuple[Array, Array]:
    """Return the mean of the rows' losses ``(*nets, batch, …)``, and its gradient; consumes the arrays."""
    loss, dscores = of_rows
    n = float(dscores.shape[-2])  # an integer would be compiled into the kernel
    if factor is not None and factor.ndim:
        factor = factor[..., None, None]
    if weight is None:
        return xp.sum(loss, axis=(-2, -1)) / n, _shared(xp, dscores, None, factor, n)
    weight = weight[..., None]
    return xp.sum(loss * (weight / n), axis=(-2, -1)), _shared(xp, dscores, weight, factor, n)


@elementwise
def _shared(_xp: Namespace, dscores: Array, weight: Array | None, factor: Array | None, rows: float) -> Array:
    """Return the gradient of ``factor`` times the mean, from those of the rows; consumes ``dscores``."""
    if weight is not None:
        dscores *= weight / rows if factor is None else factor * weight / rows
    elif factor is not None:
        dscores *= factor / rows
    else:
        dscores /= rows
    return dscores


def relative(xp: Namespace, weight: Array) -> Array:
    """Return row weights ``(…, batch)`` scaled to mean 1; weights that are all 0 stay 0."""
    total = xp.sum(weight, axis=-1, keepdims=True)
    return weight * (weight.shape[-1] / xp.where(total > 0, total, 1.0))


def _as_matrix(xp: Namespace, target: Array, scores: Array) -> Array:
    return one_hot(xp, target, scores) if xp.isdtype(target.dtype, "integral") else target


@composite
def classes_first(_xp: Namespace, a: Array) -> Array:
    """Return an array ``(*nets, batch, classes)`` as ``(*nets, classes, batch)``; do not write to it."""
    return a.mT


LOSSES: Mapping[str, Loss] = {
    "cross-entropy": softmax_cross_entropy,
    "hinge": multiclass_hinge,
}
"""The losses for classes, by name."""

OF_OUTPUTS: Mapping[str, Loss] = {
    "logistic": logistic_cross_entropy,
    "squared-error": squared_error,
    "absolute-error": absolute_error,
    "huber": huber,
    "poisson": poisson_deviance,
}
"""The losses whose target is a number for each output, by name."""


OUTPUTS: Mapping[str, Callable[[Namespace, Array], Array]] = {
    "softmax": softmax,
    "logistic": _sigmoid,
    "not-logistic": lambda xp, scores: _sigmoid(xp, -scores),
    "identity": lambda _xp, scores: scores,
    "exp": lambda xp, scores: xp.exp(scores),
}
"""Functions from scores to predictions, by name: probabilities of one class per row, probabilities of
separate labels, their complements (without the digits that 1 - P loses), numbers, and positive numbers."""

NUMBERS = ("identity", "exp")
"""The names in `OUTPUTS` that predict numbers."""

OUTPUT_OF = {
    "cross-entropy": "softmax",
    "hinge": "softmax",
    "logistic": "logistic",
    "squared-error": "identity",
    "absolute-error": "identity",
    "huber": "identity",
    "poisson": "exp",
}
"""The name in `OUTPUTS` for each loss."""


def find(name: str) -> Loss:
    """Return a loss by its name in `LOSSES` or `OF_OUTPUTS`."""
    return LOSSES[name] if name in LOSSES else OF_OUTPUTS[name]
