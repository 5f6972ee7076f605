"""Values of a column as numbers, dates or text, whatever library holds it."""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.columns import words
from xpnet.columns.instants import (
    DATES,
    DURATIONS,
    Dates,
    dates_of,
    dates_of_objects,
    days_of,
    days_of_object,
)
from xpnet.columns.raw import NUMBERS, Raw, raw
from xpnet.columns.tabular import Frame, flag
from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["Cells", "Dates", "Numbers", "Text", "cells", "finite", "text"]

MOST = 1e150
"""Largest number allowed in a column: its square fits into a float64."""


class Numbers(NamedTuple):
    """Numbers of rows; NaN is a gap.

    Attributes
    ----------
    values
        float64; booleans are 0 and 1, durations are days.
    held
        Kind of the original values: numbers, booleans or durations.
    """

    values: NDArray[np.float64]
    held: str = "numbers"

    @property
    def gaps(self) -> NDArray[np.bool_]:
        """Rows without a value."""
        return np.isnan(self.values)


@dataclass(frozen=True, eq=False)
class Text:
    """Text, as codes of its distinct words.

    Attributes
    ----------
    codes
        Index of the word of each row; -1 is a gap.
    words
        Distinct words that occur, without spaces around them.
    is_declared
        Whether the library that holds the column calls it categorical.
    """

    codes: NDArray[np.intp]
    words: list[str]
    is_declared: bool = False
    held: str = "text"

    @property
    def gaps(self) -> NDArray[np.bool_]:
        """Rows without a value."""
        return self.codes < 0

    @property
    def counts(self) -> NDArray[np.intp]:
        """How often each word occurs."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.words))

    def spread(self, values: NDArray[Any], gap: Any) -> NDArray[Any]:
        """Return the value of each row, from ``values``, one per word."""
        return np.append(values, np.array([gap], values.dtype))[self.codes]


Cells: TypeAlias = Numbers | Dates | Text


def cells(frame: Frame, name: str) -> Cells:
    """Return the values of a column; text that consists of numbers may be returned as numbers.

    Raises
    ------
    InputError
        The column holds other values, such as lists or bytes, a number that is too large, or dates with and
        without a time zone.
    """
    arrow = _arrow_text(frame.columns[name])
    if arrow is not None:
        values = _arrow_numbers(arrow)
        return text(frame, name) if values is None else finite(frame, name, Numbers(frame.select(values)))
    column = raw(frame, name)
    kind = column.values.dtype.kind
    if column.is_declared:
        return _factorized(column)
    if kind == "O":
        return _of_objects(frame, name, column)
    if kind == "M":
        return dates_of(frame, name, column)
    if kind == "m":
        return Numbers(days_of(column.values, column.gaps), "durations")
    values = column.values.astype(np.float64)
    values[column.gaps] = np.nan
    return finite(frame, name, Numbers(values, "booleans" if kind == "b" else "numbers"))


def text(frame: Frame, name: str) -> Text:
    """Return a column as text, whatever it holds, for use as categories.

    Raises
    ------
    InputError
        As for `cells`.
    """
    arrow = _arrow_text(frame.columns[name])
    if arrow is not None:
        coded = arrow.dictionary_encode().combine_chunks()
        codes = np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.intp)
        return _tidy(frame.select(codes), coded.dictionary.to_pylist())
    column = raw(frame, name)
    if column.values.dtype.kind == "O":
        if not column.is_declared:
            _of_objects(frame, name, column)  # refuses anything but text, numbers and dates
        return _factorized(column)
    if column.values.dtype.kind in "mM":
        column = Raw(column.values.astype(object), column.gaps)
        return _factorized(Raw(np.array([str(value) for value in column.values], object), column.gaps))
    different, codes = np.unique(column.values, return_inverse=True)
    codes = np.where(column.gaps, -1, codes.reshape(-1))
    return _tidy(codes, [words.word(value) for value in different.tolist()], column.is_declared)


def _arrow_text(column: Any) -> Any:
    """Return a column of text held by pyarrow; None for any other column."""
    native = None if isinstance(column, np.ndarray) else column.to_native()
    type_ = str(getattr(native, "type", ""))
    return native if type_ in ("string", "large_string") and hasattr(native, "chunks") else None


def _arrow_numbers(arrow: Any) -> NDArray[np.float64] | None:
    """Return text as numbers, fast; None if some is not a number, or in a form that pyarrow cannot read."""
    import pyarrow as pa

    try:
        values: NDArray[np.float64] = arrow.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    # Text that means NaN but is not a gap must be named in a message, and pyarrow has lost that text here.
    return None if np.count_nonzero(np.isnan(values)) > arrow.null_count else values


def _factorized(column: Raw) -> Text:
    seen: dict[str, int] = {}
    code = seen.setdefault
    present = column.values[~column.gaps].tolist()
    if not all(type(value) is str for value in present):
        present = [words.word(value) for value in present]
    codes = np.full(len(column.values), -1, np.intp)
    codes[~column.gaps] = np.fromiter((code(value, len(seen)) for value in present), np.intp, len(present))
    return _tidy(codes, list(seen), column.is_declared)


def _tidy(codes: NDArray[np.intp], values: list[str], is_declared: bool = False) -> Text:
    """Return text without surrounding spaces, with missing values as gaps and only words that occur."""
    occurs = np.bincount(codes[codes >= 0], minlength=len(values)) > 0
    seen = dict.fromkeys(words.GAPS, -1)
    place = seen.setdefault
    places = [
        place(value.strip(), len(seen) - len(words.GAPS)) if there else -1
        for value, there in zip(values, occurs.tolist(), strict=True)
    ]
    return Text(np.array([*places, -1], np.intp)[codes], list(seen)[len(words.GAPS) :], is_declared)


def _of_objects(frame: Frame, name: str, column: Raw) -> Cells:
    """Return Python objects as numbers, dates or text, by their types."""
    values = column.values[~column.gaps]
    types = set(map(type, values))
    is_boolean = {type_ for type_ in types if issubclass(type_, bool | np.bool_)}
    others = types - is_boolean
    if types and types == is_boolean:
        return Numbers(_fill(column, values.astype(np.float64)), "booleans")
    if others and all(issubclass(type_, DATES) for type_ in types):
        return dates_of_objects(frame, name, column)
    if others and all(issubclass(type_, DURATIONS) for type_ in types):
        return Numbers(_fill(column, np.array(list(map(days_of_object, values)), np.float64)), "durations")
    if others and not is_boolean and all(issubclass(type_, NUMBERS) for type_ in types):
        return finite(frame, name, Numbers(_fill(column, np.array(list(map(_float, values)), np.float64))))
    for row in (
        np.flatnonzero(~column.gaps) if any(not issubclass(t, (str, *NUMBERS)) for t in others) else ()
    ):
        if not isinstance(column.values[row], (str, bool, np.bool_, *NUMBERS)):
            kind = type(column.values[row]).__name__
            raise InputError(
                f"column {shown(name)} holds a {kind} in {frame.where(int(row))}, which is no number, "
                f"text or date: leave it out with {flag('ignore', name)}"
            )
    return _factorized(column)


def _fill(column: Raw, present: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.full(len(column.values), np.nan)
    values[~column.gaps] = present
    return values


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf


def finite(frame: Frame, name: str, found: Numbers) -> Numbers:
    """Return numbers unchanged; raise InputError if one is infinite or too large for a network."""
    beyond = np.abs(found.values) > MOST
    if beyond.any():
        row = int(beyond.argmax())
        value = found.values[row]
        what = "an infinity" if np.isinf(value) else f"{value:.6g}, more than {MOST:.0e},"
        raise InputError(f"column {shown(name)} holds {what} in {frame.where(row)}: leave the value empty")
    return found
