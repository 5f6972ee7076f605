"""Detects row numbers: in a sorted table they reveal the target, but they tell nothing about new rows."""

import re

import numpy as np

from xpnet.columns.cells import Numbers
from xpnet.columns.tabular import Frame

__all__ = ["counts_rows", "is_called_so"]

ROWS = 20
"""Minimum number of rows for which consecutive whole numbers are not a coincidence."""

_CALLED = re.compile(
    r"|(unnamed|level|index_level)[_: ]*[\d_]*|.*_id|ids?|index|idx|no|nr|rows?|row_?ids?"
    r"|row_?(index|idx|number|num|no|nr)|record_?(id|no|nr|number)",
)
_HUMP = re.compile(r".*[a-z\d](Id|ID)")


def counts_rows(frame: Frame, found: Numbers) -> bool:
    """Return whether numbers are whole and go up or down by one from row to row.

    Rows that were left out after reading are counted, too. Columns of arrays do not count: without names, a
    user could not choose to keep them.
    """
    values, rows = found.values, frame.rows
    is_long = len(values) >= ROWS
    if not (frame.is_named and is_long) or found.held != "numbers" or values[0] % 1:
        return False
    places = np.arange(len(values)) if rows is None else rows
    since = values - values[0]
    steps = places - places[0]
    return bool((since == steps).all() or (since == -steps).all())


def is_called_so(name: str) -> bool:
    """Return whether a column is named like row numbers: id, index, PassengerId, or without a name."""
    plain = re.sub(r"[\s.\-#]+", "_", name).strip("_").lower()
    return bool(_CALLED.fullmatch(plain) or _HUMP.fullmatch(name.strip()))
