"""Intervals about predicted numbers: by hand, and whether they hold as many targets as they say."""

import numpy as np
import pytest

from xpnet.errors import InputError
from xpnet.training.intervals import MOST_RATIOS, Calibration, calibrate, interval, spread_of


def test_by_hand():
    y, mean, spread = np.zeros((4, 1)), np.array([[1.0], [-2.0], [3.0], [0.0]]), np.zeros((4, 1))
    found = calibrate(y, mean, spread)
    s = np.sqrt(14 / 4)
    np.testing.assert_allclose(found.noise, [s])
    np.testing.assert_allclose(found.ratio[:, 0], np.array([0, 1, 2, 3]) / s)
    # Of four rows the largest error holds four fifths of those to come.
    ends = interval(found, np.array([[10.0]]), np.array([[0.0]]), 0.8)
    np.testing.assert_allclose(ends, [[[7.0, 13.0]]])
    ends = interval(found, np.array([[10.0]]), np.array([[s]]), 0.5)
    np.testing.assert_allclose(ends, [[[10 - 2 * np.sqrt(2), 10 + 2 * np.sqrt(2)]]])


def test_spread():
    members = np.array([[[1.0]], [[3.0]]])
    assert spread_of(members).tolist() == [[np.sqrt(2)]]
    assert spread_of(members[:1]).tolist() == [[0.0]]


@pytest.mark.parametrize("rows", [20, 200, 3000])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_intervals_hold_what_they_say(rows, coverage):
    """On average over data sets: with noise that is not normal, of two outputs, which the spread tells of."""
    rng, held = np.random.default_rng(0), []
    for _ in range(4000 // min(rows, 400)):
        spread = rng.uniform(0.5, 2, (rows + 500, 2))
        mean = rng.normal(size=(rows + 500, 2))
        y = mean + spread * rng.standard_t(3, (rows + 500, 2)) * [1.0, 1e3]
        found = calibrate(y[:rows], mean[:rows], spread[:rows])
        ends = interval(found, mean[rows:], spread[rows:], coverage)
        assert ends.shape == (500, 2, 2)
        held.append(((ends[..., 0] <= y[rows:]) & (y[rows:] <= ends[..., 1])).mean(axis=0))
    found = np.mean(held, axis=0)
    assert (found > coverage - 0.02).all()
    assert (found < coverage + 1 / rows + 0.03).all()


def test_many_rows_leave_few_numbers():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50_000, 1))
    found = calibrate(y, np.zeros_like(y), np.zeros_like(y))
    assert found.ratio.shape == (MOST_RATIOS, 1)
    assert np.all(np.diff(found.ratio[:, 0]) >= 0)
    ends = interval(found, np.zeros((1, 1)), np.zeros((1, 1)), 0.95)
    np.testing.assert_allclose(ends, [[[-1.96, 1.96]]], atol=0.03)


def test_rows_of_twice_the_weight_are_two_and_of_none_are_none():
    rng = np.random.default_rng(0)
    y, mean = rng.normal(size=(2, 60, 1))
    spread = rng.uniform(size=(60, 1))
    w = np.repeat([0.0, 1.0], 30)
    light, without = calibrate(y, mean, spread, w), calibrate(y[30:], mean[30:], spread[30:])
    for ours, theirs in zip(light, without, strict=True):
        np.testing.assert_allclose(ours, theirs)
    for ours, theirs in zip(
        calibrate(y, mean, spread, np.full(60, 7.0)), calibrate(y, mean, spread), strict=True
    ):
        np.testing.assert_allclose(ours, theirs)
    heavy = calibrate(y, mean, spread, 1.0 + np.arange(60) % 2)
    twice = calibrate(*(np.repeat(a, 1 + np.arange(60) % 2, axis=0) for a in (y, mean, spread)))
    np.testing.assert_allclose(heavy.noise, twice.noise)
    np.testing.assert_allclose(np.median(heavy.ratio), np.median(twice.ratio), rtol=0.1)


def test_predictions_that_are_exact_leave_no_width():
    y = np.arange(5.0)[:, None]
    found = calibrate(y, y, np.zeros_like(y))
    assert interval(found, y, np.zeros_like(y), 0.5).tolist() == [[[v, v]] for v in range(5)]


@pytest.mark.parametrize("coverage", [0, 1, 0.0, 1.0, -0.5, 90, True, "0.9", None, float("nan")])
def test_what_is_no_coverage(coverage):
    found = Calibration(np.ones(1), np.ones((9, 1)))
    with pytest.raises(
        InputError, match=r"^coverage must be a number between 0 and 1, not .*: give 0\.9, for example$"
    ):
        interval(found, np.zeros((1, 1)), np.zeros((1, 1)), coverage)


def test_too_few_rows_for_a_coverage():
    found = Calibration(np.ones(1), np.ones((9, 1)))
    assert interval(found, np.zeros((1, 1)), np.zeros((1, 1)), np.float32(0.5)).shape == (1, 1, 2)
    interval(found, np.zeros((1, 1)), np.zeros((1, 1)), 0.9)
    with pytest.raises(InputError, match=r"coverage 0\.91 needs more validation rows: give 0\.9 or"):
        interval(found, np.zeros((1, 1)), np.zeros((1, 1)), 0.91)
