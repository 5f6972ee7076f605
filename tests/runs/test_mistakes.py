"""The rows that a network is most wrong about."""

import io
from dataclasses import replace

import models
import numpy as np
import pytest
from sweeps import DEVICE

from xpnet.columns.columns import Column, Columns
from xpnet.datasets import from_arrays
from xpnet.runs import experiment
from xpnet.runs.config import Config
from xpnet.runs.mistakes import AT_ONCE, MOST, worst

X = models.rows(40)


def test_the_surest_mistakes_of_images_come_first():
    model = models.make()
    P, predicted = model.probabilities(X), model.predict(X)
    y = (predicted + 1) % 3
    y[::2] = predicted[::2]
    found = worst(model, X, y, predicted)
    assert len(found) == MOST
    wrong = np.flatnonzero(predicted != y)
    order = wrong[np.argsort(-P[wrong].max(axis=1), kind="stable")][:MOST]
    assert [mistake.row for mistake in found] == order.tolist()
    first = found[0]
    assert (first.true, first.said) == (
        model.class_names[y[first.row]],
        model.class_names[predicted[first.row]],
    )
    assert first.how == f"{100 * P[first.row].max():.1f} %"
    assert worst(model, X, y, predicted, P=P) == found
    assert worst(model, X, predicted, predicted) == ()
    image = pytest.importorskip("matplotlib.image")
    assert image.imread(io.BytesIO(first.image), format="png").shape[:2] == model.image_shape[:2]


def test_the_surest_of_very_many_mistakes_are_found_part_by_part():
    model = models.make()
    many = np.random.default_rng(0).integers(0, 256, (AT_ONCE + 500, X.shape[1]))
    predicted = model.predict(many)
    y = (predicted + 1) % 3
    P = model.probabilities(many)
    surest = np.argsort(-P.max(axis=1), kind="stable")[:MOST]
    for found in (worst(model, many, y, predicted), worst(model, many, y, predicted, P=P)):
        assert [mistake.row for mistake in found] == surest.tolist()


def test_rows_of_a_table_are_shown_in_words():
    columns = Columns(
        (
            Column("city", "category", ("Köln", "Ulm")),
            Column("age", "number"),
            Column("day", "number", part="days", held="dates"),
            Column("day month", "number", source="day", part="month", held="dates"),
            *(Column(f"x{k}", "number") for k in range(9)),
        ),
        ("city", "age", "day", *(f"x{k}" for k in range(9))),
    )
    row = np.array([1.0, np.nan, 19723.0, 1.0, *np.arange(9.0)])
    said = columns.said(row, 5)
    assert said == {"city": "Ulm", "age": "–", "day": "2024-01-01", "x0": "0", "x1": "1"}
    assert columns.said(np.concatenate([[-1.0], row[1:]]), 1) == {"city": "unknown"}


def test_numbers_that_are_far_off():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 3))
    y = np.stack([rows.sum(axis=1), 1000 * rows[:, 0]], axis=1)
    data = from_arrays(rows[:40], y[:40], name="n", X_val=rows[40:], y_val=y[40:], task="regression")
    config = Config(dataset="n", hidden=(5,), iterations=30, batch_size=10)
    run = experiment.run(config, data, DEVICE)
    off = np.abs(run.validated.y - run.validated.predicted) / run.validated.y.std(axis=0)
    assert [mistake.row for mistake in run.validated.mistakes] == np.argsort(-off.max(axis=1))[:MOST].tolist()
    assert run.validated.mistakes[0].true.count(", ") == 1
    assert run.tested is None


def test_mistakes_are_of_the_test_rows_where_there_are_any():
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    given = {"X_val": rows[:20], "y_val": y[:20]}
    config = Config(dataset="n", hidden=(5,), iterations=5, batch_size=10)
    alone = experiment.run(config, from_arrays(rows[20:], y[20:], name="n", **given), DEVICE)
    assert alone.validated.mistakes
    assert alone.tested is None
    both = experiment.run(
        config, from_arrays(rows[20:], y[20:], name="n", X_test=rows[:20], y_test=y[:20], **given), DEVICE
    )
    assert not both.validated.mistakes
    assert both.tested.mistakes == alone.validated.mistakes
    np.testing.assert_array_equal(both.tested.predicted, alone.validated.predicted)


def test_the_best_epochs_of_each_network():
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    data = from_arrays(rows[20:], y[20:], name="n", X_val=rows[:20], y_val=y[:20])
    config = Config(dataset="n", hidden=(5,), epochs=6, batch_size=10)
    run = experiment.run(config, data, DEVICE)
    scores = [row.val_score for row in run.history.rows]
    assert run.best_rows == (int(np.argmax(scores)),)
    assert len(experiment.run(replace(config, ensemble=3), data, DEVICE).best_rows) == 3
