"""Rows on the disk: any of them can be had, one reading tells all of the whole, damage is told."""

import errno
import gc
import os
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import memory_of

from xpnet import datasets
from xpnet.datasets.npy_rows import NpyRows
from xpnet.datasets.reading import Reading
from xpnet.datasets.stored import Stored, picked
from xpnet.errors import InputError

X = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
Y = np.arange(200) % 3


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return tmp_path


def loaded(folder, rows_in, **said):
    notes = []
    data = datasets.load(folder, reading=Reading(rows_in=rows_in, **said), note=notes.append)
    assert isinstance(data.X_train, Stored) is (rows_in == "disk"), notes
    return data


@given(
    begin=st.integers(0, 200),
    end=st.integers(0, 200),
    index=st.lists(st.integers(0, 199)),
    step=st.integers(1, 9),
)
def test_any_rows_can_be_had(tmp_path_factory, begin, end, index, step):
    path = tmp_path_factory.mktemp("rows") / "X.npy"
    np.save(path, X)
    rows, index = NpyRows(path), np.array(index, np.int64)
    for stored, array in ((rows, X), (rows.pick(np.arange(199, -1, -1)), X[::-1])):
        np.testing.assert_array_equal(stored[begin:end], array[begin:end])
        np.testing.assert_array_equal(stored[begin:end:step], array[begin:end:step])
        np.testing.assert_array_equal(stored[index], array[index])
        np.testing.assert_array_equal(stored[Y == 1], array[Y == 1])
        np.testing.assert_array_equal(stored[3], array[3])
        np.testing.assert_array_equal(stored[-1], array[-1])
        assert len(stored) == 200
        assert stored.shape == (200, 5)
        assert stored.nbytes == X.nbytes
    with pytest.raises(TypeError, match="not an array"):
        np.asarray(rows)
    for number in (-1, 200):
        with pytest.raises(IndexError):
            rows.take(np.array([5, number]))


def test_what_is_picked_of_what_is_picked(folder):
    rows = NpyRows(folder / "X.npy")
    np.testing.assert_array_equal(picked(picked(rows, Y == 1), np.array([5, 0]))[:], X[Y == 1][[5, 0]])
    np.testing.assert_array_equal(picked(X, Y == 1), X[Y == 1])


def test_another_process_maps_the_file_for_itself(folder):
    for rows in (NpyRows(folder / "X.npy"), NpyRows("X", np.load(folder / "X.npy", mmap_mode="r"))):
        sent = pickle.dumps(rows.pick(np.arange(5, 50)))
        assert len(sent) < 1000
        np.testing.assert_array_equal(pickle.loads(sent)[:], X[5:50])


def test_another_process_has_the_same_part_of_what_numpy_has_mapped(folder):
    mapped = np.load(folder / "X.npy", mmap_mode="r")
    for part in (mapped[30:90], mapped[150:]):
        rows = NpyRows("X", part)
        for found in (rows, pickle.loads(pickle.dumps(rows))):
            np.testing.assert_array_equal(found[:], np.asarray(part))


def test_one_reading_tells_what_there_is(folder):
    holes = X.copy()
    holes[7, 2], holes[3, 4], holes[:, 0] = np.nan, np.inf, np.nan
    np.save(folder / "X.npy", holes)
    rows = NpyRows(folder / "X.npy")
    scan = rows.scan
    assert (scan.missing, scan.infinite) == (0, 3)
    np.testing.assert_array_equal(scan.gaps, [True, False, True, False, False])
    np.testing.assert_array_equal(scan.low[1:], np.nanmin(holes[:, 1:], axis=0))
    np.testing.assert_array_equal(scan.high[1:], np.nanmax(holes[:, 1:], axis=0))
    assert np.isnan(scan.low[0])
    assert np.isnan(scan.high[0])
    assert rows.crc32() == zlib.crc32(holes.tobytes())
    assert rows.crc32(5) == zlib.crc32(holes.tobytes(), 5)


@pytest.mark.parametrize("said", [{}, {"validation_fraction": 0.3}])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_data_set_is_the_one_in_memory(folder, said, weighted):
    if weighted:
        np.save(folder / "sample_weight.npy", np.arange(200) % 4 + 0.0)
    here, there = (loaded(folder, rows_in, **said) for rows_in in ("memory", "disk"))
    for split in ("train", "val"):
        np.testing.assert_array_equal(getattr(there, f"X_{split}")[:], getattr(here, f"X_{split}"))
        np.testing.assert_array_equal(getattr(there, f"y_{split}"), getattr(here, f"y_{split}"))
    assert there.checksum() == here.checksum()
    assert "on disk" in repr(there)


@pytest.mark.parametrize(
    ("y", "dtype"),
    [
        (Y, np.int8),
        (Y.astype(">i4") - 1, np.int8),
        (np.arange(200) // 2 * 2 + 300, np.int8),  # 100 classes, of numbers that int8 does not hold
        (Y.astype(np.uint64), np.int8),
        (np.array(["a", "b", "c"])[Y], np.int8),
        (Y.astype(bool), np.int8),
        (Y / 2 - 0.25, np.float64),
    ],
)
def test_classes_take_few_bytes_and_are_the_same(folder, y, dtype, monkeypatch):
    monkeypatch.setattr("xpnet.datasets.npy_folder.PART", 7)
    monkeypatch.setattr("xpnet.datasets.targets.PART", 7)
    monkeypatch.setattr("xpnet.datasets.base.PART", 7)
    np.save(folder / "y.npy", y)
    here, there = (loaded(folder, rows_in) for rows_in in ("memory", "disk"))
    np.testing.assert_array_equal(there.y_train, here.y_train)
    assert there.y_train.dtype == dtype
    assert there.y_val.dtype == here.y_val.dtype == here.y_train.dtype
    assert (there.labels, there.class_names, there.task) == (here.labels, here.class_names, here.task)
    assert there.checksum() == here.checksum()


def test_rows_that_lie_column_by_column_are_taken_into_memory(folder):
    here = loaded(folder, "auto")
    np.save(folder / "X.npy", np.asfortranarray(X))
    for rows_in in ("auto", "memory"):
        np.testing.assert_array_equal(loaded(folder, rows_in).X_train, here.X_train)


def test_no_rows_are_told(folder):
    np.save(folder / "X.npy", X[:0])
    np.save(folder / "y.npy", Y[:0])
    for rows_in in ("auto", "memory", "disk"):
        with pytest.raises(InputError, match=r"give at least one|give samples"):
            datasets.load(folder, reading=Reading(rows_in=rows_in))


def test_rows_without_a_target_are_left_out_and_other_rows_come_along(folder):
    y = np.where(Y == 2, np.nan, Y)
    np.save(folder / "y.npy", y)
    np.save(folder / "X_val.npy", X[:9])
    np.save(folder / "y_val.npy", Y[:9] % 2)
    data = loaded(folder, "disk", task="classification")
    np.testing.assert_array_equal(data.X_train[:], X[Y != 2])
    np.testing.assert_array_equal(data.X_val[:], X[:9])


def test_images_are_remembered_as_such(folder):
    np.save(folder / "X.npy", np.zeros((200, 9, 8, 3), np.uint8))
    data = loaded(folder, "disk")
    assert data.image_shape == (9, 8, 3)
    assert data.X_train.shape[1] == 216
    assert datasets.kind_of(folder) == "images"


def test_rows_stay_on_the_disk_if_they_are_large(folder, monkeypatch):
    assert not isinstance(datasets.load(folder).X_train, Stored)
    monkeypatch.setattr("xpnet.device.Device.free_memory", lambda _: X.nbytes)
    notes = []
    assert isinstance(datasets.load(folder, note=notes.append).X_train, Stored)
    (note,) = notes
    assert note.endswith("GB of rows stay on disk and are read as needed, as 0.0 GB of memory is free")


def test_a_file_that_is_cut_short_while_it_is_read_is_told(folder):
    rows, path = NpyRows(folder / "X.npy"), folder / "X.npy"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 50 * rows.shape[1] * 4 - 1)
    np.testing.assert_array_equal(rows.take(np.arange(149)), X[:149])
    for ask in (lambda: rows.take(np.array([3, 149])), lambda: rows.part(100, 150), lambda: rows.scan):
        with pytest.raises(InputError, match=r"X\.npy was truncated while it was read: write it again"):
            ask()


def test_a_disk_that_fails_is_told(folder, monkeypatch):
    rows = NpyRows(folder / "X.npy")

    def fails(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", fails)
    for ask in (lambda: rows.take(np.array([3])), lambda: rows.part(100, 150)):
        with pytest.raises(InputError, match=r"X\.npy cannot be read \(Input/output error\): check its disk"):
            ask()


def test_a_map_of_a_file_that_was_replaced_is_refused(folder):
    mapped = np.load(folder / "X.npy", mmap_mode="r")
    (folder / "X.npy").rename(folder / "old.npy")
    middle = X.copy()
    middle[3] += 1
    replacements = [X + 1]
    if Path("/proc/self/maps").is_file():  # else some rows are looked at, which are the same here
        replacements += [middle, X]
    for replacement in (None, *replacements):
        if replacement is not None:
            np.save(folder / "X.npy", replacement)
        with pytest.raises(InputError, match="map of a file that is no longer there: map it again"):
            NpyRows("X", mapped)


def test_where_a_file_cannot_be_read_at_a_place_it_is_mapped(folder, monkeypatch):
    monkeypatch.delattr(os, "preadv")
    rows = NpyRows(folder / "X.npy")
    assert rows._file is None
    np.testing.assert_array_equal(rows.take(np.array([5, 0])), X[[5, 0]])
    np.testing.assert_array_equal(rows.part(3, 9), X[3:9])


def test_a_file_is_closed_with_its_rows(folder):
    rows = NpyRows(folder / "X.npy")
    os.fstat(file := rows._file)
    del rows
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


def test_memory_is_bounded(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((40_000, 200), np.float32))  # 32 MB
    assert memory_of(lambda: NpyRows(tmp_path / "X.npy").scan).peak < 16 * 2**20


BAD = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-7]), "it is cut short"),
    "no array": (lambda path: path.write_text("rows"), "holds no array of numbers"),
    "column by column": (
        lambda path: np.save(path, np.asfortranarray(X)),
        "row by row.*rows-in memory",
    ),
    "text": (lambda path: np.save(path, X.astype(str)), "give real numbers"),
    "flat": (lambda path: np.save(path, Y), "give samples of numbers"),
    "infinity": (lambda path: np.save(path, np.where(X > 2, np.inf, X)), "holds NaN or infinity in row"),
    "too few": (lambda path: np.save(path, X[1:]), "199 rows"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_used_is_told_in_a_line(folder, what):
    spoil, says = BAD[what]
    spoil(folder / "X.npy")
    with pytest.raises(InputError, match=says) as caught:
        datasets.load(folder, reading=Reading(rows_in="disk"))
    assert "\n" not in str(caught.value)


def test_a_folder_of_images_may_have_other_files(tmp_path):
    pytest.importorskip("PIL", reason="Pillow is not installed")
    from PIL import Image

    for kind in ("cats", "dogs"):
        (tmp_path / kind).mkdir()
        for number in range(3):
            Image.new("L", (9, 9), 60 * number).save(tmp_path / kind / f"{number}.png")
    (tmp_path / "metadata.parquet").write_bytes(b"of somebody")
    assert datasets.kind_of(tmp_path) == "images"
    assert datasets.load(tmp_path).image_shape == (9, 9, 1)


def test_arrays_that_are_missing_or_misspelt(folder):
    (folder / "y.npy").rename(folder / "labels.npy")
    with pytest.raises(InputError, match=r"has no y, only '.*labels.*'|rename"):
        datasets.load(folder)
    np.save(folder / "y.npy", Y)
    (folder / "X.npy").unlink()
    with pytest.raises(InputError, match=r"has y\.npy but no X\.npy: save"):
        datasets.load(folder, reading=Reading(rows_in="disk"))
    (folder / "X.npy").mkdir()
    with pytest.raises(InputError, match=r"has y\.npy but no X\.npy: save"):
        datasets.load(folder)


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(InputError, match="is an empty folder: give a"):
        datasets.load(tmp_path, reading=Reading(target=("y",)))
