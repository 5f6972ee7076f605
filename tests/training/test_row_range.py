"""The range of training rows: what is far from it, what is not, and what white is in it."""

import re
import warnings
from dataclasses import replace

import models
import numpy as np
import pytest

from xpnet.columns.columns import Columns, numbers
from xpnet.errors import GapWarning, InputError, RangeWarning
from xpnet.training import row_range
from xpnet.training.row_range import RowRange

RNG = np.random.default_rng(0)
NAMED = Columns.infer({"age": [20, 31], "pay": [1e3, 2e3], "city": ["a", "b"]})
TABLE = np.stack([RNG.uniform(20, 70, 500), RNG.lognormal(8, 1, 500), RNG.integers(0, 2, 500)], axis=1)
PIXELS = RNG.integers(0, 256, (200, 64)).astype(np.uint8)
PIXELS[:, :8] //= 100  # a border that is nearly black
PIXELS[:, 0] = 0


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int16, bool])
def test_ends_part_by_part(monkeypatch, dtype):
    monkeypatch.setattr(row_range, "CHUNK", 7 * 64)
    X = (PIXELS // 2).astype(dtype)
    found = RowRange.of(X)
    np.testing.assert_array_equal(found.low, X.min(axis=0))
    np.testing.assert_array_equal(found.high, X.max(axis=0))
    assert (found.kind, found.low.dtype, found.gaps.any()) == (X.dtype.kind, np.float64, False)
    assert found.ends == (X.min(), X.max())


def test_gaps_are_those_of_all_rows_and_ends_of_the_training_rows():
    X, more = np.array([[1.0, np.nan, 3], [4, np.nan, np.nan]]), np.array([[np.nan, 7, 9]])
    found = RowRange.of(X, None, more)
    np.testing.assert_array_equal(found.low, [1, np.nan, 3])
    np.testing.assert_array_equal(found.high, [4, np.nan, 3])
    assert found.gaps.tolist() == [True, True, True]
    assert RowRange.of(X).gaps.tolist() == [False, True, True]
    assert found.far(np.array([[2.0, 1e9, 3]]), None, False) is None
    assert found.ends == (1, 4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {0: 7000},
            "column 'age' holds 7000, far outside the training range 20.* to 69.*: is it in the same unit",
        ),
        ({0: -600}, "column 'age' holds -600, far outside"),
        ({0: 7000, 1: -1e7}, r"column 'age' holds 7000, .* \(and 1 more column\): is it"),
        ({0: 100}, None),
        ({0: -300}, None),
        ({1: 2e5}, None),
        ({2: 99}, None),  # a category
        ({0: np.nan}, None),
    ],
)
def test_named_columns_one_by_one(change, says):
    X = TABLE.copy()
    for column, value in change.items():
        X[123, column] = value
    found = RowRange.of(TABLE).far(X, NAMED, False)
    assert found is None if says is None else re.match(says, found)


@pytest.mark.parametrize("seed", range(20))
def test_ordinary_tails_are_not_far(seed):
    rng = np.random.default_rng(seed)
    for draw in (rng.normal, rng.exponential, rng.lognormal, lambda size: rng.standard_t(3, size)):
        train, new = draw(size=(300, 10)), draw(size=(3000, 10))
        known = RowRange.of(train)
        for columns in (None, numbers(10), Columns.infer({c: [1.5, 2] for c in "abcdefghij"})):
            assert known.far(new, columns, False) is None
            assert known.far(new[:1], columns, False) is None
            assert known.far(new[:1] * 0, columns, False) is None


@pytest.mark.parametrize("is_image", [True, False])
@pytest.mark.parametrize(
    ("train", "new", "says"),
    [
        (
            PIXELS / 255,
            PIXELS,
            "values from 0 to 255 are far outside the training range, 0 to 1",
        ),
        (PIXELS, PIXELS / 255, "all values are from 0 to 1, but the network was trained on 0 to 255"),
        (PIXELS // 16, PIXELS, "values from 0 to 255 are far outside"),
        (PIXELS // 16, PIXELS / 255, "all values are from 0 to 1"),
        (PIXELS.astype(np.float32), (PIXELS / 255)[:1], "all values are from 0 to "),
        (PIXELS / 127.5 - 1, PIXELS, "values from 0 to 255 are far"),
        (PIXELS, PIXELS.astype(float)[::-1], None),
        (
            PIXELS,
            np.where(np.arange(64) == 3, 255, PIXELS[:1]),
            None,
        ),  # white where it always was nearly black
        (PIXELS, np.zeros((1, 64)), None),
        (PIXELS, np.zeros((0, 64)), None),
        (PIXELS, (PIXELS[:1] > 128).astype(np.uint8), None),  # of bytes, nearly black
        (PIXELS * 0 + 7, PIXELS, None),  # constant
        (PIXELS, np.where(np.arange(64) == 0, 1e9, PIXELS), None),
    ],
)
def test_pixels_are_of_one_scale(train, new, says, is_image):
    found = RowRange.of(train).far(new, None, is_image)
    assert found is None if says is None else found.startswith(says)


INK = np.zeros((60, 8, 8))
INK[:, 2:6, 2:6] = RNG.uniform(0, 1, (60, 4, 4))
INK = INK.reshape(60, 64)


@pytest.mark.parametrize(
    ("of", "dtype", "fix"),
    [
        (lambda X: X.round(2), float, "invert them by 1 - X, or image files by --black 1 --white 0"),
        (
            lambda X: (16 * X).round(),
            np.float32,
            "invert them by 16 - X, or image files by --black 16 --white 0",
        ),
        (lambda X: 250 * X, np.uint8, "invert them by 255 - X, or image files by --black 255 --white 0"),
        (
            lambda X: (2 * X - 1).round(),
            np.float32,
            "invert them by 0 - X, or image files by --black 1 --white -1",
        ),
    ],
)
def test_inverted_images_are_told(monkeypatch, of, dtype, fix):
    monkeypatch.setattr(row_range, "CHUNK", 7 * 64)
    X = of(INK).astype(dtype)
    known = RowRange.of(X[:40])
    low, high = known.ends
    inverted = np.asarray(low + high - X[40:], dtype)
    light = "most images are light in pixels that were dark in all training rows: "
    assert known.far(inverted, None, True) == light + fix
    assert known.far(inverted[:1], None, True) == light + fix
    assert known.far(X[40:], None, True) is None
    dark = known.far(X[40:], None, True), RowRange.of(inverted).far(X[:20], None, True)
    assert dark[0] is None
    assert dark[1].startswith(
        "most images are dark in pixels that were light in all training rows: invert them"
    )
    white = np.full((1, 64), high).astype(dtype)
    assert known.far(white, None, True) == light + fix
    some = np.concatenate([X[40:52], inverted[:8]])
    assert known.far(some, None, True) is None


@pytest.mark.parametrize("high", [17, 67, 134, 255])
def test_bytes_are_of_files_however_dark(high):
    assert RowRange.of(np.array([[0, high]], np.uint8)).white() == 255


def test_what_inverting_does_not_mend():
    for shift in (1, 2, 4):  # they are images as those of training, elsewhere in the picture
        moved = np.roll(INK.reshape(60, 8, 8), shift, axis=(1, 2)).reshape(60, 64)
        assert RowRange.of(INK).far(moved, None, True) is None
    thin = INK.copy()
    thin[:, 3] = 1.0  # one pixel of 64, which is less than two in a hundred
    assert RowRange.of(INK).far(thin, None, True) is None


def test_columns_without_names_are_far_where_most_rows_are():
    X = np.stack([RNG.uniform(0, 1, 100), RNG.uniform(0, 1e5, 100)], axis=1)
    known, new = RowRange.of(X), X[:20].copy()
    new[:5, 0] *= 1000
    assert known.far(new, None, False) is None
    new[:, 0] = 1000
    assert known.far(new, numbers(2), False).startswith("column '0' holds 1000, far outside the")
    assert known.far(new[:9], None, False) is None
    new[3, 1] = 1e7
    assert known.far(new[:9], None, False).startswith("values from ")


def test_dates_go_on():
    table = {"day": [f"2024-01-{day:02}" for day in range(1, 31)], "n": [*range(15), *range(15)]}
    days = Columns.infer(table)
    known = RowRange.of(days.matrix(table))
    later = days.matrix({"day": ["2026-01-05"], "n": [5]})
    assert known.far(later, days, False) is None


@pytest.mark.parametrize(
    ("high", "white"), [(0.6, 1), (1, 1), (0, 1), (10, 16), (16, 16), (153, 255), (200, 255), (255, 255)]
)
def test_white(high, white):
    assert RowRange.of(np.array([[0, high]])).white() == white


@pytest.mark.parametrize("ends", [(-1, 1), (0, 3), (0, 256), (-0.1, 255), (0, 65535)])
def test_white_that_is_not_known(ends):
    with pytest.raises(InputError, match="so the value of white is unknown"):
        RowRange.of(np.array([ends])).white()


@pytest.mark.parametrize(
    ("ends", "black", "white"),
    [
        ((0, 100), 0, 100),  # percent
        ((3, 97.5), 0, 100),
        ((0, 31), 0, 31),  # pixels of 5, 6, 7 and 10 bits
        ((0, 60), 0, 63),
        ((0, 127), 0, 127),
        ((0, 1000), 0, 1023),
        ((0, 61423), 0, 65535),
        ((0, 0.4), 0, 0.4),
        ((-0.992, 0.87451), -1, 1),
        ((-0.3, 0.9), -0.3, 1),
        ((-2.1, 2.64), -2.1, 2.64),
        ((-3, -1), -3, -1),
    ],
)
def test_a_range_that_is_none_of_pixels_is_asked_about_with_what_is_likely(ends, black, white):
    with pytest.raises(InputError, match="so the value of white is unknown") as caught:
        RowRange.of(np.array([ends])).white()
    assert f"as --black {black:g} --white {white:g} (in Python shades=({black:g}, {white:g}))" in str(
        caught.value
    )


# In a model

X = models.rows(40).astype(np.float64)
CALLS = ["predict", "predict_labels", "probabilities", "scores", "members"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", [{}, {"networks": 2, "averaging": "flip", "of": "labels"}])
def test_a_model_warns_once(name, kind):
    model = replace(models.make(**kind), row_range=RowRange.of(X))
    with pytest.warns(RangeWarning, match=r"^values from 1 to 25500 are far outside") as caught:
        getattr(model, name)(np.where(X.max() == X, 25500, X))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(model, name)(X)
        getattr(replace(model, row_range=None), name)(X * 100)


def test_named_columns_may_lack_what_none_lacked_with_one_word():
    model = models.make_table("one number")
    table = models.table() | {"age": np.arange(30.0)}
    model = replace(model, row_range=RowRange.of(model.columns.matrix(table)))
    model.predict(table)
    table["member"] = [None, *table["member"][1:]]
    table["age"][7] = np.nan
    for call in (model.predict, model.predict_interval):
        with pytest.warns(GapWarning, match="that had none in training: age, member; these rows") as caught:
            call(table)
        assert len(caught) == 1


def test_a_range_of_other_features_is_refused():
    with pytest.raises(InputError, match=r"row_range must have shape \(12,\)"):
        replace(models.make(), row_range=RowRange.of(X[:, :5]))


@pytest.mark.parametrize("shape", [(1, 3), (700, 3), (4097, 1), (2049, 5), (30, 2500)])
def test_the_ends_of_rows_that_are_looked_at_side_by_side(shape):
    X = np.random.default_rng(0).standard_normal(shape)
    X[0, 0] = np.nan
    known = RowRange.of(X)
    np.testing.assert_array_equal(known.low, np.fmin.reduce(X))
    np.testing.assert_array_equal(known.high, np.fmax.reduce(X))
