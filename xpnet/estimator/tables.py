"""`TableClassifier` and `TableRegressor`: scikit-learn's protocol for tables as they are, nothing to set."""

import warnings
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

__all__ = ["TableClassifier", "TableRegressor"]

OTHER = "settings__"
"""What scikit-learn's names of other settings begin with."""


_ALONE = frozenset(
    {"out", "resume", "checkpoint_every", "tensorboard", "weights_image", "init_from", "max_time"}
)
"""Settings of a run that has to be carried out by itself."""


@dataclass(eq=False, repr=False)
class Table(Named):
    """Parameters of `TableClassifier` and `TableRegressor`: what they mean is said there."""

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
            Training rows: a data frame, whose columns may be numbers, text, dates and have gaps; or an array
            ``(rows, columns)`` of numbers with NaN for gaps, or of objects.
        y
            What to predict ``(rows,)``; of numbers also ``(rows, outputs)``.
        sample_weight
            ``(rows,)``, 0 or more: a row of weight 2 counts as two in the loss.
        X_val, y_val
            Rows to choose the best epochs by; they take the place of those that are held out.

        Returns
        -------
        self

        Raises
        ------
        InputError
            Parameters or data that cannot be used; a `ValueError`, as scikit-learn's own.
        DeviceError
            The device cannot be used.
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
        """Do what comes before training, for networks that are trained beside others; as for `fit`."""
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
        """Return that each begins by itself."""
        return ""

    def _shares_stack(self) -> bool:
        """Return whether the networks can be trained beside those of other estimators."""
        alone = self.verbose or self.max_time is not None or not isinstance(self.settings or {}, Mapping)
        return not alone and not _ALONE & set(self.settings or {})

    def _checked(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, X_val: Any, y_val: Any
    ) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
        """Check everything, and return what `xpnet.fit` is given: rows, targets, other arrays, settings."""
        if (X_val is None) != (y_val is None):
            raise InputError("validation takes both: give X_val and y_val, or neither")
        if y is None:
            name = type(self).__name__
            raise InputError(f"{name} requires y to be passed, but the target y is None: give one each row")
        self._check_settings()
        for note in (
            other_order(X, {"y": y, "sample_weight": sample_weight}),
            other_order(X_val, {"y_val": y_val}, "X_val"),
        ):
            if note:
                warnings.warn(note, stacklevel=3)
        if self._task() == "classification":
            refuse_mixed(y)
            refuse_mixed(y_val, "y_val")
        X, y = self._rows(X, reset=True), self._targets(inputs.given_targets(y))
        inputs.check_length(X, y)
        if X_val is not None:
            X_val, y_val = self._rows(X_val), self._targets(inputs.given_targets(y_val, "y_val"))
            inputs.check_length(X_val, y_val)
        elif len(y) == 1:
            raise InputError(
                "n_samples = 1 leaves none to train on, as one row is held out: give at least two"
            )
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
        if isinstance(self.device, Device):  # which says it all
            names = ("device", "backend", "precision", "compile")
            settings |= dict(zip(names, self.device.options, strict=True))
        seed = int(inputs.random_state(self.random_state).randint(2**31))
        weights = (self.settings or {}).get("class_weight")
        if isinstance(weights, Mapping):  # by the text of a label, as flags have it
            labels = [str(label) for label in np.unique(y).tolist()]
            if note := likely_typo({str(name): of for name, of in weights.items()}, labels):
                warnings.warn(note, stacklevel=3)
        arrays = {
            "X_val": X_val,
            "y_val": y_val,
            "sample_weight": inputs.row_weights(sample_weight, len(y)),
        }
        settings |= {"seed": seed, "task": self._task()} | _of_these(dict(self.settings or {}), y)
        return X, y, arrays, settings

    def predict(self, X: Any, members: bool = False) -> NDArray[Any]:
        """Return what is predicted of rows ``(rows,)``, or ``(rows, outputs)`` of several numbers.

        Parameters
        ----------
        X
            As for `fit`; columns are found by their names, others are ignored. Categories that training did
            not know and gaps are fine.
        members
            Return what each network predicts by itself, with an axis over them first.
        """
        check_is_fitted(self, "run_")
        found: NDArray[Any] = self.run_.predict(self._rows(X), self.device, members)
        return found

    def export(self, path: str | Path, format: str | None = None, *, opset: int | None = None) -> Path:
        """Write the fitted networks with their preprocessing for other libraries.

        Parameters
        ----------
        path, format, opset
            As for `xpnet.Run.export`.
        """
        check_is_fitted(self, "run_")
        return self.run_.export(path, format, opset=opset)

    def set_params(self, **params: Any) -> Self:
        """Set parameters by their names, and any other settings by ``settings__NAME``.

        Raises
        ------
        InputError
            There is no such parameter.
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
        """Refuse settings that are none, or that are given as parameters, too, if ``twice``."""
        if not isinstance(self.settings or {}, Mapping):
            raise InputError(f"settings must be a dict of them by name, not {shown(self.settings)}")
        if not twice or not self.settings:
            return
        if "recipe" in self.settings:
            raise InputError("settings name a recipe: give the parameter recipe instead")
        for parameter in fields(self):
            name = {"random_state": "seed", "verbose": "quiet"}.get(parameter.name, parameter.name)
            if name in self.settings and _is_given(getattr(self, parameter.name), parameter.default):
                raise InputError(f"{parameter.name} and settings[{name!r}] say the same: give one of them")

    @abstractmethod
    def _task(self) -> str:
        """Return what is predicted."""

    @abstractmethod
    def _targets(self, y: Any) -> NDArray[Any]:
        """Return targets after scikit-learn's checks."""

    def _rows(self, X: Any, reset: bool = False) -> Any:
        """Return rows as `xpnet.fit` takes them, after scikit-learn's checks of their number and names."""
        refuse_mask(X, "X")
        X = inputs.to_host(X)
        if isinstance(X, Mapping | list) and is_frame(X):  # which scikit-learn does not know as a table
            if reset:
                names = as_frame(X).names
                self.n_features_in_ = len(names)
                self.feature_names_in_ = np.array(names, object)
            return X
        if is_frame(X):
            as_frame(X)  # complains of one that is not there yet, or has two columns of one name
            has_names = hasattr(self, "feature_names_in_") or not hasattr(X, "columns")
            if reset or not has_names:  # of which scikit-learn warns
                with inputs.in_one_line("give columns with names"):
                    validate_data(self, X, skip_check_array=True, reset=reset)
            return X
        array = as_array(X, "X")
        if array.ndim != 2:
            raise InputError(
                f"X has shape {array.shape}: give a table, or an array (rows, columns). Reshape your data by "
                "X.reshape(1, -1) if they are one row"
            )
        with inputs.in_one_line("give finite numbers, of one row and one column or more"):
            array = check_array(X, dtype=None, ensure_all_finite="allow-nan", estimator=self)
        with inputs.in_one_line("give the columns that it was trained on"):
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
    """A stack of networks that chooses between classes, for tables as they are.

    Columns of numbers, text and dates, with gaps, need no scaling and no encoding; a few networks are trained
    at once, each is kept at its best epoch, and their probabilities are averaged.

    Parameters
    ----------
    recipe
        ``"table"``; ``"table-fast"``, one network, within a second for a few thousand rows; ``"table-best"``,
        more networks for longer; or another (``xpnet recipe``).
    random_state
        Seed or `numpy.random.RandomState` of weights, split and batches.
    validation_fraction
        The part of the rows that is held out to choose the best epochs by; the recipe's by default.
    ensemble
        Number of networks; the recipe's by default. ``settings={"bagging": True}`` gives each rows of its
        own, drawn with replacement.
    epochs
        Passes over the rows, at most; as suits their number by default.
    max_time
        Seconds after which training ends.
    categorical, numeric, ignore
        Columns to take for categories or numbers, whatever they look like, and to leave out.
    device, backend
        Where to compute, as for `xpnet.get_device`.
    verbose
        Show the progress.
    settings
        Any other settings of `xpnet.Config`, by name: ``{"dropout": 0.1}``. In a search over parameters each
        is one, as ``settings__dropout``.

    Attributes
    ----------
    run_
        What `xpnet.fit` returned: to save, to export, to report.
    classes_
        The labels.
    n_features_in_, feature_names_in_
        Of the columns.

    Examples
    --------
    >>> from xpnet import TableClassifier
    >>> X = {"age": [23, 47, 31, 62] * 25, "city": ["Rome", "Oslo", None, "Oslo"] * 25}
    >>> TableClassifier(random_state=0).fit(X, ["no", "yes", "no", "yes"] * 25).predict(X)[:4].tolist()
    ['no', 'yes', 'no', 'yes']
    """

    def predict_proba(self, X: Any, members: bool = False) -> NDArray[Any]:
        """Return the probability ``(rows, classes)`` of each class; rows as for `predict`.

        With ``members`` those of each network by itself, ``(networks, rows, classes)``.
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
    """A stack of networks that predicts numbers, for tables: parameters as for `TableClassifier`."""

    def predict_interval(self, X: Any, coverage: float = 0.9) -> NDArray[Any]:
        """Return the interval about each prediction that holds the number in so many cases, see `Run`."""
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
    """Return whether a parameter is not what it is by default; empty lists are as good as empty tuples."""
    if isinstance(default, tuple):
        return not hasattr(value, "__len__") or len(value) > 0
    return value is not default and not (isinstance(value, str | bool) and value == default)


def _with_gaps(model: Model) -> Model:
    """Return a model that takes a gap wherever it is: rows of a fold may have the only one."""
    known = model.row_range
    if known is None:
        return model
    return replace(model, row_range=replace(known, gaps=np.ones_like(known.gaps)))


def _of_these(settings: dict[str, Any], y: NDArray[Any]) -> dict[str, Any]:
    """Return settings without the weights of classes that these targets lack, if others occur: of a fold."""
    weights = settings.get("class_weight")
    if isinstance(weights, Mapping):
        known = {str(label) for label in np.unique(y).tolist()}
        kept = {name: weight for name, weight in weights.items() if str(name) in known}
        settings["class_weight"] = kept or weights
    return settings
