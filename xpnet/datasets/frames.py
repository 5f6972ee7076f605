"""Read tables from files, at once or part by part."""

import textwrap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from xpnet.columns import words
from xpnet.columns.columns import Columns
from xpnet.columns.tabular import Frame, as_frame, refuse_duplicates
from xpnet.datasets.delimited import Layout, examine, first_ragged_line, line_of, opened
from xpnet.datasets.reading import Note
from xpnet.errors import InputError
from xpnet.text import one_line, printable
from xpnet.warn import warn

__all__ = [
    "KINDS",
    "examined",
    "is_parquet",
    "is_table",
    "is_text",
    "of_arrow",
    "open_parquet",
    "parsing",
    "read_parts",
    "read_table",
    "reading_file",
    "regrouped",
    "text_batches",
]

KINDS = ".csv, .tsv, .txt, .csv.gz, .parquet, .arrow or .feather"

_DELIMITED = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_ARROW = (".arrow", ".feather", ".ipc", ".arrows")
_BLOCK = 4 << 20  # bytes of text to parse at a time
_LONGEST = 128 << 20  # maximum bytes in a line


def is_table(path: Path) -> bool:
    """Return whether the name of a file is that of a table."""
    return is_text(path) or _suffix(path) in (*_PARQUET, *_ARROW)


def is_parquet(path: Path) -> bool:
    """Return whether the name of a file is that of a Parquet file."""
    return _suffix(path) in _PARQUET


def is_text(path: Path) -> bool:
    """Return whether the name of a file is that of a text table."""
    return _suffix(path) in _DELIMITED


def read_table(
    path: Path,
    header: bool | None = None,
    note: Note = warn,
    like: Columns | None = None,
    *,
    said: Collection[str] = (),
    may_be_empty: bool = False,
) -> Frame:
    """Read a table.

    Parameters
    ----------
    path : Path
        A text file, whose encoding and delimiter are detected; a Parquet file; or an Arrow file.
    header : bool, optional
        Whether the first line of a text file holds names; None to guess. Columns without names are called
        0, 1, 2, …
    note : callable
        Called with sentences about what was guessed.
    like : Columns, optional
        The columns, if known, to tell names from data.
    said : collection of str
        Names of columns that a user gave, for the same purpose.
    may_be_empty : bool
        Whether to accept a table with names but no rows.

    Returns
    -------
    Frame
        The columns of a text file are all text; `Columns.infer` finds out what they hold.

    Raises
    ------
    InputError
        The file cannot be read, or has no rows.
    """
    with reading_file(path):
        if is_text(path):
            layout = examined(path, header, note, like, said)
            with parsing(layout):
                table = _whole(layout)
            frame = _of_text(layout, table)
        elif is_parquet(path):
            frame = of_arrow(path, open_parquet(path).read())
        else:
            with _arrow(path) as reader:
                frame = of_arrow(path, reader.read_all())
    if not (len(frame) or may_be_empty):
        raise InputError(f"{path} has column names but no rows: give at least one")
    return frame


def read_parts(
    path: Path,
    rows_per_part: int,
    like: Columns | None = None,
    header: bool | None = None,
    note: Note = warn,
) -> Iterator[Frame]:
    """Read a table a part at a time, in bounded memory.

    Parameters
    ----------
    path, like, header, note
        As for `read_table`.
    rows_per_part : int
        Rows in each part; the last one may be smaller. A file without rows has no parts.

    Yields
    ------
    Frame

    Raises
    ------
    InputError
        The file cannot be read.
    """
    with reading_file(path):
        if is_text(path):
            layout = examined(path, header, note, like)
            with parsing(layout):
                for start, table in regrouped(_streamed(layout), rows_per_part):
                    yield replace(_of_text(layout, table), first_row=start)
        elif is_parquet(path):
            file = open_parquet(path)
            for start, table in regrouped(file.iter_batches(batch_size=rows_per_part), rows_per_part):
                yield replace(of_arrow(path, table), first_row=start)
        else:
            with _arrow(path) as reader:
                for start, table in regrouped(reader, rows_per_part):
                    yield replace(of_arrow(path, table), first_row=start)


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return Path(name.removesuffix(".gz") if name.removesuffix(".gz").endswith(_DELIMITED) else name).suffix


@contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Turn any error with a file into an InputError with one line."""
    if not is_table(path):
        raise InputError(f"{path} is not a table: give a file that ends in {KINDS}")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file in it")
    if not path.is_file():
        raise InputError(f"there is no {path}: give a file that ends in {KINDS}")
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        raise InputError(f'{path} needs pyarrow: pip install "xpnet[tables]"') from error
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty: give a table with names of columns and rows")
        yield
    except InputError:
        raise
    except MemoryError as error:  # also if a damaged file claims to hold more than it does
        raise InputError(f"{path} does not fit into memory, or is damaged: give fewer rows") from error
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        reason = _reason(error)
        if "encrypted" in reason.lower():
            raise InputError(f"{path} is encrypted: save it without a password") from error
        raise InputError(f"{path} cannot be read ({reason}): give another file, or save it again") from error


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return textwrap.shorten(printable(text), 200, placeholder="…") or type(error).__name__


def examined(
    path: Path, header: bool | None, note: Note, like: Columns | None, said: Collection[str] = ()
) -> Layout:
    """Detect the format of a text file, and report what was guessed."""
    layout = examine(path, header, like, said)
    for text in layout.notes:
        note(text)
    return layout


@contextmanager
def parsing(layout: Layout) -> Iterator[None]:
    """Make errors name the line of a text file that has a different number of fields."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowInvalid as error:
        wrong = first_ragged_line(layout) or _reason(error)
        raise InputError(f"{layout.path}: {wrong}: correct it, or quote text that has a delimiter") from error


def _options(layout: Layout, block: int) -> dict[str, Any]:
    """Return the options for pyarrow: every column is read as text, so that no guess loses anything."""
    import pyarrow as pa
    from pyarrow import csv

    # With UTF-8, pyarrow itself skips a byte order mark.
    encoding = "utf8" if layout.encoding == "utf-8-sig" else layout.encoding
    return {
        "read_options": csv.ReadOptions(
            column_names=layout.names,
            skip_rows=layout.skip,
            skip_rows_after_names=int(layout.has_header),
            block_size=block,
            encoding=encoding,
        ),
        "parse_options": csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=layout.has_quotes),
        "convert_options": csv.ConvertOptions(
            column_types=dict.fromkeys(layout.names, pa.string()),
            null_values=words.GAPS,
            strings_can_be_null=True,
        ),
    }


def _block(layout: Layout) -> int:
    """Return the number of bytes to parse at a time; for a wide table, at least a few lines."""
    with opened(layout.path) as file:
        return min(max(_BLOCK, 8 * len(file.readline(_LONGEST))), _LONGEST)


def _whole(layout: Layout) -> Any:
    from pyarrow import csv

    with opened(layout.path) as file:
        return csv.read_csv(file, **_options(layout, _block(layout)))


def _streamed(layout: Layout) -> Iterator[Any]:
    return (batch for batch, _ in text_batches(layout))


def text_batches(layout: Layout) -> Iterator[tuple[Any, int]]:
    """Yield the batches of a text file, all columns as text, and the number of bytes read so far."""
    from pyarrow import csv

    with opened(layout.path) as file, csv.open_csv(file, **_options(layout, _block(layout))) as reader:
        for batch in reader:
            yield batch, file.tell()


def _of_text(layout: Layout, table: Any) -> Frame:
    """Return a frame of a text table, which knows the lines of its rows."""
    found = of_arrow(layout.path, table)
    return replace(found, is_text=True, is_named=layout.has_header, line_of=partial(line_of, layout))


def of_arrow(path: Path, table: Any) -> Frame:
    """Return a frame of a pyarrow table, without an index that pandas stored in it."""
    names = list(map(str, table.column_names))
    refuse_duplicates(names, str(path))
    if not names:
        raise InputError(f"{path} has no columns: give at least one")
    table.validate(full=True)  # damaged data could crash the reader
    index = [name for name in names if name.startswith("__index_level_")]
    if not table.num_rows:
        return Frame(dict.fromkeys(names), 0)
    return as_frame(table.drop_columns(index) if len(index) < len(names) else table)


def open_parquet(path: Path, metadata: Any = None) -> Any:
    """Open a Parquet file; its metadata may be known already."""
    from pyarrow import parquet

    return parquet.ParquetFile(path, metadata=metadata, page_checksum_verification=True)


@contextmanager
def _arrow(path: Path) -> Iterator[Any]:
    """Open an Arrow file, or a stream in a file, and yield a reader of its batches."""
    import pyarrow as pa
    from pyarrow import ipc

    with pa.OSFile(str(path)) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        with ipc.open_file(file) if is_file else ipc.open_stream(file) as reader:
            yield _Batches(reader) if is_file else reader


class _Batches:
    """The batches of an Arrow file, with the interface of a stream."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __iter__(self) -> Iterator[Any]:
        return map(self._reader.get_batch, range(self._reader.num_record_batches))

    def read_all(self) -> Any:
        """Return the whole table."""
        return self._reader.read_all()


def regrouped(batches: Any, count: int) -> Iterator[tuple[int, Any]]:
    """Yield tables of this many rows, each with the number of its first row."""
    import pyarrow as pa

    start, waiting, num_waiting = 0, [], 0
    for batch in batches:
        waiting.append(batch)
        num_waiting += batch.num_rows
        if num_waiting >= count:
            table = pa.Table.from_batches(waiting)
            for begin in range(0, num_waiting - count + 1, count):
                yield start + begin, table.slice(begin, count)
            used = num_waiting - num_waiting % count
            start, num_waiting = start + used, num_waiting - used
            waiting = table.slice(used).to_batches() if num_waiting else []
    if num_waiting:
        yield start, pa.Table.from_batches(waiting)
