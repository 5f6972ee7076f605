"""Detects unknown categories that are too many to be a coincidence."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.cells import Text
from xpnet.columns.column import Column
from xpnet.errors import UnseenWarning
from xpnet.values import shown
from xpnet.warn import warn

__all__ = ["Unseen", "expected", "tell"]

CHANCE = 1e-3
"""How likely it may be, at most, that so many values are new because such values are rare."""

_MOST_LOOKED_AT = 1000
"""Maximum number of new words of a column that are compared with the known ones."""


class Unseen(NamedTuple):
    """New values of a column.

    Attributes
    ----------
    name
        Name of the column.
    rows, of
        Rows with a new value, and rows with a value.
    new, known
        A new value and a known one: a pair that differs only in spelling, if there is one.
    """

    name: str
    rows: int
    of: int
    new: str
    known: str

    @classmethod
    def of_column(cls, column: Column, found: Text, codes: NDArray[np.float64]) -> "Unseen | None":
        """Return the new values of a column; None if there are no more than expected.

        Parameters
        ----------
        column, found
            The category, and its values in rows.
        codes
            Their codes.
        """
        is_new = codes < 0
        rows, of = int(is_new.sum()), int((~np.isnan(codes)).sum())
        if 2 * rows <= of * (1 + column.rare):
            return None
        times = np.bincount(found.codes[is_new], minlength=len(found.words))
        most = np.argsort(-times, kind="stable")[:_MOST_LOOKED_AT]
        news = [found.words[place] for place in most if times[place]]
        plain = {_plain(category): category for category in reversed(column.categories)}
        alike = next((word for word in news if _plain(word) in plain), None)
        if alike is not None:  # be it in a single row
            return cls(column.name, rows, of, alike, plain[_plain(alike)])
        is_chance = column.rare**rows > CHANCE
        return None if is_chance else cls(column.name, rows, of, news[0], column.categories[0])


def expected(counts: NDArray[np.intp], kept: list[int]) -> float:
    """Return the expected fraction of unknown values in new rows, from the word counts in training.

    It is the estimate of Good and Turing: words that occur ``r`` times have, all together, the probability
    ``(r + 1) N[r + 1] / N``, those that were never seen as well.

    Parameters
    ----------
    counts
        Of each word.
    kept
        Places of those that are categories.
    """
    others = counts.copy()
    others[kept] = 0
    share = 1.0 + float((counts == 1).sum() + others[others > 1].sum())  # 1: as another may have come
    if (others == 1).any():
        share += 2.0 * float((counts == 2).sum())
    return min(1.0, share / float(counts.sum()))


def tell(found: list[Unseen]) -> None:
    """Warn about columns with new values, in one line."""
    if not found:
        return
    first, others = found[0], len(found) - 1
    are = "has 1 more column" if others == 1 else f"have {others} more columns"
    more = f", and so {are}" if others else ""
    share = f"{first.rows:,} of {first.of:,} rows"
    warn(
        f"column {shown(first.name)} has values in {share} that no training row had, such as "
        f"{shown(first.new)} (training had {shown(first.known)}){more}: write them as in training; "
        "these rows are predicted from their other columns",
        UnseenWarning,
    )


def _plain(text: str) -> str:
    """Return what is left of a word without capitals, and without what is no letter and no digit."""
    return "".join(sign for sign in text.casefold() if sign.isalnum()) or text
