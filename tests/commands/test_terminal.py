"""What a person sees of a command in a terminal: standard error is one, standard output is read apart."""

import json
import os
from pathlib import Path

import pytest

from xpnet.reporting import plots

if os.name != "posix":
    pytest.skip("takes a pseudo-terminal", allow_module_level=True)
pytest.importorskip("rich")

from terminals import on_terminal, screen_of

SMALL = ("--hidden", "8", "--iterations", "60")
LAST = "drawing" if plots.available() else "writing"

STOPPED = """
import signal, sys
from xpnet.__main__ import main
from xpnet.runs import {module}
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a runner in the background may ignore
work = {module}.{name}
def stopped(*given, **named):
    signal.raise_signal(signal.SIGINT)
    return work(*given, **named)
{module}.{name} = stopped
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def phases_of(written):
    """The phases that a display named, in order."""
    known = ("loading", "preprocessing", "training", "evaluating", LAST)
    places = sorted((written.index(phase), phase) for phase in known if phase in written)
    return [phase for _, phase in places]


@pytest.mark.parametrize("columns", [100, 60])
def test_a_run_names_its_phases_and_leaves_its_bar(columns):
    status, out, written = on_terminal(
        "-m", "xpnet", "train", *SMALL, "--out", "a", "--json", columns=columns
    )
    assert status == 0
    assert json.loads(out.splitlines()[-1])["steps"] == 60
    assert phases_of(written) == ["loading", "preprocessing", "training", "evaluating", LAST]
    *notes, bar, figures = screen_of(written)
    assert notes == [] or "note:" in notes[0]
    assert bar.endswith("  60/60")
    assert figures.startswith("loss ")
    assert max(len(bar), len(figures)) <= columns
    assert written.rstrip().endswith("\x1b[?25h") or notes


def test_quiet_shows_nothing():
    assert on_terminal("-m", "xpnet", "train", *SMALL, "--out", "a", "--quiet") == (0, "", "")


def test_an_overview_of_a_table_goes_where_standard_output_goes():
    """And not into the terminal, whose display is there before and after."""
    pytest.importorskip("pyarrow")
    rows = [f"{k},{k % 7},{'yes' if k % 2 else 'no'}" for k in range(60)]
    Path("t.csv").write_text("\n".join(["a,b,plan", *rows]) + "\n")
    arguments = ("t.csv", "--target", "plan", "--epochs", "2", "--ensemble", "1", "--out", "a")
    status, out, written = on_terminal("-m", "xpnet", "train", *arguments)
    assert status == 0
    assert "rows to train on" in out
    assert "rows to train on" not in written


def test_an_error_while_the_data_are_loaded_stands_alone():
    Path("t.npz").write_bytes(b"no archive")
    status, out, written = on_terminal("-m", "xpnet", "train", "t.npz", "--out", "a", columns=200)
    assert (status, out) == (2, "")
    assert "loading" in written
    (line,) = screen_of(written)
    assert line.startswith("xpnet train: error: t.npz")
    assert "\x1b[?25h" in written


@pytest.mark.parametrize(
    ("module", "name", "phase", "line"),
    [
        ("carry_out", "load_data", "loading", "interrupted"),
        ("experiment", "prepare", "preprocessing", "interrupted before the first step"),
        ("experiment", "record", "evaluating", "interrupted, but the run was already complete, in a"),
        ("folder", "report_of", LAST, "interrupted, but the run was already complete, in a"),
    ],
)
def test_ctrl_c_in_every_phase_leaves_one_line(module, name, phase, line):
    code = STOPPED.format(module=module, name=name)
    status, out, written = on_terminal("-c", code, "train", *SMALL, "--out", "a", columns=200)
    assert (status, out) == (130, "")
    assert phase in phases_of(written)
    *shown, last = [text for text in screen_of(written) if "note:" not in text]
    assert last.startswith(f"xpnet train: {line}")
    assert len(shown) == (
        2 if phase in ("evaluating", LAST) else 0
    )  # the bar stays once something was trained
    assert "\x1b[?25h" in written[written.rindex("\x1b[?25l") :]


def test_a_sweep_shows_its_table_until_the_whole_one_is_there():
    rates = ("--learning-rate", "0.01", "0.02")
    status, out, written = on_terminal("-m", "xpnet", "sweep", *SMALL, *rates, "--out", "s")
    assert status == 0
    assert phases_of(written) == ["loading", "training", "evaluating", LAST]
    assert "learning_rate" in written
    *notes, line = screen_of(written)
    assert all("note:" in note for note in notes)
    assert line.endswith("  2/2 networks")
    assert out.splitlines()[0].split()[:2] == ["network", "learning_rate"]
