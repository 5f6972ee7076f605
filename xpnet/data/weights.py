"""Weights of rows, from row weights and class weights."""

import difflib
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["by_class", "likely_typo", "relative", "unit_of", "weighted"]


def by_class(
    chosen: Mapping[Any, float] | str,
    names: Sequence[Any],
    label: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Return the weight of each class, ``(classes,)``, by which the weights of its rows are multiplied.

    Parameters
    ----------
    chosen
        A weight by the name of a class, 1 for those it leaves out; or ``"balanced"``, which gives all
        classes that occur the same total. Names of classes that these rows lack, as those of one part of a
        cross-validation may, do nothing; but not all names may be such.
    names
        The name of each class that occurs.
    label
        The class of each training row ``(rows,)``.
    weight
        Of these rows ``(rows,)``; None for 1 each.

    Raises
    ------
    InputError
        The argument is invalid, names no class that occurs, or has a weight below 0.
    """
    factors = np.ones(len(names))
    if isinstance(chosen, str) and chosen == "balanced":
        total = np.bincount(label, None if weight is None else weight / unit_of(weight), len(names))
        present = total > 0
        factors[present] = total.sum() / (present.sum() * total[present])
        return factors
    if not isinstance(chosen, Mapping):
        raise InputError(f"class_weight must be a dict by label, 'balanced' or None, not {chosen!r}")
    known = list(names)
    given: Mapping[Any, Any] = chosen
    some_occur = any(name in known for name in given)
    for name, factor in given.items():
        is_weight = isinstance(factor, Real) and 0 <= float(factor) < math.inf
        if not is_weight or (name not in known and not some_occur):
            raise InputError(
                f"class_weight has {name!r}: {factor!r}; give a number, 0 or more, for each of the "
                f"labels {known}{_meant(name, known)}"
            )
        if name in known:
            factors[known.index(name)] = factor
    return factors


def likely_typo(weights: Mapping[Any, Any], labels: Sequence[Any]) -> str:
    """Return a line on the first weight of a class that no row has, if its name is like that of another.

    In a fold of a cross-validation classes may be absent, so a name that is none is no error. But one that
    differs in case, blanks or type from a label alone, or is close to one that has no weight of its own, is.

    Parameters
    ----------
    weights
        Of the classes, by label.
    labels
        Those that occur.
    """
    by_name = {_plain(label): label for label in labels}
    unweighted = {str(label): label for label in labels if label not in weights and isinstance(label, str)}
    for name in weights:
        if name in labels:
            continue
        close = [by_name[_plain(name)]] if _plain(name) in by_name else []
        if isinstance(name, str):
            close += [
                unweighted[text] for text in difflib.get_close_matches(name, unweighted, n=1, cutoff=0.8)
            ]
        if close:
            return f"class_weight has {shown(name)}, which no row has: did you mean {shown(close[0])}?"
    return ""


def weighted(
    factors: NDArray[np.float64],
    label: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
    rows: str = "rows",
    *,
    may_be_zero: bool = False,
) -> NDArray[np.float64]:
    """Return the weights of rows times those of their classes.

    Parameters
    ----------
    factors
        Of each class, from `by_class`.
    label, weight
        The class of each row ``(rows,)``, and its weight; None for 1 each.
    rows
        Name of the rows in the message.
    may_be_zero
        Whether more rows may follow, and none of these count.

    Raises
    ------
    InputError
        All rows have weight 0, or a weight overflows.
    """
    with np.errstate(over="ignore"):
        found: NDArray[np.float64] = factors[label] if weight is None else weight * factors[label]
    if not np.isfinite(found).all():
        raise InputError(f"class_weight makes the weights of {rows} infinite: divide all by the largest")
    if not (may_be_zero or found.any()):
        raise InputError(
            f"class_weight leaves all {rows} with weight 0: raise the weight of a class that has rows there"
        )
    return found


def _meant(name: Any, known: Sequence[Any]) -> str:
    """Return what to add to a message about a class that is none: the one of a name that is like it."""
    if name in known:
        return ""
    spelt = {str(label): label for label in known}
    close = difflib.get_close_matches(str(name), spelt, n=1)
    return f"; did you mean {spelt[close[0]]!r}?" if close else ""


def relative(weight: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return weights whose mean is 1, of all rows to train on; None for all the same.

    A batch's loss is then over its rows: on average over the sum of their weights, and yet a row of weight 2
    counts as two in any batch, also in one of its own.
    """
    if weight is None or weight.min() == weight.max():
        return None
    weight = weight / unit_of(weight)
    return np.asarray(weight / weight.mean())


def unit_of(weight: NDArray[np.float64] | None) -> float:
    """Return the power of two that weights are divided by, so that the largest is from 1 to 2.

    Only their ratios matter, and sums of very large or small ones overflow or vanish, soon in float32. A
    power of two changes no bit of the ratios.
    """
    return 1.0 if weight is None else 2.0 ** (math.frexp(float(weight.max()))[1] - 1)


def _plain(label: Any) -> str:
    return str(label).casefold().translate(str.maketrans("", "", " _"))
