"""How far charts and pictures go."""

import math

import numpy as np
import pytest

from xpnet.reporting.limits import LEAST_R2, best_of, least_score, until


def test_the_best_of_a_line_is_a_number():
    assert best_of([math.nan, -2.0, math.inf, -1.5]) == -1.5
    assert math.isnan(best_of([]))
    assert math.isnan(best_of([math.nan, math.inf]))


@pytest.mark.parametrize(
    ("lines", "least"),
    [
        ([[0.5, -1e9]], LEAST_R2),
        ([[0.0]], LEAST_R2),
        ([[0.5], [-1.25, -1.5]], -3.5),  # the lower of two lines
        ([[-1.25], [math.nan]], -3.5),
        ([], LEAST_R2),
    ],
)
def test_the_best_value_of_each_line_is_above_the_least_score(lines, least):
    assert least_score(lines, "r2") == least
    assert least_score(lines, "accuracy") == 0.0


@pytest.mark.parametrize(
    ("last", "steps", "rates"),
    [
        (10, [1, 6, 10], [1.0, 0.5, 0.5]),
        (6, [1, 6], [1.0, 0.5]),
        (3.5, [1, 3.5], [1.0, 0.75]),
        (99, [1, 6, 11], [1.0, 0.5, 0.5]),  # a schedule that ends before
    ],
)
def test_a_schedule_ends_where_it_was_left(last, steps, rates):
    found = until((np.array([1, 6, 11]), np.array([1.0, 0.5, 0.5])), last)
    assert [part.tolist() for part in found] == [steps, rates]
