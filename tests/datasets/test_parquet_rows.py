"""Tables in Parquet that stay on the disk: the rows that they have in memory; damage is told in a line."""

import pickle

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

import pyarrow as pa
import pyarrow.parquet as pq

from xpnet import datasets
from xpnet.columns.columns import Columns
from xpnet.datasets import parquet_rows
from xpnet.datasets.parquet_rows import ParquetRows, Parts
from xpnet.datasets.reading import Reading
from xpnet.datasets.stored import Stored
from xpnet.errors import InputError

ROWS = 60


def table(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    days = np.datetime64("2020-01-01") + rng.integers(0, 90, rows)
    towns = np.array(["Bonn", "Köln", "Ulm", None], object)[rng.integers(0, 4, rows)]
    size = rng.standard_normal(rows)
    kind = np.where(size > 0, "large", "small").astype(object)
    kind[::20] = None
    columns = {"size": np.where(rng.random(rows) < 0.1, np.nan, size), "count": rng.integers(0, 9, rows)}
    return pa.table(
        columns | {"town": pa.array(towns, from_pandas=True), "day": pa.array(days), "kind": kind}
    )


@pytest.fixture
def folder(tmp_path):
    for part in range(3):
        pq.write_table(table(part), tmp_path / f"part-{part}.parquet", row_group_size=11)
    (tmp_path / "_SUCCESS").touch()
    return tmp_path


def loaded(path, rows_in="disk", **said):
    notes = []
    said = {"target": ("kind",)} | said
    return datasets.load(path, reading=Reading(rows_in=rows_in, **said), note=notes.append), notes


def test_all_that_is_known_of_a_table_is_what_it_is_in_memory(folder):
    (there, _), (here, _) = loaded(folder), loaded(folder, "memory")
    assert isinstance(there.X_train, Stored)
    assert there.columns == here.columns
    assert (there.class_names, there.task, there.labels) == (here.class_names, here.task, here.labels)
    whole = [
        np.concatenate([X[:], X_val[:]])
        for X, X_val in ((there.X_train, there.X_val), (here.X_train, here.X_val))
    ]
    for rows in whole:
        rows.sort(axis=0)
    np.testing.assert_array_equal(*whole)


def test_rows_are_those_of_the_table(folder):
    columns = Columns.infer(Parts(folder).whole().drop(["kind"]))
    matrix = columns.matrix(Parts(folder).whole())
    rows = ParquetRows(Parts(folder), columns)
    assert rows.shape == matrix.shape
    assert rows.blocks.tolist() == 3 * [11, 11, 11, 11, 11, 5]
    index = np.random.default_rng(0).integers(0, 3 * ROWS, 100)
    for found in (rows, pickle.loads(pickle.dumps(rows))):
        np.testing.assert_array_equal(found[index], matrix[index])
        np.testing.assert_array_equal(found[7:90], matrix[7:90])
        np.testing.assert_array_equal(found[:], matrix)
    np.testing.assert_array_equal(rows.pick(index)[3:9], matrix[index[3:9]])
    assert rows.pick(np.flatnonzero(np.arange(3 * ROWS) % 2)).blocks.tolist()[:3] == [5, 6, 5]


def test_float32_stays_what_it_is(tmp_path):
    X = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
    pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1], "y": np.arange(30) % 2}), tmp_path / "a.parquet")
    data, _ = loaded(tmp_path / "a.parquet", target=("y",))
    assert data.X_train.dtype == np.float32
    data, _ = loaded(tmp_path / "a.parquet", target=("a",))
    assert data.X_train.dtype == np.float64  # as y is of 64 bits


def test_few_row_groups_are_kept(folder, monkeypatch):
    monkeypatch.setattr(parquet_rows, "BUFFER", 15 * 5)
    parts = Parts(folder)
    rows = ParquetRows(parts, Columns.infer(parts.whole().drop(["kind"])))
    _ = rows[:]
    assert sum(rows.blocks[k] for k in rows._kept) <= 2 * (rows.buffer + 11)


def test_whole_row_groups_are_held_out(folder):
    data, _ = loaded(folder, validation_fraction=0.2)
    assert set(data.X_val.blocks) <= {11, 10, 5, 4}  # less those without a target
    assert 0.15 < len(data.X_val) / (len(data.X_val) + len(data.X_train)) < 0.3
    few, _ = loaded(folder, validation_fraction=0.01)
    assert len(few.X_val) == 1


def test_it_is_said_how_rows_are_shuffled(folder, monkeypatch):
    assert not any("shuffled by row groups" in note for note in loaded(folder)[1])
    monkeypatch.setattr(parquet_rows, "BUFFER", 100)
    monkeypatch.setattr(parquet_rows, "LARGE", 100)
    notes = " ".join(loaded(folder)[1])
    assert (
        "rows are shuffled by row groups, about 20 at a time: shuffle the table first if it is sorted"
        in notes
    )
    assert "row groups of 11 rows: write it with 0 to save memory" in notes


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def damaged(path):
    whole = bytearray(path.read_bytes())
    whole[200:400] = bytes(200)
    path.write_bytes(whole)


def other_type(path):
    other = table(1).set_column(1, "count", pa.array(np.zeros(ROWS)))
    pq.write_table(other, path)


def other_column(path):
    pq.write_table(table(1).rename_columns(["size", "count", "city", "day", "kind"]), path)


def other_order(path):
    pq.write_table(table(1).select(["count", "size", "town", "day", "kind"]), path)


BAD = {
    cut_short: "part-1.parquet cannot be read",
    damaged: "part-1.parquet cannot be read",
    other_type: "column 'count' is double in .*part-1.parquet and int64 in .*part-0.parquet: write all parts",
    other_column: "part-0.parquet has the column 'town', but .*part-1.parquet does not: write all parts",
    other_order: "columns in another order",
    lambda path: path.write_bytes(b""): "part-1.parquet is empty",
}


@pytest.mark.parametrize("rows_in", ["disk", "memory"])
@pytest.mark.parametrize("spoil", BAD)
def test_what_cannot_be_used_is_told_in_a_line(folder, spoil, rows_in):
    spoil(folder / "part-1.parquet")
    with pytest.raises(InputError, match=BAD[spoil]) as caught:
        loaded(folder, rows_in)
    assert "\n" not in str(caught.value)
