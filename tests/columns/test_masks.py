"""Masked arrays: what is masked is a gap at every door, and what stands there is never looked at."""

import dataclasses

import numpy as np
import pytest

import xpnet
from xpnet.columns.masks import is_masked, unmasked
from xpnet.datasets import from_arrays
from xpnet.errors import GapWarning, InputError

FILLER = -9999
ROWS = np.random.default_rng(3).standard_normal((90, 3)).astype(np.float32)
Y = (ROWS[:, 1] > 0).astype(int)
HOLES = np.where(np.arange(270).reshape(90, 3) % 7 == 0, np.float32(FILLER), ROWS)
MASKED = np.ma.masked_equal(HOLES, FILLER)
GAPS = MASKED.filled(np.nan)
FEW = np.arange(90) < 4
LABELS = np.ma.masked_array(np.where(FEW, 999, Y), mask=FEW)
SHORT = {"recipe": "table-fast", "ensemble": 1, "epochs": 2}


@pytest.fixture(scope="module")
def run():
    return xpnet.fit(MASKED, Y, **SHORT)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.ma.masked_array([1.5, 2], [0, 1]), [1.5, np.nan]),
        (np.ma.masked_array([[1, 2]], [[0, 1]]), [[1, np.nan]]),
        (np.ma.masked_array([1, 2], [0, 1]), [1, None]),
        (np.ma.masked_array(["a", "b"], [1, 0]), [None, "b"]),
        (np.ma.masked_array([[True, False]], [[1, 0]]), [[np.nan, 0]]),
        (np.ma.masked_array(["2020-01-01"], [1], dtype="M8[D]"), [np.datetime64("NaT", "D")]),
        (np.ma.masked_array([1j], [1]), [1j]),
        (np.ma.masked_array([1, 2]), [1, 2]),
        ([1, 2], [1, 2]),
    ],
)
def test_what_is_masked_is_a_gap(array, expected):
    found = unmasked(array)
    assert not isinstance(found, np.ma.MaskedArray)
    assert str(np.asarray(found).tolist()) == str(np.asarray(expected).tolist())


def test_rows_to_train_on_and_to_predict(run):
    plain = xpnet.fit(GAPS, Y, **SHORT)
    assert run.model.row_range.low.min() > FILLER
    assert run.model.checksum() == plain.model.checksum()
    for X in (MASKED, MASKED.astype(np.float64)):
        np.testing.assert_array_equal(run.predict_proba(X), plain.predict_proba(GAPS))
    np.testing.assert_array_equal(run.model.predict(MASKED), plain.model.predict(GAPS))
    assert run.evaluate(MASKED, Y) == plain.evaluate(GAPS, Y)
    whole = np.ma.masked_equal((HOLES * 9).astype(int), 9 * FILLER)
    assert xpnet.fit(whole, Y, X_val=MASKED, y_val=Y, **SHORT).model.row_range.low.min() > FILLER
    data = from_arrays(MASKED, Y)
    assert int(np.isnan(data.X_train).sum() + np.isnan(data.X_val).sum()) == MASKED.mask.sum()
    found = xpnet.search(MASKED, Y, {"learning_rate": [0.01, 0.02]}, epochs=1, recipe="table-fast")
    assert found.best.model.row_range.low.min() > FILLER


def test_columns_by_name():
    run = xpnet.fit({"a": ROWS[:, 0], "b": ROWS[:, 1]}, Y, **SHORT)
    with pytest.warns(GapWarning, match="in training: a, b"):
        found = run.predict_proba(MASKED[:, :2])
    with pytest.warns(GapWarning, match="in training: a, b"):
        np.testing.assert_array_equal(found, run.predict_proba({"a": MASKED[:, 0], "b": MASKED[:, 1]}))


def test_where_gaps_are_refused():
    with pytest.raises(InputError, match="has gaps, which --preprocess mean cannot take"):
        xpnet.fit(MASKED, Y, recipe="none", epochs=1)
    run = xpnet.fit(ROWS, Y, recipe="none", epochs=1)
    with pytest.raises(InputError, match="row 0 of X holds NaN or infinity"):
        run.predict(MASKED)
    data = from_arrays(ROWS, Y)
    for change in (
        {"X_train": np.ma.masked_greater(data.X_train, 1)},
        {"y_train": np.ma.masked_equal(data.y_train, 1)},
    ):
        with pytest.raises(
            InputError, match=f"{next(iter(change))} masks .* values, but masks are not supported"
        ):
            dataclasses.replace(data, **change)


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (LABELS, "classification"),
        (np.ma.masked_array(np.where(FEW, "none", np.array(["low", "high"])[Y]), mask=FEW), "classification"),
        (np.ma.masked_array(np.where(FEW, 999, ROWS[:, 0]), mask=FEW), "regression"),
        (
            np.ma.masked_array(np.stack([Y, Y, 1 - Y], 1), mask=np.stack([FEW, FEW & False, FEW], 1)),
            "multilabel",
        ),
    ],
)
def test_rows_whose_target_is_masked_are_left_out(y, task):
    with pytest.warns(UserWarning, match="left out 4 of 90 rows without a value"):
        run = xpnet.fit(ROWS, y, **SHORT)
    assert run.model.task == task
    assert "999" not in run.model.class_names
    assert "none" not in run.model.class_names


def test_targets_to_measure_by(run):
    with pytest.raises(InputError, match="y is masked in row 0: drop rows without a target"):
        run.model.score(ROWS, LABELS)
    for door in (lambda: run.evaluate(ROWS, LABELS), lambda: from_arrays(ROWS, LABELS)):
        with pytest.raises(InputError, match="y holds None in row 0: drop rows without a target"):
            door()


def test_a_mask_of_nothing_is_none():
    run = xpnet.fit(np.ma.masked_array(ROWS), np.ma.masked_array(Y), recipe="none", epochs=1)
    assert len(run.predict(np.ma.masked_array(ROWS))) == 90
    assert not is_masked(np.ma.masked_array(ROWS))
