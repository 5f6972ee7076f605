"""A user's own arrays: what is read, what is held out, and what is refused."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet.datasets import Reading, from_npz, kind_of
from xpnet.datasets.npz import splits_of
from xpnet.errors import InputError

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
Y = np.arange(30) % 3
LETTERS = np.array(["a", "b", "c"])


def save(folder, **arrays):
    path = folder / "own.npz"
    np.savez(path, **arrays)
    return path


def with_index(n=30, dtype=np.float32):
    """X and y from which each row's place in the file can be read back."""
    return np.column_stack([np.arange(n), np.arange(n) ** 2]).astype(dtype), np.arange(n)


def test_given_splits_are_kept_as_they_are(tmp_path):
    arrays = {"X": X[:20], "y": Y[:20], "X_val": X[20:25], "y_val": Y[20:25]}
    path = save(tmp_path, **arrays, X_test=X[25:], y_test=Y[25:])
    data = from_npz(path)
    np.testing.assert_array_equal(data.X_train, X[:20])
    np.testing.assert_array_equal(data.X_val, X[20:25])
    np.testing.assert_array_equal(data.y_test, Y[25:])
    assert data.X_train.dtype == np.float32
    assert data.class_names == ("0", "1", "2")
    assert data.image_shape is None
    assert data.name == str(path)


def test_without_test_arrays_there_is_no_test_set(tmp_path):
    data = from_npz(save(tmp_path, X=X, y=Y))
    assert data.X_test is None
    assert data.y_test is None


@pytest.mark.parametrize(("n", "num_val"), [(2, 1), (9, 1), (30, 3), (100, 10)])
def test_a_tenth_is_held_out_with_its_labels(tmp_path, n, num_val):
    rows, labels = with_index(n)
    data = from_npz(save(tmp_path, X=rows, y=labels))
    assert len(data.X_val) == len(data.y_val) == num_val
    np.testing.assert_array_equal(data.X_train[:, 0], data.y_train)
    np.testing.assert_array_equal(data.X_val[:, 0], data.y_val)
    np.testing.assert_array_equal(data.X_val[:, 1], data.y_val**2)
    together = np.concatenate([data.y_train, data.y_val])
    np.testing.assert_array_equal(np.sort(together), labels)


def test_the_held_out_rows_are_random_and_always_the_same(tmp_path):
    rows, labels = with_index(100)
    path = save(tmp_path, X=rows, y=labels)
    np.random.seed(1)  # noqa: NPY002  # what must not matter
    first = from_npz(path).y_val
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(from_npz(path).y_val, first)
    assert first.max() - first.min() > 50  # from all over the file, which may be sorted
    assert sorted(first) == [9, 21, 36, 44, 47, 64, 67, 83, 87, 96]


def test_images_become_rows_and_are_remembered(tmp_path):
    for shape, expected in [
        ((6, 4), (6, 4, 1)),
        ((6, 4, 3), (6, 4, 3)),
        ((6, 4, 1), (6, 4, 1)),
        ((6, 4, 4), (6, 4, 4)),
        ((3, 6, 4, 4), None),
        ((2, 6, 5), None),
        ((9,), None),
    ]:
        images, y = np.arange(10 * np.prod(shape)).reshape(10, *shape), np.arange(10)
        data = from_npz(save(tmp_path, X=images, y=y, X_val=images, y_val=y))
        assert data.image_shape == expected
        np.testing.assert_array_equal(data.X_train, images.reshape(10, -1))


@pytest.mark.parametrize("dtype", ["u1", "i2", "f2", "f4", "f8", "?", ">f4", ">i8"])
def test_any_real_dtype_is_kept_in_native_byte_order(tmp_path, dtype):
    data = from_npz(save(tmp_path, X=np.eye(5).astype(dtype), y=np.arange(5)))
    assert data.X_train.dtype == np.dtype(dtype).newbyteorder("=")
    assert data.X_train.dtype.isnative
    assert sorted(data.X_train.argmax(axis=1)) == sorted(data.y_train)


@pytest.mark.parametrize("dtype", ["u1", "i4", "u8", ">i8", "?"])
def test_labels_of_any_integer_dtype_and_as_a_column(tmp_path, dtype):
    labels = (Y % 2).astype(dtype)[:, None]
    data = from_npz(save(tmp_path, X=X, y=labels, X_val=X, y_val=labels))
    assert data.y_train.dtype == np.int64
    assert data.y_train.dtype.isnative
    np.testing.assert_array_equal(data.y_train, Y % 2)


def test_a_file_may_hold_any_task(tmp_path):
    names = np.array(["c", "a", "b"])
    data = from_npz(save(tmp_path, X=X, y=names[Y], X_test=X, y_test=names[2 + 0 * Y]))
    assert (data.task, data.labels) == ("classification", ("a", "b", "c"))
    assert data.y_test.tolist() == [1] * 30
    data = from_npz(save(tmp_path, X=X, y=Y / 2))
    assert (data.task, data.y_train.shape, data.y_val.shape) == ("regression", (27, 1), (3, 1))
    data = from_npz(save(tmp_path, X=X, y=np.stack([Y > 0, Y > 1], axis=1)))
    assert (data.task, data.y_train.shape, data.num_outputs) == ("multilabel", (27, 2), 2)
    data = from_npz(save(tmp_path, X=X, y=Y.astype(float)), Reading(task="classification"))
    assert (data.task, data.num_outputs) == ("classification", 3)


def test_labels_need_not_be_numbered_from_0(tmp_path):
    data = from_npz(save(tmp_path, X=X, y=1000 * Y - 1, X_val=X, y_val=1000 * Y - 1))
    assert (data.labels, data.class_names) == ((-1, 999, 1999), ("-1", "999", "1999"))
    np.testing.assert_array_equal(data.y_train, Y)


def test_rows_without_a_target_are_left_out(tmp_path):
    y, notes = np.arange(20) / 4, []
    y[[2, 5]] = np.nan
    np.savez(tmp_path / "own.npz", X=np.arange(40.0).reshape(20, 2), y=y)
    data = from_npz(tmp_path / "own.npz", note=notes.append)
    assert len(data.X_train) + len(data.X_val) == 18
    assert notes == ["left out 2 of 20 rows without a value for 'y'"]


def test_classes_may_have_names(tmp_path):
    data = from_npz(save(tmp_path, X=X, y=Y, class_names=np.array(["cat", "dog", "cow", "never seen"])))
    assert (data.class_names, data.labels) == (("cat", "dog", "cow"), None)
    assert sorted(set(data.y_train.tolist())) == [0, 1, 2]
    data = from_npz(save(tmp_path, X=X, y=2 * Y, class_names=np.array(["cat", "", "dog", "-", "cow"])))
    assert (data.class_names, data.labels) == (("cat", "dog", "cow"), (0, 2, 4))
    assert sorted(set(data.y_train.tolist())) == [0, 1, 2]


def test_gaps_are_kept(tmp_path):
    gappy = np.where(np.arange(30)[:, None] % 7 == 0, np.nan, X)
    data = from_npz(save(tmp_path, X=gappy, y=Y))
    assert len(data.columns.columns) == 4
    assert np.isnan(np.concatenate([data.X_train, data.X_val])).sum() == 20


def test_how_a_file_is_read(tmp_path):
    path = save(tmp_path, X=X, y=Y)
    assert len(from_npz(path, Reading(validation_fraction=0.5)).X_val) == 15
    other = from_npz(path, Reading(validation_fraction=0.5, seed=1))
    assert not np.array_equal(other.X_val, from_npz(path, Reading(validation_fraction=0.5)).X_val)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((30, 4), "table"),
        ((30, 8, 9), "images"),
        ((30, 8, 8, 3), "images"),
        ((30, 8, 8, 5), "table"),
        ((30, 60, 2), "table"),  # as a series of two values
        ((30, 4, 4), "table"),
    ],
)
def test_what_a_file_holds_is_known_without_reading_it(tmp_path, shape, kind):
    assert kind_of(save(tmp_path, X=np.zeros(shape), y=Y)) == kind
    np.savez_compressed(tmp_path / "small.NPZ.npz", X=np.zeros(shape), y=Y)
    assert kind_of(tmp_path / "small.NPZ.npz") == kind


def test_weights_go_with_their_rows(tmp_path):
    rows, labels = with_index(30)
    data = from_npz(save(tmp_path, X=rows, y=labels, sample_weight=labels + 1))
    np.testing.assert_array_equal(data.weight_train, data.y_train + 1)
    np.testing.assert_array_equal(data.weight_val, data.y_val + 1)


def test_compressed_files_and_other_keys_are_read(tmp_path):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, X=X, y=Y, names=np.array(["a", "b"]))
    assert from_npz(path).num_features == 4


@pytest.mark.parametrize("read", [from_npz, splits_of])
def test_what_is_left_out_of_a_file_is_told_in_one_line(tmp_path, read):
    path, notes = save(tmp_path, X=X, y=Y, groups=Y, feature_names=LETTERS, heights=Y), []
    read(path, note=notes.append)
    (note,) = notes
    assert note.startswith(
        f"{path}: 'feature_names', 'groups', 'heights' are not read, only X, y, X_val, y_val"
    )


def test_a_class_of_only_the_test_set_counts(tmp_path):
    data = from_npz(save(tmp_path, X=X, y=Y, X_test=X[:1], y_test=np.array([3])))
    assert data.num_classes == 4


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X_train": X, "y_train": Y}, "has 'X_train', 'y_train': rename them X, y, or drop them"),
        ({"x_train": X}, "has 'x_train': rename it X, or drop it; the known keys are X, y, X_val"),
        ({"rows": X}, "has no X and no y, only 'rows'"),
        ({"X": X, "x": X, "y": Y}, "has 'x': rename or drop it; the known"),
        ({"X": X, "y": Y, "w": Y}, "has 'w': rename it sample_weight, or drop it"),
        ({"X": X, "y": Y, "w": Y, "weights": Y}, "has 'w', 'weights': rename or drop them;"),
        ({"X": X, "y": Y, "smaple_weight": Y}, "has 'smaple_weight': rename it sample_weight, or"),
        ({"X": X, "y": Y, "ClassNames": LETTERS}, "has 'ClassNames': rename it class_names, or"),
        ({"X": X, "y": Y, "Xtest": X, "ytest": Y}, "has 'Xtest', 'ytest': rename them X_test, y_test, or"),
        ({"X": X, "y": Y, "val_X": X, "yval": Y}, "has 'val_X', 'yval': rename them X_val, y_val, or"),
        ({"X": X, "y": Y, "XVAL": X}, "has 'XVAL': rename it X_val, or"),
        ({"X": X, "y": Y, "X_other": X}, "has 'X_other': rename or drop it;"),
        ({"X": X}, "has no y, only 'X'"),
        ({}, "has no X and no y, only nothing"),
        ({"X": X, "y": Y, "X_val": X}, "has no y_val, only 'X', 'X_val', 'y'"),
        ({"X": X, "y": Y, "y_test": Y}, "has no X_test"),
        ({"X": X, "y": Y, "X_valid": X}, "has 'X_valid': rename it X_val, or drop it"),
        ({"X": X, "y": Y[:-1]}, "X has 30 rows and y 29"),
        ({"X": X[:0], "y": Y[:0]}, "X has shape (0, 4): give at least one row"),
        ({"X": X[:1], "y": Y[:1]}, "X has only one row"),
        ({"X": X[:, 0], "y": Y}, "X has shape (30,)"),
        ({"X": np.float32(1), "y": Y}, "X has shape ()"),
        ({"X": X[:, :0], "y": Y}, "X has shape (30, 0)"),
        ({"X": X.astype(complex), "y": Y}, "X has dtype complex128"),
        ({"X": X.astype("U9"), "y": Y}, "X has dtype <U9"),
        ({"X": X.astype("M8[s]"), "y": Y}, "X has dtype datetime64[s]"),
        ({"X": X.astype(object), "y": Y}, "Object arrays cannot be loaded"),
        ({"X": X, "y": np.where(Y == 2, np.inf, Y)}, "y holds NaN or infinity in row 2"),
        ({"X": X, "y": np.eye(30)}, "y of shape (30, 30) has one 1 in each row: give y.argmax(axis=1)"),
        ({"X": X, "y": np.tile(Y, (2, 1)).T}, "y has shape (30, 2): give one label for each row"),
        ({"X": X, "y": Y.astype(complex)}, "y has dtype complex128"),
        ({"X": X, "y": Y, "X_val": X, "y_val": 10**9 * Y}, "y_val holds 1000000000 in row 1, which y lacks"),
        ({"X": X, "y": Y, "sample_weight": Y[1:]}, "sample_weight has shape (29,): give (30,)"),
        ({"X": X, "y": Y, "class_name": Y}, "has 'class_name': rename it class_names, or"),
        ({"X": X, "y": Y, "class_names": np.arange(3)}, "class_names is not a list of text"),
        ({"X": X, "y": Y, "class_names": np.array("abc")}, "class_names is not a list of text"),
        ({"X": X, "y": Y, "class_names": np.array(["a", "b"])}, "class_names has 2 names, so y must hold"),
        ({"X": X, "y": Y, "class_names": np.array(["a", "b", "a"])}, "class_names has 3 names"),
        ({"X": X, "y": LETTERS[Y], "class_names": LETTERS}, "class_names has 3 names"),
        ({"X": X, "y": Y, "sample_weights": Y}, "has 'sample_weights': rename it sample_weight, or"),
        ({"X": X, "y": Y, "X_val": X[:, 1:], "y_val": Y}, "X_val has 3 features, but X_train has 4"),
        ({"X": X, "y": Y, "X_test": X, "y_test": Y[1:]}, "X_test has 30 rows and y_test 29"),
        ({"X": np.where(Y[:, None] == 2, np.inf, X), "y": Y}, "X holds NaN or infinity in row 2"),
    ],
)  # fmt: skip
def test_refuses_in_one_line(tmp_path, arrays, words):
    path = save(tmp_path, **arrays)
    with pytest.raises(InputError) as caught:
        from_npz(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message


def test_refuses_what_is_no_npz_archive(tmp_path):
    whole = save(tmp_path, X=X, y=Y).read_bytes()
    damaged = bytearray(whole)
    damaged[200] ^= 1  # within X: the archive's checksum tells
    np.save(tmp_path / "one.npy", X)
    path = tmp_path / "bad.npz"
    for content in [b"", b"PK", whole[:-30], bytes(damaged), (tmp_path / "one.npy").read_bytes()]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"\A.*bad\.npz cannot be read \(.*\): save .*\Z"):
            from_npz(path)


def test_refuses_a_member_that_is_no_array(tmp_path):
    path = save(tmp_path, y=Y)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("X.npy", "no array")
    with pytest.raises(InputError, match=r"X has shape \(\)"):
        from_npz(path)


def test_refuses_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(InputError, match=r"\Athere is no file .*: check the path"):
            from_npz(path)


def test_refuses_an_unreadable_file(tmp_path, monkeypatch):
    path = save(tmp_path, X=X, y=Y)

    def refuse(_path, _mode):
        raise PermissionError(13, "Permission denied")  # chmod would not keep root out

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"own\.npz cannot be read \(.*Permission denied\): save"):
        from_npz(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_loads_or_is_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("npz")
    path = save(folder, X=X[:3], y=Y[:3])
    content = bytearray(path.read_bytes())
    edits = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(edits, max_size=4)):
        content[place] = value
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        loaded = from_npz(path)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017  # any other exception fails the test
    else:
        assert loaded.num_features > 0
