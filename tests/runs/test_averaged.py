"""What a page says of scores that are averages beside curves that are not."""

import re
from dataclasses import replace

import pytest

from xpnet.datasets import load
from xpnet.device import get_device
from xpnet.runs import experiment
from xpnet.runs.averaged import note_on_curves
from xpnet.runs.config import Config
from xpnet.runs.report import report_of

CONFIG = Config(hidden=(6,), epochs=2)


def page_of(**changes):
    run = experiment.run(replace(CONFIG, **changes), load("digits"), get_device("cpu"))
    return run, report_of(run).as_html().decode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"averaging": "flip"}, "score each image as it is.*each image and its mirror image .averaging flip"),
        ({"averaging": "flip-shift"}, "score each image as it is.*shifts of both"),
        ({"ensemble": 2}, "means over the 2 networks, each scored alone.*averaged over the networks"),
        ({"ensemble": 2, "averaging": "flip"}, "scored alone and on images as they are.*mirror image"),
    ],
)
def test_a_report_says_how_its_curves_differ(changes, words):
    _, page = page_of(**changes)
    (said,) = re.findall(r"<p[^>]*>(The curves [^<]*)</p>", page)
    assert re.search(words, said)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_where_the_curves_end_in_the_score_nothing_is_said(ema):
    """An average of the weights is what the curves are of."""
    run, page = page_of(ema=ema)
    assert run.history.rows[-1].val_score == pytest.approx(run.summary["val_accuracy"], rel=1e-6)
    assert "The curves" not in page


def test_of_a_sweep_whose_networks_differ():
    assert "where averaging is on" in note_on_curves("r2", ["none", "flip"])
    assert note_on_curves("r2", ["none"]) == ""
