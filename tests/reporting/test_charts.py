"""Charts as SVG: where things are, and what is shown where one points."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from xpnet.reporting.axes import Axis, number
from xpnet.reporting.charts import STYLE, Mark, Place, Series, chart, thinned

LEFT, RIGHT, TOP, BOTTOM = 54, 344, 62, 210  # where the ends of the axes are


def parsed(svg):
    return ET.fromstring(svg)


def paths(root):
    """The points of each line or row of dots within the plot."""
    plot = root.find("svg")
    found = []
    for path in plot.findall("path"):
        steps = path.get("d").replace("h0", "").replace("L", "M").split("M")[1:]
        found.append([tuple(map(float, step.split())) for step in steps])
    return found


def texts(root):
    return [element.text or "" for element in root.iter("text")]


def test_values_are_at_their_places():
    x, y = Axis(0, 10, label="step"), Axis(0, 1)
    line, dots = paths(parsed(chart("Loss", [Series("train", [0, 5, 10], [0, 0.5, 1])], x, y)))
    assert line == dots == [(LEFT, BOTTOM), ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, TOP)]


def test_a_logarithmic_axis():
    x, y = Axis(1, 100, log=True), Axis(0.01, 1, log=True)
    line, _ = paths(parsed(chart("Loss", [Series("", [1, 10, 100], [1, 0.1, 0.01])], x, y)))
    assert line == [(LEFT, TOP), ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, BOTTOM)]


def test_what_is_not_finite_leaves_a_gap_and_a_point_alone_is_a_dot():
    svg = chart(
        "", [Series("a", [0, 1, 2, 3], [0, math.nan, 1, math.inf], style="plain")], Axis(0, 3), Axis(0, 1)
    )
    (path,) = parsed(svg).find("svg").findall("path")
    assert path.get("d").count("M") == 2
    assert "L" not in path.get("d")
    (dot,) = parsed(chart("", [Series("a", [1], [1.0])], Axis(0, 2), Axis(0, 1))).find("svg").findall("path")
    assert dot.get("d").endswith("h0")
    assert not paths(parsed(chart("", [Series("a", [0, 1], [math.nan] * 2)], Axis(0, 3), Axis(0, 1))))[0]


def test_values_show_under_the_pointer():
    places = [Place(x, f"epoch {x}", [f"{x}.5", "–"], [x / 10]) for x in (0, 5, 10)]
    series = [Series("train", [0, 5, 10], [0, 0.5, 1]), Series("validation", [0, 5, 10], [1, 1, 1])]
    root = parsed(chart("Loss", series, Axis(0, 10), Axis(0, 1), places=places, note="0.5 at the best"))
    (at,) = [group for group in root.iter("g") if group.get("class") == "xp-at"]
    assert (at.get("visibility"), at.get("pointer-events")) == ("hidden", "all")
    shown = [[text.text for text in group.findall("text")] for group in at.findall("g")]
    assert shown == [[f"epoch {x}", f"{x}.5", "–"] for x in (0, 5, 10)]
    boxes = [group.find("rect") for group in at.findall("g")]
    ends = [(float(box.get("x")), float(box.get("x")) + float(box.get("width"))) for box in boxes]
    assert [end for _, end in ends[:-1]] == [begin for begin, _ in ends[1:]]  # no place between them
    assert ends[0][1] == (LEFT + (LEFT + RIGHT) / 2) / 2
    names = list(root)[-1]  # after them, so that they hide while one points
    assert names.get("class") == "xp-names"
    assert [text.text for text in names] == ["0.5 at the best", "train", "validation"]
    assert ".xp-at g:hover *{visibility:visible}" in STYLE
    assert ".xp-at:hover~.xp-names{visibility:hidden}" in STYLE


def test_marks_stay_within_the_chart():
    marks = [Mark(0, "diverged at step 0"), Mark(10, "best: epoch 10")]
    root = parsed(chart("", [], Axis(0, 10), Axis(0, 1), marks=marks))
    for text in root.findall("text")[1:]:
        half = 6.5 * len(text.text) / 2
        assert float(text.get("x")) > half
        assert float(text.get("x")) + half < 360


def test_the_last_number_along_an_axis_is_not_cut_off():
    root = parsed(chart("", [], Axis(1, 8000, whole=True), Axis(0, 1)))
    (last,) = [text for text in root.iter("text") if text.text == "8,000"]
    assert float(last.get("x")) + 6.5 * 5 / 2 < 360


def test_names_are_text():
    evil = '<script>"&\x1b$'
    svg = chart(evil, [Series(evil, [0], [0.0])], Axis(0, 1, label=evil), Axis(0, 1), marks=[Mark(0, evil)],
                places=[Place(0, evil, [evil])], note=evil)  # fmt: skip
    root = parsed(svg)
    assert texts(root).count(evil.replace("\x1b", "\\x1b")) == 7
    assert "script" not in {element.tag for element in root.iter()}


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Axis(0.93, 1.0), [0.94, 0.96, 0.98, 1]),
        (Axis(1, 2, whole=True), [1, 2]),
        (Axis(1, 3000, whole=True), [1000, 2000, 3000]),
        (Axis(0.2, 4, log=True), [0.2, 0.3, 0.5, 1, 2, 3]),
        (Axis(1e-3, 1e3, log=True), [1e-3, 1e-2, 0.1, 1, 10, 100, 1000]),
        (Axis(1e-9, 1e9, log=True), [10.0**k for k in range(-9, 10, 4)]),
        (Axis(0.31, 0.34, log=True), [0.31, 0.32, 0.33, 0.34]),
        (Axis(5, 5), [5]),
        (Axis(0.8, 12, log=True, whole=True), [1, 2, 3, 5, 10]),
        (Axis.of_names(["relu", "gelu", "tanh"]), [0, 1, 2]),
    ],
)
def test_ticks_are_round(axis, ticks):
    assert axis.ticks() == pytest.approx(ticks)


def test_an_axis_is_over_what_is_finite():
    assert Axis.over([1, math.nan, 3, math.inf])[:2] == (0.9, 3.1)
    assert Axis.over([-5.0, 2.0], least=-1.0, most=1.0)[:2] == (-1.0, 1.0)
    assert Axis.over([2.0, 2.0])[:2] == (1.9, 2.1)
    assert Axis.over([math.nan])[:2] == (0.0, 1.0)
    low, high = Axis.over([0.0, -1.0, 0.01, 1.0], log=True)[:2]
    assert 0.005 < low < 0.01 < 1 < high < 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234, "1,234"), (12345, "12.35k"), (2.5e6, "2.5M"), (0.00012, "1.2e-4"),
     (1.5e-7, "1.5e-7"), (1e12, "1e12"), (-3.0, "-3"), (math.nan, "–"), (0.123456, "0.1235")],
)  # fmt: skip
def test_numbers(value, text):
    assert number(value) == text


def test_an_axis_of_names_has_a_place_for_each():
    axis = Axis.of_names(["relu", "gelu"], "activation")
    assert [axis.write(tick) for tick in axis.ticks()] == ["relu", "gelu"]
    assert axis.parts([0, 1]).tolist() == [0.25, 0.75]


def test_a_thinned_line_has_its_peaks():
    y = np.sin(np.arange(10_000.0))
    y[1234], y[4321] = 7.0, -7.0
    x, few = thinned(np.arange(10_000), y)
    assert len(few) <= 600
    assert (x[few.argmax()], x[few.argmin()]) == (1234, 4321)
    assert (np.diff(x) > 0).all()
    assert len(thinned(np.arange(2000), np.full(2000, math.nan))[0]) == 300
