"""``xpnet runs``: the table of a folder's runs, and two of them side by side."""

import csv
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from xpnet import fit
from xpnet.__main__ import main as xpnet
from xpnet.commands import runs, sweep
from xpnet.commands.tabulate import Column, as_lines, fitting, shortened
from xpnet.text import width_of

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Train some runs and a sweep, once; return the folder that has them in ``runs``."""
    folder = tmp_path_factory.mktemp("made")
    quick = {"iterations": 5, "batch_size": 10}
    fit("digits", hidden=4, seed=1, out=folder / "runs/first", **quick)
    fit("digits", hidden=(8, 8), solver="adam", dropout=0.1, out=folder / "runs/deeper/second", **quick)
    rows = np.linspace(-1, 1, 60)
    fit(rows[:, None], 3 * rows, recipe="none", hidden=4, out=folder / "runs/numbers", **quick)
    fit("digits", hidden=4, seed=1, learning_rate=0.2, out=folder / "runs/first.2", **quick)
    argv = ["--hidden", "4", "--iterations", "5", "--seed", "1", "2", "3"]
    assert sweep.main([*argv, "--out", str(folder / "runs/grid"), "--quiet"]) == 0
    for age, path in enumerate(["first", "first.2", "deeper/second", "numbers"]):
        os.utime(folder / "runs" / path / "summary.json", (1e9 + age, 1e9 + age))
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """Work beside a copy of those runs."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here" / "runs"


def lines(capsys, *argv):
    """Return the lines of standard output of a call that succeeds and says nothing else."""
    assert runs.main(list(argv)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def names(capsys, *argv):
    """Return the names in the order of the table."""
    found = list(csv.DictReader(lines(capsys, "--csv", *argv)))
    return [row["name"] for row in found]


def test_no_column_is_there_twice(here, capsys):
    """The setting epochs, beside the last epoch of training."""
    fit("digits", hidden=4, epochs=2, out=here / "longer")
    heading = lines(capsys, "--csv")[0].split(",")
    assert {"epochs", "last_epoch"} <= set(heading)
    assert len(set(heading)) == len(heading)
    (row,) = [row for row in csv.DictReader(lines(capsys, "--csv")) if row["name"] == "longer"]
    assert (row["epochs"], row["last_epoch"]) == ("2", "2")


def test_seeds_are_the_first_to_be_left_out(here, capsys, monkeypatch):
    for seed, dropout in enumerate([0.0, 0.1, 0.2]):
        fit("digits", dropout=dropout, seed=seed, iterations=2, batch_size=10, out=here / f"some/{seed}")
    monkeypatch.setattr(runs, "_width", lambda: 43)
    shown = "\n".join(lines(capsys, str(here / "some")))
    assert "dropout" in shown
    assert "seed" not in shown


@pytest.mark.usefixtures("here")
def test_the_newest_first_with_what_differs(capsys):
    assert names(capsys) == ["grid", "numbers", "deeper/second", "first.2", "first"]
    above, heading, *rows, _, count = lines(capsys)
    assert "learning_" in above.split()
    assert {"name", "data", "status", "val", "test", "hidden", "solver", "rate", "date"} <= set(
        heading.split()
    )
    assert {"momentum", "activation", "quiet", "dataset", "out"}.isdisjoint(heading.split())
    assert [row.split()[0] for row in rows] == ["grid", "numbers", "deeper/second", "first.2", "first"]
    assert "best of 3" in rows[0]
    assert "R² " in rows[1]
    assert "8 8" in rows[2]
    assert count == "4 runs and 1 sweep"  # all settings have room where the output is no terminal


@pytest.mark.parametrize(
    ("argv", "first"),
    [
        (["--sort", "name"], "deeper/second"),
        (["--sort", "name", "--reverse"], "numbers"),
        (["--reverse"], "first"),
        (["--sort", "learning-rate", "--reverse"], "first.2"),
        (["--sort", "hidden", "--reverse"], "deeper/second"),
        (["--sort", "dropout", "--reverse"], "deeper/second"),
        (["--sort", "steps"], None),
    ],
)
@pytest.mark.usefixtures("here")
def test_by_any_column(capsys, argv, first):
    found = names(capsys, *argv)
    assert sorted(found) == ["deeper/second", "first", "first.2", "grid", "numbers"]
    assert first in (found[0], None)


@pytest.mark.parametrize("column", ["test", "val", "train"])
def test_the_best_first_and_those_without_a_score_last(here, capsys, column):
    (here / "first" / "summary.json").unlink()
    found = list(csv.DictReader(lines(capsys, "--csv", "--sort", column)))
    scores = [float(row[column]) for row in found if row[column]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) >= 3
    assert found[-1]["name"] in ("first", "numbers")
    assert found[-1][column] == ""


@pytest.mark.usefixtures("here")
def test_an_unknown_column(capsys):
    assert runs.main(["--sort", "lr"]) == 2
    expected = "xpnet runs: error: --sort: there is no column 'lr': did you mean learning_rate?\n"
    assert capsys.readouterr().err == expected
    assert runs.main(["--sort", "nonsense-of-a-name"]) == 2
    assert "use name, data, status, test, val" in capsys.readouterr().err


def test_json_has_all_that_is_known(here, capsys):
    found = json.loads("\n".join(lines(capsys, "--json", "--sort", "name")))
    assert [Path(run["path"]).name for run in found] == ["second", "first", "first.2", "grid", "numbers"]
    of = {Path(run["path"]).name: run for run in found}
    summary = json.loads((here / "first" / "summary.json").read_text())
    assert of["first"]["test"] == summary["test_accuracy"]
    assert of["first"]["summary"] == summary
    assert of["first"]["settings"]["hidden"] == [4]
    assert (of["first"]["kind"], of["first"]["networks"], of["first"]["steps"]) == ("run", None, 5)
    assert (of["grid"]["kind"], of["grid"]["networks"], of["grid"]["networks_done"]) == ("sweep", 3, 3)
    best = json.loads((here / "grid" / "best" / "summary.json").read_text())
    assert of["grid"]["val"] == best["val_accuracy"]
    assert of["numbers"]["score"] == "r2"


@pytest.fixture
def terminal(monkeypatch):
    """Return what makes the output that of a terminal so many columns wide."""

    def make(columns):
        monkeypatch.setattr(runs, "_width", lambda: columns)

    return make


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120])
@pytest.mark.usefixtures("here")
def test_nothing_is_wider_than_the_terminal(capsys, terminal, width):
    terminal(width)
    *table, _, count = lines(capsys)
    assert max(map(len, table)) <= width
    assert len(table) in (6, 7)
    assert count.startswith("4 runs and 1 sweep; ")
    assert count.endswith(("settings differ: --csv shows all", "setting differs: --csv shows all"))
    sorted_by = lines(capsys, "--sort", "dropout")
    assert width < 40 or any("dropout" in line for line in sorted_by[:2])  # whatever else has no room


def test_one_data_set_is_said_once(here, capsys, terminal):
    terminal(100)
    shutil.rmtree(here / "numbers")
    *table, _, count = lines(capsys)
    assert not any("digits" in line for line in table)
    assert count.startswith("3 runs and 1 sweep of digits")


def test_what_is_damaged_is_a_note_each(here, capsys):
    text = (here / "first" / "summary.json").read_text()
    (here / "first" / "summary.json").write_text(text[:40])
    (here / "first.2" / "summary.json").unlink()
    (here / "foreign").mkdir()
    (here / "foreign" / "config.json").write_text('{"model_type": "bert"}')
    (here / "other").mkdir()
    (here / "other" / "summary.json").write_bytes(b"\xff\xfe\x00")
    (here / "list").mkdir()
    (here / "list" / "sweep.json").write_text("[1]")
    (here / "grid" / "results.csv").write_bytes(b"\x00\xff\n")
    (here / "nothing").mkdir()
    (here / "a-file").write_text("x")
    assert runs.main(["--sort", "name"]) == 0
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 5
    assert all(line.startswith("xpnet runs: note: runs") for line in err.splitlines())
    for path in ("first/summary.json", "grid/results.csv"):
        assert f"{Path('runs', path)} is damaged: " in err
    for path in ("foreign/config.json", "other/summary.json", "list/sweep.json"):
        assert f"{Path('runs', path)} is not from an xpnet run: ignored\n" in err
    rows = {line.split()[0]: line for line in out.splitlines()[2:] if line}
    assert "damaged" in rows["first"]
    assert "unfinished" in rows["first.2"]
    assert "0 of 3 done" in rows["grid"] or "3 of 3 done" in rows["grid"]
    assert "foreign" not in out


def test_a_sweep_that_lost_a_part(here, capsys):
    shutil.rmtree(here / "grid" / "best")
    assert runs.main([]) == 0
    out, err = capsys.readouterr()
    assert "grid/best is missing or damaged: run the sweep again" in err.replace(os.sep, "/")
    assert "damaged" in next(line for line in out.splitlines() if line.startswith("grid"))


def test_a_sweep_whose_description_is_cut_off_still_shows_its_best(here, capsys):
    text = (here / "grid" / "sweep.json").read_text()
    (here / "grid" / "sweep.json").write_text(text[:100])
    assert runs.main([]) == 0
    out, err = capsys.readouterr()
    assert "sweep.json is damaged: correct it, or move it away" in err
    assert any(line.startswith("grid/best") for line in out.replace(os.sep, "/").splitlines())


def test_many_notes_are_counted(here, capsys):
    for number in range(20):
        (here / f"bad{number}").mkdir()
        (here / f"bad{number}" / "config.json").write_text("{}")
    assert runs.main([]) == 0
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 9
    assert "12 more" in err[-1]


def test_a_name_may_be_anything(here, capsys):
    name = "ev\x1b[31mil\nname"
    (here / "first").rename(here / name)
    out = "\n".join(lines(capsys))
    assert r"ev\x1b[31mil\nname" in out
    assert "\x1b" not in out
    config = here / "first.2" / "config.json"
    config.write_text(config.read_text().replace('"digits"', '"\\u001b[2Jdigits"'))
    assert "\x1b" not in "\n".join(lines(capsys))
    assert "\x1b" not in "\n".join(lines(capsys, str(here / name), str(here / "first.2")))


def test_settings_of_another_version(here, capsys):
    """One that is new there differs; one that is missing had its default."""
    path = here / "first" / "config.json"
    settings = json.loads(path.read_text())
    del settings["momentum"]
    path.write_text(json.dumps(settings | {"gravity": 9.81}))
    table = list(csv.DictReader(lines(capsys, "--csv")))
    assert {row["gravity"] for row in table} == {"", "9.81"}
    assert "momentum" not in table[0]


def test_a_folder_without_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert runs.main([]) == 2
    expected = (
        "xpnet runs: error: there is no folder runs: train a first run with `xpnet train`, or give another\n"
    )
    assert capsys.readouterr().err == expected
    (tmp_path / "runs").mkdir()
    assert runs.main([]) == 2
    err = capsys.readouterr().err
    assert (
        err == "xpnet runs: error: there is no run in runs: train one with `xpnet train`, "
        "or give another folder\n"
    )
    assert runs.main(["--json"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_not_what_lies_deep_or_behind_links(here, capsys, monkeypatch):
    deep = here / "a/b/c/d/e"
    shutil.copytree(here / "first", deep)
    if os.name == "posix":
        (here / "round").symlink_to(here)
    assert len(names(capsys)) == 5
    assert "b/c/d/e" in names(capsys, "runs/a")
    monkeypatch.setattr("xpnet.runs.listing.MOST_FOLDERS", 5)
    assert runs.main([]) == 0
    assert "has more than 5 folders" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_several_folders_and_runs_themselves(capsys):
    found = names(capsys, "runs/deeper", "runs/first", "runs/grid")
    assert sorted(map(Path, found)) == [Path("runs/deeper/second"), Path("runs/first"), Path("runs/grid")]
    assert names(capsys, "runs/first") == [str(Path("runs/first"))]


def test_two_runs_side_by_side(here, capsys):
    found = lines(capsys, "runs/first", "runs/deeper/second")
    assert found[0].split() == [str(Path("runs/first")), str(Path("runs/deeper/second")), "difference"]
    rows = {line[:16].strip(): line[16:].split() for line in found[1:] if line}
    a, b = (json.loads((here / name / "summary.json").read_text()) for name in ("first", "deeper/second"))
    difference = 100 * (b["test_accuracy"] - a["test_accuracy"])
    row = rows["test accuracy"]
    assert row[-1] == f"{difference:+.2f}"
    assert row.index("*") == (5 if difference > 0 else 2) - (difference > 0)
    assert rows["hidden"] == ["4", "8", "8"]
    assert rows["solver"] == ["sgd", "adam"]
    assert rows["steps done"] == ["5", "5"]
    assert "batch_size" not in rows
    assert found[-1] == "* the better of the two"


def test_a_run_beside_a_sweep_and_beside_other_data(here, capsys):
    found = lines(capsys, "runs/first", "runs/grid")
    assert any("best of 3" in line for line in found)
    found = lines(capsys, "runs/first", "runs/numbers")
    assert found[-1] == "The runs used different data, so their scores can't be compared."
    assert not any(" *" in line for line in found)
    (here / "first" / "config.json").unlink()
    assert "its config.json is missing" in lines(capsys, "runs/first", "runs/first.2")[-1]


@pytest.mark.usefixtures("here")
def test_a_run_beside_itself_differs_in_nothing(capsys):
    found = lines(capsys, "runs/first", "runs/first")
    assert found[-1] == "No setting differs."
    assert not any(" *" in line for line in found[:-2])


@pytest.mark.usefixtures("here")
def test_it_is_a_command(capsys):
    assert xpnet(["runs", "--sort", "name"]) == 0
    assert capsys.readouterr().out.endswith("4 runs and 1 sweep\n")


def test_a_sweep_that_has_not_ended(here, capsys):
    (here / "grid" / "results.csv").unlink()
    shutil.rmtree(here / "grid" / "best")
    (row,) = [row for row in csv.DictReader(lines(capsys, "--csv")) if row["name"] == "grid"]
    assert (row["status"], row["val"], row["hidden"]) == ("3 of 3 done", "", "4")


def test_columns_that_fit():
    columns = [Column("name", ["a" * 10]), Column("long", ["b" * 30]), Column("x", ["1"], True)]
    assert [c.name for c in fitting(columns, None)] == ["name", "long", "x"]
    assert [c.name for c in fitting(columns, 44)] == ["name", "long"]
    assert [c.name for c in fitting(columns, 13)] == ["name", "x"]
    assert [c.name for c in fitting(columns, 5)] == ["name"]
    assert as_lines(columns[::2]) == ["name        x", "aaaaaaaaaa  1"]
    assert Column("learning_rate_decay", ["1"]).heading() == ("learning_", "rate_decay")
    assert as_lines([Column("learning_rate", ["1"], True)]) == ["learning_", "     rate", "        1"]


@pytest.mark.parametrize(("text", "width", "found"), [("abc", 3, "abc"), ("abcdefghij", 7, "ab...ij")])
def test_shortened(text, width, found):
    assert shortened(text, width) == found
    assert len(found) <= width


WIDE = [
    ("abc", 3),
    ("学習率", 6),
    ("\uff58", 2),  # of full width
    ("😀b", 3),
    ("e\u0301te\u0301", 3),
    ("\u1112\u1161\u11ab", 2),  # 한, as macOS writes it
    ("naïve ±", 7),
]
"""Texts, and how many columns of a terminal they take."""


def test_wide_letters_and_marks_are_aligned():
    rows = [text for text, _ in WIDE]
    column = Column("名", rows)
    assert [width_of(text) for text in rows] == [width for _, width in WIDE]
    assert as_lines([Column("name", ["学習", "a"]), Column("n", ["1", "😀"], True)]) == [
        "name   n",
        "学習   1",
        "a     😀",
    ]
    assert column.width() == 7
    assert {width_of(line) for line in as_lines([column, Column("x", ["1"] * len(WIDE))])} == {10}


@pytest.mark.parametrize(
    ("text", "width", "found"),
    [
        ("学習率を上げた", 11, "学習...げた"),
        ("学習率を上げた", 10, "学...げた"),  # half a letter has no room
        ("e\u0301" * 9, 7, "éé...éé"),
        ("abcdefgx\u0302y", 6, "a...x\u0302y"),
        ("abcdefg学\u0302y", 6, "a...y"),
    ],
)
def test_wide_letters_are_shortened_whole(text, width, found):
    assert shortened(text, width) == found
    assert width_of(found) <= width


@pytest.mark.parametrize("width", [60, 120])
def test_runs_with_wide_names_are_aligned(capsys, terminal, here, width):
    (here / "first").rename(here / "学習率😀")
    (here / "numbers").rename(here / ("猫" * 40))
    terminal(width)
    rows = lines(capsys, "--sort", "name")[-8:-2]  # the heading and five runs
    assert max(map(width_of, rows)) <= width
    second = [width_of(row[: row.index(row.split()[1], len(row.split()[0]))]) for row in rows]
    assert second == [second[0]] * 6
    assert {"学習率😀", f"{'猫' * 7}...{'猫' * 7}"} <= {row.split()[0] for row in rows}


ODD = [None, True, -1, 0, 1e308, "", "x" * 300, "\x00\x1b[2J", [], [[1], {}], {}, {"a": [None]}, 10**40]


def damaged(rng, path):
    """Damage a file as a full disk, an editor or another program does."""
    content = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.6:
        found = json.loads(content)
        for name in rng.sample(sorted(found), min(4, len(found))):
            found[name] = rng.choice(ODD)
        path.write_text(json.dumps(found), encoding="utf-8")
    elif rng.random() < 0.5:
        path.write_bytes(content[: rng.randrange(len(content))])
    else:
        at = rng.randrange(len(content))
        path.write_bytes(content[:at] + rng.randbytes(3) + content[at + rng.randrange(40) :])


def test_whatever_is_in_the_files(made, tmp_path, capsys, monkeypatch, terminal):
    """A table, or a line that says what is wrong; never a traceback."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(1)
    ways = [[], ["--json"], ["--csv"], ["--sort", "val"], ["--sort", "hidden"], ["runs/first", "runs/grid"]]
    for _ in range(50):
        shutil.copytree(
            made / "runs", "runs", copy_function=os.link, ignore=shutil.ignore_patterns("*.safe*")
        )
        small = [
            path
            for path in Path("runs").rglob("*")
            if path.suffix in (".json", ".csv") and path.stat().st_size
        ]
        for path in rng.sample(small, 4):
            content = path.read_bytes()
            path.unlink()  # the original stays as it is
            path.write_bytes(content)
            damaged(rng, path)
        terminal(rng.choice([None, 80]))
        assert runs.main(rng.choice(ways)) in (0, 2)
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        assert all(line.startswith("xpnet runs: ") for line in err.splitlines())
        shutil.rmtree("runs")
