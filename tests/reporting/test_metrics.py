"""Confusion matrix, measures of classes, labels and numbers, against their definitions and scikit-learn."""

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
    assert found.mean() == pytest.approx({"precision": 1 / 3, "recall": 7 / 18, "f1": 16 / 45})
    assert found.note() == "the mean counts as 0: precision of classes never predicted (1)"


@pytest.mark.parametrize("of", ["classes", "labels"])
def test_means_count_what_is_never_predicted(of):
    """As scikit-learn's macro average; a class without rows that is predicted is the same for the recall."""
    sklearn = pytest.importorskip("sklearn.metrics")
    y, predicted = np.array([0] * 4 + [1] * 4 + [2] * 2), np.array([0] * 3 + [1] * 5 + [0, 3])
    found = metrics.per_class(y, predicted, 5)
    if of == "labels":
        y, predicted = np.eye(4, dtype=int)[y], np.eye(4, dtype=int)[predicted]
        found = metrics.per_label(y, predicted)
    *expected, _ = sklearn.precision_recall_fscore_support(y, predicted, average="macro", zero_division=0)
    assert list(found.mean().values()) == pytest.approx(expected)
    note = (
        "the mean counts as 0: precision of classes never predicted (1), recall of classes without rows (1)"
    )
    text = metrics.per_class_text(found, [str(k) for k in range(len(found.f1))]).splitlines()
    assert (text[-1], text[-2].split()[0]) == (note, "mean")


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


def test_labels_as_scikit_learn_has_them():
    sklearn = pytest.importorskip("sklearn.metrics")
    y, predicted = np.random.default_rng(0).integers(0, 2, (2, 300, 4), np.uint8)
    expected = sklearn.precision_recall_fscore_support(y, predicted)
    for ours, theirs in zip(metrics.per_label(y, predicted), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)
    nothing = metrics.per_label(np.zeros((3, 1), np.uint8), np.zeros((3, 1), np.int64))
    assert np.isnan([nothing.precision, nothing.recall, nothing.f1]).all()
    assert nothing.support.tolist() == [0]


def test_numbers_as_scikit_learn_has_them():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    y = rng.normal([1e6, 0, -2, 5, 5], [1, 1e-3, 10, 0, 0], (300, 5))
    predicted = y + rng.normal(0, [0.5, 1e-4, 20, 0, 1], (300, 5))
    found = metrics.regression(y, predicted)
    each = {"multioutput": "raw_values"}
    known = sklearn.r2_score(y[:, :3], predicted[:, :3], **each)
    np.testing.assert_allclose(found.r2, [*known, np.nan, np.nan])  # of what never changes there is none
    np.testing.assert_allclose(found.rmse, sklearn.root_mean_squared_error(y, predicted, **each))
    np.testing.assert_allclose(found.mae, sklearn.mean_absolute_error(y, predicted, **each))
    flat = metrics.regression(y[:, :1], predicted[:, 0])
    np.testing.assert_allclose(flat, [values[:1] for values in found], rtol=1e-12)
    assert found.mean()["r2"] == pytest.approx(known.mean())


def test_what_is_undefined_of_numbers_is_a_dash():
    y = np.array([[1.0, 5.0], [3.0, 5.0]])
    lines = metrics.regression_text(metrics.regression(y, y + 1.0), ("a", "b")).splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["0.0000", "–", "0.0000"]
    lines = metrics.regression_text(metrics.regression(y[:1], y[:1] + 1.0), ("a", "b")).splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["–", "–", "–"]


def test_text_of_numbers():
    y = np.array([[0.0, 1e6], [2.0, 3e6]])
    table = metrics.regression_text(metrics.regression(y, y + np.array([1.0, 0.0])), ("height", "\x1b[31m"))
    assert [line.split() for line in table.splitlines()] == [
        ["R²", "RMSE", "MAE"],
        ["height", "0.0000", "1", "1"],
        [r"\x1b[31m", "1.0000", "0", "0"],
        ["mean", "0.5000", "0.5", "0.5"],
    ]


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


def test_long_names_are_shortened():
    y, names = np.array([0, 1]), ("n" * 120, "m")
    lines = metrics.per_class_text(metrics.per_class(y, y, 2), names).splitlines()
    lines += metrics.confusion_text(metrics.confusion(y, y, 2), names).splitlines()
    assert sum("n" * (metrics.LONGEST - 1) + "…" in line for line in lines) == 2
    assert max(map(len, lines)) < 80


def test_text_of_many_classes_is_their_mistakes():
    y = np.array([5, 5, 5, 7, 9])
    predicted = np.array([6, 6, 5, 8, 9])
    names = [f"class {k}" for k in range(30)]
    lines = metrics.confusion_text(metrics.confusion(y, predicted, 30), names).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["class", "5", "class", "6", "2"],
        ["class", "7", "class", "8", "1"],
    ]


@pytest.mark.parametrize(
    ("value", "score", "text", "with_name"),
    [
        (0.98765, "accuracy", "98.77 %", "98.77 %"),
        (0.98765, "r2", "0.9877", "R² 0.9877"),
        (-1.5e26, "r2", "-1.5e+26", "R² -1.5e+26"),
        (np.nan, "accuracy", "–", "–"),
        (0.98765, "balanced_accuracy", "98.77 %", "98.77 %"),
        (123456.789, "rmse", "1.2346e+05", "1.2346e+05"),
        (0.05, "log_loss", "0.0500", "0.0500"),
    ],
)
def test_a_score_in_a_line(value, score, text, with_name):
    assert metrics.shown(value, score) == text
    assert metrics.named(value, score) == with_name


def test_measures_in_a_line():
    line = metrics.measures_text({"balanced_accuracy": 0.5, "log_loss": 0.25, "roc_auc": np.nan})
    assert line == "balanced accuracy: 50.00 %, log loss: 0.2500, ROC AUC: –"
    assert metrics.measures_text({"rmse": 12.5, "mae": 10.0}) == "RMSE: 12.5, MAE: 10"
