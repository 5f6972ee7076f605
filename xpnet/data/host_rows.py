"""Rows that stay on the host, or on its disk, and go to the device a batch at a time."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from xpnet.datasets.stored import Stored, picked
from xpnet.device import Device
from xpnet.typing import Array

__all__ = ["HostRows"]


class HostRows:
    """Rows that stay on the host, sparse ones say, or on its disk, and go to the device a batch at a time.

    They stand where a `Feed` has an array of rows. On a device that is not the host, each batch reads its
    index back, but for those on the disk, which are read ahead (`xpnet.data.ahead`).

    Parameters
    ----------
    rows
        ``(rows, features)``: a NumPy array, a SciPy sparse matrix whose rows can be picked (CSR), or a
        `xpnet.datasets.stored.Stored`.
    device, dtype
        Where the batches go, and what they are made of; None for the rows' own dtype.
    convert
        What is done to the rows on the host first, by any thread; nothing by default.
    """

    def __init__(
        self,
        rows: Any,
        device: Device,
        dtype: str | None,
        convert: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    ) -> None:
        self.shape: tuple[int, ...] = tuple(rows.shape)
        self.dtype = dtype
        self.rows = rows
        self.device = device
        self.convert = convert

    @property
    def on_disk(self) -> bool:
        """Whether they are read from the disk."""
        return isinstance(self.rows, Stored)

    def __getitem__(self, key: Any) -> Array:
        """Return some rows in their order, dense and on the device: ``rows[begin:end]``."""
        return self.device.put(self._dense(self.rows[key]), self.dtype)

    def take(self, index: Array) -> Array:
        """Return the rows of an index ``(n,)``, dense and on the device: ``(n, features)``."""
        return self.device.put(self._dense(self.rows[self.device.to_host(index)]), self.dtype)

    def read(self, index: NDArray[Any], into: NDArray[Any]) -> NDArray[Any]:
        """Return the rows of an index on the host, ``(n, features)``, as `send` takes them: of the disk.

        They are read into an array of their shape and dtype.
        """
        return self.device.pinned(self._dense(self.rows.take(index, into)))

    def send(self, rows: NDArray[Any]) -> Callable[[], Array]:
        """Begin to bring rows to the device; return what gives them there, see `Device.send`."""
        return self.device.send(rows, self.dtype)

    def chosen(self, index: Array) -> "HostRows":
        """Return the rows of an index ``(n,)``, on the host as they are."""
        return HostRows(picked(self.rows, self.device.to_host(index)), self.device, self.dtype, self.convert)

    def _dense(self, rows: Any) -> NDArray[Any]:
        dense: NDArray[Any] = rows.toarray() if hasattr(rows, "toarray") else rows
        dense = dense if self.convert is None else self.convert(dense)
        return dense if self.dtype is None else dense.astype(self.dtype, copy=False)
