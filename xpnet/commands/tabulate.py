"""Tables that fit a terminal: columns are left out rather than wrapped."""

import unicodedata
from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple

from xpnet.text import width_of

__all__ = ["Column", "as_lines", "fitting", "shortened"]

GAP = 2
"""Spaces between two columns."""


class Column(NamedTuple):
    """A column of a table.

    Attributes
    ----------
    name
        Its heading.
    cells
        One for each row.
    is_number
        Whether its cells are aligned to the right.
    is_one_line
        Whether the heading takes one line, however many words it has.
    """

    name: str
    cells: Sequence[str]
    is_number: bool = False
    is_one_line: bool = False

    def heading(self) -> tuple[str, str]:
        """Return the two lines of the heading, the first of which may be empty."""
        words = self.name.split("_")
        if len(words) == 1 or self.is_one_line:
            return "", self.name
        # Split where the longer line is shortest; the underscore stays, as a user types it.
        ways = [("_".join(words[:k]) + "_", "_".join(words[k:])) for k in range(1, len(words))]
        return min(ways, key=lambda way: max(map(len, way)))

    def width(self) -> int:
        """Return the width of its widest line in a terminal."""
        return max(map(width_of, (*self.heading(), *self.cells)))


def fitting(columns: Sequence[Column], width: int | None) -> list[Column]:
    """Return the columns that fit a width: each in turn, if there is still room for it.

    Parameters
    ----------
    columns
        Columns, the most important first. The first one always stays.
    width
        Width of a line; None for no limit.
    """
    chosen: list[Column] = []
    left = width
    for column in columns:
        needed = column.width() + (GAP if chosen else 0)
        if left is None or needed <= left or not chosen:
            chosen.append(column)
            left = None if left is None else left - needed
    return chosen


def as_lines(columns: Sequence[Column]) -> list[str]:
    """Return the lines of a table, the heading first."""
    headings = [column.heading() for column in columns]
    rows = [list(row) for row in zip(*(column.cells for column in columns), strict=True)]
    above = [] if not any(first for first, _ in headings) else [[first for first, _ in headings]]
    lines, widths = [], [column.width() for column in columns]
    for row in [*above, [second for _, second in headings], *rows]:
        cells = [_padded(*cell) for cell in zip(row, columns, widths, strict=True)]
        lines.append((" " * GAP).join(cells).rstrip())
    return lines


def _padded(cell: str, column: Column, width: int) -> str:
    space = " " * (width - width_of(cell))
    return space + cell if column.is_number else cell + space


def shortened(text: str, width: int) -> str:
    """Return a text no wider than ``width`` in a terminal; dots replace the middle of a longer one."""
    if width_of(text) <= width:
        return text
    signs = unicodedata.normalize("NFC", text)
    head = (width - 3) // 2
    start = signs[: _count(signs, head)]
    end = signs[len(signs) - _count(signs[::-1], width - 3 - head) :]
    while end and width_of(end[0]) == 0:  # a mark without its letter, which had no room
        end = end[1:]
    return f"{start}...{end}"


def _count(signs: str, width: int) -> int:
    """Return how many characters from the start fit a width."""
    return sum(1 for _ in takewhile(lambda taken: taken <= width, accumulate(map(width_of, signs))))
