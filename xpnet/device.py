"""Devices: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` to a namespace and the ways in and out of it.

A `Device` is looked up once, where a user's call or command comes in, and passed on by argument; there is
no current device and no global. This is the only room that names an array library as a thing to compute
with.
"""

import importlib.util
import os
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import DeviceError
from xpnet.typing import Array, Namespace

__all__ = ["SHARED_FROM", "CudaDevice", "Device", "dtype_name", "get_device", "one_blas_thread", "to_numpy"]


SHARED_FROM = 20_000_000
"""Operations of a step's largest product from which a second BLAS thread begins to pay. With smaller ones
it gains nothing, and on a busy machine threads that wait for each other cost many times the product."""


class Device:
    """The CPU with NumPy, and the interface of every device.

    Attributes
    ----------
    name
        As a user writes it: ``"cpu"``, ``"cuda:0"``.
    backend
        Name and version of the array library.
    xp
        Array API namespace.
    is_host
        Whether reading an array back costs nothing, so that a loop may look at every loss.
    """

    name = "cpu"
    is_host = True

    def __init__(self) -> None:
        self.xp: Namespace = np
        self.backend = f"numpy {np.__version__}"
        keep_freed_memory()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.backend}>"

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
        """Return ``array`` as a NumPy array, without a copy where it is one already."""
        return np.asarray(array)

    def synchronize(self) -> None:
        """Wait until everything asked of the device is done."""

    def free_memory(self) -> int:
        """Return the bytes that can still be had; where the system doesn't say, half of what there is."""
        try:
            lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
            available = next(line for line in lines if line.startswith("MemAvailable:"))
            return int(available.split()[1]) * 1024
        except (OSError, StopIteration):
            return _physical_memory() // 2

    def active(self) -> AbstractContextManager[Any]:
        """Return the context to compute in.

        Overflow warnings are silenced in it: a diverging network is found by its loss.
        """
        return np.errstate(all="ignore")


class CudaDevice(Device):
    """A CUDA GPU with CuPy.

    Parameters
    ----------
    index
        Number of the GPU, from 0.

    Raises
    ------
    DeviceError
        CuPy is missing, installed twice or broken; no driver or GPU; no GPU of that number.
    """

    is_host = False

    def __init__(self, index: int = 0) -> None:
        self._cupy = _import_cupy()
        try:
            # Asked for directly: is_available() would hide why there is none.
            count, reason = self._cupy.cuda.runtime.getDeviceCount(), "the driver lists none"
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            count, reason = 0, _one_line(error)
        if count == 0:
            raise DeviceError(
                f"CuPy is installed but finds no usable GPU ({reason}): install or update the "
                "NVIDIA driver until `nvidia-smi` lists a GPU, or use device cpu"
            )
        if index >= count:
            raise DeviceError(
                f"there is no GPU cuda:{index}: this machine has {count}, from cuda:0 to cuda:{count - 1}"
            )
        # Imported here because it takes as long as NumPy itself, which needs no adapter.
        import array_api_compat.cupy

        self.xp = array_api_compat.cupy
        self.name = f"cuda:{index}"
        self.backend = f"cupy {self._cupy.__version__}"
        self._gpu = self._cupy.cuda.Device(index)

    def put(self, array: Any, dtype: str | None = None) -> Array:
        """Return ``array`` on this GPU, without a copy where it is there already."""
        with self._gpu:
            if isinstance(array, self._cupy.ndarray) and array.device != self._gpu:
                array = array.copy()  # CuPy copies to the current GPU
            return self._cupy.asarray(array, dtype=dtype)

    def to_host(self, array: Array) -> NDArray[Any]:
        """Return ``array`` as a NumPy array."""
        return cast("NDArray[Any]", self._cupy.asnumpy(array))

    def synchronize(self) -> None:
        """Wait until everything asked of the GPU is done."""
        self._gpu.synchronize()

    def free_memory(self) -> int:
        """Return the bytes of the GPU that can still be had, those that CuPy holds in reserve included."""
        with self._gpu:
            free, _ = self._cupy.cuda.runtime.memGetInfo()
            return int(free + self._cupy.get_default_memory_pool().free_bytes())

    def active(self) -> AbstractContextManager[Any]:
        """Return the context in which CuPy allocates and computes on this GPU.

        CuPy's creation functions take no ``device``, so this is the way to choose one.
        """
        return cast("AbstractContextManager[Any]", self._gpu)


def get_device(spec: "str | Device") -> Device:
    """Return the device that ``spec`` names.

    Parameters
    ----------
    spec
        ``"cpu"``, ``"cuda"`` (the first GPU), ``"cuda:N"``, or a `Device`, which is returned as it is.

    Raises
    ------
    DeviceError
        No such device, or it cannot be used here; the message says what to do.
    """
    if isinstance(spec, Device):
        return spec
    if spec == "cpu":
        return Device()
    match = re.fullmatch(r"cuda(?::(\d+))?", str(spec))
    if match is None:
        raise DeviceError(f"unknown device {spec!r}: use cpu, cuda or cuda:N")
    return CudaDevice(int(match[1] or 0))


@contextmanager
def one_blas_thread(wanted: bool = True) -> Iterator[None]:
    """Keep NumPy's products to one thread each, where ``wanted``.

    For products too small to share out, and for stacks that are trained on threads of their own. The
    setting is one of the whole process, so with several users at a time the first makes it and the
    last takes it back.
    """
    if not wanted:
        yield
        return
    _one_thread.enter()
    try:
        yield
    finally:
        _one_thread.leave()


def keep_freed_memory() -> None:
    """Make the C library keep what a step frees for the next step, instead of asking the system each time.

    Until an array as large as this has been freed, glibc returns every large one to the system, and the
    next has its pages mapped anew, one by one: a stack of small networks then takes up to twice as long
    (mallopt(3), M_MMAP_THRESHOLD). This one is never written to, so it costs two system calls; elsewhere
    it does nothing.
    """
    np.empty(32 * 2**20 - 2**16, np.uint8)


class _OneThread:
    """Counts who wants BLAS kept to one thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limits: Any = None

    def enter(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            if self._users == 0:
                self._limits = threadpool_limits(1)
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limits.restore_original_limits()


_one_thread = _OneThread()


def dtype_name(array: Array) -> str:
    """Return the name of an array's dtype in any library: ``"float32"``."""
    return str(array.dtype).rpartition(".")[2]


def to_numpy(array: Any) -> NDArray[Any]:
    """Return an array of any library, on any device, or a nested sequence, as a NumPy array."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "__dlpack__") or hasattr(array, "__array_namespace__"):
        import array_api_compat

        array = array_api_compat.to_device(array, "cpu")
    return np.asarray(array)


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 4 * 2**30


def _import_cupy() -> Any:
    from importlib import metadata  # here because it pulls in the e-mail parser

    wheels = sorted(
        {
            name
            for distribution in metadata.distributions()
            if (name := distribution.name) and re.fullmatch(r"cupy(-(cuda|rocm).*)?", name.lower())
        }
    )
    if len(wheels) > 1:
        raise DeviceError(
            f"the CuPy packages {' and '.join(wheels)} conflict: "
            f"run `pip uninstall {' '.join(wheels)}` and install the one for your CUDA version again"
        )
    if importlib.util.find_spec("cupy") is None:
        raise DeviceError(
            'a CUDA device needs CuPy, which is not installed: run `pip install "xpnet[cuda13]"`, or '
            '"xpnet[cuda12]" for a driver that shows CUDA 12 in `nvidia-smi`'
        )
    try:
        import cupy
    except Exception as error:  # CuPy wraps whatever its shared libraries raise
        raise DeviceError(
            f"CuPy is installed but cannot be imported ({_one_line(error)}): install the CuPy package "
            "for your CUDA version again"
        ) from error
    return cupy


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
