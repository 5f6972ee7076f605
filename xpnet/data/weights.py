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
    """Return the weight of each class, ``(classes,)``, by which to multiply the weights of its rows.

    Parameters
    ----------
    chosen
        Weights by class name, 1 for classes left out; or ``"balanced"``, which gives the same total weight to
        all classes that occur. Names of classes without rows, as may happen in a fold of a cross-validation,
        are ignored; but at least one name must occur.
    names
        The names of the classes that occur.
    label
        The class of each training row ``(rows,)``.
    weight
        Weights of these rows ``(rows,)``; None for 1 each.

    Raises
    ------
    InputError
        The argument is invalid, names no class that occurs, or has a negative weight.
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
    """Return a message about the first weighted class without rows whose name is similar to a label.

    Classes may be absent in a fold of a cross-validation, so an unknown name is not an error by itself. It is
    probably a typo if it differs from a label only in case, spaces, underscores or type, or if it is similar
    to a label that has no weight.

    Parameters
    ----------
    weights
        Class weights, by label.
    labels
        The labels that occur.
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
    """Return the weights of rows times the weights of their classes.

    Parameters
    ----------
    factors
        Weight of each class, from `by_class`.
    label, weight
        The class of each row ``(rows,)``, and its weight; None for 1 each.
    rows
        Name of the rows in the message.
    may_be_zero
        Whether all weights may be 0, because more rows may follow.

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
    """Return an addition to the message about an unknown class, which suggests a similar label."""
    if name in known:
        return ""
    spelt = {str(label): label for label in known}
    close = difflib.get_close_matches(str(name), spelt, n=1)
    return f"; did you mean {spelt[close[0]]!r}?" if close else ""


def relative(weight: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return the weights of all training rows scaled to mean 1; None if all are the same.

    The loss of a batch is then divided by its number of rows, which is the sum of their weights on average.
    So a row of weight 2 counts as two rows in any batch, even if it is the only row.
    """
    if weight is None or weight.min() == weight.max():
        return None
    weight = weight / unit_of(weight)
    return np.asarray(weight / weight.mean())


def unit_of(weight: NDArray[np.float64] | None) -> float:
    """Return the power of two by which to divide weights, so that the largest is from 1 to 2.

    Only their ratios matter, and sums of very large or very small weights overflow or underflow, especially
    in float32. Dividing by a power of two leaves the ratios exactly the same.
    """
    return 1.0 if weight is None else 2.0 ** (math.frexp(float(weight.max()))[1] - 1)


def _plain(label: Any) -> str:
    return str(label).casefold().translate(str.maketrans("", "", " _"))
