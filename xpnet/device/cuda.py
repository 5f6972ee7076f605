"""A CUDA GPU with CuPy."""

import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from xpnet.device.arrays import adapter_of, between_numbers, replacing
from xpnet.device.base import Device, Options
from xpnet.device.cublas import Products, library
from xpnet.device.fusing import Fuser, sign
from xpnet.device.graph import captured
from xpnet.device.kernels import Kernels
from xpnet.device.nccl import Nccl
from xpnet.device.team import Team
from xpnet.device.uploads import Uploads, pinned, wait
from xpnet.errors import DeviceError
from xpnet.text import one_line
from xpnet.typing import Advance, Array, Draws, State, Step, Subtract

__all__ = ["CudaDevice", "cuda_device"]


class CudaDevice(Device):
    """A CUDA GPU with CuPy.

    Integer training rows stay raw in GPU memory, and each batch is preprocessed when it is gathered; rows of
    bytes then take a quarter of the memory of float32.

    Parameters
    ----------
    index
        Number of the GPU, from 0.
    precision
        Precision of the products of float32 matrices: ``"fp32"``, ``"tf32"`` or ``"bf16"``; see
        `xpnet.device.cublas`.
    compiled
        Whether steps are captured as a CUDA graph; see `xpnet.device.graph`. Not yet run on a GPU.

    Raises
    ------
    DeviceError
        CuPy is missing, installed twice or broken; there is no driver, no GPU, or no GPU of this number; or
        array-api-compat or cuBLAS is missing.
    """

    is_host = False
    keeps_raw = True
    subtracted_from = 0
    steps_at_once = 64

    def __init__(self, index: int = 0, precision: str = "fp32", compiled: bool = False) -> None:
        self._cupy = _import_cupy()
        try:
            # Not is_available(), which would hide why there is none.
            count, reason = self._cupy.cuda.runtime.getDeviceCount(), "the driver lists none"
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            count, reason = 0, one_line(error)
        if count == 0:
            raise DeviceError(
                f"CuPy is installed but finds no usable GPU ({reason}): install or update the "
                "NVIDIA driver until `nvidia-smi` lists a GPU, or use device cpu"
            )
        if index >= count:
            raise DeviceError(
                f"there is no GPU cuda:{index}: this machine has {count}, from cuda:0 to cuda:{count - 1}"
            )
        adapter = adapter_of("cupy")
        self.products = Products(self._cupy, adapter, library(self._cupy), precision)
        fuse = Fuser(self._cupy)
        # The adapter's `clip` and `sign` read back to the host, and CuPy's products copy transposed arrays.
        self.xp = replacing(
            adapter,
            clip=between_numbers(self._cupy.clip, adapter.clip),
            sign=lambda x: fuse(sign, (x,)),
            matmul=self.products.matmul,
            vecdot=self.products.vecdot,
            composites={**Kernels(self._cupy).composites, "elementwise": fuse},
        )
        self.name = f"cuda:{index}"
        self.backend = f"cupy {self._cupy.__version__}"
        self._precision, self._compiled = precision, compiled
        self._gpu = self._cupy.cuda.Device(index)
        # One stream per thread: a capture on a shared stream would record the work of other threads too.
        self._of_thread = threading.local()

    @property
    def options(self) -> Options:
        """The arguments with which another process gets the same device."""
        return Options(self.name, "cupy", self._precision, self._compiled)

    def put(self, array: Any, dtype: str | None = None) -> Array:
        """Return ``array`` on this GPU, without a copy if it is already there."""
        with self.active():
            if isinstance(array, self._cupy.ndarray) and array.device != self._gpu:
                array = array.copy()  # CuPy copies to the current GPU
            return self._cupy.asarray(array, dtype=dtype)

    def pinned(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows in pinned (page-locked) memory."""
        with self._gpu:
            return pinned(self._cupy, rows)

    def send(self, rows: NDArray[Any], dtype: str | None = None) -> Callable[[], Array]:
        """Start transferring rows to this GPU, while earlier work continues."""
        with self.active():
            if not hasattr(self._of_thread, "uploads"):
                self._of_thread.uploads = Uploads(self._cupy)
            receive = self._of_thread.uploads.send(rows)

        def received() -> Array:
            with self.active():
                return receive() if dtype is None else self._cupy.asarray(receive(), dtype=dtype)

        return received

    def to_host(self, array: Array) -> NDArray[Any]:
        """Return ``array`` as a NumPy array."""
        with self.active():
            return cast("NDArray[Any]", self._cupy.asnumpy(array))

    def synchronize(self) -> None:
        """Wait until the GPU has finished all work of this thread."""
        with self.active():
            # Waiting for the whole GPU would abort a capture in another thread.
            self._cupy.cuda.get_current_stream().synchronize()

    def free_memory(self) -> int:
        """Return the free memory of the GPU in bytes, including what CuPy's memory pool holds in reserve."""
        with self._gpu:
            free, _ = self._cupy.cuda.runtime.memGetInfo()
            return int(free + self._cupy.get_default_memory_pool().free_bytes())

    @contextmanager
    def active(self) -> Iterator[None]:
        """Return the context in which CuPy allocates and computes on this GPU.

        CuPy's creation functions take no ``device``, so this is the way to choose one. If steps are captured,
        everything runs on the stream for that, in order with the work on the caller's current stream.
        """
        cuda, stream = self._cupy.cuda, self._stream()
        # NumPy's warnings matter here too: schedules are computed on the host.
        with self._gpu, np.errstate(all="ignore"):
            outside = None if stream is None else cuda.get_current_stream()
            if outside == stream:
                yield
                return
            wait(cuda, stream, outside)
            try:
                with stream:
                    yield
            finally:
                wait(cuda, outside, stream)

    def among(self, team: Team) -> Device:
        """Return the same GPU for one of several processes that train one network; all must call this.

        Raises
        ------
        DeviceError
            This device captures steps, or NCCL cannot join the GPUs.
        """
        if self._compiled:
            raise DeviceError("compile does not work with several processes yet: leave out compile")
        with self.active():
            return self._with(team, Nccl(self._cupy, team).whole)

    def find_subtract(self) -> Subtract:
        """Return a function that subtracts a matrix product in place."""
        return self.products.subtract

    def compile(self, step: Step) -> Advance:
        """Return a function that takes many steps: one by one, or by launching CUDA graphs."""
        if not self._compiled:
            return super().compile(step)
        advance = captured(self, self._cupy, self._stream, step, self.products.handle)

        def advance_in_stream(state: State, draws: Draws, begin: int, end: int) -> tuple[State, Array]:
            with self.active():
                return advance(state, draws, begin, end)

        return advance_in_stream

    def _stream(self) -> Any:
        """Return the stream that this thread captures; None if steps are not captured."""
        if not self._compiled:
            return None
        if not hasattr(self._of_thread, "stream"):
            with self._gpu:
                # Non-blocking: otherwise, work of others on the default stream would abort a capture.
                self._of_thread.stream = self._cupy.cuda.Stream(non_blocking=True)
        return self._of_thread.stream


def cuda_device(index: int, precision: str, compiled: bool) -> CudaDevice:
    """Return the device with these options; each process creates its kernels and cuBLAS once."""
    key = sys.modules.get("cupy"), index, precision, compiled
    if key not in _known:
        made = CudaDevice(index, precision, compiled)
        return _known.setdefault((sys.modules.get("cupy"), *key[1:]), made)
    return _known[key]


_known: dict[tuple[Any, int, str, bool], CudaDevice] = {}


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
            f"CuPy is installed but cannot be imported ({one_line(error)}): install the CuPy package "
            "for your CUDA version again"
        ) from error
    return cupy
