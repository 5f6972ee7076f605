"""A run in one's hands: what it predicts and is worth, what it leaves, and how it shows itself."""

import copy
import dataclasses
import json
import pickle
import re
from html import unescape

import numpy as np
import pytest
from sweeps import BASE, DEVICE, blobs, labels, numbers

from xpnet.datasets import from_arrays
from xpnet.errors import InputError
from xpnet.reporting import plots
from xpnet.runs import experiment, unlabelled
from xpnet.runs.fit import fit
from xpnet.runs.load import load
from xpnet.runs.model_file import load_model
from xpnet.runs.report import report_of
from xpnet.runs.run import Run, as_run
from xpnet.training.measures import measured

CONFIG = dataclasses.replace(BASE, solver="adam", learning_rate=0.02, reg=0.0, iterations=200, hidden=(9,))


def words():
    """Rows whose classes have names."""
    data, names = blobs(), np.array(["cat", "dog", "ünïcode"])
    splits = {
        "X_val": data.X_val,
        "y_val": names[data.y_val],
        "X_test": data.X_val,
        "y_test": names[data.y_val],
    }
    return from_arrays(data.X_train, names[data.y_train], name="words", **splits)


def images(features=(4, 3)):
    """Rows in a shape of their own."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (60, *features)).astype(np.uint8)
    return from_arrays(X, X.reshape(60, -1).mean(axis=1) > 127, name="images"), X


DATA = {
    "classes": blobs(),
    "words": words(),
    "labels": labels(),
    "a number": numbers(shift=1e6),
    "numbers": numbers(2),
    "images": images()[0],
}


@pytest.fixture(scope="module")
def runs():
    """A run of each task, none with a folder."""
    return {name: as_run(experiment.run(CONFIG, data, DEVICE), None) for name, data in DATA.items()}


@pytest.fixture(params=DATA)
def name(request):
    return request.param


def targets(data):
    """The validation targets as a user has them."""
    if data.task != "classification":
        return data.y_val.squeeze(axis=1) if data.y_val.shape[1] == 1 else data.y_val
    return data.y_val if data.labels is None else np.array(data.labels)[data.y_val]


# Predictions


def test_predictions_are_in_the_users_own_words(runs, name):
    run, data = runs[name], DATA[name]
    found, y = run.predict(data.X_val), targets(data)
    assert found.shape == y.shape
    assert found.dtype.kind == ("i" if data.task == "multilabel" else y.dtype.kind)
    np.testing.assert_array_equal(found, run.model.predict_labels(data.X_val))
    if data.task == "classification":
        assert set(found.tolist()) <= set(y.tolist())
    np.testing.assert_array_equal(run.predict(data.X_val.tolist()), found)  # any rows
    np.testing.assert_array_equal(run.predict(data.X_val, device=DEVICE), found)
    assert run.predict(data.X_val[:0]).shape == (0, *y.shape[1:])


def test_probabilities(runs, name):
    run, data = runs[name], DATA[name]
    if data.task == "regression":
        with pytest.raises(InputError, match="a regression has no probabilities"):
            run.predict_proba(data.X_val)
        return
    P = run.predict_proba(data.X_val)
    assert P.shape == (len(data.X_val), data.num_outputs)
    np.testing.assert_array_equal(P, run.model.probabilities(data.X_val))
    if data.task == "classification":
        np.testing.assert_allclose(P.sum(axis=1), 1)
        labels_ = np.arange(data.num_classes) if data.labels is None else np.array(data.labels)
        np.testing.assert_array_equal(labels_[P.argmax(axis=1)], run.predict(data.X_val))
    else:
        np.testing.assert_array_equal(run.predict(data.X_val), P > 0.5)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (3, 2, 2), (2, 2, 2, 2)])
def test_rows_may_have_the_shape_that_they_were_trained_on(shape):
    """Images or not: the data set made rows of them, so the run does."""
    data, X = images(shape)
    run = as_run(experiment.run(CONFIG, data, DEVICE), None)
    flat = X.reshape(60, -1)
    expected = run.predict(flat)
    np.testing.assert_array_equal(run.predict(X), expected)
    np.testing.assert_array_equal(run.predict(X.tolist()), expected)
    np.testing.assert_array_equal(run.predict_proba(X), run.predict_proba(flat))
    assert run.evaluate(X, expected)["accuracy"] == 1.0
    if len(shape) == 2:
        np.testing.assert_array_equal(run.predict(X[..., None]), expected)
        with pytest.raises(InputError, match=r"X has shape \(60, 3, 4\): give \(rows, 12\)"):
            run.predict(X.transpose(0, 2, 1))


def test_sparse_rows_and_those_of_other_libraries(runs):
    sparse = pytest.importorskip("scipy.sparse")
    run, X = runs["words"], DATA["words"].X_val
    np.testing.assert_array_equal(run.predict(sparse.csr_array(X)), run.predict(X))
    assert run.evaluate(sparse.csr_array(X), run.predict(X))["accuracy"] == 1.0
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(run.predict(torch.asarray(X)), run.predict(X))


@pytest.mark.parametrize(
    ("X", "text"),
    [
        ([[1.0, 2.0], [1.0]], "X is not an array"),
        (np.zeros(5), "X has shape (5,): give (rows, 5)"),
        (np.zeros((2, 4)), "X has shape (2, 4): give (rows, 5)"),
        (np.zeros((2, 4, 4)), "X has shape (2, 4, 4): give (rows, 5)"),
        (np.full((2, 5), np.nan), "row 0 of X holds NaN or infinity"),
        (np.full((2, 5), "a"), "X has dtype <U1: give real numbers"),
        (None, "X"),
        (3.0, "X has shape (): give (rows, 5)"),
    ],
)
def test_what_are_no_rows(runs, X, text):
    for ask in (
        runs["words"].predict,
        runs["words"].predict_proba,
        lambda X: runs["words"].evaluate(X, ["cat"]),
    ):
        with pytest.raises(InputError) as caught:
            ask(X)
        assert str(caught.value).startswith(text)
        assert "\n" not in str(caught.value)


# What it is worth


def test_what_a_run_is_worth(runs, name):
    run, data = runs[name], DATA[name]
    found = run.evaluate(data.X_val, targets(data))
    if data.task == "regression":
        distance = run.predict(data.X_val).reshape(data.y_val.shape) - data.y_val
        assert found == {
            "r2": pytest.approx(run.summary["val_r2"]),
            "rmse": pytest.approx(np.sqrt((distance**2).mean(axis=0)).mean()),
            "mae": pytest.approx(np.abs(distance).mean()),
        }
        assert found["rmse"] < 1
    else:
        assert found == measured(data.task, data.y_val, run.predict_proba(data.X_val))
        assert found["accuracy"] == pytest.approx(run.summary["val_accuracy"])
        assert list(found) == ["accuracy", "balanced_accuracy", "log_loss", "roc_auc"]
        assert run.evaluate(data.X_val, targets(data).tolist()) == found
    assert all(type(value) is float for value in found.values())
    assert run.evaluate(data.X_val, targets(data), DEVICE) == found


@pytest.mark.parametrize(
    ("name", "y", "text"),
    [
        (
            "words",
            ["cow"] * 30,
            "y holds 'cow' in row 0, which is not a class: give one of 'cat', 'dog', 'ünïcode'",
        ),
        ("words", [1] * 30, "y holds 1 in row 0, which is not a class"),
        ("classes", ["cat"] * 30, "y holds 'cat' in row 0, which is not a class: give one of 0, 1, 2"),
        ("classes", [0] * 29, "y has 29 rows, but X has 30: give one target for each row"),
        ("labels", np.full((30, 3), 2), "y holds 2 in row 0: give 1 for a label that is set, else 0"),
        ("labels", np.ones((30, 2)), "y"),
        ("labels", np.ones((29, 3)), "y has 29 rows, but X has 30: give one target for each row"),
        ("numbers", np.ones((30, 3)), "y"),
        ("numbers", np.ones((29, 2)), "y has 29 rows, but X has 30: give one target for each row"),
        ("a number", np.ones(29), "y has 29 rows, but X has 30: give one target for each row"),
        ("a number", np.full(30, np.nan), "y"),
        ("a number", ["cat"] * 30, "y holds text: give numbers for regression"),
    ],
)
def test_what_are_no_targets(runs, name, y, text):
    with pytest.raises(InputError) as caught:
        runs[name].evaluate(DATA[name].X_val, y)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_no_rows_are_worth_nothing(runs):
    for name in ("classes", "numbers"):
        data = DATA[name]
        with pytest.raises(InputError) as caught:
            runs[name].evaluate(data.X_val[:0], data.y_val[:0])
        assert str(caught.value) == "there are no rows to score: give at least one"


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_rows_of_a_file_are_predicted_as_those_in_memory(tmp_path, monkeypatch, runs, name, suffix):
    monkeypatch.setattr(unlabelled, "PART", 7 * 12)
    run, X = runs[name], DATA[name].X_val
    path = tmp_path / f"X.{suffix}"
    if suffix == "npz":
        np.savez(path, X=X)
    elif suffix == "npy":
        np.save(path, X)
    else:
        np.savetxt(path, X, "%.18g", ",", header=",".join(map("p{}".format, range(X.shape[1]))), comments="")
    np.testing.assert_array_equal(run.predict(str(path)), run.predict(X))
    each = run.predict(path, members=True)
    np.testing.assert_array_equal(each, run.predict(X, members=True))
    assert len(each) == 1
    if run.model.task == "regression":
        found = run.predict_interval(path, 0.8)
        np.testing.assert_array_equal(found, run.predict_interval(X, 0.8))
    else:
        np.testing.assert_allclose(run.predict_proba(path), run.predict_proba(X), rtol=1e-5)
        np.testing.assert_allclose(
            run.predict_proba(path, members=True), run.predict_proba(X, members=True), rtol=1e-5
        )
    np.save(tmp_path / "none.npy", X[:0])
    assert run.predict(tmp_path / "none.npy").shape == run.predict(X[:0]).shape


def test_files_that_are_no_rows(tmp_path, runs):
    run = runs["classes"]
    lines = ["1,2,3,4,5", "1,2,3,,5"]
    (tmp_path / "X.csv").write_text("a,b,c,d,e\n" + "\n".join(lines))
    np.save(tmp_path / "X.npy", np.ones((2, 5)))
    for ask, text in (
        (lambda: run.predict(tmp_path / "missing.csv"), "there is no "),
        (lambda: run.predict_proba(tmp_path / "X.csv"), "X.csv: line 3 has no value"),
        (lambda: run.predict(tmp_path / "X.npy", header=True), "drop --header (in Python header=)"),
        (lambda: run.predict(tmp_path / "X.csv", shades=(0, 1)), "X.csv is not an image: leave out shades"),
        (lambda: run.predict(np.ones((2, 5)), header=True), "header and shades apply to files only"),
        (lambda: run.evaluate(tmp_path / "X.npy", header=True), "X.npy"),
    ):
        with pytest.raises(InputError) as caught:
            ask()
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_table_without_names_is_read_as_said(tmp_path, runs):
    np.savetxt(tmp_path / "X.csv", np.tile(np.arange(5), (3, 1)), "%d", ",")
    for header, rows in ((True, 2), (False, 3)):
        assert len(runs["classes"].predict(tmp_path / "X.csv", header=header)) == rows
    told = dataclasses.replace(
        runs["classes"], config=dataclasses.replace(runs["classes"].config, header=False)
    )
    with pytest.raises(InputError, match=r"give --header or --no-header \(in Python header=True or False\)"):
        runs["classes"].predict(tmp_path / "X.csv")
    assert len(told.predict(tmp_path / "X.csv")) == 3


def test_image_files_are_shaded_as_the_training_rows_were(tmp_path, runs):
    image = pytest.importorskip("PIL.Image")
    pixels = images()[1][:9]
    for k, each in enumerate(pixels):
        image.fromarray(each).save(tmp_path / f"{k}.png")
    P = runs["images"].predict_proba(pixels)
    np.testing.assert_allclose(runs["images"].predict_proba(tmp_path), P, rtol=1e-5)
    turned = runs["images"].predict_proba(tmp_path / "3.png", shades=(255, 0))
    np.testing.assert_allclose(turned, runs["images"].predict_proba(255 - pixels[3:4]), rtol=1e-5)


def test_objects_that_are_numbers_are_rows(runs):
    X = DATA["classes"].X_val
    np.testing.assert_array_equal(runs["classes"].predict(X.astype(object)), runs["classes"].predict(X))


def test_what_is_undefined_is_nan(runs):
    data = DATA["words"]
    cats = data.y_val == 0
    found = runs["words"].evaluate(data.X_val[cats], ["cat"] * int(cats.sum()))
    assert np.isnan(found.pop("roc_auc"))
    assert np.isfinite(list(found.values())).all()


# How sure it is


@pytest.mark.parametrize("name", ["a number", "numbers"])
@pytest.mark.parametrize("ensemble", [1, 4])
def test_intervals_of_numbers(name, ensemble):
    data = DATA[name]
    config = dataclasses.replace(CONFIG, ensemble=ensemble, iterations=60)
    run = as_run(experiment.run(config, data, DEVICE), None)
    members = run.model.members(data.X_val)
    assert members.shape == (ensemble, *data.y_val.shape)
    mean = members.mean(axis=0)
    np.testing.assert_allclose(
        mean.reshape(run.predict(data.X_val).shape), run.predict(data.X_val), rtol=1e-6
    )
    ends = run.predict_interval(data.X_val, coverage=0.8)
    assert ends.shape == (*run.predict(data.X_val).shape, 2)
    ends = ends.reshape(*data.y_val.shape, 2)
    slack = 1e-9 * (1 + np.abs(ends))  # one row lies on an end
    held = (ends[..., 0] - slack[..., 0] <= data.y_val) & (data.y_val <= ends[..., 1] + slack[..., 1])
    rows = len(data.y_val)  # those it was calibrated on: as many of them lie within as of one row more
    assert held.sum(axis=0).tolist() == [int(np.ceil(0.8 * (rows + 1)))] * data.y_val.shape[1]
    spread = members.std(axis=0, ddof=1) if ensemble > 1 else np.zeros_like(mean)
    noise = np.sqrt(((mean - data.y_val) ** 2).mean(axis=0))
    width = (ends[..., 1] - ends[..., 0]) / np.hypot(spread, noise)
    np.testing.assert_allclose(width, np.broadcast_to(width[:1], width.shape), rtol=1e-6)
    assert run.best.calibration is not None
    assert run.predict_interval(data.X_val[:0]).shape == (0, *run.predict_interval(data.X_val[:1]).shape[1:])
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(run)).predict_interval(data.X_val, 0.8), ends.squeeze()
    )


def test_intervals_that_there_are_none_of(runs):
    with pytest.raises(InputError, match=r"^intervals need a regression, not a classification: use predict_"):
        runs["words"].predict_interval(DATA["words"].X_val)
    run, X = runs["a number"], DATA["a number"].X_val
    bare = dataclasses.replace(run, model=dataclasses.replace(run.model, calibration=None))
    with pytest.raises(InputError, match="does not hold the errors on its validation rows"):
        bare.predict_interval(X)
    with pytest.raises(InputError, match="coverage must be a number between 0 and 1"):
        run.predict_interval(X, coverage=90)


@pytest.mark.parametrize("name", ["words", "labels"])
def test_probabilities_of_each_network(name):
    data = DATA[name]
    config = dataclasses.replace(CONFIG, ensemble=3, iterations=20)
    run = as_run(experiment.run(config, data, DEVICE), None)
    P = run.predict_proba(data.X_val, members=True)
    assert P.shape == (3, len(data.X_val), 3)
    np.testing.assert_allclose(P.mean(axis=0), run.predict_proba(data.X_val), rtol=1e-5)
    with pytest.raises(InputError, match="NaN or infinity"):
        run.predict_proba(np.full_like(data.X_val, np.nan), members=True)
    each = run.predict(data.X_val, members=True)
    if name == "labels":
        np.testing.assert_array_equal(each, P > 0.5)
    else:
        np.testing.assert_array_equal(each, np.array(["cat", "dog", "ünïcode"])[P.argmax(axis=-1)])


@pytest.mark.parametrize("name", ["a number", "numbers"])
def test_numbers_of_each_network(name, runs):
    data = DATA[name]
    config = dataclasses.replace(CONFIG, ensemble=3, iterations=20)
    run = as_run(experiment.run(config, data, DEVICE), None)
    each = run.predict(data.X_val, members=True)
    assert each.shape == (3, *run.predict(data.X_val).shape)
    np.testing.assert_allclose(each.mean(axis=0), run.predict(data.X_val), rtol=1e-9)
    np.testing.assert_array_equal(
        runs[name].predict(data.X_val, members=True)[0], runs[name].predict(data.X_val)
    )
    with pytest.raises(InputError, match="a regression has no probabilities"):
        run.predict_proba(data.X_val, members=True)


# What it leaves


@pytest.mark.usefixtures("without_pictures")
def test_a_folder(tmp_path, runs, name):
    folder = tmp_path / "a" / "b.c"
    assert runs[name].save(str(folder)) == folder
    files = {path.name for path in folder.iterdir()}
    assert {"config.json", "history.csv", "summary.json", "model.safetensors", "report.html"} <= files
    assert json.loads((folder / "summary.json").read_text()) == runs[name].summary
    model = load_model(folder / "model.safetensors")
    np.testing.assert_array_equal(
        model.predict_labels(DATA[name].X_val), runs[name].predict(DATA[name].X_val)
    )
    assert runs[name].folder is None  # which is where it came from, not where it was copied to


def test_a_model_alone(tmp_path, runs, name):
    found = runs[name].save(tmp_path / "m.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    np.testing.assert_array_equal(
        load_model(found).predict_labels(DATA[name].X_val), runs[name].predict(DATA[name].X_val)
    )


def test_a_folder_where_none_can_be(tmp_path, runs):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written \(it is a file\): give another"):
        runs["classes"].save(tmp_path / "file")


def test_a_folder_of_a_sweep(tmp_path, runs):
    """Its best would not be found any more."""
    (tmp_path / "sweep.json").touch()
    with pytest.raises(InputError, match="holds a sweep, and a run there would hide its best network: "):
        runs["classes"].save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


@pytest.mark.parametrize("write", ["save", "export", "report"])
def test_what_is_no_path(runs, write):
    with pytest.raises(
        InputError, match=r"^path must be text or a pathlib\.Path, not 5: say where to write$"
    ):
        getattr(runs["classes"], write)(5)


def test_for_other_libraries(tmp_path, runs, name):
    pytest.importorskip("onnx")
    runs[name].export(tmp_path / "a.safetensors")
    assert runs[name].export(str(tmp_path / "m.onnx")) == tmp_path / "m.onnx"
    assert runs[name].export(tmp_path / "m", "onnx") == tmp_path / "m"
    assert (tmp_path / "m").read_bytes() == (tmp_path / "m.onnx").read_bytes()
    assert runs[name].export(tmp_path / "m.bin", "torch") == tmp_path / "m.bin"
    assert (tmp_path / "m.bin").read_bytes() == (tmp_path / "a.safetensors").read_bytes()


@pytest.mark.parametrize(("file", "format"), [("m.pt", None), ("m", None), ("m.onnx", "keras")])
def test_a_format_that_there_is_none_of(tmp_path, runs, file, format):
    with pytest.raises(InputError, match="to export to: use onnx or torch"):
        runs["classes"].export(tmp_path / file, format)
    assert list(tmp_path.iterdir()) == []


def test_a_report(tmp_path, runs, name):
    run = runs[name]
    found = run.report(str(tmp_path / "r.html"))
    page = found.read_text(encoding="utf-8")
    assert page.count("<svg class=") == 3 + 2 * {"a number": 1, "numbers": 2}.get(name, 0)
    assert ("Weights of the first layer" in page) == (name == "images")
    assert ("<caption>Errors" in page) == (run.model.task == "regression")
    score = "r2" if run.model.task == "regression" else "accuracy"
    value = run.summary[f"val_{score}"]
    assert (f"{value:.4f}" if score == "r2" else f"{100 * value:.2f} %") in page
    assert ("ünïcode" in unescape(page)) == (name == "words")
    with pytest.raises(InputError, match=r'the run has no folder: give a path, such as "report\.html"'):
        run.report()
    there = dataclasses.replace(run, folder=tmp_path)
    assert there.report() == tmp_path / "report.html"


def test_without_matplotlib(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)
    run = runs["words"]
    page = run.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "<svg" in run._repr_html_()
    run.save(tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.png"))


# How it shows itself


def test_a_run_prints_what_it_is_worth(runs, name):
    run = runs[name]
    score = "r2" if run.model.task == "regression" else "accuracy"
    parts = f"train {run.summary[f'train_{score}']:.4f}, val {run.summary[f'val_{score}']:.4f}"
    if name == "words":
        parts += f", test {run.summary['test_accuracy']:.4f}"
    lines = repr(run).splitlines()
    assert lines[0] == f"Run on digits: finished, {run.summary['steps']} steps"
    assert lines[2] == f"  {score}: {parts}"
    assert "array" not in repr(run)
    assert len(lines) < 10
    there = dataclasses.replace(run, folder="runs/a")
    assert repr(there) == f"{run!r}\n  in runs/a"


@pytest.mark.parametrize("name", ["classes", "a number"])
def test_a_notebook_shows_the_curves(runs, name):
    run = runs[name]
    page = run._repr_html_()
    score = "r2" if run.model.task == "regression" else "accuracy"
    value = run.summary[f"val_{score}"]
    shown = f"{value:.4f}" if score == "r2" else f"{100 * value:.2f} %"
    assert f"<b>{shown}</b><span>validation" in page
    assert page.count("<svg class=") == 3
    assert "&lt;Model: " in page
    assert not re.search("<script|http", page)


def test_a_notebook_shows_what_is_known_of_a_model_alone(tmp_path, runs):
    runs["words"].save(tmp_path / "m.safetensors")
    page = load(tmp_path / "m.safetensors")._repr_html_()
    assert "<svg" not in page
    assert "&lt;Model: " in page


# Copies


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))])
def test_copies(runs, name, copied):
    run, X = runs[name], DATA[name].X_val
    other = copied(run)
    assert type(other) is Run
    assert (repr(other), other.summary, other.config, other.folder) == (
        repr(run),
        run.summary,
        run.config,
        None,
    )
    assert other.history == run.history
    np.testing.assert_array_equal(other.predict(X), run.predict(X))
    assert other.evaluate(X, targets(DATA[name])) == run.evaluate(X, targets(DATA[name]))


def test_a_run_holds_on_to_no_memory_of_its_solver(runs):
    assert runs["classes"].result is None
    for attribute in dataclasses.fields(experiment.Experiment):
        if attribute.name not in ("result", "best", "out_of_scale", "tested"):
            assert getattr(runs["classes"], attribute.name) is not None, attribute.name


def test_the_best_model_is_kept(runs):
    """By the validation score, also where the run goes on to its end."""
    run = runs["numbers"]
    assert run.best is not None
    best = max(row.val_score for row in run.history.rows)
    assert run.best.score(DATA["numbers"].X_val, DATA["numbers"].y_val) == pytest.approx(best)


def test_a_run_of_which_less_is_known(tmp_path, runs):
    """As one that is read from its folder: no validation rows, no rates."""
    run = dataclasses.replace(runs["words"], validated=None, tested=None, rates=None, best=None, best_rows=())
    assert run.report(tmp_path / "r.html").exists()
    run.save(tmp_path / "run")
    assert not (tmp_path / "run" / "best.safetensors").exists()
    assert not report_of(run).evaluated
    run._repr_html_()


def test_a_run_on_a_table_finds_its_target_and_the_names_of_several():
    rng = np.random.default_rng(0)
    table = {name: rng.normal(size=40).round(2).tolist() for name in ("x", "up", "down")}
    run = fit(table, target=("up", "down"), ensemble=1, hidden=(4,), epochs=2)
    y = {name: table[name] for name in ("up", "down")}
    turned = dict(reversed(y.items()))
    assert run.evaluate(table) == run.evaluate(table, y) == run.evaluate(table, turned)
    plain = fit(rng.normal(size=(20, 2)), np.arange(20) % 2, ensemble=1, hidden=(4,), epochs=2)
    with pytest.raises(InputError, match="give y"):
        plain.evaluate(rng.normal(size=(20, 2)))
