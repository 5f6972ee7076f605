"""Ranges and gaps of the features of the training rows, before preprocessing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import Columns
from xpnet.columns.tabular import listed
from xpnet.datasets.stored import Stored
from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["RowRange"]

CHUNK = 2**20
"""Numbers that are looked at together."""

WIDE = 2048
"""Numbers from which on a row is reduced as fast as it can be."""

WIDTHS = 10.0
"""Widths of a range from which a value beyond it is far: no tail of what is measured alike goes there."""

SHARE, ENOUGH = 0.5, 10
"""Of columns that have no names: rows, of so many or more, that make a column far where one row does not."""

WHITES = 1.0, 16.0, 255.0
"""What white is in pixels as people have them: from 0 to 1, in the digits of UCI, in bytes."""

OTHERS = 31.0, 63.0, 100.0, 127.0, 1023.0, 4095.0, 16383.0, 65535.0
"""What else it may be, to propose: of 5, 6, 7, 10, 12, 14 and 16 bits, and percent."""

BRIGHTEST = 0.6
"""Of white, the least that the highest of all training values is: images that are all darker are few."""

PIXELS, HALF = 0.02, 0.5
"""Pixels of an image, as a part, that are out of their own range by this part of the whole range where it is
unlike the training rows: a stroke at the border is, too, but thin."""

BYTES = 10.0
"""Of pixels, a highest value that cannot be of a range from 0 to 1."""


class _Ends(NamedTuple):
    """Lowest and highest value of each feature, NaN where all are gaps."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RowRange:
    """Ranges of the training rows, as given.

    Attributes
    ----------
    low, high
        Lowest and highest value of each feature, ignoring gaps.
    gaps
        Features that may be NaN: a row that the network was trained or measured on lacked it.
    kind
        Of their dtype: ``b``, ``u``, ``i`` or ``f``.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    gaps: NDArray[np.bool_]
    kind: str

    @classmethod
    def of(cls, X: Any, *others: Any) -> "RowRange":
        """Return what rows ``(rows, features)`` held; of the others, which only validate, their gaps."""
        gaps = np.zeros(X.shape[1], np.bool_)
        for rows in (X, *others):
            if isinstance(rows, Stored):
                gaps |= rows.scan.gaps
            elif rows is not None and rows.dtype.kind == "f":
                for part in _parts(rows):
                    gaps |= np.isnan(part).any(axis=0)
        ends = (X.scan.low, X.scan.high) if isinstance(X, Stored) else _ends(X)
        return cls(*ends, gaps, X.dtype.kind)

    def joined(self, other: "RowRange") -> "RowRange":
        """Return what rows of both held."""
        return RowRange(
            np.fmin(self.low, other.low),
            np.fmax(self.high, other.high),
            self.gaps | other.gaps,
            self.kind if self.kind == other.kind else "f",
        )

    def beyond(self, other: "RowRange") -> NDArray[np.bool_]:
        """Return in which features another range goes far beyond this; not where this is of one value."""
        far: NDArray[np.bool_] = _is_far(other.low, other.high, self.low, self.high)
        return far & (self.high > self.low)

    def mostly_far(self, X: NDArray[Any]) -> NDArray[np.bool_]:
        """Return in which features most rows, if they are not just a few, are far from this range."""
        far = self.beyond(RowRange.of(X))
        if len(X) < ENOUGH:
            return np.zeros_like(far)
        return far & (self._share(X, far) >= SHARE)

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest value of all."""
        return float(np.fmin.reduce(self.low)), float(np.fmax.reduce(self.high))

    def white(self) -> float:
        """Return what white is among pixels from 0 on.

        Raises
        ------
        InputError
            The training rows do not tell.
        """
        low, high = self.ends
        if self.kind == "u" and WHITES[1] < high <= WHITES[-1]:  # bytes, as of files, however dark
            return WHITES[-1]
        if low >= 0:
            for white in WHITES:
                if _is_white(high, white):
                    return white
            if high == 0:  # all black, which is so in any range
                return WHITES[0]
        likely = next((white for white in sorted((*WHITES, *OTHERS)) if _is_white(high, white)), None)
        black = -likely if likely is not None and _is_white(-low, likely) else min(low, 0)
        likely = high if likely is None else likely
        raise InputError(
            f"the run was trained on values from {low:.6g} to {high:.6g}, so the value of white is "
            f"unknown: give black and white, such as --black {black:.6g} --white {likely:.6g} (in Python "
            f"shades=({black:.6g}, {likely:.6g}))"
        )

    def new_gaps(self, X: NDArray[Any], columns: Columns) -> str | None:
        """Return a line that names the columns with a gap which had none in training; None if none has."""
        full = np.flatnonzero(~self.gaps)
        if X.dtype.kind != "f" or not full.size:
            return None
        lacking = np.zeros(X.shape[1], np.bool_)
        for part in _parts(X):
            lacking |= np.isnan(part).any(axis=0)
        places = full[lacking[full]]
        if not places.size:
            return None
        names = list(dict.fromkeys(columns.columns[place].origin for place in places))
        return (
            f"missing values in columns that had none missing in training: {listed(names)}; these rows "
            f"are predicted from their other columns"
        )

    def far(self, X: NDArray[Any], columns: Columns | None, is_image: bool) -> str | None:
        """Return a line on values far from those of training; None if there are none.

        A column with a name is looked at by itself. Others may be of one scale, as pixels are, where some
        hardly ever differ: a value is then far if it is so from all values together, or if most rows have
        such a one there. Constant columns, categories and dates have no scale.

        Parameters
        ----------
        X
            ``(rows, features)`` on the host.
        columns
            What they are, if that is known.
        is_image
            Whether a row is an image, in which all features are pixels.
        """
        varies = self.high > self.low
        if not len(X) or not varies.any():
            return None
        ends, (low, high) = _ends(X), self.ends
        is_named = columns is not None and columns.is_named
        if not is_named:
            found = float(np.fmin.reduce(ends.low[varies])), float(np.fmax.reduce(ends.high[varies]))
            if _is_far(*found, low, high):
                return (
                    f"values from {found[0]:.6g} to {found[1]:.6g} are far outside the training range, "
                    f"{low:.6g} to {high:.6g}: prepare the rows as the training rows were"
                )
            if self._are_scaled_down(X, found, is_image):
                return (
                    f"all values are from {found[0]:.6g} to {found[1]:.6g}, but the network was trained on "
                    f"{low:.6g} to {high:.6g}: prepare the rows as the training rows were"
                )
            if is_image:
                return self._unlike_pixels(X)
        far = varies & _is_far(*ends, self.low, self.high)
        if columns is not None:
            far &= np.array([column.kind == "number" and not column.part for column in columns.columns])
        if not is_named and far.any():
            far &= len(X) >= ENOUGH and self._share(X, far) >= SHARE
        if not far.any():
            return None
        place, others = int(far.argmax()), int(far.sum()) - 1
        is_above = ends.high[place] > self.high[place] + WIDTHS * (self.high[place] - self.low[place])
        value = ends.high[place] if is_above else ends.low[place]
        name = str(place) if columns is None else shown(columns.columns[place].name)
        more = f" (and {others} more {'column' if others == 1 else 'columns'})" if others else ""
        return (
            f"column {name} holds {value:.6g}, far outside the training range {self.low[place]:.6g} to "
            f"{self.high[place]:.6g}{more}: is it in the same unit?"
        )

    def _unlike_pixels(self, X: NDArray[Any]) -> str | None:
        """Return a line where most images have pixels that are light where all of training were dark, or so.

        Black ink on white paper, say, for a network that was trained on white ink on black.
        """
        odd, above = self._odd_images(X)
        if odd <= SHARE:
            return None
        inverted, _ = self._odd_images(X, inverts=True)
        if not inverted < odd / 2:  # they are elsewhere in the picture, say
            return None
        how, were = ("light", "dark") if above else ("dark", "light")
        try:
            black, white = 0.0, self.white()
        except InputError:  # of another range
            black, white = self.ends
        return (
            f"most images are {how} in pixels that were {were} in all training rows: invert them by "
            f"{black + white:.6g} - X, or image files by --black {white:.6g} --white {black:.6g}"
        )

    def _odd_images(self, X: NDArray[Any], inverts: bool = False) -> tuple[float, bool]:
        """Return the part of images with pixels out of their range, and whether most of them are above it."""
        (low, high), odd, above, below = self.ends, 0, 0, 0
        margin, least = HALF * (high - low), max(1.0, PIXELS * X.shape[1])
        for part in _parts(X):
            values = low + high - part if inverts else part
            are_above, are_below = values > self.high + margin, values < self.low - margin
            odd += int(((are_above | are_below).sum(axis=1) >= least).sum())
            above, below = above + int(are_above.sum()), below + int(are_below.sum())
        return odd / len(X), above >= below

    def _are_scaled_down(self, X: NDArray[Any], found: tuple[float, float], is_image: bool) -> bool:
        """Whether rows are from 0 to 1, and training rows were whole numbers of pixels or like them."""
        low, high = self.ends
        if X.dtype.kind not in "fb" or not (
            found[0] >= 0 and 0 < found[1] <= 1 and low >= 0 and high >= BYTES
        ):
            return False
        if is_image:
            return True
        are_whole = all(np.array_equal(end, np.floor(end)) for end in (self.low, self.high))
        alike = np.median(self.high) * WIDTHS >= high  # of one scale
        return bool(are_whole and alike and any((part != np.floor(part)).any() for part in _parts(X)))

    def _share(self, X: NDArray[Any], far: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the part of the rows that is far in each feature; 0 where ``far`` is false."""
        places = np.flatnonzero(far)
        count = np.zeros(len(far))
        for part in _parts(X):
            values = part[:, places]
            count[places] += _is_far(values, values, self.low[places], self.high[places]).sum(axis=0)
        return count / len(X)


def _is_white(highest: float, white: float) -> bool:
    """Whether the highest of values is what white may be, which may be rounded."""
    return BRIGHTEST * white <= highest <= white * 1.001


def _is_far(low: Any, high: Any, least: Any, most: Any) -> Any:
    """Whether values lie far outside others."""
    with np.errstate(over="ignore"):  # infinity is beyond nothing
        beyond = WIDTHS * (most - least)
        return (high > most + beyond) | (low < least - beyond)


def _ends(X: NDArray[Any]) -> _Ends:
    low, high = np.full(X.shape[1], np.nan), np.full(X.shape[1], np.nan)
    for part in _parts(X):
        low, high = np.fmin(low, _along_rows(np.fmin, part)), np.fmax(high, _along_rows(np.fmax, part))
    return _Ends(np.asarray(low, np.float64), np.asarray(high, np.float64))


def _along_rows(ufunc: np.ufunc, X: NDArray[Any]) -> NDArray[Any]:
    """Reduce rows to one: several side by side at a time, where they are short, in a tenth of the time."""
    beside = max(1, WIDE // max(1, X.shape[1]))
    whole = len(X) - len(X) % beside
    if beside == 1 or not whole:
        return np.asarray(ufunc.reduce(X, axis=0))
    wide = ufunc.reduce(X[:whole].reshape(whole // beside, -1), axis=0).reshape(beside, -1)
    return np.asarray(ufunc.reduce(np.concatenate([wide, X[whole:]]), axis=0))


def _parts(X: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = max(1, CHUNK // max(1, X.shape[1]))
    return (X[start : start + step] for start in range(0, len(X), step))
