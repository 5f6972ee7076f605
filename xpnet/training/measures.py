"""What predictions are worth, by the measures of each task: in NumPy, on the host.

Every measure takes ``(y, P, weight)`` and returns ``(*nets,)``. Of classes ``y`` is ``(rows,)`` and ``P``
the probabilities ``(*nets, rows, classes)``; of several labels a row they are 0 or 1 ``(rows, labels)`` and
the probability of each; of numbers both are numbers, ``(rows, outputs)`` and ``(*nets, rows, outputs)``.
Weights of the rows are ``(rows,)``, None for all the same. The values are scikit-learn's; what is undefined
is NaN, also the R² of numbers that are all alike.
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
    """Return which rows are predicted right, ``(*nets, rows)``: of several labels, all of them."""
    if y.ndim == 1:
        return np.asarray(P.argmax(axis=-1) == y)
    return np.asarray(((P > 0.5) == (y > 0)).all(axis=-1))


def accuracy(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the part of the rows that are predicted right; of several labels, all of them."""
    return _mean(right(y, P)[..., None], weight)[..., 0]


def balanced_accuracy(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the mean of the recalls of the classes that occur.

    Of several labels a row it is the mean over the labels, of each the mean of the parts of the rows with it
    and without it that are predicted right, as far as there are any.
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
    # A label that no row has, or every row, is worth as much as what there is of it.
    by_label = np.where(np.isnan(found[0]), found[1], found[0])
    other = np.where(np.isnan(found[1]), found[0], found[1])
    return np.asarray(((by_label + other) / 2).mean(axis=-1))


def log_loss(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the mean over the rows of ``-log`` of the probability of what is true.

    Of several labels a row it is the sum over the labels, as in the loss that they are trained by. As in
    scikit-learn a probability is no closer to 0 and 1 than the precision of its dtype.
    """
    of_truth = P[..., np.arange(len(y)), y][..., None] if y.ndim == 1 else np.where(y > 0, P, 1 - P)
    least = np.finfo(P.dtype).eps
    losses = -np.log(np.clip(of_truth, least, 1 - least), dtype=np.float64)
    return np.asarray(_mean(losses, weight).sum(axis=-1))


def roc_auc(y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> NDArray[np.float64]:
    """Return the area under the ROC curve: how often of two rows the right one has the higher probability.

    Of two classes it is that of the second; of more the mean over the classes that occur, each against all
    others; of several labels a row the mean over those that some rows have and others don't. Rows of the same
    probability count half. NaN where nothing can be compared.
    """
    outputs = P.shape[-1]
    if y.ndim > 1:
        asked = [(k, y[:, k] > 0) for k in range(outputs)]
    else:
        asked = [(k, y == k) for k in ([1] if outputs == 2 else range(outputs))]
    w = np.ones(len(y)) if weight is None else weight
    # Each question by itself: sorting is most of the work, and ties are of no common length.
    asked = [(k, truth) for k, truth in asked if w @ truth > 0 and w @ ~truth > 0]
    columns = P.reshape(-1, *P.shape[-2:])
    areas = [[_area(truth, of_net[:, k], w) for k, truth in asked] for of_net in columns]
    return _mean_of_known(np.reshape(areas, (*P.shape[:-2], len(asked))))


def _area(truth: NDArray[np.bool_], score: NDArray[Any], weight: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve of one question, which rows of both answers have a weight for."""
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
    """How far each number is off; arrays ``(outputs,)``.

    Attributes
    ----------
    r2
        R², the part of its variance that is predicted; NaN where there is none.
    rmse
        Root of the mean squared error.
    mae
        Mean absolute error.
    """

    r2: NDArray[np.float64]
    rmse: NDArray[np.float64]
    mae: NDArray[np.float64]

    def mean(self) -> dict[str, float]:
        """Return the mean of each measure over the outputs, as far as it is known of them."""
        known = {name: values[~np.isnan(values)] for name, values in self._asdict().items()}
        return {name: float(_mean_of_known(values)) for name, values in known.items()}


def regression(y: NDArray[np.float64], predicted: NDArray[np.float64], weight: Weight = None) -> PerOutput:
    """Return how far each number is off.

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
    """A measure, and whether more of it is better: 1, or less: -1."""

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
"""Every measure by its name."""

_OF_CLASSES = ("accuracy", "balanced_accuracy", "log_loss", "roc_auc")

MEASURES_OF: Mapping[Task, tuple[str, ...]] = {
    "classification": _OF_CLASSES,
    "multilabel": _OF_CLASSES,
    "regression": ("r2", "rmse", "mae"),
}
"""The names of the measures of each task, the one that people ask for first before all others."""


def measured(task: Task, y: NDArray[Any], P: NDArray[Any], weight: Weight = None) -> dict[str, float]:
    """Return all measures of a task, of the predictions of one network or of an ensemble, by name."""
    return {name: float(MEASURES[name].of(y, P, weight)) for name in MEASURES_OF[task]}


def _mean(values: NDArray[Any], weight: Weight) -> NDArray[np.float64]:
    """Return the mean over the rows of ``(*nets, rows, outputs)``; NaN of rows that weigh nothing."""
    if weight is None:
        return np.asarray(values.mean(axis=-2, dtype=np.float64))
    total = weight.sum()
    sums = (values * weight[:, None]).sum(axis=-2, dtype=np.float64)
    return np.asarray(sums / total if total > 0 else np.full_like(sums, np.nan))


def _mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis; NaN if there is nothing along it."""
    return np.asarray(values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan))
