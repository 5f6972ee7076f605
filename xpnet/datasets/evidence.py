"""What says of the first line of a text file that it has names, or that it is a row."""

from collections.abc import Sequence
from typing import NamedTuple

from xpnet.columns import words
from xpnet.columns.columns import Column, Columns

__all__ = [
    "Evidence",
    "are_names_or_either",
    "are_years",
    "counts_up",
    "is_range",
    "is_value",
    "look_like_names",
    "weigh",
    "without_index",
]

SURELY_NUMBERED = 10
"""Columns from which a first line 0, 1, 2, … is a heading where each row counts."""

YEARS = 1900, 2100
"""Whole numbers that columns are named after in any order: the first and the last."""


class Evidence(NamedTuple):
    """How many fields of the first line say what it is.

    Attributes
    ----------
    above_numbers
        Text in a column of nothing but numbers or dates: a name.
    new
        Text that is none of the values that repeat in its column, or of its categories: most likely a name.
    again
        Text that is a value of its column: a row.
    """

    above_numbers: int
    new: int
    again: int


def weigh(first: Sequence[str], below: Sequence[Sequence[str]], like: Columns | None) -> Evidence:
    """Return what fields of the first line say.

    Parameters
    ----------
    first, below
        Fields of the first line, and of others that have as many.
    like
        The columns of a model: what they hold is known.
    """
    of_model = _by_place(like, len(first))
    counts = {"number": 0, "new": 0, "again": 0, "": 0}
    for place, field in enumerate(first):
        filled = [row[place] for row in below if row[place] not in words.GAPS]
        counts[_says(field, filled, of_model[place] if of_model else None)] += 1
    return Evidence(counts["number"], counts["new"], counts["again"])


def _says(field: str, filled: Sequence[str], column: Column | None) -> str:
    """Return what a field says: that it is above numbers, a new value, one again, or nothing."""
    if field in words.GAPS or is_value(field):
        # Days may be names, too, where the column holds no day.
        are_numbers = bool(filled) and bool(words.numbers(filled)[1].all())
        return "number" if are_numbers and words.dates([field])[1][0] else ""
    if field in filled:
        return "again"
    if column is not None and column.kind == "category":
        if field in column.categories:
            return "again"
        return "new" if filled and set(filled) <= set(column.categories) else ""
    if column is not None:
        is_boolean = column.held == "booleans" and words.booleans([field])[1][0]
        return "again" if is_boolean else "number"
    if filled and all(map(is_value, filled)):
        return "number"
    return "new" if filled and 2 * len(set(filled)) <= len(filled) else ""


def _by_place(like: Columns | None, count: int) -> list[Column | None] | None:
    """Return the columns of a model by their place in a table without names; None where that is open."""
    if like is None or count not in (len(like.names), len(like.sources)):
        return None
    names = like.names if count == len(like.names) else like.sources
    by_name = {column.origin: column for column in reversed(like.columns)}
    return [by_name.get(name) for name in names]


def are_names_or_either(first: Sequence[str], below: Sequence[Sequence[str]], is_sure: bool) -> bool:
    """Whether numbers, or gaps, are as likely the names of columns as they are a row.

    They are different and whole, and follow each other, or are years, or are alone in being whole. Where a
    row more or less hardly counts, no value of their columns is among them, too.
    """
    if all(field in words.GAPS for field in first):
        return True
    first, below = without_index(first, below)
    count = len(first)
    if len(set(first)) < count or not all(map(_is_plain, first)):
        return False
    are_surely = is_range(first) and _are_years(first) and count > 2
    if not (is_sure or are_surely or _are_apart(first, below)):
        return False
    if is_range(first):
        if int(first[0]) <= 1:
            fewest = SURELY_NUMBERED if is_sure else 4  # from there on they are taken for names
            return bool(below) and first == ["0"] if count == 1 else count < fewest
        return count > 2 and bool(below) and not any(map(is_range, below))  # as two numbers may well do
    if _are_years(first):
        return count > 1 and bool(below) and _are_apart(first, below)
    are_parts = (any(not _is_plain(row[place]) for row in below) for place in range(count))
    return count > 1 and bool(below) and all(are_parts) and (is_sure or _are_far(first, below))


def without_index(
    first: Sequence[str], below: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return a first line and others without the index that pandas writes before them, which has no name."""
    return (first[1:], [row[1:] for row in below]) if first[0] == "" and len(first) > 2 else (first, below)


def look_like_names(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether the numbers of the first line, among text, are as columns are called: they count, or are years.

    Or none is anywhere near the values of its column.
    """
    found = [field for field in first if is_value(field)]
    if len(set(found)) < len(found) or not all(map(_is_plain, found)):
        return False
    is_known = _are_years(found) and _are_apart(first, below)
    return is_known or counts_up(first) or (bool(below) and _are_far(first, below))


def are_years(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether the numbers of the first line are years, several, of which none is a value of its column."""
    found = [field for field in first if is_value(field)]
    is_one = len(found) > 1 and all(map(_is_plain, found))
    return is_one and _are_years(found) and _are_apart(first, below)


def _are_years(fields: Sequence[str]) -> bool:
    return all(YEARS[0] <= int(field) <= YEARS[1] for field in fields)


def _are_apart(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether no number of the first line is a value of its column."""
    return all(
        float(field) not in _numbers(below, place) for place, field in enumerate(first) if is_value(field)
    )


def _are_far(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether each number of the first line is beyond all values of its column."""
    for place, field in enumerate(first):
        values = _numbers(below, place)
        if is_value(field) and values and min(values) <= float(field) <= max(values):
            return False
    return True


def _numbers(below: Sequence[Sequence[str]], place: int) -> list[float]:
    values, are_numbers = words.numbers([row[place] for row in below])
    return [float(value) for value in values[are_numbers]]


def _is_plain(field: str) -> bool:
    return field.isascii() and field.isdecimal() and len(field) < 20


def is_range(fields: Sequence[str]) -> bool:
    """Whether fields are whole numbers that count up one by one."""
    start = int(fields[0]) if _is_plain(fields[0]) else 0
    return list(fields) == list(map(str, range(start, start + len(fields))))


def counts_up(first: Sequence[str]) -> bool:
    """Whether the numbers among names are whole and follow each other."""
    found = [field for field in first if is_value(field)]
    return len(found) > 1 and is_range(found)


def is_value(field: str) -> bool:
    """Whether a field is a number or a date, which few columns are named after."""
    return bool(words.numbers([field])[1][0] or words.dates([field])[1][0])
