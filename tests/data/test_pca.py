"""Moments and principal components, chunk by chunk, against NumPy on all rows in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.data import pca
from xpnet.device import Device, dtype_name


def decaying(num_rows, num_features, seed=0):
    """Rows whose variances fall off like those of images, in directions that are no axes."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((num_features, num_features)))
    return rng.standard_normal((num_rows, num_features)) / np.arange(1, num_features + 1) @ turn


def chunks_of(device, dtype, X, size=37):
    """The rows on the device, anew at each call, free to be overwritten."""
    xp = device.xp

    def chunks():
        for start in range(0, len(X), size):
            yield xp.asarray(device.put(X[start : start + size], dtype), copy=True)

    return chunks


def standardized(device, dtype, X):
    """The rows for analysis, and as NumPy would have them."""
    centred, deviation = X - X.mean(axis=0), X.std(axis=0)
    scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0)
    of_device = device.put(scale, dtype)
    rows = pca.Standardized(device.xp, chunks_of(device, dtype, centred), len(X), of_device, of_device.dtype)
    return rows, centred * scale


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 11), st.integers(0, 2**32 - 1))
def test_moments_do_not_depend_on_the_chunks(num_rows, num_features, size, seed):
    X = np.random.default_rng(seed).normal(3, 2, (num_rows, num_features))
    mean, variance = pca.moments(np, chunks_of(Device(), "float64", X, size))
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(variance, X.var(axis=0), rtol=1e-12, atol=1e-12)


def test_moments_where_the_mean_is_large_and_drifts(device, dtype):
    """Sorted rows: the first chunk says nothing of the others."""
    X = np.sort(np.random.default_rng(0).integers(0, 64, (300, 3)), axis=0) / 64 + 1000.0  # exact in float32
    mean, variance = pca.moments(device.xp, chunks_of(device, dtype, X))
    # Sums are in float64 with either dtype, but on the device that has none.
    has_float64 = dtype_name(mean) == "float64"
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype] if has_float64 else 3e-4
    np.testing.assert_allclose(device.to_host(mean), X.mean(axis=0), rtol=tolerance / 100)
    np.testing.assert_allclose(device.to_host(variance), X.var(axis=0), rtol=tolerance)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_the_mean_alone_takes_integers(dtype):
    X = np.random.default_rng(0).integers(256, size=(1000, 4)).astype(dtype)
    mean, variance = pca.moments(np, lambda: [X[:300], X[300:]], need_variance=False)
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-14)
    np.testing.assert_array_equal(variance, 0.0)


def test_all_components_are_those_of_numpy(device, dtype):
    X = decaying(200, 8) * 3
    X[:, 3] = 7.0
    rows, S = standardized(device, dtype, X)
    values, vectors = map(device.to_host, pca.principal(rows, 8))
    expected, U = np.linalg.eigh(S.T @ S / 200)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(values, expected[::-1], atol=tolerance * expected[-1])
    for i in range(7):
        assert abs(vectors[:, i] @ U[:, 7 - i]) == pytest.approx(1, abs=30 * tolerance)
    assert np.all(vectors.max(axis=0) >= -vectors.min(axis=0))


def test_a_few_of_many_hold_the_variance_of_the_best(device, dtype):
    """The random projection against the exact answer; its values are what its vectors hold."""
    rows, S = standardized(device, dtype, decaying(400, 120))
    values, vectors = map(device.to_host, pca.principal(rows, 10))
    best = np.linalg.eigvalsh(S.T @ S / 400)[::-1][:10]
    assert vectors.shape == (120, 10)
    held = np.square(S @ vectors).mean(axis=0)
    np.testing.assert_allclose(held, values, rtol=1e-5)
    assert 0.99 * best.sum() < held.sum() < best.sum() * (1 + 1e-6)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(10), atol=1e-5)


def test_a_subspace_of_few_dimensions_is_found_exactly(device, dtype):
    """With no more directions in the rows than the projection has: rounding may not spoil those."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6)) @ rng.standard_normal((6, 90))
    rows, S = standardized(device, dtype, X)
    values, vectors = map(device.to_host, pca.principal(rows, 6))
    assert values.sum() == pytest.approx(90, rel=1e-4)  # all there is: 90 features of variance 1
    np.testing.assert_allclose(S @ vectors @ vectors.T, S, atol=1e-3)


def test_the_random_projection_is_the_same_each_time(device, dtype):
    rows, _ = standardized(device, dtype, decaying(300, 100))
    first, second = (device.to_host(pca.principal(rows, 5)[1]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_covariance_is_made_where_most_components_are_wanted(monkeypatch):
    rows, _ = standardized(Device(), "float64", decaying(300, 100))
    asked = []
    for name in ("_exact", "_randomised"):
        monkeypatch.setattr(pca, name, lambda *_, n=name: asked.append(n) or (np.ones(100), np.eye(100)))
    pca.principal(rows, 12)
    pca.principal(rows, 13)
    assert asked == ["_randomised", "_exact"]


def test_projection_whitens_and_rotates_back(device, dtype):
    rows, S = standardized(
        device, dtype, np.random.default_rng(0).standard_normal((200, 5)) + decaying(200, 5)
    )
    values, U = np.linalg.eigh(S.T @ S / 200)
    deviation = device.to_host(rows.scale)[:, None]
    expected = deviation * (U / np.sqrt(values + 0.1)) @ U.T
    found = pca.projection(rows, 5, ridge=0.1, rotate_back=True)
    np.testing.assert_allclose(
        device.to_host(found), expected, atol={"float32": 1e-5, "float64": 1e-12}[dtype]
    )


def test_of_fewer_rows_than_features_the_components_are_exact_too(device, dtype):
    rows, S = standardized(device, dtype, decaying(30, 90))
    values, vectors = map(device.to_host, pca.principal(rows, 15))
    expected, U = np.linalg.eigh(S.T @ S / 30)
    tolerance = {"float32": 1e-5, "float64": 1e-11}[dtype]
    np.testing.assert_allclose(values, expected[::-1][:15], atol=tolerance * expected[-1])
    for i in range(15):
        assert abs(vectors[:, i] @ U[:, 89 - i]) == pytest.approx(1, abs=100 * tolerance)
