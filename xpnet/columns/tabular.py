"""A table in memory, of any library: columns by name, and rows that know where they came from."""

import difflib
import shlex
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.masks import unmasked
from xpnet.errors import InputError
from xpnet.text import one_line, printable, shorten
from xpnet.values import shown

__all__ = [
    "Frame",
    "as_array",
    "as_frame",
    "did_you_mean",
    "flag",
    "flatten_names",
    "is_frame",
    "listed",
    "refuse_duplicates",
]

_MOST_LISTED = 10  # names in a message


@dataclass(frozen=True, eq=False)
class Frame:
    """A table as the user gave it, with a selection of its rows.

    Nothing is copied or converted until a column is read: see `xpnet.columns.cells`.

    Attributes
    ----------
    columns
        By name, with all rows: a Series of narwhals, or a NumPy array of one dimension.
    total
        Number of all rows.
    rows
        Selected rows, in order; None for all.
    is_text
        Whether all values are text because they come from a text file.
    is_named
        Whether the names are the user's; otherwise they are column numbers.
    first_row
        Number of the first row, if this is a part of a file.
    line_of
        A function that returns the line of a text file on which a row begins, or None if that is unknown. It
        is None if there is no such file.
    """

    columns: Mapping[str, Any]
    total: int
    rows: NDArray[np.intp] | None = None
    is_text: bool = False
    is_named: bool = True
    first_row: int = 0
    line_of: Callable[[int], int | None] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return self.total if self.rows is None else len(self.rows)

    def take(self, rows: NDArray[Any]) -> "Frame":
        """Return some rows: by number, or those where a mask is true."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows, np.intp)
        return replace(self, rows=chosen if self.rows is None else self.rows[chosen])

    def drop(self, names: Iterable[str]) -> "Frame":
        """Return the frame without some columns."""
        left = set(names)
        if hasattr(self.columns, "without"):  # columns that are read on demand
            return replace(self, columns=self.columns.without(left))
        return replace(self, columns={name: self.columns[name] for name in self.columns if name not in left})

    def select(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the selected rows of an array that has a value for every row."""
        return values if self.rows is None else values[self.rows]

    def where(self, row: int) -> str:
        """Return the name of a row in a message: its line in the file, or its number from 0."""
        number = self.first_row + (row if self.rows is None else int(self.rows[row]))
        line = None if self.line_of is None else self.line_of(number)
        return f"row {number}" if line is None else f"line {line}"

    def require(self, names: Iterable[str], what: str) -> None:
        """Refuse names that no column has; the message calls them ``what``.

        Raises
        ------
        InputError
            For the first such name.
        """
        for name in names:
            if name not in self.columns:
                there = list(map(printable, self.columns))
                listed = ", ".join(there[:_MOST_LISTED]) + (", …" if len(there) > _MOST_LISTED else "")
                hint = did_you_mean(name, self.columns) or f": give one of {shorten(listed)}"
                raise InputError(f"{what} {shown(name)} is not a column{hint}")


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """Return the end of a message that suggests the most similar name; empty if none is similar."""
    close = difflib.get_close_matches(str(name).lower(), [other.lower() for other in names], n=1)
    found = next((other for other in names if close and other.lower() == close[0]), None)
    return "" if found is None else f"; did you mean {shown(found)}?"


def flag(option: str, name: str) -> str:
    """Return the command-line flag for a column: ``--ignore 'first name'``."""
    return f"--{option} {shlex.quote(shorten(printable(name), 60))}"


def listed(names: Sequence[str]) -> str:
    """Return names in a message: the first ten, and how many more there are."""
    first = ", ".join(shorten(printable(name), 60) for name in names[:_MOST_LISTED])
    return first + (f" and {len(names) - _MOST_LISTED:,} more" if len(names) > _MOST_LISTED else "")


def as_array(value: Any, what: str) -> NDArray[Any]:
    """Return a value as a NumPy array; ``what`` names it in the message if that fails.

    A masked value is a gap.
    """
    if hasattr(value, "toarray"):  # a SciPy sparse matrix, which NumPy takes for a single object
        raise InputError(f"{what} is a sparse matrix: give its toarray()")
    try:
        return np.asarray(unmasked(value))
    except Exception as error:  # each array library has its own
        reason = textwrap.shorten(one_line(error), 300, placeholder="…")
        raise InputError(f"{what} cannot become a NumPy array ({reason}): give rows of one length") from error


def is_frame(X: Any) -> bool:
    """Return whether X is a table whose columns have their own types, not an array of numbers."""
    if isinstance(X, np.ndarray):
        return X.ndim == 2 and X.dtype.kind in "OUSTM"
    if hasattr(X, "toarray"):  # one kind of sparse matrix is a dict
        return False
    if isinstance(X, list):
        return bool(X) and isinstance(X[0], Mapping)  # rows by name
    # What can only be collected is a lazy query for a table; `as_frame` says so in its message.
    signs = ("__dataframe__", "__narwhals_dataframe__", "__arrow_c_stream__", "collect")
    return isinstance(X, Mapping) or any(hasattr(X, name) for name in signs)


def as_frame(data: Any) -> Frame:
    """Return a table of any kind as a `Frame`.

    Parameters
    ----------
    data
        A `Frame`, a data frame (pandas, Polars, pyarrow and whatever else narwhals takes), columns by name
        in a dict, rows in a list (dicts by name, or lists), or an array of two dimensions.

    Raises
    ------
    InputError
        It is none of these, has no rows or columns, has rows or columns of different lengths, or two columns
        with the same name.
    """
    if isinstance(data, Frame):
        frame = data
    elif isinstance(data, Mapping):
        frame = _of_columns(data)
    elif isinstance(data, list | tuple) and data and all(isinstance(row, Mapping) for row in data):
        names = dict.fromkeys(name for row in data for name in row)
        frame = _of_columns({name: [row.get(name) for row in data] for name in names})
    elif isinstance(data, list | tuple):
        frame = _of_rows(data)
    else:
        found = _of_narwhals(data)
        frame = _of_array(as_array(data, "the table")) if found is None else found
    if not frame.columns:
        raise InputError("the table has no columns: give at least one")
    if not len(frame):
        raise InputError("the table has no rows: give at least one")
    return frame


def flatten_names(names: Iterable[Any]) -> list[str]:
    """Return the names of columns as text, all different.

    Raises
    ------
    InputError
        Two are the same.
    """
    texts = list(map(str, names))
    refuse_duplicates(texts, "the table")
    return texts


def refuse_duplicates(names: Sequence[str], what: str) -> None:
    """Raise InputError if a name is there twice; ``what`` has them."""
    if len(set(names)) < len(names):
        ((twice, _),) = Counter(names).most_common(1)
        raise InputError(f"{what} has two columns named {shown(twice)}: rename one")


def _of_columns(data: Mapping[Any, Any]) -> Frame:
    names = flatten_names(data)
    columns = {name: _as_column(name, values) for name, values in zip(names, data.values(), strict=True)}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        first, *others = lengths
        other = next(name for name in others if lengths[name] != lengths[first])
        raise InputError(
            f"column {shown(first)} has {lengths[first]} rows and {shown(other)} has {lengths[other]}: "
            "give columns of one length"
        )
    return Frame(columns, next(iter(lengths.values()), 0))


def _as_column(name: str, values: Any) -> Any:
    """Return a column of a dict: a Series of narwhals, or an array of one dimension."""
    import narwhals.stable.v2 as nw

    if isinstance(values, list | tuple | range):
        return _objects(values)
    series = nw.from_native(values, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        return series
    array = as_array(values, f"column {shown(name)}")
    if array.ndim == 0:
        raise InputError(f"column {shown(name)} is {shown(values)}: give a list of values, one for each row")
    if array.ndim != 1:
        raise InputError(f"column {shown(name)} has shape {array.shape}: give one dimension")
    return array


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """Return values as objects: NumPy itself would make text of numbers beside text."""
    return np.fromiter(values, object, len(values))


def _of_rows(rows: Sequence[Any]) -> Frame:
    if not rows:
        raise InputError("the table has no rows: give at least one")
    for number, row in enumerate(rows):
        if not isinstance(row, list | tuple | np.ndarray):
            raise InputError(f"row {number} of the table is {shown(row)}: give a list or a dict for each row")
        if len(row) != len(rows[0]):
            raise InputError(
                f"row {number} of the table has {len(row)} values and row 0 has {len(rows[0])}: "
                "give rows of one length"
            )
    columns = {str(k): _objects([row[k] for row in rows]) for k in range(len(rows[0]))}
    return Frame(columns, len(rows), is_named=False)


def _of_array(array: NDArray[Any]) -> Frame:
    if array.ndim != 2:
        raise InputError(f"the table has shape {array.shape}: give (rows, columns)")
    return Frame({str(k): array[:, k] for k in range(array.shape[1])}, len(array), is_named=False)


def _of_narwhals(data: Any) -> Frame | None:
    """Return a data frame as a `Frame`; None if it is no data frame."""
    import narwhals.stable.v2 as nw

    try:
        frame = nw.from_native(data, pass_through=True)
        if isinstance(frame, nw.LazyFrame):
            raise InputError("the table is a lazy query: give its collect()")
        if not isinstance(frame, nw.DataFrame):
            return None
        names = flatten_names(frame.columns)
        return Frame(dict(zip(names, frame.iter_columns(), strict=True)), len(frame))
    except nw.exceptions.DuplicateError:
        refuse_duplicates(list(map(str, getattr(data, "column_names", data.columns))), "the table")
        raise
    except InputError:
        raise
    except Exception as error:  # each library of frames has its own
        reason = textwrap.shorten(one_line(error), 300, placeholder="…") or type(error).__name__
        raise InputError(f"the table cannot be read ({reason}): give columns with plain names") from error
