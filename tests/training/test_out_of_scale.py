"""What is said of data that are out of scale."""

import numpy as np
import pytest

from xpnet.data.feed import Feed
from xpnet.device import get_device
from xpnet.nn.mlp import MLP
from xpnet.training.out_of_scale import find, find_if_useless

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


@pytest.mark.parametrize(
    ("X", "y", "figures"),
    [
        (X, Y, ""),
        (1e-5 * X, Y, "the features of X have deviations of at most 1."),
        (1e-5 * X[:, :1], Y, "X has a deviation of "),
        (X, 1e-4 * Y[:, 0:1], "y has a deviation of 0.000"),
        (1e-5 * X + [0, 0, 1], np.zeros((50, 1)), "the features of X have deviations of at most "),
        (X * [1, 1e-5, 1e-5], Y, ""),  # others are there to learn from
        (np.ones((50, 2)), Y, ""),
    ],
)
def test_what_is_tiny_is_out_of_scale_where_it_is_asked_for(X, y, figures):
    device = get_device("cpu")
    assert find(device, Feed(X, y)) is None
    found = find(device, Feed(X, y), tiny=True)
    assert found.figures.startswith(figures) if figures else found is None


def linear(weights, bias=0.0):
    """A network without hidden layers."""
    weights = np.asarray(weights, float).reshape(3, -1)
    return MLP((3, weights.shape[1])), {"W1": weights, "b1": np.full(weights.shape[1], bias)}


@pytest.mark.parametrize("weight", [None, np.linspace(0, 2, 50)])
def test_only_a_network_no_better_than_a_constant_is_useless(weight):
    device, big = get_device("cpu"), 1e3 * X[:, :1] + 5e3
    feed = Feed(X, big, weight=weight)
    assert find_if_useless(device, *linear([0, 0, 0]), feed, "squared-error").what == "y"
    assert find_if_useless(device, *linear([0, 0, 0], 5e3), feed, "squared-error").what == "y"
    assert find_if_useless(device, *linear([1e3, 0, 0], 5e3), feed, "squared-error") is None
    assert find_if_useless(device, *linear([0, 0, 0]), Feed(X, Y[:, :1]), "squared-error") is None
    assert find_if_useless(device, *linear([0, 0, 0]), Feed(X, big * 0 + 500), "squared-error") is None


@pytest.mark.parametrize("loss", ["logistic", "cross-entropy"])
def test_classes_have_their_shares_for_a_constant(loss):
    device, rare = get_device("cpu"), (X[:, 0] > 1).astype(int)
    columns = [[0, 0, 0]] if loss == "logistic" else [[0, 0], [0, 0], [0, 0]]
    mlp, params = linear(columns)
    y = rare[:, None].astype(float) if loss == "logistic" else rare
    share = np.log(rare.mean() / (1 - rare.mean()))
    for large in (False, True):
        if large:  # the weights that tell them apart
            params["W1"][0, -1], share = 1e7, -10.0
        params["b1"] = np.array([share] if loss == "logistic" else [0, share])
        found = find_if_useless(device, mlp, params, Feed(1e-6 * X, y), loss)
        assert (found is None) == large
