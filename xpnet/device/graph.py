"""Training steps captured as a CUDA graph: one launch for many steps instead of dozens for each step.

A graph repeats what was launched during its capture, at the same addresses and with the same numbers where
they came from the host. So the steps are captured on separate buffers: the state, the draws and the losses,
the last two with a row for each step. The state that training passes in is copied into the buffers before the
steps, and back afterwards, because a step may overwrite the state it is given. Nothing else uses these
buffers, or the memory pool for a step's temporary arrays.
"""

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from xpnet.device.base import Device, one_by_one
from xpnet.device.handles import undisturbed, when_undisturbed
from xpnet.text import one_line
from xpnet.typing import Advance, Array, Draws, State, Step
from xpnet.warn import warn

__all__ = ["captured"]

WARM_UPS = 2
"""Steps taken before a capture, to compile and load the kernels and fill the memory pool."""

MANY = 16
"""Maximum number of steps in a graph."""

LENGTHS = 4
"""Number of graphs from which no new length is captured for the rest of an epoch; single steps take it."""


def captured(
    device: Device, cupy: Any, stream: Callable[[], Any], step: Step, held: Callable[[], object] = object
) -> Advance:
    """Return a function that takes steps by launching graphs, captured and checked when first needed.

    If that fails, it takes the steps one by one, with a single warning that says why.

    Parameters
    ----------
    device
        The device of the arrays.
    cupy
        The module.
    stream
        Returns the stream on which this thread does all its work. It is not the default stream, which cannot
        be captured.
    step
        A function of arrays only.
    held
        Returns an object that the graph being captured depends on, and must therefore keep alive.
    """
    eager = one_by_one(device, step)
    graphs: _Graphs | None = None
    failed = False

    def advance(state: State, draws: Draws, begin: int, end: int) -> tuple[State, Array]:
        nonlocal graphs, failed
        while not failed and (count := graphs.missing(end - begin) if graphs else min(end - begin, MANY)):
            expected = eager(_copy(device, state), draws, begin, begin + count)
            try:
                graphs = graphs or _Graphs(device, cupy, stream, step, held, state, draws, expected[1])
                graphs.capture(count, state, draws, begin)
                _compare(device, graphs(_copy(device, state), draws, begin, begin + count), expected)
            except Exception as error:  # the libraries may raise anything
                graphs, failed = None, True
                warn(
                    f"the steps cannot be captured as a CUDA graph, training continues without it "
                    f"({_why(error)})",
                    RuntimeWarning,
                )
        return (graphs or eager)(state, draws, begin, end)

    return advance


class _Graphs:
    """Captured steps and their buffers.

    Parameters
    ----------
    device, cupy, stream, step, held
        As for `captured`.
    state, draws, losses
        Examples for the shapes and dtypes of the buffers; only read.
    """

    def __init__(
        self,
        device: Device,
        cupy: Any,
        stream: Callable[[], Any],
        step: Step,
        held: Callable[[], object],
        state: State,
        draws: Draws,
        losses: Array,
    ) -> None:
        self._device, self._cupy, self._stream = device, cupy, stream
        self._step, self._held = step, held
        self._state = _copy(device, state)

        def table(like: Array) -> Array:
            return device.xp.zeros((MANY, *like.shape[1:]), dtype=like.dtype)

        self._draws = {name: table(values) for name, values in draws.items()}
        self._losses = table(losses)
        self._pool = cupy.cuda.MemoryPool()
        # A deleted pool would not free the memory that it holds in reserve.
        weakref.finalize(self, when_undisturbed, _emptying(cupy, self._pool)).atexit = False
        self._graphs: dict[int, Any] = {}

    def __call__(self, state: State, draws: Draws, begin: int, end: int) -> tuple[State, Array]:
        """Take steps; write the new state into the arrays of the given one, and return it."""
        self._load(state)
        pieces = []
        for count in self._lengths(end - begin):
            pieces.append(self._launch(count, draws, begin))
            begin += count
        for kind, arrays in state.items():
            for name, array in arrays.items():
                array[...] = self._state[kind][name]
        return state, pieces[0] if len(pieces) == 1 else self._device.xp.concat(pieces)

    def missing(self, steps: int) -> int:
        """Return the length of a graph that must still be captured for this many steps, or 0."""
        return next((count for count in self._lengths(steps) if count not in self._graphs), 0)

    def _lengths(self, steps: int) -> list[int]:
        """Return the lengths of the graphs that together take this many steps."""
        many, rest = divmod(steps, MANY)
        known = rest in self._graphs or len(self._graphs) < LENGTHS
        return [MANY] * many + ([rest] if rest and known else [1] * rest)

    def capture(self, count: int, state: State, draws: Draws, begin: int) -> None:
        """Capture this many steps, after warm-up steps from this state."""
        # Free now whatever an older graph held: freeing it during the capture would abort the capture.
        gc.collect()
        # The pool of the graphs can use the memory that single steps had for temporary arrays.
        self._cupy.get_default_memory_pool().free_all_blocks()
        cuda = self._cupy.cuda
        with cuda.using_allocator(self._pool.malloc), undisturbed(), _no_collection():
            for _ in range(WARM_UPS):
                self._load(state)
                self._load_draws(draws, begin, 1)
                self._take(1)
            stream = self._stream()
            stream.begin_capture()
            try:
                self._take(count)
            except BaseException:
                with suppress(Exception):  # end it so that the stream is usable again; the first error counts
                    stream.end_capture()
                raise
            self._graphs[count] = stream.end_capture(), self._held()

    def _load(self, state: State) -> None:
        """Copy a state into the buffers of the graphs."""
        for kind, arrays in self._state.items():
            for name, buffer in arrays.items():
                buffer[...] = state[kind][name]

    def _load_draws(self, draws: Draws, begin: int, count: int) -> None:
        for name, buffer in self._draws.items():
            buffer[:count, ...] = draws[name][begin : begin + count, ...]

    def _launch(self, count: int, draws: Draws, begin: int) -> Array:
        """Take this many steps from the state in the buffers; return their losses."""
        self._load_draws(draws, begin, count)
        graph, _ = self._graphs[count]
        graph.launch(self._stream())
        return self._device.xp.asarray(self._losses[:count, ...], copy=True)

    def _take(self, count: int) -> None:
        """Take steps on the buffers; this is the part that is captured."""
        xp = self._device.xp
        for i in range(count):
            draws = {name: table[i, ...] for name, table in self._draws.items()}
            # The step may put other arrays into the dicts.
            state, loss = self._step({kind: dict(arrays) for kind, arrays in self._state.items()}, draws)
            moved = [
                (buffer, xp.asarray(state[kind][name], copy=True))  # it may be part of another buffer
                for kind, arrays in self._state.items()
                for name, buffer in arrays.items()
                if state[kind][name] is not buffer
            ]
            for buffer, array in moved:
                buffer[...] = array
            self._losses[i, ...] = loss


def _emptying(cupy: Any, pool: Any) -> Callable[[], None]:
    """Return a function that returns the memory of a pool to the current GPU."""
    gpu = cupy.cuda.runtime.getDevice()

    def empty() -> None:
        with cupy.cuda.Device(gpu):
            pool.free_all_blocks()

    return empty


def _copy(device: Device, state: State) -> State:
    return {
        kind: {name: device.xp.asarray(value, copy=True) for name, value in arrays.items()}
        for kind, arrays in state.items()
    }


def _compare(device: Device, actual: tuple[State, Array], expected: tuple[State, Array]) -> None:
    """Compare the results of a graph with those of single steps, on the device; read back only one array.

    Raises
    ------
    RuntimeError
        They differ by more than rounding errors.
    """
    names, apart = ["loss"], [_apart(device.xp, actual[1], expected[1])]
    for kind, arrays in expected[0].items():
        for name, array in arrays.items():
            names.append(f"{kind} {name}")
            apart.append(_apart(device.xp, actual[0][kind][name], array))
    for name, differs in zip(names, device.to_host(device.xp.stack(apart)), strict=True):
        if differs:
            raise RuntimeError(f"the {name} of the first steps is not that of single steps")


def _apart(xp: Any, a: Array, b: Array) -> Array:
    """Return whether two arrays differ by more than rounding errors accumulated over a few steps."""
    tolerance = float(np.finfo(b.dtype).eps) ** 0.5  # CuPy's dtypes are NumPy's
    size = xp.where(xp.isfinite(b), xp.abs(b), 0.0)
    near = xp.abs(a - b) <= tolerance * (size + xp.max(size))
    return xp.any(~(near | (a == b) | (xp.isnan(a) & xp.isnan(b))))


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"[:300]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from collecting garbage: freeing what an older graph held would abort a capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
