"""A table in text, converted once into Parquet: it is the table that it is in memory, or nothing is left."""

import errno
import os

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

import pyarrow as pa
import pyarrow.parquet as pq

from xpnet import datasets
from xpnet.datasets import frames
from xpnet.datasets.bar import Bar
from xpnet.datasets.reading import Reading
from xpnet.datasets.stored import Stored
from xpnet.errors import InputError

LINES = [
    "size;count;zip;town;day;id;level;kind",
    *(
        f"{k / 7:.3f};{k % 9};{k % 5:05};{['Bonn', '', 'Ulm', ' Ulm'][k % 4]};2020-0{1 + k % 9}-03;"
        f"9{k:016};{['', k][k % 2]};{['yes', 'no'][k * k % 3 > 0]}"
        for k in range(200)
    ),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def loaded(path, rows_in="disk", **said):
    notes = []
    said = {"target": ("kind",), "ignore": ("id",), "rows_in": rows_in} | said
    return datasets.load(path, reading=Reading(**said), note=notes.append), notes


def rows_of(data):
    rows = np.concatenate([data.X_train[:], data.X_val[:]])
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("block", [1 << 22, 300])
def test_the_table_is_the_one_in_memory(path, monkeypatch, block):
    monkeypatch.setattr(frames, "_BLOCK", block)
    (there, notes), (here, _) = loaded(path), loaded(path, "memory")
    assert isinstance(there.X_train, Stored)
    assert there.columns == here.columns
    assert (there.class_names, there.labels) == (here.class_names, here.labels)
    np.testing.assert_array_equal(rows_of(there), rows_of(here))
    assert f"{path} is converted into {path}.parquet, once; later runs read that" in notes
    types = dict(
        zip(
            *(lambda schema: (schema.names, map(str, schema.types)))(pq.read_schema(f"{path}.parquet")),
            strict=True,
        )
    )
    assert types == {
        "size": "double", "count": "int64", "zip": "string", "town": "string",
        "day": "string", "id": "string", "level": "int64", "kind": "string",
    }  # fmt: skip


def test_it_is_converted_once_until_it_changes(path):
    loaded(path)
    before = (path.parent / "table.csv.parquet").stat().st_mtime_ns
    _, notes = loaded(path)
    assert f"table.csv was converted before: {path}.parquet is read instead" in notes
    assert (path.parent / "table.csv.parquet").stat().st_mtime_ns == before
    path.write_text("\n".join(LINES[:100]))
    data, _ = loaded(path)
    assert len(data.X_train) + len(data.X_val) == 99


def test_a_change_is_seen_by_what_the_text_holds(path):
    """Its size and the time of its last writing may be what they were, and another time no change."""
    target, stat = path.parent / "table.csv.parquet", path.stat()
    loaded(path)
    before = target.stat().st_mtime_ns
    os.utime(path, ns=(0, 0))
    loaded(path)
    assert target.stat().st_mtime_ns == before
    path.write_text(path.read_text()[:-1] + "!")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    loaded(path)
    assert target.stat().st_mtime_ns != before


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_of_somebody_else_is_left_alone(path, whole):
    theirs = path.parent / "table.csv.parquet"
    theirs.write_bytes(b"PAR1")
    if whole:
        pq.write_table(pa.table({"a": [1]}), theirs)
    before = theirs.read_bytes()
    with pytest.raises(
        InputError, match=r"table.csv.parquet is damaged or was not made from .*: move it away"
    ):
        loaded(path)
    assert theirs.read_bytes() == before


def test_columns_without_names_stay_so(path):
    path.write_text("\n".join(LINES[1:]))
    said = {"target": ("7",), "ignore": ("5",), "header": False}
    (there, _), (here, _) = loaded(path, **said), loaded(path, "memory", **said)
    assert there.columns == here.columns
    assert not there.columns.is_named


def test_a_large_file_is_converted_by_itself(path, monkeypatch):
    monkeypatch.setattr("xpnet.device.Device.free_memory", lambda _: 4 * path.stat().st_size)
    assert isinstance(loaded(path, "auto")[0].X_train, Stored)


def test_a_bar_shows_how_far_it_is(path, monkeypatch):
    from contextlib import contextmanager

    from rich import progress

    display = progress.Progress()
    bar = Bar(display)

    @contextmanager
    def shown(*_):
        yield bar

    monkeypatch.setattr("xpnet.datasets.conversion.progress_bar", shown)
    datasets.load(path, progress=True, reading=Reading(target=("kind",), ignore=("id",), rows_in="disk"))
    (task,) = display.tasks
    assert (task.completed, task.total) == (3 * path.stat().st_size, 3 * path.stat().st_size)


class Full:
    """A writer that fails after it has begun."""

    def __init__(self, path, *_, **__):
        path.write_bytes(b"PAR1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write_table(self, *_, **__):
        raise self.error


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (FULL, InputError, "No space left on device.: move the file to a writable disk with"),
        (KeyboardInterrupt("C"), KeyboardInterrupt, "C"),
    ],
    ids=["full disk", "Ctrl-C"],
)
def test_nothing_half_written_is_left(path, monkeypatch, error, raised, message):
    monkeypatch.setattr(pq, "ParquetWriter", type("Writer", (Full,), {"error": error}))
    with pytest.raises(raised, match=message) as caught:
        loaded(path)
    assert "\n" not in str(caught.value)
    assert list(path.parent.iterdir()) == [path]


def test_a_line_that_is_too_long_is_named(path):
    lines = [*LINES, "1;2;3;4;5;6;7;8;9", *LINES[1:]]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=f"table.csv: line {len(LINES) + 1} "):
        loaded(path)
    assert list(path.parent.iterdir()) == [path]
