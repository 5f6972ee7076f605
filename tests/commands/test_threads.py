"""``--threads`` at every door that computes, and the notes on it."""

import json
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet.commands import evaluate, predict, sweep, train
from xpnet.device import blas_threads, cores
from xpnet.nn import backprop
from xpnet.runs import experiment
from xpnet.sweep import chunk

pytestmark = pytest.mark.usefixtures("without_pictures")

SMALL = ["--hidden", "4", "--iterations", "3", "--batch-size", "10"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def seen(monkeypatch):
    """Return the set of cores that training saw."""
    found = set()
    loss = backprop.forward

    def forward(*args, **how):
        found.add(cores())
        return loss(*args, **how)

    monkeypatch.setattr(backprop, "forward", forward)
    return found


def test_commands(seen, capsys):
    before = cores(), blas_threads()
    assert train.main([*SMALL, "--threads", "1", "--out", "a", "--quiet"]) == 0
    assert "threads" not in json.loads(Path("a/config.json").read_text())
    assert sweep.main([*SMALL, "--seed", "1", "2", "--threads", "1", "--out", "s", "--quiet"]) == 0
    assert evaluate.main(["a", "--threads", "1", "--quiet"]) == 0
    np.save("x.npy", np.zeros((2, 64)))
    assert predict.main(["a", "--input", "x.npy", "--output", "y.csv", "--threads", "1", "--quiet"]) == 0
    assert seen == {1}
    assert (cores(), blas_threads()) == before
    assert capsys.readouterr() == ("", "")


def test_python(seen):
    settings = {"hidden": 4, "iterations": 3, "threads": 1}
    assert xpnet.fit("digits", **settings).config.threads == 1
    xpnet.search("digits", grid={"seed": [1, 2]}, **settings)
    assert seen == {1}


def test_a_stack_of_a_sweep_has_one_thread_of_blas(monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    found = set()
    train = chunk.train

    def noted(*args, **how):
        found.add(blas_threads())
        return train(*args, **how)

    monkeypatch.setattr(chunk, "train", noted)
    with threadpoolctl.threadpool_limits(2):  # set by this thread; the stacks are trained by others
        xpnet.search("digits", grid={"seed": [1, 2, 3, 4]}, hidden=4, iterations=3)
    assert found == {1}


def test_a_run_is_resumed_with_other_threads(capsys):
    first = ["--hidden", "4", "--epochs", "1", "--checkpoint-every", "1", "--out", "a", "--quiet"]
    assert train.main([*first, "--threads", "1"]) == 0
    assert train.main(["--resume", "a", "--epochs", "2", "--threads", "2", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    grid = ["--seed", "1", "2", *SMALL, "--out", "s", "--quiet"]
    assert sweep.main([*grid, "--threads", "1"]) == 0
    assert sweep.main(grid) == 0


@pytest.mark.parametrize("threads", ["0", "10001", "two"])
@pytest.mark.parametrize("door", ["train", "sweep", "evaluate"])
def test_no_such_number(door, threads, capsys):
    main = {"train": train.main, "sweep": sweep.main, "evaluate": evaluate.main}[door]
    assert main([*(["a"] if door == "evaluate" else []), "--threads", threads]) == 2
    assert "--threads" in capsys.readouterr().err


@pytest.mark.parametrize("main", [train.main, sweep.main])
def test_more_than_there_are(main, capsys):
    several = ["--seed", "1", "2"] if main is sweep.main else []
    assert main([*SMALL, *several, "--threads", "10000", "--out", "a"]) == 0
    assert "note: --threads 10000 is more than the" in capsys.readouterr().err
    assert main([*SMALL, *several, "--threads", "10000", "--out", "b", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_busy_machine_is_said_of_large_products(capsys, monkeypatch):
    monkeypatch.setattr(experiment, "busy_note", lambda: "this machine is busy")
    assert train.main([*SMALL, "--out", "a"]) == 0
    assert "busy" not in capsys.readouterr().err  # one thread does these
    monkeypatch.setattr(experiment, "small_products", lambda *_: False)
    assert train.main([*SMALL, "--out", "b"]) == 0
    assert capsys.readouterr().err.count("xpnet train: note: this machine is busy\n") == 1
    assert train.main([*SMALL, "--out", "c", "--quiet"]) == 0
    xpnet.fit("digits", hidden=4, iterations=3)  # quiet, as ever
    assert capsys.readouterr().err == ""
    with pytest.warns(UserWarning, match="busy"):
        xpnet.fit("digits", hidden=4, iterations=3, quiet=False)
