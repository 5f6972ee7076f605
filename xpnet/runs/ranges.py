"""The valid values of settings, and which settings contradict each other or the data."""

import math
from collections.abc import Mapping
from typing import Any

from xpnet.datasets import Reading, has_validation
from xpnet.errors import InputError
from xpnet.runs.names import flag
from xpnet.training import monitors
from xpnet.values import DEVIATION, NOT_NEGATIVE, POSITIVE, WIDTH, Range, below_one, between

__all__ = ["check", "check_fraction"]

_RANGES: dict[Range, tuple[str, ...]] = {
    # Larger values have no use, and libraries fail on them with unclear errors.
    between(1, 10**4): ("size", "threads"),
    between(1, 10**6): ("step_epochs", "patience", "checkpoint_every"),
    between(0, 10**6): ("epochs",),
    between(0, 1000): ("bins",),
    between(0, 10**4): ("ensemble",),
    WIDTH: ("hidden",),
    between(1, 10**8): ("iterations",),
    between(1, 10**9): ("train_rows",),
    between(0, 10**9): ("batch_size", "components"),
    between(0, 2**64 - 1): ("seed", "batch_seed"),
    NOT_NEGATIVE: ("learning_rate", "learning_rate_decay", "reg", "weight_decay", "mixup", "min_delta"),
    POSITIVE: ("epsilon", "clip_norm", "max_time"),
    DEVIATION: ("init_std",),
    Range("above 0 and below 1", lambda x: 0 < x < 1): ("peak", "validation_fraction"),
}
_BELOW_ONE = ("warmup", "dropout", "input_dropout", "label_smoothing", "momentum", "beta2", "ema")


def check(config: Any) -> None:
    """Refuse settings that are out of range or contradict each other.

    Parameters
    ----------
    config
        An `xpnet.runs.config.Config` whose values are of the right types.

    Raises
    ------
    InputError
        With a one-line message that names the flag.
    """
    for allowed, names in (_RANGES | {below_one(config.dtype): _BELOW_ONE}).items():
        for name in names:
            allowed.check(flag(name), getattr(config, name))
    weighed = set()
    for item in config.class_weight or ():
        name, _, weight = item.rpartition("=")
        if config.class_weight != ("balanced",) and not (name and _is_weight(weight)):
            raise InputError(
                f"--class-weight must be balanced, or NAME=WEIGHT for some classes, not {item!r}"
            )
        if name in weighed:
            raise InputError(f"--class-weight gives {name} twice: drop one")
        weighed.add(name)
    monitors.check_name(config.monitor)
    _check_together(config)


def _is_weight(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False


def _check_together(config: Any) -> None:
    if config.device == "mps" and config.dtype == "float64":
        raise InputError("--device mps does not support float64: use --dtype float32, or --device cpu")
    if (config.iterations is None) == (config.epochs is None):
        raise InputError("give either --iterations or --epochs")
    if config.group is not None and config.time is not None:
        raise InputError("rows are held out by groups or by time: give either --group or --time")
    if config.norm == "batch" and config.batch_size == 1:
        raise InputError("--norm batch needs the statistics of a batch: give a --batch-size of 2 or more")
    if config.loss == "hinge" and (config.mixup or config.label_smoothing):
        raise InputError("--loss hinge takes one class per row: drop --mixup and --label-smoothing")


def check_fraction(given: Mapping[str, Any], dataset: str, has_rows: bool = False) -> None:
    """Refuse ``validation_fraction`` if there are validation rows.

    It checks only settings that the user gave, as a recipe may set the fraction for any data. The default is
    accepted, because the settings of an earlier run include it.

    Parameters
    ----------
    given
        Settings that a user gave with the data.
    dataset
        As in `xpnet.runs.config.Config`.
    has_rows
        Whether validation rows were given, too.

    Raises
    ------
    InputError
        The settings include another fraction.
    """
    usual = Reading.validation_fraction
    if given.get("validation_fraction", usual) != usual and (has_rows or has_validation(dataset)):
        raise InputError(f"{dataset} has its own validation rows: drop --validation-fraction")
