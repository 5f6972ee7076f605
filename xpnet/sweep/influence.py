"""Ranks the settings of a sweep by their influence on its results."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.runs.config import Config
from xpnet.sweep.table import SEEDS, varied

__all__ = ["by_influence", "is_number"]

MOST_GROUPS = 8
"""Maximum number of groups into which the values of a numeric setting are divided."""


def by_influence(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings in which the networks differ, without seeds, the most influential first.

    The influence of a setting is epsilon squared: the part of the variance of the networks' ranks that it
    explains. Ranks serve better than scores: a few scores may be worse by orders of magnitude, and diverged
    networks have none.

    Parameters
    ----------
    configs, rows
        As in `xpnet.sweep.Sweep`.
    """
    names = [name for name in varied(configs) if name not in SEEDS]
    if not rows:
        return names
    scores = np.array([row["val_score"] for row in rows], np.float64)
    scores[np.isnan(scores) | [row["status"] == "diverged" for row in rows]] = -np.inf
    ranks = _ranks(scores)

    def influence(name: str) -> float:
        return _explained(_groups([getattr(configs[row["network"]], name) for row in rows]), ranks)

    return sorted(names, key=influence, reverse=True)  # stable: equal ones keep their order


def is_number(values: Sequence[Any]) -> bool:
    """Return whether all values of a setting are numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each score; equal scores share the mean of their ranks."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(means[place], np.float64)


def _groups(values: Sequence[Any]) -> NDArray[np.int64]:
    """Return the group of each value: equal values share one; of many numbers, close ones do."""
    if not is_number(values):
        order = {value: k for k, value in enumerate(dict.fromkeys(values))}
        return np.array([order[value] for value in values])
    known, place = np.unique(np.array(values, np.float64), return_inverse=True)
    groups = min(len(known), MOST_GROUPS, max(2, len(values) // 2))
    return np.asarray(place * groups // len(known), np.int64)


def _explained(groups: NDArray[np.int64], ranks: NDArray[np.float64]) -> float:
    """Return epsilon squared: the explained part of the variance, minus what chance would explain."""
    counts = np.bincount(groups)
    around = ranks - ranks.mean()
    total, several, spare = float(around @ around), len(counts), len(ranks) - len(counts)
    if total == 0 or spare <= 0:
        return 0.0
    between = float((np.bincount(groups, around) ** 2 / counts).sum())
    return (between - (several - 1) * (total - between) / spare) / total
