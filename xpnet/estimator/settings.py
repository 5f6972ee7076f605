"""From an estimator's parameters, under scikit-learn's names, to the settings of the rooms below."""

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
"""The values of ``learning_rate``: scikit-learn's, then schedules that need no more."""

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
"""A value that a parameter may have besides those."""

_NOT_OF_LBFGS: dict[str, Any] = {
    "ensemble": 1,
    "bagging": False,
    "callbacks": None,
    "clip_norm": None,
    **dict.fromkeys(
        ("dropout", "input_dropout", "label_smoothing", "mixup", "weight_decay", "ema", "warmup"), 0.0
    ),
}
"""What does nothing with lbfgs, or would make another loss of each step; and the value that leaves it out."""


def check(parameters: dict[str, Any]) -> None:
    """Refuse parameters of an estimator that mean nothing.

    Raises
    ------
    InputError
        A value out of its range, or a name that is none.
    """
    _check_callbacks(parameters["callbacks"])
    for name, kind in _KINDS.items():
        _check_value(name, parameters[name], kind)
    for (item, allowed), names in _RANGES.items():
        for name in names:
            _check_value(name, parameters[name], Kind(item), allowed)
    monitor = monitor_of(parameters)
    if not callable(monitor):  # a scorer, as scikit-learn's scoring= takes
        _check_value("monitor", monitor, Kind.of(Monitor | str))
        monitors.check_name(monitor, "monitor")
    hidden_sizes(parameters["hidden_layer_sizes"])
    preprocessing_of(parameters)
    if parameters["solver"] == "lbfgs":
        _check_lbfgs(parameters)
    elif parameters["norm"] == "batch" and parameters["batch_size"] == 1:
        raise InputError(
            "norm='batch' needs the statistics of a batch: set a batch_size of 2 or more, or norm='layer'"
        )
    if parameters["bagging"] and parameters["ensemble"] == 1:
        raise InputError("bagging is of the networks of an ensemble: set ensemble=8, say, or bagging=False")
    if parameters["warmup"] and pace_of(parameters):
        raise InputError(
            f"warmup does not go with learning_rate={parameters['learning_rate']!r}, which reacts to the "
            "epochs: use 'constant', 'cosine' or 'one-cycle'"
        )


def _check_lbfgs(parameters: dict[str, Any]) -> None:
    """Refuse what takes batches, epochs or several networks: lbfgs takes steps on all rows."""
    for name, neutral in _NOT_OF_LBFGS.items():
        if parameters[name] != neutral:
            raise InputError(
                f"solver 'lbfgs' takes all rows in each step of one network: set {name}={neutral!r}, or use "
                "'adam'"
            )
    if parameters["norm"] == "batch":
        raise InputError("solver 'lbfgs' has no batches to normalise by: set norm='layer', or use 'adam'")


def check_precision(parameters: dict[str, Any], dtype: str) -> None:
    """Refuse parameters that are 1 in the dtype of the computation.

    Raises
    ------
    InputError
        One that has to be below.
    """
    for name in _BELOW_ONE:
        below_one(dtype).check(name, float(parameters[name]))


def _check_value(name: str, value: Any, kind: Kind, allowed: Range | None = None) -> None:
    also = _ALSO.get(name, ...)
    if value is also or (isinstance(value, str | float) and value == also):
        return
    other = "" if also is ... else f", or {also!r}"
    if isinstance(value, np.ndarray):  # not even one without an axis: a parameter stays as it was given
        raise InputError(f"{name} must be {kind.describe()}{other}, not {shown(value)}")
    taken = kind.take(name, value, other=other)
    if allowed is not None:
        allowed.check(name, taken, other)


def check_incremental(parameters: dict[str, Any]) -> None:
    """Refuse parameters that mean nothing to ``partial_fit``.

    Raises
    ------
    InputError
        What takes a whole run.
    """
    if parameters["early_stopping"]:
        raise InputError(
            "partial_fit does not support early_stopping=True, it trains a single epoch: "
            "use early_stopping=False"
        )
    if parameters["learning_rate"] in ("cosine", "one-cycle"):
        raise InputError(
            f"learning_rate {parameters['learning_rate']!r} ends with the last step, of which partial_fit "
            "knows nothing: use 'constant'"
        )
    if isinstance(parameters.get("class_weight"), str):
        raise InputError(
            f"class_weight {parameters['class_weight']!r} is of all rows, of which partial_fit sees a part: "
            "give a dict, say from sklearn.utils.class_weight.compute_class_weight"
        )
    if parameters["warmup"]:
        raise InputError("warmup is a part of all steps, of which partial_fit knows nothing: use warmup=0.0")


def _check_callbacks(callbacks: Any) -> None:
    """Refuse what cannot be called, epoch by epoch: an iterator would be used up by the first."""
    each = () if callbacks is None else [callbacks] if callable(callbacks) else callbacks
    if not isinstance(each, Collection) or not all(map(callable, each)):
        raise InputError(f"callbacks must be a function or a list of functions, not {shown(callbacks)}")


def hidden_sizes(given: Any) -> tuple[int, ...]:
    """Return ``hidden_layer_sizes``, a number or several, as a tuple.

    Raises
    ------
    InputError
        Something else than whole numbers, from 1 to ten million.
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
    """Return the streams that steps draw from beside their batches."""
    streams = {"dropout": "dropout", "input_dropout": "dropout", "mixup": "mixup"}
    return {stream for name, stream in streams.items() if parameters[name]}


def monitor_of(parameters: dict[str, Any]) -> Any:
    """Return what the best epoch is chosen by: a name, or a scorer.

    By default it is scikit-learn's, the score; where classes have weights, which scikit-learn's have not, the
    loss: a score that hangs on a few rows of great weight rises by chance.
    """
    monitor = parameters["monitor"]
    if monitor is None:
        return "val_score" if parameters.get("class_weight") is None else "val_loss"
    return monitor


def weighs_by_batch(parameters: dict[str, Any]) -> bool:
    """Return whether a batch's loss is over the sum of its own weights: scikit-learn's, which has no others.

    Where classes have weights, there is nothing to be like, and they are to count in batches of any size.
    """
    return parameters.get("class_weight") is None


def preprocessing_of(parameters: dict[str, Any]) -> Preprocessing:
    """Return what is done to the rows."""
    return Preprocessing(parameters["preprocess"], parameters["components"])


def regime_of(parameters: dict[str, Any], num_steps: int, batch_size: int, loss: str, monitor: Any) -> Regime:
    """Return how the network is trained: on every row once an epoch, with scikit-learn's penalty.

    What is monitored is said apart: a scorer has to know the rows, too. None where there are none.
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
"""Parameters of the steps alone: whatever they are, rows and first weights are the same."""

STACKABLE = (
    OF_STEPS
    | {f.name for f in fields(Hyper)}
    | {"random_state", "init_std", "class_weight", "standardize_target"}
)
"""Parameters in which the networks of a stack may differ."""


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
