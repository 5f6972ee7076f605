"""The measures of each task, against scikit-learn and by hand: stacks, weights, ties, what is undefined."""

import numpy as np
import pytest

from xpnet.training.measures import MEASURES, MEASURES_OF, measured, regression

RNG = np.random.default_rng(0)
ROWS = 200
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def probabilities(classes, nets=(), digits=2):
    """Few digits, so that many rows have the same."""
    P = RNG.uniform(0.01, 1, (*nets, ROWS, classes)).round(digits)
    return P / P.sum(axis=-1, keepdims=True)


def weights(kind):
    return {
        "none": None,
        "real": RNG.uniform(0.1, 3, ROWS),
        "some nothing": RNG.integers(0, 3, ROWS).astype(float),
    }[kind]


weighted = pytest.mark.parametrize("kind", ["none", "real", "some nothing"])


@weighted
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_classes_as_scikit_learn_has_them(classes, kind):
    sklearn = pytest.importorskip("sklearn.metrics")
    y, P, w = RNG.integers(0, classes, ROWS), probabilities(classes), weights(kind)
    given = {"sample_weight": w}
    expected = {
        "accuracy": sklearn.accuracy_score(y, P.argmax(axis=1), **given),
        "balanced_accuracy": sklearn.balanced_accuracy_score(y, P.argmax(axis=1), **given),
        "log_loss": sklearn.log_loss(y, P, **given),
        "roc_auc": sklearn.roc_auc_score(y, P[:, 1] if classes == 2 else P, multi_class="ovr", **given),
    }
    found = measured("classification", y, P, w)
    assert list(found) == list(MEASURES_OF["classification"])
    assert found == pytest.approx(expected, rel=1e-12)
    assert all(type(value) is float for value in found.values())


@weighted
def test_labels_as_scikit_learn_has_them(kind):
    """One at a time; of the loss the sum, as they are trained by."""
    sklearn = pytest.importorskip("sklearn.metrics")
    y, P, w = RNG.integers(0, 2, (ROWS, 3), np.uint8), RNG.uniform(size=(ROWS, 3)).round(2), weights(kind)
    found, given = measured("multilabel", y, P, w), {"sample_weight": w}
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(y, P > 0.5, **given))
    assert found["roc_auc"] == pytest.approx(sklearn.roc_auc_score(y, P, **given), rel=1e-12)
    each = list(zip(y.T, P.T, strict=True))
    balanced = [sklearn.balanced_accuracy_score(t, p > 0.5, **given) for t, p in each]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(balanced), rel=1e-12)
    losses = [sklearn.log_loss(t, np.stack([1 - p, p], axis=1), **given) for t, p in each]
    assert found["log_loss"] == pytest.approx(np.sum(losses), rel=1e-12)


@weighted
def test_numbers_as_scikit_learn_has_them(kind):
    sklearn = pytest.importorskip("sklearn.metrics")
    y = RNG.normal([1e6, 0, 0], [1, 1e-3, 0], (ROWS, 3))
    P, w = y + RNG.normal(0, [0.5, 1e-4, 1], (ROWS, 3)), weights(kind)
    given = {"sample_weight": w, "multioutput": "raw_values"}
    each = {
        "r2": sklearn.r2_score(y, P, **given),
        "rmse": sklearn.root_mean_squared_error(y, P, **given),
        "mae": sklearn.mean_absolute_error(y, P, **given),
    }
    each["r2"][2] = np.nan  # of what never changes, where scikit-learn has 0
    for found, expected in zip(regression(y, P, w), each.values(), strict=True):
        np.testing.assert_allclose(found, expected, **CLOSE)
    means = {name: float(np.nanmean(values)) for name, values in each.items()}
    assert regression(y, P, w).mean() == pytest.approx(means, rel=1e-12)
    assert measured("regression", y, P, w) == pytest.approx(means, rel=1e-12)


def test_a_probability_in_float32_is_clipped_by_its_own_precision():
    sklearn = pytest.importorskip("sklearn.metrics")
    y, P = np.array([0, 1, 1]), np.array([[1, 0], [1, 0], [1e-9, 1]], np.float32)
    found = measured("classification", y, P)["log_loss"]
    assert found == pytest.approx(sklearn.log_loss(y, P), rel=1e-6)
    assert np.isfinite(found)


@pytest.mark.parametrize("nets", [(), (3,), (2, 3), (1,)])
@pytest.mark.parametrize("task", MEASURES_OF)
def test_a_stack_is_measured_network_by_network(task, nets):
    w = weights("some nothing")
    if task == "classification":
        y, P = RNG.integers(0, 3, ROWS), probabilities(4, nets)
    elif task == "multilabel":
        y, P = RNG.integers(0, 2, (ROWS, 3)), RNG.uniform(size=(*nets, ROWS, 3))
    else:
        y, P = RNG.normal(size=(ROWS, 2)), RNG.normal(size=(*nets, ROWS, 2))
    for name in MEASURES_OF[task]:
        found = MEASURES[name].of(y, P, w)
        assert found.shape == nets
        for net in np.ndindex(nets):
            np.testing.assert_allclose(found[net], MEASURES[name].of(y, P[net], w), **CLOSE)


@pytest.mark.parametrize(
    ("y", "p", "area"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 1.0),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], 0.0),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5),
        ([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.9], 3.5 / 4),
        ([1, 1], [0.1, 0.2], np.nan),
        ([0, 1], [0.1, np.nan], np.nan),
    ],
)
def test_areas_by_hand(y, p, area):
    """Each pair of a row of the class and another one counts 1, or ½ where they are the same."""
    y, p = np.array(y), np.array(p)
    of = MEASURES["roc_auc"].of
    assert of(y, np.stack([1 - p, p], axis=1), None) == pytest.approx(area, nan_ok=True)
    assert of(y[:, None], p[:, None], None) == pytest.approx(area, nan_ok=True)


def test_what_does_not_occur_is_left_out():
    y, P = np.array([0, 0, 2, 2]), np.array([[3, 1, 1], [2, 1, 2], [1, 1, 3], [1, 2, 2]]) / 5
    found = measured("classification", y, P)
    assert found["balanced_accuracy"] == 0.75
    assert found["roc_auc"] == (1 + 7 / 8) / 2  # of classes 0 and 2
    labels, said = np.array([[1, 0, 1], [1, 0, 0]]), np.array([[0.9, 0.9, 0.9], [0.2, 0.1, 0.1]])
    found = measured("multilabel", labels, said)
    assert found["roc_auc"] == 1.0  # of the last, which alone some rows have and others don't
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 0.5 + 1) / 3)


def test_rows_of_one_class_and_of_no_weight():
    y, P = np.zeros(3, np.int64), np.full((3, 2), 0.5)
    assert measured("classification", y, P) == pytest.approx(
        {"accuracy": 1.0, "balanced_accuracy": 1.0, "log_loss": np.log(2), "roc_auc": np.nan}, nan_ok=True
    )
    nothing = measured("classification", y, P, np.zeros(3))
    assert np.isnan(list(nothing.values())).all()
    assert np.isnan(measured("multilabel", y[:, None], P[:, :1], np.zeros(3))["accuracy"])
    assert np.isnan(measured("regression", P, P, np.zeros(3))["rmse"])


def test_a_network_that_knows_one_class_only():
    found = measured("classification", np.zeros(3, np.int64), np.ones((3, 1)))
    assert found == pytest.approx(
        {"accuracy": 1, "balanced_accuracy": 1, "log_loss": 0, "roc_auc": np.nan}, abs=1e-12, nan_ok=True
    )
