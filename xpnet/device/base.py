"""The CPU with NumPy, which is also the interface of every device."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.device import blas, memory, of_numpy
from xpnet.device.arrays import replacing, to_numpy
from xpnet.device.team import Team
from xpnet.errors import DeviceError
from xpnet.typing import Advance, Array, Draws, Namespace, State, Step, Subtract

__all__ = ["Device", "Options", "of_step", "one_by_one"]

BUFFER = 2048
"""Elements in NumPy's ufunc buffer, where NumPy's default is 8192. This is still enough to add small biases
to many rows at a time."""


class Options(NamedTuple):
    """The arguments of `xpnet.device.get_device`, in the order of its parameters."""

    device: str = "cpu"
    backend: str = "numpy"
    precision: str = "fp32"
    compiled: bool = False


class _Named(NamedTuple):
    """A module in a pickle."""

    name: str


class Device:
    """The CPU with NumPy, and the interface of every device.

    A device from `xpnet.get_device` is pickled and copied as its `options`, with which `get_device` is called
    again.

    Attributes
    ----------
    name
        The name as a user writes it: ``"cpu"``, ``"cuda:0"``.
    backend
        Name and version of the array library.
    xp
        Array API namespace.
    is_host
        Whether reading an array back is free, so that a loop can check every loss.
    keeps_raw
        Whether integer training rows stay raw and are preprocessed batch by batch, which saves memory, rather
        than once, which saves time.
    donates
        Whether steps invalidate the arrays of the state they are given, instead of overwriting them.
    subtracted_from
        Minimum size of a network's weight matrix for which the product of `find_subtract` pays off.
    steps_at_once
        Number of steps per call of the function that `compile` returns. More steps save calls; fewer let a
        run stop sooner.
    team
        The processes that train one network together, each on its own device; None for a single process.
    """

    name = "cpu"
    is_host = True
    keeps_raw = False
    donates = False
    subtracted_from = blas.SUBTRACTED_FROM
    steps_at_once = 1
    team: Team | None = None

    def __init__(self) -> None:
        self.xp: Namespace = of_numpy
        self.backend = f"numpy {np.__version__}"
        keep_freed_memory()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.backend}>"

    @property
    def options(self) -> Options:
        """The arguments with which another process gets the same device."""
        return Options()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a derived class for pickling, with modules replaced by their names."""

        def named(value: Any) -> Any:
            # A namespace that a device has changed is not importable: its name stands for the original.
            is_plain = isinstance(value, ModuleType) and sys.modules.get(value.__name__) is value
            return _Named(value.__name__) if is_plain else value

        return {name: named(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, import_module(value.name) if isinstance(value, _Named) else value)

    def put(self, array: Any, dtype: str | None = None) -> Array:
        """Return ``array`` on this device, without a copy if it is already there.

        Parameters
        ----------
        array
            A NumPy array, or an array of any library that `array_api_compat` knows, on any device.
        dtype
            Name of the dtype to convert to; by default, the dtype of the array.
        """
        return np.asarray(to_numpy(array), dtype=dtype)

    def to_host(self, array: Array) -> NDArray[Any]:
        """Return ``array`` as a NumPy array, without a copy if it is one already; do not write to it."""
        return np.asarray(array)

    def pinned(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows in the memory from which `send` is fastest; can be called from any thread."""
        return rows

    def send(self, rows: NDArray[Any], dtype: str | None = None) -> Callable[[], Array]:
        """Start transferring rows to this device; return a function that returns the transferred array.

        Parameters
        ----------
        rows
            An array from `pinned`. Do not write to it afterwards.
        dtype
            As for `put`.
        """
        array = self.put(rows, dtype)
        return lambda: array

    def synchronize(self) -> None:
        """Wait until the device has finished all its work."""

    def free_memory(self) -> int:
        """Return the free memory in bytes; if the system does not report it, half of the total."""
        free = memory.free()
        return _physical_memory() // 2 if free is None else free

    def active(self) -> AbstractContextManager[Any]:
        """Return a context manager; compute on this device only inside it.

        It silences overflow warnings, since divergence is detected from the loss.
        """
        return _computing()

    def among(self, team: Team) -> "Device":
        """Return this device for one of several processes that train one network.

        In its namespace, `xpnet.nn.composites.whole` sums over all processes.

        Raises
        ------
        DeviceError
            If the device does not support several processes.
        """
        if self.xp is not of_numpy:
            raise DeviceError(
                f"training one network in several processes needs numpy or cupy, not {self.backend}: use "
                "one of these backends, or one process"
            )
        return self._with(team, team.whole)

    def _with(self, team: Team, whole: Callable[..., Any]) -> "Device":
        """Return this device with a team, and ``whole`` to sum arrays over it."""
        mine = type(self).__new__(type(self))
        composites = {**getattr(self.xp, "composites", {}), "whole": whole}
        vars(mine).update(vars(self), team=team, xp=replacing(self.xp, composites=composites))
        return mine

    def find_subtract(self) -> Subtract | None:
        """Return a function that subtracts a matrix product in place (`xpnet.device.blas`), or None."""
        # The devices of other libraries inherit from this one.
        return blas.find_subtract() if self.xp is of_numpy else None

    def compile(self, step: Step) -> Advance:
        """Turn a pure function for one step into a fast function for many steps.

        Parameters
        ----------
        step
            A function of arrays only. It reads nothing back, and everything that changes is an array
            argument.
        """
        return one_by_one(self, step)


def one_by_one(device: Device, step: Step) -> Advance:
    """Return a function that calls ``step`` once for each step; it works on every device, for any step."""

    def advance(state: State, draws: Draws, begin: int, end: int) -> tuple[State, Array]:
        losses = []
        for i in range(begin, end):
            state, loss = step(state, of_step(draws, i))
            losses.append(loss)
        # A CPU takes one step at a time, and `stack` would add 1 % to the step of a small network.
        return state, losses[0][None, ...] if len(losses) == 1 else device.xp.stack(losses)

    return advance


def of_step(draws: Draws, i: int | Array) -> Draws:
    """Return the draws of step ``i`` of an epoch."""
    return {name: values[i, ...] for name, values in draws.items()}


@contextmanager
def _computing() -> Iterator[None]:
    """Silence NumPy's warnings, and keep NumPy from copying learning rates.

    If each network of a stack has its own rate, NumPy first repeats that rate in a buffer, which takes as
    long as the multiplication itself. It skips this if the entries of one network fill the buffer.
    """
    with np.errstate(all="ignore"):
        before = np.setbufsize(BUFFER)
        try:
            yield
        finally:
            np.setbufsize(before)


def keep_freed_memory() -> None:
    """Make the C library keep the memory that a step frees, instead of returning it to the system each time.

    Until an array as large as the one below has been freed, glibc returns every large array to the system,
    and the pages of the next one are mapped again, one by one. A stack of small networks then takes up to
    twice as long (mallopt(3), M_MMAP_THRESHOLD). The array is never written to, so it costs only two system
    calls; with other C libraries it has no effect.
    """
    np.empty(32 * 2**20 - 2**16, np.uint8)


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 4 * 2**30
