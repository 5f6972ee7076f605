"""Rows of an ``.npy`` file that stays on disk: reading any row takes one seek."""

import contextlib
import math
import mmap
import os
import weakref
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets.readers import load_array
from xpnet.datasets.stored import Stored
from xpnet.errors import InputError

__all__ = ["NpyRows"]

TOGETHER = 2**12
"""Number of rows to look up at a time: the list of their positions takes 40 bytes each."""


class NpyRows(Stored):
    """The rows of an ``.npy`` file.

    They are read from the file, not through a memory map. Touching a row of a map costs the system more than
    copying it, reads much of its surroundings from a cold disk, and counts as memory of the process until it
    is unmapped; and truncating the file would kill the process. Windows cannot read at a position, so there
    it is a memory map.

    Parameters
    ----------
    path
        The file: samples of any shape, in C order.
    array
        A NumPy ``memmap`` of the file, if there is one; ``path`` is then its name in messages.

    Raises
    ------
    InputError
        The file is damaged, truncated, or not an array of numbers in rows.
    """

    def __init__(self, path: Path | str, array: NDArray[Any] | None = None) -> None:
        self._path = path
        mapped = array
        if array is None:
            array = load_array(Path(path))
        elif getattr(array, "mode", "r") == "c":
            raise InputError(f"{path} is mapped copy-on-write: give it mapped read-only")
        if array.ndim < 2 or not array.size:
            raise InputError(f"{path} has shape {array.shape}: give samples of numbers")
        if array.dtype.kind not in "biuf":
            raise InputError(f"{path} has dtype {array.dtype}: give real numbers")
        if not array.flags.c_contiguous:
            raise InputError(
                f"{path} is not stored row by row, so rows cannot be read separately: save "
                "np.ascontiguousarray(X), or keep rows in memory with --rows-in memory"
            )
        self._array = array.reshape(len(array), math.prod(array.shape[1:]))
        self.shape, self.samples = self._array.shape, array.shape[1:]
        self.dtype = array.dtype.newbyteorder("=")
        begin = _place(array)
        if mapped is None or begin is None:
            self._again: tuple[Any, ...] = (path,)
        else:
            self._again = (path, array.filename, array.dtype, begin, array.shape)  # type: ignore[attr-defined]
        self._file: int | None = None
        if begin is not None and hasattr(os, "preadv"):
            self._begin = begin
            with contextlib.suppress(FileNotFoundError), self._reading():
                self._file = os.open(array.filename, os.O_RDONLY)  # type: ignore[attr-defined]
                # Not at interpreter exit, when threads may still be reading.
                weakref.finalize(self, os.close, self._file).atexit = False
            if mapped is not None and (self._file is None or not self._is_the_file()):
                raise InputError(f"{path} is a map of a file that is no longer there: map it again")

    def __getstate__(self) -> tuple[Any, ...]:
        """Return the arguments with which another process opens the file."""
        return self._again

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        path, *others = state
        if others:
            file, dtype, offset, shape = others
            self.__init__(path, np.memmap(file, dtype, "r", offset, shape))  # type: ignore[misc]
        else:
            self.__init__(path)  # type: ignore[misc]

    def take(self, index: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the rows of an index."""
        found = np.empty((len(index), self.shape[1]), self.dtype) if out is None else out
        if self._file is None:
            found[...] = self._array.take(index, axis=0)
            return found
        if len(index) and (index.min() < 0 or index.max() >= len(self)):
            raise IndexError(f"rows from {index.min()} to {index.max()} of {len(self)}")
        rows, read = found.view(self._array.dtype), 0
        with self._reading():
            for begin in range(0, len(index), TOGETHER):
                some = slice(begin, begin + TOGETHER)
                places = (index[some].astype(np.int64) * self._of_row + self._begin).tolist()
                # No Python loop, which would hold up the training thread.
                read += sum(map(os.preadv, repeat(self._file), zip(rows[some], strict=True), places))
            self._check(rows, read)
        return found if rows.dtype == found.dtype else found.byteswap(inplace=True)

    def part(self, begin: int, end: int) -> NDArray[Any]:
        """Return consecutive rows."""
        if self._file is None:
            return np.asarray(self._array[begin:end], self.dtype)
        rows = np.empty((end - begin, self.shape[1]), self._array.dtype)
        buffer, done = rows.reshape(-1).view(np.uint8).data, 0
        with self._reading():
            # The system reads at most 2 GB at a time.
            while read := os.preadv(self._file, [buffer[done:]], self._begin + begin * self._of_row + done):
                done += read
            self._check(rows, done)
        return np.asarray(rows, self.dtype)

    @property
    def _of_row(self) -> int:
        """Number of bytes in a row."""
        return self.shape[1] * self.dtype.itemsize

    def _is_the_file(self) -> bool:
        """Return whether the mapped file is still the file of that name, and not one that replaced it.

        On Linux, the system reports the file of an address. On other systems, some rows are compared.
        """
        some = np.array([0, len(self) // 2, len(self) - 1])
        try:
            if self.take(some).tobytes() != np.asarray(self._array[some], self.dtype).tobytes():
                return False
        except InputError:
            return False
        assert self._file is not None
        with mmap.mmap(self._file, 1, prot=mmap.PROT_READ) as now:
            byte = np.frombuffer(now, np.uint8)
            same = _file_at(byte.ctypes.data) == _file_at(self._array.ctypes.data)
            del byte  # or the map could not be closed
        return same

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InputError(f"{self._path} cannot be read ({error.strerror}): check its disk") from error

    def _check(self, rows: NDArray[Any], read: int) -> None:
        if read != rows.nbytes:
            raise InputError(f"{self._path} was truncated while it was read: write it again, and start again")


def _file_at(address: int) -> tuple[str, ...] | None:
    """Return device and inode of the file that is mapped at an address; None if the system does not say."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    for line in filter(None, lines):
        span, _, _, *file = line.split(maxsplit=5)[:5]
        begin, _, end = span.partition("-")
        if int(begin, 16) <= address < int(end, 16):
            return tuple(file)
    return None


def _place(array: NDArray[Any]) -> int | None:
    """Return the offset in its file at which a map, or a part of one, begins; None if the file is unknown.

    For a part, NumPy only reports where the whole map begins.
    """
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is None or not isinstance(array, np.memmap) or array.filename is None:
        return None
    start: int = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
    return start + int(array.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data)
