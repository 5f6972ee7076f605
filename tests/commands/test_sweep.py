"""``xpnet sweep``: the table, the pictures, the best network, the mistakes."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_lines import write_npz

from xpnet import __main__ as xpnet_command
from xpnet.commands import sweep as command
from xpnet.commands import train
from xpnet.reporting import plots
from xpnet.runs.config import Config
from xpnet.runs.model_file import load_model
from xpnet.sweep import plots as sweep_plots
from xpnet.sweep.space import ablation, configs, grid

SMALL = "--hidden 8 --iterations 60 --dtype float64"
GRID = f"{SMALL} --learning-rate 5e-3 2e-2 --reg 1e-3 1e-2 1e-1"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPNET_DATA_DIR", raising=False)


@pytest.fixture
def run(capsys):
    """Run the command in this process; return exit status, standard output and standard error."""

    def run(argv):
        status = command.main(argv.split())
        return status, *capsys.readouterr()

    return run


def table(folder):
    """Read results.csv; times differ from run to run."""
    with Path(folder, "results.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_a_grid(run):
    status, out, err = run(f"{GRID} --out s --json")
    assert status == 0
    rows = table("s")
    assert len(rows) == 6
    assert {(row["learning_rate"], row["reg"]) for row in rows} == {
        (rate, reg) for rate in ("0.005", "0.02") for reg in ("0.001", "0.01", "0.1")
    }
    accuracies = [float(row["val_accuracy"]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert {row["status"] for row in rows} == {"finished"}
    assert {row["batch_seed"] for row in rows} == {"0"}  # that they share their batches is to be seen
    lines = out.splitlines()
    assert lines[0].split() == ["network", "learning_rate", "reg", "train", "val", "status"]
    assert [line.split()[0] for line in lines[1:7]] == [row["network"] for row in rows]
    summary = json.loads(lines[-1])
    assert summary == {
        "network": int(rows[0]["network"]),
        "out": "s",
        **json.loads(Path("s/best/summary.json").read_text()),
    }
    assert summary["val_accuracy"] == accuracies[0]
    assert "best so far" in err
    assert Path("s/heatmap.png").exists() == Path("s/curves.png").exists() == plots.available()


@pytest.mark.usefixtures("without_pictures")
def test_the_best_network_is_the_run_that_train_repeats(run):
    assert run(f"{GRID} --out s --quiet --max-nets 2 --seed 3 4")[:2] == (0, "")
    assert train.main(["--config", "s/best/config.json", "--out", "alone", "--quiet"]) == 0
    best, alone = (load_model(Path(folder, "model.safetensors")) for folder in ("s/best", "alone"))
    for name, value in alone.params.items():
        scale = abs(value).max()
        assert abs(best.params[name] - value).max() <= 1e-12 * scale
    summaries = [json.loads(Path(folder, "summary.json").read_text()) for folder in ("s/best", "alone")]
    for summary in summaries:
        del summary["seconds"]
    assert summaries[0] == summaries[1]
    histories = [Path(folder, "history.csv").read_text().splitlines() for folder in ("s/best", "alone")]
    assert len(histories[0]) == len(histories[1])


@pytest.mark.usefixtures("without_pictures")
def test_the_same_command_again_trains_nothing(run, monkeypatch):
    argv = f"{GRID} --out s"
    _, first, _ = run(argv)

    def train_chunk(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("xpnet.sweep.workers.train_chunk", train_chunk)
    status, again, _ = run(argv)
    assert (status, again) == (0, first)


@pytest.mark.usefixtures("without_pictures")
def test_another_command_does_not_mix_with_it(run):
    run(f"{GRID} --out s --quiet")
    status, _, err = run(f"{GRID} --iterations 61 --out s")
    assert status == 2
    assert "holds another sweep: give another --out" in err
    assert len(err.splitlines()) == 1


@pytest.mark.usefixtures("without_pictures")
def test_the_default_folder_is_that_of_the_settings(run):
    for argv in ("", "", "--halving", "--seed 1"):
        assert run(f"--hidden 4 --iterations 20 --learning-rate 0.01 0.02 {argv} --quiet")[0] == 0
    assert len(list(Path("runs").iterdir())) == 3


@pytest.mark.usefixtures("without_pictures")
def test_a_toml_file(run):
    Path("sweep.toml").write_text(
        "learning-rate = [5e-3, 2e-2]\nhidden = [[8], [4, 4]]\niterations = 30\ninit_std = 0.1\n"
    )
    assert run("--config sweep.toml --out s --quiet --reg 0.01 0.1")[0] == 0
    rows = table("s")
    assert len(rows) == 8
    assert {row["hidden"] for row in rows} == {"8", "4 4"}
    assert {row["iterations"] for row in rows} == {"30"}


def test_learning_curves(run):
    """A network of fewer rows is the run that `train` makes of as many."""
    status, out, _ = run(f"{SMALL} --train-rows 100 400 --seed 0 1 --out s")
    assert status == 0
    assert out.split()[:6] == ["network", "train_rows", "seed", "train", "val", "status"]
    rows = table("s")
    assert sorted((row["train_rows"], row["seed"]) for row in rows) == [
        (rows, seed) for rows in ("100", "400") for seed in ("0", "1")
    ]
    assert Path("s/learning.png").exists() == plots.available()
    row = next(row for row in rows if (row["train_rows"], row["seed"]) == ("100", "1"))
    argv = f"{SMALL} --train-rows 100 --seed 1 --batch-seed 0 --out t --quiet"
    assert train.main(argv.split()) == 0
    summary = json.loads(Path("t/summary.json").read_text())
    for part in ("train_accuracy", "val_accuracy"):
        assert float(row[part]) == summary[part]
    status, _, err = run(f"{SMALL} --train-rows 100 400 --halving --out u --quiet")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "drop --halving, or give one --train-rows" in err


def test_shapes_and_lengths_are_grouped(run):
    assert run("--hidden 8 --hidden 4 4 --batch-size 20 50 --epochs 1 2 --out s --quiet")[0] == 0
    rows = table("s")
    assert len({(row["hidden"], row["batch_size"], row["epochs"]) for row in rows}) == 8
    assert {row["iterations"] for row in rows} == {""}


@pytest.mark.usefixtures("without_pictures")
def test_random_draws_and_halving(run):
    argv = "--random 9 --learning-rate 1e-3 1e-1 --reg 0.0 1e-1 --hidden 4 --hidden 8 --hidden 6"
    assert run(f"{argv} --halving --iterations 120 --out s --quiet")[0] == 0
    rows = table("s")
    assert len(rows) == 9
    assert len({row["learning_rate"] for row in rows}) == 9
    assert all(1e-3 <= float(row["learning_rate"]) <= 1e-1 for row in rows)
    assert all(0 <= float(row["reg"]) <= 1e-1 for row in rows)
    statuses = [row["status"] for row in rows]
    # 9 networks, 4 whole epochs: halved twice, 9 to 5 to 3
    assert statuses == ["finished"] * 3 + ["dropped"] * 6
    assert {row["steps"] for row in rows if row["status"] == "finished"} == {"120"}
    again = command._configs(command._read_settings(f"{argv} --random-seed 1".split()))
    assert len({c.learning_rate for c in again} - {float(row["learning_rate"]) for row in rows}) == 9


@pytest.mark.usefixtures("without_pictures")
def test_own_batches(run):
    assert run(f"{SMALL} --seed 0 1 2 --own-batches --out s --quiet")[0] == 0
    assert {row["batch_seed"] for row in table("s")} == {""}


def test_a_network_that_diverges(run):
    status, out, _ = run(f"{SMALL} --learning-rate 2e-2 1e30 --out s")
    assert status == 0
    assert [row["status"] for row in table("s")] == ["finished", "diverged"]
    assert "diverged" in out


def test_a_scheduler_of_the_rate_is_no_cluster(run):
    status, _, err = run(f"{SMALL} --scheduler cosine --out s")
    assert status == 2
    assert "not 'cosine': for the learning-rate schedule use --schedule" in err


def test_when_all_diverge(run):
    status, _, err = run(f"{SMALL} --learning-rate 1e29 1e30 --out s --quiet")
    assert status == 2
    assert err.splitlines()[-1].startswith(
        "xpnet sweep: error: every network diverged: lower --learning-rate"
    )
    assert len(table("s")) == 2
    assert not Path("s/best").exists()


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        ("--learning-rate 0.1 fast", ["--learning-rate", "'fast'"]),
        ("--learning-rate 0.1 -1", ["--learning-rate", "0 or more", "-1"]),
        ("--max-nets 0", ["--max-nets must be an integer, at least 1, not 0"]),
        ("--random 0 --reg 0 1", ["--random must be an integer, at least 1"]),
        ("--dataset digits cifar10", ["cifar10"]),
        ("--dataset nowhere.npz", ["there is no file nowhere.npz"]),
        ("--device cuda:x", ["unknown device 'cuda:x'"]),
        ("--out file/s", ["file/s cannot be written", "give another --out"]),
        ("--dataset labels.npz", ["labels.npz: y holds NaN or None in every row"]),
    ],
)
def test_bad_input(run, argv, parts):
    Path("file").write_text("")
    write_npz("labels.npz", y=[float("nan")] * 80)
    before = sorted(Path().rglob("*"))
    status, out, err = run(f"{argv} --quiet")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    for part in parts:
        assert part in err
    assert sorted(Path().rglob("*")) == before


def start(argv):
    arguments = [sys.executable, "-m", "xpnet", "sweep", *argv.split()]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def wait_for(path, process):
    """Wait until a file has something in it, or the process has ended."""
    deadline = time.monotonic() + 60
    while process.poll() is None and not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.01)


LONG = "--hidden 30 --iterations 600 --learning-rate 5e-3 1e-2 2e-2 3e-2 5e-2 --dtype float64 --max-nets 1"


@pytest.mark.usefixtures("without_pictures")
def test_killed_in_the_middle_it_goes_on_to_the_same_table(run):
    run(f"{LONG} --out undisturbed --quiet")
    process = start(f"{LONG} --out killed --quiet")
    wait_for(Path("killed/results.jsonl"), process)
    process.kill()
    process.communicate()
    assert process.returncode != 0
    done = len(Path("killed/results.jsonl").read_text().splitlines())
    assert 1 <= done < 5
    status, _, _ = run(f"{LONG} --out killed --quiet")
    assert status == 0
    assert table("killed") == table("undisturbed")
    models = [Path(folder, "best/model.safetensors").read_bytes() for folder in ("killed", "undisturbed")]
    assert models[0] == models[1]


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_ctrl_c_says_how_to_go_on():
    process = start(f"{LONG} --out s")
    wait_for(Path("s/results.jsonl"), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.splitlines()[-1]
    assert re.fullmatch(
        r"xpnet sweep: interrupted with results of \d of 5 networks: the results so far are in s; "
        "run the same command again to continue",
        last,
    )
    assert "Traceback" not in err


def test_the_command_hands_on_to_sweep(capsys):
    assert xpnet_command.main(["sweep", "--max-nets", "0"]) == 2
    assert capsys.readouterr().err.startswith("xpnet sweep: error: --max-nets")


@pytest.mark.skipif(not plots.available(), reason="matplotlib is not installed")
def test_only_a_grid_has_a_heat_map():
    def drawn(space, left_out=0):
        networks = configs(grid(space), Config())[left_out:]
        rows = [
            {"network": k, "val_score": 0.5, "status": "finished", "curve": [[1, 0.1], [9, 0.5]]}
            for k in range(len(networks))
        ]
        sweep_plots.curves(networks, rows)
        return sweep_plots.heatmap(networks, rows) is not None

    two = {"reg": [0.1, 1.0], "hidden": [(3,), (4, 4)]}
    assert drawn(two)
    assert not drawn(two, left_out=1)
    assert not drawn({"reg": [0.1, 1.0]})
    assert drawn(two | {"seed": [0, 1]})


@pytest.mark.usefixtures("without_pictures")
def test_an_unstable_network_is_the_same_in_any_stack_and_alone(run):
    """At these rates a last bit that differs makes another network within a few hundred steps."""
    argv = "--hidden 13 --batch-size 7 --iterations 400 --learning-rate 0.07 0.1 --seed 0 1 2 --quiet"
    for size in (1, 6):
        assert run(f"{argv} --max-nets {size} --out s{size}")[0] == 0
    assert table("s1") == table("s6")
    assert train.main(["--config", "s6/best/config.json", "--out", "alone", "--quiet"]) == 0
    models = [Path(folder, "model.safetensors").read_bytes() for folder in ("s1/best", "s6/best", "alone")]
    assert models[0] == models[1] == models[2]


def test_curves_of_many_settings_fit_their_picture(tmp_path):
    """The legend names what a network has changed, or the picture would have no room for curves."""
    pytest.importorskip("matplotlib")
    settings = {
        "flip": [True, False],
        "shift": [3, 0],
        "dropout": [0.2, 0.0],
        "activation": ["gelu", "relu"],
        "schedule": ["cosine", "constant"],
        "label_smoothing": [0.1, 0.0],
    }
    networks = configs(ablation(settings), Config())
    rows = [{"network": k, "val_score": 0.5, "curve": [[1, 0.1], [2, 0.5]]} for k in range(len(networks))]
    figure = sweep_plots.curves(networks, rows)
    figure.savefig(tmp_path / "curves.png")  # matplotlib warns where the axes have no room
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[0].endswith("the first network")
    assert labels[1].endswith("  flip False")
