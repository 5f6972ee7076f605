"""Whether what is given together belongs together: a scaler or a sort on one side alone shows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["other_order", "other_scale"]

ROWS = 20
"""Rows that a feature needs on each side: the quartiles of fewer say little."""

LOOKED_AT = 2000
"""Rows that are looked at on each side, evenly spread."""

MOST_OFF = 10.0
"""Interquartile ranges of training by which the medians of one feature may differ."""

MOST_TIMES = 20.0
"""How many times larger one interquartile range may be than the other."""


def other_scale(X: Any, X_val: Any) -> str:
    """Return a sentence if validation rows are clearly on another scale than training rows; else nothing.

    They are where the medians of most features are more than `MOST_OFF` interquartile ranges apart, or their
    ranges differ by more than `MOST_TIMES`. Quartiles, since one outlier moves a deviation as far. Features
    of which half of the rows are alike, as in sparse rows, do not count.

    Parameters
    ----------
    X, X_val
        Rows of both ``(rows, features)``, NaN for gaps; sparse ones are not looked at.
    """
    if any(hasattr(part, "toarray") or part.dtype.kind not in "iuf" for part in (X, X_val)):
        return ""
    some = [np.asarray(part[:: -(-len(part) // LOOKED_AT) or 1], np.float64) for part in (X, X_val)]
    known = np.all([np.isfinite(part).sum(axis=0) >= ROWS for part in some], axis=0)
    if not known.any():
        return ""
    (low, middle, high), (low_val, middle_val, high_val) = (_quartiles(part[:, known]) for part in some)
    with np.errstate(over="ignore"):
        spread, spread_val = high - low, high_val - low_val
        counts = (spread > 0) & (spread_val > 0)
        off = np.abs(middle_val - middle) > MOST_OFF * spread
        off |= (spread_val > MOST_TIMES * spread) | (spread > MOST_TIMES * spread_val)
    found, of = int((off & counts).sum()), int(counts.sum())
    if 2 * found <= of:
        return ""
    return (
        f"the validation rows are on another scale than the training rows in {found} of {of} features: "
        "scale X_val as X was scaled"
    )


def other_order(X: Any, others: Mapping[str, Any], name: str = "X") -> str:
    """Return a sentence if something has the index of ``X`` in another order; else nothing.

    Rows go together by their places, as in scikit-learn, not by an index, as pandas would have it. Where both
    have the same labels in different orders, one of them was likely sorted or shuffled by itself.

    Parameters
    ----------
    X
        Rows; only what has an index, as the frames of pandas, is looked at.
    others
        Targets or weights of the rows, by their names.
    name
        What the rows are called.
    """
    index = _index(X)
    for other, values in others.items():
        its = _index(values)
        if index is None or its is None or len(index) != len(its) or index.equals(its):
            continue
        if index.is_unique and its.is_unique and index.isin(its).all():
            return (
                f"{name} and {other} have the same index in different orders, and are matched by "
                f"position: to match them by index, give {other}.loc[{name}.index]"
            )
    return ""


def _index(rows: Any) -> Any:
    """Return the labels of rows or targets; None where they have none."""
    return rows.index if hasattr(rows, "loc") and hasattr(rows.index, "equals") else None


def _quartiles(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quartiles of each feature ``(3, features)``, of its finite values."""
    return np.asarray(np.nanquantile(np.where(np.isfinite(part), part, np.nan), [0.25, 0.5, 0.75], axis=0))
