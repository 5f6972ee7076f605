"""The settings of a run: one frozen dataclass, the source of flags, help, files and checks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from xpnet.batches import Sampling
from xpnet.errors import InputError
from xpnet.flags import flag, setting

__all__ = ["DATASET_DEFAULTS", "Config", "defaults_for"]

# What lies above has no use, and libraries fail on it in ways of their own.
_BOUNDS = (
    ("hidden", 1, 10**7),
    ("iterations", 1, 10**8),
    ("epochs", 1, 10**6),
    ("batch_size", 1, 10**9),
    ("seed", 0, 2**64 - 1),
    ("batch_seed", 0, 2**64 - 1),
)


@dataclass(frozen=True)
class Config:
    """Settings of one training run; each is a flag, a key of a TOML file and of ``config.json``.

    A field marked ``stackable`` may differ between the networks of a stack trained at once; one with
    ``recorded=False`` says what to do with a run, not what it is, and stays out of ``config.json``:
    repeating a run from there must not write over it.

    Raises
    ------
    InputError
        A value out of its range.
    """

    dataset: str = setting("digits", "digits, cifar10, or the path of an .npz file with X and y")
    data_dir: str | None = setting(
        None, "folder with the files of cifar10; else $XPNET_DATA_DIR, the cache, a download"
    )
    device: str = setting("cpu", "cpu, cuda or cuda:N")
    dtype: Literal["float32", "float64"] = setting("float32", "precision of the computation")
    hidden: tuple[int, ...] = setting((300,), "units of each hidden layer")
    iterations: int | None = setting(1000, "number of updates")
    epochs: int | None = setting(
        None, "passes over the training rows, instead of --iterations", instead_of="iterations"
    )
    batch_size: int = setting(50, "rows in a batch")
    learning_rate: float = setting(2e-2, "learning rate of the first epoch", stackable=True)
    learning_rate_decay: float = setting(0.99, "factor on the learning rate after each epoch", stackable=True)
    reg: float = setting(1e-2, "strength of the L2 penalty on the weights", stackable=True)
    init_std: float = setting(5e-2, "standard deviation of the initial weights", stackable=True)
    sampling: Sampling = setting(  # noqa: RUF009 - ruff does not see that it is immutable
        "replacement", "batches drawn with replacement, or from a new shuffle each epoch"
    )
    seed: int = setting(0, "seed of the initial weights and of the batches", stackable=True)
    batch_seed: int | None = setting(
        None, "seed of the batches, where it is to differ from --seed", stackable=True
    )
    weights_image: bool = setting(False, "write the first layer's weights as images: weights.png")
    out: str | None = setting(
        None, "folder to write, by default runs/<dataset>-<date>-<time>", recorded=False
    )
    json: bool = setting(
        False, "print the summary as JSON in the last line of standard output", recorded=False
    )
    quiet: bool = setting(False, "print nothing but errors and that JSON", recorded=False)

    def __post_init__(self) -> None:
        for name, least, most in _BOUNDS:
            value = getattr(self, name)
            for item in value if isinstance(value, tuple) else (value,):
                if item is not None and not least <= item <= most:
                    raise InputError(f"{flag(name)} must be from {least} to {most}, not {item}")
        for name in ("learning_rate", "learning_rate_decay", "reg", "init_std"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{flag(name)} must be a finite number, 0 or more, not {value}")
        if self.init_std > 1e30:
            raise InputError(f"{flag('init_std')} must be at most 1e30, not {self.init_std}")
        if (self.iterations is None) == (self.epochs is None):
            raise InputError("give either --iterations or --epochs")

    def num_steps(self, num_rows: int) -> int:
        """Return the number of updates on ``num_rows`` training rows.

        Raises
        ------
        InputError
            A batch is larger than the data.
        """
        if self.batch_size > num_rows:
            raise InputError(
                f"--batch-size {self.batch_size} is larger than the {num_rows} training rows: "
                f"use {num_rows} or less"
            )
        return self.iterations or (self.epochs or 0) * (num_rows // self.batch_size)


DATASET_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # The best row of the original exercise: raw pixels want a smaller step than the digits' 0 to 16.
    "cifar10": {
        "iterations": 1600,
        "batch_size": 400,
        "learning_rate": 1.6e-3,
        "learning_rate_decay": 0.9,
        "init_std": 1e-4,
    }
}


def defaults_for(dataset: str) -> dict[str, Any]:
    """Return the default of every setting for a data set."""
    common = {f.name: f.default for f in fields(Config)}
    return common | {"dataset": dataset} | dict(DATASET_DEFAULTS.get(dataset, {}))
