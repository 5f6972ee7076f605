"""`TableClassifier` and `TableRegressor`: scikit-learn's checks, tables as they are, and what is refused."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator

import xpnet
from xpnet import InputError, TableClassifier, TableRegressor

QUICK = {
    "ensemble": 1,
    "epochs": 12,
    "random_state": 0,
    "settings": {"hidden": (16,), "batch_size": 8, "bins": 4, "patience": None, "dropout": 0.0},
}
EXACT = QUICK | {"settings": QUICK["settings"] | {"dtype": "float64"}}  # some checks compare to 1e-7

NOT_FOR_TABLES = {
    "check_sample_weight_equivalence_on_dense_data": "of rows that are repeated others are held out",
}
BOTH = pytest.mark.parametrize("kind", [TableClassifier, TableRegressor])

# What `parametrize_with_checks` makes, as a list: its generator is a warning in new versions of pytest.
CHECKS = [
    pytest.param(
        estimator,
        check,
        id=f"{type(estimator).__name__}-{check.func.__name__}",
        marks=[pytest.mark.xfail(reason=reason, strict=True)] if reason else [],
    )
    for kind in (TableClassifier, TableRegressor)
    for estimator, check in estimator_checks_generator(kind(**EXACT))
    for reason in [NOT_FOR_TABLES.get(check.func.__name__)]
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some checks warn by themselves, as of rows without names
        check(estimator)


def people(rows=80, seed=0):
    """Columns of numbers and text with gaps, and what depends on both."""
    rng = np.random.default_rng(seed)
    age, city = rng.integers(18, 80, rows).astype(float), rng.choice(["Oslo", "Rome", "Ulm"], rows)
    y = np.where((age > 45) ^ (city == "Rome"), "yes", "no")
    city = np.where(rng.random(rows) < 0.1, None, city.astype(object))
    return {"age": np.where(rng.random(rows) < 0.1, np.nan, age), "city": city}, y


def quick(kind, **changes):
    return kind(**QUICK | changes)


def target_of(kind, y):
    return y if kind is TableClassifier else np.where(y == "yes", 10.0, -10.0)


def frames():
    X, _ = people()
    yield X
    yield [{"age": age, "city": city} for age, city in zip(X["age"], X["city"], strict=True)]
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    yield pandas.DataFrame(X)
    yield polars.DataFrame({"age": X["age"], "city": X["city"].tolist()})
    yield np.stack([X["age"].astype(object), X["city"]], axis=1)


@BOTH
def test_tables_of_any_kind(kind):
    y = target_of(kind, people()[1])
    found = [quick(kind, epochs=40).fit(X, y).predict(X) for X in frames()]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    if kind is TableClassifier:
        assert found[0].dtype.kind == "U"
        assert np.mean(found[0] == y) > 0.8
    else:
        assert np.mean((found[0] > 0) == (y > 0)) > 0.8


@BOTH
@pytest.mark.parametrize("before", [np.nan, 0.0])
def test_a_fold_may_have_the_only_gap(kind, before):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), target_of(kind, people(60)[1])
    X[3, 0] = before
    model = quick(kind, epochs=2).fit(X, y)
    X[5, 1] = np.nan
    assert len(model.predict(X)) == 60


@BOTH
def test_columns_are_found_by_name_and_new_categories_are_fine(kind):
    pandas = pytest.importorskip("pandas")
    X, y = people()
    frame = pandas.DataFrame(X)
    model = quick(kind).fit(frame, target_of(kind, y))
    assert model.n_features_in_ == 2
    assert model.feature_names_in_.tolist() == ["age", "city"]
    other = frame[["city", "age"]].assign(more=1)
    np.testing.assert_array_equal(model.predict(other), model.predict(frame))
    assert model.predict(pandas.DataFrame({"age": [30.0], "city": ["Bergen"]})).shape == (1,)
    with pytest.raises(InputError, match="columns are missing: give city"):
        model.predict(frame[["age"]])


@BOTH
def test_names_that_training_lacked_are_told_of(kind):
    pandas = pytest.importorskip("pandas")
    X = np.random.default_rng(0).normal(size=(40, 3))
    model = quick(kind).fit(X, target_of(kind, np.array(["yes", "no"] * 20)))
    with pytest.warns(UserWarning, match=f"X has feature names, but {kind.__name__} was fitted without"):
        found = model.predict(pandas.DataFrame(X, columns=list("abc")))
    np.testing.assert_array_equal(found, model.predict(X))


@BOTH
def test_columns_whose_names_are_numbers(kind):
    pandas = pytest.importorskip("pandas")
    X, y = people()
    y = target_of(kind, y)
    frame = pandas.DataFrame(X).set_axis([0, 1], axis=1)
    model = quick(kind, categorical=["1"]).fit(frame, y)
    np.testing.assert_array_equal(model.predict(frame[[1, 0]]), model.predict(frame))
    line = one_line(quick(kind).fit, frame.set_axis([0, "city"], axis=1), y)
    assert line.startswith("Feature names are only supported if all input features have string names")


def test_probabilities_are_those_of_the_classes():
    X, y = people()
    model = quick(TableClassifier, epochs=40).fit(X, y)
    assert model.classes_.tolist() == ["no", "yes"]
    P = model.predict_proba(X)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.classes_[P.argmax(axis=1)], model.predict(X))
    numbers = quick(TableClassifier).fit(X, np.where(y == "yes", 7, -3))
    assert numbers.classes_.tolist() == [-3, 7]
    assert set(numbers.predict(X)) <= {-3, 7}
    assert model.score(X, y) == np.mean(model.predict(X) == y)


def test_numbers_several_at_once_and_intervals():
    X, y = people()
    y = np.where(y == "yes", 10.0, -10.0)
    model = quick(TableRegressor).fit(X, y)
    assert model.predict(X).shape == (80,)
    ends = model.predict_interval(X, coverage=0.5)
    assert ends.shape == (80, 2)
    assert (ends[:, 0] <= ends[:, 1]).all()
    several = quick(TableRegressor).fit(X, np.stack([y, -y], axis=1))
    assert several.predict(X).shape == (80, 2)


@BOTH
def test_a_clone_a_pickle_and_parameters(kind):
    X, y = people()
    y = target_of(kind, y)
    model = quick(kind, categorical=["city"])
    assert model.get_params()["categorical"] == ["city"]
    model.fit(X, y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "run_")
    np.testing.assert_array_equal(copy.fit(X, y).predict(X), model.predict(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    other = clone(model).set_params(random_state=1, settings={**QUICK["settings"], "hidden": (5,)}).fit(X, y)
    assert other.run_.config.hidden == (5,)
    assert other.run_.config.seed != model.run_.config.seed


@BOTH
def test_settings_reach_the_run(kind):
    X, y = people()
    model = quick(kind, ensemble=2, epochs=3, validation_fraction=0.5, ignore=("age",)).fit(
        X, target_of(kind, y)
    )
    config = model.run_.config
    assert (config.ensemble, config.epochs, config.validation_fraction, config.bins) == (2, 3, 0.5, 4)
    assert [column.name for column in model.run_.model.columns.columns] == ["city"]
    assert len(model.run_.validated.y) == 40
    assert isinstance(model.run_, xpnet.Run)
    one = quick(kind, recipe="table-fast", ensemble=None).fit(X, target_of(kind, y))
    assert one.run_.config.ensemble == 1


@BOTH
def test_what_each_network_of_a_table_says(kind):
    X, y = people()
    settings = QUICK["settings"] | {"bagging": True}
    model = quick(kind, ensemble=3, settings=settings).fit(X, target_of(kind, y))
    assert model.run_.config.bagging
    each = model.predict(X, members=True)
    assert each.shape == (3, len(y))
    if kind is TableRegressor:
        np.testing.assert_allclose(each.mean(axis=0), model.predict(X), rtol=1e-5)
        return
    P = model.predict_proba(X, members=True)
    assert P.shape == (3, len(y), 2)
    np.testing.assert_allclose(P.mean(axis=0), model.predict_proba(X), rtol=1e-5)
    np.testing.assert_array_equal(each, model.classes_[P.argmax(axis=-1)])


@BOTH
def test_a_gap_that_no_row_of_a_fold_had_is_taken_in_silence(kind):
    X, y = people()
    y = target_of(kind, y)
    whole = {name: list(values) for name, values in X.items()} if isinstance(X, dict) else X.copy()
    whole["age"] = np.arange(80) % 30 + 20.0
    model = quick(kind).fit(whole, y)
    new = whole.copy()
    new["age"] = np.where(np.arange(80) == 3, np.nan, whole["age"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(model.predict(new)) == 80


@BOTH
def test_rows_to_validate_on_and_weights(kind):
    X, y = people()
    X_val, y_val = people(30, seed=1)
    y, y_val = target_of(kind, y), target_of(kind, y_val)
    model = quick(kind, validation_fraction=0.5).fit(X, y, X_val=X_val, y_val=y_val)
    assert len(model.run_.validated.y) == 30
    plain = quick(kind).fit(X, y).predict(X)
    even = quick(kind).fit(X, y, sample_weight=np.ones(80)).predict(X)
    np.testing.assert_array_equal(plain, even)
    rome = np.where(np.asarray(y == y[0]), 1.0, 1e-9)  # without weight the other class would not be there
    lone = quick(kind, epochs=40).fit(X, y, sample_weight=rome, X_val=X_val, y_val=y_val)
    if kind is TableClassifier:
        assert np.mean(lone.predict(X) == y[0]) > 0.9
    with pytest.raises(InputError, match="validation data need both"):
        quick(kind).fit(X, y, X_val=X_val)


@BOTH
def test_in_a_search_and_a_pipeline(kind):
    pandas = pytest.importorskip("pandas")
    X, y = people()
    frame, y = pandas.DataFrame(X), target_of(kind, y)
    assert cross_val_score(quick(kind), frame, y, cv=2).shape == (2,)
    steps = make_pipeline(
        FunctionTransformer(lambda table: table.assign(double=2 * table["age"])), quick(kind)
    )
    assert steps.fit(frame, y).predict(frame).shape == (80,)
    found = GridSearchCV(quick(kind), {"epochs": [2, 12]}, cv=2).fit(frame, y)
    assert found.best_params_["epochs"] in (2, 12)


@BOTH
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"recipe": "chairs"}, "there is no recipe 'chairs': use "),
        ({"epochs": -1}, "--epochs must be from 0"),
        ({"validation_fraction": 1.5}, "--validation-fraction must be "),
        ({"categorical": ["town"]}, "'town' is not a column"),
        ({"settings": {"lr": 1}}, "there is no setting 'lr': did you mean learning_rate?"),
        (
            {"random_state": 1, "settings": {"seed": 5}},
            "random_state and settings['seed'] set the same",
        ),
        ({"epochs": 2, "settings": {"epochs": 2}}, "epochs and settings['epochs'] set the same: give one of"),
        ({"verbose": True, "settings": {"quiet": True}}, "verbose and settings['quiet'] set the same: give"),
        (
            {"numeric": ["age"], "settings": {"numeric": ["age"]}},
            "numeric and settings['numeric'] set",
        ),
        ({"settings": {"recipe": "table"}}, "settings contains a recipe: give the parameter recipe instead"),
        ({"settings": [1]}, "settings must be a dict of settings by name, not [1]"),
        ({"categorical": 5}, "--categorical must be text or a list of them, not 5"),
        ({"random_state": "a"}, "RandomState or None, not 'a': give a seed, as random_state=0"),
    ],
)
def test_what_is_refused_is_one_line(kind, changes, text):
    X, y = people()
    with pytest.raises(InputError) as caught:
        quick(kind, **changes).fit(X, target_of(kind, y))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@BOTH
@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("class_weight", 'give settings={"class_weight": …}'),
        ("hidden_layer_sizes", 'give settings={"hidden": …}'),
        ("hidden", 'give settings={"hidden": …}'),
        ("alpha", 'give settings={"reg": …}'),
        ("early_stopping", 'give settings={"patience": …}'),
        ("droput", 'give settings={"dropout": …}'),
        ("max_iter", "did you mean epochs?"),
        ("seed", "did you mean random_state?"),
        ("n_jobs", "training uses the cores it needs; set the variable OMP_NUM_THREADS to limit them"),
        ("zzz", "help(xpnet.{}) lists them all"),
    ],
)
def test_parameters_that_are_none_lead_to_settings(kind, word, text):
    name = kind.__name__
    expected = f"{name} has no parameter {word!r}: {text.replace('{}', name)}"
    for call in (lambda: kind(**{word: 1}), lambda: kind().set_params(**{word: 1})):
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == expected


@BOTH
def test_a_search_over_other_settings(kind):
    X = np.random.default_rng(2).standard_normal((60, 3))
    plain = quick(kind, settings={"reg": 0.1})
    found = GridSearchCV(plain, {"settings__dropout": [0.1, 0.3]}, cv=2).fit(X, (X[:, 1] > 0).astype(int))
    best = found.best_estimator_
    assert best.settings == {"reg": 0.1, "dropout": found.best_params_["settings__dropout"]}
    assert best.run_.config.dropout == best.settings["dropout"]
    assert (best.run_.config.reg, plain.settings) == (0.1, {"reg": 0.1})
    assert kind().set_params(settings={"reg": 1.0}, settings__ema=0.5).settings == {"reg": 1.0, "ema": 0.5}
    assert kind().set_params(settings__ema=0.5).settings == {"ema": 0.5}
    with pytest.raises(InputError, match="settings must be a dict of settings by name, not 3"):
        kind(settings=3).set_params(settings__ema=0.5)


@BOTH
def test_data_that_are_refused(kind):
    X, y = people()
    y = target_of(kind, y)
    with pytest.raises(InputError, match="requires y to be passed, but the target y is None"):
        quick(kind).fit(X, None)
    with pytest.raises(InputError, match="give one for each"):
        quick(kind).fit(X, y[:-1])
    with pytest.raises(ValueError, match="infinity"):
        quick(kind).fit(np.array([[1.0, np.inf]] * 8), y[:8])
    with pytest.raises(NotFittedError):
        quick(kind).predict(X)


def one_line(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


ROWS = np.random.default_rng(0).normal(size=(40, 3))


@BOTH
@pytest.mark.parametrize(
    ("X", "text"),
    [
        (None, "X has shape (): give a table, or an array (rows, columns)"),
        ("people.csv", "X has shape (): give a table"),
        (ROWS[:, 0], "X has shape (40,): give a table"),
        (ROWS[:, :, None], "X has shape (40, 3, 1): give a table"),
        (ROWS[:0], "while a minimum of 1 is required by Table"),
        (ROWS + 1j, "Complex data not supported: give finite numbers"),
        (
            np.where(ROWS > 1, np.inf, ROWS),
            "Input contains infinity or a value too large for dtype('float64'): give finite numbers",
        ),
        ([[1, 2], [3]] * 20, "): give rows of one length"),
    ],
)
def test_rows_that_are_none(kind, X, text):
    y = target_of(kind, np.array(["yes", "no"] * 20))
    assert text in one_line(quick(kind).fit, X, y)
    fitted = quick(kind).fit(ROWS, y)
    assert text in one_line(fitted.predict, X)
    assert "X has 2 features" in one_line(fitted.predict, ROWS[:, :2])


@BOTH
@pytest.mark.parametrize(
    ("y", "text"),
    [
        ([None, *range(39)], "y contains NaN or None in row 0: drop rows without a target, also from X"),
        ([0.5] * 39 + [np.nan], "y contains NaN or None in row 39: drop rows"),
        ("plan", "y has shape (): give one target for each row"),
        ({"a": 1}, "y has shape (): give one target for each row"),
        ([np.inf] * 40, "contains infinity"),
        ([{1}] * 40, "for each row"),
        (ROWS[:, 0] + 1j, "Complex data not supported: give "),
        (np.arange(40).astype("datetime64[s]"), "y has dtype datetime64[s]: give classes or numbers"),
    ],
)
def test_targets_that_are_none(kind, y, text):
    line = one_line(quick(kind).fit, ROWS, y)
    assert text in line
    assert "nan_to_num" not in line


def test_targets_of_the_other_estimator():
    two = np.tile(["a", "b"], (40, 1))
    assert "an array of shape (40, 2) instead: give one class" in one_line(
        quick(TableClassifier).fit, ROWS, two
    )
    line = one_line(quick(TableClassifier).fit, ROWS, ROWS[:, 0])
    assert line.startswith("Unknown label type: continuous.")
    assert line.endswith("or use TableRegressor")
    line = one_line(quick(TableRegressor).fit, ROWS, ["a"] * 40)
    assert line.endswith(": give finite numbers, one or several for each row")


@BOTH
def test_rows_and_targets_of_libraries_that_need_a_step_before(kind):
    sparse = pytest.importorskip("scipy.sparse")
    y = target_of(kind, np.array(["yes", "no"] * 20))
    assert one_line(quick(kind).fit, sparse.csr_matrix(ROWS), y) == (
        "X is a sparse matrix: give its toarray()"
    )
    polars = pytest.importorskip("polars")
    lazy = polars.DataFrame({"a": ROWS[:, 0]}).lazy()
    assert one_line(quick(kind).fit, lazy, y).endswith("the table is a lazy query: give its collect()")


def test_weights_of_classes_that_a_fold_lacks():
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = np.where(X[:, 0] > 0, "a", "b")
    how = {"recipe": "table-fast", "epochs": 2, "random_state": 0}
    model = TableClassifier(**how, settings={"class_weight": {"a": 1, "b": 2, "rare": 30}}).fit(X, y)
    same = TableClassifier(**how, settings={"class_weight": {"a": 1, "b": 2}}).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))
    with pytest.raises(InputError, match=r"class_weight has 'c': 2.0; give a number"):
        TableClassifier(**how, settings={"class_weight": {"c": 2}}).fit(X, y)
