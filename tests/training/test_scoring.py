"""What networks predict, averaged over views and networks, and the score of it."""

import numpy as np
import pytest
from fits import MLP_543, NETS, random_params
from hypothesis import given
from hypothesis import strategies as st

from xpnet.data.views import views
from xpnet.device import Device
from xpnet.nn import backprop
from xpnet.nn.mlp import MLP
from xpnet.training import evaluation
from xpnet.training.scoring import predictions, score


def unchanged(rows):
    return rows


def itself(rows):
    return [rows]


# Probabilities


def softmax(scores):
    P = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return P / P.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("on_device", [True, False])
@pytest.mark.parametrize("rows_at_once", [7, 1000])
def test_probabilities_are_averaged_over_views(
    device, dtype, put_params, assert_close, monkeypatch, nets, on_device, rows_at_once
):
    """By hand: the mean of the softmax, not of the scores; rows are prepared after the view is made."""
    monkeypatch.setattr(evaluation, "EVALUATION_ROWS", rows_at_once)
    rng, shape = np.random.default_rng(27), (3, 2, 1)
    params = random_params(rng, nets, MLP((6, 4, 3)))
    X = rng.integers(0, 256, (17, 6), dtype=np.uint8)
    mean = device.put(np.full(6, 100.0), dtype)

    def prepare(rows):
        assert "uint8" in str(rows.dtype)
        return (device.xp.astype(rows, mean.dtype) - mean) / 50.0

    def of_views(rows):
        return views(device.xp, "flip", rows, shape)

    parts = predictions(
        device, MLP((6, 4, 3)), put_params(params), device.put(X) if on_device else X, prepare, of_views
    )
    mirrored = X.reshape(17, 3, 2)[:, :, ::-1].reshape(17, 6)
    expected = [
        softmax(backprop.scores(np, MLP((6, 4, 3)), params, (view - 100.0) / 50)) for view in (X, mirrored)
    ]
    together = device.xp.concat(list(parts), axis=-2)
    assert_close(together, (expected[0] + expected[1]) / 2)
    assert not np.allclose(expected[0], expected[1], atol=0.01)


@given(rows=st.integers(1, 40), rows_at_once=st.integers(1, 41), networks=st.integers(0, 3))
def test_scores_in_parts_of_any_size(rows, rows_at_once, networks):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "EVALUATION_ROWS", rows_at_once)
        rng = np.random.default_rng(28)
        params = random_params(rng, (networks,) if networks else ())
        X, y = rng.standard_normal((rows, 5)), rng.integers(3, size=rows)
        parts = list(predictions(Device(), MLP_543, params, X, unchanged, itself))
    assert [P.shape[-2] for P in parts] == [
        min(rows_at_once, rows - start) for start in range(0, rows, rows_at_once)
    ]
    right = backprop.predict(np, MLP_543, params, X) == y
    np.testing.assert_array_equal(score(Device(), parts, y), right.mean(axis=-1))


def test_scores_on_every_device(device, dtype, put_params):
    rng = np.random.default_rng(29)
    params, X, y = random_params(rng, (2,)), rng.standard_normal((30, 5)), rng.integers(3, size=30)
    for labels in (y, device.put(y)):
        parts = predictions(device, MLP_543, put_params(params), device.put(X, dtype), unchanged, itself)
        expected = (backprop.predict(np, MLP_543, params, X) == y).mean(axis=-1)
        np.testing.assert_array_equal(score(device, parts, labels), expected)


@pytest.mark.parametrize("outputs", [1, 2])
def test_scores_of_numbers_keep_the_digits_of_float64(device, dtype, put_params, outputs):
    rng, mlp = np.random.default_rng(32), MLP((5, 4, outputs))
    params, X = random_params(rng, (2,), mlp), rng.standard_normal((30, 5))
    y = 1e6 + rng.standard_normal((30, outputs))
    found = list(
        predictions(device, mlp, put_params(params), device.put(X, dtype), unchanged, itself, "identity")
    )
    predicted = np.concatenate([device.to_host(part) for part in found], axis=-2).astype(np.float64)
    spread = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    expected = (1 - ((predicted - y) ** 2).sum(axis=-2) / spread).mean(axis=-1)
    np.testing.assert_allclose(score(device, found, y, "identity"), expected, rtol=1e-12)


def test_scores_of_labels():
    P = np.array([[0.9, 0.2], [0.6, 0.7], [0.1, 0.4]])
    assert score(Device(), [P[:1], P[1:]], np.array([[1, 0], [1, 0], [0, 0]]), "logistic") == 2 / 3
    of_two_classes = [P[:1, :1], P[1:, :1]]
    assert score(Device(), of_two_classes, np.array([1, 0, 0]), "logistic") == 2 / 3


@pytest.mark.parametrize("output", ["softmax", "logistic", "identity"])
def test_a_row_of_weight_two_counts_as_two(device, dtype, put_params, output):
    rng, mlp = np.random.default_rng(33), MLP((5, 4, 3))
    params, X = random_params(rng, (2,), mlp), rng.standard_normal((30, 5))
    y = {
        "softmax": rng.integers(3, size=30),
        "logistic": rng.integers(2, size=(30, 3)),
        "identity": rng.standard_normal((30, 3)),
    }[output]
    weight = rng.integers(0, 3, size=30)

    def found(rows, weight=None):
        parts = predictions(
            device, mlp, put_params(params), device.put(X[rows], dtype), unchanged, itself, output
        )
        return score(device, parts, y[rows], output, weight)

    np.testing.assert_allclose(
        found(slice(None), weight.astype(float)), found(np.arange(30).repeat(weight)), rtol=1e-6
    )
