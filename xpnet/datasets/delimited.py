"""Detect the format of a text table before reading it."""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from xpnet.columns.columns import Columns
from xpnet.columns.tabular import refuse_duplicates
from xpnet.datasets.headers import guess_header
from xpnet.errors import InputError

__all__ = ["Layout", "examine", "first_ragged_line", "line_of", "looks_otherwise", "opened"]

DELIMITERS = "\t;|,"
"""From the rarest in text to the most frequent; if several fit, the first is used."""

_CHUNK = 1 << 20
_HEAD = 1 << 20  # number of characters used to detect the format
_SAMPLE = 100  # maximum number of lines in them
_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"  # in cp1252
_EXCEL = re.compile(
    r'"?sep=([^\w"\r\n])"?[ \t]*(?:\r\n|\r|\n)', re.IGNORECASE
)  # a first line that names the delimiter
_CONTROLS = bytes(sign for sign in range(32) if sign not in b"\t\n\r\f\v\x1a")


@dataclass(frozen=True)
class Layout:
    """The format of a text file.

    Attributes
    ----------
    path
        The file.
    encoding
        Name of Python's codec.
    delimiter
        Delimiter between fields.
    names
        Names of the columns; ``0``, ``1``, … if the file has none.
    has_header
        Whether the first line holds the names.
    skip
        Number of lines at the beginning that are empty, or name the delimiter.
    has_quotes
        Whether there are any quotes.
    notes
        Sentences about what was guessed.
    """

    path: Path
    encoding: str
    delimiter: str
    names: tuple[str, ...]
    has_header: bool
    skip: int
    has_quotes: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Text:
    """Properties of a text file, from reading all of it once."""

    encoding: str
    head: str
    num_quotes: int
    notes: tuple[str, ...] = ()


def opened(path: Path) -> io.BufferedReader:
    """Open a file, compressed or not."""
    return io.BufferedReader(gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def examine(
    path: Path,
    header: bool | None = None,
    like: Columns | None = None,
    said: Collection[str] = (),
) -> Layout:
    """Detect the format of a text file.

    Parameters
    ----------
    path
        The file; compressed if it ends in ``.gz``.
    header
        Whether the first line holds the names; None to guess.
    like
        The columns of a model, if the rows are for one. Their names and contents help to guess; and because
        each row counts, an ambiguous first line is refused.
    said
        Names of columns that a user gave, possibly numbers of columns without names.

    Raises
    ------
    InputError
        The file is empty or not text, or its first line is refused.
    OSError
        The file cannot be read.
    """
    found = _read_through(path)
    body = found.head.lstrip("\r\n")
    if not body.strip():
        raise InputError(f"{path} is empty: give a table with names of columns and rows")
    excel = _EXCEL.match(body)
    if excel:
        body = body[excel.end() :].lstrip("\r\n")
    delimiter = excel[1] if excel else _find_delimiter(body, path)
    rows = _sample(body, delimiter)
    has_header, notes = (header, ()) if header is not None else guess_header(path, rows, like, said)
    names = [field.strip() or f"Unnamed: {k}" for k, field in enumerate(rows[0])]
    if has_header:
        refuse_duplicates(names, f"{path}")
        names[0] = names[0].removeprefix("#").strip() or names[0]
    else:
        names = list(map(str, range(len(names))))
    if found.num_quotes % 2:  # a quote that never ends would swallow all following lines
        for _ in _records(path, found.encoding, delimiter):
            pass
    return Layout(
        path=path,
        encoding=found.encoding,
        delimiter=delimiter,
        names=tuple(names),
        has_header=has_header,
        skip=len(found.head[: len(found.head) - len(body)].splitlines()),
        has_quotes=found.num_quotes > 0,
        notes=(*found.notes, *notes),
    )


def looks_otherwise(path: Path, header: bool, like: Columns) -> str | None:
    """Return a note if the first line looks different from what the run was told; else None.

    Parameters
    ----------
    path, like
        As for `examine`.
    header
        What the run was told.
    """
    with contextlib.suppress(InputError, OSError):  # reported when the file is read
        if examine(path, None, like).has_header != header:
            taken, other = (
                ("column names", "--no-header if it is data")
                if header
                else ("data", "--header if it holds column names")
            )
            return f"{path}: the first line is read as {taken}, as in the run; use {other}"
    return None


def first_ragged_line(layout: Layout) -> str | None:
    """Return a description of the first line with too few or too many fields; None if there is none.

    Raises
    ------
    InputError
        A quote does not end at the end of its field.
    """
    wanted = len(layout.names)
    for line, fields in _records(layout.path, layout.encoding, layout.delimiter):
        if fields and len(fields) != wanted and line > layout.skip:
            return f"line {line} has {len(fields)} fields and the first has {wanted}"
    return None


def line_of(layout: Layout, row: int) -> int | None:
    """Return the line in which a row begins; None if it is unknown.

    The file is read again up to there, because this is only needed for a message.
    """
    records = _records(layout.path, layout.encoding, layout.delimiter)
    lines = (line for line, fields in records if fields and line > layout.skip)
    with contextlib.suppress(InputError, OSError):
        return next(itertools.islice(lines, row + layout.has_header, None), None)
    return None


def _read_through(path: Path) -> _Text:
    """Read a file once, in bounded memory."""
    try:
        with opened(path) as file:
            start = file.read(4)
        if start[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
            raise InputError(f"{path} is text in UTF-32: save it in UTF-8")
        if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return _decode_all(path, "utf-16")
        try:
            return _decode_all(path, "utf-8-sig")
        except UnicodeDecodeError:
            return _decode_all(path, _western(path))
    except UnicodeError as error:
        raise InputError(f"{path} is not text ({error}): save the table as CSV in UTF-8") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} cannot be unpacked ({error}): get a fresh copy") from error


def _decode_all(path: Path, encoding: str) -> _Text:
    decoder = codecs.getincrementaldecoder(encoding)()
    head, num_quotes = "", 0
    with opened(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            text = decoder.decode(chunk, final=not chunk)
            if "\0" in text:
                raise InputError(f"{path} is not text: give a table as CSV in UTF-8, or as Parquet")
            head += text if len(head) < _HEAD else ""
            num_quotes += text.count('"')
            if not chunk:
                break
    notes = (f"{path} is not UTF-8: read as {encoding}",) if encoding in ("cp1252", "latin-1") else ()
    return _Text(encoding, head, num_quotes, notes)


def _western(path: Path) -> str:
    """Return the encoding of text that is not UTF-8, if it is text at all."""
    encoding = "cp1252"
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            if len(chunk.translate(None, _CONTROLS)) < len(chunk):
                raise InputError(f"{path} is not text: give a table as CSV in UTF-8, or as Parquet")
            if len(chunk.translate(None, _UNDEFINED)) < len(chunk):
                encoding = "latin-1"
    return encoding


def _find_delimiter(body: str, path: Path) -> str:
    """Return the delimiter that splits most lines into the same number of fields; a comma if none does."""
    stem = path.name.lower().removesuffix(".gz")
    best, share = ",", 0.5
    for delimiter in DELIMITERS:
        rows = [len(row) for row in _sample(body, delimiter)]
        usual = max(set(rows), key=rows.count)
        found = rows.count(usual) / len(rows) if usual > 1 else 0.0
        found += 0.25 if rows[0] == usual > 1 else 0.0
        found += 0.25 if delimiter == "\t" and stem.endswith(".tsv") and usual > 1 else 0.0
        if found > share:
            best, share = delimiter, found
    return best if share > 0.5 else _spaces_or_none(body, path)


def _spaces_or_none(body: str, path: Path) -> str:
    """Return a space if single ones split every line into the same number of fields; else a comma.

    Raises
    ------
    InputError
        There are several spaces between fields, as in aligned columns.
    """

    def is_table(rows: list[list[str]]) -> bool:
        return len(rows) > 1 and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1

    rows = _sample(body, " ")
    if is_table(rows) and all(map(all, rows)):
        return " "
    if is_table([line.split() for line in body.splitlines()[:_SAMPLE] if line.strip()]):
        raise InputError(
            f"{path} has several spaces between its columns: put a comma there, as "
            "pandas.read_csv(FILE, sep=r'\\s+').to_csv(FILE, index=False) does"
        )
    return ","


def _sample(body: str, delimiter: str) -> list[list[str]]:
    """Return the fields of the first lines; the last of them may be cut off."""
    lines = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    signs = 0
    try:
        for row in itertools.islice(lines, _SAMPLE):
            rows += [row] if row else []
            signs += sum(map(len, row))
            if signs > _HEAD // 4 and len(rows) > 1:
                break
    except csv.Error:  # a field is longer than csv allows: the lines so far are enough
        pass
    complete = rows[:-1] if len(body) >= _HEAD and len(rows) > 2 else rows
    return complete or [body.partition("\n")[0].split(delimiter)]


def _records(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a file, read strictly by Python's csv, each with the line on which it begins."""
    with opened(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            if "limit" in str(error):  # a field is longer than csv allows, but may be correct
                return
            raise InputError(
                f"{path}: the quotes in line {line} do not end at the end of a field: correct them"
            ) from error
