"""The page about a run: what it shows, and that nothing in it is more than text."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from xpnet.reporting.evaluated import Evaluated, Mistake
from xpnet.reporting.png import png_of
from xpnet.reporting.report import Report, with_evaluation

EVIL = ('<script>alert("1")</script>', "\"'><img src=x onerror=alert(2)>", "a & b", "ünï\x1b\ud800")
Y = np.array([0, 0, 1, 2, 3, 3])
PREDICTED = np.array([0, 1, 1, 2, 3, 0])
PNG = png_of(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
SUMMARY = {
    "test_accuracy": 0.98765,
    "val_accuracy": 0.5,
    "train_accuracy": None,
    "steps": 12345,
    "seconds": 1.5,
    "device": "cpu",
    "status": "finished",
}


def of_classes(y=Y, predicted=PREDICTED, names=EVIL, title="Validation", **more):
    return Evaluated(title, "classification", names, y, predicted, **more)


def make(**changes):
    return Report(
        **{
            "title": "xpnet: digits",
            "subtitle": "2026-12-31",
            "summary": SUMMARY,
            "settings": {"hidden": (300, 10), "reg": 0.01, "flip": False, "patience": None},
            "defaults": {"hidden": (300,), "reg": 0.01, "flip": False, "patience": None},
            "versions": {"numpy": "2.0"},
            "evaluated": {"val": of_classes()},
        }
        | changes
    )


def test_how_to_repeat_the_run():
    assert b"repeats the run" in make().as_html()
    page = make(is_repeatable=False).as_html()
    assert b"repeats the run" not in page
    assert b"The data were given in Python" in page


class Page(HTMLParser):
    """Collects what a browser would make of a page; complains about what is left open."""

    def __init__(self, report):
        super().__init__()
        self.tags, self.open, self.text, self.attributes = [], [], [], []
        self.source = report if isinstance(report, str) else report.as_html().decode("utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

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
    assert re.findall(r'class="same"><dt>(\w+)', page.source) == ["reg", "flip", "patience", "numpy"]


def test_the_confusion_matrix():
    page = Page(make())
    cells = re.findall(r"<td (?:class=\"zero\"|style=\"[^\"]*\")>([^<]*)</td>", page.source)
    assert cells == list("11···1····1·1··1")


def test_the_most_confused_pairs_most_frequent_first():
    y, predicted = np.repeat([0, 0, 1, 2], [5, 15, 7, 3]), np.repeat([1, 0, 2, 2], [5, 15, 7, 3])
    page = Page(make(evaluated={"test": of_classes(y, predicted, ("a", "b", "c"), "Test")}))
    (of_pairs,) = re.findall(r"<table><caption>Most confused.*?</table>", page.source)
    rows = re.findall(r"<tr>(.*?)</tr>", of_pairs)[1:]
    found = [re.findall(r">([^<>]+)</td>", row) for row in rows]
    assert found == [["b", "c", "7", "100.0 %"], ["a", "b", "5", "25.0 %"]]
    assert "Most confused" not in Page(make(evaluated={"val": of_classes(Y, Y)})).source


def test_the_mistakes_as_images_or_rows():
    image = Mistake(7, EVIL[0], EVIL[1], "99.1 %", PNG)
    page = Page(make(evaluated={"val": of_classes(mistakes=[image])}))
    assert page.tags.count("img") == page.tags.count("figure") == 1
    assert f"predicted {EVIL[1]}, 99.1 %" in page.text
    row = Mistake(1234, "a", "b", "99.1 %", None, {EVIL[0]: EVIL[1], "age": "39"})
    page = Page(make(evaluated={"val": of_classes(mistakes=[row])}))
    assert "img" not in page.tags
    for text in ("1,234", "99.1 %", EVIL[0], EVIL[1], "age", "39"):
        assert text in page.text


def test_the_mistakes_have_short_names():
    image = Mistake(7, "y" * 120, "z" * 120, "99.1 %", PNG)
    page = Page(make(evaluated={"val": of_classes(mistakes=[image])}))
    assert "y" * 39 + "…" in page.text
    assert f"predicted {'z' * 39}…, 99.1 %" in page.text
    numbers = ", ".join(["1.5"] * 40)  # which would be others if they were cut
    found = Evaluated("Test", "regression", ["a"], np.zeros((1, 1)), np.ones((1, 1)),
                      mistakes=[Mistake(0, numbers, numbers, "1")])  # fmt: skip
    assert numbers in Page(make(evaluated={"val": found}, score="r2")).text


def test_everything_is_escaped():
    evil = {text: text for text in EVIL}
    given = {
        "title": EVIL[0],
        "subtitle": EVIL[1],
        "settings": evil,
        "versions": evil,
        "summary": SUMMARY | {"device": EVIL[1], "status": EVIL[0]},
        "weights": b"<script>",
    }
    page = Page(make(**given))
    plain = Page(make(weights=b"1"))
    assert set(page.tags) == set(plain.tags)
    assert page.tags.count("img") == 1
    assert EVIL[0] in page.text
    assert EVIL[1] in page.text
    assert r"ünï\x1b\ud800" in page.text


def test_nothing_is_asked_of_anyone():
    page = Page(make(weights=PNG, evaluated={"val": of_classes(mistakes=[Mistake(0, "a", "b", "1 %", PNG)])}))
    sources = [
        value for name, value in page.attributes if name in ("src", "href", "srcset", "action", "data")
    ]
    assert len(sources) == 2
    assert all(value.startswith("data:image/png;base64,") for value in sources)
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe", page.source)
    policy = next(value for name, value in page.attributes if "default-src" in (value or ""))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_it_is_light_and_dark():
    source = Page(make()).source
    dark = source[source.index("@media (prefers-color-scheme: dark)") :]
    variables = set(re.findall(r"(--[\w-]+):", source[: source.index(dark)]))
    assert set(re.findall(r"(--[\w-]+):", dark[: dark.index("} }")])) == variables
    assert set(re.findall(r"var\((--[\w-]+)\)", source)) <= variables


def test_without_pictures_and_validation():
    page = Page(make(evaluated={}))
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
    names = [f"class {k}" for k in range(100)]
    page = Page(make(evaluated={"val": of_classes(y, predicted, names)}))
    assert "The 30 classes with the lowest F1" in page.text
    assert page.tags.count("table") == 2
    assert {f"class {k}" for k in range(90, 100)} < set(page.text)
    assert len(page.source) < 30_000


def test_labels():
    y, said = np.array([[1, 0], [1, 1]]), np.array([[1, 0], [0, 1]])
    page = Page(make(evaluated={"val": Evaluated("Validation", "multilabel", EVIL[:2], y, said)}))
    assert "Scores by label" in page.text
    assert "50.0 %" in page.text


def test_numbers():
    y = np.array([[0.0, 1.0], [4.0, 1.0], [8.0, 4.0]])
    off = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    found = Evaluated("Validation", "regression", EVIL[:2], y, y + off)
    page = Page(make(evaluated={"val": found}, score="r2"))
    assert page.tags.count("table") == 1
    assert page.tags.count("svg") == 2 * 2 * 2  # with the plot within
    (means,) = re.findall(r"<tfoot>(.*?)</tfoot>", page.source)
    assert re.findall(r"<td>([^<]+)</td>", means) == ["0.9531", "0.5", "0.5"]
    many = np.zeros((3, 40))
    names = [f"output {k}" for k in range(40)]
    page = Page(make(evaluated={"val": Evaluated("Validation", "regression", names, many, many)}))
    assert "Errors, the first 30 of 40" in page.text
    assert "the first 4 of 40 outputs" in page.text
    assert page.tags.count("tr") == 32


def headings(source):
    return re.findall(r"<h2>([^<]*)</h2>", source)


def test_an_evaluation_is_added_and_replaced():
    first = make(weights=PNG).as_html().decode()
    added = with_evaluation(first, "test", of_classes(title="Test"))
    assert headings(added) == ["Validation", "Test", "Weights of the first layer", "Settings", "Made with"]
    again = with_evaluation(added, "test", of_classes(title="Test", measures={"accuracy": 0.125}))
    assert headings(again) == headings(added)
    assert "12.50 %" in Page(again).source
    assert "12.50 %" not in added
    assert with_evaluation(again, "test", of_classes(title="Test")) == added
    other = with_evaluation(added, "val", of_classes(title="Validation", measures={"accuracy": 0.125}))
    assert headings(other) == headings(added)
    assert other.index("12.50 %") < other.index("<h2>Test")


def test_a_page_of_before_has_no_place_for_an_evaluation():
    page = make().as_html().decode()
    assert with_evaluation("<h1>another page</h1>", "test", of_classes()) is None
    assert with_evaluation(page.replace("<!--end of val-->", ""), "val", of_classes()) is None


def test_names_cannot_end_an_evaluation():
    evil = ("<!--evaluations end-->", "<!--end of val-->", "<!--evaluation test-->", "d")
    page = make(evaluated={"val": of_classes(names=evil)}).as_html().decode()
    for comment in evil[:2]:
        assert page.count(comment) == 1
    assert evil[2] not in page
