"""Guess whether the first line of a text file holds column names or is a row."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NoReturn

from xpnet.columns import words
from xpnet.columns.columns import Columns
from xpnet.columns.tabular import did_you_mean
from xpnet.datasets.evidence import (
    Evidence,
    are_names_or_either,
    are_years,
    counts_up,
    is_range,
    is_value,
    look_like_names,
    weigh,
    without_index,
)
from xpnet.errors import InputError
from xpnet.text import printable, shorten

__all__ = ["guess_header"]

FEWEST_NUMBERED = 4
"""Minimum number of columns for a first line 0, 1, 2, … to be a header."""


def guess_header(
    path: Path, rows: list[list[str]], like: Columns | None, said: Collection[str]
) -> tuple[bool, tuple[str, ...]]:
    """Guess whether the first line holds names, with a note if this is not obvious.

    Parameters
    ----------
    path
        The file, for messages.
    rows
        Fields of the first lines.
    like, said
        As for `xpnet.datasets.delimited.examine`.

    Returns
    -------
    bool, tuple of str
        Whether it holds names, and notes.

    Raises
    ------
    InputError
        It may be either.
    """
    first = [field.strip() for field in rows[0]]
    known = () if like is None or not like.is_named else like.names
    if known and set(first) & set(known) - set(map(str, range(len(known)))):
        return True, ()
    as_names = (
        f"{path}: the first line was read as column names, some of which are numbers; use --no-header "
        f"if it is data"
    )
    count = len(first)
    if known and [name for name in first if name in known] == list(known):  # as in training
        return True, ()
    # All known names, or only known names, in any order: 3, 1, 0, 2.
    if known and len(set(first)) == count and (set(first) >= set(known) or set(first) < set(known)):
        return True, (as_names,)
    below = [[field.strip() for field in row] for row in rows[1:] if len(row) == count]
    found = weigh(first, below, like)
    named = set(first) & set(said)
    if named - set(map(str, range(count))):
        if found.again > found.new + found.above_numbers:  # a row, such as: red, s, and --target s
            _ask(path, first)
        return True, ()
    if are_names_or_either(first, below, is_sure=like is not None):
        _ask(path, first)
    bare, _ = without_index(first, below)
    if len(bare) >= FEWEST_NUMBERED and bare[0] in ("0", "1") and is_range(bare):
        return True, (
            (
                f"{path}: the first line numbers the columns and was read as their names; use "
                f"--no-header if it is data"
            ),
        )
    has_values = any(map(is_value, first))
    # The number of a column may well be a value in the first row, unless that is consecutive: 1, 2, plan.
    if any(first[int(name)] != name for name in named) and counts_up(first):
        return True, (as_names,)
    names = f"{path}: the first line was read as column names; use --no-header if it is data"
    data = f"{path}: the first line was read as data; use --header if it holds column names"
    if found.above_numbers:
        if found.again and like is not None:
            _ask(path, first)
        return True, (as_names,) if has_values else (names,) if found.again else ()
    if has_values:
        has_text = any(not is_value(field) and field not in words.GAPS for field in first)
        # The model's names would settle it, but none occurs here.
        may_ask = found.new > 0 or are_years(first, below) or (like is not None and not known)
        if has_text and may_ask and not found.again and look_like_names(first, below):
            _ask(path, first)
        return False, (data,)
    is_header = _of_text(first, found, known) if like is not None else _of_training(found)
    if is_header is None:
        _ask(path, first)
    is_plain = like is None and found.new and not found.again
    return is_header, () if is_plain or (is_header and known) else (names if is_header else data,)


def _of_text(first: Sequence[str], found: Evidence, known: Sequence[str]) -> bool | None:
    """Return whether a line with text holds names, if each row counts; None if it may be either."""
    if found.again:
        return None if found.new else False
    if known:  # none of which occurs: a misspelt name is reported as missing
        others = [field for field in first if field not in words.GAPS]
        return True if any(did_you_mean(field, known) for field in others) else None
    return True if found.new and not any(field in words.GAPS for field in first) else None


def _of_training(found: Evidence) -> bool | None:
    """Return whether a line with text holds names, for training rows, by the majority of its fields."""
    if found.new == found.again:
        return None if found.new else True  # nearly all tables have names
    return found.new > found.again


def _ask(path: Path, first: Sequence[str]) -> NoReturn:
    line = shorten(printable(", ".join(first)), 60)
    raise InputError(
        f"{path}: the first line may hold column names or data, {line}: give --header or --no-header "
        f"(in Python header=True or False)"
    )
