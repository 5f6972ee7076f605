"""Evaluation: loss and score in parts, of classes, several labels and numbers."""

import numpy as np
import pytest
from fits import MLP_543, NETS, random_params

from xpnet.nn import backprop, losses
from xpnet.nn.mlp import MLP
from xpnet.training import evaluation
from xpnet.training.evaluation import evaluate

# Loss and score


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


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows_at_once", [4, 1000])
def test_the_score_of_numbers_is_r_squared(
    device, dtype, put_params, assert_close, monkeypatch, nets, weighted, rows_at_once
):
    """By the formula, an output at a time; the third never changes, so it has none."""
    monkeypatch.setattr(evaluation, "EVALUATION_ROWS", rows_at_once)
    rng = np.random.default_rng(30)
    params, X, y = random_params(rng, nets), rng.standard_normal((9, 5)), rng.standard_normal((9, 3))
    y[:, 2] = 1.0
    w = rng.uniform(size=9) if weighted else np.ones(9)
    weight = device.put(w, dtype) if weighted else None
    loss, score = evaluate(
        device.xp,
        MLP_543,
        put_params(params),
        device.put(X, dtype),
        device.put(y, dtype),
        kind="squared-error",
        weight=weight,
    )
    distances = (backprop.scores(np, MLP_543, params, X) - y) ** 2
    mean = (w[:, None] * y).sum(axis=0) / w.sum()
    spread = (w[:, None] * (y - mean) ** 2).sum(axis=0)
    by_output = 1 - (w[:, None] * distances).sum(axis=-2)[..., :2] / spread[:2]
    assert_close(score, by_output.mean(axis=-1), rtol=1e-11 if dtype == "float64" else 1e-4)
    assert_close(loss, (w * distances.sum(axis=-1)).sum(axis=-1) / w.sum() / 2)


@pytest.mark.parametrize(
    ("y", "weight"), [([[2.0]], None), ([[0.1]] * 7, None), ([[0.1], [5.0], [0.1]], [1.0, 0.0, 3.0])]
)
def test_numbers_that_are_all_alike_have_no_r_squared(device, dtype, put_params, y, weight):
    """Of the rows that count; nor does what rounding leaves of their spread make one."""
    rng, mlp = np.random.default_rng(35), MLP((5, 4, 1))
    arrays = device.put(rng.standard_normal((len(y), 5)), dtype), device.put(np.array(y), dtype)
    weight = None if weight is None else device.put(np.array(weight), dtype)
    params = put_params(random_params(rng, (2,), mlp))
    loss, score = evaluate(device.xp, mlp, params, *arrays, kind="squared-error", weight=weight)
    assert np.isnan(device.to_host(score)).all()
    assert np.isfinite(device.to_host(loss)).all()


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_score_of_several_labels_is_that_of_whole_rows(device, dtype, put_params, assert_close, outputs):
    rng, mlp = np.random.default_rng(31), MLP((5, 4, outputs))
    params, X = random_params(rng, (2,), mlp), rng.standard_normal((30, 5))
    Y, w = rng.integers(2, size=(30, outputs)), rng.uniform(size=30)
    _, score = evaluate(
        device.xp,
        mlp,
        put_params(params),
        device.put(X, dtype),
        device.put(Y, dtype),
        kind="logistic",
        weight=device.put(w, dtype),
    )
    right = ((backprop.scores(np, mlp, params, X) > 0) == Y).all(axis=-1)
    assert_close(score, (right * w).sum(axis=-1) / w.sum())


@pytest.mark.parametrize("kind", ["cross-entropy", "logistic", "squared-error"])
def test_rows_that_weigh_nothing_have_no_loss(device, dtype, put_params, assert_close, kind):
    """Not 0 / 0, which would be taken for a loss that overflowed."""
    rng = np.random.default_rng(34)
    params, X = random_params(rng, (2,)), rng.standard_normal((9, 5))
    y = rng.integers(3, size=9) if kind == "cross-entropy" else rng.uniform(size=(9, 3))
    target = device.put(y) if kind == "cross-entropy" else device.put(y, dtype)
    weight = device.put(np.zeros(9), dtype)
    loss, score = evaluate(
        device.xp, MLP_543, put_params(params), device.put(X, dtype), target, kind=kind, weight=weight
    )
    assert_close(loss, np.zeros(2))
    assert np.isnan(device.to_host(score)).all()


def test_each_network_may_have_weights_of_its_own(device, dtype, put_params, assert_close, monkeypatch):
    monkeypatch.setattr(evaluation, "EVALUATION_ROWS", 4)
    rng = np.random.default_rng(35)
    params, X = random_params(rng, (2,)), rng.standard_normal((2, 9, 5))
    y, w = rng.integers(3, size=(2, 9)), rng.uniform(size=(2, 9))
    arrays = (device.put(X, dtype), device.put(y))
    loss, score = evaluate(device.xp, MLP_543, put_params(params), *arrays, weight=device.put(w, dtype))
    for k in range(2):
        of_one = {name: value[k] for name, value in params.items()}
        alone = evaluate(np, MLP_543, of_one, X[k], y[k], weight=w[k])
        assert_close(loss[k], alone[0])
        assert_close(score[k], alone[1])
