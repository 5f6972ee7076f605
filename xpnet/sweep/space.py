"""Which settings to try: grids and random draws of hyper-parameters, as lists of settings."""

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from xpnet.datasets.reading import SETTINGS as READING
from xpnet.errors import InputError
from xpnet.runs.config import Config
from xpnet.runs.settings import kinds_of, refuse_unknown
from xpnet.values import Kind, counted, shown

__all__ = [
    "Choice",
    "Distribution",
    "LogUniform",
    "Point",
    "Uniform",
    "ablation",
    "check_alike",
    "check_fixed",
    "configs",
    "grid",
    "random",
]

Point = dict[str, Any]
"""Hyper-parameters of one network by the name of the setting."""

SAME_FOR_ALL = (
    "dataset",
    "data_dir",
    "init_from",
    *READING,
    "device",
    "backend",
    "precision",
    "compile",
    "dtype",
    "weights_image",
    "tensorboard",
    "checkpoint_every",
    *(f.name for f in fields(Config) if not f.metadata.get("recorded", True)),
)
"""Settings that a sweep shares: its networks are compared on one data set, which is loaded once, and what it
writes is of all."""


@dataclass(frozen=True)
class Uniform:
    """Uniform between ``low`` and ``high``."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _take_ends(self)
        if not (self.low <= self.high and math.isfinite(self.high - self.low)):
            raise InputError(f"a uniform draw needs finite low <= high, not {self.low} and {self.high}")

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class LogUniform:
    """Uniform in the logarithm between ``low`` and ``high``, both above 0."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _take_ends(self)
        if not (0 < self.low <= self.high < math.inf):
            raise InputError(f"a log-uniform draw needs 0 < low <= high, not {self.low} and {self.high}")

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return float(min(max(value, self.low), self.high))  # rounding may lead past an end


@dataclass(frozen=True)
class Choice:
    """One of ``values``, each as likely."""

    values: tuple[Any, ...]

    def __init__(self, values: Iterable[Any]) -> None:
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise InputError(f"a choice is between the values of a list, not {shown(values)}")
        object.__setattr__(self, "values", tuple(values))
        if not self.values:
            raise InputError("a choice needs at least one value")

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        return self.values[int(rng.integers(len(self.values)))]


Distribution = Uniform | LogUniform | Choice


def grid(space: Mapping[str, Any]) -> list[Point]:
    """Return every combination of the values, the last setting varying fastest.

    Parameters
    ----------
    space
        Values to try by the name of the setting, such as ``{"learning_rate": [1e-3, 2e-3]}``; a single
        one is as good as a list of it. Of layers, ``{"hidden": [100, (300, 100)]}``.

    Raises
    ------
    InputError
        A setting without a value, or with a distribution.
    """
    space = _lists(space)
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def ablation(space: Mapping[str, Any]) -> list[Point]:
    """Return the point of all first values, and for each further value the point that has it alone changed.

    So each setting's worth can be read beside all others as they are meant to be, in a number of points
    that grows with the sum of the values instead of their product.

    Parameters
    ----------
    space
        Values by the name of the setting, the one to keep first: ``{"flip": [True, False]}``.

    Raises
    ------
    InputError
        As for `grid`.
    """
    space = _lists(space)
    base = {name: values[0] for name, values in space.items()}
    return [base, *(base | {name: value} for name, values in space.items() for value in values[1:])]


def random(space: Mapping[str, Any], n: int, seed: int = 0) -> list[Point]:
    """Draw ``n`` points.

    Parameters
    ----------
    space
        A distribution (`Uniform`, `LogUniform`, `Choice`) by the name of the setting; any other value
        is the same in all points.
    n
        Number of points, at least 1.
    seed
        Of the draws; the first points do not depend on ``n``.

    Raises
    ------
    InputError
        No point is asked for, or a setting has what is neither a distribution nor a value.
    """
    n, seed = counted("n, the number of points,", n), counted("seed", seed, 0)
    for name, given in _named(space).items():
        if not isinstance(given, Distribution):
            check_fixed(name, given)
    rng = np.random.default_rng(seed)
    return [
        {name: d.draw(rng) if isinstance(d, Distribution) else d for name, d in space.items()}
        for _ in range(n)
    ]


def configs(points: Iterable[Point], base: Config, share_batches: bool = True) -> list[Config]:
    """Return the settings of each point's network: those of ``base`` with the point's in their place.

    Parameters
    ----------
    points
        From `grid` or `random`, or made by hand.
    base
        All other settings.
    share_batches
        Give all networks the same batches in the same order, whatever their seeds, so that their
        comparison is paired: each gets the first network's ``batch_seed`` unless the point names one.

    Raises
    ------
    InputError
        No point; an unknown setting, one that a sweep can't vary, or a value out of its range.
    """
    if not isinstance(base, Config):
        raise InputError(f"base must be a Config, not {shown(base)}")
    if isinstance(points, str | bytes | Mapping) or not isinstance(points, Iterable):
        raise InputError(f"points must be a list of them, not {shown(points)}")
    made = []
    for point in points:
        if not isinstance(point, Mapping):
            raise InputError(f"a point must be values by the name of the setting, not {shown(point)}")
        refuse_unknown(point, Config, " to sweep over")
        for name in point:
            if name in SAME_FOR_ALL:
                raise InputError(f"{name} is the same for a whole sweep: run one sweep for each value")
        made.append(type(base).of(base, point))
    if not made:
        raise InputError("a sweep needs at least one point")
    if share_batches:
        first = made[0].seed if made[0].batch_seed is None else made[0].batch_seed
        made = [c if c.batch_seed is not None else replace(c, batch_seed=first) for c in made]
    return made


def check_alike(configs: Sequence[Config]) -> None:
    """Refuse settings that no sweep can have together.

    Raises
    ------
    InputError
        There are none, or they differ in what is the same for a whole sweep.
    """
    if not configs:
        raise InputError("a sweep needs at least one network: give the settings of one or more")
    for config in configs:
        if not isinstance(config, Config):
            raise InputError(f"a sweep is of Configs, not of {shown(config)}: make them with sweep.configs")
    for name in SAME_FOR_ALL:
        first = getattr(configs[0], name)
        other = next((value for c in configs if (value := getattr(c, name)) != first), first)
        if other != first:
            raise InputError(
                f"{name} is the same for a whole sweep, not {first!r} and {other!r}: "
                "run one sweep for each value"
            )


def check_fixed(name: str, given: Any) -> None:
    """Refuse what stands in the place of a distribution and is no value of a setting.

    Raises
    ------
    InputError
        It is a list, or an object of another kind.
    """
    if isinstance(given, list | set | range) or (isinstance(given, np.ndarray) and given.ndim):
        listed = shown(given.tolist() if isinstance(given, np.ndarray) else given)
        raise InputError(f"{name} is a plain list: give Choice({listed})")
    kind = kinds_of(Config).get(name)
    if isinstance(given, tuple) and kind is not None and not kind.is_tuple:
        raise InputError(f"{name} is {shown(given)}: give LogUniform, Uniform or Choice of that")
    if not isinstance(given, str | int | float | tuple | np.generic | np.ndarray | os.PathLike | None):
        raise InputError(
            f"{name} cannot be drawn from an object of {type(given).__name__}: "
            "give Uniform, LogUniform or Choice"
        )


def _named(space: Any) -> Mapping[str, Any]:
    """Return what is to be tried; complain if it is no mapping."""
    if not isinstance(space, Mapping):
        raise InputError(f"the grid must be values by the name of the setting, not {shown(space)}")
    return space


def _is_among(value: Any, others: Sequence[Any]) -> bool:
    """Return whether one of others is the same value, of the same type."""
    return any(type(value) is type(other) and repr(value) == repr(other) for other in others)


def _take_ends(ends: "Uniform | LogUniform") -> None:
    """Bring the ends of a range to floats."""
    for name in ("low", "high"):
        object.__setattr__(ends, name, Kind(float).take(f"{name}, an end of the range,", getattr(ends, name)))


def _lists(space: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values to try of each setting, at least one."""
    lists = {}
    for name, given in _named(space).items():
        if isinstance(given, Distribution):
            raise InputError(f"{name} is a distribution: draw from it with random, or give a list of values")
        is_single = isinstance(given, str | Mapping) or not isinstance(given, Iterable)
        is_single = is_single or (isinstance(given, np.ndarray) and given.ndim == 0)
        lists[name] = [given] if is_single else list(given)
        if not lists[name]:
            raise InputError(f"{name} has no value to try: give one or more")
        for k, value in enumerate(lists[name]):
            if _is_among(value, lists[name][:k]):
                raise InputError(f"{name} has {shown(value)} twice: leave one out")
        kind = kinds_of(Config).get(name)
        if kind and kind.is_tuple and isinstance(given, tuple) and isinstance(given[0], int | np.integer):
            raise InputError(
                f"{name} is {given!r}, one value or several: "
                f"give [{given!r}] to try that, or {list(given)!r} to try each"
            )
    return lists
