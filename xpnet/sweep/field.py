"""The heat map of a sweep: two of its settings, and the best score at each pair of their values."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.runs.config import Config
from xpnet.sweep.influence import by_influence
from xpnet.sweep.table import varied

__all__ = ["Field", "field_of", "in_order"]


class Field(NamedTuple):
    """What a heat map shows.

    Attributes
    ----------
    names
        The two settings: down and across.
    values
        Their values.
    scores
        The best validation score at each pair; NaN where every network diverged or none was trained.
    trained
        Where a network was trained, or diverged.
    over
        The other settings in which networks differ; a score is the best over their values.
    """

    names: tuple[str, str]
    values: tuple[list[Any], list[Any]]
    scores: NDArray[np.float64]
    trained: NDArray[np.bool_]
    over: list[str]

    @property
    def note(self) -> str:
        """The settings over which each cell is the best; empty if each cell is one network."""
        if not self.over:
            return ""
        *others, last = (name.replace("_", " ") for name in self.over)
        return f"each cell is the best over {', '.join(others)}{' and ' if others else ''}{last}"


def field_of(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]]) -> Field | None:
    """Return the two most influential settings that form a grid, with the best score in each cell.

    In a grid, every pair of values was tried. Seeds count only if the networks differ in fewer than two other
    settings. Return None if no two settings form a grid.

    Parameters
    ----------
    configs, rows
        As in `xpnet.sweep.Sweep`.
    """
    names = varied(configs)
    candidates = by_influence(configs, rows)
    if len(candidates) < 2:
        candidates += [name for name in names if name not in candidates]
    for pair in combinations(candidates, 2):
        down, across = sorted(pair, key=names.index)
        values = in_order(configs, down), in_order(configs, across)
        tried = {(getattr(config, down), getattr(config, across)) for config in configs}
        if len(tried) == len(values[0]) * len(values[1]):
            over = [name for name in names if name not in pair]
            return Field((down, across), values, *_best(configs, rows, (down, across), values), over)
    return None


def in_order(configs: Sequence[Config], name: str) -> list[Any]:
    """Return the values of a setting in increasing order; None comes before all others."""
    values = {getattr(config, name) for config in configs}
    known = values - {None}
    try:
        known_in_order = sorted(known)
    except TypeError:  # such as a number and a word
        known_in_order = sorted(known, key=repr)
    return [None] * (None in values) + known_in_order


def _best(
    configs: Sequence[Config],
    rows: Sequence[Mapping[str, Any]],
    names: tuple[str, str],
    values: tuple[list[Any], list[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores = np.full((len(values[0]), len(values[1])), np.nan)
    trained = np.zeros(scores.shape, np.bool_)
    for row in rows:
        config = configs[row["network"]]
        place = values[0].index(getattr(config, names[0])), values[1].index(getattr(config, names[1]))
        trained[place] = True
        if row["status"] != "diverged" and math.isfinite(row["val_score"]):
            scores[place] = np.fmax(scores[place], row["val_score"])
    return scores, trained
