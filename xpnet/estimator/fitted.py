"""Fitted estimators: their model, its predictions, and its export."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from xpnet import exporters
from xpnet.columns.column import Column
from xpnet.columns.columns import Columns
from xpnet.device import Device
from xpnet.errors import InputError, RangeWarning
from xpnet.estimator import inputs
from xpnet.estimator.cards import card_of_epochs
from xpnet.estimator.fitting import Fitting
from xpnet.files import output_file
from xpnet.training.history import SCORE_OF
from xpnet.training.model import Model
from xpnet.typing import Task
from xpnet.values import shown
from xpnet.warn import warn

__all__ = ["Fitted"]


class Fitted(Fitting):
    """The part of `xpnet.estimator.base.Estimator` that needs a fitted network."""

    @abstractmethod
    def _task(self) -> tuple[Task, Sequence[Any]]:
        """Return the task, and the names of classes, labels or outputs."""

    def _card(self) -> str:
        return card_of_epochs(self, SCORE_OF[self._task()[0]]) if hasattr(self, "history_") else ""

    def _model(self) -> Model:
        """Return the fitted network with its preprocessing."""
        check_is_fitted(self, ["coefs_", "_mlp"])
        if self.out_activation_ not in self._out_activations:
            left = " or ".join(map(repr, self._out_activations))
            raise InputError(
                f"out_activation_ is {shown(self.out_activation_)}, and fit leaves {left}: set it back, and "
                "apply other functions to the result of predict"
            )
        how = self._how
        fitted = {"mean": np.zeros(self.n_features_in_)} if how.kind == "none" else self._fitted
        task, names = self._task()
        return Model(
            self._mlp,
            self._params(),
            how,
            fitted,
            tuple(map(str, names)),
            task=task,
            target=self._target,
            link="log" if self.out_activation_ == "exp" else "identity",
        )

    def export(self, path: str | Path, format: str | None = None, *, opset: int | None = None) -> Path:
        """Export the fitted network with its preprocessing for other libraries, for rows in float32.

        Parameters
        ----------
        path, format, opset
            As for `xpnet.Run.export`.
        """
        model, (task, names) = self._model(), self._task()
        if task == "classification":
            if len(names) == 1:
                raise InputError(
                    "y had only one class, so there is nothing to predict: fit it on two or more"
                )
            model = replace(model, labels=tuple(names))
        model = replace(model, row_range=self._row_range)
        path = output_file(path)
        exporters.export(model, path, format, opset)
        return path

    def _warn_of_range(self, X: Any) -> None:
        """Warn if checked rows are far from the training rows, as a model does."""
        if self._row_range is None or hasattr(X, "toarray"):
            return
        names = getattr(self, "feature_names_in_", None)
        columns = None if names is None else Columns(tuple(Column(n, "number") for n in names), tuple(names))
        if far := self._row_range.far(X, columns, False):
            warn(far, RangeWarning)

    def _scores(self, X: Any) -> NDArray[Any]:
        """Return the scores ``(rows, outputs)`` of new rows."""
        return self._said(Model.scores, X)

    def _members(self, X: Any) -> NDArray[Any]:
        """Return the prediction of each network: probabilities or numbers ``(networks, rows, …)``."""
        return self._said(Model.members, X)

    def _said(self, of: Callable[[Model, Any, Device], NDArray[Any]], X: Any) -> NDArray[Any]:
        """Return the model's prediction for new rows."""
        model = self._model()
        X = inputs.checked(self, X, reset=False)
        if not self._how.most:
            inputs.check_size(X, self.coefs_[0].dtype)
        device = inputs.device_or_cpu(self.device, self.backend, self.precision)
        # Numbers in the target's units are float64, because float32 would lose deviations that are small
        # relative to the mean.
        dtype = self.coefs_[0].dtype if self._target is None else np.float64
        found = of(model, X, device)
        self._warn_of_range(X)  # only now: the rows can be predicted
        return np.asarray(found, dtype)
