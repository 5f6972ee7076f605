"""``xpnet evaluate``: figures, tables and pictures of a run."""

import json
import os
import re
from dataclasses import replace

import models
import numpy as np
import pytest
from command_lines import call, refused, write_run

import xpnet
from xpnet.commands import evaluate, findings, train
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.reporting import plots
from xpnet.training.measures import measured
from xpnet.training.row_range import RowRange

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


@pytest.mark.usefixtures("without_pictures")
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
    measures = measured("classification", Y[rows], models.make().probabilities(X[rows]))
    assert {name: found[name] for name in measures} == measures


def test_text_and_pictures(run, capsys):
    pytest.importorskip("matplotlib")
    status, out, err = call(evaluate.main, capsys, run)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("accuracy: ")
    assert "of the 10 test rows of" in lines[0]
    assert re.fullmatch(r"balanced accuracy: \S+ %, log loss: \S+, ROC AUC: 0\.\d{4}", lines[1])
    assert r"ünïcode\n" in out
    written = [run / "confusion-test.png", run / "mistakes-test.png"]
    assert lines[-1] == f"written to {written[0]} and {written[1]}"
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("count", [1, 40])
def test_a_file_that_is_named_is_measured_whole(tmp_path, run, capsys, count):
    np.savez(tmp_path / "new.npz", X=X[:count], y=Y[:count])
    status, out, _ = call(evaluate.main, capsys, run, "--dataset", tmp_path / "new.npz", "--json")
    assert status == 0
    assert f" of all {count} rows of {tmp_path}" in out.splitlines()[0]
    found = json.loads(out.splitlines()[-1])
    assert (found["split"], found["rows"]) == ("all", count)
    assert found["accuracy"] == np.mean(models.make().predict(X[:count]) == Y[:count])


@pytest.mark.usefixtures("without_pictures")
def test_rows_unlike_those_of_training_are_noted(tmp_path, capsys):
    run = write_run(tmp_path / "run", replace(models.make(), row_range=RowRange.of(X / 255)))
    np.savez(tmp_path / "new.npz", X=X, y=Y)
    status, _, err = call(evaluate.main, capsys, run, "--dataset", tmp_path / "new.npz", "--quiet")
    assert (status, len(err.splitlines())) == (0, 1)
    assert "note: values from 1 to 255 are far outside the training range, 0.0" in err


@pytest.mark.usefixtures("without_pictures")
def test_a_folder_of_images(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    run = write_run(tmp_path / "run", replace(models.make(), row_range=RowRange.of(X / 127.5 - 1)))
    (tmp_path / "new" / "cat").mkdir(parents=True)
    image.fromarray(X[0].reshape(4, 3)).save(tmp_path / "new" / "cat" / "a.png")
    argv = [run, "--dataset", tmp_path / "new"]
    assert "so the value of white is unknown" in refused(evaluate.main, capsys, *argv)
    status, out, err = call(evaluate.main, capsys, *argv, "--white=1", "--black=-1", "--json", "--quiet")
    assert (status, err) == (0, "")
    expected = models.make().probabilities(X[:1] / 127.5 - 1)
    assert json.loads(out)["log_loss"] == pytest.approx(-np.log(expected[0, 0]), rel=1e-4, abs=1e-6)
    assert "is not an image: drop --white" in refused(evaluate.main, capsys, *argv[:2], "b.npz", "--white=1")
    image.fromarray(255 - X[0].reshape(4, 3)).save(tmp_path / "new" / "cat" / "a.png")
    inverted = call(evaluate.main, capsys, *argv, "--white=-1", "--black=1", "--json", "--quiet")
    assert json.loads(inverted[1])["log_loss"] == pytest.approx(json.loads(out)["log_loss"], rel=1e-4)


@pytest.mark.usefixtures("without_pictures")
def test_what_is_undefined_is_a_dash_and_null(tmp_path, run, capsys):
    np.savez(tmp_path / "one.npz", X=X, y=Y, X_val=X[:5], y_val=np.zeros(5, int))
    argv = [run, "--dataset", tmp_path / "one.npz", "--split", "val", "--json"]
    status, out, _ = call(evaluate.main, capsys, *argv)
    assert status == 0
    assert out.splitlines()[1].endswith(", ROC AUC: –")
    assert json.loads(out.splitlines()[-1])["roc_auc"] is None


def test_no_mistakes_leave_no_picture_of_mistakes(tmp_path, run, capsys):
    pytest.importorskip("matplotlib")
    (run / "mistakes-all.png").write_text("of before")
    np.savez(tmp_path / "right.npz", X=X, y=models.make().predict(X))
    argv = [run, "--dataset", tmp_path / "right.npz"]
    status, out, _ = call(evaluate.main, capsys, *argv)
    assert status == 0
    assert "accuracy: 100.00 %" in out
    assert sorted(p.name for p in run.glob("*.png")) == ["confusion-all.png"]


def test_another_folder_and_a_model_alone(tmp_path, run, data, capsys):
    (run / "config.json").unlink()
    model = run / "model.safetensors"
    assert "give the data set with --dataset" in refused(evaluate.main, capsys, model)
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
    assert err == f"xpnet evaluate: note: no pictures without matplotlib: {plots.INSTALL}\n"
    assert not list(run.glob("*.png"))


def test_what_a_user_can_mend(tmp_path, run, data, capsys):
    def error(*argv):
        return refused(evaluate.main, capsys, *argv)

    assert "give the model.safetensors of a run" in error(tmp_path)
    assert "there is no folder" in error(run, "--out", tmp_path / "missing")
    assert "unknown dataset" in error(run, "--dataset", "nonsense")
    assert "has 64 features, but the model has 12" in error(run, "--dataset", "digits")
    np.savez(tmp_path / "more.npz", X=X, y=np.arange(40) % 5)
    assert "has the label 3, which is not a class of the model" in error(
        run, "--dataset", tmp_path / "more.npz"
    )
    np.savez(tmp_path / "val.npz", X=X, y=Y)
    assert "val.npz has no test rows, only one set of rows: drop --split" in error(
        run, "--dataset", tmp_path / "val.npz", "--split", "test"
    )
    (run / "config.json").write_text("{")
    assert "or give the data set with --dataset" in error(run)
    data.write_bytes(b"nonsense")
    assert "cannot be read" in error(run, "--dataset", data)


def test_a_model_that_says_nothing(tmp_path, data, capsys):
    model = models.make()
    model.params["b2"][:] = np.nan
    run = write_run(tmp_path / "nan", model, dataset=str(data))
    assert "row 0 of X is predicted as NaN" in refused(evaluate.main, capsys, run)


@pytest.mark.usefixtures("without_pictures")
def test_one_output_for_two_classes(tmp_path, capsys):
    model = replace(models.make(of="one of two"), labels=None)  # the file holds class numbers
    model.params["b3"][:] -= np.median(model.scores(X))
    path = tmp_path / "two.npz"
    np.savez(path, X=X, y=Y % 2, X_val=X, y_val=Y % 2)
    run = write_run(tmp_path / "run", model, dataset=str(path))
    status, out, _ = call(evaluate.main, capsys, run, "--json", "--quiet")
    assert status == 0
    found = json.loads(out)
    assert found["accuracy"] == np.mean(model.predict(X) == Y % 2)
    assert np.sum(found["confusion"], axis=0).tolist() == [20, 20]


def test_numbers_are_no_classes_of_a_model_of_text(tmp_path, capsys):
    """Whichever class was the first of the text, a number may have meant another."""
    model = replace(models.make(), labels=models.NAMES)
    path = tmp_path / "numbers.npz"
    np.savez(path, X=X, y=Y, X_val=X, y_val=Y)
    run = write_run(tmp_path / "run", model, dataset=str(path))
    line = refused(evaluate.main, capsys, run)
    assert "has the label 0, which is not a class of the model: give --dataset a file like" in line
    assert not list(run.glob("*.png"))


def test_labels():
    model = models.make(of="labels")
    model.params["b3"][:] -= np.median(model.scores(X), axis=0)
    predicted = model.predict(X)
    y = predicted.astype(np.uint8)
    y[:10, 1] ^= 1
    found = findings.of_labels(model, X, y, Device())
    assert found.score == "all labels right: 75.00 %"
    assert found.measures == measured("multilabel", y, model.probabilities(X))
    each = found.summary["labels"]
    assert [label["name"] for label in each] == list(models.NAMES)
    assert [label["f1"] for label in each][::2] == [1.0, 1.0]
    assert each[1]["support"] == y[:, 1].sum()
    assert each[1]["recall"] == np.mean(predicted[y[:, 1] == 1, 1])
    assert "F1" in found.tables[0]
    assert not found.drawn
    json.dumps(found.summary, allow_nan=False)


@pytest.mark.parametrize("of", ["numbers", "one number"])
def test_numbers(of):
    model = models.make(of=of)
    y = model.predict(X).reshape(40, -1)
    y[:10] += 0.5 * model.target.scale
    found = findings.of_numbers(model, X, y, Device())
    each = found.summary["outputs"]
    assert [output["name"] for output in each] == list(model.class_names)
    np.testing.assert_allclose([output["mae"] for output in each], 0.125 * model.target.scale, rtol=1e-6)
    np.testing.assert_allclose([output["rmse"] for output in each], 0.25 * model.target.scale, rtol=1e-6)
    assert found.measures["r2"] == pytest.approx(model.score(X, y), abs=1e-6)
    assert found.score == f"R²: {found.measures['r2']:.4f}"
    assert set(found.drawn) == ({"predicted"} if plots.available() else set())
    assert "RMSE" in found.tables[0]
    json.dumps(found.summary, allow_nan=False)


@pytest.mark.parametrize("of", ["labels", "one number", "numbers"])
def test_a_run_of_every_task(tmp_path, capsys, of):
    model = models.make(of=of)
    path = tmp_path / "data.npz"
    y = model.predict(X).reshape(40, -1)
    np.savez(path, X=X, y=y, X_val=X, y_val=y)
    run = write_run(tmp_path / "run", model, dataset=str(path))
    (run / "confusion-val.png").write_text("of before")
    status, out, err = call(evaluate.main, capsys, run, "--json")
    assert (status, err) == (0, "")
    head = "all labels right: 100.00 %" if of == "labels" else "R²: 1.0000"
    assert out.startswith(f"{head} of the 40 val rows of ")
    found = json.loads(out.splitlines()[-1])
    assert found["accuracy" if of == "labels" else "r2"] == pytest.approx(1)
    pictures = [run / "predicted-val.png"] if plots.available() and of != "labels" else []
    assert (found["rows"], found["pictures"]) == (40, [str(path) for path in pictures])
    assert list(run.glob("*.png")) == pictures


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(run, capsys):
    run.chmod(0o500)
    status, _, err = call(evaluate.main, capsys, run)
    assert (status, err.count("\n"), "give another --out" in err) == (2, 1, True)
    run.chmod(0o700)


def test_data_that_were_given_in_python(tmp_path, capsys):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(2, size=40)
    xpnet.fit(X, y, epochs=1, out=tmp_path / "r")
    assert "The data were given in Python" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert refused(evaluate.main, capsys, tmp_path / "r").endswith(
        f"{tmp_path / 'r'} was trained on data given in Python, which runs do not keep: "
        "give rows with --dataset"
    )
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    assert call(evaluate.main, capsys, tmp_path / "r", "--dataset", tmp_path / "rows.npz", "--quiet")[0] == 0


def test_the_scores_are_printed_even_where_nothing_can_be_written(run, capsys, monkeypatch):
    def refuse(*_):
        raise InputError("read-only: give another --out")

    monkeypatch.setattr(evaluate, "_write", refuse)
    status, out, err = call(evaluate.main, capsys, run)
    assert (status, err) == (2, "xpnet evaluate: error: read-only: give another --out\n")
    assert out.startswith("accuracy: ")


# The report


@pytest.fixture
def trained(tmp_path, capsys):
    """A run folder with a report, of images."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    pixels = (rng.normal(size=(60, 4, 3)) + y[:, None, None]).astype(np.float32)
    np.savez(tmp_path / "d.npz", X=pixels[:30], y=y[:30], X_val=pixels[30:45], y_val=y[30:45],
             X_test=pixels[45:], y_test=y[45:])  # fmt: skip
    argv = (tmp_path / "d.npz", "--out", tmp_path / "t", "--iterations", 5, "--quiet")
    call(train.main, capsys, *argv)
    return tmp_path / "t"


def page_of(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    return page, re.findall("<h2>([^<]*)</h2>", page)


@pytest.mark.usefixtures("without_pictures")
def test_the_report_shows_what_was_found(tmp_path, trained, capsys):
    before, headings = page_of(trained)
    assert headings[:3] == ["Curves", "Test", "Validation"]
    assert "ROC AUC" not in before
    status, out, _ = call(evaluate.main, capsys, trained)
    assert (status, out.splitlines()[-1]) == (0, f"written to {trained / 'report.html'}")
    page, now = page_of(trained)
    assert now == headings
    (measures,) = re.findall(r"15 rows; accuracy: \S+ %, balanced accuracy: \S+ %, log loss: [^<]*", page)
    assert before.index("<h2>Test") < page.index(measures) < page.index("<h2>Validation")
    assert page.replace(measures, "15 rows") == before  # all else stays
    call(evaluate.main, capsys, trained)
    assert page_of(trained)[0] == page
    call(evaluate.main, capsys, trained, "--split", "train", "--json", "--quiet")
    np.savez(tmp_path / "<new>.npz", X=np.zeros((2, 4, 3), np.float32), y=[0, 1])
    for _ in range(2):
        call(evaluate.main, capsys, trained, "--dataset", tmp_path / "<new>.npz")
    page, now = page_of(trained)
    assert now[3:5] == ["Training rows", "Measured on &lt;new&gt;.npz"]
    assert now[:3] + now[5:] == headings


@pytest.mark.usefixtures("without_pictures")
def test_the_report_of_an_earlier_version_is_made_anew(trained, capsys):
    (trained / "report.html").write_text("<h1>as it was</h1>")
    assert call(evaluate.main, capsys, trained)[0] == 0
    assert page_of(trained)[1][:2] == ["Curves", "Test"]


@pytest.mark.usefixtures("without_pictures")
def test_where_the_report_is_left_alone(tmp_path, trained, capsys):
    before = page_of(trained)[0]
    (tmp_path / "pictures").mkdir()
    call(evaluate.main, capsys, trained, "--out", tmp_path / "pictures")
    assert page_of(trained)[0] == before
    (trained / "report.html").unlink()
    status, out, _ = call(evaluate.main, capsys, trained)
    assert status == 0
    assert "written" not in out
    assert not (trained / "report.html").exists()
