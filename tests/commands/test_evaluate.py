"""``xpnet evaluate``: figures, tables and pictures of a run."""

import json
import os

import models
import numpy as np
import pytest
from command_lines import call, refused, write_run

from xpnet.commands import evaluate
from xpnet.reporting import plots

X = models.rows(40)
Y = np.random.default_rng(5).integers(0, 3, 40)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.npz"
    images = X.reshape(-1, 4, 3)
    np.savez(path, X=images, y=Y, X_val=images[:30], y_val=Y[:30], X_test=images[30:], y_test=Y[30:])
    return path


@pytest.fixture
def run(tmp_path, data):
    return write_run(tmp_path / "run", dataset=str(data))


@pytest.mark.parametrize(("split", "rows"), [(None, slice(30, 40)), ("val", slice(30)), ("train", slice(40))])
def test_figures(run, capsys, split, rows):
    argv = ["--split", split] if split else []
    status, out, err = call(evaluate.main, capsys, run, "--json", "--quiet", *argv)
    assert (status, err) == (0, "")
    found = json.loads(out)
    predicted = models.make().predict(X[rows])
    assert found["accuracy"] == np.mean(predicted == Y[rows])
    assert (found["split"], found["rows"]) == (split or "test", len(predicted))
    assert np.trace(found["confusion"]) == np.sum(predicted == Y[rows])
    assert [c["support"] for c in found["classes"]] == np.bincount(Y[rows], minlength=3).tolist()
    assert [c["name"] for c in found["classes"]] == list(models.NAMES)


def test_text_and_pictures(run, capsys):
    pytest.importorskip("matplotlib")
    status, out, err = call(evaluate.main, capsys, run)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("accuracy: ")
    assert "of the 10 test rows of" in lines[0]
    assert r"ünïcode\n" in out
    written = [run / "confusion-test.png", run / "mistakes-test.png"]
    assert lines[-1] == f"written to {written[0]} and {written[1]}"
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_no_mistakes_leave_no_picture_of_mistakes(tmp_path, run, capsys):
    pytest.importorskip("matplotlib")
    (run / "mistakes-val.png").write_text("of before")
    np.savez(tmp_path / "right.npz", X=X, y=models.make().predict(X))
    argv = [run, "--dataset", tmp_path / "right.npz", "--split", "val"]
    status, out, _ = call(evaluate.main, capsys, *argv)
    assert status == 0
    assert "accuracy: 100.00 %" in out
    assert sorted(p.name for p in run.glob("*.png")) == ["confusion-val.png"]


def test_another_folder_and_a_model_alone(tmp_path, run, data, capsys):
    (run / "config.json").unlink()
    model = run / "model.safetensors"
    assert "name the data set with --dataset" in refused(evaluate.main, capsys, model)
    (tmp_path / "out").mkdir()
    argv = [model, "--dataset", data, "--out", tmp_path / "out", "--quiet"]
    assert call(evaluate.main, capsys, *argv) == (0, "", "")
    assert [p.name for p in run.iterdir()] == ["model.safetensors"]
    assert bool(list((tmp_path / "out").iterdir())) == plots.available()


def test_without_matplotlib(run, capsys, monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)
    status, out, err = call(evaluate.main, capsys, run)
    assert status == 0
    assert "precision" in out
    assert err == f"xpnet evaluate: note: there are no pictures, which need matplotlib: {plots.INSTALL}\n"
    assert not list(run.glob("*.png"))


def test_what_a_user_can_mend(tmp_path, run, data, capsys):
    def error(*argv):
        return refused(evaluate.main, capsys, *argv)

    assert "give the model.safetensors of a run" in error(tmp_path)
    assert "there is no folder" in error(run, "--out", tmp_path / "missing")
    assert "unknown dataset" in error(run, "--dataset", "nonsense")
    assert "has 64 features and the model 12" in error(run, "--dataset", "digits")
    np.savez(tmp_path / "more.npz", X=X, y=np.arange(40) % 5)
    assert "has 5 classes and the model 3" in error(run, "--dataset", tmp_path / "more.npz")
    np.savez(tmp_path / "val.npz", X=X, y=Y)
    assert "use --split val" in error(run, "--dataset", tmp_path / "val.npz", "--split", "test")
    (run / "config.json").write_text("{")
    assert "or name the data set with --dataset" in error(run)
    data.write_bytes(b"nonsense")
    assert "cannot be read" in error(run, "--dataset", data)


def test_a_model_that_says_nothing(tmp_path, data, capsys):
    model = models.make()
    model.params["b2"][:] = np.nan
    run = write_run(tmp_path / "nan", model, dataset=str(data))
    assert "gives no probabilities" in refused(evaluate.main, capsys, run)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(run, capsys):
    run.chmod(0o500)
    assert "give another --out" in refused(evaluate.main, capsys, run)
    run.chmod(0o700)
