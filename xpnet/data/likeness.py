"""Check that inputs match: detect if only one of them was scaled or sorted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["other_order", "other_scale"]

ROWS = 20
"""Minimum number of rows of a feature on each side: quartiles of fewer say little."""

LOOKED_AT = 2000
"""Maximum number of rows checked on each side, evenly spread."""

MOST_OFF = 10.0
"""Maximum difference between the medians of a feature, in interquartile ranges of the training rows."""

MOST_TIMES = 20.0
"""Maximum ratio of the two interquartile ranges of a feature."""


def other_scale(X: Any, X_val: Any) -> str:
    """Return a message if validation rows are clearly on a different scale from training rows; else ``""``.

    This is so if, for most features, the medians are more than `MOST_OFF` interquartile ranges apart or the
    ranges differ by more than a factor of `MOST_TIMES`. It uses quartiles because one outlier can change a
    standard deviation as much. Features with a single value in half of their rows, as in sparse data, do not
    count.

    Parameters
    ----------
    X, X_val
        Training and validation rows ``(rows, features)``, NaN for gaps. Sparse rows are not checked.
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
        f"the validation rows are on a different scale from the training rows in {found} of {of} features: "
        "scale X_val as X was scaled"
    )


def other_order(X: Any, others: Mapping[str, Any], name: str = "X") -> str:
    """Return a message if one of ``others`` has the index of ``X`` in another order; else ``""``.

    Rows are matched by position, as in scikit-learn, not by index, as in pandas. If both have the same labels
    in different orders, one of them was probably sorted or shuffled on its own.

    Parameters
    ----------
    X
        Rows; they are checked only if they have an index, like pandas data frames.
    others
        Targets or weights of the rows, by their names.
    name
        The name of the rows in the message.
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
    """Return the index of rows or targets; None if they have none."""
    return rows.index if hasattr(rows, "loc") and hasattr(rows.index, "equals") else None


def _quartiles(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quartiles of each feature's finite values, ``(3, features)``."""
    return np.asarray(np.nanquantile(np.where(np.isfinite(part), part, np.nan), [0.25, 0.5, 0.75], axis=0))
