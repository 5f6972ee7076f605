"""What `MLPClassifier` and `MLPRegressor` share: parameters, and the checks before training."""

import copy
import functools
from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.data import transforms
from xpnet.data.likeness import other_order, other_scale
from xpnet.device import get_device, one_blas_thread, small_products
from xpnet.errors import InputError
from xpnet.estimator import inputs, settings
from xpnet.estimator.fitted import Fitted
from xpnet.estimator.jobs import Begun, Ready, Rows, Share
from xpnet.estimator.splitting import set_aside
from xpnet.nn.mlp import MLP
from xpnet.training import monitors
from xpnet.training.first_rows import unlike_the_first
from xpnet.training.row_range import RowRange
from xpnet.warn import warn

__all__ = ["Estimator"]


@dataclass(eq=False, repr=False)
class Estimator(Fitted):
    """Base of `MLPClassifier` and `MLPRegressor`, which document the parameters."""

    hidden_layer_sizes: Any = (100,)
    activation: str = "relu"
    _: KW_ONLY
    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    device: str = "cpu"
    backend: str = "auto"
    dtype: str | None = None
    dropout: float = 0.0
    weight_decay: float = 0.0
    max_time: float | None = None
    callbacks: Any = None
    norm: str = "none"
    residual: bool = False
    init: str | None = None
    init_std: float = 0.05
    input_dropout: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    clip_norm: float | None = None
    ema: float = 0.0
    warmup: float = 0.0
    ensemble: int = 1
    bagging: bool = False
    monitor: Any = None
    preprocess: str = "none"
    components: int | None = None
    precision: str = "fp32"
    compile: bool = False

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X
            Training rows ``(rows, features)``: an array, a data frame or a sparse matrix, which is made dense
            batch by batch.
        y
            Targets: ``(rows,)``, or ``(rows, outputs)``.
        sample_weight
            Weights ``(rows,)``, at least 0. As in scikit-learn, the loss of a batch is divided by the sum of
            the weights in that batch; so weights lose effect in small batches, and have none in batches of
            one row. With ``class_weight``, both kinds of weights count the same in batches of any size.
        X_val, y_val
            Validation data, evaluated after each epoch; the weights of the best epoch are kept. They replace
            the rows that ``early_stopping`` would set aside.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If parameters or data cannot be used; it is a `ValueError`, as in scikit-learn.
        DeviceError
            If the device cannot be used.

        Warns
        -----
        ConvergenceWarning
            If the loss has not converged within ``max_iter`` epochs; or if training diverged, in which case
            the weights are from before that.
        """
        return self._fit(X, y, sample_weight, self._given(X_val, y_val))

    def _given(self, X_val: Any, y_val: Any) -> tuple[Any, Any] | None:
        """Return the validation data given to `fit`, or None."""
        if (X_val is None) != (y_val is None):
            raise InputError("validation data need both X_val and y_val: give both, or neither")
        if X_val is not None and self.solver == "lbfgs":
            raise InputError("solver 'lbfgs' does not use validation data: leave out X_val and y_val")
        return None if X_val is None else (X_val, y_val)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        given: tuple[Any, Any] | None = None,
        classes: Any = None,
        incremental: bool = False,
    ) -> Self:
        """Check everything, then train."""
        ready, fresh = self._ready(X, y, sample_weight, given, classes, incremental)
        try:
            with one_blas_thread(ready.device.is_host and small_products(ready.batch_size, ready.mlp.sizes)):
                self._train(ready)
        except BaseException:
            self._forget(fresh)
            raise
        return self

    def _share(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Share:
        """Prepare training of a network together with others; arguments as for `fit`."""
        try:
            ready, _ = self._ready(X, y, sample_weight, self._given(X_val, y_val))
            parameters = self.get_params(deep=False)
            begun_with = {name: of for name, of in vars(self).items() if name not in parameters}
            begun_with = copy.deepcopy(begun_with)
            begun = self._job(ready)
        except BaseException:
            self._drop()
            raise
        return self._shared(begun, (ready, begun_with))

    def _kin(self) -> str:
        """Return a key that is equal for estimators that start alike on the same rows; ``""`` for none."""
        if not isinstance(self.random_state, int | np.integer):
            return ""
        others = {n: of for n, of in self.get_params(deep=False).items() if n not in settings.OF_STEPS}
        return f"{type(self).__name__} {others}"

    def _share_like(self, kin: Share) -> Share:
        """Return the same as `_share`, with the checked rows of an estimator with the same `_kin`."""
        if kin.ready is None:
            raise AssertionError("nothing is known of what its kin began with")
        settings.check(self.get_params(deep=False))
        ready, begun_with = kin.ready
        self.__dict__.update(copy.deepcopy(begun_with))
        settings.check_precision(self.get_params(deep=False), str(self.coefs_[0].dtype))
        begun = self._job(ready, (kin.job.feed, kin.job.validation))
        return self._shared(begun)

    def _shared(self, begun: Begun, ready: tuple[Ready, dict[str, Any]] | None = None) -> Share:
        take = functools.partial(self._end, begun)
        return Share(begun.job, begun.device, lambda result, _seconds: take(result), ready)

    def _ready(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        given: tuple[Any, Any] | None = None,
        classes: Any = None,
        incremental: bool = False,
    ) -> tuple[Ready, bool]:
        """Check everything; return what to train, and whether training starts afresh."""
        parameters = self.get_params(deep=False)
        settings.check(parameters)
        if incremental:
            settings.check_incremental(parameters)
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        fresh = not self._is_begun() or not (self.warm_start or incremental)
        if fresh:
            self._drop()  # so that no part of an old network remains if a check below fails
        if note := other_order(X, {"y": y, "sample_weight": sample_weight}):
            warn(note)
        if given is not None and (note := other_order(given[0], {"y_val": given[1]}, "X_val")):
            warn(note)
        # Rows to preprocess keep their dtype until then, since float32 may not hold their values.
        given_dtype = self.dtype if self.preprocess == "none" else None
        X, y = inputs.checked(self, X, y, dtype=given_dtype, reset=fresh, **self._of_targets(y))
        dtype = str((self.dtype or X.dtype) if fresh else self.coefs_[0].dtype)
        settings.check_precision(parameters, dtype)
        target = self._encode(y, fresh, classes)
        monitor = settings.monitor_of(parameters)
        if not callable(monitor):
            task, labels = self._task()
            monitors.check(monitor, task, called="monitor", labels=labels)
        rows = Rows(X, target, inputs.row_weights(sample_weight, X.shape[0]))
        weight = self._weights(rows, rows, whole=not incremental)
        if weight is not None and self.mixup:  # refuse before doing anything
            raise InputError("mixup cannot be combined with weights of rows or classes: give one of them")
        if fresh and (note := self._doubt()):
            warn(note)
        if weight is not None and (self.preprocess != "none" or self.norm == "batch"):
            rows = _counted(rows, weight)  # else the others would affect the preprocessing
        device = get_device(self.device, self.backend, self.precision, self.compile)
        if fresh or not incremental:
            self._random_state = inputs.random_state(self.random_state)
        validation = None
        if given is not None:
            kept_dtype = dtype if self.preprocess == "none" else None
            X_val, y_val = inputs.checked(
                self, *given, dtype=kept_dtype, end="_val", reset=False, **self._of_targets(given[1])
            )
            validation = Rows(X_val, self._encode(y_val, False), None)
            if note := other_scale(X, X_val):
                warn(f'{note}; a pipeline does with transform_input=["X_val"]')
        how = settings.preprocessing_of(parameters)
        if how.kind != "none" and any(hasattr(part.X, "toarray") for part in (rows, validation) if part):
            raise InputError(f"preprocess={how.kind!r} takes dense rows: give X.toarray(), or use 'none'")
        mlp = self._network(how.output_features(X.shape[1]), target, fresh)
        if fresh:
            self._begin(mlp, dtype)
        self._mlp = mlp
        self._how = how if fresh else self._how
        try:
            if given is None and self.early_stopping and self.solver != "lbfgs":  # lbfgs has no epochs
                strata = self._strata(rows.target)
                rows, validation = set_aside(rows, self.validation_fraction, strata, self._random_state)
            self._compare(rows, fresh)
            rows = self._standardised(rows, fresh, incremental)
            if validation is not None:
                validation = self._standardised(validation, False, incremental, "y_val")
                validation = validation._replace(weight=self._weights(validation, rows))
            rows = rows._replace(weight=self._weights(rows, rows, whole=not incremental))
            count = rows.X.shape[0]
            if count == 1 and self.norm == "batch":
                raise InputError(
                    "norm='batch' needs batches of several rows, but there is only 1 sample: give 2 rows "
                    "or more, or set norm='layer'"
                )
            size = min(200 if self.batch_size == "auto" else int(self.batch_size), count)
            if self.batch_size != "auto" and size < int(self.batch_size) and self.solver != "lbfgs":
                warn(f"batch_size {self.batch_size} is more than the {size} training rows and was clipped")
            if validation is not None:
                watched, task = self._watched(validation), self._task()[0]
                target, weight = validation.target, validation.weight
                monitors.check(watched, task, target, weight, called="monitor", outputs=self.n_outputs_)
                if undefined := monitors.undefined(watched, task, target, weight):
                    fix = "for R², give rows with different targets"
                    warn(f"{undefined}: epochs are compared by val_loss instead; {fix}")
            with one_blas_thread(device.is_host and small_products(size, mlp.sizes)):
                if fresh and how.kind != "none":
                    self._how = transforms.suited(how, rows.X, dtype)
                    self._fitted = transforms.fit(self._how, rows.X, device, dtype)
        except BaseException:
            self._forget(fresh)
            raise
        return Ready(device, mlp, rows, size, validation, incremental), fresh

    def _forget(self, fresh: bool) -> None:
        """Forget a network that has not been trained."""
        if fresh and not self.n_iter_:
            self._drop()

    def _drop(self) -> None:
        """Forget the network, and everything that is kept from call to call."""
        for name in ("coefs_", "_mlp", "_pace", "_settled", "_noise", "_target"):
            self.__dict__.pop(name, None)

    def _compare(self, rows: Rows, fresh: bool) -> None:
        """Record the range of training rows; warn if later rows vary in features that were constant."""
        known = None if hasattr(rows.X, "toarray") else RowRange.of(rows.X)
        if fresh:
            self._first_range = self._row_range = known
            self._is_told = False
            return
        first, seen = self._first_range, self._row_range
        if first is None or seen is None or known is None:  # sparse rows, whose range is unknown
            self._row_range = None
            return
        if self._how.kind != "none" and not self._is_told:  # only once: a stream may have many such calls
            names = getattr(self, "feature_names_in_", range(self.n_features_in_))
            if note := unlike_the_first(self._fitted, first, rows.X, list(map(str, names)), seen):
                warn(note)
                self._is_told = True
        self._row_range = seen.joined(known)

    # What classifier and regressor do differently

    @abstractmethod
    def _of_targets(self, y: Any) -> dict[str, Any]:
        """Return arguments for scikit-learn's check of targets; refuse what it would not report well."""

    @abstractmethod
    def _encode(self, y: NDArray[Any], fresh: bool, classes: Any = None) -> NDArray[Any]:
        """Return integer labels ``(rows,)`` or floats ``(rows, outputs)``; if ``fresh``, learn classes."""

    @abstractmethod
    def _weights(self, rows: Rows, training: Rows, whole: bool = True) -> NDArray[np.float64] | None:
        """Return the weights of rows times those of their classes in training; None for all the same.

        If these rows are not the ``whole`` training data, all of them may have weight 0.
        """

    def _doubt(self) -> str:
        """Return a warning about a parameter that is probably a mistake, or an empty text."""
        return ""

    def _standardised(self, rows: Rows, fresh: bool, incremental: bool, what: str = "y") -> Rows:  # noqa: ARG002
        """Return rows with standardised targets; if ``fresh``, fit the standardisation."""
        return rows

    @abstractmethod
    def _outputs(self, target: NDArray[Any]) -> tuple[int, str]:
        """Return the number of outputs, and the name of the function from scores to predictions."""

    @abstractmethod
    def _strata(self, target: NDArray[Any]) -> NDArray[Any] | None:
        """Return the classes by which to stratify a split; None for no stratification."""

    # Before training

    def _network(self, features: int, target: NDArray[Any], fresh: bool) -> MLP:
        """Return the network for the parameters, to start afresh or to continue with."""
        outputs, out_activation = self._outputs(target)
        sizes = (features, *settings.hidden_sizes(self.hidden_layer_sizes), outputs)
        mlp = MLP(sizes, self.activation, self.norm, self.residual)  # type: ignore[arg-type]  # checked
        if fresh:
            self.n_outputs_, self.out_activation_, self.n_layers_ = outputs, out_activation, len(sizes)
        elif (
            self._mlp,
            replace(self._how, exact=False),
            self.coefs_[0].ndim > 2 and len(self.coefs_[0]),
            self.out_activation_,
        ) != (
            mlp,
            settings.preprocessing_of(self.get_params(deep=False)),
            self.ensemble > 1 and self.ensemble,
            out_activation,
        ):
            raise InputError(
                f"the fitted layers are {self._mlp.sizes}, but parameters and data make {sizes} with other "
                "units, output, preprocessing or ensemble: set warm_start=False, or fit a new estimator"
            )
        return mlp

    def _watched(self, validation: Rows) -> Any:
        monitor = settings.monitor_of(self.get_params(deep=False))
        task, labels = self._task()
        return monitors.resolved(monitor, task, labels, validation.X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _counted(rows: Rows, weight: NDArray[np.float64]) -> Rows:
    """Return the rows with weights above 0."""
    counts = weight > 0
    if counts.all():
        return rows
    if not counts.any():  # only for a part of the rows: the whole was checked before
        raise InputError("all of these rows have weight 0: leave them out")
    return Rows(rows.X[counts], rows.target[counts], None if rows.weight is None else rows.weight[counts])
