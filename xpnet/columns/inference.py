"""Infers the kind of each column of training rows, and which columns to leave out."""

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xpnet.columns import words
from xpnet.columns.cells import Cells, Numbers, Text, cells, text
from xpnet.columns.column import Column, Part, part_of
from xpnet.columns.instants import Dates
from xpnet.columns.meanings import as_numbers, interpret
from xpnet.columns.row_numbers import counts_rows, is_called_so
from xpnet.columns.tabular import Frame, flag, listed
from xpnet.columns.unseen import expected
from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["infer_columns"]

MOST_CATEGORIES = 1000
"""Maximum number of categories of a column; rarer values count as unknown."""

FEW = 20
"""Up to this many distinct values, each is a category, however rare, and the column is not one of names."""

_WORDS, _SIGNS = 6, 40  # of free text, on average


def infer_columns(
    frame: Frame,
    categorical: Collection[str],
    numeric: Collection[str],
    ignore: Collection[str],
    note: Callable[[str], None],
    times: Collection[str] = (),
) -> tuple[Column, ...]:
    """Return the inputs inferred from training rows: see `xpnet.columns.columns.Columns.infer`."""
    for option, names in {"categorical": categorical, "numeric": numeric, "ignore": ignore}.items():
        frame.require(names, f"--{option}")
    both = set(categorical) & set(numeric)
    if both:
        raise InputError(f"column {shown(min(both))} is given as both categorical and numeric: give one")
    notes = _Notes()
    columns: list[Column] = []
    for name in frame.names:
        if name not in ignore:
            forced: Literal["", "category", "number"] = "category" if name in categorical else ""
            columns += _infer(frame, name, "number" if name in numeric else forced, notes, name in times)
    notes.tell(note)
    if not columns:
        raise InputError("no column is left to learn from: give one whose values differ and can repeat")
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"column {shown(twice)} has the name of a part of a date: rename it, or leave it out with "
            f"{flag('ignore', twice)}"
        )
    return tuple(columns)


class _Notes:
    """What was done with columns: one line for all columns that were treated alike."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, name: str) -> None:
        self._names[reason].append(name)

    def tell(self, note: Callable[[str], None]) -> None:
        for reason, names in self._names.items():
            note(f"{reason}: {listed(names)}")


def _infer(
    frame: Frame, name: str, forced: Literal["", "category", "number"], notes: _Notes, is_time: bool
) -> tuple[Column, ...]:
    """Return the inputs that a column becomes; none if it is left out."""
    found: Cells = text(frame, name) if forced == "category" else cells(frame, name)
    if found.gaps.all():
        notes.add("left out as empty", name)
        return ()
    if forced == "number":
        found = as_numbers(frame, name, found, "durations" if found.held == "durations" else "numbers")
    elif not forced:
        found = interpret(frame, name, found)
    if not found.gaps.any() and _is_constant(found):
        notes.add("left out as constant", name)
        return ()
    if isinstance(found, Dates):
        return _of_dates(name, found)
    if isinstance(found, Numbers):
        if not (forced or is_time) and counts_rows(frame, found):
            if is_called_so(name):
                notes.add("left out as row numbers (keep them with --numeric)", name)
                return ()
            notes.add(
                "may be row numbers; leave it out with --ignore if it tells nothing about new rows", name
            )
        return (Column(name, "number", held=found.held),)
    return _of_text(name, found, forced == "category", notes)


def _is_constant(found: Cells) -> bool:
    if isinstance(found, Text):
        return len(found.words) == 1
    return bool((found.values == found.values[0]).all())


def _of_dates(name: str, found: Dates) -> tuple[Column, ...]:
    columns = [Column(name, "number", part="days", held=found.held)]
    parts: tuple[Part, ...] = ("month", "weekday", "hour")
    for part in parts:
        values = part_of(found, part)[~found.gaps]
        if values.min() < values.max():
            columns.append(Column(f"{name} ({part})", "number", source=name, part=part, held=found.held))
    return tuple(columns)


def _of_text(name: str, found: Text, is_forced: bool, notes: _Notes) -> tuple[Column, ...]:
    counts = found.counts
    num_words, num_values = len(found.words), int(counts.sum())
    if num_words > max(FEW, 0.9 * num_values) and not is_forced:
        _refuse_free_text(name, found.words)
        notes.add("left out as text that differs in nearly every row", name)
        return ()
    kept = _most_frequent(counts)
    if not len(kept):
        raise InputError(
            f"column {shown(name)} has no value that occurs twice, so it has no "
            f"categories: leave it out with {flag('ignore', name)}"
        )
    if len(kept) < num_words:
        notes.add(
            f"values seen once, or rarer than {MOST_CATEGORIES:,} others, count as unknown",
            f"{name} ({num_words - len(kept):,} of {num_words:,})",
        )
    categories = [found.words[place] for place in kept]
    categories.sort(key=_order)
    return (Column(name, "category", tuple(categories), rare=expected(counts, kept)),)


def _most_frequent(counts: NDArray[np.intp]) -> list[int]:
    """Return the indices of the words that become categories."""
    if len(counts) <= FEW:
        return list(range(len(counts)))
    order = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    return [int(place) for place in order if counts[place] > 1]


def _refuse_free_text(name: str, texts: list[str]) -> None:
    num_words = sum(len(value.split()) for value in texts)
    num_signs = sum(map(len, texts))
    if num_words > _WORDS * len(texts) or (num_signs > _SIGNS * len(texts) and num_words > 3 * len(texts)):
        raise InputError(
            f"column {shown(name)} holds free text, which xpnet does not read: leave it out with "
            f"{flag('ignore', name)}"
        )


def _order(category: str) -> tuple[bool, float, str]:
    """Sort numbers by size and before text."""
    values, is_one = words.numbers([category])
    return not is_one[0], float(values[0]) if is_one[0] else 0.0, category
