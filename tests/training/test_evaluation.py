"""Evaluation: loss and accuracy in parts, probabilities averaged over views and networks."""

import numpy as np
import pytest
from fits import MLP_543, NETS, random_params
from hypothesis import given
from hypothesis import strategies as st

from xpnet.data import augment
from xpnet.device import Device
from xpnet.nn import backprop, losses
from xpnet.nn.mlp import MLP
from xpnet.training import evaluation
from xpnet.training.evaluation import evaluate, hits, probabilities


def unchanged(rows):
    return rows


def itself(rows):
    return [rows]


# Loss and accuracy


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("rows_at_once", [1, 7, 30, 1000])
def test_evaluation_in_parts_is_the_whole(
    device, dtype, put_params, assert_close, monkeypatch, nets, shared, rows_at_once
):
    monkeypatch.setattr(evaluation, "EVALUATION_ROWS", rows_at_once)
    rng = np.random.default_rng(24)
    params, reg = random_params(rng, nets), rng.uniform(0.1, 1, nets)
    X = rng.standard_normal((30, 5) if shared else (*nets, 30, 5))
    y = rng.integers(3, size=(30,) if shared else (*nets, 30))
    loss, accuracy = evaluate(
        device.xp,
        MLP_543,
        put_params(params),
        device.put(X, dtype),
        device.put(y),
        device.put(reg, dtype),
    )
    assert_close(loss, backprop.loss_and_grads(np, MLP_543, params, X, y, reg)[0])
    predicted = backprop.predict(np, MLP_543, params, X)
    assert_close(accuracy, np.mean(predicted == y, axis=-1))


def test_evaluation_without_a_penalty(device, dtype, put_params, assert_close):
    rng = np.random.default_rng(25)
    params, X, y = random_params(rng), rng.standard_normal((9, 5)), rng.integers(3, size=9)
    loss, _ = evaluate(device.xp, MLP_543, put_params(params), device.put(X, dtype), device.put(y))
    assert_close(loss, backprop.loss(np, MLP_543, params, X, y)[0])


@pytest.mark.parametrize("kind", losses.LOSSES)
@pytest.mark.parametrize("rows_at_once", [4, 1000])
def test_evaluation_by_each_loss(monkeypatch, kind, rows_at_once):
    """Without dropout, and with the running statistics of a batch norm."""
    monkeypatch.setattr(evaluation, "EVALUATION_ROWS", rows_at_once)
    rng, mlp = np.random.default_rng(26), MLP((5, 4, 3), norm="batch")
    params, X, y = random_params(rng, (2,), mlp), rng.standard_normal((9, 5)), rng.integers(3, size=9)
    loss, part = evaluate(np, mlp, params, X, y, kind=kind)
    scores = backprop.scores(np, mlp, params, X)
    np.testing.assert_allclose(loss, losses.LOSSES[kind](np, scores, y)[0], rtol=1e-12)
    np.testing.assert_array_equal(part, np.mean(scores.argmax(axis=-1) == y, axis=-1))


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
        return augment.views(device.xp, "flip", rows, shape)

    parts = probabilities(
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
def test_hits_in_parts_of_any_size(rows, rows_at_once, networks):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "EVALUATION_ROWS", rows_at_once)
        rng = np.random.default_rng(28)
        params = random_params(rng, (networks,) if networks else ())
        X, y = rng.standard_normal((rows, 5)), rng.integers(3, size=rows)
        parts = list(probabilities(Device(), MLP_543, params, X, unchanged, itself))
    assert [P.shape[-2] for P in parts] == [
        min(rows_at_once, rows - start) for start in range(0, rows, rows_at_once)
    ]
    right = backprop.predict(np, MLP_543, params, X) == y
    np.testing.assert_array_equal(hits(Device(), parts, y), right.sum(axis=-1))


def test_hits_on_every_device(device, dtype, put_params):
    rng = np.random.default_rng(29)
    params, X, y = random_params(rng, (2,)), rng.standard_normal((30, 5)), rng.integers(3, size=30)
    for labels in (y, device.put(y)):
        parts = probabilities(device, MLP_543, put_params(params), device.put(X, dtype), unchanged, itself)
        expected = (backprop.predict(np, MLP_543, params, X) == y).sum(axis=-1)
        np.testing.assert_array_equal(device.to_host(hits(device, parts, labels)), expected)
