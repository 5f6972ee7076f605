"""`MLPClassifier`: scikit-learn's protocol for a network that chooses between classes."""

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
    """A multi-layer perceptron for classification, trained on the CPU or a GPU.

    Parameters, attributes and defaults are those of `sklearn.neural_network.MLPClassifier` where they have
    its names; from the same ``random_state`` come the same weights and batches and so, in float64, the same
    network, with two exceptions: with ``early_stopping`` the rows set aside keep the shares of three or more
    classes, too, where scikit-learn sees to two only; and `partial_fit` shuffles anew in each call, where
    scikit-learn takes the first order of a seed every time. New are those from ``device`` on. ``X`` is taken
    as it is: scale it first, say by a `sklearn.preprocessing.StandardScaler` in a pipeline.

    Parameters
    ----------
    hidden_layer_sizes
        Units of each hidden layer: a number or several, also none.
    activation
        Of the hidden layers: relu, tanh, logistic, identity; leaky-relu, gelu, silu or soft-abs.
    solver
        adam or sgd; adamw, rmsprop, adagrad or lion; also momentum or nesterov, which are sgd with the one or
        the other momentum. lbfgs, for few rows: all of them in each step of SciPy's L-BFGS-B, of one network,
        without what draws or averages. Then ``tol`` is the largest slope left, ``max_iter`` counts steps, and
        ``early_stopping`` means nothing, all as in scikit-learn.
    alpha
        Strength of the L2 penalty. A batch of ``n`` rows has the loss ``mean(loss) + alpha / 2 / n · ΣW²``,
        so it is the ``reg`` of `xpnet.nn.penalty.penalty` times the rows of a batch.
    batch_size
        Rows in a batch; "auto" is 200, or all rows if they are fewer. The last of an epoch may be smaller;
        with ``norm="batch"`` it is filled with the epoch's first rows, as few rows have no statistics.
    learning_rate
        "constant"; "invscaling" and "adaptive", of sgd only, as in scikit-learn; "cosine" or "one-cycle" over
        ``max_iter`` epochs, of any solver.
    learning_rate_init
        Learning rate, the highest of its schedule.
    power_t
        After ``t`` rows "invscaling" is ``learning_rate_init / (t + 1) ** power_t``.
    max_iter, max_fun
        Most epochs: passes over all rows. Of lbfgs, most evaluations of the loss, too.
    shuffle
        Whether each epoch takes the rows in a new order.
    random_state
        Seed or `numpy.random.RandomState` of weights, split and batches.
    tol, n_iter_no_change
        Training stops after more than so many epochs in which the loss has not fallen by ``tol``; with
        ``early_stopping``, in which ``monitor``, the validation score by default, has not become better by as
        much. ``float("inf")``: never.
    verbose
        Print the loss of each epoch.
    warm_start
        Whether `fit` goes on from the weights of the last.
    momentum, nesterovs_momentum
        Of sgd; the first also of momentum and nesterov.
    early_stopping, validation_fraction
        Set this part of the rows aside, in equal shares of the classes, and stop by their score.
    beta_1, beta_2, epsilon
        Of adam, rmsprop and lion. In adam ``epsilon`` is scikit-learn's, added to the root of the average of
        the squares before that is made one without bias.
    device
        "cpu", "cuda" or "cuda:N", "mps", the GPU of a Mac, or "auto". Where that cannot be used, a fitted
        model predicts on the CPU, with NumPy.
    backend
        Library that computes: "numpy", "cupy", "torch" or "jax"; by default NumPy on the CPU, CuPy on CUDA
        GPUs and PyTorch on Macs'.
    dtype
        "float32" or "float64"; by default that of ``X``, float64 if it has no floats.
    dropout
        Part of the hidden units dropped in each step.
    weight_decay
        Decay of the weights apart from the gradient, as in adamw.
    max_time
        Seconds after which training stops, though not before its first step.
    callbacks
        A function or several, called with the estimator after each epoch, its fitted attributes set; one that
        returns True stops training. A lambda cannot be pickled, and neither can an estimator that has one.
    norm, residual
        "batch" or "layer" normalises the hidden layers; residual blocks take hidden layers of one width.
    init, init_std
        How the weights are drawn: by default as scikit-learn's; "he", "glorot", or "normal" with a standard
        deviation of ``init_std``.
    input_dropout, label_smoothing, mixup
        Part of the inputs dropped in each step; part of each target that is spread over all classes; both
        parameters of the beta distribution of MixUp's shares. 0 for none.
    clip_norm
        Longest gradient of the loss, its penalty apart; by default any.
    ema
        Decay, a step, of the moving average of the parameters that is validated and kept; 0 for none.
    warmup
        Part of the steps in which the learning rate is raised from 0.
    ensemble
        Networks that are trained at once, each on batches of its own; their probabilities are averaged. What
        training measures are means over them, and each stops, and keeps its best epoch, by itself.
    bagging
        Whether each network of an ensemble trains on as many rows as there are, drawn with replacement: about
        two thirds of them, some several times. Validation rows are the same of all.
    monitor
        What the best epoch is chosen by, where there are validation rows: "val_score", the accuracy, or
        "val_loss"; "val_accuracy", "val_balanced_accuracy", "val_log_loss" or "val_roc_auc"; of numbers
        "val_r2", which is their score, "val_rmse" or "val_mae"; or a scorer of scikit-learn, by its name or
        from `sklearn.metrics.make_scorer`. "recall" and others of one class are of 1, or of one that is named
        as in "recall:fraud". By default "val_score", as in scikit-learn; "val_loss" where
        classes have weights: a score that hangs on a few rows of a rare class rises by chance.
    preprocess, components
        What is done to the rows, fitted on those of training: "none"; "mean"; "standardize"; "pca",
        "pca-whiten", which keep so many ``components``; "zca". Not of sparse rows. `partial_fit` and
        ``warm_start`` keep what was fitted on the rows of the first call: a feature that did not vary there
        is left out for good, of which later rows give a warning.
    precision, compile
        Of products, on a GPU or some CPUs: "fp32", "tf32" or "bf16"; and whether PyTorch compiles a step, or
        CuPy captures it (see `xpnet.get_device`).
    class_weight
        Weight of each class: a dict by label, 1 for those it leaves out; "balanced" gives all classes the
        same total, which `partial_fit`, as it sees only some rows, cannot. It multiplies ``sample_weight``.
        Both then count the same in batches of any size, unlike ``sample_weight`` alone: `fit` makes their
        mean 1, `partial_fit` takes them as they are. Validation rows weigh what their classes do in training,
        in all that is measured of them while training: ``monitor``, ``validation_scores_``, ``history_``.
        Labels that ``y`` has not, in a fold of a cross-validation say, do nothing; one that is likely
        misspelt gets a warning.

    Attributes
    ----------
    classes_
        Labels ``(classes,)``, sorted.
    coefs_, intercepts_
        Weights ``(in, out)`` and biases ``(out,)`` of each layer, NumPy arrays; of the best epoch by
        ``monitor``, the first of several, where there are validation rows, else of the last. Those of an
        ensemble have an axis over its networks first; a residual block has two of each.
    history_
        A list for each of "loss" (as ``loss_curve_``), "learning_rate", "seconds" and, with validation rows,
        "val_loss" (without the penalty) and "val_score" (accuracy): one number an epoch, NaN for those of
        other calls that had no validation rows.
    loss_, loss_curve_, best_loss_
        Mean loss of the last epoch, of each, and the lowest; the last is None with ``early_stopping``.
    validation_scores_, best_validation_score_
        Accuracy on the validation rows after each epoch, and the highest; None if the last call had none.
    n_iter_, t_
        Number of epochs of the last call, and of rows seen in all calls.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn: two classes have one output, "logistic"; more have one each, "softmax".

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
        """Train one epoch on these rows, and go on from there in the next call.

        ``preprocess`` is fitted on the rows of the first call: let them be many, and of all kinds.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes
            All labels there will be; needed in the first call alone. Not for several labels a row.

        Returns
        -------
        self
        """
        refuse_mixed(y)
        refuse_mixed(classes, "classes")
        several = _is_indicator(y)
        if several and classes is not None and not np.array_equal(classes, np.arange(np.shape(y)[1])):
            raise InputError(
                "classes is for one label a row, and y has a column of 0 and 1 for each label: leave it out"
            )
        if not self._is_begun():
            if classes is None and not several:
                raise InputError(
                    "classes must be passed on the first call to partial_fit: all labels to come"
                )
        elif classes is not None and not np.array_equal(_sorted(classes), self.classes_):
            raise InputError(
                f"`classes={classes}` is not the same as on the last call to partial_fit, {self.classes_}: "
                "leave it out after the first"
            )
        return self._fit(X, y, sample_weight, classes=classes, incremental=True)

    def predict(self, X: Any, members: bool = False) -> Any:
        """Return the most probable label of each row ``(rows,)``; 0 or 1 for each where there are several.

        A warning, `xpnet.errors.RangeWarning`, says where rows are far from the range of those of training;
        here, in `predict_proba` and in `score`.

        Parameters
        ----------
        X
            As for `fit`.
        members
            Return what each network of the ensemble says by itself, with an axis over them first; one
            network is an ensemble of one.
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
        """Return the probability ``(rows, classes)`` of each class, in the order of ``classes_``.

        With ``members`` those of each network of the ensemble, ``(networks, rows, classes)``: the mean is
        what is returned without, and their spread says how far the rows of training left it open.
        """
        return inputs.like(X, self._members(X) if members else np.exp(self._log_probabilities(X)))

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of `predict_proba`, right also where it rounds to 0."""
        return inputs.like(X, self._log_probabilities(X))

    def _log_probabilities(self, X: Any) -> NDArray[Any]:
        scores = self._scores(X, 4)
        if self.out_activation_ == "softmax":
            shifted = scores - scores.max(axis=1, keepdims=True)
            found: NDArray[Any] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            return found
        of_yes = -np.logaddexp(0.0, -scores)  # log σ(s), of which there is no small difference
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
                "y has columns of more than two values: give one label a row, or a column of 0 and 1 for "
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
                f"y has the labels {labels.tolist()}, but the classes are {self.classes_.tolist()}: name all "
                "of them from the beginning, or leave such rows out"
            )
        if several:
            return y
        number = np.searchsorted(self.classes_, y)
        return number if len(self.classes_) > 2 else number[:, None].astype(np.float64)

    def _weights(self, rows: Rows, training: Rows, whole: bool = True) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return rows.weight
        if self._several:
            raise InputError("class_weight is for one label a row: give sample_weight instead")
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
    """Return the number of the class of each row."""
    return rows.target if rows.target.ndim == 1 else rows.target[:, 0].astype(np.int64)


def _is_indicator(y: Any) -> bool:
    """Whether the targets are several labels a row: a column of 0 and 1 for each."""
    return bool(type_of_target(inputs.to_host(y)) == "multilabel-indicator")


def _sorted(classes: Any) -> NDArray[Any]:
    return np.unique(inputs.to_host(classes))
