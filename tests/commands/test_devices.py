"""``--device`` of every command: what ``auto`` came to is one note, and several GPUs are for sweeps."""

import json

import numpy as np
import pytest
from command_lines import call, refused

from xpnet.commands import evaluate, predict, sweep, train
from xpnet.device import gpus

NOTE = "note: device auto is cpu with numpy: there is no driver of an NVIDIA GPU\n"

SMALL = ("digits", "--hidden", "8", "--iterations", "20", "--device", "auto")


@pytest.fixture(autouse=True)
def _no_driver(monkeypatch, without_pictures):
    monkeypatch.setattr(gpus, "has_driver", lambda: False)


@pytest.fixture
def given(tmp_path, capsys):
    """Return, of each command, its module and what it takes."""
    run, rows = tmp_path / "run", tmp_path / "rows.npy"
    assert call(train.main, capsys, *SMALL, "--out", run, "--quiet")[::2] == (0, "")
    np.save(rows, np.zeros((3, 64)))
    return {
        "train": (train, (*SMALL, "--out", tmp_path / "other")),
        "sweep": (sweep, (*SMALL, "--reg", "0", "1", "--out", tmp_path / "sweep")),
        "evaluate": (evaluate, (run, "--device", "auto")),
        "predict": (predict, (run, "--device", "auto", "--input", rows, "--output", tmp_path / "out.csv")),
    }


@pytest.mark.parametrize("name", ["train", "sweep", "evaluate", "predict"])
def test_auto_is_told_in_one_note(given, capsys, name):
    command, argv = given[name]
    status, _, err = call(command.main, capsys, *argv)
    assert status == 0
    assert err.count("device auto") == 1
    assert err.startswith(f"xpnet {name}: {NOTE}")
    force = ("--force",) if name in ("train", "sweep") else ()
    assert call(command.main, capsys, *argv, "--quiet", *force)[::2] == (0, "")


def test_the_settings_keep_auto_and_the_summary_says_what_it_was(given, capsys, tmp_path):
    folder = tmp_path / "run"
    assert json.loads((folder / "config.json").read_text())["device"] == "auto"
    assert json.loads((folder / "summary.json").read_text())["device"] == "cpu"
    argv = ("--resume", folder, "--iterations", "40")
    status, _, err = call(train.main, capsys, *argv)  # on another machine it would choose again
    assert (status, err[: len("xpnet train: ") + len(NOTE)]) == (0, f"xpnet train: {NOTE}")
    assert json.loads((folder / "summary.json").read_text())["steps"] == 40
    assert given


@pytest.mark.parametrize("name", ["train", "evaluate", "predict"])
@pytest.mark.parametrize("several", ["cuda:all", "cuda:0,cuda:1"])
def test_only_a_sweep_takes_several(given, capsys, name, several):
    command, argv = given[name]
    line = refused(command.main, capsys, *(several if word == "auto" else word for word in argv))
    assert line.endswith(
        f"device {several} is of several GPUs, which only a sweep takes: name one, as cuda:0, or use "
        "`xpnet sweep` or xpnet.search"
    )
