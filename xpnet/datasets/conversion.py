"""Convert a text table that is larger than memory to Parquet, once; later runs read the Parquet file."""

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xpnet.datasets.bar import Showing, progress_bar
from xpnet.datasets.delimited import Layout
from xpnet.datasets.frames import (
    examined,
    open_parquet,
    parsing,
    reading_file,
    regrouped,
    text_batches,
)
from xpnet.datasets.reading import Note, Reading
from xpnet.errors import InputError
from xpnet.files import replacing
from xpnet.text import one_line

__all__ = ["KEY", "converted"]

PART = 2**20
"""Number of bytes to read at a time."""

NUMBERS = 2**21
"""Number of values in a row group; a few row groups are shuffled together."""

KEY = b"xpnet"
"""Key in the metadata of the file under which it describes its source."""

NO_NUMBER = r"^\s*[+-]?(0[0-9].*|[0-9]{16,}\s*)$"
"""Digits that a number would not preserve: a code with leading zeros, or a long one."""


def converted(path: Path, reading: Reading, note: Note, progress: Showing = False) -> Path:
    """Return the Parquet file with the table of a text file; create it if it does not exist.

    A column becomes integers or floats if all of its text does; otherwise it stays text. The file is next to
    the text file, with ``.parquet`` appended to its name, and is made again if the text file changes.

    Parameters
    ----------
    path
        A CSV file or another text table.
    reading
        Whether it has a header, and names of columns.
    note
        Called with sentences about the conversion, and about what was guessed.
    progress
        Show a bar if standard error is a terminal.

    Raises
    ------
    InputError
        The text cannot be read, or the file cannot be written, and then no part of it is left; or there is a
        file of that name that xpnet did not make.
    """
    target = path.with_name(f"{path.name}.parquet")
    with reading_file(path):
        stat = path.stat()
        # `cp -p` may set back the first of these. The text is unchanged if both are equal, or its checksum
        # is.
        times = [stat.st_mtime_ns, stat.st_ctime_ns]
        made_of: dict[str, Any] = {"size": stat.st_size, "header": reading.header}
        made = _description_of(target)
        if made is None and target.exists():
            raise InputError(
                f"{target} is damaged or was not made from {path}: move it away, or give --rows-in memory"
            )
        is_alike = made is not None and made_of.items() <= made.items()
        if made is not None and is_alike and (made["times"] == times or made["crc32"] == _crc32(path)):
            note(f"{path.name} was converted before: {target} is read instead")
            return target
        layout = examined(path, reading.header, note, None, reading.names)
        note(f"{path} is converted into {target}, once; later runs read that")
        shown = progress_bar(path.name, progress) if progress else contextlib.nullcontext()
        with shown as bar, parsing(layout):
            if bar is not None:
                bar.total = 3 * stat.st_size
            advance = None if bar is None else bar.update
            made_of |= {"times": times, "crc32": _crc32(path, advance), "is_named": layout.has_header}
            types = _types_of(_batches(layout, advance))
            description = json.dumps(made_of).encode()
            _write(target, types, description, _batches(layout, advance))
    return target


def _description_of(target: Path) -> dict[str, Any] | None:
    """Return a file's description of its source; None if it does not exist or xpnet did not make it."""
    try:
        with open_parquet(target) as parquet:
            return {"times": None, "crc32": None} | dict(json.loads(parquet.metadata.metadata[KEY]))
    except Exception:  # a damaged file is not ours, because ours are written completely or not at all
        return None


def _crc32(path: Path, advance: Callable[[int], None] | None = None) -> int:
    crc = 0
    with path.open("rb") as file:
        while part := file.read(PART):
            crc = zlib.crc32(part, crc)
            if advance is not None:
                advance(len(part))
    return crc


def _batches(layout: Layout, advance: Callable[[int], None] | None) -> Iterator[Any]:
    """Yield the batches of a text file, and report the number of bytes read."""
    last = 0
    for batch, at in text_batches(layout):
        if advance is not None:
            advance(at - last)
        last = at
        yield batch


def _types_of(batches: Iterator[Any]) -> dict[str, Any]:
    """Return, for each column, a type to which all of its text can be converted."""
    import pyarrow as pa

    wider = {pa.int64(): pa.float64(), pa.float64(): pa.string()}
    types: dict[str, Any] = {}
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            type_ = types.setdefault(name, pa.int64())
            while not _fits(column, type_):
                type_ = wider[type_]
            types[name] = type_
    return types


def _fits(column: Any, type_: Any) -> bool:
    import pyarrow as pa
    from pyarrow import compute

    if type_ == pa.string():
        return True
    if compute.any(compute.match_substring_regex(column, NO_NUMBER)).as_py():
        return False
    try:
        column.cast(type_)
    except pa.ArrowInvalid:
        return False
    return True


def _write(target: Path, types: dict[str, Any], description: bytes, batches: Iterator[Any]) -> None:
    """Write the file completely or not at all."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(types).with_metadata({KEY: description})
    rows = max(1, NUMBERS // max(1, len(types)))
    with (
        _refusing(target),
        replacing(target) as temporary,
        parquet.ParquetWriter(temporary, schema, write_page_checksum=True) as writer,
    ):
        for _, table in regrouped(batches, rows):
            writer.write_table(table.cast(schema), row_group_size=rows)


@contextlib.contextmanager
def _refusing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise InputError(
            f"{target} cannot be written ({reason}): move the file to a writable disk with free space"
        ) from error
