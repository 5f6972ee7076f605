"""``xpnet recipe``: each with what it is for and what it reached."""

import re
import tomllib
from pathlib import Path

import pytest

from xpnet import Config, recipes
from xpnet.commands import recipe
from xpnet.runs.settings import read_file

ROOT = Path(__file__).parents[2]


def test_all_are_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert recipe.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == recipes.names()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    for name in recipes.names():
        purpose, measured = recipes.about(name)
        assert f"{name} {purpose}" in text
        assert measured in text


@pytest.mark.parametrize("name", recipes.names())
def test_one_is_printed_as_it_is_and_can_be_read(name, capsys, tmp_path):
    assert recipe.main([name]) == 0
    out = capsys.readouterr().out
    assert out == recipes.path(name).read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(out, encoding="utf-8")
    assert len(read_file(tmp_path / "mine.toml", Config)) == len(tomllib.loads(out))


def test_there_is_no_such(capsys):
    assert recipe.main(["dep"]) == 2
    assert "did you mean 'deep'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in recipes.names() if recipes.about(name).measured])
def test_what_it_reached_is_what_was_measured(name):
    """A recipe's own figure is that of the benchmarks."""
    measured = recipes.about(name).measured
    if name.startswith("table"):
        results = ROOT / "benchmarks/results/2026-11-29-tables.md"
        if not results.is_file():
            pytest.skip("the results of benchmarks are not in a source distribution")
        text = results.read_text(encoding="utf-8")
        said = (
            r"error ([\d.]+) times the best of (\w+) methods on eight tables(?: \(table: ([\d.]+)\))?, "
            r"([\d.]+) CPU seconds a fit"
        )
        factor, methods, of_table, seconds = re.fullmatch(said, measured).groups()
        count = {"four": 4, "five": 5, "six": 6}[methods]
        column = f"xpnet {name}"
        of_it = [part for part in text.split("\n\n") if column in part and f"mean rank of {count} " in part]
        (rows,) = [
            [[cell.strip() for cell in line.split("|")] for line in part.splitlines()] for part in of_it
        ]
        at = rows[0].index(column)
        of = {row[1]: row[at] for row in rows}
        assert of["geometric mean over the best"] == factor
        if of_table:
            of = {row[1]: row[rows[0].index("xpnet table")] for row in rows}
            assert of["geometric mean over the best"] == of_table
        if name == "table-best":
            assert f"a fit {seconds} CPU seconds in the median" in text
        else:
            assert float(of["CPU seconds of a fit, median"]) == pytest.approx(float(seconds), abs=0.05)
    else:
        text = (ROOT / "benchmarks/accuracy.md").read_text(encoding="utf-8")
        (row,) = [
            line
            for line in text.splitlines()
            if re.match(rf"\| `{name}` +\|", line) and "seconds" not in line
        ]
        (percent,) = re.findall(r"\*\*([\d.]+ %)\*\*", row)
        assert measured.startswith(f"{percent} of the test images, ")


def test_the_page_of_techniques_has_the_same_figures():
    text = (ROOT / "docs" / "techniques.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)`[^%\n]*?([\d.]+ %)", text, re.MULTILINE)
    assert len(rows) >= 5
    for name, percent in rows:
        assert recipes.about(name).measured.startswith(percent), name
