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
    assert shown == [["0.001", "10.00 %"], ["0.01", "30.00 %"], ["0.1", "20.00 %"]]


def along(svg):
    """The numbers or names along the horizontal axis, and its label."""
    (group,) = [g for g in svg.findall("g") if g.get("text-anchor") == "middle"]
    return [text.text for text in group]


def test_the_score_over_settings_that_are_no_numbers_or_two():
    page = html_of((0.1, 0.3, 0.2), {"activation": ["relu", "gelu", "silu"]})
    assert along(charts(page)[1]) == ["gelu", "relu", "silu", "activation"]
    page = html_of((0.1, 0.3), {"patience": [None, 5]})
    assert along(charts(page)[1]) == ["none", "5", "patience"]
    assert "By setting" not in html_of((0.1, 0.3, 0.2), {"seed": [1, 2, 3]})


def test_many_settings_have_a_chart_each_but_the_seed():
    """In the order of what they explain; whole numbers have whole numbers along the axis."""
    grid = {"batch_size": [2, 3, 4], "learning_rate": [0.01, 0.1, 1.0], "reg": [0.0, 0.5], "seed": [0, 1, 2]}
    configs = sweep.configs(sweep.grid(grid), BASE)
    values = [0.5 + 0.2 * np.log10(c.learning_rate) + 0.05 * c.batch_size + c.seed / 1000 for c in configs]
    page = page_of(configs, ranked(values), "accuracy", None).decode()
    _, *by_setting = charts(page)
    titles = ["Accuracy by learning rate", "Accuracy by batch size", "Accuracy by reg"]
    assert [svg.find("text").text for svg in by_setting] == titles
    assert along(by_setting[1]) == ["2", "3", "4", "batch_size"]
    (table,) = re.findall(r'<table class="matrix heat">.*?</table>', page)
    assert "by batch size (down) and learning rate (across); each cell is the best over seed and reg" in table
    cells = re.findall(r"<td [^>]*>([^<]*)</td>", table)
    assert cells[:4] == ["20.2 %", "40.2 %", "60.2 %", "25.2 %"]
    names = ("reg", "dropout", "momentum", "warmup", "ema", "init_std", "clip_norm")
    many = {name: [0.1, 0.2] for name in names}
    page = html_of(np.linspace(0.1, 0.9, 128), many)
    assert len(charts(page)) == 1 + 6
    assert "These are 6 of 7." in page


def test_a_dot_that_would_be_below_the_axis_is_at_its_end():
    configs = sweep.configs(sweep.grid({"reg": [1e-3, 1e-2, 0.1]}), BASE)
    page = page_of(configs, ranked([-1e9, 0.5, 0.25]), "r2", None).decode()
    dots = [path.get("d") for path in charts(page)[1].find("svg").findall("path") if "h0" in path.get("d")]
    assert dots[0].split("h0")[0].endswith(" 210")


def test_the_range_of_many_networks_is_that_of_all():
    values = np.linspace(0.99, 0.05, 150)
    root = ET.fromstring(curves([row(k, value) for k, value in enumerate(values)], "accuracy"))
    (at,) = [group for group in root.iter("g") if group.get("class") == "xp-at"]
    assert [text.text for text in list(at)[-1].findall("text")][1] == f"5.0 % to {100 * values[1]:.1f} %"
    names = [text.text for text in list(root)[-1]]
    assert names == ["60 of 150 drawn", "others", "best: network 0"]
    lines = [path for path in root.find("svg").findall("path") if "L" in path.get("d")]
    assert len(lines) == 60
    ends = [float(path.get("d").split()[-1]) for path in lines]
    assert max(ends) - min(ends) > 100  # from the worst to the best


def test_the_best_r2_is_drawn_where_it_is_below_the_limit_of_its_axis():
    rows = [row(0, -1.25), row(1, -1e9)]
    rows[0]["curve"] = [[16, -1.25], [32, -2.0], [48, -900.0]]  # the best of all was the first
    root = ET.fromstring(curves(rows, "r2"))
    (group,) = [g for g in root.findall("g") if g.get("text-anchor") == "end"]
    assert [text.text for text in group] == ["-3.5", "-3", "-2.5", "-2", "-1.5"]


def test_views_that_the_curves_do_not_average():
    base = {"averaging": ["flip"], "reg": [0.0, 0.5]}
    assert "The curves score each image as it is." in html_of((0.1, 0.2), base)
    assert "The curves" not in html_of((0.1, 0.2), {"reg": [0.0, 0.5]})


def test_a_heading_is_a_button_as_a_whole():
    style = re.search(r"\.sortable button \{([^}]*)\}", html_of())[1]
    assert "display: block" in style
    assert "width: 100%" in style
    assert re.search(r"\.sortable thead th \{ padding: 0; \}", html_of())


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
