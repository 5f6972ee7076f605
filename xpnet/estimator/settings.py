"""From an estimator's parameters, under scikit-learn's names, to the settings of the rooms below."""

import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any, NamedTuple, get_args

import numpy as np

from xpnet.data.transforms import Kind, Preprocessing
from xpnet.device import Precision
from xpnet.errors import InputError
from xpnet.nn.mlp import Activation, Init, Norm
from xpnet.nn.solvers import SOLVERS
from xpnet.training.regime import Hyper, Monitor, Regime

__all__ = [
    "SCHEDULES",
    "check",
    "check_incremental",
    "draws",
    "hidden_sizes",
    "hyper_of",
    "pace_of",
    "preprocessing_of",
    "regime_of",
    "solver_of",
]

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
    "input_dropout": _BELOW_ONE,
    "label_smoothing": _BELOW_ONE,
    "ema": _BELOW_ONE,
    "warmup": _BELOW_ONE,
    "mixup": _NOT_NEGATIVE,
    "init_std": _NOT_NEGATIVE,
    "clip_norm": _POSITIVE,
    "ensemble": _COUNT,
    "components": _COUNT,
    "batch_size": _COUNT,
}
_NEED_NOT_BE = {
    "n_iter_no_change": math.inf,
    "max_time": None,
    "batch_size": "auto",
    "clip_norm": None,
    "components": None,
}
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
    for name in ("early_stopping", "shuffle", "warm_start", "nesterovs_momentum", "residual", "compile"):
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
        "norm": get_args(Norm),
        "init": (None, *get_args(Init)),
        "monitor": get_args(Monitor),
        "preprocess": get_args(Kind),
        "precision": get_args(Precision),
    }.items():
        value = parameters[name]
        if not isinstance(value, str | None) or value not in names:  # an array would answer for each item
            raise InputError(f"{name} must be one of {', '.join(map(repr, names))}, not {_shown(value)}")
    hidden_sizes(parameters["hidden_layer_sizes"])
    preprocessing_of(parameters)
    if parameters["warmup"] and pace_of(parameters):
        raise InputError(
            f"warmup does not go with learning_rate={parameters['learning_rate']!r}, which reacts to the "
            "epochs: use 'constant', 'cosine' or 'one-cycle'"
        )


def check_incremental(parameters: dict[str, Any]) -> None:
    """Refuse parameters that mean nothing to ``partial_fit``.

    Raises
    ------
    InputError
        What takes a whole run.
    """
    if parameters["early_stopping"]:
        raise InputError("partial_fit does not support early_stopping=True: it trains a single epoch")
    if parameters["learning_rate"] in ("cosine", "one-cycle"):
        raise InputError(
            f"learning_rate {parameters['learning_rate']!r} ends with the last step, of which partial_fit "
            "knows nothing: use 'constant'"
        )
    if parameters["warmup"]:
        raise InputError("warmup is a part of all steps, of which partial_fit knows nothing: use warmup=0.0")


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


def pace_of(parameters: dict[str, Any]) -> str:
    """Return the schedule that reacts to the epochs, scikit-learn's for sgd; an empty name for none."""
    schedule = parameters["learning_rate"]
    return schedule if parameters["solver"] == "sgd" and schedule in ("adaptive", "invscaling") else ""


def draws(parameters: dict[str, Any]) -> bool:
    """Return whether steps draw something beside their batches."""
    return any(parameters[name] for name in ("dropout", "input_dropout", "mixup"))


def preprocessing_of(parameters: dict[str, Any]) -> Preprocessing:
    """Return what is done to the rows."""
    return Preprocessing(parameters["preprocess"], parameters["components"])


def regime_of(
    parameters: dict[str, Any], num_steps: int, batch_size: int, loss: str, validates: bool
) -> Regime:
    """Return how the network is trained: on every row once an epoch, with scikit-learn's penalty."""
    schedule = parameters["learning_rate"]
    return Regime(
        num_steps,
        batch_size,
        sampling="all",
        solver=solver_of(parameters),
        schedule=schedule if schedule in ("cosine", "one-cycle") else "constant",
        warmup_steps=round(parameters["warmup"] * num_steps),
        loss=loss,
        mixup=float(parameters["mixup"]),
        monitor=parameters["monitor"] if validates else None,
        restores_best=validates,
        reg_per_row=True,
        scores_batch=False,
        max_time=parameters["max_time"],
    )


def hyper_of(parameters: dict[str, Any], unit: float = 1.0) -> Hyper:
    """Return the hyper-parameters of the steps, where weights of rows are divided by ``unit``."""
    of_sgd = solver_of(parameters) in ("sgd", "momentum", "nesterov")
    clip_norm = parameters["clip_norm"]
    return Hyper(
        learning_rate=float(parameters["learning_rate_init"]),
        reg=float(parameters["alpha"]) / unit,
        momentum=float(parameters["momentum" if of_sgd else "beta_1"]),
        beta2=float(parameters["beta_2"]),
        clip_norm=math.inf if clip_norm is None else float(clip_norm),
        **{
            name: float(parameters[name])
            for name in (
                *("weight_decay", "epsilon", "dropout", "input_dropout"),
                *("label_smoothing", "ema"),
            )
        },
    )
