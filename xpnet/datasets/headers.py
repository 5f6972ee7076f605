"""Whether the first line of a text file has names of columns or is a row: what it looks like."""

from collections.abc import Collection, Sequence
from pathlib import Path

from xpnet.columns import words
from xpnet.columns.tabular import shorten
from xpnet.errors import InputError

__all__ = ["guess_header"]

FEWEST_NUMBERED = 4
"""Columns from which a first line 0, 1, 2, … is a heading."""

SURELY_NUMBERED = 10
"""Columns from which it is one where each row counts."""


def guess_header(
    path: Path, rows: list[list[str]], known: Sequence[str], said: Collection[str], is_sure: bool
) -> tuple[bool, tuple[str, ...]]:
    """Guess whether the first line has names; say so where it is more than a habit.

    Parameters
    ----------
    path
        Of the file, for what is said.
    rows
        Fields of the first lines.
    known, said, is_sure
        As for `xpnet.datasets.delimited.examine`.

    Returns
    -------
    bool, tuple of str
        Whether it has, and what is to be said.

    Raises
    ------
    InputError
        It may be either, and each row counts.
    """
    first = [field.strip() for field in rows[0]]
    if known and set(first) & set(known) - set(map(str, range(len(known)))):
        return True, ()
    as_names = f"{path}: the first line was taken for names, some of which are numbers"
    count = len(first)
    # All names that there are, or some and nothing else, whatever order they are in: 3, 1, 0, 2.
    if known and len(set(first)) == count and (set(first) >= set(known) or set(first) < set(known)):
        return True, (as_names,)
    named = set(first) & set(said)
    if named - set(map(str, range(count))):
        return True, ()
    is_value = [_is_value(field) for field in first]
    if is_sure and _may_be_either(first, [row for row in rows[1:] if len(row) == count]):
        raise InputError(
            f"{path}: the first line may be names of columns or data, {shorten(', '.join(first), 60)}: "
            "say --header or --no-header"
        )
    if count >= FEWEST_NUMBERED and first in ([str(k + j) for k in range(count)] for j in (0, 1)):
        return True, (f"{path}: the first line numbers the columns, so it is no data; --no-header if it is",)
    if not any(is_value):
        return True, ()
    # The number of a column may well be a value in the first row. Not so where that counts up: 1, 2, plan.
    if any(first[int(name)] != name for name in named) and _counts_up(first):
        return True, (as_names,)
    # A name above numbers: of columns whose other lines hold nothing else.
    for place, one in enumerate(is_value):
        below = [row[place].strip() for row in rows[1:] if len(row) == count]
        filled = [field for field in below if field not in words.GAPS]
        if not one and first[place] not in words.GAPS and filled and all(map(_is_value, filled)):
            return True, (as_names,)
    return False, (f"{path}: the first line was taken for data, not for names; --header if it has names",)


def _may_be_either(first: list[str], below: list[list[str]]) -> bool:
    """Whether numbers are as likely the names of columns as they are a row.

    They are different and whole, and either follow each other or are alone in being whole. Nothing at all may
    be a row of gaps.
    """
    count = len(first)
    if all(field in words.GAPS for field in first):
        return True
    if len(set(first)) < count or not all(map(_is_plain, first)):
        return False
    if _is_range(first):
        if int(first[0]) <= 1:
            return bool(below) and first == ["0"] if count == 1 else count < SURELY_NUMBERED
        return count > 2 and bool(below) and not any(map(_is_range, below))  # as two numbers may well do
    are_parts = (any(not _is_plain(row[place].strip()) for row in below) for place in range(count))
    return count > 1 and bool(below) and all(are_parts)


def _is_plain(field: str) -> bool:
    return field.isascii() and field.isdecimal() and len(field) < 20


def _is_range(fields: list[str]) -> bool:
    """Whether fields are whole numbers that count up one by one."""
    fields = [field.strip() for field in fields]
    start = int(fields[0]) if _is_plain(fields[0]) else 0
    return fields == list(map(str, range(start, start + len(fields))))


def _counts_up(first: list[str]) -> bool:
    """Whether the numbers among names are whole and follow each other."""
    found = [field for field in first if _is_value(field)]
    start = int(found[0]) if found[0].isdecimal() else 0
    return len(found) > 1 and found == list(map(str, range(start, start + len(found))))


def _is_value(field: str) -> bool:
    """Whether a field is a number or a date, which few columns are named after."""
    return bool(words.numbers([field])[1][0] or words.dates([field])[1][0])
