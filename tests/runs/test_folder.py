"""The folder that a run leaves."""

import csv
import errno
import json
import os
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from xpnet.commands import flags
from xpnet.datasets import load
from xpnet.device import get_device
from xpnet.errors import InputError
from xpnet.runs import experiment
from xpnet.runs import folder as run_folder
from xpnet.runs.config import Config
from xpnet.runs.model_file import load_model

CONFIG = Config(hidden=(6,), iterations=40, seed=5, json=True, out="elsewhere", weights_image=True)
HEADER = "step,epoch,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy,seconds"


@pytest.fixture(scope="module")
def data():
    return load("digits")


@pytest.fixture(scope="module")
def run(data):
    return experiment.run(CONFIG, data, get_device("cpu"))


def claim(out, dataset="digits"):
    with run_folder.claim(out, dataset) as folder:
        return folder


def test_a_claimed_folder_is_there_and_empty(tmp_path):
    with run_folder.claim(str(tmp_path / "a" / "b"), "digits") as folder:
        assert folder == tmp_path / "a" / "b"
        assert list(folder.iterdir()) == []


def fail(out, stop, *, after=lambda _: None):
    """Claim a folder for work that fails."""
    with run_folder.claim(out, "digits") as folder:
        after(folder)
        raise stop


@pytest.mark.parametrize("stop", [ZeroDivisionError, KeyboardInterrupt])
def test_work_that_fails_leaves_no_folder(tmp_path, stop):
    with pytest.raises(stop):
        fail(str(tmp_path / "a" / "b"), stop)
    assert list(tmp_path.iterdir()) == []


def test_work_that_fails_leaves_what_it_has_written_or_found(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(ZeroDivisionError):
        fail(str(tmp_path / "old"), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        fail(str(tmp_path / "new"), ZeroDivisionError, after=lambda f: (f / "file").touch())
    assert sorted(tmp_path.rglob("*")) == [tmp_path / p for p in ("new", "new/file", "old")]


def test_a_new_folder_in_runs_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda _: "20261231-235959")
    folders = [claim(None, "digits"), claim("", "digits"), claim(None, "data/my.npz")]
    assert folders == [
        Path("runs/digits-20261231-235959"),
        Path("runs/digits-20261231-235959-2"),
        Path("runs/my-20261231-235959"),
    ]
    with pytest.raises(ZeroDivisionError):
        fail(None, ZeroDivisionError)
    assert sorted(Path("runs").iterdir()) == sorted(folders)


def refused(out):
    with pytest.raises(InputError) as caught:
        claim(out)
    message = str(caught.value)
    assert "\n" not in message
    assert "give another --out" in message
    return message


def test_a_file_in_the_way(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert "file cannot be written (it is a file)" in refused(str(tmp_path / "file"))
    assert "cannot be written (Not a directory)" in refused(str(tmp_path / "file" / "a" / "b"))
    (tmp_path / "c" / "summary.json").mkdir(parents=True)
    assert "summary.json is a folder" in refused(str(tmp_path / "c"))
    monkeypatch.chdir(tmp_path)
    Path("runs").touch()
    assert "runs cannot be written" in refused(None)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is Linux's")
def test_where_nobody_can_write():
    assert "cannot be written (" in refused("/proc/a/b")


def test_paths_that_are_none(tmp_path):
    assert "cannot be written (" in refused(str(tmp_path / "a\0b"))
    assert "cannot be written (File name too long)" in refused(str(tmp_path / ("a" * 300)))
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_a_run(tmp_path, run, data):
    pytest.importorskip("matplotlib")
    run_folder.write(tmp_path, run, pictures=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(run_folder.FILES)

    model = load_model(tmp_path / "model.safetensors")
    assert (model.mlp.sizes, model.image_shape) == ((64, 6, 10), (8, 8, 1))
    assert model.class_names == tuple("0123456789")
    for name, value in run.model.params.items():
        np.testing.assert_array_equal(model.params[name], value)
    accuracy = (model.predict(data.X_test) == data.y_test).mean()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == run.summary
    assert summary["test_accuracy"] == pytest.approx(accuracy, rel=1e-6)  # float32

    for name in ("curves.png", "weights.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_history(tmp_path, run):
    run_folder.write(tmp_path, run, pictures=False)
    text = (tmp_path / "history.csv").read_text()
    assert text.splitlines()[0] == HEADER
    rows = list(csv.DictReader(text.splitlines()))
    assert [int(row["step"]) for row in rows] == [1, 26, 40]
    for written, row in zip(rows, run.result.history.rows, strict=True):
        for name, value in row._asdict().items():
            name = name.replace("score", "accuracy")
            assert float(written[name]) == pytest.approx(value, rel=1e-6, abs=1e-6)
        assert len(written["train_accuracy"]) <= len("0.98")  # 50 rows a batch


def test_settings_are_read_back_as_they_were_but_for_what_is_of_one_run_only(tmp_path, run):
    run_folder.write(tmp_path, run, pictures=False)
    read = flags.read_file(tmp_path / "config.json", Config)
    assert read.keys() == {f.name for f in fields(Config)} - {
        "out",
        "force",
        "json",
        "quiet",
        "resume",
        "alone",
        "threads",
    }
    assert Config(**read) == replace(CONFIG, out=None, json=False)


def test_a_second_run_leaves_no_file_of_the_first(tmp_path, run):
    for name in (*run_folder.FILES, "notes.txt"):
        (tmp_path / name).write_text("old")
    run_folder.write(tmp_path, run, pictures=False)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert not {"curves.png", "weights.png"} & set(left)
    assert [name for name in left if (tmp_path / name).read_bytes() == b"old"] == ["notes.txt"]


def test_a_run_that_diverged_can_be_written(tmp_path, data):
    run = experiment.run(replace(CONFIG, learning_rate=1e6), data, get_device("cpu"))
    run_folder.write(tmp_path, run, pictures=False)
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "diverged"
    last = (tmp_path / "history.csv").read_text().splitlines()[-1].split(",")
    assert not np.isfinite(float(last[3]))


def test_a_full_disk_leaves_every_file_whole(tmp_path, run, monkeypatch):
    run_folder.write(tmp_path, run, pictures=False)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    calls = []
    real = os.fsync

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        run_folder.write(tmp_path, run, pictures=False)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("pictures", [False, True])
def test_the_report(tmp_path, run, pictures):
    if pictures:
        pytest.importorskip("matplotlib")
    run_folder.write(tmp_path, run, pictures=pictures)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"<b>{100 * run.summary['val_accuracy']:.2f} %</b>" in page
    assert page.count("<svg class=") == 3  # which take no matplotlib
    for title in ("Curves", "Test", "Validation", "Weights of the first layer", "Settings"):
        assert f"<h2>{title}</h2>" in page
    assert "Most confident mistakes" in page
    assert len(page) < 300_000
    # In bold is what this run has set.
    assert '<div class="changed"><dt>iterations</dt><dd>40</dd></div>' in page
    assert '<div class="same"><dt>batch_size</dt><dd>50</dd></div>' in page
    assert run.summary["backend"] in page


def test_a_report_on_data_whose_name_is_no_text(tmp_path, run):
    config = replace(run.config, dataset="<b>\udcff.npz")
    run_folder.write(tmp_path, replace(run, config=config), pictures=False)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert r"xpnet: &lt;b&gt;\udcff.npz" in page


def test_weights_of_components_of_rows_of_equal_contrast(tmp_path, data):
    pytest.importorskip("matplotlib")
    config = replace(CONFIG, contrast=True, preprocess="pca", components=5)
    run = experiment.run(config, data, get_device("cpu"))
    run_folder.write(tmp_path, run, pictures=True)
    assert (tmp_path / "weights.png").read_bytes().startswith(b"\x89PNG")
