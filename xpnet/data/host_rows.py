"""Rows that stay on the host or on disk, and go to the device one batch at a time."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from xpnet.datasets.stored import Stored, picked
from xpnet.device import Device
from xpnet.typing import Array

__all__ = ["HostRows"]


class HostRows:
    """Rows that stay on the host (for example sparse rows) or on disk, and go to the device batch by batch.

    A `Feed` takes them in place of an array. If the device is not the host, each batch has to read its index
    back from the device; only rows on disk are read ahead instead (`xpnet.data.ahead`).

    Parameters
    ----------
    rows
        ``(rows, features)``: a NumPy array, a SciPy sparse matrix that supports row indexing (CSR), or a
        `xpnet.datasets.stored.Stored`.
    device, dtype
        Device and dtype of the batches; None keeps the dtype of the rows.
    convert
        Function to apply to the rows on the host first, from any thread; none by default.
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
        """Whether the rows are read from disk."""
        return isinstance(self.rows, Stored)

    def __getitem__(self, key: Any) -> Array:
        """Return a slice of rows, ``rows[begin:end]``, dense and on the device."""
        return self.device.put(self._dense(self.rows[key]), self.dtype)

    def take(self, index: Array) -> Array:
        """Return the rows of an index ``(n,)``, dense and on the device: ``(n, features)``."""
        return self.device.put(self._dense(self.rows[self.device.to_host(index)]), self.dtype)

    def read(self, index: NDArray[Any], into: NDArray[Any]) -> NDArray[Any]:
        """Return rows on disk by an index, ``(n, features)``, on the host and ready for `send`.

        They are read into ``into``, which has their shape and dtype.
        """
        return self.device.pinned(self._dense(self.rows.take(index, into)))

    def send(self, rows: NDArray[Any]) -> Callable[[], Array]:
        """Start transferring rows to the device; return a function that returns them: see `Device.send`."""
        return self.device.send(rows, self.dtype)

    def chosen(self, index: Array) -> "HostRows":
        """Return the rows of an index ``(n,)``, which also stay on the host."""
        return HostRows(picked(self.rows, self.device.to_host(index)), self.device, self.dtype, self.convert)

    def _dense(self, rows: Any) -> NDArray[Any]:
        dense: NDArray[Any] = rows.toarray() if hasattr(rows, "toarray") else rows
        dense = dense if self.convert is None else self.convert(dense)
        return dense if self.dtype is None else dense.astype(self.dtype, copy=False)
