"""scikit-learn's scorers as what is monitored: of each task, of networks of a stack, and what fails."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn import metrics

from xpnet import Config, MLPClassifier, MLPRegressor
from xpnet.errors import InputError
from xpnet.runs.fit import fit
from xpnet.training.monitors import find
from xpnet.training.scorers import Scoring

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
NUMBERS = 1e6 + 1e5 * X[:, :2]
PEOPLE = np.array(["no", "yes"])[(X[:, 0] > 0.8).astype(int)]
WEIGHT = 1.0 + np.arange(120) % 3


def probabilities(outputs):
    P = rng.random((120, outputs)) + 0.01
    return P / P.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize(
    ("name", "task", "y", "P", "expected"),
    [
        (
            "f1_macro",
            "classification",
            np.arange(120) % 3,
            probabilities(3),
            lambda y, P, w: metrics.f1_score(y, P.argmax(axis=1), average="macro", sample_weight=w),
        ),
        (
            "average_precision",
            "classification",
            np.arange(120) % 2,
            probabilities(2),
            lambda y, P, w: metrics.average_precision_score(y, P[:, 1], sample_weight=w),
        ),
        (
            "neg_log_loss",
            "classification",
            np.arange(120) % 3,
            probabilities(3),
            lambda y, P, w: -metrics.log_loss(y, P, sample_weight=w),
        ),
        (
            "roc_auc",
            "multilabel",
            (X[:, :2] > 0).astype(float),
            rng.random((120, 2)),
            lambda y, P, w: metrics.roc_auc_score(y, P, sample_weight=w),
        ),
        (
            "neg_mean_absolute_percentage_error",
            "regression",
            NUMBERS,
            NUMBERS + 3.0,
            lambda y, P, w: -metrics.mean_absolute_percentage_error(y, P, sample_weight=w),
        ),
    ],
)
def test_a_scorer_says_what_scikit_learn_says(name, task, y, P, expected, weight):
    scoring = find(name)
    scoring.check(task)
    assert scoring.of(task, y, P, weight) == pytest.approx(expected(y, P, weight), rel=1e-12)


def test_of_what_has_overflowed_there_is_no_score():
    P = np.full((120, 1), np.inf)
    assert np.isnan(find("r2").of("regression", NUMBERS[:, :1], P, None))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f1_macr", "not 'f1_macr'; did you mean 'f1_macro'?"),
        ("val_acc", "not 'val_acc'; did you mean 'val_accuracy'?"),
    ],
)
def test_a_name_that_is_none(name, text):
    for refused, called in ((lambda: Config(monitor=name), "--monitor"), (lambda: fit_one(name), "monitor")):
        with pytest.raises(InputError) as caught:
            refused()
        assert str(caught.value).startswith(f"{called} must be one of 'val_score', 'val_loss', ")
        assert str(caught.value).endswith(text)


def fit_one(monitor, y=PEOPLE, **settings):
    """Fit with rows set aside."""
    how = {"max_iter": 4, "n_iter_no_change": np.inf, "early_stopping": True, "random_state": 0}
    return MLPClassifier(4, monitor=monitor, **how, **settings).fit(X, y)


def test_a_measure_of_another_task_is_refused():
    with pytest.raises(InputError, match="monitor r2 is not for classification"):
        fit_one("r2")
    with pytest.raises(InputError, match="--monitor accuracy is not for regression"):
        fit(X, NUMBERS[:, 0], monitor="accuracy", epochs=1)


def test_an_estimator_takes_scorers_of_its_labels():
    seen = []

    def mine(estimator, rows, y):
        seen.append((set(y), set(estimator.classes_), len(rows)))
        return metrics.accuracy_score(y, estimator.predict(rows))

    fit_one(mine)
    assert seen == [({"no", "yes"}, {"no", "yes"}, 12)] * 4
    fit_one(metrics.make_scorer(metrics.f1_score, pos_label="yes"), class_weight="balanced", ensemble=2)
    with pytest.raises(InputError, match="it may take no weights: leave them out, or use another"):
        fit_one(mine, class_weight="balanced")


def test_the_best_epoch_is_the_scorers():
    """The scorer is given the true units, and less of an error is better."""
    y = NUMBERS[:, 0]
    run = fit(X, y, X_val=X, y_val=y, monitor="neg_median_absolute_error", epochs=6, hidden=4)
    scored = [metrics.median_absolute_error(y, model.predict(X)) for model in (run.best, run.model)]
    assert scored[0] <= scored[1]
    net = MLPRegressor(4, monitor="max_error", max_iter=2)
    with pytest.raises(InputError, match="did you mean 'neg_max_error'"):
        net.fit(X, y)


def test_settings_keep_the_name():
    config = Config(monitor="f1_macro")
    assert eval(repr(config), {"Config": Config}) == config
    assert isinstance(config.regime(100).monitor, Scoring)


def test_where_classes_have_weights_the_loss_is_monitored():
    """A score that hangs on a few rows of great weight rises by chance."""
    y = (X[:, 0] > 0.8).astype(int)
    weighted, by_loss = (fit_one(m, y, class_weight="balanced") for m in (None, "val_loss"))
    np.testing.assert_array_equal(weighted.coefs_[0], by_loss.coefs_[0])
    plain, by_score = (fit_one(m, y) for m in (None, "val_score"))
    np.testing.assert_array_equal(plain.coefs_[0], by_score.coefs_[0])
