"""A training step captured as a CUDA graph: one launch a step instead of dozens.

A graph repeats what was launched while it was captured, on the same addresses and, where they came from the
host, with the same numbers. So a step is captured on buffers of the graph's own: the state, some rows of the
epoch's draws, and a counter on the GPU that says which row is next and where the loss goes. The state that
training hands over is copied in before some steps and back after them, as a step may overwrite what it is
given. No one else ever sees the buffers, nor the memory pool of what a step needs in passing.
"""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.device.base import Device, one_by_one
from xpnet.text import one_line
from xpnet.typing import Advance, Array, Draws, State, Step

__all__ = ["captured"]

WARM_UPS = 2
"""Steps taken before the capture: they compile and load the kernels, and fill the memory pool."""

CHECKED = 3
"""Steps of the graph that are compared with single ones."""


def captured(device: Device, cupy: Any, stream: Any, step: Step) -> Advance:
    """Return what takes steps by launching a graph, captured and checked when it is first called.

    Where that fails it takes them one by one, with one warning that says why.

    Parameters
    ----------
    device
        Where the arrays are.
    cupy
        The module.
    stream
        The stream that all of the device's work is done on; not the default one, which cannot be captured.
    step
        Of arrays alone.
    """
    eager = one_by_one(device, step)
    graph: _Graph | None = None
    failed = False

    def advance(state: State, draws: Draws, begin: int, end: int) -> tuple[State, Array]:
        nonlocal graph, failed
        if graph is None and not failed:
            steps = [begin + i % (end - begin) for i in range(CHECKED)]  # an epoch may have fewer
            expected = _results(device, eager, state, draws, steps)
            # What these steps had in passing is of use to the graph's pool.
            cupy.get_default_memory_pool().free_all_blocks()
            try:
                graph = _Graph(device, cupy.cuda, stream, step, state, draws, expected["loss"])
                _compare(_results(device, graph, state, draws, steps), expected)
            except Exception as error:  # whatever a library may raise
                graph, failed = None, True
                warnings.warn(
                    f"the steps cannot be captured as a CUDA graph, training goes on without ({_why(error)})",
                    RuntimeWarning,
                    stacklevel=2,
                )
        return (graph or eager)(state, draws, begin, end)

    return advance


class _Graph:
    """A captured step and its buffers.

    Parameters
    ----------
    device, stream, step
        As for `captured`.
    cuda
        CuPy's module of that name.
    state, draws
        What to make the buffers like, and to warm up with; only read.
    losses
        Some losses, ``(steps, *nets)``, on the host.
    """

    def __init__(
        self,
        device: Device,
        cuda: Any,
        stream: Any,
        step: Step,
        state: State,
        draws: Draws,
        losses: NDArray[Any],
    ) -> None:
        xp = device.xp
        self._device, self._step = device, step
        self._capacity = device.steps_at_once

        def table(like: Array) -> Array:
            return xp.zeros((self._capacity, *like.shape[1:]), dtype=like.dtype)

        self._state = _copy(device, state)
        self._draws = {name: table(values) for name, values in draws.items()}
        self._losses = table(losses)  # CuPy's dtypes are NumPy's
        self._counter = xp.zeros(1, dtype=xp.int64)
        self._pool = cuda.MemoryPool()
        with cuda.using_allocator(self._pool.malloc), _no_collection():
            for _ in range(WARM_UPS):
                self._load(state, draws, 0, 1)
                self._take_one()
            stream.begin_capture()
            try:
                self._take_one()
            except BaseException:
                with suppress(Exception):  # the stream is to be of use again; what went wrong is known
                    stream.end_capture()
                raise
            self._graph = stream.end_capture()
        self._stream = stream

    def __call__(self, state: State, draws: Draws, begin: int, end: int) -> tuple[State, Array]:
        """Take steps; the arrays of the state that is given are those that are returned."""
        pieces = []
        for first in range(begin, end, self._capacity):
            last = min(first + self._capacity, end)
            self._load(state, draws, first, last)
            for _ in range(last - first):
                self._graph.launch(self._stream)
            for kind, arrays in state.items():
                for name, array in arrays.items():
                    array[...] = self._state[kind][name]
            pieces.append(self._device.xp.asarray(self._losses[: last - first, ...], copy=True))
        return state, pieces[0] if len(pieces) == 1 else self._device.xp.concat(pieces)

    def _load(self, state: State, draws: Draws, begin: int, end: int) -> None:
        """Copy the state and the draws of some steps to where the graph reads them."""
        for kind, arrays in self._state.items():
            for name, buffer in arrays.items():
                buffer[...] = state[kind][name]
        for name, buffer in self._draws.items():
            buffer[: end - begin, ...] = draws[name][begin:end, ...]
        self._counter[...] = 0

    def _take_one(self) -> None:
        """Take the step that the counter says; this is what is captured."""
        xp = self._device.xp
        draws = {name: xp.take(table, self._counter, axis=0)[0, ...] for name, table in self._draws.items()}
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
        self._losses[self._counter] = loss[None, ...]
        self._counter += 1


def _copy(device: Device, state: State) -> State:
    return {
        kind: {name: device.xp.asarray(value, copy=True) for name, value in arrays.items()}
        for kind, arrays in state.items()
    }


def _results(
    device: Device, advance: Advance, state: State, draws: Draws, steps: list[int]
) -> dict[str, NDArray[Any]]:
    """Take these steps from a copy of a state; return the losses and the state, by name and on the host."""
    state, losses = _copy(device, state), []
    for i in steps:
        state, loss = advance(state, draws, i, i + 1)
        losses.append(loss)
    arrays = {f"{kind} {name}": array for kind, of_kind in state.items() for name, array in of_kind.items()}
    return {name: device.to_host(a) for name, a in {"loss": device.xp.concat(losses), **arrays}.items()}


def _compare(actual: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    """Compare what a graph has led to with what single steps have.

    Raises
    ------
    RuntimeError
        They differ by more than rounding.
    """
    for name, array in expected.items():
        if not _close(actual[name], array):
            raise RuntimeError(f"the {name} of the first steps is not that of single steps")


def _close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two host arrays are the same up to rounding that a few steps have carried on."""
    finite = np.abs(b[np.isfinite(b)])
    tolerance = float(np.finfo(b.dtype).eps) ** 0.5
    return np.allclose(a, b, tolerance, tolerance * np.max(finite, initial=0.0), equal_nan=True)


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"[:300]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from collecting garbage: to free what an older graph held would end a capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
