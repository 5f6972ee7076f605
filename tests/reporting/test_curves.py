"""The curves of a run as charts."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from xpnet.reporting.curves import best_row, curves, score_axis
from xpnet.training.history import History, Row


def history(val, train=None, per=10, losses=None):
    """Rows of ``per`` steps each, with these validation losses."""
    train = val if train is None else train
    rows = [
        Row((k + 1) * per, k + 1, 0.01, t, 0.5, v, 0.5 + 0.01 * k if math.isfinite(v) else math.nan, 0.1 * k)
        for k, (t, v) in enumerate(zip(train, val, strict=True))
    ]
    if losses is None:
        losses = [v for v in train for _ in range(per)]
    return History(rows, [np.float32(loss) for loss in losses])


def parsed(html):
    root = ET.fromstring(html)
    return list(root)


def texts(svg):
    return [element.text or "" for element in svg.iter("text")]


def ticks(svg):
    """The numbers along the vertical axis."""
    (group,) = [g for g in svg.findall("g") if g.get("text-anchor") == "end"]
    return [text.text for text in group]


def of(svg, kind):
    (group,) = [g for g in svg.iter("g") if g.get("class") == kind]
    return group


def test_loss_score_and_learning_rate():
    loss, score, rate = parsed(curves(history([2.0, 1.5, 1.25]), best=(2,)))
    assert [texts(svg)[0] for svg in (loss, score, rate)] == ["Loss", "Accuracy", "Learning rate"]
    assert "best: epoch 3" in texts(loss)
    assert "best: epoch 3" in texts(score)
    assert [text.text for text in of(loss, "xp-names")] == [
        "1.25 at the best",
        "each step",
        "train",
        "validation",
    ]
    assert "52.00 % at the best" in texts(score)
    second = list(of(loss, "xp-at"))[1]
    assert [text.text for text in second.findall("text")] == ["epoch 2, step 20", "1.5", "1.5", "1.5"]
    second = list(of(score, "xp-at"))[1]
    assert [text.text for text in second.findall("text")] == ["epoch 2, step 20", "50.00 %", "51.00 %"]


def test_over_more_than_a_decade_the_loss_is_logarithmic():
    linear, *_ = parsed(curves(history([2.0, 1.0, 0.25])))
    assert ticks(linear) == ["0.5", "1", "1.5", "2"]
    log, *_ = parsed(curves(history([20.0, 1.0, 0.25])))
    assert ticks(log) == ["0.5", "1", "2", "5", "10", "20"]


def test_of_a_run_that_diverged_the_axes_can_be_read():
    losses = [2.5, 9.0, 1e4, 1e12, 1e30, math.inf, math.nan, math.nan]
    found = History(
        [Row(1, 0, 0.1, 2.5, 0.1, 9.0, 0.2, 0.1), Row(8, 0, 0.1, math.nan, 0.1, math.nan, 0.1, 0.2)],
        [np.float64(loss) for loss in losses],
    )
    loss, score, _ = parsed(curves(found, diverged_at=6, best=(0,)))
    assert ticks(loss) == ["10", "100", "1,000"]
    assert "diverged at step 6" in texts(loss)
    assert not [text for text in texts(loss) + texts(score) if "best" in text]
    assert len(of(loss, "xp-at")) == 1  # what came after means nothing
    for svg in (loss, score):
        assert "nan" not in ET.tostring(svg, "unicode").lower()
        assert "inf" not in ET.tostring(svg, "unicode").lower()


@pytest.mark.parametrize("value", [1.5, 0.0, math.nan])
def test_one_epoch(value):
    loss, *_ = parsed(curves(history([value], per=1), best=(0,) if math.isfinite(value) else ()))
    dots = [path for path in loss.find("svg").findall("path") if path.get("d").count("h0") == 1]
    assert len(dots) == (3 if math.isfinite(value) else 0)
    assert "best: epoch 1" not in texts(loss)


def test_the_networks_of_an_ensemble_have_a_best_epoch_each():
    loss, score, _ = parsed(curves(history([2.0, 1.5, 1.25, 1.0]), best=(3, 1, 1), networks=3))
    for svg in (loss, score):
        assert "best: epochs 2 to 4" in texts(svg)
        assert "means over 3 networks" in texts(svg)
        assert len([path for path in svg.findall("path") if path.get("stroke-dasharray") == "3 3"]) == 2


def test_no_epoch():
    assert curves(History()) == ""


def test_without_validation_rows_and_steps():
    """As of an estimator: epochs, and no losses of steps."""
    rows = [Row(k, k, 0.1, 1 / k, math.nan, math.nan, math.nan, 0.1) for k in range(1, 5)]
    loss, rate = parsed(curves(History(rows), unit="epoch"))
    assert [text.text for text in of(loss, "xp-names")][1:] == ["train"]
    assert "epoch 3" in texts(loss)
    assert "epoch" in texts(rate)


def test_many_epochs_and_steps_stay_a_small_page():
    rng = np.random.default_rng(0)
    page = curves(history(rng.random(3000) + 0.5, losses=rng.random(30_000) + 0.5), best=(1234,))
    assert len(page) < 120_000
    assert "best: epoch 1235" in page
    loss, *_ = parsed(page)
    assert any(text.startswith("epoch 1235,") for text in texts(loss))


def test_the_first_epochs_do_not_flatten_the_others():
    scores = [0.1, *np.linspace(0.95, 0.98, 30)]
    rows = [Row(k + 1, k, 0.1, 1.0, math.nan, 1.0, score, 0.1) for k, score in enumerate(scores)]
    _, score, _ = parsed(curves(History(rows)))
    assert float(ticks(score)[0].split()[0]) > 90
    assert float(ticks(score)[-1].split()[0]) <= 100


def test_r2_ends_where_it_says_no_more():
    rows = [Row(k + 1, k, 0.1, 1.0, math.nan, 1.0, value, 0.1) for k, value in enumerate([-1e9, -0.5, 0.5])]
    _, score, _ = parsed(curves(History(rows), "r2"))
    assert texts(score)[0] == "R²"
    assert ticks(score) == ["-1", "-0.5", "0", "0.5"]


def test_r2_below_its_limit_is_drawn_where_there_is_nothing_better():
    values = [-9000.0, -30.0, -1.25, -1.5]
    rows = [Row(k + 1, k, 0.1, 1.0, 0.9, 1.0, value, 0.1) for k, value in enumerate(values)]
    _, score, _ = parsed(curves(History(rows), "r2"))
    assert ticks(score) == ["-3", "-2", "-1", "0", "1"]
    last = list(of(score, "xp-at"))[-1]
    assert len([path for path in last.findall("path") if path.get("class") == "d"]) == 1


def test_a_line_far_below_another_is_on_the_axis():
    """As of a network that learns its training rows by heart."""
    axis = score_axis([np.full(99, 0.99), [0.1, 0.25]], "accuracy")
    assert axis.low < 0.25


def test_the_learning_rate_ends_with_the_steps_that_were_taken():
    planned = np.array([1, 20, 100_000]), np.array([0.1, 0.1, 0.0])
    loss, _, rate = parsed(curves(history([2.0, 1.0, 1.5, 1.25]), schedule=planned))

    def across(svg):
        (group,) = [g for g in svg.findall("g") if g.get("text-anchor") == "middle"]
        return [text.text for text in group]

    assert across(rate) == across(loss) == ["10", "20", "30", "40", "step"]


def test_the_best_epoch_is_that_of_the_monitor():
    found = history([3.0, 1.0, 2.0])
    assert best_row(found, "val_score", "accuracy") == best_row(found, "val_accuracy", "accuracy") == 2
    assert best_row(found, "val_loss", "accuracy") == 1
    assert best_row(found, "val_roc_auc", "accuracy") is None
    assert best_row(history([math.nan]), "val_loss", "accuracy") is None
