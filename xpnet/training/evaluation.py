"""Evaluation during training: loss and score on many rows.

The score is the accuracy for classes, the fraction of rows with all labels right for several labels per row,
and the mean R² over the outputs in regression.
"""

from collections.abc import Callable, Iterator

from xpnet.data.feed import take_rows
from xpnet.data.host_rows import HostRows
from xpnet.nn import backprop, losses, penalty
from xpnet.nn.composites import whole
from xpnet.nn.mlp import MLP
from xpnet.typing import Array, Namespace, Params, Share

__all__ = ["EVALUATION_ROWS", "evaluate", "parts", "r_squared"]

EVALUATION_ROWS = 1000
"""Number of rows scored at a time, to limit the memory of an evaluation."""


def evaluate(
    xp: Namespace,
    mlp: MLP,
    params: Params,
    X: Array | HostRows,
    y: Array,
    reg: Array | float = 0.0,
    kind: str = "cross-entropy",
    weight: Array | None = None,
    kept: list[Array] | None = None,
    prepare: Callable[[Array], Array] | None = None,
    own: Array | None = None,
    share: Share | None = None,
) -> tuple[Array, Array]:
    """Return the regularised loss and the score on all rows of ``X``.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    mlp, params
        The network, or a stack.
    X, y
        Preprocessed rows ``(rows, features)``, and labels ``(rows,)`` or ``(rows, outputs)``, as the loss
        takes them; both may have leading axes ``*nets``.
    reg
        As for `xpnet.nn.penalty.penalty`.
    kind
        Name of the loss, see `xpnet.nn.losses.find`.
    weight
        Weights of the rows ``(rows,)``, or ``(*nets, rows)``; None for all the same.
    kept
        List to which the scores of each part of the rows, ``(*nets, part, outputs)``, are appended.
    prepare
        Preprocessing of the rows, if ``X`` is raw.
    own
        For a stack whose networks have different rows, their numbers ``(nets, rows)``.
    share
        The rows that this process scores, if other processes score the rest; ``kept`` gets only these.

    Returns
    -------
    loss, score : Array
        ``(*nets,)`` each. If all weights are 0, the loss is the penalty alone, and the score is NaN.
    """
    rows = X.shape[-2] if own is None else own.shape[-1]
    if own is not None:  # rows are gathered part by part, because a stack of all rows would be large
        y, weight = take_rows(xp, y, own), None if weight is None else take_rows(xp, weight, own)
    total = rows if weight is None else _positive(xp, xp.sum(weight, axis=-1))
    find_loss = losses.find(kind)
    loss: Array | float = 0.0
    done: Array | float = 0.0
    for part in parts(rows) if share is None else parts(share.end, share.begin):
        if own is not None:
            x = take_rows(xp, X, own[:, part])
        else:
            x = X[part] if isinstance(X, HostRows) else X[..., part, :]
        x = x if prepare is None else prepare(x)
        scores, target = backprop.scores(xp, mlp, params, x), _rows(y, part, kind)
        of_part = None if weight is None else weight[..., part]
        mean_loss, _ = find_loss(xp, scores, target, of_part)
        loss = loss + mean_loss * (scores.shape[-2] / total)
        done = done + _sums(xp, kind, scores, target, of_part)
        if kept is not None:
            kept.append(scores)
    if share is not None:
        loss, done = whole(xp, loss, done)
    of_numbers = losses.OUTPUT_OF[kind] in losses.NUMBERS
    score = r_squared(xp, done, y, weight) if of_numbers else done / total
    if weight is not None:
        score = xp.where(xp.sum(weight, axis=-1) > 0, score, float("nan"))
    return loss + penalty.penalty(xp, mlp, params, reg), score


def _rows(y: Array, part: slice, kind: str) -> Array:
    """Return a part of the rows of the targets: labels, or a number for each output."""
    return y[..., part, :] if kind in losses.OF_OUTPUTS else y[..., part]


def _sums(xp: Namespace, kind: str, scores: Array, target: Array, weight: Array | None) -> Array:
    """Return the sums over some rows from which a score is computed: correct rows, or squared errors."""
    output = losses.OUTPUT_OF[kind]
    if output in losses.NUMBERS:
        distance = losses.OUTPUTS[output](xp, scores) - target
        squares = distance * distance
        return xp.sum(squares if weight is None else squares * weight[..., None], axis=-2)
    if kind == "logistic":
        right = xp.all((scores > 0) == (target > 0), axis=-1)
    else:
        right = xp.argmax(scores, axis=-1) == target
    hits = xp.astype(right, scores.dtype)
    return xp.sum(hits if weight is None else hits * weight, axis=-1)


def r_squared(xp: Namespace, squares: Array, y: Array, weight: Array | None) -> Array:
    """Return R², ``1 - Σ (y - prediction)² / Σ (y - mean)²``, the mean over the outputs.

    R² is undefined for an output that never changes, for example with a single row. Such an output is left
    out of the mean, which is NaN if there is no other. scikit-learn returns 0, or 1 if the predictions are
    exact, which does not tell a good network from a bad one.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    squares
        Sums of the squared errors, ``(*nets, outputs)``.
    y
        ``(rows, outputs)``.
    weight
        Weights of the rows ``(rows,)``; None for all the same.
    """
    if weight is None:
        around = y - xp.mean(y, axis=-2, keepdims=True)
        spread = xp.sum(around * around, axis=-2)
    else:
        share = (weight / _positive(xp, xp.sum(weight, axis=-1, keepdims=True)))[..., None]
        around = y - xp.sum(y * share, axis=-2, keepdims=True)
        spread = xp.sum(around * around * weight[..., None], axis=-2)
    # Compare the values themselves: due to rounding, a constant output may have a spread above 0.
    low = y if weight is None else xp.where(weight[..., None] > 0, y, float("inf"))
    high = y if weight is None else xp.where(weight[..., None] > 0, y, -float("inf"))
    varies = (xp.max(high, axis=-2) > xp.min(low, axis=-2)) & (spread > 0)
    by_output = xp.where(varies, 1.0 - squares / xp.where(varies, spread, 1.0), 0.0)
    known = xp.sum(xp.astype(varies, squares.dtype), axis=-1)
    return xp.where(known > 0, xp.sum(by_output, axis=-1) / xp.where(known > 0, known, 1.0), float("nan"))


def _positive(xp: Namespace, total: Array) -> Array:
    """Return sums of weights, with 1 in place of 0, so that a loss without weight is 0 and not 0 / 0."""
    return xp.where(total > 0, total, 1.0)


def parts(rows: int, begin: int = 0) -> Iterator[slice]:
    """Split the rows from ``begin`` up to ``rows`` into parts to score at a time."""
    for start in range(begin, rows, EVALUATION_ROWS):
        yield slice(start, min(start + EVALUATION_ROWS, rows))
