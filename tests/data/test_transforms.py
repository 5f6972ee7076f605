"""Preprocessing: fitted and applied on any device, against its definitions in NumPy in float64."""

import json
from dataclasses import asdict
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.data import preprocessing, transforms
from xpnet.data.preprocessing import Preprocessing
from xpnet.data.transforms import apply, apply_all, fit, fold
from xpnet.device import Device, dtype_name
from xpnet.errors import InputError

KINDS = tuple(kind for kind in get_args(preprocessing.Kind) if kind != "table")  # which has its own tests
WITH_VARIANCE = KINDS[2:]
CPU = Device()
TOLERANCE = {"float32": 1e-3, "float64": 1e-10}
"""In units of the largest output. Eigenvectors turn where their eigenvalues are close, in float32 visibly."""


def images(num_rows=300, num_features=24, seed=0):
    """Smooth rows of bytes, each of its own brightness and contrast."""
    rng = np.random.default_rng(seed)
    waves = np.cumsum(rng.standard_normal((num_rows, num_features)), axis=1)
    return np.clip(120 + 15 * waves, 0, 255).astype(np.uint8)


def definition(how, X, rows):
    """What becomes of ``rows`` when fitted on all of ``X``: the definitions, written out."""
    X, rows = X.astype(np.float64), rows.astype(np.float64)
    if how.contrast:
        floor = how.ridge * X.var(axis=1).mean()
        X, rows = (
            (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + floor)
            for x in (X, rows)
        )
    if how.kind == "none":
        return rows
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    if how.kind == "mean":
        return rows - mean
    scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0)
    S, rows = (X - mean) * scale, (rows - mean) * scale
    if how.kind == "standardize":
        return rows
    variances, U = np.linalg.eigh(S.T @ S / len(S))
    if how.kind == "zca":
        return rows @ U @ np.diag(1 / np.sqrt(np.maximum(variances, 0) + how.ridge)) @ U.T
    k = how.components or X.shape[1]
    variances, U = variances[::-1][:k], U[:, ::-1][:, :k]
    U = U * np.sign(U[np.abs(U).argmax(axis=0), np.arange(k)])
    by = variances + how.ridge if how.kind == "pca-whiten" else variances.mean()
    return rows @ U / np.sqrt(by)


@pytest.fixture
def run(device, dtype):
    """Return the function that fits on ``X`` on the device and applies to ``rows`` there."""

    def run(how, X, rows=None):
        fitted = {name: device.put(value, dtype) for name, value in fit(how, X, device, dtype).items()}
        rows = device.put(X if rows is None else rows)
        before = np.array(device.to_host(rows))
        result = apply(device.xp, how, fitted, rows)
        np.testing.assert_array_equal(device.to_host(rows), before)  # left alone
        return result

    return run


@pytest.mark.parametrize("contrast", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_definition(run, dtype, assert_close, kind, contrast):
    """On rows that it wasn't fitted on, bytes; the ridge is large enough for float32."""
    how = Preprocessing(kind, ridge=0.01, contrast=contrast)
    X, others = images(), images(50, seed=1)
    if contrast and kind in ("pca", "pca-whiten"):
        how = Preprocessing(kind, 10, ridge=0.01, contrast=True)  # the last direction is gone
    assert_close(run(how, X, others), definition(how, X, others), TOLERANCE[dtype])


@pytest.mark.parametrize("kind", ["pca", "pca-whiten"])
@pytest.mark.parametrize("components", [1, 7, 24])
def test_components_kept(run, dtype, assert_close, kind, components):
    how, X = Preprocessing(kind, components, ridge=0.01), images()
    found = run(how, X)
    assert found.shape == (300, components) == (300, how.output_features(24))
    assert_close(found, definition(how, X, X), TOLERANCE[dtype])


@pytest.mark.parametrize("kind", WITH_VARIANCE)
def test_the_variance_of_the_outputs_is_one(run, device, kind):
    """On the rows fitted on, without a ridge: of each, or with plain PCA on average."""
    components = 10 if kind.startswith("pca") else None
    outputs = device.to_host(run(Preprocessing(kind, components, ridge=0.0), images())).astype(np.float64)
    variance = outputs.var(axis=0)
    np.testing.assert_allclose(variance.mean(), 1.0, rtol=1e-4)
    if kind == "pca":
        assert (np.diff(variance) < 0).all()
    else:
        np.testing.assert_allclose(variance, 1.0, rtol=1e-3)
    np.testing.assert_allclose(outputs.mean(axis=0), 0.0, atol=1e-4)


@pytest.mark.parametrize("kind", ["pca-whiten", "zca"])
def test_whitened_outputs_are_uncorrelated(kind):
    X = images()
    outputs = apply_all(CPU, how := Preprocessing(kind, ridge=0.0), fit(how, X, CPU, "float64"), X, "float64")
    np.testing.assert_allclose(np.cov(outputs.T, bias=True), np.eye(24), atol=1e-9)


def test_few_components_of_many_features(device, dtype):
    """The random projection; the average variance is 1 all the same."""
    how, X = Preprocessing("pca", 5), images(400, 150)
    outputs = device.to_host(apply_all(device, how, fit(how, X, device, dtype), X, dtype))
    exact = definition(how, X, X)
    assert outputs.shape == exact.shape
    np.testing.assert_allclose(outputs.var(axis=0).mean(), 1.0, rtol=1e-4)
    for i in range(3):
        assert np.corrcoef(outputs[:, i], exact[:, i])[0, 1] > 0.999


@pytest.mark.parametrize("kind", KINDS)
def test_float32_against_float64(kind):
    """Where the mean is large, float32 loses no more than it must."""
    X = images().astype(np.float32) + 1000
    how = Preprocessing(kind)
    single, double = (
        apply_all(CPU, how, fit(how, X, CPU, dtype), X, dtype) for dtype in ("float32", "float64")
    )
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert np.abs(single - double).max() < 1e-3 * np.abs(double).max()


@pytest.mark.parametrize("kind", WITH_VARIANCE)
@pytest.mark.parametrize("value", [0.0, 0.1, 255.0])
def test_a_constant_feature_comes_to_nothing(run, device, kind, value):
    """Also if another row has another value there, and if the value cannot be written exactly."""
    X = images().astype(np.float32)
    X[:, 5] = value
    others = X.copy()
    others[:, 5] += 100
    how = Preprocessing(kind)
    expected = device.to_host(run(how, X))
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(device.to_host(run(how, X, others)), expected)
    if kind in ("standardize", "zca"):
        np.testing.assert_array_equal(expected[:, 5], 0.0)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_all_the_same(run, device, kind, ridge):
    X = np.full((10, 4), 7, np.uint8)
    outputs = device.to_host(run(Preprocessing(kind, ridge=ridge), X))
    np.testing.assert_array_equal(outputs, 7.0 if kind == "none" else 0.0)


@pytest.mark.parametrize("kind", ["pca-whiten", "zca"])
def test_without_a_ridge_what_never_varied_is_left_out(run, device, kind):
    """One feature is the sum of two others: that direction is rounding, and isn't blown up."""
    X = np.random.default_rng(0).integers(0, 50, (200, 4)).astype(np.float32)
    X[:, 3] = X[:, 0] + X[:, 1]
    outputs = device.to_host(run(Preprocessing(kind, ridge=0.0), X))
    assert np.abs(outputs).max() < 10


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_contrast(run, device, ridge):
    """Each row has mean 0 and deviation 1, a flat one is 0; brightness and contrast make no difference."""
    X = images().astype(np.float32)
    X[0] = 100.0
    found = device.to_host(run(Preprocessing("none", ridge=ridge, contrast=True), X))
    np.testing.assert_array_equal(found[0], 0.0)
    np.testing.assert_allclose(found.mean(axis=1), 0.0, atol=1e-5)
    if ridge == 0:
        np.testing.assert_allclose(found[1:].std(axis=1), 1.0, rtol=1e-5)
    again = device.to_host(run(Preprocessing("none", ridge=ridge, contrast=True), 2 * X + 30))
    np.testing.assert_allclose(again, found, atol=1e-4)


@pytest.mark.parametrize("given", ["bool", "uint8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["mean", "pca"])
def test_any_real_dtype(device, dtype, assert_close, given, kind):
    X = (images() % 2 if given == "bool" else images()).astype(given)
    how = Preprocessing(kind, 3 if kind == "pca" else None)
    found = apply_all(device, how, fit(how, X, device, dtype), X, dtype)
    assert_close(found, definition(how, X, X), TOLERANCE[dtype])


@pytest.mark.parametrize("contrast", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_leading_axes(run, device, kind, contrast):
    how, X = Preprocessing(kind, contrast=contrast), images()
    flat = device.to_host(run(how, X))
    stacked = device.to_host(run(how, X, X.reshape(2, 3, 50, 24)))
    assert stacked.shape == (2, 3, 50, flat.shape[-1])
    np.testing.assert_allclose(stacked.reshape(flat.shape), flat, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_nothing(monkeypatch, kind):
    how, X = Preprocessing(kind), images().astype(np.float64)
    fitted = fit(how, X, CPU)
    monkeypatch.setattr(transforms, "CHUNK", 24 * 70)
    seen = []
    for threads in (1, 3):
        monkeypatch.setattr(transforms, "blas_threads", lambda threads=threads: threads)
        seen.append(apply_all(CPU, how, fitted, X))
        with pytest.raises(InputError, match="values too large for float32"):
            apply_all(CPU, how, fitted, X * 1e300)
    np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_chunk_by_chunk(monkeypatch, device, dtype, kind):
    """Fits and results don't depend on how many rows are converted at a time, or kept."""
    how, X = Preprocessing(kind, contrast=kind == "mean"), images()
    whole = device.to_host(apply_all(device, how, fit(how, X, device, dtype), X, dtype))
    monkeypatch.setattr(transforms, "CHUNK", 24 * 70)
    monkeypatch.setattr(transforms, "KEPT", 0)
    parts = device.to_host(apply_all(device, how, fit(how, X, device, dtype), X, dtype))
    assert dtype_name(parts) == dtype
    np.testing.assert_allclose(parts, whole, atol={"float32": 2e-3, "float64": 1e-10}[dtype])
    assert apply_all(device, how, fit(how, X, device, dtype), X[:0], dtype).shape == (0, 24)


@pytest.mark.parametrize("nets", [(), (3,), (2, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_folded_into_the_first_layer(kind, nets):
    """Raw pixels in, the same scores out: to 1e-12 in float64, 1e-5 in float32."""
    how, X, rng = Preprocessing(kind, ridge=0.01), images(), np.random.default_rng(0)
    fitted = fit(how, X, CPU, "float64")
    W, b = rng.standard_normal((*nets, 24, 5)), rng.standard_normal((*nets, 5))
    scores = np.matmul(apply(np, how, fitted, X), W) + b[..., None, :]
    W1, b1 = fold(how, fitted, W, b)
    assert (W1.dtype, b1.dtype) == (np.float64, np.float64)
    scale = np.abs(scores).max()
    raw = np.matmul(X.astype(np.float64), W1) + b1[..., None, :]
    np.testing.assert_allclose(raw, scores, atol=1e-12 * scale)
    W1, b1 = W1.astype(np.float32), b1.astype(np.float32)
    raw = np.matmul(X.astype(np.float32), W1) + b1[..., None, :]
    np.testing.assert_allclose(raw, scores, atol=1e-5 * scale)


def test_contrast_cannot_be_folded():
    how = Preprocessing("mean", contrast=True)
    with pytest.raises(InputError, match=r"by its own standard deviation.*train without contrast"):
        fold(how, fit(how, images(), CPU), np.zeros((24, 2)), np.zeros(2))


def test_fits_are_the_same_each_time(device, dtype):
    how, X = Preprocessing("pca", 4, fit_rows=150), images(300, 100)
    first, second = (fit(how, X, device, dtype) for _ in range(2))
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


def test_fitted_on_some_of_the_rows():
    X = images()
    few = fit(Preprocessing("mean", fit_rows=100), X, CPU)["mean"]
    everything = fit(Preprocessing("mean"), X, CPU)["mean"]
    assert 0 < np.abs(few - everything).max() < 40
    sums = few * 100
    np.testing.assert_allclose(sums, np.round(sums), atol=1e-9)  # 100 rows of whole numbers
    more = fit(Preprocessing("mean", fit_rows=1000), X, CPU)["mean"]  # than there are: all
    np.testing.assert_array_equal(more, everything)


@given(
    st.sampled_from(KINDS),
    st.integers(2, 30),
    st.integers(1, 6),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from(["float32", "float64"]),
)
def test_shapes(kind, num_rows, num_features, components, contrast, dtype):
    """The description knows what comes of a fit, and survives as JSON."""
    projects = kind.startswith("pca")
    how = Preprocessing(
        kind, min(components, num_features, num_rows) if projects else None, contrast=contrast
    )
    assert Preprocessing(**json.loads(json.dumps(asdict(how)))) == how
    X = images(num_rows, num_features)
    fitted = fit(how, X, CPU, dtype)
    assert {name: value.shape for name, value in fitted.items()} == how.shapes(num_features)
    assert {value.dtype for value in fitted.values()} == {np.dtype("float64")}
    assert all(np.isfinite(value).all() for value in fitted.values())
    found = apply_all(CPU, how, fitted, X, dtype)
    assert found.shape == (num_rows, how.output_features(num_features))
    assert found.dtype == dtype
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "whiten"}, r"'whiten': use one of none, mean, .*zca"),
        ({"kind": "pca", "components": 0}, "0 components: keep at least 1"),
        ({"kind": "zca", "components": 3}, "zca has no components.* use pca"),
        ({"ridge": -1.0}, "ridge of -1.0: use a number of 0 or more"),
        ({"ridge": float("nan")}, "ridge of nan"),
        ({"ridge": float("inf")}, "ridge of inf"),
        ({"fit_rows": 0}, "mean fitted on 0 rows: give at least 1"),
        ({"kind": "standardize", "fit_rows": 1}, "1 rows: give at least 2"),
        ({"kind": "pca", "components": 20, "fit_rows": 19}, "19 rows: give at least 20"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(InputError, match=message):
        Preprocessing(**settings)


@pytest.mark.parametrize(
    ("how", "shape", "message"),
    [
        (Preprocessing("pca", 25), (300, 24), "25 components of 24 features: keep at most 24"),
        (Preprocessing("pca", 20), (19, 24), "19 rows are too few to fit pca on: give 20 or more or keep"),
        (Preprocessing("pca-whiten"), (19, 24), "give 24 or more or keep fewer components than 24"),
        (Preprocessing("standardize"), (1, 24), "1 rows are too few to fit standardize on: give 2 or more$"),
        (Preprocessing("mean"), (0, 24), "0 rows"),
        (Preprocessing("mean"), (24,), r"shape \(24,\): give \(rows, features\)"),
    ],
)
def test_rows_that_do_not_fit(how, shape, message):
    with pytest.raises(InputError, match=message):
        fit(how, np.zeros(shape), CPU)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("contrast", [False, True])
def test_values_too_large(device, kind, contrast):
    """Whether they or their squares are, in fitting, and those that only come up later."""
    how = Preprocessing(kind, contrast=contrast)
    X = np.random.default_rng(0).standard_normal((30, 4))
    fitted = fit(how, X, device)
    for factor in [1e300] if kind in ("none", "mean") and not contrast else [1e25, 1e300]:
        with pytest.raises(InputError, match="too large for float32: divide"):
            apply_all(device, how, fit(how, X * factor, device), X * factor)
    with pytest.raises(InputError, match="too large for float32: divide"):
        apply_all(device, how, fitted, X * 1e300)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_mean_is_summed_in_float64(dtype):
    """In each of these dtypes the running sum would overflow or stop growing."""
    how, device = Preprocessing("mean"), Device()
    X = np.full((70_000, 2), [255, 1], dtype)
    np.testing.assert_array_equal(fit(how, X, device)["mean"], [255.0, 1.0])
    X = np.where(np.arange(50_000)[:, None] % 2, [1, 200], [2, 100]).astype(dtype)
    np.testing.assert_allclose(fit(how, X, device)["mean"], [1.5, 150.0], rtol=1e-12)


def test_rows_that_have_the_dtype_already_are_left_alone():
    X = np.ones((3, 2))
    centred = apply(np, Preprocessing("mean"), {"mean": np.ones(2)}, X)
    assert not np.shares_memory(X, centred)
    np.testing.assert_array_equal(X, 1.0)
    np.testing.assert_array_equal(centred, 0.0)
