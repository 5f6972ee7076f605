"""Prediction intervals of a regression, from the spread of an ensemble and the errors on validation rows.

The members of an ensemble disagree where data are scarce, but their spread does not include the noise of the
targets. So the uncertainty of a prediction is ``u = √(spread² + s²)``, where ``spread`` is the standard
deviation of the members and ``s`` is the root mean squared error on the validation rows. The interval is
``mean ± q u``, with ``q`` chosen so that the requested fraction of the validation rows lies within ``q u`` of
their predictions.

This is split conformal prediction, normalised by ``u`` (Lei et al. 2018, https://arxiv.org/abs/1604.04173):
the interval of a new row from the same distribution as the validation rows covers its target with at least
the requested probability, whatever the noise is like. Rows that were used for early stopping or for choosing
settings are not quite a fair sample. For a single network the spread is 0, and all intervals are equally
wide.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError

__all__ = ["MOST_RATIOS", "Calibration", "calibrate", "interval", "spread_of"]

MOST_RATIOS = 999
"""Maximum number of ratios kept for each output: one for every 0.1 % of coverage."""


class Calibration(NamedTuple):
    """The errors of predictions on validation rows.

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
    """Return the standard deviation over the members of predictions ``(members, rows, outputs)``."""
    if len(members) == 1:
        return np.zeros(members.shape[1:])
    return np.asarray(members.std(axis=0, ddof=1))


def calibrate(
    y: NDArray[np.float64],
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
    weight: NDArray[np.float64] | None = None,
) -> Calibration:
    """Return the errors of predictions on validation rows.

    Parameters
    ----------
    y, mean, spread
        Targets, predictions and their `spread_of`, ``(rows, outputs)`` each.
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
    # (rows + 1) / rows, because a new row is equally likely to fall into each of the rows + 1 gaps.
    asked = np.arange(1, kept + 1) / (kept + 1) * (1 + 1 / rows) - 1e-9  # minus the rounding error of sums
    places = [np.minimum(np.searchsorted(column, asked), len(y) - 1) for column in reached.T]
    sorted_ratio = np.take_along_axis(ratio, order, axis=0)
    return Calibration(noise, np.take_along_axis(sorted_ratio, np.stack(places, axis=1), axis=0))


def interval(
    found: Calibration, mean: NDArray[np.float64], spread: NDArray[np.float64], coverage: float
) -> NDArray[np.float64]:
    """Return the ends of an interval around each prediction: ``(rows, outputs, 2)``.

    Parameters
    ----------
    found
        From `calibrate`.
    mean, spread
        As for `calibrate`, of new rows.
    coverage
        Fraction of the rows whose targets the intervals should cover, for each output separately.

    Raises
    ------
    InputError
        If the coverage is invalid, or higher than the number of validation rows supports.
    """
    given: Any = coverage
    if not isinstance(given, float | np.floating) or not 0 < given < 1:
        raise InputError(
            f"coverage must be a number between 0 and 1, not {coverage!r:.60}: give 0.9, for example"
        )
    kept = len(found.ratio)
    place = math.ceil(coverage * (kept + 1) - 1e-9)
    if place > kept:
        raise InputError(
            f"coverage {coverage} needs more validation rows: give {kept / (kept + 1):.3g} or less, or "
            "train with more of them"
        )
    half = found.ratio[place - 1] * np.hypot(spread, found.noise)
    return np.stack([mean - half, mean + half], axis=-1)
