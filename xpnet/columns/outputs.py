"""Takes the targets out of a table, and reads single columns."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.columns import words
from xpnet.columns.cells import Cells, Numbers, Text, cells, text
from xpnet.columns.instants import Dates
from xpnet.columns.meanings import MEND, as_dates, as_numbers, interpret
from xpnet.columns.raw import Raw, raw
from xpnet.columns.tabular import Frame, as_frame
from xpnet.errors import InputError
from xpnet.values import shown
from xpnet.warn import warn

__all__ = ["Taken", "lacks", "likely_target", "row_values", "take_target", "tell_of_floats"]

FEW = 20
"""Maximum number of distinct whole numbers for which floats with gaps are read as classes."""

TARGETS = ("target", "label", "class", "y")
"""Usual names of target columns, in upper or lower case."""

_MOST_SHOWN = 10  # classes in a message


class Taken(NamedTuple):
    """A table without its targets.

    Attributes
    ----------
    frame
        The other columns, for the rows that have a target.
    y
        Targets: int64, float64, bools, or objects that are all text; ``(rows,)``, or ``(rows, columns)`` for
        several columns.
    kept
        Index of these rows in the table.
    """

    frame: Frame
    y: NDArray[Any]
    kept: NDArray[np.bool_]


def take_target(
    frame: Any,
    target: str | Sequence[str],
    note: Callable[[str], None] = warn,
    classes: bool | Sequence[Any] = False,
) -> Taken:
    """Take the targets out of a table.

    Parameters
    ----------
    frame
        Anything that `xpnet.columns.tabular.as_frame` takes.
    target : str or sequence of str
        Name of one column, or of several to be predicted together.
    note : callable
        Called with a sentence about rows that are left out because they have no target.
    classes : bool or sequence
        Whether the targets are known to be classes, or the names of the classes.

    Returns
    -------
    Taken
        Rows in their order. Text stays text, but numbers in a text file become numbers; class names only if
        all are whole, and if the known names are not text.

    Raises
    ------
    InputError
        There is no such column, it has no values, its values cannot be predicted, or one is not a class.
    """
    frame = as_frame(frame)
    names = [target] if isinstance(target, str) else list(target)
    frame.require(names, "--target")
    if not names:
        raise InputError("there is no target column: give --target NAME")
    are_words = not isinstance(classes, bool) and all(isinstance(name, str) for name in classes)
    is_text = frame.is_text and not are_words
    found = [_exact(frame, name, is_text, is_target=True, are_classes=bool(classes)) for name in names]
    gaps = np.logical_or.reduce([gaps for _, gaps in found])
    listed = ", ".join(map(shown, names))
    if gaps.all():
        what = f"a value for {listed}" if len(names) == 1 else f"values for all of {listed}"
        raise InputError(f"no row has {what}: give another --target, or fill it in")
    if not isinstance(classes, bool) and len(names) == 1:
        _refuse_others(frame, names[0], *found[0], classes)
    if gaps.any():
        note(f"left out {int(gaps.sum()):,} of {len(gaps):,} rows without a value for {listed}")
    columns = [values[~gaps] for values, _ in found]
    y = columns[0] if isinstance(target, str) else _joined(names, columns)
    return Taken(frame.drop(names).take(~gaps), y, ~gaps)


def tell_of_floats(frame: Frame, name: str, y: NDArray[Any], note: Callable[[str], None]) -> None:
    """Note that `take_target` read floats as integers, and so as classes: a gap turns integers into floats.

    Parameters
    ----------
    frame, name
        The table with the column.
    y
        The targets that were taken.
    note
        Called with the sentence.
    """
    if y.dtype.kind == "i" and not frame.is_text and raw(frame, name).values.dtype.kind == "f":
        note(
            f"{shown(name)} holds whole floats with gaps, read as classes: use --task regression for numbers"
        )


def likely_target(frame: Frame, others: Collection[str] = ()) -> str | None:
    """Return the likely target column; None if it is not clear.

    It has a usual name of targets, or it is the last column and the only one with text.

    Parameters
    ----------
    frame
        The table.
    others
        Columns that are certainly not the target.
    """
    names = [name for name in frame.names if name not in others]
    called = [name for name in names if name.strip().lower() in TARGETS]
    if called or len(names) < 2:
        return called[0] if len(called) == 1 else None
    *first, last = names
    try:
        found = interpret(frame, last, cells(frame, last))
        # Values that hardly repeat are names or remarks.
        if not isinstance(found, Text) or not 0 < 2 * len(found.words) <= len(frame):
            return None
        kinds = (interpret(frame, name, cells(frame, name)) for name in first)
        return last if all(isinstance(kind, Numbers) or kind.gaps.all() for kind in kinds) else None
    except InputError:  # perhaps for a column that will not be an input at all
        return None


def _refuse_others(
    frame: Frame, name: str, values: NDArray[Any], gaps: NDArray[np.bool_], classes: Sequence[Any]
) -> None:
    """Raise InputError if a value is not one of the classes: checked here, where its line is known."""
    known = set(classes)
    for row, (value, is_gap) in enumerate(zip(values.tolist(), gaps.tolist(), strict=True)):
        if not is_gap and value not in known:
            listed = ", ".join(map(shown, classes[:_MOST_SHOWN]))
            listed += ", …" if len(classes) > _MOST_SHOWN else ""
            raise InputError(
                f"column {shown(name)} holds {shown(value)} in {frame.where(row)}, which is not a class: "
                f"give one of {listed}"
            )


def lacks(frame: Any) -> NDArray[np.bool_]:
    """Return which rows of a table of targets lack one.

    Raises
    ------
    InputError
        A column holds something other than values.
    """
    frame = as_frame(frame)
    found = [_has_no_label(raw(frame, name)) for name in frame.names]
    return np.asarray(np.logical_or.reduce(found), bool)


def row_values(frame: Any, name: str) -> NDArray[Any]:
    """Return the values of one column: int64, float64, bools, ``datetime64[us]``, or objects that are text.

    Raises
    ------
    InputError
        There is no such column, or a row has no value in it.
    """
    frame = as_frame(frame)
    frame.require([name], "the name")
    values, gaps = _exact(frame, name, is_text=True, is_target=False)
    if gaps.any():
        where = frame.where(int(gaps.argmax()))
        raise InputError(f"column {shown(name)} has no value in {where}: fill it in, or drop the row")
    return values


def _joined(names: Sequence[str], columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return columns as one array; text is not joined to numbers."""
    is_text = [column.dtype == object for column in columns]
    if any(is_text) and not all(is_text):
        of_text, other = names[is_text.index(True)], names[is_text.index(False)]
        raise InputError(
            f"column {shown(of_text)} holds text and {shown(other)} does not: give targets of one kind"
        )
    return np.stack(columns, axis=1)


def _exact(
    frame: Frame, name: str, is_text: bool, is_target: bool, are_classes: bool = False
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the values of rows and which are gaps.

    With ``is_text``, text is kept as it is. A target must not hold dates, nor numbers mixed with text, unless
    they are classes.
    """
    if frame.is_text:
        return _of_text(frame, name, is_text, is_target, are_classes)
    column = raw(frame, name)
    gaps = column.gaps
    kind: str = column.values.dtype.kind
    if kind == "O":
        kind = _kind_of(column.values[~gaps])
    if is_target and kind == "O":
        # Labels in memory are taken literally, as when y is given separately: blanks and "NA" included.
        missing = _has_no_label(column)
        if all(isinstance(value, str) for value in column.values[~missing]):
            labels = column.values.copy()
            labels[missing] = None
            return labels, missing
    if column.is_declared or kind == "O":
        return _of_text(frame, name, is_text and not column.is_declared, is_target, are_classes)
    if kind in "iu":
        return _integers(frame, name, column), gaps
    if kind == "b":
        return np.where(gaps, False, column.values).astype(bool), gaps
    found = cells(frame, name)
    _refuse_dates(name, found, is_target)
    if isinstance(found, Dates):
        return found.values, gaps
    values = as_numbers(frame, name, found, found.held).values
    whole = values[~gaps]
    is_whole = (whole == np.floor(whole)) & (np.abs(whole) < words.EXACT)
    are_few = is_whole.all() and len(np.unique(whole)) <= FEW
    if len(whole) < len(values) and are_few and _turns_integers_to_floats(frame.columns[name]):
        return np.where(gaps, 0, values).astype(np.int64), gaps
    return values, gaps


def _has_no_label(column: Raw) -> NDArray[np.bool_]:
    """Return which rows have no value at all; text such as NA is a value."""
    missing = column.gaps.copy()
    if column.values.dtype.kind == "O":
        gaps = np.flatnonzero(missing)
        missing[gaps] = [not isinstance(value, str) for value in column.values[gaps]]
    return missing


def _kind_of(values: NDArray[Any]) -> str:
    """Return the kind of the NumPy dtype that holds objects exactly; O for text, alone or mixed."""
    types = set(map(type, values))
    for kind, kinds in {"b": (bool, np.bool_), "i": (int, np.integer)}.items():
        if types and all(issubclass(type_, kinds) for type_ in types):
            return kind
    return "O" if not types or any(issubclass(type_, str | bool | np.bool_) for type_ in types) else "?"


def _turns_integers_to_floats(column: Any) -> bool:
    """Whether a column with gaps can't hold integers: one of NumPy, or one of pandas with a NumPy dtype."""
    return isinstance(
        getattr(column if isinstance(column, np.ndarray) else column.to_native(), "dtype", None), np.dtype
    )


def _integers(frame: Frame, name: str, column: Raw) -> NDArray[np.int64]:
    values = np.where(column.gaps, 0, column.values)
    beyond = (values < -(2**63)) | (values > 2**63 - 1)
    if beyond.any():
        where = frame.where(int(beyond.argmax()))
        raise InputError(f"column {shown(name)} holds an integer of more than 64 bits in {where}: give text")
    return values.astype(np.int64)


def _of_text(
    frame: Frame, name: str, is_text: bool, is_target: bool, are_classes: bool
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    found = text(frame, name)
    integers = words.integers(found.words)
    if is_text and found.words and not words.are_codes(found.words):
        if integers is not None:
            return found.spread(np.array(integers, np.int64), 0), found.gaps
        booleans, are_booleans = words.booleans(found.words)
        if are_booleans.all():
            return found.spread(booleans == 1, False), found.gaps
        numbers, _ = words.numbers(found.words)
        if are_classes and not (numbers == np.floor(numbers)).all():
            return found.spread(np.array(found.words, object), None), found.gaps
        fix = f"{MEND}, or use --task classification"
        meaning = interpret(frame, name, found, fix) if is_target else _of_order(frame, name, found)
        if not isinstance(meaning, Text):
            _refuse_dates(name, meaning, is_target)
            return meaning.values, found.gaps
    return found.spread(np.array(found.words, object), None), found.gaps


def _of_order(frame: Frame, name: str, found: Text) -> Cells:
    """Return numbers and dates that are written as text: text would sort differently."""
    if words.numbers(found.words)[1].all():
        return as_numbers(frame, name, found)
    if 2 * int(found.counts[words.dates(found.words)[1]].sum()) > int(found.counts.sum()):
        return as_dates(frame, name, found)
    return found


def _refuse_dates(name: str, found: Cells, is_target: bool) -> None:
    if is_target and isinstance(found, Dates):
        raise InputError(f"column {shown(name)} holds dates: give numbers or classes to predict")
