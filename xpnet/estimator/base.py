"""What both estimators share: their parameters, and what is checked before training."""

import math
import warnings
from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from xpnet.data.feed import Feed
from xpnet.device import SHARED_FROM, get_device, one_blas_thread
from xpnet.errors import InputError
from xpnet.estimator import inputs, settings
from xpnet.estimator.fitting import Fitting, Validation
from xpnet.nn.mlp import MLP

__all__ = ["Estimator"]


@dataclass(eq=False, repr=False)
class Estimator(Fitting):
    """Parameters of `MLPClassifier` and `MLPRegressor`: what they mean is said there."""

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
    device: str = "cpu"
    backend: str = "auto"
    dtype: str | None = None
    dropout: float = 0.0
    weight_decay: float = 0.0
    max_time: float | None = None
    callbacks: Any = None

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
            Training rows ``(rows, features)``: an array, a data frame, or a sparse matrix, of which each
            batch is made dense by itself.
        y
            Targets: ``(rows,)``, or ``(rows, outputs)``.
        sample_weight
            ``(rows,)``, 0 or more: a row of weight 2 counts as two in the loss.
        X_val, y_val
            Validation rows, evaluated after each epoch: the weights of the best are kept. They take the
            place of those that ``early_stopping`` would set aside.

        Returns
        -------
        self

        Raises
        ------
        InputError
            Parameters or data that cannot be used; a `ValueError`, as scikit-learn's own.
        DeviceError
            The device cannot be used.

        Warns
        -----
        ConvergenceWarning
            The loss has not settled within ``max_iter`` epochs; or it stopped being finite, and the weights
            are those of the epoch before.
        """
        if (X_val is None) != (y_val is None):
            raise InputError("validation takes both: give X_val and y_val, or neither")
        return self._fit(X, y, sample_weight, None if X_val is None else (X_val, y_val))

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
        settings.check(self.get_params(deep=False))
        if incremental and self.early_stopping:
            raise InputError("partial_fit does not support early_stopping=True: it trains a single epoch")
        if incremental and self.learning_rate in ("cosine", "one-cycle"):
            raise InputError(
                f"learning_rate {self.learning_rate!r} ends with the last step, of which partial_fit knows "
                "nothing: use 'constant'"
            )
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        fresh = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        if fresh:
            self.__dict__.pop("coefs_", None)  # not half of an old network, should the checks below fail
        X, y = inputs.checked(self, X, y, dtype=self.dtype, reset=fresh, **self._of_targets())
        rows, dtype = X.shape[0], str(X.dtype if fresh else self.coefs_[0].dtype)
        target = self._encode(y, fresh, classes)
        weight = inputs.row_weights(sample_weight, rows)
        of_rows = self._weights(weight, target)
        if of_rows is not None and not of_rows.any():
            raise InputError(
                "class_weight leaves all rows with weight 0: raise that of a class that has rows"
            )
        device, mlp = get_device(self.device, self.backend), self._network(X.shape[1], target, fresh)
        if fresh or not incremental:
            self._random_state = check_random_state(self.random_state)
        if fresh:
            self._begin(mlp, dtype)

        order, validation = np.arange(rows), None
        if given is not None:
            X_val, y_val = inputs.checked(self, *given, dtype=dtype, reset=False, **self._of_targets())
            validation = Validation(X_val, self._encode(y_val, False), None)
        elif self.early_stopping:
            order, kept = self._split(rows, target)
            validation = Validation(X[kept], target[kept], None if weight is None else weight[kept])
            if validation.weight is not None and not validation.weight.any():
                raise InputError("the rows drawn for validation all have weight 0: give X_val and y_val")
            if of_rows is not None and not of_rows[order].any():
                raise InputError("the rows left to train on all have weight 0: give X_val and y_val")
        size = min(200 if self.batch_size == "auto" else int(self.batch_size), len(order))
        if self.batch_size != "auto" and size < int(self.batch_size):
            warnings.warn(
                f"batch_size {self.batch_size} is clipped to the {size} training rows", stacklevel=3
            )

        products = max(2 * size * into * out for into, out in pairwise(mlp.sizes))
        with device.active(), one_blas_thread(products < SHARED_FROM):
            feed = Feed(
                inputs.on_device(device, X, dtype),
                device.put(target, None if target.ndim == 1 else dtype),
                weight=None if of_rows is None else device.put(of_rows, dtype),
            )
            if validation is not None and not hasattr(validation.X, "toarray"):
                validation = validation._replace(X=device.put(validation.X, dtype))
            self._train(device, mlp, feed, order, size, validation, incremental)
        return self

    # What classifier and regressor do differently

    @abstractmethod
    def _of_targets(self) -> dict[str, Any]:
        """What scikit-learn's check of the targets is told."""

    @abstractmethod
    def _encode(self, y: NDArray[Any], fresh: bool, classes: Any = None) -> NDArray[Any]:
        """Return labels ``(rows,)``, integers, or floats ``(rows, outputs)``; ``fresh``: learn from them."""

    @abstractmethod
    def _weights(
        self, weight: NDArray[np.float64] | None, target: NDArray[Any]
    ) -> NDArray[np.float64] | None:
        """Return the weights of the rows times those of their classes."""

    @abstractmethod
    def _outputs(self, target: NDArray[Any]) -> tuple[int, str]:
        """Return the number of outputs and the name of what turns scores to predictions."""

    @abstractmethod
    def _strata(self, target: NDArray[Any]) -> NDArray[Any] | None:
        """Return that of which both parts of a split are to have the same shares."""

    # Before training

    def _network(self, features: int, target: NDArray[Any], fresh: bool) -> MLP:
        """Return the network of the parameters, to begin anew or to go on with."""
        outputs, out_activation = self._outputs(target)
        sizes = (features, *settings.hidden_sizes(self.hidden_layer_sizes), outputs)
        if fresh:
            self.n_outputs_, self.out_activation_, self.n_layers_ = outputs, out_activation, len(sizes)
        elif [W.shape for W in self.coefs_] != list(pairwise(sizes)):
            raise InputError(
                f"the fitted layers are {[W.shape for W in self.coefs_]}, but parameters and data make "
                f"{list(pairwise(sizes))}: set warm_start=False, or fit a new estimator"
            )
        return MLP(sizes, self.activation)  # type: ignore[arg-type]  # checked

    def _split(self, rows: int, target: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Set rows aside for validation: in equal shares of the classes, where there are enough of each."""
        fraction, strata = self.validation_fraction, self._strata(target)
        count = math.ceil(fraction * rows)
        if not 2 <= count < rows:
            raise InputError(
                f"validation_fraction {fraction} of {rows} rows leaves too few to train or to validate on: "
                "change it, or give X_val and y_val"
            )
        if strata is not None:
            _, each = np.unique(strata, return_counts=True)
            strata = strata if each.min() >= 2 and len(each) <= min(count, rows - count) else None
        order, kept = train_test_split(
            np.arange(rows), test_size=fraction, random_state=self._random_state, stratify=strata
        )
        return order, kept

    # After training

    def _scores(self, X: Any) -> NDArray[Any]:
        """Return the scores ``(rows, outputs)`` of new rows."""
        check_is_fitted(self, "coefs_")
        X = inputs.checked(self, X, reset=False)
        inputs.check_size(X, self.coefs_[0].dtype)
        device = inputs.device_or_cpu(self.device, self.backend)
        mlp = MLP((X.shape[1], *(W.shape[1] for W in self.coefs_)), self.activation)  # type: ignore[arg-type]
        with device.active():
            params = {name: device.put(value) for name, value in self._params().items()}
            return inputs.scores(device, mlp, params, X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
