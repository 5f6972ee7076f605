"""Evidence on whether the first line of a text file holds column names or is a row."""

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
"""Minimum number of columns for a first line 0, 1, 2, … to be a header, if each row counts."""

YEARS = 1900, 2100
"""First and last of the integers that are accepted as column names in any order."""


class Evidence(NamedTuple):
    """Numbers of fields in the first line that are evidence for names or for a row.

    Attributes
    ----------
    above_numbers
        Text above nothing but numbers or dates: a name.
    new
        Text that is not among the repeated values of its column, or its categories: probably a name.
    again
        Text that is a value of its column: a row.
    """

    above_numbers: int
    new: int
    again: int


def weigh(first: Sequence[str], below: Sequence[Sequence[str]], like: Columns | None) -> Evidence:
    """Return the evidence in the fields of the first line.

    Parameters
    ----------
    first, below
        Fields of the first line, and of other lines with the same number of fields.
    like
        The columns of a model, whose contents are known.
    """
    of_model = _by_place(like, len(first))
    counts = {"number": 0, "new": 0, "again": 0, "": 0}
    for place, field in enumerate(first):
        filled = [row[place] for row in below if row[place] not in words.GAPS]
        counts[_says(field, filled, of_model[place] if of_model else None)] += 1
    return Evidence(counts["number"], counts["new"], counts["again"])


def _says(field: str, filled: Sequence[str], column: Column | None) -> str:
    """Return the evidence of one field: above numbers, a new value, a value again, or nothing."""
    if field in words.GAPS or is_value(field):
        # Dates may be names, too, if the column does not hold dates.
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
    """Return the columns of a model by position in a table without names; None if that is unknown."""
    if like is None or count not in (len(like.names), len(like.sources)):
        return None
    names = like.names if count == len(like.names) else like.sources
    by_name = {column.origin: column for column in reversed(like.columns)}
    return [by_name.get(name) for name in names]


def are_names_or_either(first: Sequence[str], below: Sequence[Sequence[str]], is_sure: bool) -> bool:
    """Return whether numbers, or gaps, are as likely to be column names as to be a row.

    This is so if they are distinct integers that are consecutive, or years, or above columns without
    integers. If a single row hardly matters, they must also not occur in their columns.
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
            fewest = SURELY_NUMBERED if is_sure else 4  # with more, they are taken as names
            return bool(below) and first == ["0"] if count == 1 else count < fewest
        return count > 2 and bool(below) and not any(map(is_range, below))  # two may be consecutive by chance
    if _are_years(first):
        return count > 1 and bool(below) and _are_apart(first, below)
    are_parts = (any(not _is_plain(row[place]) for row in below) for place in range(count))
    return count > 1 and bool(below) and all(are_parts) and (is_sure or _are_far(first, below))


def without_index(
    first: Sequence[str], below: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return a first line and others without the unnamed index that pandas writes as the first column."""
    return (first[1:], [row[1:] for row in below]) if first[0] == "" and len(first) > 2 else (first, below)


def look_like_names(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether numbers in the first line, next to text, look like names: consecutive, or years.

    Also if none is anywhere near the values of its column.
    """
    found = [field for field in first if is_value(field)]
    if len(set(found)) < len(found) or not all(map(_is_plain, found)):
        return False
    is_known = _are_years(found) and _are_apart(first, below)
    return is_known or counts_up(first) or (bool(below) and _are_far(first, below))


def are_years(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether the first line holds several years, none of which is a value of its column."""
    found = [field for field in first if is_value(field)]
    is_one = len(found) > 1 and all(map(_is_plain, found))
    return is_one and _are_years(found) and _are_apart(first, below)


def _are_years(fields: Sequence[str]) -> bool:
    return all(YEARS[0] <= int(field) <= YEARS[1] for field in fields)


def _are_apart(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether no number of the first line is a value of its column."""
    return all(
        float(field) not in _numbers(below, place) for place, field in enumerate(first) if is_value(field)
    )


def _are_far(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether each number of the first line is beyond all values of its column."""
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
    """Return whether fields are consecutive integers."""
    start = int(fields[0]) if _is_plain(fields[0]) else 0
    return list(fields) == list(map(str, range(start, start + len(fields))))


def counts_up(first: Sequence[str]) -> bool:
    """Return whether the numbers among names are consecutive integers."""
    found = [field for field in first if is_value(field)]
    return len(found) > 1 and is_range(found)


def is_value(field: str) -> bool:
    """Return whether a field is a number or a date, which are rarely names of columns."""
    return bool(words.numbers([field])[1][0] or words.dates([field])[1][0])
