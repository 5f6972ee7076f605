"""Options for the user's own data: the roles of columns, and which rows are held out."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets.stored import PART
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.typing import Task

__all__ = [
    "OF_COLUMNS",
    "SETTINGS",
    "Note",
    "Reading",
    "RowsIn",
    "hold_out",
    "is_large",
    "refuse_unused",
    "silent",
    "stay_on_disk",
]

RowsIn: TypeAlias = Literal["auto", "memory", "disk"]
"""Where rows are while they are trained on."""

MOST = 0.5
"""Fraction of the free memory that rows may fill with ``rows_in="auto"``."""

Note: TypeAlias = Callable[[str], None]
"""Called with a sentence about the data that the user should know."""


def silent(_text: str) -> None:
    """Ignore a note."""


@dataclass(frozen=True)
class Reading:
    """Options for the user's own data.

    Attributes
    ----------
    task
        The task, if the targets leave it open.
    target
        Columns to predict.
    categorical, numeric, ignore
        Columns to treat as categorical or numeric, whatever they look like, and columns to ignore.
    header
        Whether the first line of a CSV file holds the column names; None to detect it.
    validation_fraction
        Fraction of the rows held out, at least one row.
    group
        Column of groups, which are never split between training and validation; it is not an input.
    time
        Column of times: the latest rows are held out; rows with the same time stay together.
    size
        Height and width to resize images to, or one number for both; None keeps the size of small images.
    channels
        Channels of images, 1 or 3; None to keep them.
    seed
        Random seed of the held-out rows.
    rows_in
        Where the rows stay during training: ``"memory"``; ``"disk"``, read as needed; or ``"auto"``, on disk
        if they would fill much of the free memory.
    """

    task: Task | None = None
    target: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    header: bool | None = None
    validation_fraction: float = 0.1
    group: str | None = None
    time: str | None = None
    size: int | tuple[int, int] | None = None
    channels: int | None = None
    seed: int = 0
    rows_in: RowsIn = "auto"

    @property
    def names(self) -> set[str]:
        """All columns named by the options."""
        one = {name for name in (self.group, self.time) if name is not None}
        return one.union(self.target, self.categorical, self.numeric, self.ignore)


SETTINGS = tuple(f.name for f in fields(Reading) if f.name not in ("channels", "seed"))
"""The options that are settings."""

OF_COLUMNS = ("target", "categorical", "numeric", "ignore", "group", "time")
"""The options about columns of a table."""


def refuse_unused(name: str, reading: Reading, *used: str) -> None:
    """Refuse options about columns, header or images that do not apply to the data.

    Parameters
    ----------
    name
        Name of the data in messages.
    reading
        The options.
    used
        Names of the options that apply to the data.

    Raises
    ------
    InputError
        Another option is set.
    """
    kinds = dict.fromkeys(OF_COLUMNS, "table") | {"header": "text file", "size": "folder of images"}
    kinds["rows_in"] = "folder of arrays, Parquet file, CSV or map of a file"
    # All other rows are in memory, so "memory" is always accepted.
    usual = Reading(rows_in="memory" if reading.rows_in == "memory" else "auto")
    for setting, kind in kinds.items():
        if setting not in used and getattr(reading, setting) != getattr(usual, setting):
            raise InputError(f"{name} is not a {kind}: drop --{setting.replace('_', '-')}")


def is_large(size: int) -> bool:
    """Return whether rows of this many bytes are too large to be kept in memory."""
    return size > MOST * Device().free_memory()


def stay_on_disk(name: str, size: int, rows_in: RowsIn, note: Note) -> bool:
    """Return whether rows stay on disk; note it if the user did not ask for it.

    Parameters
    ----------
    name
        Name of the data.
    size
        Bytes of all rows in memory.
    rows_in
        The user's choice.
    note
        Called with a sentence if they stay on disk because they are large.
    """
    if rows_in == "auto" and is_large(size):
        note(
            f"{name}: {size / 1e9:.3g} GB of rows stay on disk and are read as needed, as "
            f"{Device().free_memory() / 1e9:.1f} GB of memory is free"
        )
        return True
    return rows_in == "disk"


def hold_out(
    name: str,
    num_rows: int,
    reading: Reading,
    classes: NDArray[np.int64] | None = None,
    groups: NDArray[np.generic] | None = None,
    times: NDArray[np.generic] | None = None,
) -> NDArray[np.int64]:
    """Choose the validation rows.

    Parameters
    ----------
    name
        Name of the data in messages.
    num_rows
        Number of rows.
    reading
        Fraction and seed.
    classes
        The class of each row: the last training row of a class is never held out.
    groups, times
        Values of the columns of groups or times.

    Returns
    -------
    ndarray
        Row numbers, in no particular order: random rows, random whole groups, or the latest rows (all or none
        of each time).

    Raises
    ------
    InputError
        There are too few rows, groups or times, or the fraction or seed is out of range.
    """
    fraction, seed = reading.validation_fraction, reading.seed
    if not 0 < fraction < 1:
        raise InputError(f"{name}: validation_fraction must be between 0 and 1, not {fraction}")
    if not 0 <= seed < 2**32:
        raise InputError(f"{name}: seed must be from 0 to 2**32 - 1, not {seed}")
    if num_rows == 1:
        raise InputError(f"{name}: X has only one row, which leaves none to train on: give at least two")
    count = min(num_rows - 1, max(1, int(num_rows * fraction)))
    if times is not None:
        return _latest(name, times, count)
    if groups is not None:
        return _whole_groups(name, groups, count, partial(_shuffled, seed))
    chosen = _shuffled(seed, num_rows)[num_rows - count :].astype(np.int64)
    return chosen if classes is None else _leaving_each_class(chosen, classes)


def _shuffled(seed: int, count: int) -> NDArray[np.integer[Any]]:
    """Return a random permutation of ``count`` row numbers."""
    order: NDArray[np.integer[Any]] = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)
    # RandomState, not Generator: NumPy promises that its stream never changes (NEP 19).
    np.random.RandomState(seed).shuffle(order)
    return order


def _latest(name: str, times: NDArray[np.generic], count: int) -> NDArray[np.int64]:
    """Return the rows of the latest times, about ``count`` rows: at least one time, but not all.

    Rows with the same time stay together, because training rows would reveal what they have in common.
    """
    _, number, sizes = np.unique(times, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise InputError(f"{name}: all rows have the same time and cannot be split: give another --time")
    later = np.cumsum(sizes[:0:-1])  # rows of the latest time, of the two latest, …
    nearest = int(np.abs(later - count).argmin())
    return np.flatnonzero(number >= len(sizes) - 1 - nearest)


def _whole_groups(
    name: str, groups: NDArray[np.generic], count: int, order: Callable[[int], NDArray[np.integer[Any]]]
) -> NDArray[np.int64]:
    """Return the rows of whole groups, about ``count`` rows: at least one group, but not all."""
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise InputError(f"{name}: all rows are in one group and cannot be split: give another --group")
    shuffled = order(len(sizes))
    before = np.cumsum(sizes[shuffled]) - sizes[shuffled]
    chosen = shuffled[:-1][before[:-1] < count]
    return np.flatnonzero(np.isin(number, chosen))


def _leaving_each_class(chosen: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows without one of each class that has no others, which could not be learnt otherwise."""
    num_classes = int(classes.max()) + 1
    # Part by part, because NumPy's bincount would convert all at once to 8 bytes.
    parts = (classes[begin : begin + PART] for begin in range(0, len(classes), PART))
    left = sum(np.bincount(part, minlength=num_classes) for part in parts)
    left -= np.bincount(classes[chosen], minlength=num_classes)
    of_chosen, first = np.unique(classes[chosen], return_index=True)
    back = first[left[of_chosen] == 0]
    return np.delete(chosen, back) if len(back) < len(chosen) else chosen
