"""Dates, times and durations of a column, of any type."""

import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.raw import Raw
from xpnet.columns.tabular import Frame, flag
from xpnet.errors import InputError
from xpnet.values import shown

__all__ = [
    "DATES",
    "DURATIONS",
    "Dates",
    "dates_of",
    "dates_of_objects",
    "days_of",
    "days_of_object",
    "one_kind",
]

DATES = (datetime.date, np.datetime64)
DURATIONS = (datetime.timedelta, np.timedelta64, datetime.time)
"""Types of Python and NumPy; those of pandas are among them."""

_PER_DAY = {"D": 1, "h": 24, "m": 1440, "s": 86400, "ms": 864e5, "us": 864e8, "ns": 864e11}
_PER_DAY |= {"ps": 864e14, "fs": 864e17, "as": 864e20}
_FIRST, _LAST = -719_162, 2_932_897  # days from 1970: the years 1 to 9999, which Python can write


class Dates(NamedTuple):
    """Instants of rows; NaT is a gap.

    Attributes
    ----------
    values
        ``datetime64[us]``, in UTC where there was a time zone.
    held
        Whether there was a time zone.
    """

    values: NDArray[np.datetime64]
    held: str = "dates"

    @property
    def gaps(self) -> NDArray[np.bool_]:
        """Rows without a value."""
        return np.isnat(self.values)


def days_of(values: NDArray[Any], gaps: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return dates or durations of any unit as days, without overflow."""
    unit, count = np.datetime_data(values.dtype)
    if unit in ("Y", "M", "W", "generic"):
        values, (unit, count) = values.astype(f"{values.dtype.kind}8[D]"), ("D", 1)
    days: NDArray[np.float64] = values.astype(np.int64).astype(np.float64) * (count / _PER_DAY[unit])
    days[gaps] = np.nan
    return days


def dates_of(frame: Frame, name: str, column: Raw) -> Dates:
    """Return dates of NumPy; raise InputError for one beyond the years of four digits."""
    gaps = column.gaps
    days = days_of(column.values, gaps)
    outside = (days < _FIRST) | (days >= _LAST)
    if outside.any():
        raise InputError(
            f"column {shown(name)} holds a date outside the years 1 to 9999 in "
            f"{frame.where(int(outside.argmax()))}: leave it empty, or leave out the column with "
            f"{flag('ignore', name)}"
        )
    values = column.values.astype("datetime64[us]")
    values[gaps] = np.datetime64("NaT", "us")
    return Dates(values, "dates with a time zone" if column.has_zone else "dates")


def dates_of_objects(frame: Frame, name: str, column: Raw) -> Dates:
    """Return dates of Python, of NumPy and of pandas."""
    values = np.full(len(column.values), np.datetime64("NaT", "us"), "datetime64[us]")
    zones = np.zeros(len(values), bool)
    for row in np.flatnonzero(~column.gaps):
        value = column.values[row]
        if isinstance(value, datetime.datetime) and value.tzinfo is not None:
            zones[row] = True
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        values[row] = np.datetime64(value, "us")
    return one_kind(frame, name, values, zones)


def one_kind(frame: Frame, name: str, values: NDArray[np.datetime64], zones: NDArray[np.bool_]) -> Dates:
    """Return dates that all have a time zone, or all have none.

    Raises
    ------
    InputError
        Only some have one: the time zone of the others is unknown.
    """
    present = ~np.isnat(values)
    if zones.any() and not zones[present].all():
        row = int((present & ~zones).argmax())
        raise InputError(
            f"column {shown(name)} holds a time without a zone in {frame.where(row)}, but others have "
            f"one: write all with a zone, or leave out the column with {flag('ignore', name)}"
        )
    return Dates(values, "dates with a time zone" if zones.any() else "dates")


def days_of_object(value: Any) -> float:
    """Return a duration, or a time since midnight, as days."""
    if isinstance(value, datetime.time):
        value = (
            datetime.datetime.combine(datetime.date.min, value.replace(tzinfo=None)) - datetime.datetime.min
        )
    return float(
        value / (np.timedelta64(1, "D") if isinstance(value, np.timedelta64) else datetime.timedelta(1))
    )
