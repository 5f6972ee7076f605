"""Learning rates, their values written out."""

import numpy as np
import pytest

from xpnet import schedules


@pytest.mark.parametrize(("epoch", "rate"), [(0, 0.8), (1, 0.4), (2, 0.2), (3, 0.1), (10, 0.00078125)])
def test_exponential(epoch, rate):
    assert schedules.exponential(epoch, 0.8, 0.5) == rate


def test_a_decay_of_one_keeps_the_rate():
    assert schedules.exponential(1000, 0.3, 1) == 0.3


def test_a_rate_and_a_decay_for_each_network():
    rate = schedules.exponential(2, [[1.0], [10.0]], [1.0, 0.5, 0.1])
    np.testing.assert_allclose(rate, [[1.0, 0.25, 0.01], [10.0, 2.5, 0.1]], rtol=1e-15)


def test_computed_in_float64_whatever_comes_in():
    rate = schedules.exponential(3, np.float32(0.5), np.array([1, 0], np.int8))
    assert rate.dtype == np.float64
    np.testing.assert_array_equal(rate, [0.5, 0.0])


def test_arguments_are_left_alone():
    rate, decay = np.array([1.0, 2.0]), np.array([0.5, 0.5])
    rate.flags.writeable = decay.flags.writeable = False
    schedules.exponential(4, rate, decay)
    np.testing.assert_array_equal(rate, [1.0, 2.0])


def test_the_same_as_multiplying_epoch_by_epoch():
    """As the original class does: equal up to rounding."""
    rate = 1.6e-3
    for epoch in range(200):
        assert schedules.exponential(epoch, 1.6e-3, 0.9) == pytest.approx(rate, rel=1e-13)
        rate *= 0.9
