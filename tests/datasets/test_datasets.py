"""What every data set promises, the digits, and finding a data set by name."""

import hashlib
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from xpnet import datasets
from xpnet.columns.columns import numbers
from xpnet.datasets import Dataset, Reading, checks, digits, has_validation, kind_of, load
from xpnet.errors import InputError


def make(**changes):
    """Build a small valid data set, with some of its fields changed."""
    fields = {
        "name": "toy",
        "X_train": np.arange(24.0).reshape(6, 4),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "X_val": np.ones((2, 4)),
        "y_val": np.array([0, 1]),
        "X_test": np.zeros((3, 4)),
        "y_test": np.array([2, 1, 0]),
        "class_names": ("a", "b", "c"),
        "image_shape": (2, 2, 1),
    }
    return Dataset(**fields | changes)


def test_public_names():
    names = (
        "Dataset Reading cifar10 digits from_arrays from_npz has_validation is_folder_of_rows kind_of load"
    )
    assert datasets.__all__ == names.split()


def test_dataset_counts_features_and_classes():
    data = make()
    assert (data.num_features, data.num_classes) == (4, 3)


def test_dataset_is_frozen_and_keeps_the_arrays_it_is_given():
    X = np.zeros((6, 4), dtype=np.uint8)
    data = make(X_train=X)
    assert data.X_train is X
    with pytest.raises(FrozenInstanceError):
        data.X_train = X


def test_dataset_needs_no_test_set_and_no_images():
    data = make(X_test=None, y_test=None, image_shape=None)
    assert data.X_test is None
    assert data.y_test is None


def make_other(task, **changes):
    """Build a small valid data set of two labels a row, or of two numbers."""
    dtype = {"multilabel": np.uint8, "regression": np.float64}[task]
    y = np.array([[0, 1], [1, 1], [0, 0]], dtype)
    targets = {"y_train": np.tile(y, (2, 1)), "y_val": y[:2], "y_test": y}
    return make(**targets | {"class_names": ("a", "b"), "task": task} | changes)


def test_repr_is_short():
    data = make(name="a\nb", weight_val=np.ones(2))
    assert repr(data).splitlines() == [
        r"Dataset 'a\nb': classification, 3 classes (a, b, c), images of 2×2×1",
        "  train: X (6, 4) float64, y (6,) int64",
        "  val:   X (2, 4) float64, y (2,) int64, weighted",
        "  test:  X (3, 4) float64, y (3,) int64",
    ]
    data = make_other("regression", X_test=None, y_test=None, image_shape=None)
    assert repr(data).splitlines()[::2] == [
        "Dataset 'toy': regression, 2 outputs (a, b)",
        "  val:   X (2, 4) float64, y (2, 2) float64",
    ]
    long = repr(make(class_names=tuple(f"{'long ' * 50}{k}\n" for k in range(1000))))
    assert "1000 classes (long" in long
    assert len(long) < 600
    assert long.count("\n") == 3


def test_a_notebook_shows_a_table_of_text():
    page = make(name="<b>", class_names=("<script>", "&", "c"))._repr_html_()
    assert "<caption>&lt;b&gt;: classification, 3 classes (&lt;script&gt;, &amp;, c)" in page
    assert "<tr><td>val</td><td>(2, 4) float64</td><td>(2,) int64</td></tr>" in page
    assert "\n" not in page


def test_the_checksum_is_that_of_before_and_covers_weights():
    assert digits().checksum() == "9c927ff9"
    sums = {
        make(**changes).checksum()
        for changes in (
            {},
            {"weight_train": np.ones(6)},
            {"weight_train": np.arange(6.0)},
            {"weight_val": np.ones(2)},
        )
    }
    assert len(sums) == 4


def test_labels_and_numbers_are_targets_too():
    data = make_other("multilabel", weight_train=np.arange(6.0))
    assert (data.task, data.num_outputs, data.labels) == ("multilabel", 2, None)
    assert make_other("regression").num_outputs == 2
    assert make(labels=(1, 2, 4)).labels == (1, 2, 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"X_train": [[1.0]]}, "X_train is of type list"),
        ({"X_train": np.zeros(6)}, "X_train has 1 dimensions"),
        ({"X_train": np.zeros((6, 2, 2))}, "X_train has 3 dimensions"),
        ({"X_train": np.zeros((0, 4)), "y_train": np.zeros(0, int)}, "at least one row"),
        ({"X_train": np.zeros((6, 0))}, "one column"),
        ({"X_train": np.zeros((6, 4), complex)}, "X_train has dtype complex128"),
        ({"X_train": np.zeros((6, 4), object)}, "X_train has dtype object"),
        ({"X_train": np.zeros((5, 4))}, "X_train has 5 rows and y_train 6"),
        ({"X_val": np.ones((2, 5))}, "X_val has 5 features, but X_train has 4"),
        ({"X_test": np.ones((3, 3))}, "X_test has 3 features, but X_train has 4"),
        ({"X_test": None}, "X_test is of type NoneType"),
        ({"y_test": None}, "y_test is of type NoneType"),
        ({"y_val": np.array([0, 1], dtype=np.int32)}, "y_val is of type int32"),
        ({"y_val": np.array([[0], [1]])}, "y_val has 2 dimensions"),
        ({"y_val": np.array([0, 3])}, "y_val holds label 3 in row 1: number the 3 classes"),
        ({"y_test": np.array([0, -1, -2])}, "y_test holds label -1 in row 1"),
        ({"image_shape": (2, 2, 3)}, "image_shape (2, 2, 3) does not multiply to 4"),
        ({"task": "ranking"}, "unknown task 'ranking': use classification, multilabel, regression"),
        ({"labels": (1, 2)}, "labels has 2 distinct values for 3 classes"),
        ({"labels": (1, 2, 1)}, "labels has 2 distinct values for 3 classes"),
        ({"weight_train": np.ones(5)}, "weight_train has shape (5,): give (6,), one weight for each row"),
        ({"weight_train": np.ones(6, int)}, "weight_train is of type int64: give a NumPy array of float64"),
        ({"weight_val": [1.0, 2.0]}, "weight_val is of type list: give a NumPy array of float64"),
        ({"weight_val": np.array([1, np.nan])}, "weight_val holds nan in row 1: give finite weights"),
        ({"weight_val": np.array([-0.5, 1])}, "weight_val holds -0.5 in row 0"),
        ({"weight_val": np.zeros(2)}, "weight_val is 0 in every row"),
        ({"columns": numbers(3)}, "3 columns are described, but X_train has 4: give one description each"),
        ({"columns": numbers(4), "X_val": np.full((2, 4), -np.inf)}, "X_val holds infinity in row 0"),
    ],
)
def test_dataset_refuses_in_one_line(changes, words):
    refuses(make, changes, words)


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        ("multilabel", {"y_val": np.ones((2, 2))}, "y_val is of type float64: give a NumPy array of uint8"),
        ("multilabel", {"y_val": np.ones(2, np.uint8)}, "y_val has shape (2,): give (rows, 2), a column for"),
        ("multilabel", {"y_val": np.array([[0, 1], [2, 0]], np.uint8)}, "y_val holds 2 in row 1: give 1 for"),
        ("multilabel", {"labels": ("a", "b")}, "labels apply to classification only: leave them out"),
        (
            "regression",
            {"y_val": np.ones((2, 2), int)},
            "y_val is of type int64: give a NumPy array",
        ),
        (
            "regression",
            {"y_val": np.ones((2, 3))},
            "y_val has shape (2, 3): give (rows, 2), a column",
        ),
        ("regression", {"y_val": np.array([[0, 1], [2, np.nan]])}, "y_val holds NaN or infinity in row 1"),
        ("regression", {"y_val": np.ones((3, 2))}, "X_val has 2 rows and y_val 3"),
    ],
)
def test_other_tasks_refuse_in_one_line(task, changes, words):
    refuses(lambda **changes: make_other(task, **changes), changes, words)


def refuses(make, changes, words):
    with pytest.raises(InputError) as caught:
        make(**changes)
    message = str(caught.value)
    assert message.startswith("toy: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dataset_names_the_first_row_that_is_not_finite(monkeypatch, value, dtype):
    monkeypatch.setattr(checks, "_CHUNK_ELEMENTS", 8)  # two rows: the search crosses chunks
    X = np.zeros((6, 4), dtype)
    X[3, 1] = X[5, 0] = value
    with pytest.raises(InputError, match=r"^toy: X_train holds NaN or infinity in row 3: "):
        make(X_train=X)


def test_a_table_may_have_gaps():
    gappy = np.where(np.eye(6, 4) > 0, np.nan, 1.0)
    assert np.isnan(make(X_train=gappy, columns=numbers(4)).X_train).sum() == 4


def test_digits_split_sizes_and_dtypes():
    data = digits()
    assert data.X_train.shape == (1297, 64)
    assert data.X_val.shape == (200, 64)
    assert data.X_test.shape == (300, 64)
    assert data.X_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert data.image_shape == (8, 8, 1)
    assert data.class_names == tuple("0123456789")


def test_digits_split_never_changes():
    # Accuracies of years ago are compared with today's: whoever changes this changes them all.
    data = digits()
    images = np.concatenate([data.X_train, data.X_val, data.X_test])
    assert hashlib.sha256(images).hexdigest() == (
        "22ccb51d1417f8119764af32a91d6d7351b6b6f703ee31920487dcfdf6a4e72a"
    )


def test_digits_are_those_of_scikit_learn():
    original = pytest.importorskip("sklearn.datasets").load_digits()
    data = digits()
    X = np.concatenate([data.X_train, data.X_val, data.X_test])
    y = np.concatenate([data.y_train, data.y_val, data.y_test])

    def in_order(X, y):
        return sorted(map(tuple, np.column_stack([X, y]).astype(int).tolist()))

    assert in_order(X, y) == in_order(original.data, original.target)


def test_load_by_name_and_by_path(tmp_path, monkeypatch):
    assert load("digits").name == "digits"
    assert load(Path("digits")).name == "digits"
    path = tmp_path / "own.NPZ"
    with path.open("wb") as file:  # given a name, savez would append .npz
        np.savez(file, X=np.eye(4), y=np.arange(4))
    assert load(path).num_features == 4
    assert load(str(path)).num_classes == 4
    assert load(path, reading=Reading(task="regression")).y_train.shape == (3, 1)
    assert load("digits", reading=Reading(task="classification")).num_classes == 10
    calls = []
    monkeypatch.setattr(datasets, "cifar10", lambda *args, **kwargs: calls.append((args, kwargs)))
    load("cifar10", "folder", progress=True)
    assert calls == [(("folder",), {"progress": True})]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnist", "unknown dataset 'mnist': use digits, cifar10, or the path of a table (.csv, "),
        ("", "unknown dataset ''"),
        ("data.npy", "there is no file data.npy"),
        ("folder/data.csv", "there is no folder/data.csv"),
        ("data.jpg", "data.jpg is not a data set: give a table (.csv, .tsv, .parquet, .arrow), an .npz file"),
        ("missing.npz", "there is no file missing.npz"),
    ],
)
def test_load_refuses_in_one_line(name, words):
    with pytest.raises(InputError) as caught:
        load(name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_what_has_classes_has_no_other_task(name):
    with pytest.raises(InputError, match=f"^{name} is for classification, not 'regression': leave"):
        load(name, reading=Reading(task="regression"))


def test_kinds_of_data_by_name(tmp_path):
    assert [kind_of(name) for name in ("digits", "cifar10", tmp_path, Path("digits"))] == [
        *("digits", "cifar10", "images", "digits")
    ]
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    for name in ("people.csv", "none.npz", tmp_path / "bad.npz", "mnist", ""):
        assert kind_of(name) == "table"


def test_which_have_rows_to_validate_on(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.eye(4), y=np.arange(4))
    np.savez(tmp_path / "b.npz", X=np.eye(4), y=np.arange(4), X_val=np.eye(4), y_val=np.arange(4))
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    for folder in ("all/cats", "all/dogs", "split/train/cats", "split/Validation/cats", "wrong/val/cats"):
        (tmp_path / folder).mkdir(parents=True)
    assert all(map(has_validation, ("digits", "cifar10", tmp_path / "b.npz", tmp_path / "split")))
    others = ("a.npz", "bad.npz", "none.npz", "people.csv", "all", "wrong")
    assert not any(has_validation(tmp_path / name) for name in others)


@pytest.mark.parametrize(
    ("name", "said", "text"),
    [
        ("digits", {"target": ("plan",)}, "digits is not a table: drop --target"),
        ("cifar10", {"size": 8}, "cifar10 is not a folder of images: drop --size"),
        ("a.npz", {"group": "family"}, "a.npz is not a table: drop --group"),
        ("a.npz", {"header": True}, "a.npz is not a text file: drop --header"),
        (".", {"categorical": ("a",)}, ". is not a table: drop --categorical"),
        (".", {"task": "regression"}, ". is for classification, not 'regression': leave out the task"),
        ("a.csv", {"size": 8}, "a.csv is not a folder of images: drop --size"),
        ("a.parquet", {"header": False}, "a.parquet is not a text file: drop --header"),
        ("a.npy", {"header": False}, "a.npy is not a text file: drop --header"),
    ],
)
def test_what_data_have_no_use_for_is_refused(name, said, text):
    with pytest.raises(InputError) as caught:
        load(name, reading=Reading(**said))
    assert str(caught.value) == text


def test_load_a_table_by_path(tmp_path):
    path, notes = tmp_path / "people.csv", []
    path.write_text("age,plan\n" + "\n".join(f"{20 + k},{'ab'[k % 2]}" for k in range(20)))
    data = load(path, reading=Reading(target=("plan",), validation_fraction=0.25), note=notes.append)
    assert (data.name, data.class_names, data.columns.names) == (str(path), ("a", "b"), ("age",))
    assert (data.X_train.shape, data.X_val.shape) == ((15, 1), (5, 1))
    np.save(tmp_path / "rows.npy", np.column_stack([data.X_train, data.y_train]))
    assert load(tmp_path / "rows.npy", reading=Reading(target=("1",))).num_features == 1
