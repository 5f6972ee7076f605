"""`MLPClassifier`: a scikit-learn classifier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from xpnet.data.weights import by_class, likely_typo, weighted
from xpnet.errors import InputError
from xpnet.estimator import inputs
from xpnet.estimator.base import Estimator
from xpnet.estimator.fitting import stochastic
from xpnet.estimator.jobs import Rows
from xpnet.estimator.labels import refuse_mixed
from xpnet.estimator.names import named
from xpnet.typing import Task

__all__ = ["MLPClassifier"]


@named
@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """Multi-layer perceptron classifier, trained on the CPU or a GPU.

    Parameters, attributes and defaults follow `sklearn.neural_network.MLPClassifier`; the parameters from
    ``device`` on are additional. The same ``random_state`` gives the same initial weights and batches and
    therefore, in float64, the same network, with two exceptions. The validation rows of ``early_stopping``
    are stratified for any number of classes, where scikit-learn stratifies two classes only. And
    `partial_fit` shuffles anew in each call, where scikit-learn repeats the first order of a seed. ``X`` is
    not scaled: scale it first, for example by a `sklearn.preprocessing.StandardScaler` in a pipeline.

    Parameters
    ----------
    hidden_layer_sizes
        Units in each hidden layer: a number, or a sequence, which may be empty.
    activation
        Activation function of the hidden layers: "relu", "tanh", "logistic", "identity", "leaky-relu",
        "gelu", "silu" or "soft-abs".
    solver
        "adam", "sgd", "adamw", "rmsprop", "adagrad" or "lion"; or "momentum" or "nesterov", which are sgd
        with that momentum. "lbfgs" is SciPy's L-BFGS-B on all rows at once, for small data; it trains one
        network, without dropout, averaging and the like. Then, as in scikit-learn, ``tol`` is the largest
        remaining gradient component, ``max_iter`` counts steps, and ``early_stopping`` has no effect.
    alpha
        Strength of the L2 penalty. The loss of a batch of ``n`` rows is ``mean(loss) + alpha / 2 / n · ΣW²``;
        so ``alpha`` is ``n`` times the ``reg`` of `xpnet.nn.penalty.penalty`.
    batch_size
        Rows per batch; "auto" is 200, or all rows if there are fewer. The last batch of an epoch may be
        smaller; with ``norm="batch"`` it is filled up with the first rows of the epoch.
    learning_rate
        Learning-rate schedule: "constant"; "invscaling" or "adaptive", for sgd only, as in scikit-learn;
        "cosine" or "one-cycle" over ``max_iter`` epochs, for any solver.
    learning_rate_init
        Learning rate; the highest value of the schedule.
    power_t
        After ``t`` rows, the learning rate of "invscaling" is ``learning_rate_init / (t + 1) ** power_t``.
    max_iter, max_fun
        Maximum number of epochs (of steps, for lbfgs), and for lbfgs the maximum number of loss evaluations.
    shuffle
        Whether to shuffle the rows in each epoch.
    random_state
        Seed or `numpy.random.RandomState` for the initial weights, the validation split and the batches.
    tol, n_iter_no_change
        Training stops when the loss has not improved by ``tol`` for more than ``n_iter_no_change`` epochs;
        with ``early_stopping``, when ``monitor``, by default the validation score, has not. ``float("inf")``
        never stops.
    verbose
        Whether to print the loss after each epoch.
    warm_start
        Whether `fit` continues from the weights of the previous call.
    momentum, nesterovs_momentum
        Momentum of sgd, and whether it is Nesterov's; ``momentum`` also applies to momentum and nesterov.
    early_stopping, validation_fraction
        Whether to set aside this fraction of the rows, stratified by class, and stop by their score.
    beta_1, beta_2, epsilon
        Parameters of adam, adamw, rmsprop and lion. As in scikit-learn, adam adds ``epsilon`` to the root of
        the averaged squares before the bias correction.
    device
        "cpu", "cuda", "cuda:N", "mps" (Apple GPU) or "auto". A fitted model whose device is not available
        predicts on the CPU, with NumPy.
    backend
        Array library: "numpy", "cupy", "torch" or "jax"; by default NumPy on the CPU, CuPy on CUDA GPUs and
        PyTorch on Apple GPUs.
    dtype
        "float32" or "float64"; by default that of ``X``, or float64 if ``X`` is not floating point.
    dropout
        Fraction of the hidden units to drop in each step.
    weight_decay
        Decoupled weight decay, as in AdamW.
    max_time
        Stop training after this many seconds, but not before the first step.
    callbacks
        A function, or a list of them, called with the estimator after each epoch, when its fitted attributes
        are set. A callback that returns True stops training. An estimator with a lambda as callback cannot be
        pickled.
    norm, residual
        "batch" or "layer" normalisation of the hidden layers; whether hidden layers after the first are
        residual blocks, which need layers of equal width.
    init, init_std
        How the initial weights are drawn: by default as in scikit-learn; "he", "glorot", or "normal" with
        standard deviation ``init_std``.
    input_dropout, label_smoothing, mixup
        Fraction of the inputs to drop in each step; fraction of each target that is spread evenly over all
        classes; the parameter (both α and β) of the beta distribution that MixUp draws its proportions from.
        0 switches each off.
    clip_norm
        Maximum norm of the gradient of the loss, without the L2 penalty; not clipped by default.
    ema
        Decay per step of an exponential moving average of the parameters, which is then validated and kept in
        their place; 0 switches it off.
    warmup
        Fraction of the steps in which the learning rate first rises from 0.
    ensemble
        Number of networks to train at once, each on its own batches; their probabilities are averaged. Each
        network stops, and keeps its best epoch, separately. Losses and scores during training are means over
        the networks.
    bagging
        Whether each network of an ensemble trains on its own bootstrap sample of the rows. All have the same
        validation rows.
    monitor
        Validation measure that selects the best epoch. "val_score" (accuracy; R² in regression) or
        "val_loss"; for classes "val_accuracy", "val_balanced_accuracy", "val_log_loss" or "val_roc_auc"; in
        regression "val_r2", "val_rmse" or "val_mae"; or a scikit-learn scorer, by name or from
        `sklearn.metrics.make_scorer`. Scorers of one class, such as "recall", score class 1, or a class named
        as in "recall:fraud". By default "val_score", as in scikit-learn, but "val_loss" with
        ``class_weight``: a score that depends on a few rows of a rare class can rise by chance.
    preprocess, components
        Preprocessing, fitted on the training rows: "none", "mean", "standardize", "pca" or "pca-whiten"
        (which keep ``components`` components), or "zca". Not for sparse rows. `partial_fit` and
        ``warm_start`` keep the preprocessing fitted in the first call. A feature that was constant there
        stays ignored; a warning says so if it varies later.
    precision, compile
        Precision of matrix products on a GPU or some CPUs: "fp32", "tf32" or "bf16"; whether to compile the
        training step, by PyTorch or as a CUDA graph (see `xpnet.get_device`).
    class_weight
        Weights of the classes: a dict by label, with 1 for missing labels; or "balanced", which gives all
        classes the same total weight (not for `partial_fit`, which sees only part of the rows). They multiply
        ``sample_weight``. Unlike ``sample_weight`` alone, the weights then count the same in batches of any
        size: `fit` scales them to mean 1, `partial_fit` uses them unscaled. Validation rows have the same
        class weights in ``monitor``, ``validation_scores_`` and ``history_``. Labels that do not occur in
        ``y``, as in a fold of a cross-validation, have no effect; a label that is probably misspelt causes a
        warning.

    Attributes
    ----------
    classes_
        Labels ``(classes,)``, sorted.
    coefs_, intercepts_
        Weights ``(in, out)`` and biases ``(out,)`` of each layer, as NumPy arrays. With validation rows, they
        are those of the best epoch by ``monitor`` (the first of several equal ones), else of the last. An
        ensemble has its networks as the first axis; a residual block has two of each.
    history_
        Dict of lists with one number per epoch: "loss" (as ``loss_curve_``), "learning_rate", "seconds" and,
        with validation rows, "val_loss" (without the penalty) and "val_score" (accuracy). NaN for epochs of
        calls without validation rows.
    loss_, loss_curve_, best_loss_
        Mean loss of the last epoch, of each epoch, and the lowest; ``best_loss_`` is None with
        ``early_stopping``.
    validation_scores_, best_validation_score_
        Accuracy on the validation rows after each epoch, and the highest; None if the last call had no
        validation rows.
    n_iter_, t_
        Number of epochs in the last call, and of rows seen in all calls.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn: two classes share one output, "logistic"; more classes have one each, "softmax".

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from xpnet import MLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MLPClassifier(random_state=0, early_stopping=True).fit(X / 16, y)
    >>> model.best_validation_score_ > 0.9
    True
    """

    class_weight: Mapping[Any, float] | str | None = None

    _out_activations = ("logistic", "softmax")

    @stochastic  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None
    ) -> Self:
        """Train for one epoch on these rows; the next call continues from there.

        ``preprocess`` is fitted on the rows of the first call, which should be many and representative.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes
            All labels that will occur. Needed in the first call only, and not for several labels per row.

        Returns
        -------
        self
        """
        refuse_mixed(y)
        refuse_mixed(classes, "classes")
        several = _is_indicator(y)
        if several and classes is not None and not np.array_equal(classes, np.arange(np.shape(y)[1])):
            raise InputError(
                "classes needs one label per row, but y has a column of 0 and 1 for each label: leave it out"
            )
        if not self._is_begun():
            if classes is None and not several:
                raise InputError(
                    "classes must be passed on the first call to partial_fit: give all labels that will occur"
                )
        elif classes is not None and not np.array_equal(_sorted(classes), self.classes_):
            raise InputError(
                f"`classes={classes}` is not the same as on the last call to partial_fit, {self.classes_}: "
                "leave it out after the first"
            )
        return self._fit(X, y, sample_weight, classes=classes, incremental=True)

    def predict(self, X: Any, members: bool = False) -> Any:
        """Predict the most probable label of each row ``(rows,)``, or 0 and 1 for each of several labels.

        Here, in `predict_proba` and in `score`, an `xpnet.errors.RangeWarning` tells of values far outside
        the range of the training rows.

        Parameters
        ----------
        X
            As for `fit`.
        members
            Return the prediction of each network of the ensemble, with the networks as the first axis (of
            length 1 for a single network).
        """
        if members:
            P = self._members(X)
            each = (P > 0.5).astype(np.int64) if self._several else self.classes_[P.argmax(axis=-1)]
            return inputs.like(X, each)
        scores = self._scores(X)
        if self._several:
            return inputs.like(X, (scores > 0).astype(np.int64))
        return inputs.like(X, self.classes_[self._chosen(scores)])

    def predict_proba(self, X: Any, members: bool = False) -> Any:
        """Predict the probability of each class, ``(rows, classes)``, in the order of ``classes_``.

        With ``members``, return the probabilities of each network of the ensemble, ``(networks, rows,
        classes)``. Their mean is the usual result; their spread shows how uncertain it is.
        """
        return inputs.like(X, self._members(X) if members else np.exp(self._log_probabilities(X)))

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of `predict_proba`, also accurate where that rounds to 0."""
        return inputs.like(X, self._log_probabilities(X))

    def _log_probabilities(self, X: Any) -> NDArray[Any]:
        scores = self._scores(X)
        if self.out_activation_ == "softmax":
            shifted = scores - scores.max(axis=1, keepdims=True)
            found: NDArray[Any] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            return found
        of_yes = -np.logaddexp(0.0, -scores)  # log σ(s), without a difference of nearly equal numbers
        if self._several:
            return np.asarray(of_yes, scores.dtype)
        if len(self.classes_) == 1:
            return np.zeros_like(scores)
        return np.concatenate([-np.logaddexp(0.0, scores), of_yes], axis=1, dtype=scores.dtype)

    def _chosen(self, scores: NDArray[Any]) -> NDArray[np.int64]:
        """Return the number of the most probable class of each row."""
        if scores.shape[1] > 1:
            return np.asarray(scores.argmax(axis=1), np.int64)
        return np.asarray((scores[:, 0] > 0) & (len(self.classes_) > 1), np.int64)

    def _of_targets(self, y: Any) -> dict[str, Any]:
        refuse_mixed(y)
        return {}

    def _doubt(self) -> str:
        weights = self.class_weight
        return likely_typo(weights, self.classes_.tolist()) if isinstance(weights, Mapping) else ""

    def _encode(self, y: NDArray[Any], fresh: bool, classes: Any = None) -> NDArray[Any]:
        check_classification_targets(y)
        several = _is_indicator(y)
        if not several and y.ndim == 2 and y.shape[1] > 1:
            raise InputError(
                "y has columns of more than two values: give one label per row, or a column of 0 and 1 for "
                "each label; for several targets use sklearn.multioutput.MultiOutputClassifier"
            )
        if several:
            y = np.asarray(y.toarray() if hasattr(y, "toarray") else y, np.float64)
            labels = np.arange(y.shape[1])
        else:
            y = column_or_1d(y, warn=True)
            labels = np.unique(y)
        if fresh:
            self.classes_ = labels if several or classes is None else _sorted(classes)
            self._several = several
        unknown = np.setdiff1d(labels, self.classes_)
        if several != self._several or len(unknown) or (several and len(labels) < len(self.classes_)):
            raise InputError(
                f"y has the labels {labels.tolist()}, but the classes are {self.classes_.tolist()}: name "
                "all labels in the first call, or leave such rows out"
            )
        if several:
            return y
        number = np.searchsorted(self.classes_, y)
        return number if len(self.classes_) > 2 else number[:, None].astype(np.float64)

    def _weights(self, rows: Rows, training: Rows, whole: bool = True) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return rows.weight
        if self._several:
            raise InputError("class_weight needs one label per row: give sample_weight instead")
        factors = by_class(self.class_weight, self.classes_.tolist(), _labels(training), training.weight)
        what = "rows" if rows is training else "validation rows"
        return weighted(factors, _labels(rows), rows.weight, what, may_be_zero=not whole)

    def _loss(self) -> str:
        return "cross-entropy" if self.out_activation_ == "softmax" else "logistic"

    def _outputs(self, target: NDArray[Any]) -> tuple[int, str]:
        return (target.shape[1], "logistic") if target.ndim == 2 else (len(self.classes_), "softmax")

    def _task(self) -> tuple[Task, Sequence[Any]]:
        return "multilabel" if self._several else "classification", self.classes_.tolist()

    def _strata(self, target: NDArray[Any]) -> NDArray[Any] | None:
        return None if self._several else target

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _labels(rows: Rows) -> NDArray[np.int64]:
    """Return the class number of each row."""
    return rows.target if rows.target.ndim == 1 else rows.target[:, 0].astype(np.int64)


def _is_indicator(y: Any) -> bool:
    """Return whether the targets are several labels per row: a column of 0 and 1 for each label."""
    return bool(type_of_target(inputs.to_host(y)) == "multilabel-indicator")


def _sorted(classes: Any) -> NDArray[Any]:
    return np.unique(inputs.to_host(classes))
