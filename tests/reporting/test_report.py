"""The page about a run: what it shows, and that nothing in it is more than text."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from xpnet.reporting import metrics
from xpnet.reporting.report import Report

EVIL = ('<script>alert("1")</script>', "\"'><img src=x onerror=alert(2)>", "a & b", "ünï\x1b\ud800")
Y = np.array([0, 0, 1, 2, 3, 3])
PREDICTED = np.array([0, 1, 1, 2, 3, 0])
SUMMARY = {
    "test_accuracy": 0.98765,
    "val_accuracy": 0.5,
    "train_accuracy": None,
    "steps": 12345,
    "seconds": 1.5,
    "device": "cpu",
    "status": "finished",
}


def make(**changes):
    return Report(
        **{
            "title": "xpnet: digits",
            "subtitle": "2026-12-31",
            "summary": SUMMARY,
            "settings": {"hidden": (300, 10), "reg": 0.01, "flip": False, "patience": None},
            "defaults": {"hidden": (300,), "reg": 0.01, "flip": False, "patience": None},
            "versions": {"numpy": "2.0"},
            "class_names": EVIL,
            "y": Y,
            "predicted": PREDICTED,
        }
        | changes
    )


class Page(HTMLParser):
    """Collects what a browser would make of a page; complains about what is left open."""

    def __init__(self, report):
        super().__init__()
        self.tags, self.open, self.text, self.attributes = [], [], [], []
        self.source = report.as_html().decode("utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style" and data.strip():
            self.text.append(data)


def test_what_it_says():
    page = Page(make())
    for text in ("xpnet: digits", "2026-12-31", "98.77 %", "50.00 %", "12,345", "1.50 s", "300 10", "0.01"):
        assert text in page.text
    assert "training accuracy" not in page.text
    changed = re.findall(r'class="changed"><dt>(\w+)', page.source)
    assert changed == ["hidden"]


def test_the_confusion_matrix():
    page = Page(make())
    cells = re.findall(r"<td (?:class=\"zero\"|style=\"[^\"]*\")>([^<]*)</td>", page.source)
    assert cells == list("11···1····1·1··1")


def test_everything_is_escaped():
    evil = {text: text for text in EVIL}
    page = Page(
        make(
            title=EVIL[0],
            subtitle=EVIL[1],
            settings=evil,
            versions=evil,
            summary=SUMMARY | {"device": EVIL[1], "status": EVIL[0]},
            pictures={"curves": b"<script>"},
        )
    )
    plain = Page(make(pictures={"curves": b"1"}))
    kinds = set(page.tags)
    assert kinds == set(plain.tags)
    assert page.tags.count("img") == 1
    assert EVIL[0] in page.text
    assert EVIL[1] in page.text
    assert r"ünï\x1b\ud800" in page.text


def test_nothing_is_asked_of_anyone():
    page = Page(make(pictures={"curves": b"png", "weights": b"png"}))
    sources = [
        value for name, value in page.attributes if name in ("src", "href", "srcset", "action", "data")
    ]
    assert len(sources) == 2
    assert all(value.startswith("data:image/png;base64,") for value in sources)
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe", page.source)
    policy = next(value for name, value in page.attributes if "default-src" in (value or ""))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_without_pictures_and_validation():
    page = Page(make(y=None, predicted=None))
    assert "img" not in page.tags
    assert "table" not in page.tags


@pytest.mark.parametrize(("status", "words"), [("diverged", "overflowed"), ("interrupted", "interrupted")])
def test_a_run_that_did_not_finish(status, words):
    page = Page(make(summary=SUMMARY | {"status": status, "val_accuracy": float("nan")}))
    assert any(words in text for text in page.text)
    assert "–" in page.text


def test_many_classes_are_those_of_the_lowest_f1():
    y = np.arange(500) % 100
    predicted = np.where(y < 90, y, 0)
    page = Page(make(y=y, predicted=predicted, class_names=[f"class {k}" for k in range(100)]))
    assert "The 30 classes with the lowest F1" in page.text
    assert page.tags.count("table") == 1
    assert {f"class {k}" for k in range(90, 100)} < set(page.text)
    assert len(page.source) < 30_000


def test_numbers():
    found = metrics.PerOutput(np.array([0.5, 1.0]), np.array([1.5, 0.0]), np.array([1.25, 0.0]))
    given = {"y": None, "predicted": None, "outputs": found, "class_names": EVIL[:2], "score": "r2"}
    page = Page(make(**given, pictures={"predictions": b"png"}))
    assert page.tags.count("img") == page.tags.count("table") == 1
    assert [text for text in page.text if text in ("0.5000", "1.5", "1.25", "0.7500", "0.75")] == [
        *("0.5000", "1.5", "1.25"),
        *("0.7500", "0.75"),
    ]
    many = metrics.PerOutput(*np.zeros((3, 40)))
    page = Page(make(**given | {"outputs": many, "class_names": [f"output {k}" for k in range(40)]}))
    assert "How far each number is off, the first 30 of 40" in page.text
    assert page.tags.count("tr") == 32
