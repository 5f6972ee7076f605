"""Columns of a table as inputs of a network, against their definition spelt out number by number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.data import table, transforms
from xpnet.data.preprocessing import Preprocessing
from xpnet.device import Device, dtype_name
from xpnet.errors import InputError

CPU = Device()
NAN = math.nan


def mixed(rows=200, seed=0):
    """Numbers, a category of three, numbers with gaps, few values, one value."""
    rng = np.random.default_rng(seed)
    X = np.stack(
        [
            rng.lognormal(3, 2, rows),
            rng.integers(0, 3, rows),
            np.where(rng.random(rows) < 0.2, NAN, rng.normal(-5, 3, rows)),
            rng.integers(0, 4, rows) / 10,
            np.full(rows, 7.0),
        ],
        axis=1,
    )
    return X, (0, 3, 0, 0, 0)


def inputs_of(fitted, X):
    """What becomes of rows in float64."""
    return table.apply(np, fitted, table.standardise(fitted, X, "float64"))


def definition(fitted, X):
    """What becomes of rows, one number at a time."""
    z = (X - fitted["mean"]) * fitted["scale"]
    inputs = []
    for row in z:
        values = []
        for source, start, slope, least, most, mean in fitted["ramps"].T:
            value = row[int(source)]
            values.append(0.0 if math.isnan(value) else min(max((value - start) * slope, least), most) - mean)
        values += [float(row[int(source)] == code) - mean for source, code, mean in fitted["steps"].T]
        values += [float(math.isnan(row[int(source)])) - mean for source, mean in fitted["gaps"].T]
        inputs.append(values)
    return np.array(inputs)


def test_inputs_are_what_the_formulas_say(device, dtype):
    X, categories = mixed()
    fitted = table.fit(X, categories, bins=4)
    new = np.concatenate([X[:20], [[1e6, -1, NAN, 0.15, 9.0], [-1e6, NAN, 50.0, NAN, NAN]]])
    with device.active():
        arrays = {name: device.put(value, dtype) for name, value in fitted.items()}
        found = table.apply(device.xp, arrays, device.put(table.standardise(fitted, new, dtype)))
    assert dtype_name(found) == dtype
    assert np.abs(device.to_host(found) - definition(fitted, new)).max() < (
        1e-4 if dtype == "float32" else 1e-12
    )


def test_leading_axes_are_networks(device):
    X, categories = mixed()
    fitted = table.fit(X, categories, bins=4)
    how = transforms.complete(Preprocessing("table", bins=4, categories=categories), fitted)
    with device.active():
        arrays = {name: device.put(value, "float32") for name, value in fitted.items()}
        z = transforms.for_device(how, fitted, X[:12], "float32")
        stack = transforms.apply(device.xp, how, arrays, device.put(z.reshape(3, 4, 5)))
        flat = transforms.apply(device.xp, how, arrays, device.put(z))
    assert stack.shape == (3, 4, how.output_features(5))
    assert np.array_equal(device.to_host(stack).reshape(12, -1), device.to_host(flat))


@given(
    st.lists(
        st.one_of(st.floats(-1e300, 1e300), st.integers(-3, 3).map(float), st.just(NAN)),
        min_size=2,
        max_size=40,
    ),
    st.integers(0, 12),
)
def test_training_rows_are_centred_and_bounded_whatever_they_hold(values, bins):
    X = np.array(values)[:, None]
    if np.isnan(X).all():
        with pytest.raises(InputError, match="all columns are empty in the training rows"):
            table.fit(X, (0,), bins)
        return
    fitted = table.fit(X, (0,), bins)
    inputs = inputs_of(fitted, X)
    assert inputs.shape == (len(X), sum(table.sizes(fitted)))
    assert np.isfinite(inputs).all()
    assert np.abs(inputs).max() <= 2 * table.FARTHEST
    assert fitted["ramps"].shape[1] <= bins + 1
    clipped = np.abs(inputs).max() >= table.FARTHEST
    assert clipped or np.abs(inputs.mean(axis=0)).max() < 1e-6


def test_bins_hold_equally_many_rows_and_know_their_place():
    X = np.random.default_rng(0).exponential(size=(1000, 1))
    fitted = table.fit(X, (0,), bins=10)
    places = inputs_of(fitted, X)[:, 1:] + fitted["ramps"][-1, 1:]
    inside = (places > 0) & (places < 1)
    assert (inside.sum(axis=0) > 90).all()
    assert (np.diff(places, axis=1) <= 0).all()  # what is beyond a bin is beyond those below it


def test_edges_left_over_by_a_value_of_many_rows_go_to_the_others():
    X = np.concatenate([np.zeros(900), np.arange(1, 101)])[:, None]
    assert table.fit(X, (0,), bins=8)["ramps"].shape[1] == 9


def test_edges_left_over_are_values_that_are_no_edges_yet():
    """Between two values may lie an edge that is there already: 4 between 1 and 7."""
    X = np.array([0.0, 1, 2, 3, 4, 4, 7, 8, 8, 8, 8, 8, 8])[:, None]
    assert table.fit(X, (0,), bins=4)["ramps"].shape[1] == 5


def test_few_values_have_a_bin_between_each_two():
    assert table.sizes(table.fit(np.array([[0.0], [1], [0], [1]]), (0,), bins=8)) == (1, 0, 0)
    assert table.sizes(table.fit(np.array([[0.0], [1], [5], [1]]), (0,), bins=8)) == (3, 0, 0)


def test_categories_that_training_lacks_have_no_input():
    fitted = table.fit(np.array([[0.0], [2], [2], [NAN], [-1]]), (4,), bins=8)
    assert fitted["steps"][1].tolist() == [0, 2]
    new = inputs_of(fitted, np.array([[1.0], [3], [-1]]))
    assert np.array_equal(new, np.broadcast_to(new[0], new.shape))


def test_a_gap_where_training_had_none_is_the_mean():
    X, categories = mixed()
    fitted = table.fit(X[:, :2], categories[:2], bins=4)
    assert table.sizes(fitted)[2] == 0
    gap = inputs_of(fitted, np.array([[NAN, 0.0]]))
    assert not gap[0, : fitted["ramps"].shape[1]].any()


def test_many_rows_are_described_by_some(monkeypatch):
    X, categories = mixed(rows=2000)
    whole = table.fit(X, categories, bins=4)
    monkeypatch.setattr(table, "SAMPLE", 500)
    some = table.fit(X, categories, bins=4)
    assert np.array_equal(whole["mean"], some["mean"])
    assert not np.array_equal(whole["ramps"], some["ramps"])
    assert np.abs(whole["ramps"][1, :5] - some["ramps"][1, :5]).max() < 0.3


def test_a_table_can_neither_be_folded_nor_normalised_by_contrast():
    with pytest.raises(InputError, match="contrast applies to images"):
        Preprocessing("table", contrast=True)
    X, categories = mixed()
    fitted = table.fit(X, categories, bins=4)
    how = transforms.complete(Preprocessing("table", categories=categories), fitted)
    with pytest.raises(InputError, match="keep it separate"):
        transforms.fold(how, fitted, np.ones((5, 3)), np.ones(3))


def test_a_large_mean_and_a_tiny_deviation_lose_nothing_in_float32():
    x = np.linspace(0, 1, 50)[:, None]
    plain = table.fit(x, (0,), bins=8)
    expected = table.apply(np, plain, table.standardise(plain, x, "float32"))
    for scale, offset in ((1e-9, 0.0), (1e-150, 0.0), (1.0, 2.0**31), (1e150, 0.0)):
        moved = x * scale + offset
        fitted = table.fit(moved, (0,), bins=8)
        found = table.apply(np, fitted, table.standardise(fitted, moved, "float32"))
        np.testing.assert_allclose(found, expected, atol=1e-4)
