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
from xpnet.estimator.fitting import stochastic
from xpnet.estimator.jobs import Rows
from xpnet.estimator.names import named
from xpnet.nn.losses import OUTPUT_OF
from xpnet.training.scale import Scale, check_counts
from xpnet.typing import Task
from xpnet.values import Kind

__all__ = ["MLPRegressor"]

LOSSES = {name: name.replace("_", "-") for name in ("squared_error", "poisson", "absolute_error", "huber")}
"""The names in `xpnet.nn.losses.OF_OUTPUTS` by those of scikit-learn."""


@named
@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """A multi-layer perceptron for regression, trained on the CPU or a GPU.

    Losses are summed over the outputs: of several, the squared ``loss_`` is so many times scikit-learn's, and
    ``tol`` and lbfgs stop elsewhere. Parameters and attributes are those of
    `xpnet.MLPClassifier` without its classes; `score` and the validation score are R². If the numbers of
    ``y`` are far from 1, set ``standardize_target``.

    Parameters
    ----------
    loss
        "squared_error", half of it; "poisson", half the deviance, for ``y`` from 0 up, whose predictions are
        the exponentials of what the network says; "absolute_error", which ends at medians; "huber", squared
        up to a distance of 1 and linear beyond. See `xpnet.nn.losses`.
    standardize_target
        Train on ``y`` less its mean and over its standard deviation, with "poisson" over its mean alone, and
        undo it in `predict`. They are those of the first call; ``loss_``, ``tol`` and the 1 of "huber" are
        in their units. scikit-learn does not.
    """

    loss: str = "squared_error"
    standardize_target: bool = False

    _out_activations = ("identity", "exp")

    @stochastic  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train one epoch on these rows, and go on from there in the next call; parameters as for `fit`.

        ``preprocess`` and ``standardize_target`` are fitted on the rows of the first call: let them be many,
        and of all kinds.
        """
        return self._fit(X, y, sample_weight, None, incremental=True)

    def predict(self, X: Any, members: bool = False) -> Any:
        """Return the prediction for each row: ``(rows,)``, or ``(rows, outputs)`` as ``y`` had them.

        With ``members`` that of each network of the ensemble by itself, with an axis over them first.
        """
        found = self._members(X) if members else self._scores(X)
        return inputs.like(X, found[..., 0] if found.shape[-1] == 1 else found)

    def _of_targets(self, y: Any) -> dict[str, Any]:  # noqa: ARG002 - as the classifier's
        if self.label_smoothing:
            raise InputError("label_smoothing is for classes: use label_smoothing=0.0 for numbers")
        Kind(str, tuple(LOSSES)).take("loss", self.loss)
        Kind(bool).take("standardize_target", self.standardize_target)
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
        whole: bool = True,  # noqa: ARG002
    ) -> NDArray[np.float64] | None:
        return rows.weight

    def _loss(self) -> str:
        return LOSSES[self.loss]

    def _standardised(self, rows: Rows, fresh: bool, incremental: bool, what: str = "y") -> Rows:
        y, weight = rows.target, rows.weight
        check_counts(
            self._loss(),
            y,
            weight,
            usual="'squared_error'",
            what=what,
            may_be_zero=incremental or what != "y",
        )
        if fresh:
            self._target = Scale.of(y, weight, self._loss()) if self.standardize_target else None
        elif (self._target is not None) != self.standardize_target:
            raise InputError(
                f"standardize_target was {not self.standardize_target} when the network was begun: leave it "
                "so, or fit a new estimator"
            )
        return rows if self._target is None else rows._replace(target=self._target.apply(y))

    def _outputs(self, target: NDArray[Any]) -> tuple[int, str]:
        return target.shape[1], OUTPUT_OF[self._loss()]

    def _task(self) -> tuple[Task, Sequence[Any]]:
        return "regression", range(self.n_outputs_)

    def _strata(self, target: NDArray[Any]) -> None:  # noqa: ARG002 - as the classifier's
        return None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
