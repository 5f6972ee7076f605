"""What is said of data that are out of scale."""

import numpy as np
import pytest

from xpnet.data.feed import Feed
from xpnet.training.out_of_scale import find

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((50, 3)), RNG.standard_normal((50, 2))


@pytest.mark.parametrize(
    ("X", "y", "what", "figures"),
    [
        (X, Y, None, ""),
        (50 * X, 50 * Y, None, ""),
        (1e-9 * X, 1e-9 * Y, None, ""),
        (1e4 * X, 1e4 * Y[:, :1] + 3e5, "y", "y has a mean of 2.9"),
        (X, Y * [1, 1e3], "y", "column 1 of y has a mean of "),
        (X * [1, 1, 1e150], Y, "X", "feature 2 of X has a mean of "),
        (1e4 * X[:, :1], np.full(50, 500), "X", "X has a mean of "),  # classes have no scale
    ],
)
def test_targets_before_rows_and_the_farthest_of_them(device, X, y, what, figures):
    if device.name == "no_float64":
        pytest.skip("float32 holds no such numbers")
    found = find(device, Feed(device.put(X, "float64"), device.put(y)))
    assert (found and found.what) == what
    if found is not None:
        assert found.figures.startswith(figures)
        column = {"y": y if y.ndim > 1 else y[:, None], "X": X}[what]
        worst = column[:, int(np.abs(column).max(axis=0).argmax())]
        assert found.figures.endswith(f"a mean of {worst.mean():.3g} and a deviation of {worst.std():.3g}")
