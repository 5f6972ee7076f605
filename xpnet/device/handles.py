"""cuBLAS's handles: one for each thread and stream, with a workspace of its own.

Each goes with its thread or its stream, unless somebody still has it: a captured graph that was made with a
handle works in the handle's workspace, and so keeps it.
"""

import ctypes
import functools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnet.text import one_line

__all__ = ["WORKSPACE", "Handle", "Handles", "check", "undisturbed", "when_undisturbed"]

WORKSPACE = 32 * 2**20
"""Bytes of a handle's workspace: what cuBLAS recommends for Hopper; older GPUs take less."""

NOT_INITIALIZED, ALLOC_FAILED = 1, 3
"""``CUBLAS_STATUS_…``. The first is also what comes of a handle for which there is no memory."""

NO_MEMORY = 2
"""``cudaErrorMemoryAllocation``."""

DEFAULT_STREAMS = (0, 1, 2)
"""The null stream, ``cudaStreamLegacy`` and ``cudaStreamPerThread``."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Capture a stream: meanwhile other threads make no handles, and none is destroyed.

    Both wait for the whole GPU, which ends a capture on whatever stream.
    """
    global _capturing
    with _lock:
        _capturing = True
        try:
            yield
        finally:
            _capturing = False
    _release()


class Handle:
    """A cuBLAS handle on a stream, with a workspace that no memory pool lends to others.

    It is destroyed when nobody has it any more.
    """

    def __init__(self, cupy: Any, cublas: Any, stream: int) -> None:
        self.pointer = ctypes.c_void_p()
        status = cublas.cublasCreate_v2(ctypes.byref(self.pointer))
        if status in (NOT_INITIALIZED, ALLOC_FAILED):
            raise MemoryError(f"no room for cuBLAS: {_name(cublas, status)}")
        check(cublas, status)
        try:
            workspace = cupy.cuda.Memory(WORKSPACE)
            # In this order: a new stream takes the workspace away.
            check(cublas, cublas.cublasSetStream_v2(self.pointer, stream))
            check(cublas, cublas.cublasSetWorkspace_v2(self.pointer, workspace.ptr, WORKSPACE))
        except BaseException as error:
            cublas.cublasDestroy_v2(self.pointer)
            if getattr(error, "status", None) == NO_MEMORY:
                raise MemoryError(f"no room for cuBLAS's workspace: {one_line(error)}") from error
            raise
        gpu, pointer = cupy.cuda.runtime.getDevice(), self.pointer
        # In a list to be taken out of: `finalize` keeps what it hands over until the call returns.
        kept = [workspace]

        def destroy() -> None:
            with cupy.cuda.Device(gpu):
                cublas.cublasDestroy_v2(pointer)  # waits for all that still works in the workspace
                kept.clear()

        weakref.finalize(self, when_undisturbed, destroy).atexit = False


class Handles:
    """The handles of one device."""

    def __init__(self, cupy: Any, cublas: Any) -> None:
        self._cupy = cupy
        self._library = cublas
        self._mine = _OfThread()

    def current(self) -> Handle:
        """Return this thread's handle for the current stream of the current GPU.

        None is ever moved to another stream: it would lose its workspace, or two streams would share it.
        """
        cuda = self._cupy.cuda
        stream = cuda.get_current_stream()
        key = cuda.runtime.getDevice(), stream.ptr
        found = self._mine.handles.get(key)
        return self._add(key, stream) if found is None else found

    def _add(self, key: tuple[int, int], stream: Any) -> Handle:
        with _lock:
            try:
                handle = Handle(self._cupy, self._library, stream.ptr)
            except MemoryError:  # what CuPy's pool holds in reserve is lent to nobody
                self._cupy.get_default_memory_pool().free_all_blocks()
                handle = Handle(self._cupy, self._library, stream.ptr)
        handles = self._mine.handles
        handles[key] = handle
        # Streams that somebody else owns, and the default ones, go on when CuPy's object of them is gone.
        if isinstance(stream, self._cupy.cuda.Stream) and stream.ptr not in DEFAULT_STREAMS:
            gone = functools.partial(_drop, weakref.ref(handles), key)
            handles.streams[key] = weakref.ref(stream, gone)
        return handle


class _ByStream(dict[tuple[int, int], Handle]):
    """Handles by GPU and stream, and those streams."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[tuple[int, int], weakref.ref[Any]] = {}


class _OfThread(threading.local):
    """What each thread has for itself, as long as it lives: not by its number, which is given anew."""

    def __init__(self) -> None:
        self.handles = _ByStream()


def _drop(handles: "weakref.ref[_ByStream]", key: tuple[int, int], _stream: Any) -> None:
    """Drop the handle of a stream that is gone."""
    if (found := handles()) is not None:
        found.streams.pop(key, None)
        found.pop(key, None)


def check(cublas: Any, status: int) -> None:
    """Raise an error where cuBLAS says that there is one."""
    if status:
        message = f"cuBLAS: {_name(cublas, status)}"
        raise MemoryError(message) if status == ALLOC_FAILED else RuntimeError(message)


def _name(cublas: Any, status: int) -> str:
    return str(cublas.cublasGetStatusString(status).decode())


_lock = threading.RLock()
_capturing = False
_waiting: deque[Callable[[], None]] = deque()


def when_undisturbed(release: Callable[[], None]) -> None:
    """Give something back that nobody has any more, now or, if a stream is captured, by the next who may.

    Called wherever garbage is collected.
    """
    _waiting.append(release)
    _release()


def _release() -> None:
    while _waiting and _lock.acquire(blocking=False):
        try:
            if _capturing:
                return
            _waiting.popleft()()
        except IndexError:  # another thread was faster
            return
        finally:
            _lock.release()
