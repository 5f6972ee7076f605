"""Warn if continued training gets rows unlike those on which the preprocessing was fitted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.tabular import listed
from xpnet.training.row_range import RowRange

__all__ = ["unlike_the_first"]


def unlike_the_first(
    fitted: Mapping[str, NDArray[np.float64]],
    first: RowRange,
    X: NDArray[Any],
    names: Sequence[str],
    seen: RowRange | None = None,
) -> str:
    """Return a message if later rows vary in features that hardly varied in the first rows; else ``""``.

    The fitted preprocessing ignores features that were constant, so the network can never learn from them.
    Features whose range was much narrower become far too large.

    Parameters
    ----------
    fitted
        The arrays of the preprocessing, see `xpnet.data.transforms.fit`.
    first
        Ranges of the rows on which it was fitted.
    X
        Later training rows ``(rows, features)``.
    names
        Names of the features.
    seen
        Ranges of all rows before these: nothing is reported twice.
    """
    now, seen = RowRange.of(X), seen or first
    beyond = (now.low < first.low) | (now.high > first.high)
    was_beyond = (seen.low < first.low) | (seen.high > first.high)
    lost = _left_out(fitted, len(names)) & beyond & ~was_beyond
    if lost.any():
        return (
            f"the preprocessing was fitted on rows with a constant value in {_named(lost, names)} and "
            "ignores it, but these rows vary there: fit a new network on rows that vary there"
        )
    if not fitted.keys() & {"scale", "matrix"}:
        return ""
    far = first.mostly_far(X) & ~first.beyond(seen)
    if far.any():
        return (
            f"in {_named(far, names)} most rows are far from those that the preprocessing was fitted on: "
            "fit a new network on rows that cover the whole range"
        )
    return ""


def _left_out(fitted: Mapping[str, NDArray[np.float64]], features: int) -> NDArray[np.bool_]:
    """Return which features the preprocessing ignores."""
    found = np.zeros(features, np.bool_)
    if "scale" in fitted:
        found |= fitted["scale"] == 0
    if "matrix" in fitted:
        found |= ~fitted["matrix"].any(axis=1)
    return found


def _named(chosen: NDArray[np.bool_], names: Sequence[str]) -> str:
    which = [names[place] for place in np.flatnonzero(chosen).tolist()]
    return f"{'feature' if len(which) == 1 else 'features'} {listed(which)}"
