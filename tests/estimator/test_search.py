"""MLPSearchCV: the results of scikit-learn's searches, whatever is asked of it, and its words on misuse."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.datasets import load_digits, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the two there
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler

from xpnet import InputError, MLPClassifier, MLPRegressor, MLPSearchCV, TableClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS, LABELS = (array[:203] for array in load_digits(return_X_y=True))
DIGITS = DIGITS / 16
NUMBERS = make_regression(120, 5, random_state=0)
GRID = {"alpha": [0, 0.1], "learning_rate_init": [0.001, 0.01]}
MODEL = MLPClassifier(9, max_iter=3, batch_size=32, random_state=0)


def same(ours, theirs):
    """Compare all that two searches found, but for times and dtypes that scikit-learn leaves open."""
    assert list(ours.cv_results_) == list(theirs.cv_results_)
    for name, expected in theirs.cv_results_.items():
        if not name.endswith("_time"):
            found = ours.cv_results_[name]
            if name == "params":
                assert found == expected
            elif isinstance(expected, np.ma.MaskedArray):
                assert found.tolist() == expected.tolist()
            else:
                np.testing.assert_array_equal(found, expected, err_msg=name)
    for name in ("best_index_", "best_params_", "best_score_", "n_splits_", "multimetric_", "n_resources_"):
        assert hasattr(ours, name) == hasattr(theirs, name)
        assert getattr(ours, name, None) == getattr(theirs, name, None)


def both(model, grid, **settings):
    """Search by both on the digits, and compare."""
    ours = MLPSearchCV(model, grid, **settings).fit(DIGITS, LABELS)
    same(ours, GridSearchCV(model, grid, **settings).fit(DIGITS, LABELS))


CASES = {
    "a grid": ({}, GridSearchCV),
    "with the scores of training": ({"return_train_score": True, "cv": 3}, GridSearchCV),
    "by a scorer": ({"scoring": "neg_log_loss"}, GridSearchCV),
    "by a function": ({"scoring": lambda model, X, y: -np.abs(model.predict(X) - y).mean()}, GridSearchCV),
    "by one that is made": (
        {"scoring": make_scorer(log_loss, response_method="predict_proba", greater_is_better=False)},
        GridSearchCV,
    ),
    "by several": ({"scoring": ["accuracy", "neg_log_loss"], "refit": "neg_log_loss"}, GridSearchCV),
    "by several, none the best": (
        {"scoring": {"a": "accuracy", "b": "f1_macro"}, "refit": False},
        GridSearchCV,
    ),
    "by a choice of one's own": (
        {"refit": lambda results: int(np.argmin(results["mean_test_score"]))},
        GridSearchCV,
    ),
    "of shuffled folds": ({"cv": StratifiedKFold(3, shuffle=True, random_state=1)}, GridSearchCV),
    "of folds as masks": ({"cv": [(LABELS < 5, LABELS > 4), (LABELS > 4, LABELS < 5)]}, GridSearchCV),
    "of folds as ranges": ({"cv": [(range(100), range(100, 200))]}, GridSearchCV),
    "of parts that overlap": ({"cv": ShuffleSplit(3, test_size=0.3, random_state=0)}, GridSearchCV),
}


@pytest.mark.parametrize("case", CASES)
def test_it_finds_what_scikit_learn_finds(case):
    settings, kind = CASES[case]
    ours = MLPSearchCV(MODEL, GRID, **settings).fit(DIGITS, LABELS)
    theirs = kind(MODEL, GRID, **settings).fit(DIGITS, LABELS)
    same(ours, theirs)
    assert (ours.cv_results_["mean_fit_time"] > 0).all()
    if settings.get("refit", True):
        assert type(ours.best_estimator_) is MLPClassifier
        np.testing.assert_array_equal(ours.best_estimator_.coefs_[0], theirs.best_estimator_.coefs_[0])
        np.testing.assert_array_equal(ours.predict_proba(DIGITS), theirs.predict_proba(DIGITS))
        assert ours.score(DIGITS, LABELS) == theirs.score(DIGITS, LABELS)
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        assert ours.n_features_in_ == 64


@pytest.mark.parametrize(
    ("grid", "model"),
    [
        ([{"alpha": [0.1]}, {"hidden_layer_sizes": [(3,), (5, 4)], "early_stopping": [True]}], MODEL),
        ({"alpha": [0.1, -1]}, MODEL),  # one of which is refused
        ({"hidden_layer_sizes": [3, 5]}, MLPClassifier(random_state=0, max_iter=2, solver="lbfgs")),
        (
            {"mlpclassifier__alpha": [0, 0.1], "standardscaler": [StandardScaler(), "passthrough"]},
            make_pipeline(StandardScaler(), MODEL),
        ),
        (
            {"mlpclassifier": [MODEL, LogisticRegression(max_iter=5)]},
            make_pipeline(StandardScaler(), MODEL),
        ),
    ],
    ids=["several grids", "that fails", "lbfgs", "of a pipeline", "of others"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test")
def test_candidates_of_any_kind(grid, model):
    same(
        MLPSearchCV(model, grid, cv=3).fit(DIGITS, LABELS),
        GridSearchCV(model, grid, cv=3).fit(DIGITS, LABELS),
    )


def test_what_is_drawn():
    drawn = {"alpha": stats.loguniform(1e-5, 1), "learning_rate_init": [0.001, 0.01]}
    settings = {"n_iter": 4, "random_state": 3, "cv": 3}
    ours = MLPSearchCV(MODEL, param_distributions=drawn, **settings).fit(DIGITS, LABELS)
    same(ours, RandomizedSearchCV(MODEL, drawn, **settings).fit(DIGITS, LABELS))


@pytest.mark.parametrize("resource", [{}, {"resource": "max_iter", "max_resources": 9}])
def test_halving(resource):
    settings = {"cv": 3, "random_state": 0, "return_train_score": False, "factor": 2, **resource}
    settings["min_resources"] = "smallest"
    grid = {"alpha": [0, 0.01, 0.1, 1], "learning_rate_init": [0.001, 0.01]}
    ours = MLPSearchCV(MODEL, grid, halving=True, **settings).fit(DIGITS, LABELS)
    same(ours, HalvingGridSearchCV(MODEL, grid, **settings).fit(DIGITS, LABELS))
    assert len(set(ours.cv_results_["iter"])) > 1
    drawn = {"alpha": stats.loguniform(1e-5, 1)}
    ours = MLPSearchCV(MODEL, param_distributions=drawn, n_iter=5, halving=True, **settings).fit(
        DIGITS, LABELS
    )
    same(ours, HalvingRandomSearchCV(MODEL, drawn, n_candidates=5, **settings).fit(DIGITS, LABELS))


def test_groups_and_weights():
    groups = np.arange(len(LABELS)) % 7
    given = {"groups": groups, "sample_weight": np.linspace(1, 2, len(LABELS))}
    settings = {"cv": GroupKFold(3), "param_grid": GRID}
    ours = MLPSearchCV(MODEL, **settings).fit(DIGITS, LABELS, **given)
    same(ours, GridSearchCV(MODEL, **settings).fit(DIGITS, LABELS, **given))


class Turned(MLPClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X[:, ::-1].copy(), y, sample_weight)


class Halved(Pipeline):
    def fit(self, X, y=None, **params):
        return super().fit(X[::2], y[::2], **params)


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (Turned(9, max_iter=3, random_state=0), ""),
        (Halved([("scale", StandardScaler()), ("network", MODEL)]), "network__"),
    ],
    ids=["network", "pipeline"],
)
def test_a_fit_of_ones_own_is_called(model, prefix):
    grid = {f"{prefix}alpha": [0, 0.1]}
    same(
        MLPSearchCV(model, grid, cv=3).fit(DIGITS, LABELS),
        GridSearchCV(model, grid, cv=3).fit(DIGITS, LABELS),
    )


def fits_again(model, X, y):
    assert type(model) is MLPClassifier
    assert pickle.dumps(model)
    return clone(model).fit(X, y).score(X, y)


def test_a_scorer_may_do_with_the_network_what_it_likes():
    settings = {"cv": 3, "scoring": fits_again, "error_score": "raise"}
    same(
        MLPSearchCV(MODEL, GRID, **settings).fit(DIGITS, LABELS),
        GridSearchCV(MODEL, GRID, **settings).fit(DIGITS, LABELS),
    )


def picky(model, X, y):
    predicted = model.predict(X)
    if np.abs(predicted).max() > 1e4:
        raise ValueError("too large")
    return -np.abs(predicted - y).mean()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test")
def test_a_network_that_fails_while_it_trains_spoils_no_other():
    model = MLPRegressor(8, max_iter=4, random_state=0, batch_size=32, early_stopping=True, monitor=picky)
    grid = {"learning_rate_init": [1e-3, 1e3]}
    ours = MLPSearchCV(model, grid, cv=2).fit(*NUMBERS)
    same(ours, GridSearchCV(model, grid, cv=2).fit(*NUMBERS))
    assert np.isnan(ours.cv_results_["mean_test_score"]).tolist() == [False, True]


def test_the_loss_is_the_same_to_the_bit_and_so_is_the_last_epoch():
    X, y = DIGITS[:192].astype(np.float32), LABELS[:192]
    model = MLPClassifier(
        4, batch_size=8, max_iter=9, random_state=0, tol=0.0, n_iter_no_change=1, solver="sgd"
    )
    rates = np.geomspace(1e-9, 1e-7, 6).tolist()
    search = MLPSearchCV(model, {"learning_rate_init": rates}, cv=KFold(3), refit=False).fit(X, y)
    for number, rate in enumerate(rates):
        for fold, (train, _) in enumerate(KFold(3).split(X)):
            alone = clone(model).set_params(learning_rate_init=rate).fit(X[train], y[train])
            found = search._networks[3 * number + fold]
            assert found.loss_curve_ == alone.loss_curve_
            np.testing.assert_array_equal(found.coefs_[0], alone.coefs_[0])


def test_candidates_of_several_libraries():
    pytest.importorskip("jax")
    grid = {"backend": ["numpy", "jax"]}
    same(
        MLPSearchCV(MODEL, grid, cv=2).fit(DIGITS, LABELS),
        GridSearchCV(MODEL, grid, cv=2).fit(DIGITS, LABELS),
    )


def test_weights_that_are_routed():
    import sklearn

    weight = np.linspace(1, 2, len(LABELS))
    with sklearn.config_context(enable_metadata_routing=True):
        model = clone(MODEL).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        ours = MLPSearchCV(model, GRID, cv=3).fit(DIGITS, LABELS, sample_weight=weight)
        same(ours, GridSearchCV(model, GRID, cv=3).fit(DIGITS, LABELS, sample_weight=weight))


def test_numbers_and_labels_by_name():
    model = MLPRegressor(5, max_iter=3, random_state=0, standardize_target=True)
    same(
        MLPSearchCV(model, {"alpha": [0, 1]}).fit(*NUMBERS),
        GridSearchCV(model, {"alpha": [0, 1]}).fit(*NUMBERS),
    )
    names = np.array([f"digit {label}" for label in LABELS])
    ours = MLPSearchCV(MODEL, GRID, cv=3).fit(DIGITS, names)
    assert ours.predict(DIGITS[:1])[0].startswith("digit")


def test_a_frame_of_a_table():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"age": rng.normal(size=90), "city": rng.choice(["Rome", "Oslo"], 90)})
    y = np.where((X["age"] > 0) ^ (X["city"] == "Oslo"), "yes", "no")
    model, grid = TableClassifier(random_state=0, epochs=2), {"settings__dropout": [0.0, 0.3]}
    ours = MLPSearchCV(model, grid, cv=3).fit(X, y)
    same(ours, GridSearchCV(model, grid, cv=3).fit(X, y))
    assert ours.best_estimator_.run_.config.dropout in (0.0, 0.3)


def test_rows_that_are_sparse():
    from scipy import sparse

    X = sparse.csr_matrix(np.where(DIGITS > 0.5, DIGITS, 0))
    same(MLPSearchCV(MODEL, GRID, cv=3).fit(X, LABELS), GridSearchCV(MODEL, GRID, cv=3).fit(X, LABELS))


def test_on_another_machine_in_small_stacks():
    with ThreadPoolExecutor(2) as executor:
        ours = MLPSearchCV(MODEL, GRID, cv=3, executor=executor, max_nets=5).fit(DIGITS, LABELS)
        assert clone(ours).executor is executor
        assert pickle.loads(pickle.dumps(ours)).executor is None
    same(ours, GridSearchCV(MODEL, GRID, cv=3).fit(DIGITS, LABELS))


@pytest.mark.filterwarnings("ignore:Scoring failed", "ignore:One or more of the test", "ignore:The scoring")
def test_other_processes_train_and_score():
    def only_the_strong(model, X, y):  # not of this module, which other processes need not find
        if model.learning_rate_init < 0.01:
            raise ValueError("it is not strong")
        return model.score(X, y)

    weights = np.linspace(0.5, 1.5, len(LABELS))
    model = MLPClassifier(9, max_iter=3, batch_size=32, n_iter_no_change=np.inf, random_state=0)
    for settings in (
        {},
        {"scoring": "neg_log_loss", "return_train_score": True},
        {"scoring": ["accuracy", "neg_log_loss"], "refit": False},
        {"scoring": only_the_strong},
    ):
        ours = MLPSearchCV(model, GRID, cv=3, n_jobs=2, **settings)
        theirs = GridSearchCV(model, GRID, cv=3, **settings)
        for params in ({}, {"sample_weight": weights}):
            same(ours.fit(DIGITS, LABELS, **params), theirs.fit(DIGITS, LABELS, **params))
            assert repr(ours.scorer_) == repr(theirs.scorer_)
            assert (ours.cv_results_["mean_score_time"] > 0).all()
    with pytest.raises(ValueError, match="is not strong"):
        ours.set_params(error_score="raise").fit(DIGITS, LABELS)


@pytest.mark.parametrize("n_jobs", [None, 1, 2])
def test_what_changes_rows_in_place_has_its_own(n_jobs):
    model = make_pipeline(StandardScaler(copy=False), MODEL)
    grid = {"mlpclassifier__alpha": [0, 0.1], "standardscaler__with_mean": [True, False]}

    def halves(model, X, y):
        found = model.score(X, y)
        X *= 0.5
        return found

    for scoring in (None, halves):
        ours = MLPSearchCV(model, grid, cv=3, n_jobs=n_jobs, scoring=scoring).fit(DIGITS.copy(), LABELS)
        same(ours, GridSearchCV(model, grid, cv=3, scoring=scoring).fit(DIGITS.copy(), LABELS))
    best = ours.ensemble(DIGITS.copy(), LABELS)
    X = DIGITS.copy()
    expected = np.mean([one.predict_proba(X.copy()) for one in best.estimators_], axis=0)
    np.testing.assert_array_equal(best.predict_proba(X), expected)
    np.testing.assert_array_equal(X, DIGITS)
    np.testing.assert_array_equal(best.predict_proba(X.tolist()), expected)


def test_an_ensemble_takes_sparse_rows_of_any_format():
    X = sparse.coo_array(DIGITS)
    for model in (MODEL, make_pipeline(MaxAbsScaler(copy=False), MODEL)):
        grid = {"alpha": [0]} if model is MODEL else {"mlpclassifier__alpha": [0]}
        best = MLPSearchCV(model, grid, cv=3).fit(X, LABELS).ensemble(X, LABELS)
        np.testing.assert_array_equal(best.predict_proba(X), best.predict_proba(X.tocsr()))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test")
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_warning_that_is_an_error_fails_one_candidate(n_jobs):
    model = MLPClassifier(3, random_state=0, max_iter=2)
    grid = {"n_iter_no_change": [10, np.inf]}  # the second has settled for it
    settings = {"cv": 3, "refit": False, "error_score": -1.0, "n_jobs": n_jobs}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        ours = MLPSearchCV(model, grid, **settings).fit(DIGITS, LABELS)
        same(ours, GridSearchCV(model, grid, **settings).fit(DIGITS, LABELS))
    assert (ours.cv_results_["mean_test_score"] == -1).tolist() == [True, False]


def test_a_search_that_other_processes_scored_is_pickled():
    settings = {"cv": 3, "scoring": "accuracy", "n_jobs": 2}
    search = MLPSearchCV(MODEL, GRID, **settings).fit(DIGITS, LABELS)
    assert pickle.loads(pickle.dumps(search)).score(DIGITS, LABELS) == search.score(DIGITS, LABELS)


def test_it_is_cloned_and_pickled():
    search = MLPSearchCV(MODEL, GRID, cv=3, halving=False, max_nets=3)
    assert clone(search).get_params()["max_nets"] == 3
    fitted = pickle.loads(pickle.dumps(search.fit(DIGITS, LABELS)))
    np.testing.assert_array_equal(fitted.predict(DIGITS), search.predict(DIGITS))


def test_a_line_shows_how_far_it_is(capsys):
    MLPSearchCV(MODEL, GRID, cv=3, verbose=1).fit(DIGITS, LABELS)
    assert "12 of 12 networks" in capsys.readouterr().err
    MLPSearchCV(MODEL, GRID, cv=3).fit(DIGITS, LABELS)
    assert not capsys.readouterr().err


def test_an_ensemble_of_what_was_trained():
    search = MLPSearchCV(clone(MODEL).set_params(max_iter=20), GRID, cv=3).fit(DIGITS, LABELS)
    found = search.ensemble(DIGITS, LABELS, k=3)
    assert 1 <= len(found.candidates_) <= 3
    assert len(found.estimators_) == 3 * len(found.candidates_)
    each = found.predict_proba(DIGITS, members=True)
    assert each.shape == (len(found.estimators_), 203, 10)
    np.testing.assert_allclose(each.mean(axis=0), found.predict_proba(DIGITS))
    assert found.score(DIGITS, LABELS) > 0.7

    # No worse, on the rows that its networks have not seen, than the best by the same measure.
    folds = list(StratifiedKFold(3).split(DIGITS, LABELS))

    def out_of_fold(numbers):
        P = np.empty((203, 10))
        for fold, (_, test) in enumerate(folds):
            P[test] = np.mean(
                [search._networks[3 * n + fold].predict_proba(DIGITS[test]) for n in numbers], axis=0
            )
        return log_loss(LABELS, P)

    assert out_of_fold(found.candidates_) <= min(out_of_fold([n]) for n in range(4)) + 1e-12


def test_an_ensemble_of_numbers_and_after_halving():
    X, y = NUMBERS
    model = MLPRegressor(5, max_iter=9, random_state=0, standardize_target=True)
    search = MLPSearchCV(
        model, {"alpha": [0, 1, 10, 100]}, halving=True, factor=2, resource="max_iter", max_resources=8, cv=3
    ).fit(X, y)
    found = search.ensemble(X, y, 2)
    last = np.flatnonzero(search.cv_results_["iter"] == search.cv_results_["iter"].max())
    assert set(found.candidates_) <= set(last.tolist())
    np.testing.assert_allclose(found.predict(X), found.predict(X, members=True).mean(axis=0))


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (MLPSearchCV(LogisticRegression(), GRID), "use GridSearchCV"),
        (MLPSearchCV(make_pipeline(StandardScaler()), GRID), "use GridSearchCV"),
        (MLPSearchCV(MODEL), "give param_grid or param_distributions"),
        (MLPSearchCV(MODEL, GRID, param_distributions=GRID), "give param_grid or param_distributions"),
        (MLPSearchCV(MODEL, GRID, halving="yes"), "halving must be"),
        (MLPSearchCV(MODEL, GRID, max_nets=0), "max_nets must be"),
        (MLPSearchCV(MODEL, GRID, executor=3), "executor must be"),
        (MLPSearchCV(MODEL, GRID, n_jobs=0), "n_jobs must be"),
        (MLPSearchCV(MODEL, {"alfa": [1]}), "did you mean alpha"),
    ],
)
def test_misuse(search, message):
    with pytest.raises(InputError, match=message):
        search.fit(DIGITS, LABELS)


def test_errors_are_raised_where_that_is_asked_for():
    with pytest.raises(InputError, match="alpha"):
        MLPSearchCV(MODEL, {"alpha": [-1]}, error_score="raise").fit(DIGITS, LABELS)


def test_an_ensemble_of_networks_that_have_not_seen_a_class():
    train, test = np.flatnonzero(LABELS < 8)[:100], np.arange(150, 203)
    search = MLPSearchCV(MODEL, GRID, cv=[(train, test)]).fit(DIGITS, LABELS)
    found = search.ensemble(DIGITS, LABELS, 2)
    assert found.classes_.tolist() == list(range(8))
    assert clone(found) is found


def test_an_ensemble_takes_the_rows_of_the_search():
    search = MLPSearchCV(MODEL, GRID, cv=3)
    with pytest.raises(ValueError, match="not fitted"):
        search.ensemble(DIGITS, LABELS)
    with pytest.raises(InputError, match="give the same rows and targets, in the same order"):
        search.fit(DIGITS, LABELS).ensemble(DIGITS[::-1], LABELS[::-1])
    search.ensemble(DIGITS, LABELS.astype(np.int8))
    with pytest.raises(InputError, match="give the same rows and targets, in the same order"):
        search.ensemble(DIGITS[::-1], LABELS)


def test_earlier_steps_that_cannot_be_pickled():
    scaling = FunctionTransformer(lambda X, by: X * by)
    grid = {f"mlpclassifier__{name}": of for name, of in GRID.items()}
    both(make_pipeline(scaling, MODEL), grid | {"functiontransformer__kw_args": [{"by": 1}, {"by": 2}]})
