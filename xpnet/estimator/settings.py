"""From an estimator's parameters, with scikit-learn's names, to xpnet's settings."""

import math
from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any, get_args

import numpy as np

from xpnet.data.preprocessing import Kind as Preprocess
from xpnet.data.preprocessing import Preprocessing
from xpnet.device import Precision
from xpnet.errors import InputError
from xpnet.nn.mlp import Activation, Init, Norm
from xpnet.nn.solvers import SOLVERS
from xpnet.training import monitors
from xpnet.training.regime import Hyper, Monitor, Regime
from xpnet.values import (
    BELOW_ONE,
    COUNT,
    DEVIATION,
    NOT_NEGATIVE,
    POSITIVE,
    WIDTH,
    Kind,
    Range,
    below_one,
    between,
    shown,
)

__all__ = [
    "SCHEDULES",
    "check",
    "check_incremental",
    "check_precision",
    "draws",
    "hidden_sizes",
    "hyper_of",
    "monitor_of",
    "pace_of",
    "preprocessing_of",
    "regime_of",
    "solver_of",
    "weighs_by_batch",
]

SCHEDULES = ("constant", "invscaling", "adaptive", "cosine", "one-cycle")
"""Values of ``learning_rate``: scikit-learn's, then schedules without further parameters."""

_KINDS = {
    "solver": Kind(str, (*SOLVERS, "lbfgs")),
    "activation": Kind.of(Activation),
    "learning_rate": Kind(str, SCHEDULES),
    "dtype": Kind(str, ("float32", "float64")),
    "norm": Kind.of(Norm),
    "init": Kind.of(Init),
    "preprocess": Kind(str, tuple(kind for kind in get_args(Preprocess) if kind != "table")),
    "precision": Kind.of(Precision),
    **dict.fromkeys(
        ("early_stopping", "shuffle", "warm_start", "nesterovs_momentum", "residual", "compile", "bagging"),
        Kind(bool),
    ),
}
_BELOW_ONE = ("beta_1", "beta_2", "dropout", "input_dropout", "label_smoothing", "ema", "warmup")
_RANGES: dict[tuple[type, Range], tuple[str, ...]] = {
    (float, NOT_NEGATIVE): ("alpha", "weight_decay", "power_t", "tol", "mixup"),
    (float, DEVIATION): ("init_std",),
    (float, POSITIVE): ("learning_rate_init", "epsilon", "clip_norm", "max_time"),
    (float, between(0, 1)): ("momentum",),
    (float, BELOW_ONE): (*_BELOW_ONE, "validation_fraction"),
    (int, COUNT): ("max_iter", "n_iter_no_change", "batch_size", "ensemble", "components", "max_fun"),
}
_ALSO: dict[str, Any] = {
    "batch_size": "auto",
    "n_iter_no_change": math.inf,
    **dict.fromkeys(("clip_norm", "components", "dtype", "init", "max_time")),
}
"""Additional values of parameters."""

_NOT_OF_LBFGS: dict[str, Any] = {
    "ensemble": 1,
    "bagging": False,
    "callbacks": None,
    "clip_norm": None,
    **dict.fromkeys(
        ("dropout", "input_dropout", "label_smoothing", "mixup", "weight_decay", "ema", "warmup"), 0.0
    ),
}
"""Parameters that lbfgs ignores or that would change the loss at each step, and their neutral values."""


def check(parameters: dict[str, Any]) -> None:
    """Refuse invalid parameters of an estimator.

    Raises
    ------
    InputError
        A value is out of range, or a name is unknown.
    """
    _check_callbacks(parameters["callbacks"])
    for name, kind in _KINDS.items():
        _check_value(name, parameters[name], kind)
    for (item, allowed), names in _RANGES.items():
        for name in names:
            _check_value(name, parameters[name], Kind(item), allowed)
    monitor = monitor_of(parameters)
    if not callable(monitor):  # a scorer, as in scikit-learn's scoring=
        _check_value("monitor", monitor, Kind.of(Monitor | str))
        monitors.check_name(monitor, "monitor")
    hidden_sizes(parameters["hidden_layer_sizes"])
    preprocessing_of(parameters)
    if parameters["solver"] == "lbfgs":
        _check_lbfgs(parameters)
    elif parameters["norm"] == "batch" and parameters["batch_size"] == 1:
        raise InputError(
            "norm='batch' needs batches of several rows: set a batch_size of 2 or more, or norm='layer'"
        )
    if parameters["bagging"] and parameters["ensemble"] == 1:
        raise InputError("bagging needs several networks: set ensemble=8, for example, or bagging=False")
    if parameters["warmup"] and pace_of(parameters):
        raise InputError(
            f"warmup cannot be combined with learning_rate={parameters['learning_rate']!r}: use 'constant', "
            "'cosine' or 'one-cycle'"
        )


def _check_lbfgs(parameters: dict[str, Any]) -> None:
    """Refuse parameters for batches, epochs or several networks: lbfgs steps use all rows."""
    for name, neutral in _NOT_OF_LBFGS.items():
        if parameters[name] != neutral:
            raise InputError(
                f"solver 'lbfgs' does not support this setting: set {name}={neutral!r}, or use 'adam'"
            )
    if parameters["norm"] == "batch":
        raise InputError("solver 'lbfgs' has no batches to normalise over: set norm='layer', or use 'adam'")


def check_precision(parameters: dict[str, Any], dtype: str) -> None:
    """Refuse parameters below 1 that round to 1 in the dtype of the computation.

    Raises
    ------
    InputError
        There is such a parameter.
    """
    for name in _BELOW_ONE:
        below_one(dtype).check(name, float(parameters[name]))


def _check_value(name: str, value: Any, kind: Kind, allowed: Range | None = None) -> None:
    also = _ALSO.get(name, ...)
    if value is also or (isinstance(value, str | float) and value == also):
        return
    other = "" if also is ... else f", or {also!r}"
    if isinstance(value, np.ndarray):  # not even a 0-d array: parameters stay as they were given
        raise InputError(f"{name} must be {kind.describe()}{other}, not {shown(value)}")
    taken = kind.take(name, value, other=other)
    if allowed is not None:
        allowed.check(name, taken, other)


def check_incremental(parameters: dict[str, Any]) -> None:
    """Refuse parameters that have no meaning for ``partial_fit``.

    Raises
    ------
    InputError
        A parameter needs a whole run.
    """
    if parameters["early_stopping"]:
        raise InputError(
            "partial_fit trains a single epoch and does not support early_stopping=True: use "
            "early_stopping=False"
        )
    if parameters["learning_rate"] in ("cosine", "one-cycle"):
        raise InputError(
            f"learning_rate {parameters['learning_rate']!r} depends on the total number of steps, which "
            "partial_fit does not know: use 'constant'"
        )
    if isinstance(parameters.get("class_weight"), str):
        raise InputError(
            f"class_weight {parameters['class_weight']!r} needs all rows, but partial_fit sees only a part: "
            "give a dict, for example from sklearn.utils.class_weight.compute_class_weight"
        )
    if parameters["warmup"]:
        raise InputError(
            "warmup depends on the total number of steps, which partial_fit does not know: use warmup=0.0"
        )


def _check_callbacks(callbacks: Any) -> None:
    """Refuse callbacks that cannot be called after each epoch; an iterator would be used up by the first."""
    each = () if callbacks is None else [callbacks] if callable(callbacks) else callbacks
    if not isinstance(each, Collection) or not all(map(callable, each)):
        raise InputError(f"callbacks must be a function or a list of functions, not {shown(callbacks)}")


def hidden_sizes(given: Any) -> tuple[int, ...]:
    """Return ``hidden_layer_sizes``, a number or several, as a tuple.

    Raises
    ------
    InputError
        There is anything other than integers from 1 to ten million.
    """
    if isinstance(given, Iterable) and not isinstance(given, str | list | np.ndarray):
        given = list(given)
    sizes: tuple[int, ...] = Kind(int, is_tuple=True).take("hidden_layer_sizes", given)
    WIDTH.check("hidden_layer_sizes", sizes)
    return sizes


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


def draws(parameters: dict[str, Any]) -> set[str]:
    """Return the random streams that steps use besides the batches."""
    streams = {"dropout": "dropout", "input_dropout": "dropout", "mixup": "mixup"}
    return {stream for name, stream in streams.items() if parameters[name]}


def monitor_of(parameters: dict[str, Any]) -> Any:
    """Return the monitor that selects the best epoch: a name or a scorer.

    By default it is the score, as in scikit-learn; but the loss if classes have weights, since a score that
    depends on a few rows with large weights can rise by chance.
    """
    monitor = parameters["monitor"]
    if monitor is None:
        return "val_score" if parameters.get("class_weight") is None else "val_loss"
    return monitor


def weighs_by_batch(parameters: dict[str, Any]) -> bool:
    """Return whether a batch's loss is divided by the sum of its own weights, as in scikit-learn.

    scikit-learn has no class weights; with them, weights count the same in batches of any size.
    """
    return parameters.get("class_weight") is None


def preprocessing_of(parameters: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing."""
    return Preprocessing(parameters["preprocess"], parameters["components"])


def regime_of(parameters: dict[str, Any], num_steps: int, batch_size: int, loss: str, monitor: Any) -> Regime:
    """Return the training regime: every row once per epoch, with scikit-learn's penalty.

    The monitor is a separate argument, because a scorer must also know the rows; None if there are none.
    """
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
        monitor=monitor,
        restores_best=monitor is not None,
        reg_per_row=True,
        weighs_by_batch=weighs_by_batch(parameters),
        scores_batch=False,
        max_time=parameters["max_time"],
    )


OF_STEPS = frozenset(
    {"alpha", "learning_rate_init", "power_t", "momentum", "beta_1", "beta_2", "epsilon", "weight_decay"}
    | {"clip_norm", "dropout", "input_dropout", "ema", "tol", "n_iter_no_change"}
)
"""Parameters that affect the steps only, not the rows or the initial weights."""

STACKABLE = (
    OF_STEPS
    | {f.name for f in fields(Hyper)}
    | {"random_state", "init_std", "class_weight", "standardize_target"}
)
"""Parameters in which the networks of a stack may differ."""


def hyper_of(parameters: dict[str, Any], unit: float = 1.0) -> Hyper:
    """Return the hyper-parameters of the steps, if row weights are divided by ``unit``."""
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
