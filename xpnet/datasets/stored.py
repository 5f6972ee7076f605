"""Rows that stay on disk and are read as needed, for data larger than memory.

A `xpnet.datasets.Dataset` takes them in place of an array of rows. They have a shape and a dtype, and return
any of their rows. But they are not an array: code that needs all rows must request them part by part.
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
"""Number of values to process at a time."""


class Scan(NamedTuple):
    """Results of a single pass over all rows.

    Attributes
    ----------
    low, high
        Minimum and maximum of each feature, ignoring gaps; NaN if it has only gaps.
    gaps
        Features that are NaN in some row.
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
    """Rows ``(rows, features)`` on disk.

    Attributes
    ----------
    shape
        Shape of the rows.
    dtype
        Dtype of the rows as returned, in this machine's byte order.
    samples
        Shape of a sample before it was flattened: height, width and channels for images.
    blocks
        Number of rows in each block, if rows can only be read a block at a time; None if rows can be read
        separately.
    buffer
        Number of rows that are shuffled together if there are blocks.
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
        """Number of bytes of all rows in memory."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape} {self.dtype}>"

    @abstractmethod
    def take(self, index: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the rows of an index ``(n,)``, in ``out`` if given; can be called from any thread."""

    @abstractmethod
    def part(self, begin: int, end: int) -> NDArray[Any]:
        """Return consecutive rows; do not write to them."""

    def expect(self, index: NDArray[Any]) -> None:  # noqa: B027 - only blocks need it
        """Announce rows that will be requested, so that their blocks are read in advance."""

    def pick(self, index: NDArray[Any]) -> "Stored":
        """Return the rows of an index ``(n,)``, which stay on disk."""
        return _Picked(self, index)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return rows in memory for a slice (optionally followed by ``...``), an index or a mask."""
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
        raise TypeError(f"rows on disk do not support the index {key!r}")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse conversion, because all rows at once may not fit into memory."""
        raise TypeError("rows on disk are not an array: index some of them")

    def parts(self) -> Iterator[NDArray[Any]]:
        """Yield all rows, part by part."""
        step = max(1, PART // max(1, self.shape[1]))
        for begin in range(0, len(self), step):
            yield self.part(begin, min(begin + step, len(self)))

    def crc32(self, begin: int = 0) -> int:
        """Return the checksum of all rows, continued from the checksum ``begin``."""
        if begin == 0:
            return self.scan.crc32
        for rows in self.parts():
            begin = zlib.crc32(np.ascontiguousarray(rows).data, begin)
        return begin

    @cached_property
    def scan(self) -> Scan:
        """Results of a pass over all rows, which is made only once."""
        found, crc32 = _Ends(self.shape[1]), 0
        waiting: deque[Any] = deque()
        with ThreadPoolExecutor(1) as thread:  # NumPy and zlib work in parallel
            for rows in self.parts():
                waiting.append(thread.submit(found.see, rows))
                crc32 = zlib.crc32(np.ascontiguousarray(rows).data, crc32)
                while len(waiting) > 2:
                    waiting.popleft().result()
            for each in waiting:
                each.result()
        return Scan(found.low, found.high, found.gaps, found.missing, found.infinite, crc32)


class _Ends:
    """Minimum and maximum of rows that are processed part by part."""

    def __init__(self, features: int) -> None:
        self.low, self.high = np.full(features, np.nan), np.full(features, np.nan)
        self.gaps = np.zeros(features, np.bool_)
        self.missing: int | None = None
        self.infinite: int | None = None
        self._seen = 0

    def see(self, rows: NDArray[Any]) -> None:
        """Include more rows."""
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
    """A selection of other rows."""

    def __init__(self, rows: Stored, index: NDArray[Any]) -> None:
        self._rows = rows
        # int32 halves the memory of an index that is as long as the data.
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
    """Return some rows, by an index or a mask: an array from an array; rows on disk stay there."""
    if not isinstance(X, Stored):
        return X[rows]
    return X.pick(np.flatnonzero(rows) if rows.dtype == bool else rows)
