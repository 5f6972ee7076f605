"""An ensemble of networks that a search has trained: the mean of what they predict."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import type_of_target

from xpnet.estimator import inputs

__all__ = ["SelectedClassifier", "SelectedRegressor"]

LEAST = 1e-12
"""The least probability that a loss is taken of."""


class SelectedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What `xpnet.MLPSearchCV.ensemble` returns of classifiers.

    Attributes
    ----------
    estimators_
        The fitted estimators, those of each chosen candidate one after the other.
    candidates_
        Numbers of the chosen candidates in ``cv_results_``, in the order in which they were chosen.
    classes_
        Labels ``(classes,)``, sorted.
    """

    def __init__(self, estimators: Sequence[Any] = (), candidates: Sequence[int] = ()) -> None:
        self.estimators = estimators
        self.candidates = candidates
        self.estimators_, self.candidates_ = list(estimators), list(candidates)
        if estimators:
            self.classes_ = np.unique(np.concatenate([one.classes_ for one in estimators]))

    def __sklearn_clone__(self) -> "SelectedClassifier":
        """Return itself: there is nothing to fit anew."""
        return self

    def fit(self, X: Any, y: Any) -> "SelectedClassifier":  # noqa: ARG002 - scikit-learn's protocol
        """Return itself: its networks have been trained."""
        return self

    def predict_proba(self, X: Any, members: bool = False) -> Any:
        """Return the mean probability ``(rows, classes)`` of each class.

        With ``members`` those of each estimator, ``(estimators, rows, classes)``, whose spread says how far
        the search left it open.
        """
        P = np.stack([self.says(one, X) for one in self.estimators_])
        return inputs.like(X, P if members else P.mean(axis=0))

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each row; 0 or 1 for each where there are several."""
        P = self.predict_proba(X)
        if self._several(self.estimators_[0]):
            return inputs.like(X, (P > 0.5).astype(np.int64))
        return inputs.like(X, self.classes_[P.argmax(axis=1)])

    def says(self, estimator: Any, X: Any) -> NDArray[np.float64]:
        """Return the probabilities of one; 0 of a class that its fold had not."""
        P = np.asarray(inputs.to_host(estimator.predict_proba(_own(estimator, X))), np.float64)
        if len(estimator.classes_) == len(self.classes_):
            return P
        whole = np.zeros((len(P), len(self.classes_)))
        whole[:, np.searchsorted(self.classes_, estimator.classes_)] = P
        return whole

    def loss(self, y: NDArray[Any], P: NDArray[np.float64]) -> float:
        """Return the mean negative logarithm of the probability of what is right."""
        if type_of_target(y) == "multilabel-indicator":
            right = np.where(y > 0, P, 1.0 - P)
        else:
            y = np.ravel(y)
            places = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
            right = np.where(self.classes_[places] == y, P[np.arange(len(P)), places], 0.0)
        return float(-np.log(np.maximum(right, LEAST)).mean())

    @staticmethod
    def _several(estimator: Any) -> bool:
        last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
        return bool(getattr(last, "_several", False))


class SelectedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """What `xpnet.MLPSearchCV.ensemble` returns of regressors; attributes as of `SelectedClassifier`."""

    def __init__(self, estimators: Sequence[Any] = (), candidates: Sequence[int] = ()) -> None:
        self.estimators = estimators
        self.candidates = candidates
        self.estimators_, self.candidates_ = list(estimators), list(candidates)

    def __sklearn_clone__(self) -> "SelectedRegressor":
        """Return itself: there is nothing to fit anew."""
        return self

    def fit(self, X: Any, y: Any) -> "SelectedRegressor":  # noqa: ARG002
        """Return itself: its networks have been trained."""
        return self

    def predict(self, X: Any, members: bool = False) -> Any:
        """Return the mean prediction ``(rows,)`` or ``(rows, outputs)``; with ``members`` each by itself."""
        each = [inputs.to_host(one.predict(_own(one, X))) for one in self.estimators_]
        found = np.stack([np.asarray(values) for values in each])
        return inputs.like(X, found if members else found.mean(axis=0))

    def says(self, estimator: Any, X: Any) -> NDArray[np.float64]:
        """Return what one predicts, ``(rows, outputs)``."""
        found = np.asarray(inputs.to_host(estimator.predict(_own(estimator, X))), np.float64)
        return found.reshape(len(found), -1)

    def loss(self, y: NDArray[Any], P: NDArray[np.float64]) -> float:
        """Return the mean squared error, of each output over its variance."""
        y = np.asarray(y, np.float64).reshape(len(y), -1)
        variance = y.var(axis=0)
        return float((((P - y) ** 2).mean(axis=0) / np.where(variance > 0, variance, 1.0)).mean())


def _own(estimator: Any, X: Any) -> Any:
    """Return rows that an estimator may change: the steps of a pipeline do, with ``copy=False``."""
    return inputs.own_rows(X) if hasattr(estimator, "steps") else X
