"""`MLPRegressor`: a scikit-learn regressor."""

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
"""Names in `xpnet.nn.losses.OF_OUTPUTS` by their scikit-learn names."""


@named
@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """Multi-layer perceptron regressor, trained on the CPU or a GPU.

    Parameters and attributes are those of `xpnet.MLPClassifier`, without those about classes; `score` and the
    validation score are R². Losses are summed over the outputs, where scikit-learn takes the mean; so with
    several outputs ``tol`` and lbfgs stop at another point. If ``y`` is not of the order of 1, set
    ``standardize_target``.

    Parameters
    ----------
    loss
        "squared_error" (halved); "poisson", half the Poisson deviance, for ``y`` of at least 0, where
        predictions are the exponential of the network's output; "absolute_error", which predicts medians;
        "huber", squared up to an error of 1 and linear beyond. See `xpnet.nn.losses`.
    standardize_target
        Whether to train on ``y`` standardised to mean 0 and standard deviation 1 (with "poisson", divided by
        its mean); `predict` returns the original units. Mean and deviation are those of the first call;
        ``loss_``, ``tol`` and the 1 of "huber" refer to standardised targets. Off by default, as in
        scikit-learn.
    """

    loss: str = "squared_error"
    standardize_target: bool = False

    _out_activations = ("identity", "exp")

    @stochastic  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one epoch on these rows; the next call continues from there. Parameters as for `fit`.

        ``preprocess`` and ``standardize_target`` are fitted on the rows of the first call, which should be
        many and representative.
        """
        return self._fit(X, y, sample_weight, None, incremental=True)

    def predict(self, X: Any, members: bool = False) -> Any:
        """Predict ``(rows,)`` numbers, or ``(rows, outputs)`` if ``y`` had several columns.

        With ``members``, return the prediction of each network of the ensemble, as the first axis.
        """
        found = self._members(X) if members else self._scores(X)
        return inputs.like(X, found[..., 0] if found.shape[-1] == 1 else found)

    def _of_targets(self, y: Any) -> dict[str, Any]:  # noqa: ARG002 - as the classifier's
        if self.label_smoothing:
            raise InputError("label_smoothing does not apply to regression: use label_smoothing=0.0")
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
                f"y has {target.shape[1]} numbers per row, but the network has {self.n_outputs_} "
                "outputs: give as many"
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
                f"standardize_target was {not self.standardize_target} in the first fit: leave it "
                "unchanged, or fit a new estimator"
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
