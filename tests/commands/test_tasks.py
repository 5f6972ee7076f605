"""Every task and weight at the command: train, evaluate, predict and sweep on small files of one's own."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_lines import call, refused, write_npz

from xpnet.commands import evaluate, predict, sweep, train
from xpnet.reporting import plots
from xpnet.runs.model_file import load_model
from xpnet.training.measures import MEASURES_OF

pytestmark = pytest.mark.usefixtures("without_recipe")

SMALL = "--hidden 8 --init he --epochs 20 --batch-size 20 --learning-rate 0.05"
SETTINGS = SMALL.split()
ROWS = 120
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, 4))
NUMBERS = X @ RNG.standard_normal((4, 2))

TARGETS = {
    "number": NUMBERS[:, 0],
    "numbers": NUMBERS,
    "labels": (NUMBERS > 0).astype(int),
    "classes": np.where(X[:, 0] > 0.5, "cat", "dog"),
}
REGRESSIONS = ("number", "numbers")


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, y in TARGETS.items():
        write_npz(f"{name}.npz", X, y, X_test=X[:30], y_test=y[:30])
    weight = np.where(X[:, 0] > 0, 1.0, 0.0)
    write_npz("weighted.npz", X, TARGETS["classes"], sample_weight=weight)
    alike = X[:, 0] > 0.5
    write_npz("alike.npz", X, TARGETS["classes"], X_val=X[alike], y_val=TARGETS["classes"][alike])
    np.save("new.npy", X[:7])


def trained(capsys, name, *argv, out="a"):
    """Train on one of the files; return standard output, standard error, summary and history."""
    status, printed, said = call(
        train.main, capsys, "--dataset", f"{name}.npz", *SETTINGS, "--out", out, *argv
    )
    assert status == 0, said
    with Path(out, "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    return printed, said, json.loads(Path(out, "summary.json").read_text()), history


@pytest.fixture
def _two_with_pictures(name, monkeypatch):
    """Pictures take longest, and those of the other two tasks are the same."""
    if name in ("numbers", "labels"):
        monkeypatch.setattr(plots, "available", lambda: False)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.usefixtures("_two_with_pictures")
def test_a_run_of_each_task(capsys, name):
    score = "r2" if name in REGRESSIONS else "accuracy"
    printed, said, summary, history = trained(capsys, name)
    columns = ("step", "epoch", "learning_rate", "train_loss", f"train_{score}", "val_loss", f"val_{score}")
    assert tuple(history[0]) == (*columns, "seconds")
    assert list(summary)[:3] == [f"train_{score}", f"val_{score}", f"test_{score}"]
    assert float(history[-1][f"val_{score}"]) == pytest.approx(summary[f"val_{score}"], abs=1e-6)
    assert summary[f"test_{score}"] > 0.6
    of = {part: summary[f"{part}_{score}"] for part in ("train", "val", "test")}
    *_, last = (line for line in said.splitlines() if "note:" not in line)
    if score == "r2":
        assert printed.splitlines()[0] == (
            f"test R² {of['test']:.4f}, validation {of['val']:.4f}, train {of['train']:.4f}"
        )
        assert f"  val R² {of['val']:.3f}  " in last
        assert "%" not in printed + said
    else:
        test, val, train_ = (f"{100 * of[part]:.2f} %" for part in ("test", "val", "train"))
        what = "accuracy (all labels right)" if name == "labels" else "accuracy"
        assert printed.splitlines()[0] == f"test {what} {test}, validation {val}, train {train_}"
        assert f"  val {100 * of['val']:.1f} %  " in last
    assert Path("a/curves.png").exists() == plots.available()
    page = Path("a/report.html").read_text("utf-8")
    assert f"test {'R²' if score == 'r2' else 'accuracy'}" in page
    model = load_model(Path("a/model.safetensors"))
    assert model.task == {"labels": "multilabel", "classes": "classification"}.get(name, "regression")


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("name", TARGETS)
def test_what_is_trained_is_evaluated_and_predicts(capsys, name):
    score = "r2" if name in REGRESSIONS else "accuracy"
    summary = trained(capsys, name, "--quiet")[2]
    status, out, _ = call(evaluate.main, capsys, "a", "--json")
    assert status == 0
    assert out.startswith({"labels": "all labels right: ", "classes": "accuracy: "}.get(name, "R²: "))
    found = json.loads(out.splitlines()[-1])
    assert found[score] == pytest.approx(summary[f"test_{score}"])
    kind = {"labels": "multilabel", "classes": "classification"}.get(name, "regression")
    assert set(MEASURES_OF[kind]) <= set(found)
    others = "RMSE: |, MAE: " if kind == "regression" else "balanced accuracy: |, log loss: |, ROC AUC: "
    assert all(text in out.splitlines()[1] for text in others.split("|"))

    for suffix in ("npy", "csv"):
        argv = ["a", "--input", "new.npy", "--output", f"y.{suffix}", "--quiet"]
        assert call(predict.main, capsys, *argv) == (0, "", "")
    found = np.load("y.npy")
    expected = TARGETS[name][:7]
    if name == "classes":
        np.testing.assert_array_equal(found, load_model(Path("a/model.safetensors")).predict(X[:7]))
        head, *lines = Path("y.csv").read_text().splitlines()
        assert (head, set(lines)) == ("label", {"cat", "dog"})
        assert np.mean(np.array(lines) == expected) > 0.7
    else:
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() < 0.4
        assert np.loadtxt("y.csv", delimiter=",", skiprows=1) == pytest.approx(found)
    if name in REGRESSIONS:
        refused(predict.main, capsys, "a", "--input", "new.npy", "--output", "p.npy", "--probabilities")
    else:
        argv = ["a", "--input", "new.npy", "--output", "p.npy", "--probabilities", "--quiet"]
        assert call(predict.main, capsys, *argv) == (0, "", "")
        assert np.load("p.npy").shape == (7, 2)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.usefixtures("_two_with_pictures")
def test_a_sweep_of_each_task(capsys, name):
    """Its table has the names of the scores, and its best network is the run that `train` makes."""
    score = "r2" if name in REGRESSIONS else "accuracy"
    argv = ["--dataset", f"{name}.npz", *SETTINGS[:-1], "0.01", "0.05", "--reg", "1e-3", "1e-1", "--out", "s"]
    status, out, err = call(sweep.main, capsys, *argv, "--json")
    assert status == 0, err
    with Path("s/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {f"train_{score}", f"val_{score}"} <= set(rows[0])
    assert not {"train_score", "val_score", "train_accuracy" if score == "r2" else "train_r2"} & set(rows[0])
    val = [float(row[f"val_{score}"]) for row in rows]
    assert val == sorted(val, reverse=True)
    *_, best, _, _, _, _, last = out.splitlines()
    summary = json.loads(last)
    assert summary[f"val_{score}"] == val[0]
    figures = (summary[f"{part}_{score}"] for part in ("val", "test"))
    of = [f"R² {value:.4f}" if score == "r2" else f"{100 * value:.2f} %" for value in figures]
    varied = f"learning_rate {rows[0]['learning_rate']}, reg {rows[0]['reg']}"
    assert best == f"best: network {rows[0]['network']} ({varied}), validation {of[0]}, test {of[1]}"
    assert "best so far: network " in err
    assert ("val R² " in err) == ("%" not in out + err) == (score == "r2")
    assert Path("s/heatmap.png").exists() == Path("s/curves.png").exists() == plots.available()
    assert call(evaluate.main, capsys, "s", "--quiet") == (0, "", "")
    again = ["--config", "s/best/config.json", "--out", "again", "--quiet"]
    assert call(train.main, capsys, *again) == (0, "", "")
    params = (load_model(Path(folder, "model.safetensors")).params for folder in ("s/best", "again"))
    for ours, theirs in zip(*(each.values() for each in params), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def recall_of_cat(capsys):
    """The part of the few cats that the network in ``a`` knows."""
    _, out, _ = call(evaluate.main, capsys, "a", "--split", "train", "--quiet", "--json")
    return next(c["recall"] for c in json.loads(out)["classes"] if c["name"] == "cat")


@pytest.mark.usefixtures("without_pictures")
def test_weights_of_classes(capsys):
    trained(capsys, "classes", "--epochs", "3")
    plain = recall_of_cat(capsys)
    for weights in (["balanced"], ["cat=4", "dog=1"], ["cat=4"]):
        trained(capsys, "classes", "--epochs", "3", "--class-weight", *weights)
        assert json.loads(Path("a/config.json").read_text())["class_weight"] == weights
        assert recall_of_cat(capsys) > plain
    again = ["--config", "a/config.json", "--out", "again", "--quiet"]
    assert call(train.main, capsys, *again) == (0, "", "")
    ours, theirs = (load_model(Path(folder, "model.safetensors")).params["W1"] for folder in ("a", "again"))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "argv", "parts"),
    [
        ("classes", "--class-weight fair", ["--class-weight", "balanced", "NAME=WEIGHT", "'fair'"]),
        ("classes", "--class-weight cat=-1", ["--class-weight", "'cat=-1'"]),
        ("classes", "--class-weight cta=2", ["'cta'", "['cat', 'dog']"]),
        ("numbers", "--class-weight balanced", ["--class-weight", "regression"]),
        ("labels", "--class-weight balanced", ["--class-weight", "multilabel"]),
        ("numbers", "--loss hinge", ["--loss hinge is not for regression: use squared-error"]),
        ("classes", "--max-time 0", ["--max-time must be a finite number above 0"]),
        ("classes", "--sampling everything", ["--sampling must be one of", "'all'"]),
        (
            "classes",
            "--monitor accuracies",
            ["--monitor must be one of 'val_score', 'val_loss', 'val_accuracy'"],
        ),
        ("classes", "--monitor val_rmse", ["--monitor val_rmse is not for classification: use val_score"]),
        (
            "number",
            "--monitor val_roc_auc",
            ["not for regression: use val_score, val_loss, val_r2, val_rmse"],
        ),
        (
            "classes",
            "--monitor f1_samples",
            ["f1_samples cannot measure the validation rows", "such as val_score"],
        ),
        ("numbers", "--monitor f1_macro", ["f1_macro is not for regression"]),
        ("classes", "--monitor f1_macr", ["did you mean 'f1_macro'?"]),
        ("classes", "--scoring f1_macro", ["'--scoring': did you mean --monitor?"]),
        ("alike", "--monitor val_roc_auc", ["--monitor val_roc_auc compares rows", "use val_loss"]),
    ],
)
def test_settings_that_do_not_fit(capsys, name, argv, parts):
    for main in (train.main, sweep.main):
        line = refused(main, capsys, "--dataset", f"{name}.npz", *SETTINGS, "--out", "a", *argv.split())
        for part in parts:
            assert part in line
        assert not Path("a").exists()


@pytest.mark.usefixtures("without_pictures")
def test_weights_of_rows(capsys):
    """Rows without weight teach nothing: half of the cats and dogs are all there are."""
    summary, history = trained(capsys, "weighted", "--sampling", "shuffle")[2:]
    assert "train_accuracy" in history[0]
    assert summary["test_accuracy"] is None
    plain = load_model(Path("a/model.safetensors")).params["W1"]
    with np.load("weighted.npz") as file:
        arrays = dict(file)
    light = arrays["sample_weight"] == 0
    arrays["y"][light] = np.where(arrays["y"] == "cat", "dog", "cat")[light]
    np.savez("other.npz", **arrays)
    trained(capsys, "other", "--sampling", "shuffle", out="b")
    np.testing.assert_allclose(load_model(Path("b/model.safetensors")).params["W1"], plain, atol=1e-6)


def test_a_time_that_is_over(capsys):
    printed, said, summary, history = trained(
        capsys, "number", "--epochs", "1000000", "--max-time", "0.2", "--json"
    )
    assert summary["status"] == "stopped"
    assert 0.2 <= summary["seconds"] < 10
    assert summary["steps"] == int(history[-1]["step"]) < 1_000_000
    assert f"{summary['steps']:,} steps in " in printed
    assert json.loads(printed.splitlines()[-1]) == summary
    assert said.splitlines()[-1].startswith(f"step {summary['steps']}/")
    assert "left" not in said.splitlines()[-1]


@pytest.mark.usefixtures("without_pictures")
def test_batches_of_all_rows(capsys):
    """Of the 108 training rows: five batches of 20, and one of 8."""
    _, _, summary, history = trained(capsys, "number", "--sampling", "all", "--epochs", "3")
    assert [int(row["step"]) for row in history] == [6, 12, 18]
    assert summary["steps"] == 18


@pytest.mark.usefixtures("without_pictures")
def test_a_sweep_over_weights_and_sampling(capsys):
    argv = ["--dataset", "classes.npz", *SETTINGS, "--sampling", "all", "shuffle", "--max-time", "60"]
    argv += ["--class-weight", "balanced", "--class-weight", "cat=2", "dog=1", "--out", "s", "--quiet"]
    assert call(sweep.main, capsys, *argv) == (0, "", "")
    with Path("s/results.csv").open(newline="") as file:
        found = {(row["sampling"], row["class_weight"], row["max_time"]) for row in csv.DictReader(file)}
    weights = ("balanced", "cat=2 dog=1")
    assert found == {(sampling, weight, "60.0") for sampling in ("all", "shuffle") for weight in weights}
