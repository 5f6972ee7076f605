"""``init_from``: a new run that begins with the network of another."""

import json
from pathlib import Path

import numpy as np
import pytest
from fits import PLAIN
from sweeps import blobs, numbers

from xpnet import Config, InputError, fit, load, search, sweep
from xpnet.commands import sweep as sweep_command
from xpnet.commands import train

pytestmark = pytest.mark.usefixtures("without_pictures")

BLOBS = blobs()
SMALL = PLAIN | {"hidden": 5, "batch_size": 20, "epochs": 2, "dtype": "float64"}
STILL = {"learning_rate": 0.0}
"""So that a run ends with the weights that it begins with."""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(call, *args, **settings):
    with pytest.raises(InputError) as caught:
        call(*args, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_begins_with(run, first):
    for name, value in first.model.params.items():
        np.testing.assert_array_equal(run.model.params[name], value)
    for name, value in first.model.fitted.items():
        np.testing.assert_array_equal(run.model.fitted[name], value)


def people(name="people.csv", shift=0.0, cities=("Rome", "Oslo", "Lima"), plans=("no", "yes"), more=""):
    rng = np.random.default_rng(0)
    ages = rng.uniform(20, 60, 80) + shift
    lines = [f"age,child,city,plan{more and ',' + more}"]
    for k, age in enumerate(ages):
        plan = plans[int(age + 9 * (k % 3) > 45 + shift) % len(plans)]
        lines.append(f"{age:.3f},{k % 4},{cities[k % len(cities)]},{plan}{more and f',{k * k}'}")
    Path(name).write_text("\n".join(lines) + "\n")
    return name


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (BLOBS, {}),
        (BLOBS, {"norm": "batch", "hidden": (4, 4), "residual": True, "ema": 0.5}),
        (BLOBS, {"preprocess": "pca", "components": 0, "ensemble": 3}),
        (numbers(2, shift=100.0, scale=9.0), {}),
    ],
    ids=["plain", "norm", "ensemble", "numbers"],
)
@pytest.mark.parametrize("file", ["a", "a/model.safetensors"])
def test_weights_and_preprocessing(data, changes, file):
    first = fit(data, out="a", **SMALL | changes)
    shifted = blobs(seed=3) if data is BLOBS else numbers(2, shift=90.0, scale=5.0)
    run = fit(
        shifted,
        init_from=file,
        **SMALL | changes | STILL | {"epochs": 1, "norm": changes.get("norm", "none")},
    )
    if "norm" not in changes:  # whose statistics follow the batches also where the weights stay
        assert_begins_with(run, first)
    X = shifted.X_val
    if "norm" not in changes:
        np.testing.assert_array_equal(run.predict(X), first.predict(X))
    assert fit(shifted, init_from=file, **SMALL | changes).summary["steps"] == first.summary["steps"]


def test_what_is_not_said_is_taken_over():
    """All of the run's settings, of its data too, but for the device; a recipe or a file goes over these."""
    people()
    argv = ["people.csv", "--target", "plan", "--hidden", "6", "--epochs", "3", "--seed", "4", "--quiet"]
    assert train.main([*argv, "--out", "a"]) == 0
    assert train.main(["--init-from", "a", "--out", "b", "--quiet"]) == 0
    first, second = (json.loads(Path(out, "config.json").read_text()) for out in "ab")
    assert second == first | {"init_from": str(Path("a").resolve())}
    assert (
        train.main(
            ["--init-from", "a", "--recipe", "original", "--seed", "5", *argv[:3], "--quiet", "--out", "c"]
        )
        == 0
    )
    third = json.loads(Path("c/config.json").read_text())
    assert (third["hidden"], third["preprocess"], third["solver"], third["seed"]) == ([6], "table", "sgd", 5)
    assert train.main(["--config", "b/config.json", "--out", "d", "--quiet"]) == 0
    assert Path("d/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()
    by_name = fit("people.csv", init_from="a")
    assert by_name.summary["val_accuracy"] == load("b").summary["val_accuracy"]


def test_columns_and_classes_of_other_rows():
    """They are found by name: the network's order and codes stay."""
    first = fit(people(), target="plan", out="a", epochs=3, hidden=6, ensemble=1)
    other = people("other.csv", cities=("Lima", "Bonn", "Rome"), plans=("yes",))
    with pytest.warns(UserWarning, match="every row has the same target"):
        run = fit(other, init_from="a", epochs=1, **STILL)
    assert_begins_with(run, first)
    assert run.model.columns == first.model.columns
    assert run.model.labels == first.model.labels
    rows = {"age": [20.0, 58.0, 33.0], "child": [0, 1, 2], "city": ["Oslo", "Bonn", "Lima"]}
    np.testing.assert_array_equal(run.predict_proba(rows), first.predict_proba(rows))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"hidden": 7}, ["--hidden is (7,), but (6,) in a", "give --hidden 6"]),
        ({"activation": "tanh"}, ["--activation is 'tanh'", "give --activation relu"]),
        ({"ensemble": 2}, ["--ensemble is 2, but 1 in a"]),
        ({"preprocess": "mean"}, ["--preprocess is 'mean', but 'table' in a"]),
        ({"init_from": "nowhere"}, ["there is no file nowhere"]),
        ({"init_from": 3}, ["--init-from must be text"]),
        ({"target": "city"}, ["lacks columns", "give city"]),
        ({"data": {"more": "height"}}, ["has columns that a was not trained on, height", "--ignore height"]),
        ({"data": {"plans": ("no", "perhaps")}}, ["has the label 'perhaps'"]),
        (
            {"categorical": ("child",)},
            ["is a category, but a number in a", "--numeric child"],
        ),
        ({"target": "age"}, ["is for regression, but a is for classification"]),
    ],
)
def test_what_does_not_fit(change, parts):
    fit(people(), target="plan", out="a", epochs=1, hidden=6, ensemble=1)
    data = people("new.csv", **change.pop("data", {}))
    if change.get("target") == "age":
        Path(data).write_text(Path(data).read_text().replace("age", "x").replace("plan", "age", 1))
        change, parts = {"target": "x"}, parts
    message = refused(fit, data, **{"init_from": "a", "epochs": 1, **change})
    for part in parts:
        assert part in message


def test_its_own_folder():
    fit(BLOBS, out="a", **SMALL)
    assert "--init-from and --out are both a" in refused(fit, BLOBS, init_from="a", out="a", **SMALL)


def test_arrays_of_another_width():
    fit(BLOBS, out="a", **SMALL)
    message = refused(fit, blobs(features=6), init_from="a", **SMALL)
    assert "blobs has rows of 6 features, but a was trained on 5 features" in message


# Sweeps


def test_a_sweep_begins_with_a_run_and_a_run_with_a_sweep():
    first = fit(BLOBS, out="a", **SMALL)
    points = {"learning_rate": [0.0, 0.1], "reg": [0.0, 0.1]}
    found = search(BLOBS, grid=points, init_from="a", out="s", **SMALL)
    still = [row for row in found.rows if found.configs[row["network"]].learning_rate == 0]
    assert {row["val_score"] for row in still} == {first.summary["val_accuracy"]}
    best = fit(BLOBS, init_from="s", **SMALL | STILL)
    assert_begins_with(best, load("s"))
    configs = sweep.configs(sweep.grid({"hidden": [5, 6]}), Config(init_from="a", **SMALL))
    assert "--hidden is (6,), but (5,) in a" in refused(sweep.run, configs, BLOBS)
    again = sweep.run(
        sweep.configs(sweep.grid({"learning_rate": [0.0]}), Config(init_from="a", **SMALL)), BLOBS
    )
    assert again.rows[0]["val_score"] == first.summary["val_accuracy"]


def test_a_sweep_from_the_command_line(capsys):
    people()
    argv = ["people.csv", "--target", "plan", "--hidden", "6", "--epochs", "2", "--ensemble", "1", "--quiet"]
    assert train.main([*argv, "--out", "a"]) == 0
    assert (
        sweep_command.main(["--init-from", "a", "--learning-rate", "0", "0.01", "--out", "s", "--quiet"]) == 0
    )
    assert load("s").config.init_from == str(Path("a").resolve())
    assert capsys.readouterr().err == ""


# Taken up again


@pytest.mark.usefixtures("without_pictures")
def test_what_a_run_writes_is_not_taken_over():
    """Or it would ask for a folder that nobody has named."""
    first = fit(blobs(), out="a", checkpoint_every=1, tensorboard=False, **PLAIN)
    assert fit(blobs(), init_from="a").config.checkpoint_every is None
    assert first.config.checkpoint_every == 1


def test_it_can_be_taken_up_again():
    fit(BLOBS, out="a", **SMALL)
    whole = fit(BLOBS, init_from="a", out="b", **SMALL | {"epochs": 5})
    fit(BLOBS, init_from="a", out="c", checkpoint_every=1, **SMALL | {"epochs": 3})
    run = fit(BLOBS, resume="c", epochs=5)
    np.testing.assert_array_equal(run.model.params["W1"], whole.model.params["W1"])
    fit(BLOBS, out="a", force=True, **SMALL | {"seed": 9})  # it is not the same any more
    assert "different start" in refused(fit, BLOBS, resume="c", epochs=7)


@pytest.mark.parametrize("preprocess", ["standardize", "table"])
def test_a_feature_that_stood_still_in_the_first_rows_is_named(preprocess):
    """What was fitted is kept, and leaves it out: by a run and by a sweep."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((120, 3))
    y = (X[:, 2] > 0).astype(int)
    still = X.copy()
    still[:, 2] = 7.0
    how = {"recipe": "none", "preprocess": preprocess, "epochs": 1, "quiet": True}
    fit(still, y, out="a", **how)
    fit(still, y, init_from="a", **how)
    with pytest.warns(UserWarning, match="rows with a constant value in feature 2 and ignores it, but"):
        fit(X, y, init_from="a", **how)
    with pytest.warns(UserWarning, match="rows with a constant value in feature 2 and ignores it, but"):
        search(X, y, {"learning_rate": [0.01, 0.1]}, init_from="a", **how)
