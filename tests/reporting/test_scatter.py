"""Predicted numbers against the true ones, as charts."""

import math
import xml.etree.ElementTree as ET

import numpy as np

from xpnet.reporting.scatter import predictions


def parsed(html):
    return list(ET.fromstring(html))


def texts(svg):
    return [element.text or "" for element in svg.iter("text")]


def test_predicted_numbers():
    y = np.array([[0.0, 1.0], [4.0, math.nan], [8.0, 4.0]])
    first, errors, *others = parsed(predictions(y, y + 1, ["<a>", "b" * 60]))
    assert texts(first)[0] == "Predicted of <a>"
    assert texts(errors)[0] == "True − predicted of <a>"
    assert texts(others[0])[0] == f"Predicted of {'b' * 26}…"
    points = [path.get("d").count("h0") for path in first.find("svg").findall("path")]
    assert points == [0, 3]  # the line of right predictions, then the rows
    many = np.arange(5000.0)
    note, charts = predictions(many, many, ["a"]).split('<div class="xp-charts">')
    assert "1,000 of 5,000 rows, drawn at random" in note
    assert (
        parsed('<div class="xp-charts">' + charts)[0].find("svg").findall("path")[1].get("d").count("h0")
        == 1000
    )
