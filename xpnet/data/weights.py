"""Weights of rows: of each by itself, and by its class."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["factors_of", "of_rows", "unit_of"]


def factors_of(
    chosen: Mapping[Any, float] | str,
    names: Sequence[Any],
    label: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
    are_all: bool = True,
) -> NDArray[np.float64]:
    """Return the weight of each class ``(classes,)``.

    Parameters
    ----------
    chosen
        A weight by the name of a class, 1 for those it leaves out; or ``"balanced"``, which gives all
        classes that occur the same total.
    names
        The name of each class.
    label, weight
        The class of each training row ``(rows,)``, and its weight; None for 1 each.
    are_all
        Whether there are no other classes. Else some may be left out, as a fold of a cross-validation lacks
        those that are rare: their weights are ignored, as long as one is of a class that is there.

    Raises
    ------
    InputError
        Something else is chosen, a class that is none, a weight below 0, or no row weighs anything.
    """
    factors = np.ones(len(names))
    if isinstance(chosen, str) and chosen == "balanced":
        total = np.bincount(label, weight, len(names))
        present = total > 0
        factors[present] = total.sum() / (present.sum() * total[present])
    elif isinstance(chosen, Mapping):
        given: Mapping[Any, Any] = chosen
        number = {name: k for k, name in enumerate(names)}
        unknown = [name for name in given if name not in number]
        if unknown and (are_all or len(unknown) == len(given)):
            raise InputError(
                f"class_weight has {shown(unknown[0])}, which is no class: there are {shown(list(names))}"
            )
        for name, factor in given.items():
            if not (isinstance(factor, Real) and 0 <= float(factor) < math.inf):
                raise InputError(
                    f"class_weight has {shown(factor)} for {shown(name)}: give a number, 0 or more"
                )
            if name in number:
                factors[number[name]] = factor
    else:
        raise InputError(f"class_weight must be a dict by label, 'balanced' or None, not {chosen!r}")
    if not of_rows(factors, label, weight).any():
        raise InputError("class_weight leaves all rows with weight 0: raise that of a class that has rows")
    return factors


def of_rows(
    factors: NDArray[np.float64], label: NDArray[np.int64], weight: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the weights of rows times those of their classes ``(rows,)``."""
    of_class: NDArray[np.float64] = factors[label]
    return of_class if weight is None else weight * of_class


def unit_of(weight: NDArray[np.float64] | None) -> float:
    """Return the power of two that weights are divided by, so that the largest is from 1 to 2.

    Only their ratios matter, and sums of very large or small ones overflow or vanish, soon in float32. A
    power of two changes no bit of the ratios.
    """
    return 1.0 if weight is None else 2.0 ** (math.frexp(float(weight.max()))[1] - 1)
