"""Tables in Parquet files that stay on disk: columns are read one by one, rows by row groups."""

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import Columns
from xpnet.columns.tabular import Frame
from xpnet.datasets.conversion import KEY
from xpnet.datasets.frames import is_parquet, of_arrow, open_parquet, reading_file
from xpnet.datasets.stored import Stored
from xpnet.device import cores
from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["ParquetRows", "Parts", "frame_of", "holds_parts", "parts_in", "stored"]

BUFFER = 2**25
"""Number of values in the rows that are shuffled together: 128 MB in float32."""

LARGE = 2**28
"""Size in bytes of a row group in memory above which a note recommends smaller ones."""

SHORT = ("bool", "int8", "int16", "uint8", "uint16", "halffloat", "float", "string", "large_string")
"""Arrow types of columns that fit into float32; a category is stored as its number."""


class Group(NamedTuple):
    """A row group: the file, its number in that file, and its number of rows."""

    file: int
    number: int
    rows: int


class Parts:
    """One Parquet file, or the parts of a table in a folder.

    Parameters
    ----------
    path
        The file, or a folder whose Parquet files are the parts, in the order of their names.

    Raises
    ------
    InputError
        A part is damaged, or has different columns from the first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = parts_in(path) if path.is_dir() else [path]
        self._metadata: list[Any] = []
        self.groups: list[Group] = []
        first: Any = None
        for number, file in enumerate(self.files):
            with reading_file(file), open_parquet(file) as parquet:
                schema, metadata = parquet.schema_arrow.remove_metadata(), parquet.metadata
            first = schema if first is None else first
            _check_alike(file, schema, self.files[0], first)
            self._metadata.append(metadata)
            counts = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
            self.groups += [Group(number, k, count) for k, count in enumerate(counts) if count]
        self.schema = first
        self.num_rows = sum(group.rows for group in self.groups)
        self.is_named = _is_named(self._metadata[0])
        self.names = [name for name in first.names if not name.startswith("__index_level_")] or first.names
        if not self.num_rows:
            raise InputError(f"{path} has column names but no rows: give at least one")

    def read(self, group: Group, names: Collection[str]) -> Any:
        """Return some columns of a row group, as a pyarrow table; can be called from any thread."""
        file = self.files[group.file]
        with reading_file(file), open_parquet(file, self._metadata[group.file]) as parquet:
            table = parquet.read_row_group(group.number, columns=list(names))
            table.validate(full=True)  # damaged data could crash the reader
            return table

    def whole(self, names: Collection[str] | None = None) -> Frame:
        """Return the whole table, or some of its columns, in memory."""
        import pyarrow as pa

        tables = []
        for file, metadata in zip(self.files, self._metadata, strict=True):
            with reading_file(file), open_parquet(file, metadata) as parquet:
                tables.append(parquet.read(columns=None if names is None else list(names)))
        with reading_file(self.files[0]):
            return of_arrow(self.path, pa.concat_tables(tables).unify_dictionaries())


class _Columns(Mapping[str, Any]):
    """The columns of a `Frame`, each read when it is requested; only the last one is kept."""

    def __init__(self, parts: Parts, names: Collection[str]) -> None:
        self.parts, self._names = parts, dict.fromkeys(names)
        self._last: tuple[str, Any] = ("", None)

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if self._last[0] != name or self._last[1] is None:
            self._last = name, self.parts.whole([name]).columns[name]
        return self._last[1]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def without(self, names: Collection[str]) -> "_Columns":
        """Return the other columns."""
        return _Columns(self.parts, [name for name in self._names if name not in names])


def holds_parts(path: Path) -> bool:
    """Return whether a folder holds Parquet files; one with subfolders is taken as a folder of images."""
    try:
        inside = [each for each in path.iterdir() if not each.name.startswith(".")]
        return any(map(_is_part, inside)) and not any(each.is_dir() for each in inside)
    except OSError:  # reported when the folder is loaded
        return False


def frame_of(parts: Parts) -> Frame:
    """Return a frame whose columns are read one by one, when they are requested."""
    return Frame(_Columns(parts, parts.names), parts.num_rows, is_named=parts.is_named)


def stored(frame: Any, columns: Columns) -> Stored | None:
    """Return the matrix on disk of a frame from `frame_of`; None for any other frame."""
    if not (isinstance(frame, Frame) and isinstance(frame.columns, _Columns)):
        return None
    rows = ParquetRows(frame.columns.parts, columns)
    return rows if frame.rows is None else rows.pick(frame.rows)


class ParquetRows(Stored):
    """The matrix of the columns of a Parquet table.

    A row group is read as a whole. The latest ones are kept: twice as many as are shuffled together.

    Parameters
    ----------
    parts
        The files.
    columns
        The description of their columns.
    """

    def __init__(self, parts: Parts, columns: Columns) -> None:
        self._parts, self._columns = parts, columns
        self.shape, self.samples = (parts.num_rows, len(columns.columns)), (len(columns.columns),)
        types = {str(_plain(parts.schema.field(name).type)) for name in columns.sources}
        is_short = types <= set(SHORT) and not any(column.part for column in columns.columns)
        self.dtype = np.dtype(np.float32 if is_short else np.float64)
        self.blocks = self._sizes = np.array([group.rows for group in parts.groups], np.int64)
        self.buffer = max(1, BUFFER // self.shape[1])
        self._ends = np.cumsum(self._sizes)
        self._most = 2 * (self.buffer + int(self._sizes.max()))  # number of rows to keep
        self._kept: OrderedDict[int, Future[NDArray[Any]]] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(cores(), "xpnet-parquet")

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs; it starts its own threads."""
        return {"parts": self._parts.path, "columns": self._columns}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(Parts(state["parts"]), state["columns"])  # type: ignore[misc]

    def take(self, index: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the rows of an index, read one row group at a time, whatever their order."""
        group = np.searchsorted(self._ends, index, side="right")
        order = np.argsort(group, kind="stable")
        found = np.empty((len(index), self.shape[1]), self.dtype) if out is None else out
        different, starts = np.unique(group[order], return_index=True)
        for number, places in zip(different.tolist(), np.split(order, starts[1:]), strict=False):
            first = self._ends[number] - self._sizes[number]
            found[places] = self._group(number)[index[places] - first]
        return found

    def part(self, begin: int, end: int) -> NDArray[Any]:
        """Return consecutive rows; for a pass over all rows, the next row group is read ahead."""
        if begin >= end:
            return np.empty((0, self.shape[1]), self.dtype)
        first, last = np.searchsorted(self._ends, [begin, end - 1], side="right").tolist()
        if last + 1 < len(self._ends):
            self._ask(last + 1)
        found = []
        for number in range(first, last + 1):
            start = int(self._ends[number] - self._sizes[number])
            found.append(self._group(number)[max(begin - start, 0) : end - start])
        return found[0] if len(found) == 1 else np.concatenate(found)

    def expect(self, index: NDArray[Any]) -> None:
        """Start reading the row groups of rows that will be requested."""
        for number in np.unique(np.searchsorted(self._ends, index, side="right")).tolist():
            self._ask(number)

    def _group(self, number: int) -> NDArray[Any]:
        return self._ask(number).result()

    def _ask(self, number: int) -> "Future[NDArray[Any]]":
        with self._lock:
            if number not in self._kept:
                self._kept[number] = self._threads.submit(self._read, number)
                held = sum(int(self._sizes[kept]) for kept in self._kept)
                while held > self._most:
                    oldest, _ = self._kept.popitem(last=False)
                    held -= int(self._sizes[oldest])
            self._kept.move_to_end(number)
            return self._kept[number]

    def _read(self, number: int) -> NDArray[Any]:
        group = self._parts.groups[number]
        table = self._parts.read(group, self._columns.sources)
        frame = of_arrow(self._parts.files[group.file], table)
        first = int(self._ends[number]) - group.rows
        return self._columns.matrix(replace(frame, first_row=first), tells=False).astype(
            self.dtype, copy=False
        )


def _is_part(path: Path) -> bool:
    return is_parquet(path) and not path.name.startswith((".", "_"))


def parts_in(folder: Path) -> list[Path]:
    """Return the parts of a table in a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if _is_part(path))


def _is_named(metadata: Any) -> bool:
    """Return whether the column names are the user's, not those of a converted text file without names."""
    try:
        return bool(json.loads(metadata.metadata[KEY])["is_named"])
    except (KeyError, TypeError, ValueError):
        return True


def _plain(type_: Any) -> Any:
    """Return the type of the values, also for a dictionary type."""
    return getattr(type_, "value_type", type_)


def _check_alike(file: Path, schema: Any, first_file: Path, first: Any) -> None:
    """Refuse a part whose columns differ from those of the first."""
    if schema.equals(first):
        return
    fix = "write all parts with one schema"
    for name in dict.fromkeys([*first.names, *schema.names]):
        if name not in schema.names or name not in first.names:
            has, lacks = (file, first_file) if name in schema.names else (first_file, file)
            raise InputError(f"{has} has the column {shown(name)}, but {lacks} does not: {fix}")
        types = schema.field(name).type, first.field(name).type
        if types[0] != types[1]:
            raise InputError(
                f"column {shown(name)} is {types[0]} in {file} and {types[1]} in {first_file}: {fix}"
            )
    raise InputError(f"{file} has its columns in another order than {first_file}: {fix}")
