"""The values that settings of a run may have, and which contradict each other."""

import math
from typing import Any

import numpy as np

from xpnet.errors import InputError
from xpnet.runs.settings import flag

__all__ = ["check"]

# What lies above has no use, and libraries fail on it in ways of their own.
_BOUNDS = (
    ("hidden", 1, 10**7),
    ("iterations", 1, 10**8),
    ("epochs", 1, 10**6),
    ("batch_size", 1, 10**9),
    ("step_epochs", 1, 10**6),
    ("patience", 1, 10**6),
    ("checkpoint_every", 1, 10**6),
    ("ensemble", 1, 10**4),
    ("seed", 0, 2**64 - 1),
    ("batch_seed", 0, 2**64 - 1),
)
_NOT_NEGATIVE = (
    "learning_rate",
    "learning_rate_decay",
    "reg",
    "weight_decay",
    "init_std",
    "mixup",
    "min_delta",
)
_BELOW_ONE = ("warmup", "dropout", "input_dropout", "label_smoothing", "momentum", "beta2", "ema")


def check(config: Any) -> None:
    """Refuse settings out of their range, or that contradict each other.

    Parameters
    ----------
    config
        An `xpnet.runs.config.Config` whose values are of the right types.

    Raises
    ------
    InputError
        One line, which names the flag.
    """
    for name, least, most in _BOUNDS:
        value = getattr(config, name)
        for item in value if isinstance(value, tuple) else (value,):
            if item is not None and not least <= item <= most:
                raise InputError(f"{flag(name)} must be from {least} to {most}, not {item}")
    for name in _NOT_NEGATIVE:
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{flag(name)} must be a finite number, 0 or more, not {value}")
    for name in _BELOW_ONE:
        value = getattr(config, name)
        # In the precision of the computation: what rounds to 1 there would be divided by 0.
        if not (value >= 0 and np.dtype(config.dtype).type(value) < 1):
            raise InputError(f"{flag(name)} must be 0 or more and below 1 in {config.dtype}, not {value}")
    for name in ("epsilon", "clip_norm", "max_time"):
        value = getattr(config, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise InputError(f"{flag(name)} must be a finite number above 0, not {value}")
    for item in config.class_weight or ():
        name, _, weight = item.rpartition("=")
        if config.class_weight != ("balanced",) and not (name and _is_weight(weight)):
            raise InputError(f"--class-weight takes balanced, or NAME=WEIGHT for some classes, not {item!r}")
    if not 0 < config.peak < 1:
        raise InputError(f"--peak must be above 0 and below 1, not {config.peak}")
    if config.init_std > 1e30:
        raise InputError(f"{flag('init_std')} must be at most 1e30, not {config.init_std}")
    _check_together(config)


def _is_weight(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False


def _check_together(config: Any) -> None:
    if config.device == "mps" and config.dtype == "float64":
        raise InputError("--device mps knows no float64: use --dtype float32, or --device cpu")
    if (config.iterations is None) == (config.epochs is None):
        raise InputError("give either --iterations or --epochs")
    if config.norm == "batch" and config.batch_size < 2:
        raise InputError("--norm batch needs the statistics of a batch: give a --batch-size of 2 or more")
    if config.loss == "hinge" and (config.mixup or config.label_smoothing):
        raise InputError("--loss hinge takes one class a row: drop --mixup and --label-smoothing")
