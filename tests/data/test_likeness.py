"""A forgotten scaler or sort shows, and an ordinary split never does."""

import numpy as np
import pytest
import scipy.sparse

from xpnet.data.likeness import other_order, other_scale

RNG = np.random.default_rng(0)
RAW = RNG.normal(size=(400, 3)) * [1, 50, 900] + [5, 70, 9000]
SCALED = (RAW - RAW.mean(axis=0)) / RAW.std(axis=0)
PIXELS = RNG.integers(0, 256, (200, 12)).astype(np.uint8)


@pytest.mark.parametrize(
    ("X", "X_val", "found"),
    [
        (SCALED[:300], RAW[300:], "2 of 3"),
        (RAW[:300], SCALED[300:], "2 of 3"),
        (PIXELS / 255, PIXELS, "12 of 12"),
        (RAW[:300], RAW[300:] + 100 * RAW.std(axis=0), "3 of 3"),
        (np.where(RAW > 0, SCALED, np.nan), RAW[:20], "2 of 3"),
    ],
)
def test_another_scale(X, X_val, found):
    text = other_scale(X, X_val)
    assert text == (
        f"the validation rows are on a different scale from the training rows in {found} features: "
        "scale X_val as X was scaled"
    )


DRAWN = {
    "normal": lambda rng, n: rng.normal(size=(n, 3)),
    "cauchy": lambda rng, n: rng.standard_cauchy((n, 3)),
    "lognormal": lambda rng, n: np.exp(3 * rng.normal(size=(n, 3))),
    "rare": lambda rng, n: (rng.random((n, 3)) < 0.3) * rng.normal(size=(n, 3)),
    "counts": lambda rng, n: rng.poisson(0.5, (n, 3)),
    "codes": lambda rng, n: rng.integers(0, 3, (n, 3)),
    "one": lambda rng, n: rng.normal(size=(n, 1)),
}


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("rows", [20, 3000])
def test_an_ordinary_split(kind, rows):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        assert other_scale(DRAWN[kind](rng, 200), DRAWN[kind](rng, rows)) == ""


def test_what_is_not_looked_at():
    assert other_scale(SCALED, RAW[:19]) == ""  # too few
    assert other_scale(SCALED, RAW[:0]) == ""
    assert other_scale(scipy.sparse.csr_array(SCALED), scipy.sparse.csr_array(RAW)) == ""
    assert other_scale(SCALED, np.full((50, 3), np.nan)) == ""
    assert other_scale(np.ones((50, 3)), RAW) == ""
    sorted_rows = np.arange(1000.0)[:, None]
    assert other_scale(sorted_rows[:900], sorted_rows[900:]) == ""  # the latest of a series


def series(index):
    pd = pytest.importorskip("pandas")
    return pd.Series(range(len(index)), index=index)


@pytest.mark.parametrize(
    ("index", "other", "is_said"),
    [
        ([3, 1, 2], [1, 2, 3], True),
        (["b", "a"], ["a", "b"], True),
        ([(1, "x"), (2, "x")], [(2, "x"), (1, "x")], True),
        ([3, 1, 2], [3, 1, 2], False),
        ([3, 1, 2], [0, 1, 2], False),  # of other rows, or counted anew
        ([1, 1, 2], [1, 2, 1], False),  # who is who is not known
        ([1, 2, 3], [2, 1], False),  # another length, which has a message of its own
    ],
)
def test_another_order(index, other, is_said):
    text = other_order(series(index).to_frame(), {"y": series(other)})
    assert bool(text) == is_said
    if is_said:
        assert text == (
            "X and y have the same index in different orders, and are matched by position: to match them "
            "by index, give y.loc[X.index]"
        )


def test_what_has_no_index_has_no_order():
    of_rows = series([2, 1]).to_frame()
    for X, y in [(of_rows, [1, 2]), (of_rows, None), (RAW, series([1, 2])), ([[1], [2]], series([2, 1]))]:
        assert not other_order(X, {"y": y})


def test_the_weights_count_too_and_rows_have_a_name():
    rows = series([2, 1]).to_frame()
    others = {"y_val": rows[0], "sample_weight": series([1, 2])}
    assert other_order(rows, others, "X_val").endswith("give sample_weight.loc[X_val.index]")
