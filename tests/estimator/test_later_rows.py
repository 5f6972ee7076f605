"""Rows unlike those of the first call: in training that goes on, and in predictions."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import scipy.sparse
from estimators import classes, fitted
from sklearn.base import clone
from sklearn.datasets import load_digits

from xpnet import MLPClassifier, MLPRegressor
from xpnet.errors import RangeWarning

HOW = {"hidden_layer_sizes": 8, "max_iter": 3, "random_state": 0}
WHITENS = ["standardize", "pca-whiten", "zca"]


def measured(rows=200):
    """Rows whose first feature says it all, and stands still in the first twenty."""
    X = np.random.default_rng(4).standard_normal((rows, 3))
    y = (X[:, 0] > 0).astype(int)
    X[:20, 0] = 1.5
    return X, y


def said(act):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "training has not converged")
        act()
    assert all(one.filename == __file__ for one in found)
    return [str(one.message) for one in found]


@pytest.mark.parametrize("preprocess", [*WHITENS, "mean", "none"])
def test_a_feature_that_stood_still_in_the_first_part_is_named_once(preprocess):
    X, y = measured()
    parts = MLPClassifier(**HOW, preprocess=preprocess).partial_fit(X[:20], y[:20], classes=[0, 1])
    assert said(lambda: parts.partial_fit(X[:20], y[:20])) == []
    first = said(lambda: parts.partial_fit(X, y))
    assert (len(first) == 1) == (preprocess in WHITENS)
    if first:
        assert first[0] == (
            "the preprocessing was fitted on rows with a constant value in feature 0 and ignores it, but "
            "these rows vary there: fit a new network on rows that vary there"
        )
    assert said(lambda: parts.partial_fit(X, y)) == []


def test_a_stream_is_told_once():
    """Or binary columns would say so one after the other."""
    X = np.eye(8)[np.repeat(np.arange(8), 10)]
    y = np.arange(80) % 2
    parts = MLPClassifier(**HOW, preprocess="standardize").partial_fit(X[:10], y[:10], classes=[0, 1])
    notes = [said(lambda k=k: parts.partial_fit(X[k : k + 10], y[:10])) for k in range(10, 80, 10)]
    assert len(notes[0]) == 1
    assert notes[1:] == [[]] * 6


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_warm_start_names_columns_by_their_names(kind):
    pd = pytest.importorskip("pandas")
    X, y = measured()
    frame = pd.DataFrame(X, columns=["age", "height", "weight"])
    model = fitted(kind(**HOW, preprocess="standardize", warm_start=True), frame[:20], y[:20])
    (line,) = said(lambda: model.fit(frame, y))
    assert "constant value in feature age and" in line
    assert said(lambda: clone(model).fit(frame, y)) == []


def test_a_first_part_of_a_far_narrower_range():
    X, y = measured()
    parts = MLPClassifier(**HOW, preprocess="standardize").partial_fit(X[20:80], y[20:80], classes=[0, 1])
    wide = X * [1, 1000, 1]
    (line,) = said(lambda: parts.partial_fit(wide, y))
    assert line.startswith("in feature 1 most rows are far from those that the preprocessing was fitted on: ")
    assert said(lambda: parts.partial_fit(wide, y)) == []
    plain = MLPClassifier(**HOW).partial_fit(X[20:80], y[20:80], classes=[0, 1])
    assert said(lambda: plain.partial_fit(wide, y)) == []


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_predictions_of_pixels_on_another_scale(kind):
    X, y = load_digits(return_X_y=True)
    X, y = np.floor(X[:300] * 255 / 16), y[:300]
    model = fitted(kind(**HOW), X, y)
    copy = pickle.loads(pickle.dumps(model))
    calls = ["predict", "predict_proba"] if kind is MLPClassifier else ["predict"]
    for of in (model, copy):
        for name in calls:
            assert said(lambda of=of, name=name: getattr(of, name)(X)) == []
            (line,) = said(lambda of=of, name=name: getattr(of, name)(X / 255))
            assert line.startswith("all values are from 0 to 1, but the network was trained on 0 to 255: ")
        with pytest.warns(RangeWarning, match="all values are from 0 to 1"):
            of.score(X / 255, y)
    assert said(lambda: fitted(clone(model), X / 255, y).predict(X / 255)) == []


def test_parts_widen_the_range():
    X, y = classes("binary")
    parts = MLPClassifier(**HOW).partial_fit(X, y, classes=[0, 1])
    assert len(said(lambda: parts.predict(1000 * X))) == 1
    parts.partial_fit(1000 * X, y)
    assert said(lambda: parts.predict(1000 * X)) == []


def test_sparse_rows_have_no_range():
    X, y = classes("binary")
    parts = MLPClassifier(**HOW).partial_fit(X, y, classes=[0, 1])
    assert said(lambda: parts.predict(scipy.sparse.csr_matrix(1000 * X))) == []
    parts.partial_fit(scipy.sparse.csr_matrix(X), y)
    assert said(lambda: parts.predict(1000 * X)) == []


def test_named_columns_are_looked_at_one_by_one():
    pd = pytest.importorskip("pandas")
    X, y = classes("binary")
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = fitted(MLPClassifier(**HOW), frame, y)
    (line,) = said(lambda: model.predict(frame.assign(c=frame["c"] * 1000)))
    assert line.startswith("column 'c' holds ")
