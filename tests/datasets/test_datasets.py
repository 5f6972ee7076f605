"""What every data set promises, the digits, and finding a data set by name."""

import hashlib
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from xpnet import datasets
from xpnet.datasets import Dataset, base, digits, load
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
    assert datasets.__all__ == ["Dataset", "cifar10", "digits", "from_npz", "load"]


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


def test_repr_is_short():
    assert "X_train" not in repr(make())


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
        ({"X_val": np.ones((2, 5))}, "X_val has 5 features and X_train 4"),
        ({"X_test": np.ones((3, 3))}, "X_test has 3 features and X_train 4"),
        ({"X_test": None}, "X_test is of type NoneType"),
        ({"y_test": None}, "y_test is of type NoneType"),
        ({"y_val": np.array([0, 1], dtype=np.int32)}, "y_val is of type int32"),
        ({"y_val": np.array([[0], [1]])}, "y_val has 2 dimensions"),
        ({"y_val": np.array([0, 3])}, "y_val holds label 3 in row 1: number the 3 classes"),
        ({"y_test": np.array([0, -1, -2])}, "y_test holds label -1 in row 1"),
        ({"image_shape": (2, 2, 3)}, "image_shape (2, 2, 3) does not multiply to 4"),
    ],
)
def test_dataset_refuses_in_one_line(changes, words):
    with pytest.raises(InputError) as caught:
        make(**changes)
    message = str(caught.value)
    assert message.startswith("toy: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dataset_names_the_first_row_that_is_not_finite(monkeypatch, value, dtype):
    monkeypatch.setattr(base, "_CHUNK_ELEMENTS", 8)  # two rows: the search crosses chunks
    X = np.zeros((6, 4), dtype)
    X[3, 1] = X[5, 0] = value
    with pytest.raises(InputError, match=r"^toy: X_train holds NaN or infinity in row 3: "):
        make(X_train=X)


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
    calls = []
    monkeypatch.setattr(datasets, "cifar10", lambda *args, **kwargs: calls.append((args, kwargs)))
    load("cifar10", "folder", progress=True)
    assert calls == [(("folder",), {"progress": True})]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnist", "unknown dataset 'mnist': use digits, cifar10 or the path of an .npz file"),
        ("", "unknown dataset ''"),
        ("data.npy", "data.npy is no .npz file"),
        ("folder/data.csv", "np.savez('data.npz', X=X, y=y)"),
        ("missing.npz", "there is no file missing.npz"),
    ],
)
def test_load_refuses_in_one_line(name, words):
    with pytest.raises(InputError) as caught:
        load(name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
