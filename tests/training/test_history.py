"""Histories as text, as columns and as a table."""

import copy
import pickle

import numpy as np
import pytest

from xpnet.training.history import History, Row

NAN = float("nan")


def history(accuracies, losses=None, steps=10):
    """A history of these validation figures, an epoch each."""
    losses = losses or [0.5] * len(accuracies)
    rows = [
        Row(steps * (i + 1), i + 1, 0.1, 0.25, 0.75, loss, accuracy, 1.5 * i)
        for i, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True))
    ]
    return History(rows, [np.float32(0.5)] * (steps * len(rows)))


STACK = History(
    [Row(5, 1, np.array([0.1, 0.2]), np.array([1.0, NAN]), np.array([0.5, 0.25]), NAN, NAN, 0.5)],
    [np.ones(2)] * 5,
)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (History(), "History(0 steps, 0 epochs)"),
        (
            history([0.5, 0.875, 0.8125]),
            ("History(30 steps, 3 epochs\n"
            "  last: epoch 3, train_loss 0.25, train_score 0.75, val_loss 0.5, val_score 0.8125\n"
            "  best: epoch 2, train_loss 0.25, train_score 0.75, val_loss 0.5, val_score 0.875)"),
        ),
        (
            history([0.5, 0.875]),  # the last is the best
            ("History(20 steps, 2 epochs\n"
            "  last: epoch 2, train_loss 0.25, train_score 0.75, val_loss 0.5, val_score 0.875)"),
        ),
        (
            history([NAN, NAN], [0.25, 0.5]),
            ("History(20 steps, 2 epochs\n"
            "  last: epoch 2, train_loss 0.25, train_score 0.75, val_loss 0.5\n"
            "  best: epoch 1, train_loss 0.25, train_score 0.75, val_loss 0.25)"),
        ),
        (
            history([NAN], [NAN]),
            "History(10 steps, 1 epochs\n  last: epoch 1, train_loss 0.25, train_score 0.75)",
        ),
        (
            STACK,
            "History(5 steps, 1 epochs\n  last: epoch 1, train_loss 1 … 1, train_score 0.25 … 0.5)",
        ),
    ],
)  # fmt: skip
def test_a_history_prints_its_last_and_best_figures(given, text):
    assert repr(given) == text


def test_columns():
    columns = history([0.5, 0.75]).to_dict()
    assert list(columns) == list(Row._fields)
    assert columns["step"] == [10, 20]
    assert columns["val_score"] == [0.5, 0.75]
    assert {type(value) for value in columns["val_loss"]} == {float}
    assert {type(value) for value in columns["epoch"]} == {int}
    assert History().to_dict() == {name: [] for name in Row._fields}
    stack = STACK.to_dict()
    assert stack["train_score"] == [[0.5, 0.25]]
    assert stack["step"] == [5]


def test_a_data_frame_takes_the_columns():
    pandas = pytest.importorskip("pandas", exc_type=ImportError)
    frame = pandas.DataFrame(history([0.5, 0.75]).to_dict())
    assert frame.shape == (2, len(Row._fields))
    assert frame["val_score"].tolist() == [0.5, 0.75]


def test_a_notebook_shows_the_last_rows():
    table = history([i / 64 for i in range(12)])._repr_html_()
    assert table.count("<tr>") == 1 + 1 + 10
    assert "<th>val_score</th>" in table
    assert "<td>0.1719</td>" in table  # 11 / 64, of the last
    assert "<td>0.01562</td>" not in table  # 1 / 64, of the second
    assert table.count("…") == len(Row._fields)
    assert "…" not in history([0.5])._repr_html_()
    assert "0.25 … 0.5" in STACK._repr_html_()


def test_a_history_pickles():
    given = history([0.5, 0.75])
    for made in (pickle.loads(pickle.dumps(given)), copy.deepcopy(given)):
        assert made.rows == given.rows
        assert made.losses == given.losses
        assert repr(made) == repr(given)
