"""Which settings to try: grids and random draws, as lists of settings."""

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
"""Values of one network's settings, by name."""

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
"""Settings that are the same for a whole sweep: its networks are compared on one data set, which is loaded
once, and its files are about all of them."""


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
    """Log-uniform between ``low`` and ``high``, both above 0."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _take_ends(self)
        if not (0 < self.low <= self.high < math.inf):
            raise InputError(f"a log-uniform draw needs 0 < low <= high, not {self.low} and {self.high}")

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return float(min(max(value, self.low), self.high))  # rounding may exceed the range


@dataclass(frozen=True)
class Choice:
    """One of ``values``, all equally likely."""

    values: tuple[Any, ...]

    def __init__(self, values: Iterable[Any]) -> None:
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise InputError(f"a choice needs a list of values, not {shown(values)}")
        object.__setattr__(self, "values", tuple(values))
        if not self.values:
            raise InputError("a choice needs at least one value")

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        return self.values[int(rng.integers(len(self.values)))]


Distribution = Uniform | LogUniform | Choice


def grid(space: Mapping[str, Any]) -> list[Point]:
    """Return all combinations of the values; the last setting varies fastest.

    Parameters
    ----------
    space
        Values to try for each setting, such as ``{"learning_rate": [1e-3, 2e-3]}`` or ``{"hidden": [100,
        (300, 100)]}``; a single value counts as a list of one.

    Raises
    ------
    InputError
        If a setting has no value, or a distribution.
    """
    space = _lists(space)
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def ablation(space: Mapping[str, Any]) -> list[Point]:
    """Return the point of all first values and, for each other value, the point with only that value changed.

    This shows the effect of each setting with all others at their intended values. The number of points is
    the sum of the numbers of values, not their product.

    Parameters
    ----------
    space
        Values for each setting, the one to keep first: ``{"flip": [True, False]}``.

    Raises
    ------
    InputError
        As for `grid`.
    """
    space = _lists(space)
    base = {name: values[0] for name, values in space.items()}
    return [base, *(base | {name: value} for name, values in space.items() for value in values[1:])]


def random(space: Mapping[str, Any], n: int, seed: int = 0) -> list[Point]:
    """Draw ``n`` random points.

    Parameters
    ----------
    space
        A distribution (`Uniform`, `LogUniform` or `Choice`) for each setting; any other value is the same in
        all points.
    n
        Number of points, at least 1.
    seed
        Seed of the draws; the first points do not depend on ``n``.

    Raises
    ------
    InputError
        If ``n`` is below 1, or a setting has neither a distribution nor a valid value.
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
    """Return the settings of each point's network: those of ``base``, overridden by the point's.

    Parameters
    ----------
    points
        From `grid` or `random`, or made by hand.
    base
        All other settings.
    share_batches
        Give all networks the same batches in the same order, whatever their seeds, for a paired comparison:
        each gets the first network's ``batch_seed``, unless its point names one.

    Raises
    ------
    InputError
        If there is no point, or a setting is unknown, cannot vary in a sweep, or is out of range.
    """
    if not isinstance(base, Config):
        raise InputError(f"base must be a Config, not {shown(base)}")
    if isinstance(points, str | bytes | Mapping) or not isinstance(points, Iterable):
        raise InputError(f"points must be a list of points, not {shown(points)}")
    made = []
    for point in points:
        if not isinstance(point, Mapping):
            raise InputError(f"a point must be a dict of values by setting, not {shown(point)}")
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
    """Refuse settings that cannot be in one sweep.

    Raises
    ------
    InputError
        If there are none, or they differ in a setting that is the same for a whole sweep.
    """
    if not configs:
        raise InputError("a sweep needs at least one network: give the settings of one or more")
    for config in configs:
        if not isinstance(config, Config):
            raise InputError(
                f"a sweep needs a list of Config objects, not {shown(config)}: make them with sweep.configs"
            )
    for name in SAME_FOR_ALL:
        first = getattr(configs[0], name)
        other = next((value for c in configs if (value := getattr(c, name)) != first), first)
        if other != first:
            raise InputError(
                f"{name} is the same for a whole sweep, not {first!r} and {other!r}: "
                "run one sweep for each value"
            )


def check_fixed(name: str, given: Any) -> None:
    """Refuse a value that is neither a distribution nor a value of the setting.

    Raises
    ------
    InputError
        If it is a list, or an object of another type.
    """
    if isinstance(given, list | set | range) or (isinstance(given, np.ndarray) and given.ndim):
        listed = shown(given.tolist() if isinstance(given, np.ndarray) else given)
        raise InputError(f"{name} is a plain list: give Choice({listed})")
    kind = kinds_of(Config).get(name)
    if isinstance(given, tuple) and kind is not None and not kind.is_tuple:
        raise InputError(f"{name} is {shown(given)}: give LogUniform, Uniform or Choice instead")
    if not isinstance(given, str | int | float | tuple | np.generic | np.ndarray | os.PathLike | None):
        raise InputError(
            f"{name} cannot be drawn from an object of {type(given).__name__}: "
            "give Uniform, LogUniform or Choice"
        )


def _named(space: Any) -> Mapping[str, Any]:
    """Return the space; refuse it if it is not a mapping."""
    if not isinstance(space, Mapping):
        raise InputError(f"the grid must be a dict of values by setting, not {shown(space)}")
    return space


def _is_among(value: Any, others: Sequence[Any]) -> bool:
    """Return whether a value of the same type is among others."""
    return any(type(value) is type(other) and repr(value) == repr(other) for other in others)


def _take_ends(ends: "Uniform | LogUniform") -> None:
    """Convert the ends of a range to floats."""
    for name in ("low", "high"):
        object.__setattr__(ends, name, Kind(float).take(f"{name}, an end of the range,", getattr(ends, name)))


def _lists(space: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values to try for each setting, at least one."""
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
                f"{name} is {given!r}, which may be one value or several: give [{given!r}] to try it as "
                f"one, or {list(given)!r} to try each"
            )
    return lists
