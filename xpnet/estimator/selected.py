"""Ensembles of networks from a search, which average their predictions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import type_of_target

from xpnet.estimator import inputs

__all__ = ["SelectedClassifier", "SelectedRegressor"]

LEAST = 1e-12
"""Lower bound of probabilities in the loss."""


class SelectedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Ensemble of classifiers, as `xpnet.MLPSearchCV.ensemble` returns it.

    Attributes
    ----------
    estimators_
        The fitted estimators, grouped by chosen candidate.
    candidates_
        Indices of the chosen candidates in ``cv_results_``, in the order in which they were chosen.
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

        With ``members``, return those of each estimator, ``(estimators, rows, classes)``; their spread shows
        how uncertain the mean is.
        """
        P = np.stack([self.says(one, X) for one in self.estimators_])
        return inputs.like(X, P if members else P.mean(axis=0))

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each row, or 0 and 1 for each of several labels."""
        P = self.predict_proba(X)
        if self._several(self.estimators_[0]):
            return inputs.like(X, (P > 0.5).astype(np.int64))
        return inputs.like(X, self.classes_[P.argmax(axis=1)])

    def says(self, estimator: Any, X: Any) -> NDArray[np.float64]:
        """Return the probabilities of one estimator; 0 for classes that its fold lacked."""
        P = np.asarray(inputs.to_host(estimator.predict_proba(_own(estimator, X))), np.float64)
        if len(estimator.classes_) == len(self.classes_):
            return P
        whole = np.zeros((len(P), len(self.classes_)))
        whole[:, np.searchsorted(self.classes_, estimator.classes_)] = P
        return whole

    def loss(self, y: NDArray[Any], P: NDArray[np.float64]) -> float:
        """Return the mean negative log-probability of the true classes or labels."""
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
    """Ensemble of regressors from `xpnet.MLPSearchCV.ensemble`; attributes as in `SelectedClassifier`."""

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
        """Return the mean prediction ``(rows,)`` or ``(rows, outputs)``, or each of the ``members``."""
        each = [inputs.to_host(one.predict(_own(one, X))) for one in self.estimators_]
        found = np.stack([np.asarray(values) for values in each])
        return inputs.like(X, found if members else found.mean(axis=0))

    def says(self, estimator: Any, X: Any) -> NDArray[np.float64]:
        """Return the predictions of one estimator, ``(rows, outputs)``."""
        found = np.asarray(inputs.to_host(estimator.predict(_own(estimator, X))), np.float64)
        return found.reshape(len(found), -1)

    def loss(self, y: NDArray[Any], P: NDArray[np.float64]) -> float:
        """Return the mean squared error, each output divided by its variance."""
        y = np.asarray(y, np.float64).reshape(len(y), -1)
        variance = y.var(axis=0)
        return float((((P - y) ** 2).mean(axis=0) / np.where(variance > 0, variance, 1.0)).mean())


def _own(estimator: Any, X: Any) -> Any:
    """Return a copy of rows, because steps of a pipeline may change them (``copy=False``)."""
    return inputs.own_rows(X) if hasattr(estimator, "steps") else X
