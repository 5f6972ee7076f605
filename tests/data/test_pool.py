"""The rows of several feeds as one: what several have is there once, and each network finds its own."""

from dataclasses import replace

import numpy as np
import pytest

from xpnet.data.feed import Feed
from xpnet.data.host_rows import HostRows
from xpnet.data.pool import pool
from xpnet.device import Device


def test_the_rows_of_several_are_a_pool(device, dtype, assert_close):
    xp, rng = device.xp, np.random.default_rng(0)
    feeds = [
        Feed(device.put(rng.standard_normal((4, 3)), dtype), device.put(rng.integers(3, size=4)))
        for _ in range(3)
    ]
    bags = replace(feeds[2], own=device.put(np.array([[0, 0, 1, 1], [3, 3, 3, 3]])))
    together = pool(xp, [feeds[0], feeds[1], feeds[0], bags], [1, 2, 1, 2])
    assert together.X.shape == (12, 3)  # what two have is there once
    assert together.own.shape == (6, 4)
    for network, (feed, place) in enumerate(
        [(feeds[0], 0), (feeds[1], 0), (feeds[1], 0), (feeds[0], 0), (bags, 0), (bags, 1)]
    ):
        found, expected = together.of(xp, network), feed.of(xp, place)
        assert_close(found.X, device.to_host(expected.X))
        np.testing.assert_array_equal(device.to_host(found.y), device.to_host(expected.y))
    assert pool(xp, [feeds[0]], [1]) is feeds[0]


def test_rows_that_differ_in_their_weights_are_not_the_same():
    X, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])
    feeds = [Feed(X, y, weight=np.full(3, weight)) for weight in (1.0, 2.0)]
    together = pool(np, feeds, [1, 1])
    np.testing.assert_array_equal(together.of(np, 1).weight, [2.0, 2.0, 2.0])


def test_sparse_rows_are_pooled_on_the_host():
    sparse = pytest.importorskip("scipy.sparse")
    device, y = Device(), np.array([0, 1])
    rows = [np.array([[1.0, 0], [0, 2]]), np.array([[3.0, 0], [0, 4]])]
    feeds = [Feed(HostRows(sparse.csr_matrix(one), device, "float64"), y) for one in rows]
    together = pool(np, feeds, [1, 1])
    np.testing.assert_array_equal(together.of(np, 1).batch(np, np.array([1, 0]))[0], [[0, 4], [3, 0]])
