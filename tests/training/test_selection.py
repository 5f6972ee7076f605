"""Greedy selection of an ensemble: by hand, by brute force, and what the paper says of it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet.training.measures import log_loss
from xpnet.training.selection import select


def library(models, rows, classes, seed):
    """Return what some models of different worth predict, and what is true."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=rows)
    skill = rng.uniform(0, 2, (models, 1, 1))
    scores = rng.normal(size=(models, rows, classes)) + skill * (np.arange(classes) == y[:, None])
    P = np.exp(scores)
    return P / P.sum(axis=-1, keepdims=True), lambda mean: float(log_loss(y, mean))


def step_by_step(P, loss, k):
    """Return the losses of the best models one after the other, and of what is begun with."""
    order = sorted(range(len(P)), key=lambda m: loss(P[m]))
    return [loss(P[order[:n]].mean(axis=0)) for n in range(1, max(1, k // 2) + 1)]


def test_opposite_errors_even_out():
    truth = np.array([[1.0], [2.0], [3.0]])
    error = np.array([[0.3], [-0.3], [0.3]])
    P = np.stack([truth + 9, truth + error, truth - error])
    chosen = select(P, lambda mean: float(((mean - truth) ** 2).mean()), 2)
    assert sorted(chosen) == [1, 2]


def test_a_model_may_count_twice():
    """Twice as far the one way as the other: two of the nearer make up for one."""
    truth = np.zeros((4, 1))
    P = np.stack([truth + 1, truth - 2])
    chosen = select(P, lambda mean: float((mean**2).mean()), 3)
    assert chosen.tolist() == [0, 1, 0]


def test_no_more_are_taken_than_help():
    truth = np.zeros((4, 1))
    P = np.stack([truth + 3, truth, truth + 1])
    assert select(P, lambda mean: float((mean**2).mean()), 50).tolist() == [1]
    assert select(P[:1], lambda mean: float((mean**2).mean()), 50).tolist() == [0]


@pytest.mark.parametrize("seed", range(6))
def test_each_that_is_added_is_the_best_to_add(seed):
    P, loss = library(5, 40, 3, seed)
    chosen = select(P, loss, 6)
    begun = 1 + int(np.argmin(step_by_step(P, loss, 6)))
    for n in range(begun, len(chosen)):
        every = [loss(P[[*chosen[:n], m]].mean(axis=0)) for m in range(5)]
        assert loss(P[chosen[: n + 1]].mean(axis=0)) == pytest.approx(min(every), rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_of_few_models_it_is_near_the_best_of_all_ensembles(seed):
    """Greedy: no better than trying all of them, and here within a hundredth."""
    P, loss = library(4, 60, 3, seed)
    every = itertools.chain.from_iterable(
        itertools.combinations_with_replacement(range(4), n) for n in range(1, 5)
    )
    best = min(loss(P[list(models)].mean(axis=0)) for models in every)
    found = loss(P[select(P, loss, 4)].mean(axis=0))
    assert best <= found * (1 + 1e-12)
    assert found <= 1.01 * best


@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_loss_never_rises(models, k, seed):
    P, loss = library(models, 25, 3, seed)
    chosen = select(P, loss, k)
    found = loss(P[chosen].mean(axis=0))
    assert 1 <= len(chosen) <= k
    assert found <= min(step_by_step(P, loss, min(k, models))) * (1 + 1e-12)
    assert found <= min(map(loss, P)) * (1 + 1e-12)


def test_of_equals_the_first():
    P, loss = library(1, 30, 3, 0)
    assert select(np.concatenate([P] * 4), loss, 8).tolist() == [0]


def test_what_has_no_loss_is_left_out():
    P, loss = library(3, 30, 3, 1)
    P[int(np.argmin([loss(p) for p in P]))] = np.nan
    known = np.flatnonzero(np.isfinite(P).all(axis=(1, 2)))
    assert set(select(P, loss, 5)) <= set(known)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_not_written_to(dtype):
    P, loss = library(3, 30, 3, 1)
    P = P.astype(dtype)
    before = P.copy()
    select(P, loss, 4)
    np.testing.assert_array_equal(P, before)
