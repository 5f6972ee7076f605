"""Preprocessing: fitted on the training rows on the host, applied on any device."""

import numpy as np
import pytest

from xpnet import transforms
from xpnet.device import dtype_name


def test_mean_of_the_rows():
    mean = transforms.fit_mean(np.array([[1, 2, 3], [3, 6, 9]]))
    np.testing.assert_array_equal(mean, [2.0, 4.0, 6.0])
    assert mean.dtype == np.float64


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_mean_is_summed_in_float64(dtype):
    """In each of these dtypes the running sum would overflow or stop growing."""
    X = np.full((70_000, 2), [255, 1], dtype)
    np.testing.assert_array_equal(transforms.fit_mean(X), [255.0, 1.0])
    X = np.where(np.arange(50_000)[:, None] % 2, [1, 200], [2, 100]).astype(dtype)
    np.testing.assert_array_equal(transforms.fit_mean(X), [1.5, 150.0])


@pytest.mark.parametrize("given", ["uint8", "int64", "float32", "float64"])
def test_subtracting_the_mean(device, dtype, assert_close, given):
    """The result has the dtype of the mean; a pixel below the mean comes out negative."""
    if dtype == "float32" and given == "float64":
        given = "float32"  # one device has no float64
    X = np.array([[0, 200], [4, 100], [255, 0]], given)
    rows, mean = device.put(X), device.put(np.array([4.5, 100.0]), dtype)
    assert_close(
        transforms.subtract_mean(device.xp, rows, mean),
        [[-4.5, 100.0], [-0.5, 0.0], [250.5, -100.0]],
    )
    np.testing.assert_array_equal(device.to_host(rows), X)
    assert dtype_name(rows) == given
    np.testing.assert_array_equal(device.to_host(mean), [4.5, 100.0])


def test_rows_that_have_the_dtype_already_are_left_alone():
    X = np.ones((3, 2))
    centred = transforms.subtract_mean(np, X, np.ones(2))
    assert not np.shares_memory(X, centred)
    np.testing.assert_array_equal(X, 1.0)
    np.testing.assert_array_equal(centred, 0.0)


def test_centred_rows_have_mean_zero():
    X = np.random.default_rng(0).integers(256, size=(500, 7)).astype(np.uint8)
    centred = transforms.subtract_mean(np, X, transforms.fit_mean(X))
    np.testing.assert_allclose(centred.mean(axis=0), 0.0, atol=1e-12)
