"""Weights of rows: of each by itself, and by its class."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError

__all__ = ["by_class", "unit_of"]


def by_class(
    chosen: Mapping[Any, float] | str,
    names: Sequence[Any],
    label: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Return the weights of rows times those of their classes.

    Parameters
    ----------
    chosen
        A weight by the name of a class, 1 for those it leaves out; or ``"balanced"``, which gives all
        classes that occur the same total.
    names
        The name of each class.
    label
        The class of each row ``(rows,)``.
    weight
        Of the rows ``(rows,)``; None for 1 each.

    Raises
    ------
    InputError
        Something else is chosen, a class that is none, or a weight below 0.
    """
    weight = np.ones(len(label)) if weight is None else weight
    factors = np.ones(len(names))
    if isinstance(chosen, str) and chosen == "balanced":
        total = np.bincount(label, weight, len(names))
        present = total > 0
        factors[present] = total.sum() / (present.sum() * total[present])
    elif isinstance(chosen, Mapping):
        known = list(names)
        given: Mapping[Any, Any] = chosen
        for name, factor in given.items():
            if name not in known or not (isinstance(factor, Real) and 0 <= float(factor) < math.inf):
                raise InputError(
                    f"class_weight has {name!r}: {factor!r}; give a number, 0 or more, for each of the "
                    f"labels {known}"
                )
            factors[known.index(name)] = factor
    else:
        raise InputError(f"class_weight must be a dict by label, 'balanced' or None, not {chosen!r}")
    weighted: NDArray[np.float64] = weight * factors[label]
    if not weighted.any():
        raise InputError("class_weight leaves all rows with weight 0: raise that of a class that has rows")
    return weighted


def unit_of(weight: NDArray[np.float64] | None) -> float:
    """Return the power of two that weights are divided by, so that the largest is from 1 to 2.

    Only their ratios matter, and sums of very large or small ones overflow or vanish, soon in float32. A
    power of two changes no bit of the ratios.
    """
    return 1.0 if weight is None else 2.0 ** (math.frexp(float(weight.max()))[1] - 1)
