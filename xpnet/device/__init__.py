"""Devices: from a name (``"cpu"``, ``"cuda:1"``, ``"mps"``, ``"auto"``) to a namespace and its transfers.

A `Device` is looked up once, where a user's call or command comes in, and passed on as an argument; there is
no current device and no global state. This is the only room that names array libraries to compute with: NumPy
in `base`, CuPy in `cuda`, PyTorch in `torch`, JAX in `jax`. For CUDA, `cublas` computes matrix products,
`fusing` generates kernels from the maths, `kernels` holds hand-written ones, `graph` captures steps, and
`uploads` transfers rows during computation.

May import: nothing but the ground.
"""

import copyreg
import re
from collections.abc import Callable
from typing import Literal

from xpnet.device.arrays import dtype_name, to_numpy
from xpnet.device.base import Device, Options, of_step, one_by_one
from xpnet.device.cuda import CudaDevice, cuda_device
from xpnet.device.gpus import choose, count_gpus, gpu_names, is_several
from xpnet.device.jax import JaxDevice
from xpnet.device.launched import find_team, is_first, number_of_processes
from xpnet.device.processor import has_bf16
from xpnet.device.reading import all_to_host
from xpnet.device.team import Team
from xpnet.device.threads import (
    blas_threads,
    busy_note,
    cores,
    limited_blas_threads,
    one_blas_thread,
    small_products,
    threads_note,
    using_threads,
)
from xpnet.device.torch import TorchDevice
from xpnet.errors import DeviceError

__all__ = [
    "Backend",
    "CudaDevice",
    "Device",
    "Options",
    "Precision",
    "Team",
    "all_to_host",
    "blas_threads",
    "busy_note",
    "choose",
    "cores",
    "count_gpus",
    "dtype_name",
    "find_team",
    "get_device",
    "gpu_names",
    "is_first",
    "is_several",
    "limited_blas_threads",
    "number_of_processes",
    "of_step",
    "one_blas_thread",
    "one_by_one",
    "small_products",
    "threads_note",
    "to_numpy",
    "using_threads",
]

Backend = Literal["auto", "numpy", "cupy", "torch", "jax"]
Precision = Literal["fp32", "tf32", "bf16"]

KINDS_OF = {"numpy": ("cpu",), "cupy": ("cuda",), "torch": ("cpu", "cuda", "mps"), "jax": ("cpu", "cuda")}
"""The kinds of device that each library supports."""

DEFAULT = {"cpu": "numpy", "cuda": "cupy", "mps": "torch"}
"""The default library of each kind of device."""

PRECISIONS = {
    ("cuda", "cupy"): ("fp32", "tf32", "bf16"),
    ("cuda", "torch"): ("fp32", "tf32"),
    ("cuda", "jax"): ("fp32", "tf32"),
    ("cpu", "torch"): ("fp32", "bf16"),
}
"""The precisions of products by kind of device and library; all others support only fp32."""


def get_device(
    device: str | Device = "cpu",
    backend: str = "auto",
    precision: str = "fp32",
    compiled: bool = False,
) -> Device:
    """Return the device of a given name, with an array library.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"`` (the first GPU), ``"cuda:N"``, ``"mps"`` (Apple GPU); ``"auto"``, the first CUDA
        GPU if an installed library can use it, else the CPU (which CuPy does not support); or a `Device`,
        which is returned unchanged.
    backend
        ``"numpy"``, ``"cupy"``, ``"torch"`` or ``"jax"``. ``"auto"`` is NumPy on the CPU, CuPy on CUDA GPUs
        and PyTorch on Apple GPUs; with device ``"auto"``, the first of CuPy, PyTorch and JAX that can use the
        GPU.
    precision
        Precision of products of float32 matrices, by default ``"fp32"``. On a CUDA GPU, ``"tf32"`` rounds the
        factors to 10 bits of mantissa and, with CuPy, ``"bf16"`` to at least 7; so may PyTorch on a CPU with
        AMX-BF16 or AVX512-BF16. Sums and parameters stay float32.
    compiled
        Whether CuPy captures the training step as a CUDA graph, or PyTorch compiles it. JAX always compiles,
        NumPy never does.

    Raises
    ------
    DeviceError
        If there is no such device, or it cannot be used; the message says what to do.
    """
    if isinstance(device, Device):
        return device
    device = str(device)
    if backend not in ("auto", *KINDS_OF):
        raise DeviceError(f"unknown backend {backend!r}: use auto, {', '.join(KINDS_OF)}")
    if is_several(device):
        raise DeviceError(
            f"device {device} is not a single device: give one, such as cuda:0; only `xpnet train`, `xpnet "
            "sweep` and xpnet.search take several GPUs"
        )
    if device == "auto":
        device, backend, _ = choose(backend)
    match = re.fullmatch(r"cpu|mps|cuda(?::(\d+))?", device)
    if match is None:
        raise DeviceError(
            f"unknown device {device!r}: use cpu, cuda, cuda:N, mps or auto; `xpnet train` and sweeps also "
            "take cuda:all and cuda:0,cuda:1"
        )
    kind = device.partition(":")[0]
    place = f"cuda:{int(match[1] or 0)}" if kind == "cuda" else kind
    if backend == "auto":
        backend = DEFAULT[kind]
    if kind not in KINDS_OF[backend]:
        fitting = [name for name, kinds in KINDS_OF.items() if kind in kinds]
        raise DeviceError(f"{backend} has no device {kind}: use backend {' or '.join(fitting)}")
    offered = PRECISIONS.get((kind, backend), ("fp32",))
    if precision not in offered:
        # PyTorch's bf16, where available, is faster.
        other = ", or backend torch" if (kind, precision) == ("cpu", "bf16") and has_bf16() else ""
        raise DeviceError(
            f"no precision {precision!r} with {backend} on device {kind}: use {' or '.join(offered)}{other}"
        )
    if backend == "cupy":
        return cuda_device(int(place.partition(":")[2]), precision, compiled)
    if backend == "torch":
        return TorchDevice(place, precision, compiled)
    if backend == "jax":
        return JaxDevice(place, precision)
    return Device()


def _ask_again(device: Device) -> tuple[Callable[..., Device], Options]:
    """Return how to get the same device again, for pickling; derived classes define their own."""
    return get_device, device.options


for _known in (Device, CudaDevice, TorchDevice, JaxDevice):
    copyreg.pickle(_known, _ask_again)
