"""cuBLAS handles: one for each thread and stream, each with a separate workspace.

A handle is destroyed when its thread ends or its stream is deleted, unless something still refers to it: a
graph captured with a handle uses its workspace, and so keeps the handle.
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
"""Bytes in the workspace of a handle, as cuBLAS recommends for Hopper; older GPUs need less."""

NOT_INITIALIZED, ALLOC_FAILED = 1, 3
"""``CUBLAS_STATUS_…``. cuBLAS also returns the first if there is no memory for a handle."""

NO_MEMORY = 2
"""``cudaErrorMemoryAllocation``."""

DEFAULT_STREAMS = (0, 1, 2)
"""The null stream, ``cudaStreamLegacy`` and ``cudaStreamPerThread``."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Capture a stream inside this context: other threads create no handles, and no handle is destroyed.

    Both would wait for the whole GPU, which aborts a capture on any stream.
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
    """A cuBLAS handle on a stream, with a workspace that does not belong to a memory pool.

    It is destroyed when nothing refers to it any more.
    """

    def __init__(self, cupy: Any, cublas: Any, stream: int) -> None:
        self.pointer = ctypes.c_void_p()
        status = cublas.cublasCreate_v2(ctypes.byref(self.pointer))
        if status in (NOT_INITIALIZED, ALLOC_FAILED):
            raise MemoryError(f"out of memory for cuBLAS: {_name(cublas, status)}")
        check(cublas, status)
        try:
            workspace = cupy.cuda.Memory(WORKSPACE)
            # In this order: setting a stream resets the workspace.
            check(cublas, cublas.cublasSetStream_v2(self.pointer, stream))
            check(cublas, cublas.cublasSetWorkspace_v2(self.pointer, workspace.ptr, WORKSPACE))
        except BaseException as error:
            cublas.cublasDestroy_v2(self.pointer)
            if getattr(error, "status", None) == NO_MEMORY:
                raise MemoryError(f"out of memory for cuBLAS's workspace: {one_line(error)}") from error
            raise
        gpu, pointer = cupy.cuda.runtime.getDevice(), self.pointer
        # In a list, so that `destroy` can drop it: `finalize` keeps the closure alive until the call returns.
        kept = [workspace]

        def destroy() -> None:
            with cupy.cuda.Device(gpu):
                cublas.cublasDestroy_v2(pointer)  # waits for all work that still uses the workspace
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

        A handle never moves to another stream: it would lose its workspace, or two streams would share it.
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
            except MemoryError:  # CuPy's pool may hold unused memory in reserve
                self._cupy.get_default_memory_pool().free_all_blocks()
                handle = Handle(self._cupy, self._library, stream.ptr)
        handles = self._mine.handles
        handles[key] = handle
        # The default streams, and those that others own, outlive CuPy's object for them.
        if isinstance(stream, self._cupy.cuda.Stream) and stream.ptr not in DEFAULT_STREAMS:
            gone = functools.partial(_drop, weakref.ref(handles), key)
            handles.streams[key] = weakref.ref(stream, gone)
        return handle


class _ByStream(dict[tuple[int, int], Handle]):
    """Handles by GPU and stream, with weak references to the streams."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[tuple[int, int], weakref.ref[Any]] = {}


class _OfThread(threading.local):
    """The handles of each thread, for as long as it lives. Not a dict by thread id, as ids are reused."""

    def __init__(self) -> None:
        self.handles = _ByStream()


def _drop(handles: "weakref.ref[_ByStream]", key: tuple[int, int], _stream: Any) -> None:
    """Drop the handle of a stream that is gone."""
    if (found := handles()) is not None:
        found.streams.pop(key, None)
        found.pop(key, None)


def check(cublas: Any, status: int) -> None:
    """Raise an error if cuBLAS reports one."""
    if status:
        message = f"cuBLAS: {_name(cublas, status)}"
        raise MemoryError(message) if status == ALLOC_FAILED else RuntimeError(message)


def _name(cublas: Any, status: int) -> str:
    return str(cublas.cublasGetStatusString(status).decode())


_lock = threading.RLock()
_capturing = False
_waiting: deque[Callable[[], None]] = deque()


def when_undisturbed(release: Callable[[], None]) -> None:
    """Release a resource that nothing refers to: now or, during a capture, as soon as that has ended.

    The garbage collector may call this anywhere.
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
