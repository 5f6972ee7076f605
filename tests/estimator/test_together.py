"""Many estimators fitted at once: each is what its own fit makes of it, and what fails is told."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, ParameterGrid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from xpnet import InputError, MLPClassifier, MLPRegressor, TableClassifier, TableRegressor
from xpnet.data.feed import Feed
from xpnet.estimator import together
from xpnet.estimator.beginning import Beginning
from xpnet.estimator.together import Part, Unit, fit_together

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS, LABELS = (array[:203] for array in load_digits(return_X_y=True))
DIGITS = DIGITS / 16
NUMBERS = make_regression(203, 7, random_state=0)


def classifier(**settings):
    return MLPClassifier(
        **{"max_iter": 4, "batch_size": 32, "random_state": 0, "hidden_layer_sizes": 9} | settings
    )


def regressor(**settings):
    return MLPRegressor(
        **{"max_iter": 6, "batch_size": 32, "random_state": 0, "hidden_layer_sizes": 9} | settings
    )


CASES = {
    "rates": (classifier(), {"alpha": [0, 0.01], "learning_rate_init": [0.001, 0.01]}),
    "that settle": (
        classifier(max_iter=40, n_iter_no_change=2),
        {"learning_rate_init": [0.001, 0.01, 0.03], "tol": [0.01, 0.05]},
    ),
    "early stopping": (
        classifier(max_iter=30, early_stopping=True, n_iter_no_change=2),
        {"learning_rate_init": [0.001, 0.03], "random_state": [0, 1]},
    ),
    "adaptive": (
        classifier(max_iter=10, solver="sgd", learning_rate="adaptive", n_iter_no_change=1, tol=0.01),
        {"learning_rate_init": [0.1, 0.01], "momentum": [0.5, 0.9]},
    ),
    "invscaling": (
        classifier(solver="sgd", learning_rate="invscaling"),
        {"learning_rate_init": [0.1, 0.01], "power_t": [0.3, 0.5]},
    ),
    "noise": (
        classifier(hidden_layer_sizes=(9, 5), norm="batch"),
        {"dropout": [0, 0.3], "ema": [0, 0.9], "label_smoothing": [0, 0.1], "weight_decay": [0, 0.01]},
    ),
    "noise of two kinds": (
        classifier(hidden_layer_sizes=(9, 5), mixup=0.3),
        {"dropout": [0, 0.3], "input_dropout": [0, 0.1]},
    ),
    "weights": (
        classifier(preprocess="standardize"),
        {"class_weight": ["balanced", {0: 3.0}, None], "clip_norm": [None, 0.1]},
    ),
    "components": (
        classifier(mixup=0.2, preprocess="pca", components=5),
        {"hidden_layer_sizes": [(3,), (4, 4)], "components": [3, 5]},
    ),
    "ensembles": (
        classifier(ensemble=3, bagging=True, early_stopping=True),
        {"alpha": [0, 1.0], "learning_rate_init": [0.001, 0.03]},
    ),
    "that diverge": (classifier(solver="sgd"), {"alpha": [0, 1.0], "learning_rate_init": [0.001, 1e7]}),
    "numbers": (
        regressor(
            max_iter=12, standardize_target=True, early_stopping=True, monitor="val_rmse", n_iter_no_change=2
        ),
        {"alpha": [0, 0.01], "learning_rate_init": [0.001, 0.01]},
    ),
    "a scorer": (
        regressor(early_stopping=True, monitor="neg_median_absolute_error"),
        {"alpha": [0, 0.01]},
    ),
    "losses": (regressor(), {"alpha": [0, 0.01], "loss": ["huber", "squared_error"]}),
    "a pipeline": (
        make_pipeline(StandardScaler(), classifier()),
        {"mlpclassifier__alpha": [0, 0.01], "standardscaler__with_mean": [True, False]},
    ),
    "one after another": (classifier(solver="lbfgs"), {"alpha": [0, 0.01]}),
}


def folds(estimator, n=3):
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    X, y = NUMBERS if isinstance(last, MLPRegressor) else (DIGITS, LABELS)
    return [Part(X[train], y[train], {}) for train, _ in KFold(n, shuffle=True, random_state=0).split(X)]


def of_units(estimator, grid, parts):
    """Units fold by fold; as many estimators again to fit by themselves."""
    pairs = [(parameters, part) for part in parts for parameters in ParameterGrid(grid)]
    return [[Unit(clone(estimator).set_params(**p), part) for p, part in pairs] for _ in range(2)]


def last_of(estimator):
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_each_is_what_its_own_fit_makes_of_it(case, threads, monkeypatch):
    monkeypatch.setattr(together, "cores", lambda: threads)
    monkeypatch.setattr(together, "SHARED_OUT_FROM", 0)
    units, alone = of_units(*CASES[case], folds(CASES[case][0]))
    outcomes = fit_together(units)
    for outcome, unit in zip(outcomes, alone, strict=True):
        assert outcome.error is None
        assert outcome.seconds > 0
        found, expected = last_of(outcome.estimator), last_of(unit.estimator.fit(unit.part.X, unit.part.y))
        for name in ("coefs_", "intercepts_"):
            for a, b in zip(getattr(found, name), getattr(expected, name), strict=True):
                np.testing.assert_array_equal(a, b)
        for name in (
            "n_iter_",
            "t_",
            "loss_curve_",
            "loss_",
            "validation_scores_",
            "best_validation_score_",
            "best_loss_",
        ):
            if hasattr(expected, name):
                a, b = (np.array(getattr(one, name), np.float64) for one in (found, expected))
                np.testing.assert_array_equal(a, b, err_msg=name)
        if hasattr(expected, "history_"):
            for name in expected.history_.keys() - {"seconds"}:
                np.testing.assert_array_equal(found.history_[name], expected.history_[name])


@pytest.mark.parametrize("kind", [TableClassifier, TableRegressor])
def test_tables_share_stacks(kind):
    rng = np.random.default_rng(0)
    X = {"age": rng.normal(size=150), "city": rng.choice(["Rome", "Oslo"], 150)}
    y = (X["age"] > 0).astype(int) if kind is TableClassifier else X["age"] * 3
    parts = [
        Part({name: of[train] for name, of in X.items()}, y[train], {}) for train, _ in KFold(3).split(y)
    ]
    grid = {"settings__learning_rate": [0.001, 0.003], "settings__dropout": [0.0, 0.2]}
    units, alone = of_units(kind(random_state=0, epochs=3, ensemble=2), grid, parts)
    outcomes = fit_together(units)
    for outcome, unit in zip(outcomes, alone, strict=True):
        assert outcome.error is None
        expected = unit.estimator.fit(unit.part.X, unit.part.y).run_
        found = outcome.estimator.run_
        for name, value in expected.model.params.items():
            np.testing.assert_array_equal(found.model.params[name], value)
        assert {**found.summary, "seconds": 0} == {**expected.summary, "seconds": 0}


def test_what_suits_the_rows_suits_the_rows_that_are_trained_on():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    model = TableClassifier("table-fast", random_state=0, settings={"train_rows": 40})
    (outcome,) = fit_together([Unit(clone(model), Part(X, X[:, 0] > 0, {}))])
    expected = model.fit(X, X[:, 0] > 0).run_
    assert outcome.error is None
    assert replace(outcome.estimator.run_.config, alone=True) == expected.config
    for name, value in expected.model.params.items():
        np.testing.assert_array_equal(outcome.estimator.run_.model.params[name], value)


def test_networks_of_one_kind_are_one_stack(monkeypatch):
    stacks = []
    train = together.train_together

    def noted(jobs, *args, **options):
        stacks.append(len(jobs))
        return train(jobs, *args, **options)

    monkeypatch.setattr(together, "train_together", noted)
    units, _ = of_units(classifier(), {"alpha": [0, 1], "hidden_layer_sizes": [3, 4]}, folds(classifier(), 7))
    fit_together(units)
    assert sorted(stacks) == [14, 14]  # 203 rows make 7 folds of 29
    stacks.clear()
    fit_together(of_units(classifier(), {"alpha": [0, 1]}, folds(classifier(), 7))[0], max_nets=4)
    assert max(stacks) <= 4
    assert sum(stacks) == 14


def test_little_memory_means_smaller_stacks(monkeypatch):
    units, alone = of_units(classifier(), {"alpha": [0, 1]}, folds(classifier()))
    monkeypatch.setattr("xpnet.device.Device.free_memory", lambda _: 1)
    for outcome, unit in zip(fit_together(units), alone, strict=True):
        expected = unit.estimator.fit(unit.part.X, unit.part.y)
        np.testing.assert_array_equal(outcome.estimator.coefs_[0], expected.coefs_[0])


def test_what_fails_is_told_and_the_others_are_fitted():
    parts = folds(classifier())
    units = [
        Unit(classifier(alpha=-1.0), parts[0]),
        Unit(classifier(), parts[0]),
        Unit(make_pipeline(StandardScaler(), SVC()), parts[0]),
        Unit(classifier(), Part(np.full((5, 2), np.nan), np.arange(5), {})),
    ]
    outcomes = fit_together(units)
    assert isinstance(outcomes[0].error, InputError)
    assert isinstance(outcomes[3].error, ValueError)
    assert outcomes[1].error is outcomes[2].error is None
    assert outcomes[2].estimator.score(DIGITS, LABELS) > 0.5  # none of ours, and fitted all the same


def test_weights_of_rows_are_those_of_the_part():
    part = Part(DIGITS, LABELS, {"sample_weight": np.linspace(1, 2, len(LABELS))})
    (outcome,) = fit_together([Unit(classifier(), part)])
    expected = classifier().fit(DIGITS, LABELS, **part.params)
    np.testing.assert_array_equal(outcome.estimator.coefs_[0], expected.coefs_[0])
    of_last = {f"mlpclassifier__{name}": of for name, of in part.params.items()}
    pipeline = make_pipeline(StandardScaler(), classifier())
    (outcome,) = fit_together([Unit(clone(pipeline), part._replace(params=of_last))])
    expected = pipeline.fit(DIGITS, LABELS, **of_last)
    np.testing.assert_array_equal(outcome.estimator[-1].coefs_[0], expected[-1].coefs_[0])


def test_rows_that_are_prepared_batch_by_batch_are_not_taken_for_the_same():
    begin, part = Beginning(), Part(DIGITS, LABELS, {})
    raw = Feed(DIGITS, LABELS)
    assert begin._known(part, raw) is raw
    assert begin._known(part, Feed(DIGITS.copy(), LABELS)) is raw
    prepared = Feed(DIGITS, LABELS, prepare=lambda rows: 2 * rows)
    assert begin._known(part, prepared) is prepared


def test_a_pipeline_that_transforms_its_validation_rows_does_so():
    import sklearn

    X_val, y_val = 7 * DIGITS[:50], LABELS[:50]
    with sklearn.config_context(enable_metadata_routing=True):
        network = classifier(early_stopping=True).set_fit_request(X_val=True, y_val=True)
        pipeline = Pipeline([("scale", StandardScaler()), ("network", network)], transform_input=["X_val"])
        part = Part(DIGITS, LABELS, {"X_val": X_val, "y_val": y_val})
        (outcome,) = fit_together([Unit(clone(pipeline), part)])
        expected = pipeline.fit(DIGITS, LABELS, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(outcome.estimator[-1].coefs_[0], expected[-1].coefs_[0])
    assert outcome.estimator[-1].validation_scores_ == expected[-1].validation_scores_


def test_parameters_that_no_step_takes_are_refused():
    part = Part(DIGITS, LABELS, {"sample_weight": np.ones(len(LABELS))})
    for pipeline in (make_pipeline(classifier()), make_pipeline(StandardScaler(), classifier())):
        (outcome,) = fit_together([Unit(pipeline, part)])
        assert isinstance(outcome.error, ValueError)


def test_by_an_executor_and_what_is_told_of_it():
    units, alone = of_units(classifier(), {"alpha": [0, 1]}, folds(classifier()))
    told = []
    with ThreadPoolExecutor(2) as executor:
        outcomes = fit_together(units, executor=executor, max_nets=2, on_part=told.append)
    assert told == [3, 3]  # as many tasks as workers, whose stacks are of two at most
    for outcome, unit in zip(outcomes, alone, strict=True):
        expected = unit.estimator.fit(unit.part.X, unit.part.y)
        np.testing.assert_array_equal(outcome.estimator.coefs_[0], expected.coefs_[0])


def test_by_processes():
    units, alone = of_units(classifier(), {"alpha": [0, 1]}, folds(classifier()))
    told = []
    outcomes = fit_together(units, n_jobs=2, on_part=told.append)
    assert told == [3, 3]
    for outcome, unit in zip(outcomes, alone, strict=True):
        expected = unit.estimator.fit(unit.part.X, unit.part.y)
        np.testing.assert_array_equal(outcome.estimator.coefs_[0], expected.coefs_[0])


def test_short_steps_have_one_thread(monkeypatch):
    tasks = []
    plain = together._by_threads

    def noted(units, some, *args):
        tasks.append(len(some))
        return plain(units, some, *args)

    monkeypatch.setattr(together, "_by_threads", noted)
    monkeypatch.setattr(together, "cores", lambda: 2)
    units, again = of_units(classifier(), {"alpha": [0, 1]}, folds(classifier()))
    fit_together(units)
    monkeypatch.setattr(together, "SHARED_OUT_FROM", 1000)
    fit_together(again)
    assert tasks == [1, 2]


def test_the_parts_told_add_up():
    units, _ = of_units(
        classifier(max_iter=30, n_iter_no_change=1, tol=0.1), {"alpha": [0, 1]}, folds(classifier())
    )
    told, lock = [], threading.Lock()

    def note(part):
        with lock:
            told.append(part)

    fit_together(units, on_part=note)
    assert sum(told) == pytest.approx(len(units))
    assert len(told) > len(units) / 2


def test_the_warnings_are_those_of_a_fit():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_together([Unit(classifier(max_iter=1), part) for part in folds(classifier())])
    assert [w.category for w in caught] == [ConvergenceWarning] * 3
    assert "raise max_iter" in str(caught[0].message)
