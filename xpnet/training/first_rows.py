"""Warns if continued training meets rows unlike those that the preprocessing was fitted on."""

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
    """Return a line if later rows vary where the first did not, or hardly; nothing if they don't.

    The fitted preprocessing ignores features that were constant, so the network can never learn them.
    Features whose range was far narrower become far too large.

    Parameters
    ----------
    fitted
        The arrays of the preprocessing, see `xpnet.data.transforms.fit`.
    first
        What the rows held that it was fitted on.
    X
        Later training rows ``(rows, features)``.
    names
        Of the features.
    seen
        What all rows before these held: of what they went through already nothing more is said.
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
    """Return which features the preprocessing makes nothing of."""
    found = np.zeros(features, np.bool_)
    if "scale" in fitted:
        found |= fitted["scale"] == 0
    if "matrix" in fitted:
        found |= ~fitted["matrix"].any(axis=1)
    return found


def _named(chosen: NDArray[np.bool_], names: Sequence[str]) -> str:
    which = [names[place] for place in np.flatnonzero(chosen).tolist()]
    return f"{'feature' if len(which) == 1 else 'features'} {listed(which)}"
