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
"""Elements in a buffer of NumPy's, 8192 by default: enough that small biases are still added many rows at a
time."""


class Options(NamedTuple):
    """What `xpnet.device.get_device` was asked for, in the order of its parameters."""

    device: str = "cpu"
    backend: str = "numpy"
    precision: str = "fp32"
    compiled: bool = False


class _Named(NamedTuple):
    """A module in a pickle."""

    name: str


class Device:
    """The CPU with NumPy, and the interface of every device.

    Pickled or copied, the devices of `xpnet.get_device` are asked for again by their `options`.

    Attributes
    ----------
    name
        Its name as a user writes it: ``"cpu"``, ``"cuda:0"``.
    backend
        Name and version of the array library.
    xp
        Array API namespace.
    is_host
        Whether reading an array back is free, so that a loop may look at every loss.
    keeps_raw
        Whether training rows of integers are kept raw and preprocessed batch by batch, to save memory, rather
        than once, to save time.
    donates
        Whether steps invalidate the arrays of the state they are given, instead of overwriting them.
    subtracted_from
        Minimum size of a network's matrix for which `find_subtract`'s product pays off.
    steps_at_once
        Number of steps per call of the function that `compile` returns: more save calls, fewer let a run end
        sooner.
    team
        The processes that train one network, each on such a device; None for a single process.
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
        """Return the arguments with which another process gets the same device."""
        return Options()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a derived class for pickling, with modules replaced by their names."""

        def named(value: Any) -> Any:
            # Not a namespace that a device has changed: of that name there is another.
            is_plain = isinstance(value, ModuleType) and sys.modules.get(value.__name__) is value
            return _Named(value.__name__) if is_plain else value

        return {name: named(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, import_module(value.name) if isinstance(value, _Named) else value)

    def put(self, array: Any, dtype: str | None = None) -> Array:
        """Return ``array`` on this device, without a copy where it is there already.

        Parameters
        ----------
        array
            NumPy array, or an array of any library that `array_api_compat` knows, on any device.
        dtype
            Name of the dtype to convert to; the array's own by default.
        """
        return np.asarray(to_numpy(array), dtype=dtype)

    def to_host(self, array: Array) -> NDArray[Any]:
        """Return ``array`` as a NumPy array, without a copy where it is one already; only to be read."""
        return np.asarray(array)

    def pinned(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows in memory from which `send` is fastest; callable from any thread."""
        return rows

    def send(self, rows: NDArray[Any], dtype: str | None = None) -> Callable[[], Array]:
        """Start transferring rows to this device; return a function that returns them there.

        Parameters
        ----------
        rows
            From `pinned`; they are not to be written to any more.
        dtype
            As for `put`.
        """
        array = self.put(rows, dtype)
        return lambda: array

    def synchronize(self) -> None:
        """Wait until the device has finished all its work."""

    def free_memory(self) -> int:
        """Return the free memory in bytes; if the system does not tell, half of the total."""
        free = memory.free()
        return _physical_memory() // 2 if free is None else free

    def active(self) -> AbstractContextManager[Any]:
        """Return the context manager to compute in.

        It silences overflow warnings: divergence is detected by the loss.
        """
        return _computing()

    def among(self, team: Team) -> "Device":
        """Return this device for one of several processes that train one network.

        Its namespace adds up what the maths calls `xpnet.nn.composites.whole`.

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
        """Return this device with a team, and what sums up arrays over it."""
        mine = type(self).__new__(type(self))
        composites = {**getattr(self.xp, "composites", {}), "whole": whole}
        vars(mine).update(vars(self), team=team, xp=replacing(self.xp, composites=composites))
        return mine

    def find_subtract(self) -> Subtract | None:
        """Return what subtracts a product of matrices in place (`xpnet.device.blas`), or None."""
        # The devices of other libraries inherit from this one.
        return blas.find_subtract() if self.xp is of_numpy else None

    def compile(self, step: Step) -> Advance:
        """Turn a pure function for one step into a fast function for many steps.

        Parameters
        ----------
        step
            A function of arrays only: it reads nothing back, and everything that changes is an array
            argument.
        """
        return one_by_one(self, step)


def one_by_one(device: Device, step: Step) -> Advance:
    """Return what takes steps by calling ``step`` for each; on every device, whatever it does in there."""

    def advance(state: State, draws: Draws, begin: int, end: int) -> tuple[State, Array]:
        losses = []
        for i in range(begin, end):
            state, loss = step(state, of_step(draws, i))
            losses.append(loss)
        # A CPU takes one step at a time, and `stack` would cost a small network 1 % of it.
        return state, losses[0][None, ...] if len(losses) == 1 else device.xp.stack(losses)

    return advance


def of_step(draws: Draws, i: int | Array) -> Draws:
    """Return what step ``i`` of an epoch takes."""
    return {name: values[i, ...] for name, values in draws.items()}


@contextmanager
def _computing() -> Iterator[None]:
    """Silence NumPy, and keep it from copying rates.

    Where each network of a stack has a rate of its own, NumPy repeats it in a buffer before it multiplies,
    which takes as long again as the product. It does not if a network's entries alone fill the buffer.
    """
    with np.errstate(all="ignore"):
        before = np.setbufsize(BUFFER)
        try:
            yield
        finally:
            np.setbufsize(before)


def keep_freed_memory() -> None:
    """Make the C library keep what a step frees for the next step, instead of asking the system each time.

    Until an array as large as this has been freed, glibc returns every large one to the system, and the
    next has its pages mapped anew, one by one: a stack of small networks then takes up to twice as long
    (mallopt(3), M_MMAP_THRESHOLD). This one is never written to, so it costs two system calls; elsewhere
    it does nothing.
    """
    np.empty(32 * 2**20 - 2**16, np.uint8)


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 4 * 2**30
