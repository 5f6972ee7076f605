"""JAX as an array library, on the CPU and on CUDA GPUs; it compiles many steps into one program."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.device.arrays import to_numpy
from xpnet.device.base import Device, Options, of_step
from xpnet.errors import DeviceError
from xpnet.text import one_line
from xpnet.typing import Advance, Array, Draws, State, Step

__all__ = ["JaxDevice"]

ITS_NAMES = {"fp32": "float32", "tf32": "tensorfloat32"}
"""JAX's names for the precisions of products. By default, JAX uses TF32 on a GPU that supports it."""

LEAST_CAPACITY = 128
"""Minimum number of steps in the tables of an epoch, because each table size is compiled separately."""


class JaxDevice(Device):
    """A JAX device.

    Parameters
    ----------
    place
        ``"cpu"`` or ``"cuda:N"``.
    precision
        Precision of the factors of products on a GPU: ``"fp32"`` or ``"tf32"``.

    Raises
    ------
    DeviceError
        JAX is missing or broken, or has no such device here.
    """

    is_host = False
    donates = True
    steps_at_once = 16

    def __init__(self, place: str = "cpu", precision: str = "fp32") -> None:
        self._jax = _import_jax()
        self._place = _find(self._jax, place)
        self.xp = self._jax.numpy
        self.name = place
        self.backend = f"jax {self._jax.__version__}"
        self._precision = precision

    @property
    def options(self) -> Options:
        """The arguments with which another process gets the same device."""
        return Options(self.name, "jax", self._precision)

    def put(self, array: Any, dtype: str | None = None) -> Array:
        """Return ``array`` on this device, without a copy if it is already there."""
        with self.active():
            if not isinstance(array, self._jax.Array):
                array = np.asarray(to_numpy(array), dtype=dtype)
                array = array.astype(array.dtype.newbyteorder("="), copy=False)  # JAX supports no other
            elif dtype is not None:
                array = array.astype(dtype)
            return self._jax.device_put(array, self._place)

    def to_host(self, array: Array) -> NDArray[Any]:
        """Return ``array`` as a read-only NumPy array."""
        return np.asarray(array)

    def synchronize(self) -> None:
        """Wait until all arrays are computed."""
        self._jax.block_until_ready([array for array in self._jax.live_arrays() if not array.is_deleted()])

    def free_memory(self) -> int:
        """Return the free memory in bytes."""
        known = self._place.memory_stats()
        return int(known["bytes_limit"] - known["bytes_in_use"]) if known else super().free_memory()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Return the context to compute in: it allows 64-bit dtypes and sets the precision of products.

        Raises
        ------
        MemoryError
            Out of memory; JAX itself has no error class for this.
        """
        jax = self._jax
        with ExitStack() as contexts:
            contexts.enter_context(jax.enable_x64(True))
            contexts.enter_context(jax.default_device(self._place))
            # The user may have forbidden these for their own code.
            contexts.enter_context(jax.numpy_rank_promotion("allow"))
            contexts.enter_context(jax.transfer_guard("allow"))
            contexts.enter_context(jax.default_matmul_precision(ITS_NAMES[self._precision]))
            contexts.enter_context(np.errstate(all="ignore"))
            try:
                yield
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error):
                    raise MemoryError(one_line(error)) from error
                raise

    def compile(self, step: Step) -> Advance:
        """Return a function that takes many steps in one compiled loop on the device, with the state donated.

        Arrays that the step closes over, above all the training rows, become arguments of the program: JAX
        would compile a copy of a constant into it.
        """
        jax, lax = self._jax, self._jax.lax
        program: Any = None
        constants: list[Array] = []
        whole: Draws = {}
        padded: Draws = {}

        def trace(state: State, draws: Draws) -> Any:
            nonlocal constants
            of_one = of_step(draws, 0)
            traced, shapes = jax.make_jaxpr(step, return_shape=True)(state, of_one)
            constants, result = traced.consts, jax.tree.structure(shapes)
            loss = shapes[1]

            def advance(
                state: State, constants: list[Array], draws: Draws, begin: Array, end: Array
            ) -> tuple[State, Array]:
                pure = jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(traced.jaxpr, constants))

                def body(i: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
                    state, losses = carry
                    leaves = jax.tree.leaves((state, of_step(draws, i)))
                    state, loss = jax.tree.unflatten(result, pure(*leaves))
                    return state, losses.at[i - begin].set(loss)

                losses = jax.numpy.zeros((self.steps_at_once, *loss.shape), loss.dtype)
                done: tuple[State, Array] = lax.fori_loop(begin, end, body, (state, losses))
                return done

            return jax.jit(advance, donate_argnums=0)

        def advance(state: State, draws: Draws, begin: int, end: int) -> tuple[State, Array]:
            nonlocal program, whole, padded
            if program is None:
                program = trace(state, draws)
            if draws is not whole:  # once an epoch
                whole, padded = draws, {name: self._padded(values) for name, values in draws.items()}
            pieces = []
            for first in range(begin, end, self.steps_at_once):
                last = min(first + self.steps_at_once, end)
                state, losses = program(state, constants, padded, first, last)
                pieces.append(losses[: last - first, ...])
            return state, pieces[0] if len(pieces) == 1 else jax.numpy.concat(pieces)

        return advance

    def _padded(self, table: Array) -> Array:
        """Pad an epoch's table to a power of two, so that one program serves epochs of similar lengths."""
        steps = table.shape[0]
        capacity = max(LEAST_CAPACITY, 1 << (steps - 1).bit_length())
        widths = [(0, capacity - steps), *[(0, 0)] * (table.ndim - 1)]
        return self._jax.numpy.pad(table, widths)


def _find(jax: Any, place: str) -> Any:
    kind, _, index = place.partition(":")
    try:
        found = jax.devices(kind)
    except (RuntimeError, AssertionError) as error:
        if kind == "cpu":
            raise DeviceError(f"JAX has no CPU ({one_line(error)}): leave JAX_PLATFORMS unset") from error
        raise DeviceError(
            f"JAX is installed but finds no usable GPU ({one_line(error)}): run "
            '`pip install "jax[cuda13]"`, or "jax[cuda12]" for a driver that shows CUDA 12 in `nvidia-smi`, '
            "or use device cpu"
        ) from error
    if int(index or 0) >= len(found):
        raise DeviceError(
            f"there is no GPU {place}: this machine has {len(found)}, from cuda:0 to cuda:{len(found) - 1}"
        )
    return found[int(index or 0)]


def _import_jax() -> Any:
    try:
        import jax
        import jax.extend
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("jax", "jaxlib"):
            raise
        raise DeviceError(
            'backend jax needs JAX, which is not installed: run `pip install "xpnet[jax]"`'
        ) from error
    except (ImportError, RuntimeError, OSError) as error:  # for example, a jaxlib of another release
        raise DeviceError(
            f"JAX is installed but cannot be imported ({one_line(error)}): install it again"
        ) from error
    return jax
