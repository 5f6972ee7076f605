"""The page about a sweep: its table, its heat map, its curves, and the one script that may run."""

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from html import unescape

import numpy as np
import pytest
from sweeps import BASE, blobs

import xpnet
from xpnet import sweep
from xpnet.errors import InputError
from xpnet.sweep import Sweep
from xpnet.sweep.report import curves, page_of

GRID = {"learning_rate": [1e-3, 1e-2, 0.1], "reg": [0.0, 0.5]}


def row(network, val=0.5, status="finished", steps=3):
    curve = [[10 * (k + 1), val * (k + 1) / steps] for k in range(steps)]
    return {
        "network": network,
        "train_score": 0.75,
        "val_score": val,
        "status": status,
        "seconds": 0.5,
        "curve": curve,
    }


def ranked(values):
    """Rows of networks in the order of what they are worth; NaN for one that diverged."""
    order = sorted(range(len(values)), key=lambda k: -np.nan_to_num(values[k], nan=-1.0))
    return [row(k, values[k], "diverged" if np.isnan(values[k]) else "finished") for k in order]


def html_of(values=(0.25, 0.5, 0.75, 0.875, np.nan, 0.5), grid=GRID, **more):
    configs = sweep.configs(sweep.grid(grid), BASE)
    return page_of(configs, ranked(list(values)), "accuracy", None, **more).decode()


def charts(page):
    return [ET.fromstring(svg) for svg in re.findall(r"<svg class=.*?</svg>(?:.*?</svg>)", page, re.DOTALL)]


def test_the_policy_names_the_one_script():
    page = html_of()
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert (
        policy
        == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    assert not re.search(r"https?:|url\(|@import|<link|<iframe|\son\w+=", page.replace(script, ""))


def test_the_table_has_all_networks_and_what_they_are_sorted_by():
    page = html_of()
    (table,) = re.findall(r'<table class="sortable">.*?</table>', page)
    heads = re.findall(r"<th [^>]*><button type=\"button\" disabled>([^<]*)</button></th>", table)
    assert heads == ["rank", "network", "learning_rate", "reg", "train", "val", "status"]
    lines = [re.findall(r"<td[^>]*>([^<]*)</td>", line) for line in table.split("<tr")[2:]]
    assert [line[1] for line in lines] == ["3", "2", "1", "5", "0", "4"]
    assert lines[0] == ["1", "3", "0.01", "0.5", "75.00 %", "87.50 %", "finished"]
    assert re.findall(r'data-v="([^"]*)">87.50 %', table) == ["87.50"]
    assert re.findall(r'data-v="([^"]*)">–', table) == [""]  # comes last, however it is sorted
    assert re.findall(r'data-first="down"><button[^>]*>(\w+)', table) == ["train", "val"]


def test_more_networks_than_a_page_holds():
    configs = sweep.configs(sweep.grid({"seed": list(range(1200))}), BASE)
    page = page_of(configs, [row(k) for k in range(1200)], "accuracy", None).decode()
    assert "results.csv has all 1,200" in page
    assert page.count("<tr") == 1001
    assert len(page) < 400_000


def test_the_heat_map():
    (table,) = re.findall(r'<table class="matrix heat">.*?</table>', html_of())
    assert "Validation accuracy by learning rate (down) and reg (across)" in table
    cells = re.findall(r"<td [^>]*>([^<]*)</td>", table)
    assert cells == ["25.0 %", "50.0 %", "75.0 %", "87.5 %", "diverged", "50.0 %"]
    shares = [float(share) for share in re.findall(r"rgba\(var\(--blue\),([\d.]+)\)", table)]
    assert shares == pytest.approx([0.1, 0.46, 0.82, 1.0, 0.46])
    assert "Heat map" not in html_of((0.1, 0.2, 0.3), {"reg": [1e-3, 1e-2, 0.1]})


def test_the_score_over_each_setting():
    page = html_of((0.1, 0.3, 0.2), {"reg": [1e-3, 1e-2, 0.1]})
    of_sweep, by_setting = charts(page)
    assert [of_sweep.find("text").text, by_setting.find("text").text] == [
        "Validation accuracy",
        "Accuracy by reg",
    ]
    (at,) = [group for group in by_setting.iter("g") if group.get("class") == "xp-at"]
    shown = [[text.text for text in place.findall("text")] for place in at]
    assert shown == [["reg 0.001", "10.00 %"], ["reg 0.01", "30.00 %"], ["reg 0.1", "20.00 %"]]
    assert len(charts(html_of((0.1, 0.3, 0.2), {"activation": ["relu", "gelu", "silu"]}))) == 1


def test_the_curves_of_all_networks_and_the_best_in_colour():
    root = ET.fromstring(
        curves([row(3, 0.9), row(1, 0.6), row(0, 0.3), row(2, np.nan, "diverged")], "accuracy")
    )
    (at,) = [group for group in root.iter("g") if group.get("class") == "xp-at"]
    last = list(at)[-1]
    assert [text.text for text in last.findall("text")] == ["step 30", "30.0 % to 60.0 %", "90.00 %"]
    names = [text.text for text in list(root)[-1]]
    assert names[1:] == ["others", "best: network 3"]
    assert "nan" not in ET.tostring(root, "unicode").lower()
    assert curves([], "accuracy") == ""
    alone = ET.fromstring(curves([row(0, 0.5, steps=1)], "accuracy"))
    assert [text.text for text in list(alone)[-1]][1:] == ["best: network 0"]


def test_learning_curves_where_the_rows_vary():
    values = (0.5, 0.6, 0.7, 0.8)
    page = html_of(values, {"train_rows": [10, 20], "seed": [0, 1]}, num_rows=60)
    assert "By number of training rows" in page
    assert "Heat map" not in page
    (chart,) = [svg for svg in charts(page) if svg.find("text").text == "Accuracy by training rows"]
    (at,) = [group for group in chart.iter("g") if group.get("class") == "xp-at"]
    shown = [[text.text for text in place.findall("text")] for place in at]
    assert shown == [["10 rows", "75.00 %", "55.00 %"], ["20 rows", "75.00 %", "75.00 %"]]
    several = html_of(values, {"train_rows": [10, 20], "activation": ["relu", "gelu"]}, num_rows=60)
    assert "20 rows: best 80.00 %" in several
    assert "</span> activation gelu</li>" in several


def test_names_are_text(tmp_path):
    evil = "<script>alert(1).npz"
    configs = sweep.configs(sweep.grid({"reg": [0.0, 0.5]}), xpnet.Config.of({"dataset": evil}))
    page = page_of(configs, [row(0)], "accuracy", None, folder=tmp_path / "<b>", remedy="<i>").decode()
    assert "<script>alert" not in page
    assert "<i>" not in page
    assert "xpnet sweep: <script>alert(1).npz" in unescape(page)


def test_a_sweep_writes_its_page(tmp_path):
    data = blobs()
    given = {"X_val": data.X_val, "y_val": data.y_val, "iterations": 30, "hidden": 5}
    found = xpnet.search(
        data.X_train, data.y_train, {"learning_rate": [0.01, 0.1]}, out=str(tmp_path / "a b"), **given
    )
    page = (tmp_path / "a b" / "report.html").read_text("utf-8")
    assert f"xpnet evaluate '{tmp_path / 'a b'}'" in unescape(page)
    assert '<a href="best/report.html">' in page
    elsewhere = found.report(tmp_path / "r.html").read_text("utf-8")
    assert "best/report.html" not in elsewhere
    assert "validation accuracy of the best" in elsewhere
    with pytest.raises(InputError, match="is a folder"):
        found.report(tmp_path)


def test_where_every_network_diverged(tmp_path):
    data = blobs()
    with pytest.warns(RuntimeWarning, match="every network diverged"):
        found = xpnet.search(data.X_train, data.y_train, {"learning_rate": [1e9, 1e8]}, X_val=data.X_val,
                             y_val=data.y_val, iterations=30, hidden=5, out=str(tmp_path / "s"))  # fmt: skip
    page = (tmp_path / "s" / "report.html").read_text("utf-8")
    assert f"Every network diverged: {found.remedy}" in unescape(page)
    assert "Best network" not in page


def test_a_notebook_shows_a_card():
    configs = sweep.configs(sweep.grid(GRID), BASE)
    page = Sweep(configs, ranked([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), None, complete=True)._repr_html_()
    assert page.count("<svg class=") == 1
    assert "<b>60.00 %</b><span>best validation accuracy" in page
    assert "<b>0.1</b><span>learning_rate" in page
    assert "<script" not in page
    assert "<svg" not in Sweep(configs, [], None, complete=False)._repr_html_()
