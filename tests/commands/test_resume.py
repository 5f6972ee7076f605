"""``xpnet train --resume``: killed at any moment and taken up again, a run ends as if undisturbed."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xpnet import files
from xpnet.commands import train
from xpnet.reporting import progress
from xpnet.runs import carry_out as carrying
from xpnet.runs.model_file import load_model

pytestmark = pytest.mark.usefixtures("without_pictures")

SMALL = "--hidden 8 --epochs 6 --sampling shuffle --batch-size 200 --checkpoint-every 1 --quiet"
EPOCH = 6
"""Steps of an epoch of the digits in such batches."""


class Killed(BaseException):
    """What leaves a folder as SIGKILL would, within this process."""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Run the command in this process; return exit status, standard output and standard error."""

    def run(argv):
        status = train.main(argv.split())
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def run_until(monkeypatch):
    """Run the command until a number of its steps are done, and then end it by a call."""

    def run_until(steps, argv, end):
        class Ending(progress.Progress):
            def on_step(self):
                super().on_step()
                if self.steps > steps:
                    end()

        with monkeypatch.context() as patch:
            patch.setattr(carrying.progress, "start", lambda *_: Ending())
            return train.main(argv.split())

    return run_until


@pytest.fixture
def killed(run_until, capsys):
    """Leave what is left of a run that was killed in its fourth epoch, in a folder."""

    def killed(argv=f"{SMALL} --out a", steps=3 * EPOCH + 2):
        with pytest.raises(Killed):
            run_until(steps, argv, kill)
        capsys.readouterr()

    return killed


def kill():
    raise Killed


def interrupt():
    signal.raise_signal(signal.SIGINT)


def tree(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def checkpoints(folder="a"):
    return sorted(path.name for path in Path(folder).glob("checkpoint-*"))


def other_data(seed=1):
    rng = np.random.default_rng(seed)
    np.savez("my.npz", X=rng.standard_normal((1500, 4)), y=rng.integers(2, size=1500))


def untimed(folder):
    """The lines of history.csv but for the seconds."""
    with Path(folder, "history.csv").open(newline="") as file:
        return [
            {key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)
        ]


def assert_same_run(folder, other, checkpoint=True):
    for name in ("model.safetensors", "best.safetensors", "config.json"):
        assert Path(folder, name).read_bytes() == Path(other, name).read_bytes(), name
    assert untimed(folder) == untimed(other)
    a, b = (json.loads(Path(f, "summary.json").read_text()) | {"seconds": 0} for f in (folder, other))
    assert a == b
    # What a kill leaves of a file that it was writing is hidden, and none of a checkpoint's.
    kept = {name for name in tree(folder) if name[0] != "." and "previous" not in name}
    assert kept == set(tree(other))
    # One checkpoint, for more epochs.
    assert sum("checkpoint" in name for name in kept) == checkpoint


# A process that is killed


TECHNIQUES = (
    "--hidden 32 16 --norm batch --solver adam --ema 0.95 --dropout 0.2 --shift 1 --rotation 8 --mixup 0.3 "
    "--sampling shuffle --batch-size 100 --learning-rate 3e-3 --reg 1e-4 --epochs 50 "
    "--patience 15 --min-delta 0.05"
)
ENSEMBLE = (
    "--ensemble 3 --hidden 24 --solver momentum --dropout 0.1 --epochs 40 --sampling shuffle "
    "--batch-size 100 --monitor val_loss --patience 30 --learning-rate 0.1"
)
PLAIN = "--hidden 16 --iterations 1000 --batch-size 100 --learning-rate 0.01"


WITHOUT_PICTURES = (
    "import sys; sys.modules['matplotlib'] = None; from xpnet.train import main; sys.exit(main())"
)


def start(*argv):
    command = [sys.executable, "-c", WITHOUT_PICTURES, *argv, "--quiet"]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def wait_for_progress(process):
    """Wait until one more epoch has left a checkpoint."""
    before = checkpoints()
    while process.poll() is None and checkpoints() == before:
        time.sleep(0.002)


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(("settings", "kills"), [(TECHNIQUES, 3), (ENSEMBLE, 1), (PLAIN, 1)])
def test_a_killed_run_ends_as_if_undisturbed(settings, kills):
    argv = [*settings.split(), "--checkpoint-every", "1"]
    moments, dead = random.Random(kills), 0
    for number in range(kills):
        process = start(*(argv if not number else []), *(["--resume", "a"] if number else ["--out", "a"]))
        # The first must leave a folder; now and then one is killed before it gets anywhere.
        early = number and moments.random() < 0.2
        if not early:
            wait_for_progress(process)
        time.sleep(moments.uniform(0, 0.3 if early else 0.05))
        process.kill()
        _, err = process.communicate()
        assert err == ""
        dead += process.returncode == -signal.SIGKILL
    assert dead == kills
    assert checkpoints()
    process, undisturbed = start("--resume", "a"), start(*argv, "--out", "b")
    assert process.communicate() == undisturbed.communicate() == ("", "")
    assert process.returncode == undisturbed.returncode == 0
    assert_same_run("a", "b")


# Taken up again


@pytest.mark.parametrize("steps", [0, 3, EPOCH, EPOCH + 1, 6 * EPOCH - 1])
def test_wherever_it_was_killed(run, killed, steps):
    assert run(f"{SMALL} --out b") == (0, "", "")
    killed(steps=steps)
    assert len(checkpoints()) == min(2, steps // EPOCH)
    assert run("--resume a --quiet") == (0, "", "")
    assert_same_run("a", "b")


@pytest.mark.parametrize("name", ["model.safetensors", "history.csv", "summary.json"])
def test_killed_while_its_files_are_written(run, monkeypatch, name):
    assert run(f"{SMALL} --out b") == (0, "", "")
    replace = files.Path.replace
    with monkeypatch.context() as patch:
        patch.setattr(files.Path, "replace", lambda a, b: kill() if b.name == name else replace(a, b))
        with pytest.raises(Killed):
            run(f"{SMALL} --out a")
    assert len(checkpoints()) == 2
    assert run("--resume a --quiet") == (0, "", "")
    assert_same_run("a", "b")


@pytest.mark.parametrize("networks", [1, 2])
def test_the_events_of_a_run_that_was_all_trained(run, monkeypatch, networks):
    """TensorBoard's file begins anew, with no epoch left to fill it."""
    pytest.importorskip("tensorboardX")
    argv = f"{SMALL} --tensorboard --ensemble {networks}"
    assert run(f"{argv} --out b") == (0, "", "")
    with monkeypatch.context() as patch:
        patch.setattr(carrying.run_folder, "write", lambda *_, **__: kill())
        with pytest.raises(Killed):
            run(f"{argv} --out a")
    assert run("--resume a --quiet --tensorboard") == (0, "", "")
    a, b = (next(Path(folder).glob("events.out.*")).stat().st_size for folder in "ab")
    assert a == b


def test_a_folder_that_was_moved_and_data_of_ones_own(run, killed, monkeypatch):
    other_data()
    flags = f"{SMALL} --dataset my.npz --batch-size 100"
    assert run(f"{flags} --out b") == (0, "", "")
    killed(f"{flags} --out a")
    Path("elsewhere").mkdir()
    shutil.move("a", "elsewhere/c")
    monkeypatch.chdir("elsewhere")
    assert run("--resume c --quiet") == (0, "", "")
    assert_same_run("c", "../b")
    status, out, err = run("--resume c --quiet")
    assert (status, out) == (2, "")
    assert "the run in c is finished: give more --epochs" in err


def test_what_is_said_and_printed_may_be_another(run, killed):
    killed()
    status, out, err = run("--resume a --json --quiet")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads(Path("a/summary.json").read_text())
    killed()
    status, out, err = run("--resume a --no-quiet --seed 0 --checkpoint-every 2 --data-dir elsewhere")
    assert status == 0
    assert out.splitlines()[-1] == "next: xpnet evaluate a"
    assert err


def test_a_run_goes_on_with_another_library(run, killed):
    """What a checkpoint holds belongs to none."""
    pytest.importorskip("torch", reason="torch is not installed", exc_type=ImportError)
    settings = f"{SMALL} --solver adam --learning-rate 1e-3 --dtype float64"
    assert run(f"{settings} --out b") == (0, "", "")
    killed(f"{settings} --out a")
    assert run("--resume a --quiet --backend torch") == (0, "", "")
    assert json.loads(Path("a/summary.json").read_text())["backend"].startswith("torch")
    ours, here = (load_model(Path(folder, "model.safetensors")).params for folder in "ab")
    for name, value in here.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-7, atol=1e-9)


def test_ctrl_c_leaves_something_to_go_on_from(run, run_until, capsys):
    assert run(f"{SMALL} --out b") == (0, "", "")
    for steps, left in ((3, 0), (3 * EPOCH, 2), (10, 2)):  # the first before there is a checkpoint
        argv = f"{SMALL} --out a" if not left else "--resume a --quiet"
        assert run_until(steps, argv, interrupt) == 130
        err = capsys.readouterr().err
        assert err.startswith("xpnet train: interrupted after step ")
        assert ("continues from its last complete epoch" if left else "no epoch was complete") in err
        assert json.loads(Path("a/summary.json").read_text())["status"] == "interrupted"
        assert len(checkpoints()) == left
    assert run("--resume a --quiet") == (0, "", "")
    assert_same_run("a", "b")


def test_another_run_in_the_folder_of_a_killed_one(run, killed):
    """Its checkpoints are of later epochs, and would be taken for the newest."""
    killed(steps=5 * EPOCH)
    killed(f"{SMALL} --seed 1 --out a", steps=2 * EPOCH)
    assert checkpoints() == ["checkpoint-000000001.safetensors", "checkpoint-000000002.safetensors"]
    assert run("--resume a --quiet") == (0, "", "")
    assert run(f"{SMALL} --seed 1 --out b") == (0, "", "")
    assert_same_run("a", "b")
    killed(f"{SMALL} --seed 2 --out a", steps=0)  # where a finished run was
    assert run("--resume a --quiet") == (0, "", "")
    assert json.loads(Path("a/summary.json").read_text())["seed"] == 2


# Damage


def test_the_checkpoint_before_a_damaged_one(run, killed):
    assert run(f"{SMALL} --out b") == (0, "", "")
    killed()
    before, newest = (Path("a", name) for name in checkpoints())
    newest.write_bytes(newest.read_bytes()[:-1000])
    status, out, err = run("--resume a --quiet")
    assert (status, out, err.count("\n")) == (0, "", 1)
    assert err.startswith(f"xpnet train: note: {newest} is damaged (")
    assert_same_run("a", "b")

    killed()
    for path in (before, newest):
        path.write_bytes(b"")
    left = tree("a")
    status, out, err = run("--resume a --quiet")
    assert (status, out, err.count("\n")) == (2, "", 3)
    assert "start a new run with --config a/config.json" in err.splitlines()[-1]
    assert tree("a") == left
    assert run("--config a/config.json --out a --force --quiet") == (0, "", "")
    assert_same_run("a", "b")


# Refused, in one line


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        ("--resume none", "there is no run in none to resume"),
        ("--resume file", "there is no run in file to resume"),
        ("--resume empty", "there is no run in empty to resume"),
        ("--resume done", "from its weights with --init-from done"),
        ("--resume a --seed 3", "different settings (seed)"),
        ("--resume a --iterations 12", "give more steps"),
        ("--resume a --learning-rate 0.1 --reg 0.5", "different settings (learning_rate, reg)"),
        ("--resume a --patience 3", "--patience can only be raised"),
        ("--resume a --recipe fast", "the settings are those of a/config.json: drop --recipe"),
        ("--resume a --config resume.toml", "the settings are those of a/config.json: drop --config"),
        ("--resume a --dataset my.npz", "different data"),
        ("--resume a --out b", "drop --out"),
        ("--config resume.toml", "different settings"),
    ],
)
def test_what_cannot_be_resumed(run, killed, argv, part):
    assert run("--hidden 8 --iterations 20 --quiet --out done")[0] == 0
    killed()
    other_data()
    Path("empty").mkdir()
    Path("file").touch()
    Path("resume.toml").write_text('resume = "a"\n')
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    status, out, err = run(argv)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("xpnet train: error: ")
    assert part in err
    assert before == {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_the_settings_are_gone(run, killed):
    killed()
    Path("a/config.json").unlink()
    left = tree("a")
    status, _, err = run("--resume a --quiet")
    assert (status, err.count("\n")) == (2, 1)
    assert "a/config.json is missing" in err
    assert tree("a") == left


def test_the_data_have_changed(run, killed):
    other_data()
    killed(f"{SMALL} --dataset my.npz --out a")
    other_data(seed=2)
    status, _, err = run("--resume a --quiet")
    assert (status, err.count("\n")) == (2, 1)
    assert "different data" in err


def test_settings_that_do_not_fit_remove_nothing(run, killed):
    killed()
    left = tree("a")
    assert run(f"{SMALL} --out a --preprocess pca --components 1000")[0] == 2
    assert tree("a") == left
