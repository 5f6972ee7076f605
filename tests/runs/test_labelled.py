"""A file that a network is measured on: whole, by the names of its classes, or refused in one line."""

from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import pytest

import xpnet
from xpnet.commands import evaluate
from xpnet.errors import InputError
from xpnet.runs.config import Config
from xpnet.runs.labelled import class_numbers, labelled_rows
from xpnet.training.row_range import RowRange

X = models.rows(9)
Y = np.array([0, 1, 2] * 3)
CONFIG = Config(dataset="unknown")


def save(folder, **arrays):
    np.savez(folder / "new.npz", **arrays)
    return folder / "new.npz"


def measured(path, model=None, **options):
    return labelled_rows(model or models.make(), CONFIG, Path(path), **options)


def refused(path, model=None, **options):
    with pytest.raises(InputError) as caught:
        measured(path, model, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("shape", [(12,), (4, 3)])
def test_an_array_file_is_measured_whole(tmp_path, count, shape):
    found = measured(save(tmp_path, X=X[:count].reshape(count, *shape), y=Y[:count]))
    np.testing.assert_array_equal(found.X, X[:count])
    np.testing.assert_array_equal(found.y, Y[:count])
    assert (found.split, found.name) == ("all", str(tmp_path / "new.npz"))


def test_splits_of_an_array_file(tmp_path):
    path = save(tmp_path, X=X, y=Y, X_val=X[:1], y_val=Y[:1], X_test=X[:4], y_test=Y[:4])
    np.testing.assert_array_equal(measured(path).X, np.concatenate([X, X[:1], X[:4]]))
    for split, count in {"train": 9, "val": 1, "test": 4}.items():
        found = measured(path, split=split)
        assert (found.split, len(found.X), found.y.tolist()) == (split, count, Y[:count].tolist())
    assert "has no val rows, only train, test: drop --split or" in refused(
        save(tmp_path, X=X, y=Y, X_test=X, y_test=Y), split="val"
    )
    for split in ("train", "val", "test"):
        assert f"has no {split} rows, only one set of rows" in refused(save(tmp_path, X=X, y=Y), split=split)


@pytest.mark.parametrize(
    ("of", "y", "expected"),
    [
        ("labels", [[1, 0, 1]], [[1, 0, 1]]),
        ("numbers", [[1.5, 2, 3]], [[1.5, 2, 3]]),
        ("one number", [7], [[7.0]]),
    ],
)
def test_other_tasks(tmp_path, of, y, expected):
    assert measured(save(tmp_path, X=X[:1], y=y), models.make(of=of)).y.tolist() == expected


@pytest.mark.parametrize(
    ("class_names", "y", "numbers"),
    [
        (models.NAMES, ["dog", "cat", "dog"], [1, 0, 1]),  # by name
        (models.NAMES, [2, 1, 2], [2, 1, 2]),  # by number
        (models.NAMES, [2.0, 1.0, 2.0], [2, 1, 2]),
        (("1", "3", "4"), [4, 3, 4], [2, 1, 2]),
        (("-1", "0", "1"), [0, 1, 1], [1, 2, 2]),  # though 0 and 1 could be numbers of classes
        (("False", "True"), [True, True, True], [1, 1, 1]),
    ],
)
def test_labels_are_the_models_also_where_some_are_missing(tmp_path, class_names, y, numbers):
    of = "classes" if len(class_names) == 3 else "one of two"
    model = replace(models.make(of=of), class_names=class_names)
    assert measured(save(tmp_path, X=X[:3], y=y), model).y.tolist() == numbers


def test_a_file_that_names_its_classes(tmp_path):
    names = np.array(["ant", "dog", "cat"])
    assert measured(save(tmp_path, X=X[:3], y=[2, 1, 1], class_names=names)).y.tolist() == [0, 1, 1]
    assert "has the label 0, which is not a class" in refused(save(tmp_path, X=X, y=Y, class_names=names))
    path = save(tmp_path, X=X, y=Y + 1, class_names=names)
    assert "y must hold numbers from 0 to 2: correct class_names or y" in refused(path)


@pytest.mark.parametrize(
    ("class_names", "labels", "y", "says"),
    [
        (models.NAMES, None, ["dog", "cow"], "has the label 'cow', which is not a class of the model: give"),
        (models.NAMES, None, [1, 3], "has the label 3"),
        (models.NAMES, models.NAMES, [1, 2], "has the label 1"),
        (("1", "2", "3"), None, [0, 2], "has the label 0"),
        (models.NAMES, None, [0.5, 1], "y holds 0.5 in row 0"),
        (models.NAMES, None, [[1, 0], [0, 1]], "y has shape (2, 2): give one label for each row"),
        (models.NAMES, None, [1, 2, 0], "X has 2 rows and y 3"),
    ],
)
def test_labels_that_are_none_of_the_models(tmp_path, class_names, labels, y, says):
    model = replace(models.make(), class_names=class_names, labels=labels)
    assert says in refused(save(tmp_path, X=X[:2], y=y), model)


def test_other_rows_and_files(tmp_path):
    assert "has 11 features, but the model takes 12: give" in refused(save(tmp_path, X=X[:, 1:], y=Y))
    assert "there is no file" in refused(tmp_path / "missing.npz")
    (tmp_path / "a.doc").touch()
    assert "is not a data set: give a table" in refused(tmp_path / "a.doc")
    path = save(tmp_path, X=X, y=Y)
    assert refused(path, target=["y"]) == f"{path} is not a table: drop --target"
    assert refused(path, header=False) == f"{path} is not a table: drop --header"
    assert class_numbers(models.make(), np.array([[2], [0]]), "x").tolist() == [2, 0]


# Tables, for a model that was trained on arrays


@pytest.mark.parametrize("name", ["new.csv", "new.npy", "new.parquet"])
def test_a_table_for_a_model_of_arrays(tmp_path, name):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path, both = tmp_path / name, np.column_stack([X, Y])
    if name == "new.csv":
        np.savetxt(path, both, delimiter=",", fmt="%d")
    elif name == "new.npy":
        np.save(path, both)
    else:
        parquet.write_table(pa.table({str(k): both[:, k] for k in range(13)}), path)
    notes = []
    found = measured(path, target=["12"], note=notes.append)
    np.testing.assert_array_equal(found.X, X)
    np.testing.assert_array_equal(found.y, Y)
    assert (found.split, len(notes)) == ("all", name == "new.csv")
    assert "which column of" in refused(path)
    assert "'z' is not a column" in refused(path, target=["z"])
    if name == "new.csv":
        assert len(measured(path, target=["12"], header=False).y) == 9
        names = ",".join(map(str, range(2000, 2013)))
        path.write_text(f"{names}\n{path.read_text()}")
        assert len(measured(path, target=["2012"]).y) == 9
        assert "has the label 2012, which is not a class" in refused(path, target=["12"], header=False)
    if name == "new.npy":
        path.unlink()
        assert "there is no file" in refused(path, target=["12"])


# Folders of images


@pytest.fixture
def image():
    return pytest.importorskip("PIL.Image")


def pictures(image, folder, *classes):
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        image.fromarray(X[k].reshape(4, 3)).save(folder / name / "a.png")
    return folder


def test_a_folder_is_measured_whole(tmp_path, image):
    found = measured(pictures(image, tmp_path / "one", "dog"))
    assert (found.split, found.y.tolist()) == ("all", [1])
    np.testing.assert_array_equal(found.X, X[:1])
    folder = pictures(image, tmp_path / "several", "val/dog", "test/cat", "test/dog")
    assert sorted(measured(folder).y.tolist()) == [0, 1, 1]
    assert measured(folder, split="test").y.tolist() == [0, 1]
    assert "has no train rows, only val, test" in refused(folder, split="train")
    assert "has the label 'cow', which is not a class" in refused(pictures(image, tmp_path / "cow", "cow"))
    assert "is for classification, but the model is for regression" in refused(
        folder, models.make(of="numbers")
    )
    assert "takes rows of 12 numbers" in refused(folder, models.make(image_shape=None))


@pytest.mark.parametrize(
    ("rows", "shades", "ends"),
    [(X, None, (0, 255)), (X / 255, None, (0, 1)), (X / 127.5 - 1, (-1, 1), (-1, 1)), (None, None, (0, 255))],
)
def test_images_become_as_the_training_rows_were(tmp_path, image, rows, shades, ends):
    folder = pictures(image, tmp_path, "cat", "dog")
    model = replace(models.make(), row_range=None if rows is None else RowRange.of(rows))
    found = measured(folder, model, shades=shades)
    expected = ends[0] + X[:2] * ((ends[1] - ends[0]) / 255)
    np.testing.assert_allclose(found.X, expected, atol=1e-6)
    if shades is not None:
        assert "so the value of white is unknown" in refused(folder, model)


# At the door of Python, and whether the network was trained on the rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    A = rng.normal(size=(60, 3))
    y = np.where(A[:, 0] > 0, "up", "down")
    np.savez(folder / "a.npz", X=A, y=y)
    run = xpnet.fit(str(folder / "a.npz"), hidden=(4,), epochs=2, recipe="none", out=str(folder / "run"))
    return folder, run, A, y


def test_a_file_by_its_path(trained, recwarn):
    folder, run, A, y = trained
    np.savez(folder / "b.npz", X=A[:7], y=y[:7], X_test=A[7:8], y_test=y[7:8])
    for each in (run, xpnet.load(folder / "run"), xpnet.load(folder / "run" / "model.safetensors")):
        assert each.evaluate(folder / "b.npz", split="train") == run.evaluate(A[:7], y[:7])
        np.testing.assert_equal(
            each.evaluate(str(folder / "b.npz"), split="test"), run.evaluate(A[7:8], y[7:8])
        )
        assert each.evaluate(folder / "b.npz") == run.evaluate(A[:8], y[:8])
    assert not [str(w.message) for w in recwarn.list]
    with pytest.raises(InputError, match="has its own targets: leave out y"):
        run.evaluate(folder / "b.npz", y)
    with pytest.raises(InputError, match="split, target, header and shades apply to files only"):
        run.evaluate(A, y, split="test")


def test_a_table_by_its_path_is_measured_as_its_frame_is(tmp_path):
    """Text and dates, too: what the columns have made numbers of is not read a second time."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": rng.choice(list("ab"), 120), "size": rng.normal(size=120)})
    frame["day"] = pd.date_range("2024-01-01", periods=120)
    frame["is_a"] = np.where(frame["kind"] == "a", "yes", "no")
    run = xpnet.fit(frame, target="is_a", recipe="table-fast", seed=1)
    frame.rename(columns={"is_a": "other"}).to_csv(tmp_path / "b.csv", index=False)
    expected = run.evaluate(frame)
    assert expected["accuracy"] > 0.9
    for target in ("other", ["other"]):
        assert run.evaluate(tmp_path / "b.csv", target=target) == pytest.approx(expected)
    with pytest.raises(InputError, match="target, header and shades apply to files only"):
        run.evaluate(frame, target="is_a")


def test_known_data_sets_by_name():
    run = xpnet.fit("digits", hidden=(8,), epochs=2)
    assert run.evaluate("digits", split="val")["accuracy"] == run.summary["val_accuracy"]
    assert run.evaluate("digits")["accuracy"] == run.summary["test_accuracy"]
    with pytest.raises(InputError, match="unknown dataset 'digit': use digits"):
        run.evaluate("digit")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_series_of_numbers_is_a_target(library):
    series = pytest.importorskip(library).Series
    A = np.random.default_rng(0).normal(size=(40, 3))
    run = xpnet.fit(A, A[:, 0], hidden=(4,), epochs=2, batch_size=9, recipe="none")
    assert run.evaluate(A, series(A[:, 0])) == run.evaluate(A, A[:, 0])
    with pytest.raises(InputError, match="y has 39 rows, but X has 40: give one target for each row"):
        run.evaluate(A, series(A[:39, 0]))


def test_weights_that_only_training_goes_by_are_said(tmp_path, capsys):
    A = np.random.default_rng(0).normal(size=(40, 3))
    y = (A[:, 0] > 0).astype(int)
    np.savez(tmp_path / "w.npz", X=A, y=y, sample_weight=y + 0.5)
    how = {"hidden": (4,), "epochs": 2, "batch_size": 9, "recipe": "none"}
    run = xpnet.fit(str(tmp_path / "w.npz"), out=str(tmp_path / "r"), **how)
    np.savez(tmp_path / "v.npz", X=A[:30], y=y[:30], sample_weight=y[:30] + 0.5)
    with pytest.warns(UserWarning, match="has sample_weight, which training and its summary use; here"):
        assert run.evaluate(tmp_path / "v.npz") == run.evaluate(A[:30], y[:30])
    evaluate.main([str(tmp_path / "r"), "--split", "val", "--quiet"])
    assert capsys.readouterr().err.count("here every row counts the same") == 1


def test_rows_that_it_was_trained_on_are_noted(trained):
    folder, run, A, y = trained
    (folder / "copy.npz").write_bytes((folder / "a.npz").read_bytes())
    for name in ("a.npz", "copy.npz"):
        with pytest.warns(UserWarning, match=f"{name} holds the data of the run: the rows evaluated"):
            assert run.evaluate(folder / name) == run.evaluate(A, y)


def test_images_that_it_was_trained_on_are_noted(tmp_path, image, recwarn):
    for name in ("cat/1", "cat/2", "dog/3", "dog/4"):
        pictures(image, tmp_path / "a", name)
    run = xpnet.fit(str(tmp_path / "a"), hidden=(4,), epochs=1, recipe="none", batch_size=2)
    assert not [str(w.message) for w in recwarn.list]
    with pytest.warns(UserWarning, match="holds the data of the run"):
        run.evaluate(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    run.evaluate(tmp_path / "b")
    assert not [str(w.message) for w in recwarn.list]
