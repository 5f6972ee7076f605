"""Measures of predictions for each task, in NumPy, on the host.

Every measure takes ``(y, P, weight)`` and returns ``(*nets,)``. For classes, ``y`` is ``(rows,)`` and ``P``
holds the probabilities ``(*nets, rows, classes)``. For several labels per row, ``y`` is 0 or 1 ``(rows,
labels)`` and ``P`` the probability of each. In regression both are numbers, ``(rows, outputs)`` and ``(*nets,
rows, outputs)``. Weights of the rows are ``(rows,)``, or None. Values agree with scikit-learn's; undefined
ones are NaN, including the R² of constant targets.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.training.evaluation import r_squared
from xpnet.typing import Task

__all__ = [
    "MEASURES",
    "MEASURES_OF",
    "Measure",
    "PerOutput",
    "accuracy",
    "balanced_accuracy",
    "log_loss",
    "mae",
    "measured",
    "r2",
    "regression",
    "right",
    "rmse",
    "roc_auc",
]

Weight: TypeAlias = NDArray[np.float64] | None


def right(y: NDArray[Any], P: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows are predicted correctly, ``(*nets, rows)``; several labels must all be right."""
    if y.ndim == 1:
        return np.asarray(P.argmax(axis=-1) == y)
    return np.asarray(((P > 0.5) == (y > 0)).all(axis=-1))


def accuracy(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the fraction of rows predicted correctly; several labels must all be right."""
    return _mean(right(y, P)[..., None], weight)[..., 0]


def balanced_accuracy(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the mean recall over the classes that occur.

    For several labels per row, it is the mean over the labels of the mean of recall and specificity, if both
    are defined.
    """
    w = np.ones(len(y)) if weight is None else weight
    if y.ndim == 1:
        hits = right(y, P)
        totals = np.bincount(y, w, P.shape[-1])
        occur = totals > 0
        each = [np.bincount(y, w * of_net, len(totals)) for of_net in hits.reshape(-1, len(y))]
        recalls = np.reshape(each, (*hits.shape[:-1], len(totals)))[..., occur] / totals[occur]
        return _mean_of_known(recalls)
    has, said = y > 0, P > 0.5
    found = []
    for rows, of_rows in ((has, said), (~has, ~said)):
        total = w @ rows
        hits = ((rows & of_rows) * w[:, None]).sum(axis=-2)
        found.append(np.where(total > 0, hits / np.where(total > 0, total, 1.0), np.nan))
    # For a label that no row or every row has, only one of the two is defined, and it counts alone.
    by_label = np.where(np.isnan(found[0]), found[1], found[0])
    other = np.where(np.isnan(found[1]), found[0], found[1])
    return np.asarray(((by_label + other) / 2).mean(axis=-1))


def log_loss(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the mean negative log-probability of the true class or labels.

    For several labels per row, it is summed over the labels, as in the training loss. As in scikit-learn,
    probabilities are clipped to the precision of their dtype.
    """
    of_truth = P[..., np.arange(len(y)), y][..., None] if y.ndim == 1 else np.where(y > 0, P, 1 - P)
    least = np.finfo(P.dtype).eps
    losses = -np.log(np.clip(of_truth, least, 1 - least), dtype=np.float64)
    return np.asarray(_mean(losses, weight).sum(axis=-1))


def roc_auc(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the area under the ROC curve.

    For two classes, it is that of the second. For more, it is the mean over the classes that occur, each
    against the rest. For several labels per row, it is the mean over labels that some rows have and others
    lack. Ties count half. NaN if nothing can be compared.
    """
    outputs = P.shape[-1]
    if y.ndim > 1:
        asked = [(k, y[:, k] > 0) for k in range(outputs)]
    else:
        asked = [(k, y == k) for k in ([1] if outputs == 2 else range(outputs))]
    w = np.ones(len(y)) if weight is None else weight
    # One class at a time: sorting is most of the work, and classes differ in their ties.
    asked = [(k, truth) for k, truth in asked if w @ truth > 0 and w @ ~truth > 0]
    columns = P.reshape(-1, *P.shape[-2:])
    areas = [[_area(truth, of_net[:, k], w) for k, truth in asked] for of_net in columns]
    return _mean_of_known(np.reshape(areas, (*P.shape[:-2], len(asked))))


def _area(truth: NDArray[np.bool_], score: NDArray[Any], weight: NDArray[np.float64]) -> float:
    """Return the area under one ROC curve; both kinds of rows must have weight."""
    if np.isnan(score).any():
        return float("nan")
    order = np.argsort(score)
    score, yes = score[order], np.where(truth, weight, 0.0)[order]
    no = weight[order] - yes
    starts = np.flatnonzero(np.concatenate([[True], score[1:] != score[:-1]]))
    yes, no = np.add.reduceat(yes, starts), np.add.reduceat(no, starts)  # rows of the same score together
    below = np.cumsum(no) - no / 2
    return float(yes @ below / (yes.sum() * no.sum()))


def r2(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return R², the mean over the outputs; see `xpnet.training.evaluation.r_squared`."""
    w = 1.0 if weight is None else weight[:, None]
    return np.asarray(r_squared(np, ((P - y) ** 2 * w).sum(axis=-2), y, weight))


def rmse(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the root of the mean squared error, the mean over the outputs."""
    return np.asarray(np.sqrt(_mean((P - y) ** 2, weight)).mean(axis=-1))


def mae(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the mean absolute error, the mean over the outputs."""
    return np.asarray(_mean(np.abs(P - y), weight).mean(axis=-1))


class PerOutput(NamedTuple):
    """Errors of each output of a regression; arrays ``(outputs,)``.

    Attributes
    ----------
    r2
        R², the explained fraction of the variance; NaN if there is no variance.
    rmse
        Root of the mean squared error.
    mae
        Mean absolute error.
    """

    r2: NDArray[np.float64]
    rmse: NDArray[np.float64]
    mae: NDArray[np.float64]

    def mean(self) -> dict[str, float]:
        """Return the mean of each measure over the outputs for which it is defined."""
        known = {name: values[~np.isnan(values)] for name, values in self._asdict().items()}
        return {name: float(_mean_of_known(values)) for name, values in known.items()}


def regression(y: NDArray[np.float64], predicted: NDArray[np.float64], weight: Weight = None) -> PerOutput:
    """Return the errors of each output.

    Parameters
    ----------
    y, predicted
        ``(rows, outputs)``, at least one row; predictions of one output may be ``(rows,)``.
    weight
        Weights of the rows ``(rows,)``; None for all the same.
    """
    predicted = np.reshape(predicted, y.shape)
    each = [(y[:, k : k + 1], predicted[:, k : k + 1], weight) for k in range(y.shape[1])]
    return PerOutput(*(np.array([of(*output) for output in each], np.float64) for of in (r2, rmse, mae)))


class Measure(NamedTuple):
    """A measure, and its sign: 1 if higher is better, -1 if lower is better."""

    of: Callable[[NDArray[Any], NDArray[Any], Weight], NDArray[np.float64]]
    sign: int


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure(accuracy, 1),
    "balanced_accuracy": Measure(balanced_accuracy, 1),
    "log_loss": Measure(log_loss, -1),
    "roc_auc": Measure(roc_auc, 1),
    "r2": Measure(r2, 1),
    "rmse": Measure(rmse, -1),
    "mae": Measure(mae, -1),
}
"""All measures by name."""

_OF_CLASSES = ("accuracy", "balanced_accuracy", "log_loss", "roc_auc")

MEASURES_OF: Mapping[Task, tuple[str, ...]] = {
    "classification": _OF_CLASSES,
    "multilabel": _OF_CLASSES,
    "regression": ("r2", "rmse", "mae"),
}
"""Names of the measures of each task, the most common first."""


def measured(task: Task, y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> dict[str, float]:
    """Return all measures of a task by name, for the predictions of one network or an ensemble."""
    return {name: float(MEASURES[name].of(y, P, weight)) for name in MEASURES_OF[task]}


def _mean(values: NDArray[Any], weight: Weight) -> NDArray[np.float64]:
    """Return the mean over the rows of ``(*nets, rows, outputs)``; NaN if no row has weight."""
    if weight is None:
        return np.asarray(values.mean(axis=-2, dtype=np.float64))
    total = weight.sum()
    sums = (values * weight[:, None]).sum(axis=-2, dtype=np.float64)
    return np.asarray(sums / total if total > 0 else np.full_like(sums, np.nan))


def _mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis, without NaN; NaN if nothing is left."""
    return np.asarray(values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan))
