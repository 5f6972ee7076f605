"""From an estimator's parameters, under scikit-learn's names, to the settings of the rooms below."""

import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any, NamedTuple, get_args

import numpy as np

from xpnet.errors import InputError
from xpnet.nn.mlp import Activation
from xpnet.nn.solvers import SOLVERS
from xpnet.training.regime import Hyper

__all__ = ["SCHEDULES", "check", "hidden_sizes", "hyper_of", "solver_of"]

SCHEDULES = ("constant", "invscaling", "adaptive", "cosine", "one-cycle")
"""The values of ``learning_rate``: scikit-learn's, then schedules that need no more."""


class _Range(NamedTuple):
    """The numbers that a parameter may be, and how to say it."""

    words: str
    least: float = 0.0
    most: float = math.inf
    least_is_in: bool = True
    most_is_in: bool = False
    whole: bool = False


_POSITIVE = _Range("a number above 0", least_is_in=False)
_NOT_NEGATIVE = _Range("a number, 0 or more")
_BELOW_ONE = _Range("a number from 0 to below 1", most=1.0)
_COUNT = _Range("a whole number, 1 or more", least=1, whole=True)
_RANGES = {
    "alpha": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "power_t": _NOT_NEGATIVE,
    "tol": _NOT_NEGATIVE,
    "learning_rate_init": _POSITIVE,
    "epsilon": _POSITIVE,
    "momentum": _Range("a number from 0 to 1", most=1.0, most_is_in=True),
    "beta_1": _BELOW_ONE,
    "beta_2": _BELOW_ONE,
    "dropout": _BELOW_ONE,
    "validation_fraction": _BELOW_ONE,
    "max_iter": _COUNT,
    "n_iter_no_change": _COUNT,
    "max_time": _POSITIVE,
    "batch_size": _COUNT,
}
_NEED_NOT_BE = {"n_iter_no_change": math.inf, "max_time": None, "batch_size": "auto"}
"""The values besides those in its range that a parameter may have."""


def check(parameters: dict[str, Any]) -> None:
    """Refuse parameters of an estimator that mean nothing.

    Raises
    ------
    InputError
        A value out of its range, or a name that is none.
    """
    for name, allowed in _RANGES.items():
        value = parameters[name]
        other = _NEED_NOT_BE.get(name, ...)
        is_other = value is other or (isinstance(value, str | Real) and value == other)
        if not (is_other or _is_in(value, allowed)):
            words = allowed.words if other is ... else f"{allowed.words}, or {other!r}"
            raise InputError(f"{name} must be {words}, not {_shown(value)}")
    for name in ("early_stopping", "shuffle", "warm_start", "nesterovs_momentum"):
        if not isinstance(parameters[name], bool | np.bool_):
            raise InputError(f"{name} must be True or False, not {_shown(parameters[name])}")
    _check_callbacks(parameters["callbacks"])
    if isinstance(parameters["solver"], str) and parameters["solver"] == "lbfgs":
        raise InputError(
            "solver 'lbfgs' trains on all rows at once, which xpnet does not: use 'adam' or 'sgd', or "
            "sklearn.neural_network.MLPClassifier for data sets so small"
        )
    for name, names in {
        "solver": tuple(SOLVERS),
        "activation": get_args(Activation),
        "learning_rate": SCHEDULES,
        "dtype": (None, "float32", "float64"),
    }.items():
        value = parameters[name]
        if not isinstance(value, str | None) or value not in names:  # an array would answer for each item
            raise InputError(f"{name} must be one of {', '.join(map(repr, names))}, not {_shown(value)}")
    hidden_sizes(parameters["hidden_layer_sizes"])


def _check_callbacks(callbacks: Any) -> None:
    """Refuse what cannot be called, epoch by epoch: an iterator would be used up by the first."""
    each = () if callbacks is None else [callbacks] if callable(callbacks) else callbacks
    if not isinstance(each, Collection) or not all(map(callable, each)):
        raise InputError(f"callbacks must be a function or a list of functions, not {_shown(callbacks)}")


def _shown(value: Any) -> str:
    """Return a value for a message of one line."""
    return " ".join(repr(value).split())


def _is_in(value: Any, allowed: _Range) -> bool:
    if not isinstance(value, Integral if allowed.whole else Real):
        return False
    number = float(value)
    above = number >= allowed.least if allowed.least_is_in else number > allowed.least
    below = number <= allowed.most if allowed.most_is_in else number < allowed.most
    return above and below


def hidden_sizes(given: Any) -> tuple[int, ...]:
    """Return ``hidden_layer_sizes``, a number or several, as a tuple.

    Raises
    ------
    InputError
        Something else than whole numbers, 1 or more.
    """
    try:
        sizes = (given,) if isinstance(given, str) else tuple(given)
    except TypeError:  # a number, or an array without an axis
        sizes = (given,)
    if not all(isinstance(size, Integral) and int(size) >= 1 for size in sizes):
        raise InputError(
            f"hidden_layer_sizes must be > 0, whole numbers such as 100 or (300, 100), not {_shown(given)}"
        )
    return tuple(int(size) for size in sizes)


def solver_of(parameters: dict[str, Any]) -> str:
    """Return the name in `xpnet.nn.solvers.SOLVERS`: scikit-learn's sgd is one of three."""
    solver = parameters["solver"]
    if solver != "sgd" or not parameters["momentum"]:
        return str(solver)
    return "nesterov" if parameters["nesterovs_momentum"] else "momentum"


def hyper_of(parameters: dict[str, Any], reg: float) -> Hyper:
    """Return the hyper-parameters of the steps, with ``reg`` as the strength of the penalty."""
    of_sgd = solver_of(parameters) in ("sgd", "momentum", "nesterov")
    return Hyper(
        learning_rate=float(parameters["learning_rate_init"]),
        reg=reg,
        weight_decay=float(parameters["weight_decay"]),
        momentum=float(parameters["momentum" if of_sgd else "beta_1"]),
        beta2=float(parameters["beta_2"]),
        epsilon=float(parameters["epsilon"]),
        dropout=float(parameters["dropout"]),
    )
