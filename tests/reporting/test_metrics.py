"""Confusion matrix and per-class measures, against their definitions and scikit-learn."""

import numpy as np
import pytest

from xpnet.reporting import metrics


def test_by_hand():
    y, predicted = np.array([0, 0, 0, 1, 1, 3]), np.array([0, 0, 1, 1, 0, 1])
    counts = metrics.confusion(y, predicted, 5)
    assert counts.tolist() == [[2, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0] * 5, [0, 1, 0, 0, 0], [0] * 5]
    found = metrics.per_class(y, predicted, 5)
    nan = np.nan
    np.testing.assert_allclose(found.precision, [2 / 3, 1 / 3, nan, nan, nan])
    np.testing.assert_allclose(found.recall, [2 / 3, 1 / 2, nan, 0, nan])
    np.testing.assert_allclose(found.f1, [2 / 3, 2 / 5, nan, 0, nan])
    np.testing.assert_array_equal(found.support, [3, 2, 0, 1, 0])
    assert found.mean() == pytest.approx({"precision": 1 / 2, "recall": 7 / 18, "f1": 16 / 45})


@pytest.mark.parametrize("num_classes", [2, 7])
def test_as_scikit_learn_has_it(num_classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    y, predicted = rng.integers(0, num_classes, (2, 300))
    np.testing.assert_array_equal(
        metrics.confusion(y, predicted, num_classes), sklearn.confusion_matrix(y, predicted)
    )
    expected = sklearn.precision_recall_fscore_support(y, predicted)
    for ours, theirs in zip(metrics.per_class(y, predicted, num_classes), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_no_rows():
    empty = np.array([], np.int64)
    found = metrics.per_class(empty, empty, 2)
    assert np.isnan(found.mean()["f1"])
    assert metrics.confusion(empty, empty, 2).tolist() == [[0, 0], [0, 0]]


def test_text_of_few_classes():
    y, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
    names = ("a very long name", "\x1b[31m\ud800")
    table = metrics.per_class_text(metrics.per_class(y, predicted, 2), names)
    assert [line.split() for line in table.splitlines()] == [
        ["precision", "recall", "F1", "rows"],
        ["a", "very", "long", "name", "100.0", "%", "50.0", "%", "66.7", "%", "2"],
        [r"\x1b[31m\ud800", "50.0", "%", "100.0", "%", "66.7", "%", "1"],
        ["mean", "75.0", "%", "75.0", "%", "66.7", "%", "3"],
    ]
    assert len({len(line) for line in table.splitlines()}) == 1
    matrix = metrics.confusion_text(metrics.confusion(y, predicted, 2), names).splitlines()
    assert [line.split()[-2:] for line in matrix[1:]] == [["1", "1"], ["0", "1"]]


def test_text_of_many_classes_is_their_mistakes():
    y = np.array([5, 5, 5, 7, 9])
    predicted = np.array([6, 6, 5, 8, 9])
    names = [f"class {k}" for k in range(30)]
    lines = metrics.confusion_text(metrics.confusion(y, predicted, 30), names).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["class", "5", "class", "6", "2"],
        ["class", "7", "class", "8", "1"],
    ]
