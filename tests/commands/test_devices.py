"""``--device`` of every command: what ``auto`` came to is one note, and several GPUs are for training."""

import json

import numpy as np
import pytest
from command_lines import call, refused

from xpnet.commands import evaluate, predict, sweep, train
from xpnet.device import gpus
from xpnet.sweep import cluster

NOTE = "note: device auto is cpu with numpy: there is no driver of an NVIDIA GPU\n"

SMALL = ("digits", "--hidden", "8", "--iterations", "20", "--device", "auto")


pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(autouse=True)
def _no_driver(monkeypatch):
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


def test_the_settings_keep_auto_and_the_summary_says_what_it_was(capsys, tmp_path):
    argv = (
        "digits",
        "--hidden",
        "8",
        "--epochs",
        "1",
        "--device",
        "auto",
        "--checkpoint-every",
        "1",
        "--quiet",
    )
    call(train.main, capsys, *argv, "--out", tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["device"] == "auto"
    assert json.loads((tmp_path / "summary.json").read_text())["device"] == "cpu"
    status, _, err = call(train.main, capsys, "--resume", tmp_path, "--epochs", "2", "--no-quiet")
    assert status == 0
    assert NOTE in err  # it is chosen again, as on another machine


@pytest.mark.parametrize("name", ["evaluate", "predict"])
@pytest.mark.parametrize("several", ["cuda:all", "cuda:0,cuda:1", "cpu,cuda:0"])
def test_only_training_takes_several(given, capsys, name, several):
    command, argv = given[name]
    line = refused(command.main, capsys, *(several if word == "auto" else word for word in argv))
    assert line.endswith(
        f"device {several} is not a single device: give one, such as cuda:0; only `xpnet train`, `xpnet "
        "sweep` and xpnet.search take several GPUs"
    )


@pytest.mark.parametrize(
    ("named", "end"),
    [
        ("cuda:ALL", "`xpnet train` and sweeps also take cuda:all and cuda:0,cuda:1"),
        ("cuda:0,cpu", "'cpu' is not a GPU: list GPUs as in cuda:0,cuda:1, or use cuda:all"),
    ],
)
def test_a_sweep_names_what_it_takes(given, capsys, named, end):
    command, argv = given["sweep"]
    assert refused(command.main, capsys, *(named if word == "auto" else word for word in argv)).endswith(end)


def test_a_scheduler_is_not_waited_for_where_it_cannot_help(given, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "connect", lambda _address: pytest.fail("waited for"))
    command, argv = given["sweep"]
    argv = ["cuda:all" if word == "auto" else word for word in argv]
    line = refused(command.main, capsys, *argv, "--scheduler", "tcp://10.0.0.1:8786")
    assert line.endswith("takes one GPU, not cuda:all: use --device cuda")
