"""Categories that no training row had: what gets a word, and what is as usual."""

import warnings

import numpy as np
import pandas as pd
import pytest

from xpnet import fit
from xpnet.columns.columns import Columns
from xpnet.columns.unseen import expected
from xpnet.errors import UnseenWarning

FAST = {"hidden": (8,), "epochs": 2, "ensemble": 1, "preprocess": "table"}
FRUIT = ["Pear", "Fig", "Plum"]
TRAIN = {"fruit": FRUIT * 40, "grade": ["a1", "b2"] * 60, "size": np.arange(120.0) % 7}
COLUMNS = Columns.infer(TRAIN)


def said(columns, frame):
    """Return what is said of rows, in one line; None if nothing is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        columns.matrix(frame)
    assert [type(one.message) for one in caught] in ([], [UnseenWarning])
    return str(caught[0].message) if caught else None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fruit": ["PEAR", "FIG", "FIG", "plum"]}, ("in 4 of 4 rows that no training row had, "
             "such as 'FIG' (training had 'Fig'):")),
        ({"fruit": ["Figs", "fig.", "fig.", "Pear"]}, ("in 3 of 4 rows that no training row had, "
             "such as 'fig.' (training had 'Fig'")),
        ({"fruit": ["3", "1", "2", "1"]}, "in 4 of 4 rows that no training row had, such as '1'"),
        ({"fruit": ["3", None, None, None]}, None),  # of one value it may be chance
        ({"fruit": ["FIG", None, None, None]}, "in 1 of 1 rows that no training row had, such as 'FIG'"),
        ({"fruit": ["FIG", "Fig", "Pear", "PEAR"]}, None),
        ({"fruit": ["FIG"] * 4, "grade": ["A1"] * 4}, "had 'Fig'), and so has 1 more column: write"),
        ({"fruit": [None] * 4}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_most_values_of_a_column_are_new(change, says):
    frame = {"fruit": ["Fig"] * 4, "grade": ["a1"] * 4, "size": [1.0] * 4} | change
    found = said(COLUMNS, frame)
    assert found is None if says is None else says in found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("words", [30, 300, 3000])
def test_where_rare_values_are_usual_no_word_is_said(words, seed):
    """Words as often as in a language: of many of them most are rare, and new rows have others."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, words + 1)
    every = np.array([f"w{k}" for k in range(words)])[rng.choice(words, 1500, p=share / share.sum())]
    columns = Columns.infer({"word": every[:500], "x": rng.normal(size=500)}, note=lambda _: None)
    assert said(columns, {"word": every[:500], "x": np.zeros(500)}) is None
    assert said(columns, {"word": every[500:], "x": np.zeros(1000)}) is None
    single = [said(columns, {"word": [word], "x": [0.0]}) for word in every[500:]]
    assert not any(single)
    assert "in 1,000 of 1,000 rows" in said(
        columns, {"word": np.char.upper(every[500:]), "x": np.zeros(1000)}
    )


def test_what_is_expected_of_new_values():
    counts = np.array([5, 4, 1, 1, 2, 2])
    assert expected(counts, [0, 1, 2, 3, 4, 5]) == 3 / 15  # 2 that occur once, and one
    assert expected(counts, [0, 1, 4, 5]) == (3 + 2 * 2) / 15  # each that occurs once is unknown, too
    assert expected(counts, [0, 1, 4]) == (5 + 2 * 2) / 15  # and one that occurs twice
    assert expected(np.ones(4, int), [0]) == 1.0


def test_each_door_of_python_says_it_once(tmp_path):
    frame = pd.DataFrame(TRAIN | {"kind": np.where(np.arange(120) % 3 == 1, "one", "two")})
    upper = frame.head(100).assign(fruit=lambda rows: rows["fruit"].str.upper())
    upper.to_csv(tmp_path / "upper.csv", index=False)
    frame.head(60).to_csv(tmp_path / "same.csv", index=False)
    run = fit(frame, target="kind", **FAST)
    for ask in (
        lambda: run.predict(upper),
        lambda: run.predict_proba(upper),
        lambda: run.evaluate(upper),
        lambda: run.evaluate(tmp_path / "upper.csv"),
        lambda: run.model.predict(upper),
    ):
        with pytest.warns(UnseenWarning, match="column 'fruit' has values in 100 of") as caught:
            ask()
        assert len(caught) == 1
    assert run.evaluate(tmp_path / "same.csv") == run.evaluate(frame.head(60))


def test_rows_to_validate_on_are_looked_at_as_well():
    X, y = pd.DataFrame(TRAIN), np.arange(120) % 2
    with pytest.warns(UnseenWarning, match="column 'grade'"):
        fit(X, y, X_val=X.assign(grade=X["grade"].str.upper()), y_val=y, **FAST)
