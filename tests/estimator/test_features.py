"""What the estimators have of runs: ensembles, norms, averages, preprocessing, each by an oracle."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import scipy.sparse
from estimators import assert_same_network, classes, fitted, numbers
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score, f1_score, get_scorer, make_scorer
from sklearn.preprocessing import StandardScaler

from xpnet import InputError, MLPClassifier, MLPRegressor, get_device

HOW = {"random_state": 0, "max_iter": 12, "batch_size": 20, "hidden_layer_sizes": (8, 8)}


def model(**how):
    return MLPClassifier(**HOW | how)


def first_network(ensemble):
    return [W[0] for W in ensemble.coefs_] + [b[0] for b in ensemble.intercepts_]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_an_ensemble_is_the_mean_of_its_networks(kind):
    X, y = classes(kind)
    ours = fitted(model(ensemble=3, early_stopping=True, validation_fraction=0.3), X, y)
    assert [W.shape[0] for W in ours.coefs_] == [3, 3, 3]
    each = []
    for k in range(3):
        one = copy.copy(ours)
        one.coefs_ = [W[k] for W in ours.coefs_]
        one.intercepts_ = [b[k] for b in ours.intercepts_]
        each.append(one.predict_proba(X))
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(ours.predict_proba(X), np.mean(each, axis=0), rtol=1e-12)
    np.testing.assert_allclose(np.exp(ours.predict_log_proba(X)), ours.predict_proba(X), rtol=1e-12)
    chosen = ours.predict(X)
    if kind == "multilabel":
        np.testing.assert_array_equal(chosen, ours.predict_proba(X) > 0.5)
    else:
        np.testing.assert_array_equal(chosen, ours.classes_[ours.predict_proba(X).argmax(axis=1)])


def test_the_first_network_of_an_ensemble_is_the_one_alone():
    """To the bit: it draws its weights first. Unless batches are drawn in between: here they are not."""
    X, y = classes("multiclass")
    alone = fitted(model(shuffle=False, solver="sgd"), X, y)
    together = fitted(model(shuffle=False, solver="sgd", ensemble=3), X, y)
    for one, other in zip(first_network(together), [*alone.coefs_, *alone.intercepts_], strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_ensemble_of_regressors_predicts_the_mean():
    X, y = numbers(2)
    ours = fitted(MLPRegressor(**HOW, ensemble=2), X, y)
    assert ours.predict(X).shape == (90, 2)
    assert ours.score(X, y) > -1


@pytest.mark.parametrize("ensemble", [1, 3])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "one class"])
def test_what_each_network_of_a_classifier_says(kind, ensemble):
    X, y = classes("multiclass" if kind == "one class" else kind)
    y = np.zeros_like(y) if kind == "one class" else y
    ours = fitted(model(ensemble=ensemble), X, y)
    P, labels = ours.predict_proba(X, members=True), ours.predict(X, members=True)
    assert P.shape == (ensemble, *ours.predict_proba(X).shape)
    assert labels.shape == (ensemble, *ours.predict(X).shape)
    np.testing.assert_allclose(P.mean(axis=0), ours.predict_proba(X), rtol=1e-12)
    for k in range(ensemble):
        one = copy.copy(ours)
        one.coefs_ = [W.reshape(-1, *W.shape[-2:])[k] for W in ours.coefs_]
        one.intercepts_ = [b.reshape(-1, b.shape[-1])[k] for b in ours.intercepts_]
        np.testing.assert_allclose(P[k], one.predict_proba(X), rtol=1e-12)
        np.testing.assert_array_equal(labels[k], one.predict(X))
    if ensemble > 1 and kind != "one class":
        assert P.std(axis=0).min() > 0


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("ensemble", [1, 3])
def test_what_each_network_of_a_regressor_says(outputs, ensemble):
    X, y = numbers(outputs)
    ours = fitted(MLPRegressor(**HOW, ensemble=ensemble, standardize_target=True), X, y * 7 + 5)
    each = ours.predict(X, members=True)
    assert each.shape == (ensemble, *ours.predict(X).shape)
    np.testing.assert_allclose(each.mean(axis=0), ours.predict(X), rtol=1e-9)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_bags_are_of_rows_and_of_an_ensemble(kind):
    """Each network has its own; a row that none has does nothing."""
    X, y = classes("multiclass")
    how = HOW | {"ensemble": 2, "shuffle": False, "solver": "sgd", "max_iter": 3}
    bagged, plain = (fitted(kind(**how, bagging=bagging), X, y) for bagging in (True, False))
    assert not np.allclose(bagged.coefs_[0], plain.coefs_[0])
    assert_same_network(bagged, fitted(kind(**how, bagging=True), X, y))
    weight = np.where(np.arange(len(y)) % 2, 1.0, 3.0)
    weighted = fitted(kind(**how, bagging=True), X, y, sample_weight=weight)
    assert not np.allclose(bagged.coefs_[0], weighted.coefs_[0])
    with pytest.raises(InputError, match="bagging needs several networks: set ensemble=8, for example"):
        kind(bagging=True).fit(X, y)


def test_an_ensemble_slows_down_and_stops_each_network_by_itself():
    X, y = classes("multiclass")
    how = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.5, "max_iter": 200}
    ours = fitted(model(**how, ensemble=3, tol=1e-2, n_iter_no_change=2), X, y)
    assert ours.n_iter_ < 200
    assert np.shape(ours._pace._rate) == (3,)
    assert ours.history_["learning_rate"][-1] < 0.5


@pytest.mark.parametrize("rest", [0, 1, 2, 3])
@pytest.mark.parametrize("how", [{}, {"shuffle": False}, {"solver": "sgd", "momentum": 0.9}])
def test_batch_norm_learns_whatever_rows_are_left_for_the_last_batch(rest, how):
    """Of one row the statistics are all 0; of two every unit is 1 or -1."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(400, 4))
    y = X @ [1.0, -2.0, 0.0, 1.0]
    how = {"norm": "batch", "batch_size": 50, "learning_rate_init": 0.01, "random_state": 1, **how}
    found = fitted(
        MLPRegressor((16,), max_iter=150, n_iter_no_change=np.inf, **how), X[: 50 + rest], y[: 50 + rest]
    )
    assert found.score(X[100:], y[100:]) > 0.9
    assert found.t_ == 150 * (50 + rest)


@pytest.mark.parametrize(
    ("kind", "how", "rows", "message"),
    [
        (
            MLPClassifier,
            {"batch_size": 1},
            8,
            "needs batches of several rows: set a batch_size of 2 or more",
        ),
        (
            MLPRegressor,
            {"batch_size": 1},
            8,
            "batches of several rows: set a batch_size of .* or norm='layer'$",
        ),
        (MLPRegressor, {}, 1, "several rows, but there is only 1 sample: give 2 rows or more, or set norm"),
        (
            MLPRegressor,
            {"early_stopping": True, "validation_fraction": 0.6},
            3,
            "there is only 1 sample",
        ),
    ],
)
def test_batch_norm_of_one_row_is_refused(kind, how, rows, message):
    X, y = np.random.default_rng(0).normal(size=(rows, 3)), np.arange(rows)
    y = y % 2 if kind is MLPClassifier else y  # rows of one target have no R²
    with pytest.raises(InputError, match=message):
        kind(norm="batch", **how).fit(X, y)
    kind(norm="layer", max_iter=1, n_iter_no_change=np.inf, **how).fit(X, y)


def test_batch_norm_row_by_row_is_refused_and_the_network_stays():
    X, y = np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2
    ours = MLPClassifier(norm="batch", random_state=0)
    with pytest.raises(InputError, match="there is only 1 sample: give 2 rows or more"):
        ours.partial_fit(X[:1], y[:1], classes=[0, 1])
    before = ours.partial_fit(X, y, classes=[0, 1]).predict_proba(X)
    with pytest.raises(InputError, match="there is only 1 sample: give 2 rows or more"):
        ours.partial_fit(X[:1], y[:1])
    np.testing.assert_array_equal(ours.predict_proba(X), before)


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("residual", [False, True])
def test_norms_and_residual_blocks_go_on_in_parts(norm, residual):
    """Gains, shifts and running statistics are kept from call to call, and over a pickle."""
    X, y = classes("multiclass")
    how = {"norm": norm, "residual": residual, "shuffle": False, "max_iter": 3}
    parts = model(**how)
    for _ in range(3):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(X, y, classes=[0, 1, 2])))
    whole = fitted(model(**how), X, y)
    assert_same_network(parts, whole)
    np.testing.assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))


def test_the_average_is_what_predicts_and_training_goes_on_from_the_rest():
    X, y = classes("multiclass")
    parts = model(ema=0.9, shuffle=False)
    for _ in range(3):
        parts.partial_fit(X, y, classes=[0, 1, 2])
    whole = fitted(model(ema=0.9, shuffle=False, max_iter=3), X, y)
    assert_same_network(parts, whole)
    without = fitted(model(shuffle=False, max_iter=3), X, y)
    assert not np.allclose(whole.coefs_[0], without.coefs_[0])


def test_preprocessing_is_that_of_scikit_learn():
    X, y = classes("multiclass")
    X = X * [1, 10, 100, 1, 1, 1] + [0, 5, 0, 1000, 0, 0]
    inside = fitted(model(preprocess="standardize"), X, y)
    scaled = StandardScaler().fit_transform(X)
    outside = fitted(model(), scaled, y)
    np.testing.assert_allclose(inside.predict_proba(X), outside.predict_proba(scaled), atol=1e-9)
    assert inside.n_features_in_ == 6
    few = fitted(model(preprocess="pca", components=2), X, y)
    assert few.coefs_[0].shape == (2, 8)
    whitened = fitted(model(preprocess="pca-whiten", components=2), X, y)
    assert whitened.coefs_[0].shape == (PCA(2).fit(scaled).n_components_, 8)


def test_preprocessing_is_fitted_on_the_rows_of_training_alone():
    X, y = classes("multiclass")
    ours = fitted(model(preprocess="mean", early_stopping=True, validation_fraction=0.5), X, y)
    assert not np.allclose(ours._fitted["mean"], X.mean(axis=0))
    given = fitted(model(preprocess="mean"), X[:60], y[:60], X_val=X[60:] + 5, y_val=y[60:])
    np.testing.assert_allclose(given._fitted["mean"], X[:60].mean(axis=0), atol=1e-12)


def test_a_monitor_of_the_loss_keeps_the_epoch_of_the_lowest():
    X, y = classes("multiclass")
    how = {"learning_rate_init": 0.3, "max_iter": 30, "monitor": "val_loss"}
    ours = fitted(model(**how), X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    best = int(np.argmin(ours.history_["val_loss"]))
    assert best != int(np.argmax(ours.history_["val_score"]))
    shorter = fitted(model(**how | {"max_iter": best + 1}), X[:60], y[:60])
    assert_same_network(ours, shorter)
    assert ours.best_validation_score_ == ours.validation_scores_[best]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"norm": "group"}, "norm must be one of 'none', 'batch', 'layer', not 'group'"),
        ({"init": "xavier"}, "init must be one of 'normal', 'he', 'glorot', or None, not 'xavier'"),
        ({"preprocess": "scale"}, "preprocess must be one of 'none', 'mean'"),
        ({"components": 3}, "none has no components to choose from"),
        (
            {"monitor": "loss"},
            "monitor must be one of 'val_score', 'val_loss', .* did you mean 'val_loss'",
        ),
        ({"precision": "fp16"}, "precision must be one of 'fp32'"),
        ({"residual": "yes"}, "residual must be true or false"),
        ({"residual": True, "hidden_layer_sizes": (8, 9)}, "residual blocks need two or more hidden layers"),
        ({"ensemble": 0}, "ensemble must be 1 or more"),
        ({"ema": 1.0}, "ema must be 0 or more and below 1"),
        ({"clip_norm": 0}, "clip_norm must be a finite number above 0, or None"),
        (
            {"warmup": 0.1, "solver": "sgd", "learning_rate": "adaptive"},
            "warmup cannot be combined with learning_rate='adaptive'",
        ),
    ],
    ids=str,
)
def test_values_that_mean_nothing(how, message):
    X, y = classes("multiclass")
    with pytest.raises(InputError, match=message) as caught:
        model(**how).fit(X, y)
    assert "\n" not in str(caught.value)


def test_what_does_not_go_together():
    X, y = classes("multiclass")
    with pytest.raises(InputError, match="preprocess='pca' takes dense rows"):
        model(preprocess="pca").fit(scipy.sparse.csr_array(X), y)
    with pytest.raises(InputError, match="warmup depends on the total number of steps"):
        model(warmup=0.1).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(InputError, match="mixup cannot be combined with weights"):
        model(mixup=0.3).fit(X, y, np.ones(90))
    with pytest.raises(InputError, match="label_smoothing does not apply to regression"):
        MLPRegressor(label_smoothing=0.1).fit(*numbers())


def test_label_smoothing_of_two_classes_is_towards_one_half():
    """One output for two classes: a target t becomes ``t (1 - s) + s / 2``."""
    X, y = classes("binary")
    smooth = fitted(model(label_smoothing=0.4, max_iter=300, learning_rate_init=0.02, alpha=0), X, y)
    P = smooth.predict_proba(X)
    assert np.abs(P - 0.5).max() < 0.45
    plain = fitted(model(max_iter=300, learning_rate_init=0.02, alpha=0), X, y)
    assert np.abs(plain.predict_proba(X) - 0.5).max() > 0.49


def test_a_device_as_a_parameter_pickles():
    X, y = classes("multiclass")
    ours = fitted(model(device=get_device("cpu")), X, y)
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.predict_proba(X), copy.deepcopy(ours).predict_proba(X))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.filterwarnings("ignore::xpnet.errors.RangeWarning")
def test_logarithms_of_an_ensembles_probabilities_are_right_where_they_round(dtype):
    X, y = classes("binary")
    ours = fitted(model(ensemble=3, max_iter=60, dtype=dtype), X, y)
    X = X * {"float64": 30, "float32": 8}[dtype]  # a float32 has no number below exp(-103)
    found = ours.predict_log_proba(X)
    assert found.min() < -30
    assert np.isfinite(found).all()
    each = []
    for k in range(3):
        one = copy.copy(ours)
        one.coefs_, one.intercepts_ = [W[k] for W in ours.coefs_], [b[k] for b in ours.intercepts_]
        each.append(one.predict_log_proba(X).astype(np.float64))
    expected = np.logaddexp.reduce(each, axis=0) - np.log(3)
    np.testing.assert_allclose(found, expected, rtol=1e-10 if dtype == "float64" else 1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"preprocess": "standardize"}, {"preprocess": "pca"}),
        ({"preprocess": "standardize"}, {"preprocess": "none"}),
        ({}, {"preprocess": "standardize"}),
        ({"ensemble": 3}, {"ensemble": 1}),
        ({}, {"ensemble": 3}),
        ({"ensemble": 3}, {"ensemble": 2}),
    ],
    ids=str,
)
def test_a_warm_start_refuses_another_preprocessing_or_ensemble(before, after):
    X, y = classes("multiclass")
    ours = fitted(model(warm_start=True, **before), X, y)
    predicted = ours.predict_proba(X)
    ours.set_params(**{"preprocess": "none", "ensemble": 1} | after)
    np.testing.assert_array_equal(ours.predict_proba(X), predicted)  # which was fitted with the others
    with pytest.raises(InputError, match="set warm_start=False, or fit a new estimator"):
        ours.fit(X, y)


def test_validation_rows_are_checked_as_those_of_training():
    X, y = classes("multiclass")
    with pytest.raises(InputError, match="preprocess='standardize' takes dense rows"):
        model(preprocess="standardize").fit(X, y, X_val=scipy.sparse.csr_array(X), y_val=y)
    X, Y = numbers(2)
    with pytest.raises(InputError, match="y has 1 numbers per row, but the network has 2"):
        MLPRegressor(**HOW).fit(X, Y, X_val=X, y_val=Y[:, 0])


@pytest.mark.parametrize(
    ("make", "monitor", "text"),
    [
        (MLPClassifier, "val_rmse", "monitor val_rmse is not for classification: use val_score"),
        (MLPRegressor, "val_roc_auc", "monitor val_roc_auc is not for regression: use val_score"),
    ],
)
def test_a_monitor_of_another_task(make, monitor, text):
    X = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(InputError, match=text):
        make(monitor=monitor).fit(X, (X[:, 0] > 0).astype(int))


def test_validation_rows_that_are_all_alike_have_no_roc_curve():
    X = np.random.default_rng(0).normal(size=(20, 3))
    y = (X[:, 0] > 0).astype(int)
    ours = MLPClassifier(monitor="val_roc_auc", max_iter=2, n_iter_no_change=np.inf)
    with pytest.raises(InputError, match="monitor val_roc_auc compares rows, but all validation rows are"):
        ours.fit(X, y, X_val=X[y == 1], y_val=y[y == 1])
    assert not hasattr(ours, "coefs_")
    assert ours.fit(X, y, X_val=X, y_val=y).n_iter_ == 2


@pytest.mark.parametrize("classes", [2, 3])
def test_patience_goes_by_what_is_monitored(classes):
    """The area under the curve of each epoch, by hand, and scikit-learn's rule."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    y = (X @ rng.normal(size=(4, classes)) + rng.normal(size=(80, classes))).argmax(axis=1)
    areas, how = [], {"random_state": 0, "max_iter": 60, "monitor": "val_roc_auc", "learning_rate_init": 0.02}

    def look(fitted):
        P = fitted.predict_proba(X[:40])
        areas.append(metrics.roc_auc_score(y[:40], P[:, 1] if classes == 2 else P, multi_class="ovr"))

    given = {"X_val": X[:40], "y_val": y[:40]}
    ours = MLPClassifier(**how, callbacks=look, early_stopping=True, n_iter_no_change=3).fit(
        X[40:], y[40:], **given
    )
    assert ours.n_iter_ == len(areas) < 60
    best, idle, ended = -np.inf, 0, 0  # scikit-learn counts so
    for area in areas:
        ended += 1
        idle = 0 if area >= best + ours.tol else idle + 1
        best = max(best, area)
        if idle > 3:
            break
    assert ended == len(areas)
    P = ours.predict_proba(X[:40])
    kept = metrics.roc_auc_score(y[:40], P[:, 1] if classes == 2 else P, multi_class="ovr")
    assert kept == pytest.approx(max(areas))


# Scorers of scikit-learn as what is monitored


def recorded(monitor, X, y, **how):
    """Fit; return what the scorer says of the estimator after each epoch, and the fitted estimator."""
    values = []
    how = {"max_iter": 25, "n_iter_no_change": np.inf, "learning_rate_init": 0.03, "random_state": 0} | how
    scorer = get_scorer(monitor) if isinstance(monitor, str) else monitor
    look = lambda model: values.append(scorer(model, X[60:], y[60:]))  # noqa: E731
    make = MLPRegressor if y.dtype.kind == "f" else MLPClassifier
    model = make(8, monitor=monitor, callbacks=look, **how)
    return values, model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])


@pytest.mark.parametrize(
    ("kind", "monitor"),
    [
        ("binary", "average_precision"),
        ("multiclass", "f1_macro"),
        ("multilabel", "f1_micro"),
        ("names", make_scorer(f1_score, pos_label="b")),
        ("numbers", "neg_median_absolute_error"),
        ("numbers", lambda model, X, y: -np.abs(model.predict(X) - y).max()),
    ],
)
def test_the_best_epoch_by_a_scorer(kind, monitor):
    X, y = numbers() if kind == "numbers" else classes("binary" if kind == "names" else kind)
    y = np.array(["b", "g"])[y] if kind == "names" else y
    values, model = recorded(monitor, X, y)
    scorer = get_scorer(monitor) if isinstance(monitor, str) else monitor
    assert scorer(model, X[60:], y[60:]) == pytest.approx(max(values))
    clone(model)


def test_a_scorer_is_weighted_as_classes_are():
    X, y = classes("multiclass")
    seen = []

    def scorer(model, X, y, sample_weight):
        seen.append(sample_weight / sample_weight.max())
        return accuracy_score(y, model.predict(X), sample_weight=sample_weight)

    how = {"max_iter": 2, "n_iter_no_change": np.inf, "class_weight": {0: 4.0}}
    model = MLPClassifier(8, monitor=scorer, **how).fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    np.testing.assert_allclose(seen[-1], np.where(y[60:] == 0, 1.0, 0.25))
    assert model.best_validation_score_ == pytest.approx(max(model.validation_scores_))
    with pytest.raises(InputError, match="does not support weights of rows or classes"):
        model.set_params(monitor=lambda _model, _X, _y: 1.0).fit(X, y, X_val=X, y_val=y)


def test_what_is_no_monitor():
    X, y = classes("multiclass")
    for monitor, text in {
        "f1_macr": "monitor must be one of .* did you mean 'f1_macro'",
        "f1": "monitor f1 measures one class, but there are 3: name one, as in f1:0, or use f1_macro",
        "neg_max_error": "neg_max_error is not for classification",
    }.items():
        with pytest.raises(InputError, match=text):
            MLPClassifier(monitor=monitor, early_stopping=True).fit(X, y)
    with pytest.raises(InputError, match=r"monitor must be one of .* not 5"):
        MLPClassifier(monitor=5).fit(X, y)


def test_validation_rows_of_another_scale():
    X, y = classes("multiclass")
    scaled = StandardScaler().fit_transform(1000 * X + 5)
    with pytest.warns(UserWarning, match="different scale from the training rows in 6 of 6 features: scale"):
        fitted(MLPClassifier(4, max_iter=1), scaled, y, X_val=1000 * X + 5, y_val=y)
    with pytest.warns(UserWarning, match="on a different scale .* transform_input"):
        fitted(MLPRegressor(4, max_iter=1), scaled, y / 1.0, X_val=1000 * X + 5, y_val=y / 1.0)
    fitted(MLPClassifier(4, max_iter=1), scaled[:60], y[:60], X_val=scaled[60:], y_val=y[60:])


# Targets in units of their own


def rows_in_euros(outputs=2):
    X, y = numbers(outputs)
    return X, 3e5 + 1e5 * y


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("ensemble", [1, 2])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_standardised_target_is_that_of_a_scaler(outputs, ensemble, early_stopping):
    """Of weighted rows, and of those that are trained on alone where some are set aside."""
    X, y = rows_in_euros(outputs)
    weight = np.linspace(0.5, 1.5, 90)
    how = HOW | {"ensemble": ensemble, "early_stopping": early_stopping, "monitor": "val_mae"}
    ours = fitted(MLPRegressor(**how, standardize_target=True), X, y, weight)
    scale = ours._target
    plain = fitted(MLPRegressor(**how), X, (y - scale.mean.squeeze()) / scale.scale.squeeze(), weight)
    if early_stopping:
        assert not np.allclose(scale.mean, np.average(y, axis=0, weights=weight), rtol=1e-9)
    else:
        np.testing.assert_allclose(scale.mean, np.average(y, axis=0, weights=weight))
    assert_same_network(ours, plain, atol=1e-9)
    expected = plain.predict(X) * scale.scale.squeeze() + scale.mean.squeeze()
    np.testing.assert_allclose(ours.predict(X), expected, rtol=1e-9)
    assert ours.predict(X).dtype == np.float64


def test_a_standardised_target_keeps_the_units_of_the_first_call():
    X, y = rows_in_euros(1)
    how = HOW | {"standardize_target": True, "shuffle": False, "batch_size": 45}
    parts = MLPRegressor(**how)
    for part in (slice(0, 45), slice(45, 90)):
        parts.partial_fit(X[part], y[part])
    np.testing.assert_allclose(parts._target.mean, y[:45].mean())
    again = fitted(MLPRegressor(**how, warm_start=True), X[:45], y[:45])
    fitted(again, X, y)
    np.testing.assert_allclose(again._target.mean, y[:45].mean())
    assert np.abs(again.predict(X) - y).mean() < 2 * y.std()
    fitted(again.set_params(warm_start=False, standardize_target=False), X, y / 1e5)
    assert again._target is None
    copied = pickle.loads(pickle.dumps(parts))
    np.testing.assert_array_equal(copied.predict(X), parts.predict(X))


def test_a_float32_target_keeps_a_deviation_that_is_small_beside_its_mean():
    X, y = numbers()
    X, y = X.astype(np.float32), 1e6 + y
    ours = fitted(MLPRegressor(**HOW | {"max_iter": 300}, standardize_target=True), X, y)
    assert ours.score(X, y) > 0.8


@pytest.mark.parametrize("unit", [1e-140, 1e-28, 1e28, 1e140])
@pytest.mark.parametrize("preprocess", ["standardize", "pca"])
def test_preprocessing_of_features_of_any_size(preprocess, unit):
    """In float32 as in float64, to go on and to predict."""
    X, y = classes("binary")
    wild = X * np.array([unit, 1, 1, 1, 1, 1]) + np.array([0, 2e9, 0, 0, 0, 0])
    how = {"preprocess": preprocess, "dtype": "float32", "warm_start": True, "max_iter": 40}
    ours = fitted(model(**how), wild, y)
    assert ours.coefs_[0].dtype == np.float32
    plain = fitted(model(**how), X, y)
    np.testing.assert_allclose(ours.predict_proba(wild), plain.predict_proba(X), atol=0.05)
    assert fitted(ours, wild, y).score(wild, y) >= 0.8
    with pytest.raises(InputError, match=r"beyond 1e\+150"):
        ours.predict(np.full((1, 6), 1e300))
