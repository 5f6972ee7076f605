"""Rows that stay on the disk and are read as they are needed, for data larger than memory.

They stand where a `xpnet.datasets.Dataset` has an array of rows: they have its shape and dtype, and give any
of their rows. But they are no array: what needs all at once has to ask part by part.
"""

import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

__all__ = ["PART", "Scan", "Stored", "picked"]

PART = 2**20
"""Numbers that are looked at together."""


class Scan(NamedTuple):
    """What one reading of all rows tells.

    Attributes
    ----------
    low, high
        Of each feature, gaps apart; NaN where all are gaps.
    gaps
        Features that are NaN somewhere.
    missing, infinite
        The first row with NaN, and the first with an infinity; None if there is none.
    crc32
        Checksum of the bytes.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    gaps: NDArray[np.bool_]
    missing: int | None
    infinite: int | None
    crc32: int


class Stored(ABC):
    """Rows ``(rows, features)`` on the disk.

    Attributes
    ----------
    shape
        Of the rows.
    dtype
        In which they are given, of this machine's byte order.
    samples
        What one row was before it was made flat: of images height, width and channels.
    blocks
        How many rows after each other are read together, block by block: a row alone costs a whole one.
        None where any row costs no more than itself.
    buffer
        Rows that are shuffled together where there are blocks.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    samples: tuple[int, ...]
    blocks: NDArray[np.int64] | None = None
    buffer: int = 0

    @property
    def ndim(self) -> int:
        """Return 2."""
        return 2

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, as they are given."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape} {self.dtype}>"

    @abstractmethod
    def take(self, index: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the rows of an index ``(n,)``, in ``out`` if that is given; from any thread."""

    @abstractmethod
    def part(self, begin: int, end: int) -> NDArray[Any]:
        """Return rows that follow each other, only to be read."""

    def expect(self, index: NDArray[Any]) -> None:  # noqa: B027 - which only blocks make use of
        """Be told which rows will be asked for: blocks are read beforehand."""

    def pick(self, index: NDArray[Any]) -> "Stored":
        """Return the rows of an index ``(n,)``, on the disk as they are."""
        return _Picked(self, index)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return rows in memory: of a slice, perhaps with ``...`` behind it, an index, or a mask."""
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]
        if isinstance(key, slice):
            begin, end, step = key.indices(len(self))
            return self.part(begin, max(begin, end)) if step == 1 else self.take(np.arange(begin, end, step))
        if isinstance(key, np.ndarray) and key.ndim == 1:
            return self.take(np.flatnonzero(key) if key.dtype == bool else key)
        if isinstance(key, int | np.integer):
            number = range(len(self))[int(key)]
            return np.asarray(self.part(number, number + 1)[0])
        raise TypeError(f"rows on the disk cannot be had by {key!r}")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: all rows at once may be more than fits into memory."""
        raise TypeError("rows on the disk are no array: take some of them")

    def parts(self) -> Iterator[NDArray[Any]]:
        """Give all rows, some at a time."""
        step = max(1, PART // max(1, self.shape[1]))
        for begin in range(0, len(self), step):
            yield self.part(begin, min(begin + step, len(self)))

    def crc32(self, begin: int = 0) -> int:
        """Return the checksum of what ``begin`` is that of, and all rows after it."""
        if begin == 0:
            return self.scan.crc32
        for rows in self.parts():
            begin = zlib.crc32(np.ascontiguousarray(rows).data, begin)
        return begin

    @cached_property
    def scan(self) -> Scan:
        """What one reading of all rows tells: it is done once."""
        found, crc32 = _Ends(self.shape[1]), 0
        waiting: deque[Any] = deque()
        with ThreadPoolExecutor(1) as thread:  # NumPy's part is done beside that of zlib
            for rows in self.parts():
                waiting.append(thread.submit(found.see, rows))
                crc32 = zlib.crc32(np.ascontiguousarray(rows).data, crc32)
                while len(waiting) > 2:
                    waiting.popleft().result()
            for each in waiting:
                each.result()
        return Scan(found.low, found.high, found.gaps, found.missing, found.infinite, crc32)


class _Ends:
    """Least and greatest values of rows that are seen part by part."""

    def __init__(self, features: int) -> None:
        self.low, self.high = np.full(features, np.nan), np.full(features, np.nan)
        self.gaps = np.zeros(features, np.bool_)
        self.missing: int | None = None
        self.infinite: int | None = None
        self._seen = 0

    def see(self, rows: NDArray[Any]) -> None:
        """Take some rows in."""
        low, high = rows.min(axis=0), rows.max(axis=0)
        if rows.dtype.kind == "f" and not (np.isfinite(low).all() and np.isfinite(high).all()):
            lacking = np.isnan(rows)
            self.gaps |= lacking.any(axis=0)
            if self.missing is None and lacking.any():
                self.missing = self._seen + int(lacking.any(axis=1).argmax())
            if self.infinite is None and (beyond := np.isinf(rows).any(axis=1)).any():
                self.infinite = self._seen + int(beyond.argmax())
            low, high = np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)
        self.low, self.high = np.fmin(self.low, low), np.fmax(self.high, high)
        self._seen += len(rows)


class _Picked(Stored):
    """Some of other rows."""

    def __init__(self, rows: Stored, index: NDArray[Any]) -> None:
        self._rows = rows
        # Half the bytes of an index that is as long as the data.
        self._index = index.astype(np.int32 if len(rows) < 2**31 else np.int64, copy=False)
        self.shape, self.dtype, self.samples = (len(index), rows.shape[1]), rows.dtype, rows.samples
        if rows.blocks is not None:
            block = np.searchsorted(np.cumsum(rows.blocks), self._index, side="right")
            starts = np.flatnonzero(np.diff(block, prepend=-1))
            self.blocks, self.buffer = np.diff(starts, append=len(index)), rows.buffer

    def take(self, index: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        return self._rows.take(self._index[index], out)

    def expect(self, index: NDArray[Any]) -> None:
        self._rows.expect(self._index[index])

    def part(self, begin: int, end: int) -> NDArray[Any]:
        index = self._index[begin:end]
        if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
            return self._rows.part(int(index[0]), int(index[0]) + len(index))
        return self._rows.take(index)

    def pick(self, index: NDArray[Any]) -> Stored:
        return _Picked(self._rows, self._index[index])


def picked(X: Any, rows: NDArray[Any]) -> Any:
    """Return some rows, by an index or a mask: of an array an array, of rows on the disk what stays there."""
    if not isinstance(X, Stored):
        return X[rows]
    return X.pick(np.flatnonzero(rows) if rows.dtype == bool else rows)
