"""What a model says of each task: classes, one output for two of them, labels, numbers; and of odd rows."""

import copy
import pickle
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from models import CONTRASTS, OF, PREPROCESSINGS, make, rows
from sklearn import metrics

from xpnet.device import get_device
from xpnet.errors import InputError
from xpnet.training import model as model_module
from xpnet.training import raw_rows
from xpnet.training.model import Model
from xpnet.training.raw_rows import RowError
from xpnet.training.scale import Scale

AVERAGED = [{}, {"networks": 2}, {"averaging": "flip"}]


def raw(model, X):
    """The scores of one network, or the mean of what its output makes of them, in float64."""
    of_one = replace(model, task="classification", target=None, labels=None)
    params = {name: value.astype(np.float64) for name, value in model.params.items()}
    names = tuple("abc"[: model.mlp.sizes[-1]])
    return replace(of_one, params=params, class_names=names).scores(X)


def logistic(scores):
    return 1 / (1 + np.exp(-scores))


# One output for two classes, or for one


def test_one_output_for_two_classes(device):
    model, X = make(of="one of two"), rows(300)
    model.params["b3"][:] -= np.median(model.scores(X))
    scores = model.scores(X, device)
    np.testing.assert_allclose(scores, raw(model, X), atol=1e-4)
    P = model.probabilities(X, device)
    assert (P.shape, P.dtype) == ((300, 2), np.float32)
    np.testing.assert_allclose(P[:, 1:], logistic(raw(model, X)), atol=1e-5)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-6)
    predicted = model.predict(X, device)
    assert (predicted.shape, predicted.dtype) == ((300,), np.int64)
    assert set(predicted) == {0, 1}
    np.testing.assert_array_equal(predicted, P.argmax(axis=1))
    np.testing.assert_array_equal(model.predict_labels(X, device), 2 * predicted - 1)
    y = np.random.default_rng(0).integers(0, 2, 300)
    assert model.score(X, y, device) == np.mean(predicted == y)


@pytest.mark.parametrize("averaged", AVERAGED)
def test_one_class_alone_is_certain(averaged):
    model, X = make(of="one class", **averaged), rows(20)
    assert model.probabilities(X).tolist() == [[1.0]] * 20
    assert model.predict(X).tolist() == [0] * 20
    assert model.predict_labels(X).tolist() == ["yes"] * 20
    assert model.score(X, np.zeros(20, np.int64)) == 1.0


@pytest.mark.parametrize("of", ["one of two", "labels"])
@pytest.mark.parametrize("averaged", AVERAGED)
def test_scores_are_what_the_logistic_function_makes_probabilities_of(of, averaged):
    model, X = make(of=of, **averaged), rows(50)
    P = model.probabilities(X)[:, -model.mlp.sizes[-1] :]
    np.testing.assert_allclose(logistic(model.scores(X)), P, atol=1e-5)
    np.testing.assert_array_equal(model.predict(X), np.squeeze(P > 0.5, 1) if of == "one of two" else P > 0.5)


# Several labels a row


@pytest.mark.parametrize("of", ["labels", "one label"])
def test_labels(device, of):
    model, X = make(of=of), rows(300)
    P, predicted = model.probabilities(X, device), model.predict(X, device)
    assert P.shape == predicted.shape == (300, model.mlp.sizes[-1])
    assert predicted.dtype == model.predict_labels(X).dtype == np.int64
    np.testing.assert_allclose(P, logistic(raw(model, X)), atol=1e-5)
    np.testing.assert_array_equal(predicted, P > 0.5)
    Y = predicted.astype(np.uint8)
    assert model.score(X, Y, device) == 1.0
    Y[:75] ^= np.arange(Y.shape[1]) == 0
    assert model.score(X, Y, device) == 0.75


# Numbers


@pytest.mark.parametrize("of", ["numbers", "one number", "raw numbers"])
@pytest.mark.parametrize("averaged", AVERAGED)
def test_numbers(device, of, averaged):
    model, X = make(of=of, **averaged), rows(300)
    network = replace(model, target=None).predict(X, device).reshape(300, -1)
    predicted = model.predict(X, device)
    assert predicted.shape == ((300,) if of == "one number" else (300, 3))
    assert predicted.dtype == model.predict_labels(X).dtype == np.float64
    expected = network if model.target is None else network * model.target.scale + model.target.mean
    np.testing.assert_array_equal(predicted.reshape(300, -1), expected)
    np.testing.assert_array_equal(model.scores(X, device), expected)
    y = expected + np.random.default_rng(0).normal(size=expected.shape) * expected.std(axis=0) / 3
    assert model.score(X, y, device) == pytest.approx(metrics.r2_score(y, expected), abs=1e-6)
    with pytest.raises(InputError, match="a regression has no probabilities"):
        model.probabilities(X)


def test_a_mean_large_against_the_deviation_keeps_its_digits():
    model = replace(make(of="one number"), target=Scale(np.array([1e6]), np.array([1.0])))
    network = replace(model, target=None).predict(rows(9))
    np.testing.assert_allclose(model.predict(rows(9)) - 1e6, network, rtol=0, atol=1e-9)


def test_numbers_are_averaged_over_networks():
    model, X = make(of="numbers", networks=3), rows(20)
    each = [replace(model, params={name: value[k] for name, value in model.params.items()}) for k in range(3)]
    np.testing.assert_allclose(model.predict(X), np.mean([one.predict(X) for one in each], axis=0), 1e-6)


# Labels in place of numbers


@pytest.mark.parametrize(
    "labels", [(7, -1, 3), ("a", "b", "c"), (0.5, 1.5, np.inf), (None, True, 3), ("a", 1, "c")]
)
def test_labels_stand_for_classes(labels):
    model, X = replace(make(), labels=labels), rows(30)
    assert model.predict_labels(X).tolist() == [labels[k] for k in model.predict(X)]


def test_without_labels_a_class_is_its_number():
    np.testing.assert_array_equal(make().predict_labels(rows(9)), make().predict(rows(9)))


# Models that are none


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"class_names": ("a", "b")}, "3 outputs, but 2 names"),
        ({"task": "multilabel", "class_names": ("a", "b")}, "3 outputs, but 2 names"),
        ({"labels": (1, 2)}, "2 labels, but 3 names"),
        ({"task": "ranking"}, "use classification, multilabel, regression"),
        ({"target": Scale(np.zeros(3), np.ones(3))}, "a classification has no mean and scale of targets"),
        ({"task": "regression", "target": Scale(np.zeros(3), np.ones(2))}, r"must have shape \(3,\)"),
    ],
)
def test_outputs_that_do_not_fit(changes, says):
    with pytest.raises(InputError, match=says):
        replace(make(), **changes)


def test_one_output_fits_two_classes_of_a_classification_only():
    for changes in ({"class_names": tuple("abc"), "labels": None}, {"task": "multilabel"}):
        with pytest.raises(InputError, match="1 outputs, but"):
            replace(make(of="one of two"), **changes)


# Copies, and what a model says of itself


@pytest.mark.parametrize("of", OF)
def test_pickled_and_copied(of):
    model, X = make(of=of), rows(9)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(again.predict_labels(X), model.predict_labels(X))
        assert repr(again) == repr(model)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_copy_has_numpy_arrays(backend):
    pytest.importorskip(backend)
    model, device = make(), get_device("cpu", backend)
    there = replace(model, params={name: device.put(value) for name, value in model.params.items()})
    for again in (pickle.loads(pickle.dumps(there)), copy.deepcopy(there)):
        assert {type(value) for value in again.params.values()} == {np.ndarray}
        np.testing.assert_array_equal(again.params["W1"], model.params["W1"])


def test_repr():
    assert repr(make()) == (
        "<Model: classification, 12 features, 3 classes\n"
        " network 12–5–5–3, gelu, norm none, float32\n"
        " preprocessing mean>"
    )
    assert repr(
        make(
            CONTRASTS[1], "batch", residual=True, networks=2, averaging="flip", dtype="float64", of="numbers"
        )
    ) == (
        "<Model: regression, 12 features, 3 outputs\n"
        " network 5–5–5–3, gelu, norm batch, residual, float64\n"
        " preprocessing pca, 5 components, contrast\n"
        " averaged: networks 2, views flip>"
    )
    assert repr(make(networks=2)).endswith("\n averaged: networks 2>")  # no word of views


# Rows


@pytest.mark.parametrize("form", ["csr_matrix", "csc_array", "coo_matrix", "lil_array"])
@pytest.mark.parametrize("kind", [{}, {"how": CONTRASTS[1], "networks": 2, "averaging": "flip"}])
def test_sparse_rows(monkeypatch, form, kind):
    sparse = pytest.importorskip("scipy.sparse")
    monkeypatch.setattr(model_module, "PART", 12 * 7)
    model, X = make(**kind), np.where(rows(40) > 200, rows(40), 0).astype(np.float64)
    given = getattr(sparse, form)(X)
    np.testing.assert_array_equal(model.probabilities(given), model.probabilities(X))
    y = model.predict(X)
    assert model.score(given, y) == model.score(X, y) == 1.0
    assert model.predict(given.tocsr()[:0]).shape == (0,)
    X[3, 5], X[30, 2] = np.nan, 1e300
    with pytest.raises(RowError, match="row 3 of X holds NaN or infinity"):
        model.predict(getattr(sparse, form)(X))


def test_rows_are_made_dense_a_part_at_a_time(monkeypatch):
    sparse = pytest.importorskip("scipy.sparse")
    dense = []
    toarray = sparse.csr_array.toarray
    monkeypatch.setattr(model_module, "PART", 12 * 7)
    monkeypatch.setattr(
        sparse.csr_array, "toarray", lambda part: dense.append(part.shape[0]) or toarray(part)
    )
    make().predict(sparse.csr_array(rows(40).astype(np.float32)))
    assert dense == [7] * 5 + [5]


METHODS = [Model.scores, Model.probabilities, Model.predict, Model.predict_labels, "score"]


def call(function, model, X):
    return model.score(X, np.zeros(len(X), np.int64)) if function == "score" else function(model, X)


@pytest.mark.parametrize("function", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_values_that_are_no_numbers(function, dtype):
    for value in (np.nan, np.inf, -np.inf):
        X = rows(2000).astype(dtype)
        X[1234, 7] = value
        X[1500] = value
        with pytest.raises(RowError, match=r"^row 1234 of X holds NaN or infinity: drop such rows") as caught:
            call(function, make(), X)
        assert caught.value.row == 1234


@pytest.mark.parametrize("function", METHODS)
def test_values_beyond_the_range_of_the_dtype(function):
    X = rows(9).astype(np.float64)
    X[4, 0] = -1e300
    with pytest.raises(RowError, match="row 4 of X holds values too large for float32: divide them"):
        call(function, make(), X)
    call(function, make(how=PREPROCESSINGS[0], dtype="float64"), X)


@pytest.mark.parametrize("of", ["classes", "one of two", "labels", "numbers"])
@pytest.mark.parametrize("averaged", [{}, {"networks": 2}])
def test_values_that_overflow_within_the_network(of, averaged):
    model, X = make(PREPROCESSINGS[0], of=of, **averaged), rows(9).astype(np.float32)
    model.params["W1"][..., 0, :] = 3e38
    X[:, 0] = 0
    model.predict(X)
    X[5, 0] = 3e38
    with pytest.raises(RowError, match="row 5 of X is predicted as NaN, because its values are too large"):
        model.predict(X)


def test_a_network_of_nan_is_scored_but_predicts_nothing():
    """A diverged run has to end with a summary."""
    model, X = make(), rows(9)
    model.params["b2"][:] = np.nan
    assert 0 <= model.score(X, np.zeros(9, np.int64)) <= 1
    with pytest.raises(RowError, match="or train again with a lower learning rate"):
        model.predict(X)


def test_objects_that_are_all_numbers_are_rows():
    model, X = make(), rows(9)
    objects = X.astype(object)
    objects[0, :4] = [Decimal(int(X[0, 0])), float(X[0, 1]), np.int16(X[0, 2]), Fraction(int(X[0, 3]))]
    for function in METHODS[:-1]:
        np.testing.assert_allclose(function(model, objects), function(model, X), rtol=1e-5)


@pytest.mark.parametrize(
    ("X", "says"),
    [
        ([["a"] * 12], "X has dtype <U1: give real numbers"),
        (np.zeros((2, 12), complex), "X has dtype complex128: give real numbers"),
        (np.full((2, 12), None), "X has dtype object: give real numbers"),
        (np.full((2, 12), "1", object), "X has dtype object: give real numbers"),
        (np.full((2, 12), 10**400, object), "X has dtype object: give real numbers"),
        (np.full((2, 12), np.nan, object), "row 0 of X holds NaN or infinity"),
        ("rows.npy", "X is a path, 'rows.npy': give the rows themselves, or use xpnet predict"),
        (Path("a") / "rows.npy", "X is a path, '.*rows.npy': give the rows themselves"),
        ([[1.0] * 12, [1.0] * 11], r"X is not an array \(.*\): give rows of 12 numbers each"),
        (np.zeros(12), r"X has shape \(12,\): give \(rows, 12\)"),
        (3.0, r"X has shape \(\): give \(rows, 12\)"),
        (None, r"X has shape \(\): give \(rows, 12\)"),
    ],
)
def test_rows_that_are_none(X, says):
    for function in METHODS[:-1]:
        with pytest.raises(InputError, match=says) as caught:
            function(make(), X)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint64, np.float16, np.longdouble, ">f4"])
def test_rows_of_every_real_dtype(dtype):
    X = rows(20) // 200
    np.testing.assert_allclose(make().probabilities(X.astype(dtype)), make().probabilities(X), atol=1e-6)


@pytest.mark.parametrize(("of", "shape"), [("classes", (9, 1)), ("labels", (9,)), ("numbers", (8, 3))])
def test_a_y_of_another_shape(of, shape):
    with pytest.raises(InputError, match=r"y has shape .*: give \(.*\)$"):
        make(of=of).score(rows(9), np.zeros(shape))
    with pytest.raises(InputError, match=r"there are no rows to score: give at least one"):
        make().score(rows(0), np.zeros(0, np.int64))


@pytest.mark.parametrize("of", ["classes", "labels", "numbers"])
def test_targets_of_a_score_may_be_a_list(of):
    model, X = make(of=of), rows(9)
    y = model.predict(X)
    assert model.score(X, y.tolist()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("of", "value", "says"),
    [
        ("classes", 3, "y holds 3 in row 5: give the numbers of classes, 0 to 2"),
        ("classes", -1, "y holds -1 in row 5"),
        ("classes", 0.5, r"y holds 0\.5 in row 5"),
        ("classes", np.nan, "y holds nan in row 5"),
        ("one of two", 2, "give the numbers of classes, 0 to 1"),
        ("classes", "cat", "y has dtype <U.*: give the numbers of classes, 0 to 2"),
        ("labels", 2, "y holds 2 in row 5: give 1 for a label that is set, else 0"),
        ("numbers", np.inf, "y holds inf in row 5: drop rows without a finite number"),
        ("numbers", "cat", "y has dtype <U.*: give numbers"),
    ],
)
def test_targets_of_a_score_that_are_none(of, value, says):
    model, X = make(of=of), rows(9)
    y = model.predict(X).tolist()
    y[5] = value if of in ("classes", "one of two") else [value] * 3
    with pytest.raises(InputError, match=says):
        model.score(X, y)
    with pytest.raises(InputError, match="y is not an array"):
        model.score(X, [[1], [1, 2]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaps_are_refused_where_training_rows_had_none(dtype):
    sparse = pytest.importorskip("scipy.sparse")
    gaps = np.arange(12) == 4
    for form in (np.asarray, sparse.csr_array):
        X = rows(2000).astype(dtype)
        X[100, 4] = np.nan
        raw_rows.checked(form(X), 12, "float32", gaps=gaps)
        X[1500] = np.inf
        with pytest.raises(RowError, match="row 1500 of X holds infinity: drop such rows"):
            raw_rows.checked(form(X), 12, "float32", gaps=gaps)
        X[1234, 7] = np.nan
        says = r"row 1234 of X has no value \(NaN\) in column 7, where every training row had one: fill in"
        with pytest.raises(RowError, match=says) as caught:
            raw_rows.checked(form(X), 12, "float32", gaps=gaps)
        assert (caught.value.row, caught.value.column) == (1234, 7)
        named = caught.value.said("line 9", [f"p{k}" for k in range(12)])
        assert named.startswith("line 9 has no value (an empty field, NA or NaN) in column 'p7', where")
        X[1000, 7] = 1e38 * 10 if dtype == np.float64 else 0
        if dtype == np.float64:
            with pytest.raises(RowError, match="row 1000 of X holds values too large for float32"):
                raw_rows.checked(form(X), 12, "float32", gaps=gaps)


def test_an_error_of_a_row_travels_between_processes():
    error = pickle.loads(pickle.dumps(RowError(3, "is odd: drop it", 7)))
    assert (str(error), error.row, error.column) == ("row 3 of X is odd: drop it", 3, 7)
