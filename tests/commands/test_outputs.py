"""Predictions in files: what is read back, whatever the size of the parts."""

import csv

import numpy as np
import pytest

from xpnet.commands.outputs import SUFFIXES, Content, check_output, refusing, writing
from xpnet.errors import InputError

NAMES = ("cat", 'a "dog", or two', "ünï\ud800")
P = np.random.default_rng(0).random((7, 3)).astype(np.float32)
LABELS = P.argmax(axis=1)
YES = (P > 0.5).astype(np.int64)
FILES = tuple(f"{k}.png" for k in range(7))


def write(path, array, step, names=None):
    what = "labels" if array.dtype.kind == "i" else "probabilities"
    kept = () if names is None else ("file",)
    with writing(path, Content(what, NAMES, array.ndim == 1, names, kept=kept)) as put:
        for start in range(0, len(array), step):
            end = start + step
            put(array[start:end], *([] if names is None else [[names[start:end]]]))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize("array", [LABELS, P, P.astype(np.float64), P[:0], LABELS[:0], YES, YES[:0]])
def test_npy_and_npz(tmp_path, array, step):
    write(tmp_path / "a.npy", array, step)
    found = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.flags.c_contiguous) == (array.dtype, True)
    (tmp_path / "a.npy").unlink()
    write(tmp_path / "a.npz", array, step, FILES[: len(array)])
    with np.load(tmp_path / "a.npz") as archive:
        kind = "labels" if array.dtype.kind == "i" else "probabilities"
        np.testing.assert_array_equal(archive[kind], array)
        assert archive["class_names"].tolist() == list(NAMES)
        assert archive["files"].tolist() == list(FILES[: len(array)])


def test_a_header_that_grows_by_many_digits(tmp_path):
    with writing(tmp_path / "a.npy", Content("labels", NAMES, True)) as put:
        put(np.zeros(1, np.int64))
        put(np.ones(10**6, np.int64))
    found = np.load(tmp_path / "a.npy")
    assert (found.shape, int(found.sum())) == ((10**6 + 1,), 10**6)


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize("names", [None, FILES])
def test_csv(tmp_path, step, names):
    shown = [NAMES[0], NAMES[1], r"ünï\ud800"]
    for array in (LABELS, P, YES):
        write(tmp_path / "a.csv", array, step, names)
        with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
        if names:
            assert (head.pop(0), [row.pop(0) for row in rows]) == ("file", list(FILES))
        if array is LABELS:
            assert (head, [row[0] for row in rows]) == (["label"], [shown[k] for k in LABELS])
        else:
            assert head == shown
            np.testing.assert_array_equal(np.array(rows, array.dtype), array)
            assert max(len(number) for row in rows for number in row) < 15


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("count", [0, 7])
def test_numbers(tmp_path, suffix, columns, count):
    numbers = np.random.default_rng(1).normal(1e6, 1e-3, (count, columns))
    array = numbers[:, 0] if columns == 1 else numbers
    path = tmp_path / f"a.{suffix}"
    with writing(path, Content("numbers", NAMES[:columns], columns == 1)) as put:
        for row in range(count):
            put(array[row : row + 1])
    if suffix == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
        assert len(head) == columns
        assert head[0] == NAMES[0]
        np.testing.assert_array_equal(np.array(rows, np.float64).reshape(numbers.shape), numbers)
    else:
        found = np.load(path) if suffix == "npy" else np.load(path)["numbers"]
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.float64


def write_and_fail(path):
    with writing(path, Content("labels", NAMES, True)) as put:
        put(LABELS)
        raise ZeroDivisionError


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.csv"])
def test_what_fails_leaves_the_file_of_before(tmp_path, name):
    (tmp_path / name).write_text("before")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / name)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_outputs_that_are_none(tmp_path):
    for path, reason in (
        (tmp_path / "a.txt", "end --output in .npy, .npz, .csv"),
        (tmp_path / "missing" / "a.npy", "there is no folder"),
        (tmp_path / "folder.npy", "is a folder"),
    ):
        (tmp_path / "folder.npy").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=reason):
            check_output(path, SUFFIXES)
    check_output(tmp_path / "a.NPY", SUFFIXES)
    check_output(tmp_path / "a.anything")


def write_and_be_refused(path):
    with refusing(path, "--out"):
        raise OSError(28, "No space left on device", "a temporary file")


def test_what_the_system_refuses(tmp_path):
    with pytest.raises(InputError, match=r"a.png cannot be written \(No space left on device\): .* --out$"):
        write_and_be_refused(tmp_path / "a.png")
