"""From rows in memory to a batch: gathered, augmented, prepared, mixed."""

from dataclasses import replace

import numpy as np
import pytest
from fits import HERE, IMAGES, NETS, image_feed, some_images
from hypothesis import given
from hypothesis import strategies as st
from memory import memory_of

from xpnet.data import transforms
from xpnet.data.augment import Augmentation, augment
from xpnet.data.feed import Feed, mix
from xpnet.data.host_rows import HostRows
from xpnet.data.preprocessing import Preprocessing
from xpnet.datasets import Dataset
from xpnet.device import Device
from xpnet.runs.config import Config
from xpnet.runs.preparation import prepare

HOWS = [
    Preprocessing("none"),
    Preprocessing("standardize"),
    Preprocessing("pca", 4),
    Preprocessing("zca", contrast=True),
]


@pytest.mark.parametrize("nets", NETS)
def test_a_batch_is_the_rows_of_its_index(device, dtype, assert_close, nets):
    rng = np.random.default_rng(0)
    X, y, index = rng.standard_normal((30, 5)), rng.integers(3, size=30), rng.integers(30, size=(*nets, 6))
    feed = Feed(device.put(X, dtype), device.put(y))
    for x, labels in (feed.batch(device.xp, device.put(index)), feed.rows(device.xp, device.put(index))):
        assert_close(x, X[index])
        np.testing.assert_array_equal(device.to_host(labels), y[index])


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_rows_prepared_batch_by_batch_are_those_prepared_at_once(device, dtype, assert_close, how):
    X, y = some_images()
    fitted = transforms.fit(how, X, device, dtype)
    on_device = {name: device.put(value, dtype) for name, value in fitted.items()}

    def prepared(rows):
        return transforms.apply(device.xp, how, on_device, rows)

    raw = Feed(device.put(X), device.put(y), prepared)
    at_once = Feed(transforms.apply_all(device, how, fitted, X, dtype), device.put(y))
    index = device.put(np.random.default_rng(1).integers(30, size=(3, 6)))
    expected, _ = at_once.batch(device.xp, index)
    # At once and a few rows at a time are other products, so up to rounding.
    for x, _ in (raw.batch(device.xp, index), raw.rows(device.xp, index)):
        assert_close(x, device.to_host(expected), {"float32": 1e-5, "float64": 1e-12}[dtype])


EVERY = Augmentation(flip=True, shift=1, rotation=30.0, cutout=2)


@pytest.mark.parametrize(("nets", "shared"), [((), True), ((3,), True), ((3,), False), ((2, 3), False)])
def test_a_batch_is_augmented_and_then_prepared(device, nets, shared):
    feed = image_feed(device, "float64" if device.name != "no_float64" else "float32", EVERY)
    X, _ = some_images()
    rng = np.random.default_rng(2)
    index = rng.integers(30, size=(6,) if shared else (*nets, 6))
    key = rng.integers(-(2**31), 2**31, () if shared else nets, dtype=np.int32)
    x, _ = feed.batch(device.xp, device.put(index), device.put(key))
    changed = augment(np, EVERY, X[index], IMAGES, key, np.full(6, 100, np.uint8))
    np.testing.assert_allclose(device.to_host(x), (changed - 128.0) / 64, rtol=1e-6)
    assert not np.array_equal(changed, X[index])


def test_rows_to_evaluate_are_never_augmented(device):
    feed = image_feed(device, "float32", EVERY)
    X, _ = some_images()
    x, _ = feed.rows(device.xp, device.put(np.arange(30)))
    np.testing.assert_array_equal(device.to_host(x), (X.astype(np.float32) - 128) / 64)


def test_raw_rows_are_left_alone():
    feed = image_feed(HERE, "float64", EVERY)
    X, _ = some_images()
    for array in (feed.X, feed.y, feed.fill):
        array.flags.writeable = False
    feed.batch(np, np.arange(9), np.asarray(5, np.int32))
    feed.rows(np, np.arange(9))
    np.testing.assert_array_equal(feed.X, X)


def images(rows, side=32):
    """Return a data set of images of bytes; most rows are for training."""
    rng = np.random.default_rng(3)
    X = rng.integers(0, 256, (rows, side * side * 3), dtype=np.uint8)
    y = rng.integers(10, size=rows)
    splits = X[40:], y[40:], X[:20], y[:20], X[20:40], y[20:40]
    return Dataset("images", *splits, tuple(map(str, range(10))), (side, side, 3))


@pytest.mark.parametrize("preprocess", ["mean", "standardize", "pca"])
def test_images_to_augment_stay_bytes_in_memory(preprocess):
    """Beside the data only a few batches: the rows as floats would take four times as much."""
    side = 16
    data = images(4000, side)
    changes = {"components": 20, "fit_rows": 300} if preprocess == "pca" else {}
    config = Config(preprocess=preprocess, flip=True, shift=4, cutout=8, batch_size=20, **changes)
    fit = memory_of(lambda: prepare(config, data, HERE))
    prepared = prepare(config, data, HERE)

    def batch(start=0):
        return prepared.feed.batch(np, np.arange(start, start + 20), np.asarray(start, np.int32))[0]

    batches = memory_of(lambda: [batch(start).dtype for start in range(0, 100, 20)])
    assert prepared.feed.X.dtype == np.uint8
    assert np.shares_memory(prepared.feed.X, data.X_train)  # nothing to put on a CPU
    raw, floats = data.X_train.nbytes, 20 * side * side * 3 * 8
    assert batch().dtype == np.float32
    assert fit.kept < 0.1 * raw
    assert batches.peak < 12 * floats < 0.5 * raw
    # The fit converts a part at a time; standardised rows are kept as floats where they are few.
    assert fit.peak < {"mean": 1, "standardize": 9, "pca": 9}[preprocess] * raw


class KeepsRaw(Device):
    """As a GPU that gathers and prepares each batch."""

    keeps_raw = True


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("contrast", [False, True])
@pytest.mark.parametrize("preprocess", ["none", "mean", "standardize"])
def test_bytes_are_prepared_batch_by_batch_where_a_device_likes_that_better(preprocess, contrast, dtype):
    data, device = images(60), KeepsRaw()
    config = Config(preprocess=preprocess, contrast=contrast, dtype=dtype, batch_size=10)
    raw, at_once = prepare(config, data, device), prepare(config, data, HERE)
    assert np.shares_memory(raw.feed.X, data.X_train)
    assert at_once.feed.X.dtype == dtype
    index = np.array([3, 0, 3])
    for x, y in (raw.feed.batch(np, index), raw.feed.rows(np, index)):
        assert x.dtype == dtype
        np.testing.assert_array_equal(x, at_once.feed.X[index])
        np.testing.assert_array_equal(y, data.y_train[index])
    np.testing.assert_array_equal(raw.validation.X, at_once.validation.X)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("uint8", {"preprocess": "pca", "components": 5}),  # a product in each step
        ("uint8", {"preprocess": "zca"}),
        ("float32", {}),
        ("int64", {}),  # larger than floats
    ],
)
def test_other_rows_are_prepared_once_there_too(kind, changes):
    data = images(90, side=4)
    data = replace(data, X_train=data.X_train.astype(kind))
    feed = prepare(Config(batch_size=10, **changes), data, KeepsRaw()).feed
    assert feed.prepare is None
    assert feed.X.dtype == np.float32


# MixUp


@given(
    nets=st.sampled_from(NETS),
    batch=st.integers(1, 7),
    share=st.floats(0, 1),
    shared_rows=st.booleans(),
)
def test_rows_are_mixed_with_those_as_far_from_the_end(nets, batch, share, shared_rows):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((batch, 5) if shared_rows else (*nets, batch, 5))
    Y = rng.dirichlet(np.ones(3), (*nets, batch))
    shares = np.full(() if shared_rows else nets, share)
    mixed_x, mixed_Y = mix(np, x, Y, shares)
    for i in range(batch):
        for mixed, a in ((mixed_x, x), (mixed_Y, Y)):
            expected = share * a[..., i, :] + (1 - share) * a[..., batch - 1 - i, :]
            np.testing.assert_allclose(mixed[..., i, :], expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(mixed_Y.sum(axis=-1), 1.0, rtol=1e-12)


def test_mixing_on_every_device(device, dtype, assert_close):
    rng = np.random.default_rng(5)
    x, Y, share = rng.standard_normal((3, 4, 5)), rng.dirichlet(np.ones(3), (3, 4)), np.array([0.0, 0.3, 1.0])
    mixed = mix(device.xp, *(device.put(a, dtype) for a in (x, Y, share)))
    for actual, expected in zip(mixed, mix(np, x, Y, share), strict=True):
        assert_close(actual, expected)
    np.testing.assert_array_equal(device.to_host(mixed[0])[2], x[2].astype(dtype))


# Rows of other kinds


class Sparse:
    """A sparse matrix as far as `HostRows` knows one."""

    def __init__(self, rows):
        self.rows, self.shape = rows, rows.shape

    def __getitem__(self, index):
        assert isinstance(index, np.ndarray)
        return Sparse(self.rows[index])

    def toarray(self):
        return self.rows


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("kind", [np.asarray, Sparse])
def test_rows_of_the_host_come_dense_in_the_batch(device, dtype, assert_close, nets, kind):
    rng = np.random.default_rng(6)
    X, y, index = rng.standard_normal((30, 5)), rng.integers(3, size=30), rng.integers(30, size=(*nets, 6))
    feed = Feed(HostRows(kind(X), device, dtype), device.put(y))
    assert feed.X.shape == (30, 5)
    for x, labels in (feed.batch(device.xp, device.put(index)), feed.rows(device.xp, device.put(index))):
        assert_close(x, X[index])
        np.testing.assert_array_equal(device.to_host(labels), y[index])


@pytest.mark.parametrize("nets", NETS)
def test_targets_and_weights_of_the_rows_of_an_index(device, dtype, assert_close, nets):
    rng = np.random.default_rng(7)
    X, T, weight = rng.standard_normal((30, 5)), rng.standard_normal((30, 2)), rng.uniform(size=30)
    index = rng.integers(30, size=(*nets, 6))
    feed = Feed(device.put(X, dtype), device.put(T, dtype), weight=device.put(weight, dtype))
    assert_close(feed.batch(device.xp, device.put(index))[1], T[index])
    assert_close(feed.weights(device.xp, device.put(index)), weight[index])
    assert Feed(feed.X, feed.y).weights(device.xp, device.put(index)) is None


# Rows of one's own


def test_networks_with_rows_of_their_own(device, dtype, assert_close):
    xp, rng = device.xp, np.random.default_rng(0)
    X, y, weight = rng.standard_normal((12, 4)), rng.integers(3, size=12), rng.random(12)
    own = np.array([[0, 2, 4, 6], [5, 5, 11, 3]])
    feed = Feed(device.put(X, dtype), device.put(y), weight=device.put(weight, dtype), own=device.put(own))
    assert feed.num_rows == 4
    drawn = rng.integers(4, size=(6, 3))
    index = device.to_host(feed.index(xp, device.put(drawn)))
    np.testing.assert_array_equal(index, np.stack([own[0][drawn], own[1][drawn]], axis=1))
    apart = rng.integers(4, size=(6, 2, 3))
    index = device.to_host(feed.index(xp, device.put(apart)))
    np.testing.assert_array_equal(index, np.stack([own[k][apart[:, k]] for k in range(2)], axis=1))
    alone = feed.of(xp, 1)
    assert alone.own is None
    assert_close(alone.X, X[own[1]])
    assert_close(alone.weight, weight[own[1]])
    np.testing.assert_array_equal(device.to_host(alone.y), y[own[1]])
    np.testing.assert_array_equal(device.to_host(feed.some(xp, device.put(np.array([1]))).own), own[1:])
