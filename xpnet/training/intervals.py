"""How far off a prediction of numbers may be: intervals from the spread of an ensemble and validation rows.

The members of an ensemble differ where they know little, but the noise of the targets is in none of them.
So the uncertainty of a prediction is ``u = √(spread² + s²)``, its members' standard deviation beside the root
mean squared error ``s`` on the validation rows, and the interval is ``mean ± q u``, where ``q`` is such that
as many of the validation rows lie within ``q u`` of their predictions as are asked for.

This is split conformal prediction, normalised by ``u`` (Lei et al. 2018, https://arxiv.org/abs/1604.04173):
the interval of a new row, of those that the validation rows are a fair sample of, holds its target with the
probability asked for or a little more, whatever the noise is like. Rows that training stopped by, or that
settings were chosen by, are not quite a fair sample. Of one network the spread is 0 and all intervals are
equally wide.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError

__all__ = ["MOST_RATIOS", "Calibration", "calibrate", "interval", "spread_of"]

MOST_RATIOS = 999
"""Ratios that are kept of each output, at most: every tenth of a percent of coverage has one."""


class Calibration(NamedTuple):
    """What validation rows say of the errors of predictions.

    Attributes
    ----------
    noise
        ``s``, the root mean squared error of each output ``(outputs,)``, in the units of the network.
    ratio
        ``|error| / u`` of validation rows, ascending: ``(ratios, outputs)``. The ``j``-th of ``k`` is the
        smallest ``q`` for a coverage of ``j / (k + 1)``.
    """

    noise: NDArray[np.float64]
    ratio: NDArray[np.float64]


def spread_of(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of the members' predictions ``(members, rows, outputs)``; 0 of one."""
    if len(members) == 1:
        return np.zeros(members.shape[1:])
    return np.asarray(members.std(axis=0, ddof=1))


def calibrate(
    y: NDArray[np.float64],
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
    weight: NDArray[np.float64] | None = None,
) -> Calibration:
    """Return what validation rows say of the errors of predictions.

    Parameters
    ----------
    y, mean, spread
        Targets, predictions and `spread_of` them, ``(rows, outputs)`` each.
    weight
        Weights of the rows ``(rows,)``; None for all the same. Rows of different weights count as
        ``(Σw)² / Σw²`` of one weight (Kish 1965).
    """
    w = np.ones(len(y)) if weight is None else weight / weight.max()
    share, rows = w / w.sum(), w.sum() ** 2 / (w**2).sum()
    error = np.abs(mean - y)
    noise = np.sqrt(share @ error**2)
    u = np.hypot(spread, noise)
    ratio = np.divide(error, u, out=np.zeros_like(u), where=u > 0)  # 0 where all predictions are exact
    order = np.argsort(ratio, axis=0)
    reached = np.cumsum(share[order], axis=0)
    kept = min(int(rows + 1e-9), MOST_RATIOS)
    # One row more than there are, beyond all of them: the row to come is as likely in each of the gaps.
    asked = np.arange(1, kept + 1) / (kept + 1) * (1 + 1 / rows) - 1e-9  # less what sums are off by
    places = [np.minimum(np.searchsorted(column, asked), len(y) - 1) for column in reached.T]
    sorted_ratio = np.take_along_axis(ratio, order, axis=0)
    return Calibration(noise, np.take_along_axis(sorted_ratio, np.stack(places, axis=1), axis=0))


def interval(
    found: Calibration, mean: NDArray[np.float64], spread: NDArray[np.float64], coverage: float
) -> NDArray[np.float64]:
    """Return the lower and the upper end of an interval about each prediction: ``(rows, outputs, 2)``.

    Parameters
    ----------
    found
        From `calibrate`.
    mean, spread
        As for `calibrate`, of new rows.
    coverage
        The part of the rows whose targets the intervals are to hold, each output by itself.

    Raises
    ------
    InputError
        A coverage that is none, or is more than the validation rows can tell.
    """
    given: Any = coverage
    if not isinstance(given, float | np.floating) or not 0 < given < 1:
        raise InputError(f"coverage must be a number between 0 and 1, not {coverage!r:.60}: give 0.9, say")
    kept = len(found.ratio)
    place = math.ceil(coverage * (kept + 1) - 1e-9)
    if place > kept:
        raise InputError(
            f"coverage {coverage} is more than the validation rows can tell: give {kept / (kept + 1):.3g} or "
            "less, or train with more of them"
        )
    half = found.ratio[place - 1] * np.hypot(spread, found.noise)
    return np.stack([mean - half, mean + half], axis=-1)
