"""`MLPRegressor`: scikit-learn's protocol for a network that predicts numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin

from xpnet.errors import InputError
from xpnet.estimator import inputs
from xpnet.estimator.base import Estimator
from xpnet.estimator.fitting import Rows
from xpnet.typing import Task

__all__ = ["MLPRegressor"]


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """A multi-layer perceptron for regression, trained on the CPU or a GPU.

    It minimises half the squared error, summed over the outputs: of several, ``loss_`` is so many times
    scikit-learn's, and ``tol`` stops elsewhere. Parameters and attributes are those of
    `xpnet.MLPClassifier` without its classes; `score` and the validation score are R². Scale ``y``, too, if
    its numbers are far from 1.

    Parameters
    ----------
    loss
        "squared_error".
    """

    loss: str = "squared_error"

    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train one epoch on these rows, and go on from there in the next call; parameters as for `fit`."""
        return self._fit(X, y, sample_weight, None, incremental=True)

    def predict(self, X: Any) -> Any:
        """Return the prediction for each row: ``(rows,)``, or ``(rows, outputs)`` as ``y`` had them."""
        scores = self._scores(X)
        return inputs.like(X, scores[:, 0] if scores.shape[1] == 1 else scores)

    def _of_targets(self) -> dict[str, Any]:
        if self.label_smoothing:
            raise InputError("label_smoothing is for classes: use label_smoothing=0.0 for numbers")
        if self.loss != "squared_error":
            raise InputError(f"loss must be 'squared_error', not {self.loss!r}")
        return {"y_numeric": True}

    def _encode(
        self,
        y: NDArray[Any],
        fresh: bool,
        classes: Any = None,  # noqa: ARG002 - as the classifier's
    ) -> NDArray[Any]:
        target = np.asarray(y.reshape(len(y), -1), np.float64)
        if fresh:
            self.n_outputs_ = target.shape[1]
        elif target.shape[1] != self.n_outputs_:
            raise InputError(
                f"y has {target.shape[1]} numbers a row and the network {self.n_outputs_}: give as many"
            )
        return target

    def _weights(
        self,
        rows: Rows,
        training: Rows,  # noqa: ARG002 - as the classifier's
    ) -> NDArray[np.float64] | None:
        return rows.weight

    def _outputs(self, target: NDArray[Any]) -> tuple[int, str]:
        return target.shape[1], "identity"

    def _task(self) -> tuple[Task, Sequence[Any]]:
        return "regression", range(self.n_outputs_)

    def _strata(self, target: NDArray[Any]) -> None:  # noqa: ARG002 - as the classifier's
        return None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
