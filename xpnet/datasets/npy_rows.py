"""Rows of an ``.npy`` file that stays on the disk: any row is one seek."""

import math
import mmap
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets.readers import load_array
from xpnet.datasets.stored import Stored
from xpnet.errors import InputError

__all__ = ["NpyRows"]

HELD = 2**28
"""Bytes of the file that the process may have mapped at a time: what it has touched counts as its memory."""

AROUND = 2**21
"""Bytes that the system maps with a row that is touched, at most: a large page of its cache."""


class NpyRows(Stored):
    """The rows of an ``.npy`` file, mapped into memory.

    Parameters
    ----------
    path
        The file: samples of any shape, in C order.
    array
        What NumPy has mapped already, a ``memmap``; then ``path`` is what messages call it.

    Raises
    ------
    InputError
        It is damaged, cut short, or no array of numbers in rows.
    """

    def __init__(self, path: Path | str, array: NDArray[Any] | None = None) -> None:
        self._again: tuple[Any, ...] = (path,)
        if array is None:
            array = load_array(Path(path))
        elif getattr(array, "mode", "r") == "c":
            raise InputError(f"{path} is mapped for changes that reach no file: map it read-only")
        if array.ndim < 2 or not array.size:
            raise InputError(f"{path} has shape {array.shape}: give samples of numbers")
        if array.dtype.kind not in "biuf":
            raise InputError(f"{path} has dtype {array.dtype}: give real numbers")
        if not array.flags.c_contiguous:
            raise InputError(
                f"{path} lies column by column, so a row cannot be read alone: save np.ascontiguousarray(X)"
            )
        self._array = array.reshape(len(array), math.prod(array.shape[1:]))
        self.shape, self.samples = self._array.shape, array.shape[1:]
        self.dtype = array.dtype.newbyteorder("=")
        base: Any = array
        while base is not None and not isinstance(base, mmap.mmap):
            base = getattr(base, "base", None)
        self._map: mmap.mmap | None = base
        if base is not None and isinstance(array, np.memmap):
            # Of a part of a map NumPy tells where the whole of it began, which a page of the file does.
            begin = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
            begin += array.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data
            self._again = (path, array.filename, array.dtype, begin, array.shape)
        self._touched, self._lock = 0, threading.Lock()

    def __getstate__(self) -> tuple[Any, ...]:
        """Return what another process maps the file by."""
        return self._again

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        path, *others = state
        if others:
            file, dtype, offset, shape = others
            self.__init__(path, np.memmap(file, dtype, "r", offset, shape))  # type: ignore[misc]
        else:
            self.__init__(path)  # type: ignore[misc]

    def take(self, index: NDArray[Any]) -> NDArray[Any]:
        """Return the rows of an index."""
        touched = self.shape[1] * self.dtype.itemsize + AROUND
        step = max(1, HELD // touched)
        if len(index) <= step:
            rows = self._array.take(index, axis=0)
            self._forget(len(index) * touched)
            return np.asarray(rows, self.dtype)
        found = np.empty((len(index), self.shape[1]), self.dtype)
        for begin in range(0, len(index), step):
            found[begin : begin + step] = self.take(index[begin : begin + step])
        return found

    def part(self, begin: int, end: int) -> NDArray[Any]:
        """Return rows that follow each other, as they lie in the file."""
        self._forget((end - begin) * self.shape[1] * self.dtype.itemsize)
        return np.asarray(self._array[begin:end], self.dtype)

    def _forget(self, touched: int) -> None:
        """Unmap what was touched once it is much; the system keeps it in its cache as long as it likes."""
        with self._lock:
            self._touched += touched
            if self._touched < HELD:
                return
            self._touched = 0
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
