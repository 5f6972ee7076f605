"""Axes of charts: their range, their ticks, and the format of their numbers."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Axis", "finite", "number"]


class Axis(NamedTuple):
    """An axis: its range, its scale and the format of its numbers.

    Attributes
    ----------
    low, high
        Ends of the range.
    log
        Whether the scale is logarithmic; both ends are then above 0.
    label
        Label of the axis; drawn for the horizontal axis only.
    form
        Function that formats a number; by default `number`.
    whole
        Whether to use only whole numbers.
    names
        Names of 0, 1, … if these are no numbers.
    """

    low: float
    high: float
    log: bool = False
    label: str = ""
    form: Callable[[float], str] | None = None
    whole: bool = False
    names: Sequence[str] = ()

    @classmethod
    def of_names(cls, names: Sequence[str], label: str = "") -> "Axis":
        """Return an axis with a place for each name: 0, 1, …."""
        return cls(-0.5, len(names) - 0.5, label=label, names=names)

    @classmethod
    def over(
        cls,
        values: ArrayLike,
        *,
        log: bool = False,
        least: float = -math.inf,
        most: float = math.inf,
        label: str = "",
        form: Callable[[float], str] | None = None,
        whole: bool = False,
    ) -> "Axis":
        """Return an axis for the finite ones among some values, within limits, with a margin at both ends."""
        known = np.asarray(values, np.float64).ravel()
        known = known[np.isfinite(known) & ((known > 0) | (not log))]
        if not known.size:
            return cls(0.1 if log else 0.0, 1.0, log, label, form, whole)
        low, high = (float(np.clip(end, least, most)) for end in (known.min(), known.max()))
        if log:
            room = max((high / low) ** 0.05, 1.05)
            return cls(low / room, high * room, log, label, form, whole)
        room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(max(low - room, least), min(high + room, most), log, label, form, whole)

    def parts(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the positions of values: 0 at the low end, 1 at the high end, clipped."""
        ends = np.array([self.low, self.high])
        with np.errstate(all="ignore"):
            v = np.asarray(values, np.float64)
            if self.log:
                v, ends = np.log(np.maximum(v, self.low * 1e-9)), np.log(ends)
            places: NDArray[np.float64] = np.clip((v - ends[0]) / (ends[1] - ends[0] or 1.0), -9, 9)
            return places

    def ticks(self, most: int = 5) -> list[float]:
        """Return round numbers along the axis (ticks), about as many as requested."""
        if self.names:
            return [float(k) for k in range(len(self.names))]
        return self._log_ticks(most) if self.log else self._plain_ticks(most)

    def _plain_ticks(self, most: int) -> list[float]:
        span = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(span)) if span > 0 else 1.0
        step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= span * 0.999)
        if self.whole:
            step = max(1.0, math.ceil(step) if step < 10 else step)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [float(f"{(first + k) * step:.10g}") for k in range(count)]

    def _log_ticks(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for kept in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
            ticks = [m * 10.0**e for e in range(first, last + 1) for m in kept]
            ticks = [tick for tick in ticks if self.low <= tick <= self.high]
            ticks = [tick for tick in ticks if not self.whole or tick >= 1]
            if len(ticks) <= most + 1:
                break
        while len(ticks) > most + 2:
            ticks = ticks[::2]
        return ticks if len(ticks) > 1 else self._plain_ticks(most)

    def write(self, value: float) -> str:
        """Return a number as the axis formats it."""
        return self.names[round(value)] if self.names else (self.form or number)(value)


def number(value: float, digits: int = 4) -> str:
    """Return a number in a few characters: ``0.012``, ``12k``, ``3e-5``."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size < 1e4 and value == int(value):
        return f"{value:,.0f}"
    if 1e4 <= size < 1e9:
        unit, sign = (1e6, "M") if size >= 1e6 else (1e3, "k")
        return f"{value / unit:.{digits}g}{sign}"
    if 1e-3 <= size < 1e4:
        return f"{value:.{digits}g}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def finite(values: ArrayLike) -> NDArray[np.float64]:
    """Return the values as float64, with NaN (a gap in a line) for those that cannot be drawn."""
    array = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(array) < 1e30, array, np.nan)
