"""scikit-learn's scorers, of what networks predict of validation rows: any can choose the best epoch."""

import difflib
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.text import one_line
from xpnet.typing import Task
from xpnet.values import shown

__all__ = ["Scoring", "scoring"]

_OF_CLASSES = ("_classification", "_ranking")  # modules of scikit-learn's measures
_OF_NUMBERS = ("_regression",)


@dataclass(frozen=True)
class Scoring:
    """A scorer, called with what is predicted instead of what predicts.

    Attributes
    ----------
    name
        What a message calls it.
    scorer
        Called as scikit-learn has it: ``scorer(estimator, X, y)``, and ``sample_weight`` where rows have one.
    labels
        Of classes, ``(classes,)``; None for their numbers.
    """

    name: str
    scorer: Callable[..., Any]
    labels: NDArray[Any] | None = None

    def check(self, task: Task) -> None:
        """Refuse a measure of scikit-learn's that is for another task.

        Raises
        ------
        InputError
            It is: the mean error of class numbers would be a number, too.
        """
        module = getattr(getattr(self.scorer, "_score_func", None), "__module__", "").rpartition(".")[2]
        if module in (_OF_CLASSES if task == "regression" else _OF_NUMBERS):
            raise InputError(f"{self.name} is not for {task}: use val_score, or a scorer for {task}")

    def of(self, task: Task, y: NDArray[Any], P: NDArray[Any], weight: NDArray[np.float64] | None) -> float:
        """Return the score of one network, more of which is better.

        Parameters
        ----------
        task
            What is predicted.
        y
            Class numbers ``(rows,)``; 0 or 1 ``(rows, labels)``; or numbers ``(rows, outputs)``.
        P
            The probability of each class or label, or the predicted numbers ``(rows, outputs)``.
        weight
            ``(rows,)``, or None.

        Raises
        ------
        InputError
            The scorer takes no weights where there are some, or fails on these rows.
        """
        if not np.isfinite(P).all():  # of a network that has overflowed
            return float("nan")
        if task == "classification":
            labels = np.arange(P.shape[1]) if self.labels is None else self.labels
            truth, said = labels[y], labels[P.argmax(axis=1)]
        elif task == "multilabel":
            # Of two labels scikit-learn would take two classes, of which it looks at the second.
            labels = np.arange(max(3, P.shape[1]))
            truth, said = (y > 0).astype(np.int64), (P > 0.5).astype(np.int64)
        else:
            labels, (truth, said) = None, (a[:, 0] if a.shape[1] == 1 else a for a in (y, P))
        weighted = {} if weight is None else {"sample_weight": weight}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is undefined, which is no news while training
                found = self.scorer(_stand_in(labels, said, P), np.zeros((len(y), 1)), truth, **weighted)
            return float(found)
        except Exception as error:  # whatever a measure of any maker raises
            fix = "it may take no weights: leave them out, or use another" if weighted else "use another"
            raise InputError(
                f"{self.name} fails on the validation rows ({one_line(error):.200}): {fix}"
            ) from error


def scoring(monitor: Any, known: Collection[str], called: str, labels: NDArray[Any] | None = None) -> Scoring:
    """Return the scorer of a name, or a scorer itself, to be called with predictions.

    Parameters
    ----------
    monitor
        A name that scikit-learn knows, or what it calls a scorer.
    known
        Other names that there are, for the message.
    called
        What the message calls the setting.
    labels
        Of classes, which a scorer itself is to see; those of scikit-learn's names see class numbers.

    Raises
    ------
    InputError
        There is no such name, or scikit-learn is not installed.
    """
    if callable(monitor):
        name = getattr(monitor, "__name__", None) or str(monitor)
        return Scoring(f"{called}={' '.join(name.split()):.60}", monitor, labels)
    names, lacks = list(known), ""
    if isinstance(monitor, str):
        try:
            from sklearn.metrics import get_scorer, get_scorer_names
        except ImportError:
            lacks = '; for scorers of scikit-learn: pip install "xpnet[sklearn]"'
        else:
            names += get_scorer_names()
            if monitor in names:
                # Of numbers all of them know which of two classes is meant: 1.
                return Scoring(f"{called} {monitor}", get_scorer(monitor))
    close = difflib.get_close_matches(str(monitor).lower(), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else lacks
    raise InputError(
        f"{called} must be one of {', '.join(map(repr, known))}, or the name of a scorer of scikit-learn, "
        f"not {shown(monitor)}{hint}"
    )


def _stand_in(labels: NDArray[Any] | None, said: NDArray[Any], P: NDArray[Any]) -> Any:
    """Return a fitted estimator that says what is given, whatever it is asked."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    if labels is None:

        class Regressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
            def predict(self, _X: Any) -> NDArray[Any]:
                return said

        return Regressor()

    class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        classes_ = labels

        def predict(self, _X: Any) -> NDArray[Any]:
            return said

        def predict_proba(self, _X: Any) -> NDArray[Any]:
            return P

    return Classifier()
