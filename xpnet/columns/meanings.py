"""Reads the values of a column as numbers or dates, or names the row that is neither."""

import numpy as np
from numpy.typing import NDArray

from xpnet.columns import words
from xpnet.columns.cells import Cells, Numbers, Text, cells, finite
from xpnet.columns.instants import Dates, one_kind
from xpnet.columns.tabular import Frame, flag
from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["MEND", "as_dates", "as_numbers", "interpret", "is_text"]

MEND = "correct it or leave it empty"
"""Default advice about a value."""


def interpret(frame: Frame, name: str, found: Cells, fix: str = "") -> Cells:
    """Return text as the numbers, booleans or dates that it stands for, if all values do.

    ``fix`` is the advice of the message about a value; by default, the one for an input.

    Raises
    ------
    InputError
        Most values are numbers or dates but some are not, or their format is specific to a country.
    """
    if not isinstance(found, Text) or found.is_declared or not found.words:
        return found
    if words.booleans(found.words)[1].all():
        return as_numbers(frame, name, found, "booleans")
    counts = found.counts
    if not _are_most(words.may_mean(found.words), counts):
        return found
    fix = fix or f"{MEND}, or {flag('categorical', name)}"
    are_numbers = words.numbers(found.words)[1]
    if _are_most(are_numbers, counts):
        return as_numbers(frame, name, found, fix=fix)
    if _are_most(words.dates(found.words)[1], counts):
        return as_dates(frame, name, found, fix=fix)
    fixes, are_foreign = words.foreign(found.words)
    if are_foreign.any() and _are_most(are_foreign | are_numbers, counts):
        first = int(are_foreign.argmax())
        raise InputError(
            f"column {shown(name)} holds {shown(found.words[first])}: {fix.replace(MEND, fixes[first])}"
        )
    return found


def as_numbers(frame: Frame, name: str, found: Cells, held: str = "numbers", fix: str = MEND) -> Numbers:
    """Return the values of a column as numbers.

    Parameters
    ----------
    frame, name, found
        The column, and what is in it.
    held
        Kind of values in training: true and false count as numbers only for booleans, durations only for
        durations.
    fix
        What the message says to do.

    Raises
    ------
    InputError
        A value is not a number. The message names the first one.
    """
    if isinstance(found, Text):
        values, is_one = words.numbers(found.words)
        if held == "booleans":
            others, is_boolean = words.booleans(found.words)
            values, is_one = np.where(is_one, values, others), is_one | is_boolean
        if found.words and not words.may_mean(found.words).any() and not is_one.any():
            row = int((found.codes >= 0).argmax())
            text = f"{shown(found.words[found.codes[row]])} in {frame.where(row)}"
            raise InputError(f"column {shown(name)} holds text ({text}), not {held}: give {held}")
        _refuse(frame, name, found, ~is_one, f"no {'boolean' if held == 'booleans' else 'number'}", fix)
        return finite(frame, name, Numbers(found.spread(values, np.nan), held))
    if not found.gaps.all() and (
        isinstance(found, Dates) or (found.held == "durations") != (held == "durations")
    ):
        raise InputError(f"column {shown(name)} holds {found.held}, not {held}: give {held}")
    return found if isinstance(found, Numbers) else Numbers(np.full(len(frame), np.nan), held)


def as_dates(frame: Frame, name: str, found: Cells, held: str = "", fix: str = MEND) -> Dates:
    """Return the values of a column as dates.

    Parameters
    ----------
    frame, name, found
        The column, and what is in it.
    held
        Kind of values in training: dates with or without a time zone; empty for either.
    fix
        What the message says to do.

    Raises
    ------
    InputError
        A value is not a date. The message names the first one.
    """
    if isinstance(found, Text):
        values, is_one, has_zone = words.dates(found.words)
        _refuse(frame, name, found, ~is_one, "no date such as 2020-12-31", fix)
        found = one_kind(
            frame, name, found.spread(values, np.datetime64("NaT", "us")), found.spread(has_zone, False)
        )
    if found.gaps.all():
        return Dates(np.full(len(frame), np.datetime64("NaT", "us"), "datetime64[us]"), held)
    if isinstance(found, Numbers) or (held and found.held != held):
        raise InputError(f"column {shown(name)} holds {found.held}, but held {held} in training: give {held}")
    return found


def is_text(frame: Frame, name: str) -> bool:
    """Return whether a column holds only text that stands for no number or date."""
    found = cells(frame, name)
    return isinstance(found, Text) and bool(found.words) and not words.may_mean(found.words).any()


def _are_most(is_one: NDArray[np.bool_], counts: NDArray[np.intp]) -> bool:
    return 2 * int(counts[is_one].sum()) > int(counts.sum())


def _refuse(frame: Frame, name: str, found: Text, wrong: NDArray[np.bool_], what: str, fix: str) -> None:
    """Raise InputError if a word is wrong; the message names the first row that has one."""
    if wrong.any():
        row = int(found.spread(wrong, False).argmax())
        text = found.words[found.codes[row]]
        (advice,), _ = words.foreign([text])
        raise InputError(
            f"column {shown(name)} holds {shown(text)} in {frame.where(row)}, which is {what}: "
            f"{fix.replace(MEND, advice or MEND)}"
        )
