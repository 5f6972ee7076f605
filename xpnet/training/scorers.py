"""scikit-learn scorers, and similar functions, of a network's predictions for its validation rows.

A scorer asks an estimator for its predictions and scores them. Here the estimator is a stand-in that returns
the network's predictions. scikit-learn is imported only if a scorer is used.
"""

import importlib.util
import inspect
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.nn import losses
from xpnet.text import one_line
from xpnet.training.positive import of_class, parted, positive
from xpnet.typing import Task
from xpnet.values import shown

__all__ = ["Scorer", "names", "scorer_of"]

_QUIET = threading.Lock()
"""Held while warnings are off. That affects all threads, and the networks of a sweep may train in several."""


def names() -> tuple[str, ...]:
    """Return the names of scikit-learn's scorers; none if it is not installed."""
    if importlib.util.find_spec("sklearn") is None:
        return ()
    from sklearn.metrics import get_scorer_names

    return tuple(get_scorer_names())


@dataclass(frozen=True, eq=False)
class Scorer:
    """A measure of validation rows, as a function of a network's scores; higher is better.

    Attributes
    ----------
    of
        ``of(estimator, X, y)`` returns a number; it gets ``sample_weight``, too, if there are weights.
    name
        Its name in messages.
    task
        The task.
    labels
        The class labels that ``of`` gets.
    X
        The validation rows that ``of`` gets; None for row numbers.
    positive
        Number of the class measured against all others; None if ``of`` measures all classes.
    """

    of: Callable[..., Any]
    name: str
    task: Task
    labels: NDArray[Any] | None = None
    X: Any = field(default=None, repr=False)
    positive: int | None = None

    def __call__(
        self, y: NDArray[Any], scores: NDArray[Any], weight: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Return the value for each network ``(*nets,)``; NaN if its scores are not finite.

        Parameters
        ----------
        y
            Classes ``(rows,)``, or 0 and 1 for the second of two ``(rows, 1)``; 0 and 1 for each of several
            labels, or numbers, ``(rows, outputs)``.
        scores
            Scores of the networks ``(*nets, rows, outputs)``; in regression, the predicted numbers.
        weight
            Weights of the rows; None for all the same.

        Raises
        ------
        InputError
            It fails on these rows, does not return a number, or does not support weights although there are
            some.
        """
        scores = np.asarray(scores, np.float64)
        each = scores.reshape(-1, *scores.shape[-2:])
        found = [self._of_one(y, one, weight) if np.isfinite(one).all() else np.nan for one in each]
        return np.reshape(np.array(found, np.float64), scores.shape[:-2])

    def check(self, y: NDArray[Any], weight: NDArray[np.float64] | None, outputs: int) -> None:
        """Refuse a scorer that fails even on perfect predictions; parameters and errors as for a call."""
        if self.positive is not None:
            hits = (y[:, self.positive] > 0) if self.task == "multilabel" else np.ravel(y) == self.positive
            if not (hits if weight is None else hits[weight > 0]).any():
                raise InputError(
                    f"monitor {self.name} measures one class, but no validation row has it: give rows that "
                    "do, or use another, such as val_loss"
                )
        if self.task == "regression":
            self(y, np.asarray(y, np.float64).reshape(len(y), -1), weight)
        elif y.ndim == 1:
            self(y, 20.0 * (y[:, None] == np.arange(outputs)), weight)
        else:
            self(y, 20.0 * (2.0 * (y > 0) - 1.0), weight)

    def _of_one(self, y: NDArray[Any], scores: NDArray[Any], weight: NDArray[np.float64] | None) -> float:
        labels = np.arange(max(2, scores.shape[1])) if self.labels is None else self.labels
        task, chosen = self.task, None
        if self.positive is not None:
            y, scores, chosen = of_class(self.positive, task, y, scores)
            task, labels = "classification", np.arange(2)
        if task == "classification":
            y = labels[(y if y.ndim == 1 else y[:, 0]).astype(np.int64)]
        elif task == "multilabel":
            y = (y > 0).astype(np.int64)
        elif y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        X = np.arange(len(y))[:, None] if self.X is None else self.X
        weights = {} if weight is None else {"sample_weight": weight}
        if weights and not _takes_weights(self.of):
            raise InputError(
                f"monitor {self.name} does not support weights of rows or classes: leave them out, or use "
                "another, such as val_score"
            )
        try:
            with _QUIET, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an early epoch may have undefined values
                found = self.of(_stand_in(task, labels, scores, chosen), X, y, **weights)
            return float(found)
        except Exception as error:  # the user's function may raise anything
            raise InputError(
                f"monitor {self.name} cannot measure the validation rows of this {self.task} "
                f"({type(error).__name__}: {one_line(error):.200}): use another, such as val_score"
            ) from error


def scorer_of(
    monitor: Any,
    task: Task,
    labels: Sequence[Any] | None = None,
    X: Any = None,
    class_names: Sequence[str] = (),
) -> Scorer:
    """Return the scorer for a name or a function.

    Parameters
    ----------
    monitor
        Name of a scikit-learn scorer, possibly with a class, as in ``"recall:fraud"``; or a function
        ``monitor(estimator, X, y)``, as for scikit-learn's ``scoring=``.
    task
        The task.
    labels
        The class labels that a function gets. For a scorer of a single class, they determine which one: by
        default 1, as in scikit-learn. None for class numbers.
    X
        Validation rows, for a function.
    class_names
        The names of the classes.

    Raises
    ------
    InputError
        scikit-learn is not installed, the scorer is for another task, or the class it measures does not
        exist.
    """
    if callable(monitor):
        name = getattr(monitor, "__name__", None) or shown(monitor)
        scorer = Scorer(monitor, name, task, None if labels is None else np.asarray(labels), X)
    else:
        if not names():
            raise InputError(
                f'monitor {monitor} needs scikit-learn: run `pip install "xpnet[sklearn]"`, or use val_score'
            )
        from sklearn.metrics import get_scorer

        given, wanted = parted(monitor)
        scorer = Scorer(get_scorer(given), monitor, task)
    room = getattr(getattr(scorer.of, "_score_func", None), "__module__", "")
    is_of_numbers = room.startswith("sklearn.metrics._regression")
    if room.startswith("sklearn.metrics.") and is_of_numbers != (task == "regression"):
        raise InputError(f"monitor {scorer.name} is not for {task}: use another, such as val_score")
    if callable(monitor) or (labels is None and wanted is None):
        return scorer
    return replace(scorer, positive=positive(given, wanted, task, labels or (), class_names))


def _takes_weights(scorer: Callable[..., Any]) -> bool:
    """Return whether a scorer, or the function it wraps, has a parameter ``sample_weight``."""
    try:
        given = inspect.signature(getattr(scorer, "_score_func", scorer)).parameters.values()
    except (TypeError, ValueError):  # Python knows no signature
        return True
    return any(of.name == "sample_weight" or of.kind is inspect.Parameter.VAR_KEYWORD for of in given)


def _stand_in(
    task: Task, labels: NDArray[Any], scores: NDArray[Any], chosen: NDArray[np.int64] | None = None
) -> Any:
    """Return an estimator that predicts these scores, and the classes they imply, for any rows."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Numbers(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, _X: Any) -> NDArray[Any]:
            return scores[:, 0] if scores.shape[1] == 1 else scores

    class Classes(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        classes_ = np.identity(scores.shape[1], np.int64) if task == "multilabel" else labels

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, _X: Any) -> NDArray[Any]:
            if task == "multilabel":
                return (scores > 0).astype(np.int64)
            if chosen is not None:
                return chosen
            best = scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(np.int64)
            return np.asarray(labels[best])

        def predict_proba(self, _X: Any) -> NDArray[Any]:
            if task == "classification" and scores.shape[1] > 1:
                return np.asarray(losses.OUTPUTS["softmax"](np, scores))
            P = losses.OUTPUTS["logistic"](np, scores)
            return np.asarray(P if task == "multilabel" else np.concatenate([1 - P, P], axis=1))

        def predict_log_proba(self, X: Any) -> NDArray[Any]:
            with np.errstate(divide="ignore"):
                return np.asarray(np.log(self.predict_proba(X)))

        def decision_function(self, _X: Any) -> NDArray[Any]:
            if task == "multilabel" or scores.shape[1] > 2:
                return scores
            return scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]

    return Numbers() if task == "regression" else Classes()
