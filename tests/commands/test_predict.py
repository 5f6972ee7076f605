"""``xpnet predict``: its outputs are those of the model, and what is wrong is one line."""

import csv
import json
from dataclasses import replace

import models
import numpy as np
import pytest
from command_lines import call, refused, write_run

from xpnet import files
from xpnet.columns.columns import numbers
from xpnet.commands import predict
from xpnet.data import transforms
from xpnet.device import Device
from xpnet.nn.mlp import MLP, init
from xpnet.runs import unlabelled
from xpnet.training.model import Model
from xpnet.training.row_range import RowRange

X = models.rows(11)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def test_probabilities_part_by_part(tmp_path, run, capsys, monkeypatch):
    monkeypatch.setattr(unlabelled, "PART", 3 * 12)
    np.save(tmp_path / "X.npy", X)
    argv = [run, "--input", tmp_path / "X.npy", "--output", tmp_path / "P.npy", "--probabilities", "--json"]
    status, out, err = call(predict.main, capsys, *argv)
    assert (status, err) == (0, "")
    said, summary = out.splitlines()
    assert said.startswith("probabilities of 11 rows in ")
    summary = json.loads(summary)
    assert (summary["rows"], summary["device"], summary["output"]) == (11, "cpu", str(tmp_path / "P.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "P.npy"), models.make().probabilities(X), atol=1e-6)


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_labels_by_default(tmp_path, run, capsys, suffix):
    np.savez(tmp_path / "X.npz", X=X)
    output = tmp_path / f"labels.{suffix}"
    argv = [run / "model.safetensors", "--input", tmp_path / "X.npz", "--output", output, "--quiet"]
    assert call(predict.main, capsys, *argv) == (0, "", "")
    expected = models.make().predict(X)
    if suffix == "csv":
        with output.open(encoding="utf-8", newline="") as file:
            assert [row[0] for row in csv.reader(file)] == ["label", *(models.NAMES[k] for k in expected)]
    else:
        found = np.load(output)
        np.testing.assert_array_equal(found if suffix == "npy" else found["labels"], expected)


def test_a_csv_file_in_and_out(tmp_path, run, capsys):
    np.savetxt(tmp_path / "X.csv", X, delimiter=",", fmt="%d")
    output = tmp_path / "P.csv"
    argv = [run, "--input", tmp_path / "X.csv", "--output", output, "--probabilities", "--quiet"]
    assert call(predict.main, capsys, *argv)[0] == 0
    found = np.loadtxt(output.read_text(encoding="utf-8").split('\n"', 1)[1].splitlines()[1:], delimiter=",")
    np.testing.assert_allclose(found, models.make().probabilities(X), atol=1e-6)


def test_whether_a_csv_file_of_numbers_has_names(tmp_path, run, capsys):
    (tmp_path / "X.csv").write_text("".join(f"{','.join(map(str, row))}\n" for row in [range(12), *X]))
    argv = [run, "--input", tmp_path / "X.csv", "--output", tmp_path / "P.npy"]
    for flags, rows in (([], 11), (["--header"], 11), (["--no-header"], 12)):
        assert f"labels of {rows} rows" in call(predict.main, capsys, *argv, *flags)[1]


@pytest.mark.parametrize("of", [of for of in models.OF if of != "classes"])
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_every_task(tmp_path, capsys, monkeypatch, of, suffix):
    monkeypatch.setattr(unlabelled, "PART", 3 * 12)
    model = models.make(of=of)
    run = write_run(tmp_path / "run", model)
    np.save(tmp_path / "X.npy", X)
    output = tmp_path / f"a.{suffix}"
    argv = [run, "--input", tmp_path / "X.npy", "--output", output]
    what = "numbers" if model.task == "regression" else "labels"
    status, out, _ = call(predict.main, capsys, *argv)
    assert (status, out.startswith(f"{what} of 11 rows")) == (0, True)
    expected = model.predict(X)
    # Exponentials in float32 differ in their last bit where rows are taken part by part.
    rtol = 1e-6 if model.link == "log" and model.target is None else 1e-9
    if suffix == "csv":
        with output.open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
        if model.task == "classification":
            assert (head, [name for (name,) in rows]) == (["label"], [model.class_names[k] for k in expected])
        else:
            assert head == list(model.class_names)
            np.testing.assert_allclose(np.array(rows, float), expected.reshape(11, -1), rtol=rtol)
    else:
        found = np.load(output) if suffix == "npy" else np.load(output)[what]
        np.testing.assert_allclose(found, expected, rtol=rtol)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if model.task == "regression":
        assert "numbers, which have no probabilities" in refused(
            predict.main, capsys, *argv, "--probabilities"
        )
    elif suffix == "npy":
        assert call(predict.main, capsys, *argv, "--probabilities")[0] == 0
        np.testing.assert_allclose(np.load(output), model.probabilities(X), atol=1e-6)


def test_a_row_of_a_later_part_is_named(tmp_path, run, capsys, monkeypatch):
    monkeypatch.setattr(unlabelled, "PART", 3 * 12)
    np.save(tmp_path / "X.npy", np.where(np.arange(132).reshape(11, 12) == 100, 3e38, 1.0))
    model = models.make(models.PREPROCESSINGS[0])
    model.params["W1"] *= np.float32(1e3)
    run = write_run(tmp_path / "run", model)
    line = refused(predict.main, capsys, run, "--input", tmp_path / "X.npy", "--output", tmp_path / "a.npy")
    assert "X.npy: row 8 is predicted as NaN" in line


def test_images(tmp_path, run, capsys):
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "images"
    folder.mkdir()
    for k, row in enumerate(X):
        image.fromarray(row.reshape(4, 3)).save(folder / f"{k:02}.png")
    argv = [run, "--input", folder, "--output", tmp_path / "a.npz", "--quiet"]
    assert call(predict.main, capsys, *argv)[0] == 0
    with np.load(tmp_path / "a.npz") as found:
        np.testing.assert_array_equal(found["labels"], models.make().predict(X))
        assert found["files"].tolist() == [f"{k:02}.png" for k in range(11)]


@pytest.mark.parametrize(
    ("X", "argv", "shades"),
    [
        (X, [], (0, 255)),
        (X / 255, [], (0, 1)),
        (X // 16.5, [], (0, 16)),
        (X * 0.7, [], (0, 255)),  # all rather dark
        (X > 9, [], (0, 1)),
        (X / 255, ["--white", "2"], (0, 2)),
        (X / 127.5 - 1, ["--white=1", "--black=-1"], (-1, 1)),
        (None, [], (0, 255)),
    ],
)
def test_images_become_as_the_training_rows_were(tmp_path, capsys, X, argv, shades):
    image = pytest.importorskip("PIL.Image")
    model = replace(models.make(), row_range=None if X is None else RowRange.of(X))
    run = write_run(tmp_path / "run", model)
    pixels = np.linspace(0, 255, 12, dtype=np.uint8)
    image.fromarray(pixels.reshape(4, 3)).save(tmp_path / "a.png")
    argv = [run, "--input", tmp_path / "a.png", "--output", tmp_path / "P.npy", "--probabilities", *argv]
    status, _, err = call(predict.main, capsys, *argv)
    assert status == 0
    assert ("does not record the range" in err) == (X is None)
    black, white = shades
    expected = models.make().probabilities(black + pixels[None] * np.float32((white - black) / 255))
    np.testing.assert_allclose(np.load(tmp_path / "P.npy"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("X", "argv", "says"),
    [
        (
            X / 127.5 - 1,
            [],
            "so the value of white is unknown: give black and white, such as --black -1 --white 1 (",
        ),
        (X // 2.56, [], "from 0 to 99, so the value of white is unknown"),
        (X // 2.56, [], "--black 0 --white 100"),
        (X * 100.0, [], "--black 0 --white 25500"),
        (X / 127.5, [], "--black 0 --white 2"),
        (
            X / 255,
            ["--black", "1"],
            "--black is 1, the same as white: give --white, too, such as 0 to invert the images",
        ),
        (X, ["--black=2", "--white=2"], "--white must be a finite number other than black, 2, not 2"),
        (X, ["--black=inf"], "--black must be a finite number, not inf"),
    ],
)
def test_what_white_is_must_be_said(tmp_path, capsys, X, argv, says):
    image = pytest.importorskip("PIL.Image")
    run = write_run(tmp_path / "run", replace(models.make(), row_range=RowRange.of(X)))
    image.fromarray(np.zeros((4, 3), np.uint8)).save(tmp_path / "a.png")
    argv = [run, "--input", tmp_path / "a.png", "--output", tmp_path / "P.npy", *argv]
    line = refused(predict.main, capsys, *argv)
    assert says in line
    if "say what black" in line:  # which then does
        advice = line.partition(", as ")[2].partition(" (")[0].split()
        assert call(predict.main, capsys, *argv, "=".join(advice[:2]), "=".join(advice[2:]))[0] == 0


@pytest.mark.parametrize("networks", [None, 3])
@pytest.mark.parametrize("of", ["classes", "one of two", "labels", "numbers", "one number"])
def test_the_spread_of_an_ensemble(tmp_path, capsys, of, networks):
    model = models.make(networks=networks, of=of)
    run = write_run(tmp_path / "run", model)
    np.save(tmp_path / "X.npy", X)
    numbers = model.task == "regression"
    argv = [run, "--input", tmp_path / "X.npy", "--output", tmp_path / "P.csv", "--spread", "--quiet"]
    argv += [] if numbers else ["--probabilities"]
    assert call(predict.main, capsys, *argv) == (0, "", "")
    with (tmp_path / "P.csv").open(encoding="utf-8", newline="") as file:
        names, *found = csv.reader(file)
    assert names[:2] == [model.class_names[0], f"{model.class_names[0]} spread"]
    found = np.array(found, float).reshape(len(X), -1, 2)
    plain = model.predict(X) if numbers else model.probabilities(X)
    np.testing.assert_allclose(found[..., 0], plain.reshape(len(X), -1), rtol=1e-5)
    spread = np.std(model.members(X), axis=0, ddof=1) if networks else np.zeros(found.shape[:2])
    np.testing.assert_allclose(found[..., 1], spread, rtol=1e-4, atol=1e-7)


def test_a_spread_of_what_has_none(tmp_path, run, capsys):
    np.save(tmp_path / "X.npy", X)
    argv = ["--input", tmp_path / "X.npy", "--output", tmp_path / "P.csv", "--spread"]
    line = refused(predict.main, capsys, run, *argv)
    assert line.endswith("--spread needs numbers or probabilities, not classes: give --probabilities, too")
    line = refused(predict.main, capsys, run, *argv, "--interval", "0.9")
    assert line.endswith("--interval and --spread cannot be combined: drop one of them")


def test_one_note_of_each_kind_on_rows_unlike_those_of_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(unlabelled, "PART", 2 * 4)
    model = models.make_table("one number")
    known = RowRange.of(np.full((2, model.num_features), [[0.0], [1.0]]))
    run = write_run(tmp_path / "run", replace(model, row_range=known))
    lines = ["age,çity,since,member", *(f"{age},Ulm,2024-01-30,true" for age in (50, "", "", 60, 70))]
    (tmp_path / "X.csv").write_text("\n".join(lines), encoding="utf-8")
    argv = [
        run,
        "--input",
        tmp_path / "X.csv",
        "--output",
        tmp_path / "y.npy",
        "--interval",
        "0.5",
        "--quiet",
    ]
    status, out, err = call(predict.main, capsys, *argv)
    assert (status, out) == (0, "")
    far, gap = err.splitlines()
    assert "note: column 'age' holds 50, far outside the training range 0 to 1" in far
    assert "note: missing values in columns that had none in training: age;" in gap


def test_a_gap_where_training_rows_had_none(tmp_path, capsys):
    model = models.make_table("one number")
    X = np.tile(np.arange(8.0)[:, None], model.num_features)
    X[3, 1] = np.nan
    columns = numbers(model.num_features)
    how = replace(model.preprocessing, categories=(0,) * model.num_features)
    fitted = transforms.fit(how, X, Device(), "float32")
    how = transforms.complete(how, fitted)
    mlp = MLP((how.output_features(X.shape[1]), 2, 1))
    params = init(mlp, np.random.default_rng(0), 0.1)
    about = {"class_names": ("n",), "task": "regression", "row_range": RowRange.of(X)}
    run = write_run(tmp_path / "run", Model(mlp, params, how, fitted, **about, columns=columns))
    names = [f"p{k}" for k in range(model.num_features)]

    def csv_with(place, text):
        row = ["5"] * len(names)
        row[place] = text
        lines = [",".join(names), ",".join(["4"] * len(names)), ",".join(row)]
        (tmp_path / "X.csv").write_text("\n".join(lines))
        return [run, "--input", tmp_path / "X.csv", "--output", tmp_path / "y.npy", "--quiet"]

    for text in ("", "NA"):
        line = refused(predict.main, capsys, *csv_with(2, text))
        assert (
            "X.csv: line 3 has no value (an empty field, NA or NaN) in column 'p2', where every training "
            "row had one: fill in a value, or drop the row" in line
        )
        assert call(predict.main, capsys, *csv_with(1, text)) == (0, "", "")


@pytest.mark.parametrize("text", ["", "NA"])
def test_a_field_without_a_value_is_named(tmp_path, run, capsys, text):
    """Also where the model was saved without what its training rows held."""
    (tmp_path / "X.csv").write_text(
        ",".join(f"p{k}" for k in range(12)) + f"\n{'4,' * 11}4\n{'4,' * 11}{text}\n"
    )
    line = refused(predict.main, capsys, run, "--input", tmp_path / "X.csv", "--output", tmp_path / "y.npy")
    says = "line 3 has no value (an empty field, NA or NaN) in column 'p11': fill in a value, or drop the row"
    assert line.endswith(f"X.csv: {says}")


def test_what_a_user_can_mend(tmp_path, run, capsys, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied", "a temporary file")

    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "huge.npy", np.where(np.arange(60).reshape(5, 12) == 30, 1e300, 1.0))

    def error(run=run, source="X.npy", output="out.npy", *more):
        line = refused(
            predict.main, capsys, run, "--input", tmp_path / source, "--output", tmp_path / output, *more
        )
        assert not (tmp_path / output).is_file() or output == "X.npy"
        return line

    assert "give the model.safetensors of a run" in error(run=tmp_path / "missing")
    assert "cannot be read" in error(run=tmp_path / "X.npy")
    assert "there is no" in error(source="missing.npy")
    assert "is the input" in error(output="X.npy")
    assert "end --output in" in error(output="out.txt")
    monkeypatch.setattr(files.Path, "replace", denied)
    assert error().endswith("out.npy cannot be written (Permission denied): give another --output")
    assert "huge.npy: row 2 holds values too large for float32" in error(source="huge.npy")
    assert "use cpu, cuda, cuda:N, mps or auto" in error(run, "X.npy", "out.npy", "--device", "tpu")
    assert "not allowed with" in error(run, "X.npy", "out.npy", "--labels", "--probabilities")
    for white in ("0", "nan"):
        line = error(run, "X.npy", "out.npy", f"--white={white}")
        assert "--white must be a finite number other than black, 0" in line
    assert "X.npy is not an image: drop --white" in error(run, "X.npy", "out.npy", "--white=1")
    for flag in ("--header", "--no-header"):
        assert f"X.npy is not a text file: drop {flag}" in error(run, "X.npy", "out.npy", flag)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["X.npy", "huge.npy", "run"]
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), X)
