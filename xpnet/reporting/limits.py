"""Limits of charts and pictures: the lowest score on an axis, and the last step of a schedule."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.reporting.axes import finite

__all__ = ["LEAST_R2", "best_of", "least_score", "until"]

LEAST_R2 = -1.0
"""Usual lower limit of an axis of R². Below 0, R² only says that predicting the mean would be better."""


def best_of(line: ArrayLike) -> float:
    """Return the highest value of a line; NaN if it has none that can be drawn."""
    known = finite(line)
    known = known[np.isfinite(known)]
    return float(known.max()) if known.size else float("nan")


def least_score(lines: Iterable[ArrayLike], score: str) -> float:
    """Return the lowest score that an axis has to show.

    It is 0 for an accuracy. An axis of R² starts at `LEAST_R2`. If the best value ``r`` of a line is
    negative, it starts lower, at ``2 r - 1``, where the squared error is twice that of ``r``: so the line
    shows.

    Parameters
    ----------
    lines
        Scores of each line whose best value must be visible.
    score
        Name of the score: ``"accuracy"``, or ``"r2"``.
    """
    if score != "r2":
        return 0.0
    bests = [best for best in map(best_of, lines) if np.isfinite(best)]
    return min([LEAST_R2, *(2.0 * best - 1.0 for best in bests)])


def until(schedule: tuple[ArrayLike, ArrayLike], last: float) -> tuple[NDArray[np.float64], ...]:
    """Return a planned schedule as far as it was followed.

    Parameters
    ----------
    schedule
        Increasing steps, and the learning rate of each.
    last
        The last step that was taken.
    """
    steps, rates = (np.asarray(part, np.float64) for part in schedule)
    last = min(last, float(steps[-1]))
    taken = steps < last
    end = np.interp(last, steps, rates)
    return np.append(steps[taken], last), np.append(rates[taken], end)
