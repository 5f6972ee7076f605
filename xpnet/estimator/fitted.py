"""What a fitted estimator is: its model, what that says of new rows, and its export."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from xpnet import exporters
from xpnet.errors import InputError
from xpnet.estimator import inputs
from xpnet.estimator.fitting import Fitting
from xpnet.files import output_file
from xpnet.training.model import Model
from xpnet.typing import Task

__all__ = ["Fitted"]


class Fitted(Fitting):
    """What `xpnet.estimator.base.Estimator` has once it is fitted."""

    @abstractmethod
    def _task(self) -> tuple[Task, Sequence[Any]]:
        """Return what is predicted, and the names of classes, labels or numbers."""

    def _model(self) -> Model:
        """Return the fitted network with its preprocessing."""
        check_is_fitted(self, "coefs_")
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
        """Write the fitted network with its preprocessing for other libraries, of rows in float32.

        Parameters
        ----------
        path, format, opset
            As for `xpnet.Run.export`.
        """
        model, (task, names) = self._model(), self._task()
        if task == "classification":
            if len(names) == 1:
                raise InputError("y had one class, so there is nothing to predict: fit it on two or more")
            model = replace(model, labels=tuple(names))
        path = output_file(path)
        exporters.export(model, path, format, opset)
        return path

    def _scores(self, X: Any) -> NDArray[Any]:
        """Return the scores ``(rows, outputs)`` of new rows."""
        model = self._model()
        X = inputs.checked(self, X, reset=False)
        if not self._how.most:
            inputs.check_size(X, self.coefs_[0].dtype)
        device = inputs.device_or_cpu(self.device, self.backend, self.precision)
        # Numbers in units of a target are float64: float32 would lose a deviation small against the mean.
        dtype = self.coefs_[0].dtype if self._target is None else np.float64
        return np.asarray(model.scores(X, device), dtype)
