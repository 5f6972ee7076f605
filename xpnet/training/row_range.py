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
"""Number of values to check at a time."""

WIDE = 2048
"""Row length from which NumPy reduces rows at full speed."""

WIDTHS = 10.0
"""A value is far if it is this many widths of the range beyond it: no tail of the same distribution goes
there."""

SHARE, ENOUGH = 0.5, 10
"""A column without a name is far only if this share of the rows is, and if there are at least so many
rows."""

WHITES = 1.0, 16.0, 255.0
"""Common values of white pixels: in images from 0 to 1, in the UCI digits, and in bytes."""

OTHERS = 31.0, 63.0, 100.0, 127.0, 1023.0, 4095.0, 16383.0, 65535.0
"""Other values of white to suggest: for 5, 6, 7, 10, 12, 14 and 16 bits, and percent."""

BRIGHTEST = 0.6
"""Minimum ratio of the highest training value to white: data sets of only darker images are rare."""

PIXELS, HALF = 0.02, 0.5
"""An image is unlike the training rows if this fraction of its pixels is outside each pixel's own range by
this fraction of the whole range. A thin stroke at the border is outside, too, but has few pixels."""

BYTES = 10.0
"""Highest value from which pixels cannot have a range from 0 to 1."""


class _Ends(NamedTuple):
    """Lowest and highest value of each feature, NaN if it has only gaps."""

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
        Features that may be NaN, because a training or validation row had a gap there.
    kind
        Kind of the dtype: ``b``, ``u``, ``i`` or ``f``.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    gaps: NDArray[np.bool_]
    kind: str

    @classmethod
    def of(cls, X: Any, *others: Any) -> "RowRange":
        """Return the ranges and gaps of ``X``, ``(rows, features)``; of ``others``, only the gaps count."""
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
        """Return the ranges and gaps of both together."""
        return RowRange(
            np.fmin(self.low, other.low),
            np.fmax(self.high, other.high),
            self.gaps | other.gaps,
            self.kind if self.kind == other.kind else "f",
        )

    def beyond(self, other: "RowRange") -> NDArray[np.bool_]:
        """Return in which features another range goes far beyond this one, except where this is constant."""
        far: NDArray[np.bool_] = _is_far(other.low, other.high, self.low, self.high)
        return far & (self.high > self.low)

    def mostly_far(self, X: NDArray[Any]) -> NDArray[np.bool_]:
        """Return in which features most rows are far from this range; none if there are only a few rows."""
        far = self.beyond(RowRange.of(X))
        if len(X) < ENOUGH:
            return np.zeros_like(far)
        return far & (self._share(X, far) >= SHARE)

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest value over all features."""
        return float(np.fmin.reduce(self.low)), float(np.fmax.reduce(self.high))

    def white(self) -> float:
        """Return the value of white, given that black is 0.

        Raises
        ------
        InputError
            It cannot be inferred from the training rows.
        """
        low, high = self.ends
        if self.kind == "u" and WHITES[1] < high <= WHITES[-1]:  # bytes, even if all images are dark
            return WHITES[-1]
        if low >= 0:
            for white in WHITES:
                if _is_white(high, white):
                    return white
            if high == 0:  # all black, which fits any range
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
        """Return a message that names the columns with gaps that had none in training; else None."""
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
            f"missing values in columns that had none in training: {listed(names)}; these rows "
            f"are predicted from their other columns"
        )

    def far(self, X: NDArray[Any], columns: Columns | None, is_image: bool) -> str | None:
        """Return a message about values far from those of training; None if there are none.

        A column with a name is checked on its own. Columns without names may share one scale, like pixels,
        and some may hardly vary. There, a value is far if it is far from all values together, or if most rows
        have far values in that column. Constant columns, categories and dates have no scale.

        Parameters
        ----------
        X
            ``(rows, features)`` on the host.
        columns
            The description of the columns, if known.
        is_image
            Whether a row is an image, so that all features are pixels.
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
        """Return a message if most images are light in pixels always dark in training, or vice versa.

        For example, black ink on white paper, for a network trained on white ink on black.
        """
        odd, above = self._odd_images(X)
        if odd <= SHARE:
            return None
        inverted, _ = self._odd_images(X, inverts=True)
        if not inverted < odd / 2:  # for example, objects are elsewhere in the image
            return None
        how, were = ("light", "dark") if above else ("dark", "light")
        try:
            black, white = 0.0, self.white()
        except InputError:  # pixels have another range
            black, white = self.ends
        return (
            f"most images are {how} in pixels that were {were} in all training rows: invert them by "
            f"{black + white:.6g} - X, or image files by --black {white:.6g} --white {black:.6g}"
        )

    def _odd_images(self, X: NDArray[Any], inverts: bool = False) -> tuple[float, bool]:
        """Return the fraction of images with pixels out of range, and whether most of these are above it."""
        (low, high), odd, above, below = self.ends, 0, 0, 0
        margin, least = HALF * (high - low), max(1.0, PIXELS * X.shape[1])
        for part in _parts(X):
            values = low + high - part if inverts else part
            are_above, are_below = values > self.high + margin, values < self.low - margin
            odd += int(((are_above | are_below).sum(axis=1) >= least).sum())
            above, below = above + int(are_above.sum()), below + int(are_below.sum())
        return odd / len(X), above >= below

    def _are_scaled_down(self, X: NDArray[Any], found: tuple[float, float], is_image: bool) -> bool:
        """Return whether rows are from 0 to 1, while training rows were integers, like pixels."""
        low, high = self.ends
        if X.dtype.kind not in "fb" or not (
            found[0] >= 0 and 0 < found[1] <= 1 and low >= 0 and high >= BYTES
        ):
            return False
        if is_image:
            return True
        are_whole = all(np.array_equal(end, np.floor(end)) for end in (self.low, self.high))
        alike = np.median(self.high) * WIDTHS >= high  # on one scale
        return bool(are_whole and alike and any((part != np.floor(part)).any() for part in _parts(X)))

    def _share(self, X: NDArray[Any], far: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the fraction of rows that are far, for each feature; 0 where ``far`` is false."""
        places = np.flatnonzero(far)
        count = np.zeros(len(far))
        for part in _parts(X):
            values = part[:, places]
            count[places] += _is_far(values, values, self.low[places], self.high[places]).sum(axis=0)
        return count / len(X)


def _is_white(highest: float, white: float) -> bool:
    """Return whether the highest value fits this value of white, apart from rounding."""
    return BRIGHTEST * white <= highest <= white * 1.001


def _is_far(low: Any, high: Any, least: Any, most: Any) -> Any:
    """Return whether values lie far outside the range of others."""
    with np.errstate(over="ignore"):  # nothing is beyond an infinite limit
        beyond = WIDTHS * (most - least)
        return (high > most + beyond) | (low < least - beyond)


def _ends(X: NDArray[Any]) -> _Ends:
    low, high = np.full(X.shape[1], np.nan), np.full(X.shape[1], np.nan)
    for part in _parts(X):
        low, high = np.fmin(low, _along_rows(np.fmin, part)), np.fmax(high, _along_rows(np.fmax, part))
    return _Ends(np.asarray(low, np.float64), np.asarray(high, np.float64))


def _along_rows(ufunc: np.ufunc, X: NDArray[Any]) -> NDArray[Any]:
    """Reduce rows to one; reducing several short rows side by side takes a tenth of the time."""
    beside = max(1, WIDE // max(1, X.shape[1]))
    whole = len(X) - len(X) % beside
    if beside == 1 or not whole:
        return np.asarray(ufunc.reduce(X, axis=0))
    wide = ufunc.reduce(X[:whole].reshape(whole // beside, -1), axis=0).reshape(beside, -1)
    return np.asarray(ufunc.reduce(np.concatenate([wide, X[whole:]]), axis=0))


def _parts(X: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = max(1, CHUNK // max(1, X.shape[1]))
    return (X[start : start + step] for start in range(0, len(X), step))
