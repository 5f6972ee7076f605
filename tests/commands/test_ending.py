"""What ``xpnet train`` and ``xpnet sweep`` say at their end: what is true of each kind of run."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from command_lines import write_npz

from xpnet import __main__ as xpnet_command
from xpnet.commands import sweep, train
from xpnet.commands.ending import next_command
from xpnet.runs.model_file import load_model

SMALL = "--hidden 8 --iterations 60"

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def said(capsys):
    """Run a command, see that it ends with a status, and return the lines of its standard output."""

    def said(main, argv, status=0):
        assert main(shlex.split(argv)) == status
        return capsys.readouterr().out.splitlines()

    return said


def table(path, **columns):
    """Write 120 rows of a table with two numbers, and other columns made from them."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 120))
    made = {"a": a, "b": b, **{name: make(a, b) for name, make in columns.items()}}
    lines = [",".join(made), *(",".join(map(str, row)) for row in zip(*made.values(), strict=True))]
    Path(path).write_text("\n".join(lines) + "\n")


def test_all_that_is_said_of_a_run(said):
    lines = said(train.main, "--out 'my runs/a' --epochs 4 --hidden 8 --sampling shuffle --seed 1")
    summary = json.loads(Path("my runs/a/summary.json").read_text())
    parts = {"test accuracy": "test", "validation": "val", "train": "train"}
    scores = [f"{name} {100 * summary[f'{part}_accuracy']:.2f} %" for name, part in parts.items()]
    assert lines[0] == ", ".join(scores)
    assert lines[1].startswith("best epoch ")
    backend = f"on cpu ({summary['backend']})"
    assert lines[2] == f"{summary['steps']} steps in {summary['seconds']:.2f} s {backend}"
    assert lines[3:] == ["report: my runs/a/report.html", "next: xpnet evaluate 'my runs/a'"]
    command, *argv = shlex.split(lines[4].removeprefix("next: "))
    assert command == "xpnet"
    assert xpnet_command.main(argv) == 0


def rows_of(folder):
    """The validation loss and accuracy, and the number, of each epoch."""
    lines = Path(folder, "history.csv").read_text().splitlines()
    names = lines[0].split(",")
    return [dict(zip(names, map(float, line.split(",")), strict=True)) for line in lines[1:]]


def test_the_best_epoch_and_which_one_is_saved(said):
    flags = "--hidden 8 --epochs 12 --learning-rate 0.3 --sampling shuffle --monitor val_loss"
    line = said(train.main, f"{flags} --out a")[1]
    rows = rows_of("a")
    best = min(rows, key=lambda row: row["val_loss"])
    assert 1 < best["epoch"] < 12
    assert line == (
        f"best epoch {best['epoch']:.0f} of 12 by val_loss (val {100 * best['val_accuracy']:.2f} %), "
        "in best.safetensors; model.safetensors is the last"
    )
    models = {
        path: load_model(Path(path)).params["W1"] for path in ("a/best.safetensors", "a/model.safetensors")
    }
    line = said(train.main, f"{flags} --patience 12 --out b")[1]
    assert line == f"best epoch {best['epoch']:.0f} of 12 by val_loss, saved as model.safetensors"
    saved = load_model(Path("b/model.safetensors")).params["W1"]
    assert np.array_equal(saved, models["a/best.safetensors"])
    assert not np.array_equal(saved, models["a/model.safetensors"])
    line = said(train.main, "--hidden 8 --epochs 2 --sampling shuffle --out c")[1]
    assert line == "best epoch 2 of 2 by val_score, saved as model.safetensors"


def test_each_network_of_an_ensemble_has_its_own_best_epoch(said):
    flags = "--hidden 8 --epochs 6 --ensemble 3 --sampling shuffle"
    line = said(train.main, f"{flags} --patience 6 --out a")[1]
    assert (
        line == "an ensemble of 3 networks, each at its best epoch by val_score, saved as model.safetensors"
    )
    line = said(train.main, f"{flags} --out b")[1]
    assert line.endswith("by val_score, in best.safetensors; model.safetensors is the last")


@pytest.mark.usefixtures("without_recipe")
def test_a_regression_has_r2(said):
    pytest.importorskip("pyarrow")
    table("t.csv", y=lambda a, b: a + b / 2)
    lines = said(train.main, f"t.csv --target y --out a {SMALL}")
    summary = json.loads(Path("a/summary.json").read_text())
    assert lines[-5] == f"validation R² {summary['val_r2']:.4f}, train {summary['train_r2']:.4f}"
    assert lines[-1] == "next: xpnet predict a --input NEW.csv --output predictions.csv"
    table("new.csv")
    words = shlex.split(lines[-1].replace("NEW", "new"))[2:]
    assert xpnet_command.main(words) == 0
    assert len(Path("predictions.csv").read_text().splitlines()) == 121


@pytest.mark.usefixtures("without_recipe")
def test_the_loss_may_have_taken_the_place_of_r2(said):
    """As of one validation row; the note says so before."""
    X = np.random.default_rng(0).standard_normal((20, 3))
    np.savez("t.npz", X=X, y=X.sum(axis=1), X_val=X[:1], y_val=X[:1].sum(axis=1))
    lines = said(train.main, f"t.npz --out a {SMALL}")
    assert lines[0].startswith("validation R² –, train ")
    assert " by val_loss" in lines[1]


@pytest.mark.usefixtures("without_recipe")
def test_accuracy_of_several_labels_is_of_all_of_a_row(said):
    pytest.importorskip("pyarrow")
    table("t.csv", up=lambda a, b: (a > b).astype(int), right=lambda a, b: (a + b > 0).astype(int))
    lines = said(train.main, f"t.csv --target up right --out a {SMALL}")
    assert lines[-5].startswith("validation accuracy (all labels right) ")


def test_what_follows_a_run_that_diverged_is_the_error(said):
    lines = said(train.main, f"--learning-rate 1e6 --out a {SMALL}", status=2)
    assert [line.split()[0] for line in lines[-3:]] == ["test", lines[-2].split()[0], "report:"]
    assert not any(line.startswith(("best", "next")) for line in lines)


def image_folder():
    Path("photos/cats").mkdir(parents=True)
    Path("photos/cats/a.png").touch()
    return "photos"


def array_folder():
    Path("arrays").mkdir()
    np.save("arrays/X.npy", np.zeros((2, 2)))
    np.save("arrays/y.npy", np.zeros(2))
    return "arrays"


def parquet_folder():
    Path("parts").mkdir()
    Path("parts/a.parquet").touch()
    return "parts"


@pytest.mark.parametrize(
    ("dataset", "command"),
    [
        ("digits", "xpnet evaluate runs/a"),
        ("cifar10", "xpnet evaluate runs/a"),
        ("my data/t.csv", "xpnet predict runs/a --input NEW.csv --output predictions.csv"),
        ("t.tsv.gz", "xpnet predict runs/a --input NEW.csv --output predictions.csv"),
        ("t.parquet", "xpnet predict runs/a --input NEW.parquet --output predictions.csv"),
        ("t.npz", "xpnet predict runs/a --input NEW.npz --output predictions.csv"),
        (image_folder, "xpnet predict runs/a --input IMAGES --output predictions.csv"),
        (array_folder, "xpnet predict runs/a --input NEW.npy --output predictions.csv"),
        (parquet_folder, "xpnet predict runs/a --input NEW.parquet --output predictions.csv"),
    ],
)
def test_the_command_that_comes_next(dataset, command):
    assert next_command(Path("runs/a"), dataset() if callable(dataset) else dataset) == command


def test_a_sweep_says_where_its_table_and_its_best_are(said):
    lines = said(sweep.main, f"{SMALL} --learning-rate 0.01 0.02 --out 'my sweep'")
    best = json.loads(Path("my sweep/best/summary.json").read_text())
    rates = (0.01, 0.02)
    assert lines[-5] in [
        f"best: network {network} (learning_rate {rates[network]}), "
        f"validation {100 * best['val_accuracy']:.2f} %, test {100 * best['test_accuracy']:.2f} %"
        for network in (0, 1)
    ]
    assert lines[-4:] == [
        "table: my sweep/results.csv",
        "report: my sweep/report.html",
        "next: xpnet evaluate 'my sweep'",
        "      xpnet train --config 'my sweep/best/config.json'",
    ]
    for line in lines[-2:]:
        assert xpnet_command.main([*shlex.split(line.removeprefix("next:"))[1:], "--quiet"]) == 0
    assert list(Path("runs").glob("digits-*"))


@pytest.mark.usefixtures("without_recipe")
def test_after_a_sweep_its_ensemble_predicts(said):
    write_npz("my.npz")
    rates = "--learning-rate 0.1 0.5 --init-std 0.3 --batch-size 20"
    lines = said(sweep.main, f"my.npz {SMALL} {rates} --ensemble-of 2 --out s")
    assert lines[-2] == "next: xpnet predict s/ensemble --input NEW.npz --output predictions.csv"
    lines = said(sweep.main, f"my.npz {SMALL} {rates} --out s2 --json")
    assert json.loads(lines[-1])["out"] == "s2"
    assert said(sweep.main, f"my.npz {SMALL} {rates} --out s3 --quiet") == []
