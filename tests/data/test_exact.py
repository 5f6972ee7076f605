"""Rows of numbers that float32 cannot hold apart: as good as those of size 1, at every preprocessing."""

import numpy as np
import pytest

from xpnet.data import exact, transforms
from xpnet.data.preprocessing import Preprocessing
from xpnet.data.transforms import suited
from xpnet.device import Device
from xpnet.errors import InputError

RNG = np.random.default_rng(0)
Z = RNG.standard_normal((60, 4)) @ np.array([[1.0, 0.3, 0, 0], [0, 1, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
UNITS = [1e-150, 1e-28, 1e28, 1e150]
KINDS = ["mean", "standardize", "pca", "pca-whiten", "zca"]


def extreme(unit):
    """One feature in another unit, and one of times."""
    X = Z.copy()
    X[:, 0] *= unit / 4  # the farthest row is less than 4 away
    X[:, 2] += 2**31
    return X


def applied(device, how, X, new, dtype):
    fitted = transforms.fit(how, X, device, dtype)
    assert {name: value.shape for name, value in fitted.items()} == how.shapes(4)
    return device.to_host(transforms.apply_all(device, how, fitted, new, dtype))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_unit_of_a_feature_makes_no_difference(device, kind, unit):
    """As float64 has it of the same rows in units of 1, also rows that are not of the training."""
    X, how = extreme(unit), suited(Preprocessing(kind), extreme(unit), "float32")
    assert how.exact
    plain = applied(Device(), Preprocessing(kind), Z[:50], Z, "float64")
    found = applied(device, how, X[:50], X, "float32")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain, atol=2e-5)


def test_a_mean_is_subtracted_with_all_its_digits(device):
    X = extreme(1.0)
    how = suited(Preprocessing("mean"), X, "float32")
    found = applied(device, how, X, X, "float32")
    np.testing.assert_allclose(found, X - X.mean(axis=0), atol=1e-6)
    with pytest.raises(InputError, match="too large for float32: divide it by its largest value"):
        applied(device, how, extreme(1e150), extreme(1e150), "float32")


@pytest.mark.parametrize("unit", [1e-140, 1e140])
def test_contrast_of_any_unit(unit):
    plain = Preprocessing("pca", contrast=True)
    how = suited(plain, unit * Z, "float32")
    assert how.exact
    expected = applied(Device(), plain, Z, Z, "float64")
    np.testing.assert_allclose(applied(Device(), how, unit * Z, unit * Z, "float32"), expected, atol=2e-5)


def test_integers_of_64_bits_keep_their_digits():
    X = np.arange(40).reshape(20, 2) + 1_700_000_000_000
    how = suited(Preprocessing("standardize"), X, "float32")
    found = transforms.apply_all(Device(), how, transforms.fit(how, X, Device()), X)
    np.testing.assert_allclose(found, (X - X.mean(axis=0)) / X.std(axis=0), atol=5e-5)


@pytest.mark.parametrize(
    ("X", "of_float32", "of_float64"),
    [
        (Z, False, False),
        (16 * Z + 100, False, False),
        (Z + 2000, False, False),  # years
        (np.zeros((5, 2)), False, False),
        (np.full((5, 2), 7.0), False, False),
        (np.full((5, 2), 1e30), True, False),
        (np.arange(5, dtype=np.uint8)[:, None], False, False),
        (Z.astype(np.float16), False, False),
        (Z + 1e5, True, False),
        ((1e6 * Z).astype(np.int64) + 2**50, True, False),
        (1e-20 * Z, True, False),
        (1e20 * Z, True, False),
        (1e-152 * Z, True, True),
        (Z + 1e14, True, True),
        (1e200 * Z, False, False),  # beyond what is taken
    ],
)
def test_where_it_is_needed(X, of_float32, of_float64):
    assert exact.is_needed(X, "float32") == of_float32
    assert exact.is_needed(X, "float64") == of_float64


def test_what_it_is_not_for():
    for kind in ("none", "table"):
        assert not suited(Preprocessing(kind), 1e-28 * Z, "float32").exact
    how = suited(Preprocessing("standardize"), 1e-28 * Z, "float32")
    fitted = transforms.fit(how, 1e-28 * Z, Device())
    with pytest.raises(InputError, match="too large, too small or too close together for weights"):
        transforms.fold(how, fitted, np.ones((4, 2)), np.ones(2))


def test_a_constant_feature_is_left_out_and_one_that_hardly_varies_is_not():
    mean, scale = exact.moments(np.full((9, 1), 1e120))
    assert (mean, scale) == (pytest.approx(1e120), 0.0)
    values = np.array([1.0, 2.0, 3.0]) * 1e-150
    mean, scale = exact.moments(values[:, None])
    np.testing.assert_allclose([mean[0], scale[0]], [2e-150, 1e150 / np.std([1, 2, 3])])


@pytest.mark.parametrize("unit", [1e-140, 1.0, 1e140])
def test_moments_of_many_rows_are_put_together(monkeypatch, unit):
    X = np.random.default_rng(1).standard_normal((1001, 3)) * unit + [0, 3 * unit, 1e6 * unit]
    X[::7, 1] = np.nan
    X[:600, 2] = np.nan
    whole = exact.moments(X)
    monkeypatch.setattr(exact, "PART", 100)
    mean, scale = exact.moments(X)
    np.testing.assert_allclose(mean, np.nanmean(X / unit, axis=0) * unit, rtol=1e-13)
    np.testing.assert_allclose(1 / scale / unit, np.nanstd(X / unit, axis=0), rtol=1e-9)
    for found, one_part in zip((mean, scale), whole, strict=True):
        np.testing.assert_allclose(found, one_part, rtol=1e-9)
