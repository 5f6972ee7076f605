"""`TableClassifier` and `TableRegressor`: scikit-learn estimators for raw tables, with nothing to set."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_y,
    check_array,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from xpnet.columns.tabular import as_array, as_frame, is_frame
from xpnet.data.likeness import other_order
from xpnet.data.weights import likely_typo
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.estimator import inputs
from xpnet.estimator.jobs import Share
from xpnet.estimator.labels import refuse_mixed
from xpnet.estimator.names import Named, hint_of_table, named
from xpnet.runs.beside import begin_beside, end_beside
from xpnet.runs.config import Config
from xpnet.runs.fit import fit
from xpnet.runs.given import ARRAYS, what_is_given
from xpnet.runs.run import Run
from xpnet.runs.settings import refuse_unknown
from xpnet.training.model import Model
from xpnet.training.result import Fit
from xpnet.values import refuse_mask, shown
from xpnet.warn import warn

__all__ = ["TableClassifier", "TableRegressor"]

OTHER = "settings__"
"""Prefix of other settings in scikit-learn's parameter names."""


_ALONE = frozenset(
    {"out", "resume", "checkpoint_every", "tensorboard", "weights_image", "init_from", "max_time"}
)
"""Settings of runs that cannot be trained together with others."""


@dataclass(eq=False, repr=False)
class Table(Named):
    """Base of `TableClassifier` and `TableRegressor`, which document the parameters."""

    recipe: str = "table"
    _: KW_ONLY
    random_state: Any = None
    validation_fraction: float | None = None
    ensemble: int | None = None
    epochs: int | None = None
    max_time: float | None = None
    categorical: Sequence[str] = ()
    numeric: Sequence[str] = ()
    ignore: Sequence[str] = ()
    device: str = "cpu"
    backend: str = "auto"
    verbose: bool = False
    settings: Mapping[str, Any] | None = None

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Train the networks.

        Parameters
        ----------
        X
            Training rows: a data frame with columns of numbers, text or dates, also with missing values; or
            an array ``(rows, columns)`` of numbers, with NaN for missing ones, or of objects.
        y
            Targets ``(rows,)``; in regression also ``(rows, outputs)``.
        sample_weight
            Weights ``(rows,)``, at least 0: a row of weight 2 counts twice in the loss.
        X_val, y_val
            Validation data to choose the best epoch by, instead of rows held out from ``X``.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If parameters or data cannot be used; it is a `ValueError`, as in scikit-learn.
        DeviceError
            If the device cannot be used.
        """
        X, y, arrays, settings = self._checked(X, y, sample_weight, X_val, y_val)
        run = fit(X, y, recipe=self.recipe, **arrays, **settings | {"alone": True})
        self.run_: Run = replace(run, model=_with_gaps(run.model))
        return self

    def _card(self) -> str:
        return self.run_._repr_html_() if hasattr(self, "run_") else ""

    def _share(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Share:
        """Prepare training of the networks together with others; arguments as for `fit`."""
        X, y, arrays, settings = self._checked(X, y, sample_weight, X_val, y_val)
        refuse_unknown(settings, Config)
        config, data = what_is_given(X, y, dict.fromkeys(ARRAYS) | arrays, self.recipe, None, settings)
        if data is None:
            raise AssertionError("rows make a data set")
        begun = begin_beside(config, data)

        def take(result: Fit, seconds: float) -> None:
            run = end_beside(begun, result, seconds)
            self.run_ = replace(run, model=_with_gaps(run.model))

        return Share(begun.job, begun.device, take)

    def _kin(self) -> str:
        """Return ``""``: no two estimators start alike."""
        return ""

    def _shares_stack(self) -> bool:
        """Return whether the networks can share a stack with those of other estimators."""
        alone = self.verbose or self.max_time is not None or not isinstance(self.settings or {}, Mapping)
        return not alone and not _ALONE & set(self.settings or {})

    def _checked(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, X_val: Any, y_val: Any
    ) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
        """Check everything; return the arguments of `xpnet.fit`: rows, targets, other arrays, settings."""
        if (X_val is None) != (y_val is None):
            raise InputError("validation data need both X_val and y_val: give both, or neither")
        if y is None:
            name = type(self).__name__
            raise InputError(
                f"{name} requires y to be passed, but the target y is None: give a target for each row"
            )
        self._check_settings()
        for note in (
            other_order(X, {"y": y, "sample_weight": sample_weight}),
            other_order(X_val, {"y_val": y_val}, "X_val"),
        ):
            if note:
                warn(note)
        if self._task() == "classification":
            refuse_mixed(y)
            refuse_mixed(y_val, "y_val")
        X, y = self._rows(X, reset=True), self._targets(inputs.given_targets(y))
        inputs.check_length(X, y)
        if X_val is not None:
            X_val, y_val = self._rows(X_val), self._targets(inputs.given_targets(y_val, "y_val"))
            inputs.check_length(X_val, y_val)
        elif len(y) == 1:
            raise InputError("n_samples = 1, and one row is held out for validation: give at least two")
        settings = {
            name: getattr(self, name)
            for name in ("validation_fraction", "ensemble", "epochs", "max_time")
            if getattr(self, name) is not None
        }
        if X_val is not None:
            settings.pop("validation_fraction", None)
        columns = {name: getattr(self, name) for name in ("categorical", "numeric", "ignore")}
        settings |= {n: tuple(of) if isinstance(of, Sequence) and of else of for n, of in columns.items()}
        settings |= {"device": self.device, "backend": self.backend, "quiet": not self.verbose}
        if isinstance(self.device, Device):  # it includes backend and precision
            names = ("device", "backend", "precision", "compile")
            settings |= dict(zip(names, self.device.options, strict=True))
        seed = int(inputs.random_state(self.random_state).randint(2**31))
        weights = (self.settings or {}).get("class_weight")
        if isinstance(weights, Mapping):  # by the text of a label, as in flags
            labels = [str(label) for label in np.unique(y).tolist()]
            if note := likely_typo({str(name): of for name, of in weights.items()}, labels):
                warn(note)
        arrays = {
            "X_val": X_val,
            "y_val": y_val,
            "sample_weight": inputs.row_weights(sample_weight, len(y)),
        }
        settings |= {"seed": seed, "task": self._task()} | _of_these(dict(self.settings or {}), y)
        return X, y, arrays, settings

    def predict(self, X: Any, members: bool = False) -> NDArray[Any]:
        """Predict classes or numbers ``(rows,)``, or ``(rows, outputs)`` for several numbers.

        Parameters
        ----------
        X
            As for `fit`. Columns are matched by name; additional ones are ignored. New categories and missing
            values are allowed.
        members
            Return the prediction of each network, as the first axis.
        """
        check_is_fitted(self, "run_")
        found: NDArray[Any] = self.run_.predict(self._rows(X), self.device, members)
        return found

    def export(self, path: str | Path, format: str | None = None, *, opset: int | None = None) -> Path:
        """Export the fitted networks with their preprocessing for other libraries.

        Parameters
        ----------
        path, format, opset
            As for `xpnet.Run.export`.
        """
        check_is_fitted(self, "run_")
        return self.run_.export(path, format, opset=opset)

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, and other settings as ``settings__NAME``.

        Raises
        ------
        InputError
            If there is no such parameter.
        """
        others = {name: params.pop(name) for name in list(params) if name.startswith(OTHER)}
        super().set_params(**params)
        if others:
            self._check_settings(twice=False)
            new = {name.removeprefix(OTHER): value for name, value in others.items()}
            self.settings = {**(self.settings or {}), **new}
        return self

    def _hint(self, word: str, known: Collection[str]) -> str:
        return hint_of_table(word, known)

    def _check_settings(self, twice: bool = True) -> None:
        """Refuse unknown settings and, if ``twice``, settings that are also given as parameters."""
        if not isinstance(self.settings or {}, Mapping):
            raise InputError(f"settings must be a dict of settings by name, not {shown(self.settings)}")
        if not twice or not self.settings:
            return
        if "recipe" in self.settings:
            raise InputError("settings contains a recipe: give the parameter recipe instead")
        for parameter in fields(self):
            name = {"random_state": "seed", "verbose": "quiet"}.get(parameter.name, parameter.name)
            if name in self.settings and _is_given(getattr(self, parameter.name), parameter.default):
                raise InputError(f"{parameter.name} and settings[{name!r}] set the same: give one of them")

    @abstractmethod
    def _task(self) -> str:
        """Return the task."""

    @abstractmethod
    def _targets(self, y: Any) -> NDArray[Any]:
        """Return targets after scikit-learn's checks."""

    def _rows(self, X: Any, reset: bool = False) -> Any:
        """Return rows for `xpnet.fit`, after scikit-learn's checks of the number and names of columns."""
        refuse_mask(X, "X")
        X = inputs.to_host(X)
        if isinstance(X, Mapping | list) and is_frame(X):  # scikit-learn does not recognise these as tables
            if reset:
                names = as_frame(X).names
                self.n_features_in_ = len(names)
                self.feature_names_in_ = np.array(names, object)
            return X
        if is_frame(X):
            as_frame(X)  # refuses lazy frames, and duplicate column names
            has_names = hasattr(self, "feature_names_in_") or not hasattr(X, "columns")
            if reset or not has_names:  # scikit-learn would warn
                with inputs.in_one_line("give columns with names"):
                    validate_data(self, X, skip_check_array=True, reset=reset)
            return X
        array = as_array(X, "X")
        if array.ndim != 2:
            raise InputError(
                f"X has shape {array.shape}: give a table, or an array (rows, columns). Reshape your data "
                "by X.reshape(1, -1) if it is a single row"
            )
        with inputs.in_one_line("give finite numbers, of one row and one column or more"):
            array = check_array(X, dtype=None, ensure_all_finite="allow-nan", estimator=self)
        with inputs.in_one_line("give the columns of the training data"):
            validate_data(self, array, skip_check_array=True, reset=reset)
        return array

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


@named
@dataclass(eq=False, repr=False)
class TableClassifier(ClassifierMixin, Table):  # type: ignore[misc]
    """Ensemble of networks that classifies the rows of raw tables.

    Columns of numbers, text and dates, with missing values, need no scaling and no encoding. A few networks
    are trained at once; each keeps its best epoch, and their probabilities are averaged.

    Parameters
    ----------
    recipe
        ``"table"``; ``"table-fast"``, one network, trained within a second on a few thousand rows;
        ``"table-best"``, more networks, trained for longer; or another (listed by ``xpnet recipe``).
    random_state
        Seed or `numpy.random.RandomState` for the initial weights, the validation split and the batches.
    validation_fraction
        Fraction of the rows held out to choose the best epoch by; by default the recipe's.
    ensemble
        Number of networks; by default the recipe's. ``settings={"bagging": True}`` trains each on a bootstrap
        sample of the rows.
    epochs
        Maximum number of passes over the rows; by default chosen by the number of rows.
    max_time
        Stop training after this many seconds.
    categorical, numeric, ignore
        Columns to treat as categorical or numeric, whatever they look like, and columns to ignore.
    device, backend
        Device and array library, as for `xpnet.get_device`.
    verbose
        Whether to show progress.
    settings
        Other settings of `xpnet.Config`, by name: ``{"dropout": 0.1}``. A search over parameters addresses
        them as ``settings__dropout``.

    Attributes
    ----------
    run_
        The `xpnet.Run` that was trained, which can be saved, exported and reported.
    classes_
        The labels.
    n_features_in_, feature_names_in_
        Number and names of the columns.

    Examples
    --------
    >>> from xpnet import TableClassifier
    >>> X = {"age": [23, 47, 31, 62] * 25, "city": ["Rome", "Oslo", None, "Oslo"] * 25}
    >>> TableClassifier(random_state=0).fit(X, ["no", "yes", "no", "yes"] * 25).predict(X)[:4].tolist()
    ['no', 'yes', 'no', 'yes']
    """

    def predict_proba(self, X: Any, members: bool = False) -> NDArray[Any]:
        """Predict the probability of each class, ``(rows, classes)``; ``X`` as for `predict`.

        With ``members``, return the probabilities of each network, ``(networks, rows, classes)``.
        """
        check_is_fitted(self, "run_")
        return self.run_.predict_proba(self._rows(X), self.device, members)

    def _task(self) -> str:
        return "classification"

    def _targets(self, y: Any) -> NDArray[Any]:
        with inputs.in_one_line("give one class for each row, integers or text, or use TableRegressor"):
            y = column_or_1d(y, warn=True)
            if y.dtype.kind == "f":
                _check_y(y, estimator=self)
            check_classification_targets(y)
        return np.asarray(y)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted."""
        check_is_fitted(self, "run_")
        model = self.run_.model
        return np.asarray(range(len(model.class_names)) if model.labels is None else model.labels)


@named
@dataclass(eq=False, repr=False)
class TableRegressor(RegressorMixin, Table):  # type: ignore[misc]
    """Ensemble of networks for regression on raw tables; parameters as for `TableClassifier`."""

    def predict_interval(self, X: Any, coverage: float = 0.9) -> NDArray[Any]:
        """Return a prediction interval for each number, see `xpnet.Run.predict_interval`."""
        check_is_fitted(self, "run_")
        return self.run_.predict_interval(self._rows(X), coverage, self.device)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _task(self) -> str:
        return "regression"

    def _targets(self, y: Any) -> NDArray[Any]:
        with inputs.in_one_line("give finite numbers, one or several for each row"):
            y = _check_y(y, multi_output=True, y_numeric=True, estimator=self)
            return np.asarray(y, np.float64)


def _is_given(value: Any, default: Any) -> bool:
    """Return whether a parameter differs from its default; empty lists count as empty tuples."""
    if isinstance(default, tuple):
        return not hasattr(value, "__len__") or len(value) > 0
    return value is not default and not (isinstance(value, str | bool) and value == default)


def _with_gaps(model: Model) -> Model:
    """Return a model that accepts gaps anywhere, because the only gap may be in the test rows of a fold."""
    known = model.row_range
    if known is None:
        return model
    return replace(model, row_range=replace(known, gaps=np.ones_like(known.gaps)))


def _of_these(settings: dict[str, Any], y: NDArray[Any]) -> dict[str, Any]:
    """Return the settings without weights of classes that are absent from the targets, as in a fold."""
    weights = settings.get("class_weight")
    if isinstance(weights, Mapping):
        known = {str(label) for label in np.unique(y).tolist()}
        kept = {name: weight for name, weight in weights.items() if str(name) in known}
        settings["class_weight"] = kept or weights
    return settings
