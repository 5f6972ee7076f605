"""Finds CUDA GPUs: the choice of ``"auto"``, and names of several GPUs."""

import ctypes
import re
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from xpnet.device.cuda import CudaDevice
from xpnet.device.jax import JaxDevice
from xpnet.device.torch import TorchDevice
from xpnet.errors import DeviceError

__all__ = ["Choice", "choose", "count_gpus", "gpu_names", "is_several"]

DRIVERS = {"win32": "nvcuda.dll", "linux": "libcuda.so.1"}
"""The library that NVIDIA's driver installs, by operating system."""

FIRST_OF: dict[str, Callable[[], object]] = {
    "cupy": CudaDevice,
    "torch": partial(TorchDevice, "cuda:0"),
    "jax": partial(JaxDevice, "cuda:0"),
}
"""How to get the first GPU with each library, in the order of trying them; the error says what is missing."""

COUNT_BY: dict[str, Callable[[Any], int]] = {
    "cupy": lambda cupy: cupy.cuda.runtime.getDeviceCount(),
    "torch": lambda torch: torch.cuda.device_count(),
    "jax": lambda jax: len(jax.devices("cuda")),
}

NO_LIBRARY = (
    'no library that computes on the GPU is installed: run `pip install "xpnet[cuda13]"`, or "xpnet[cuda12]" '
    "for a driver that shows CUDA 12 in `nvidia-smi`"
)


class Choice(NamedTuple):
    """The choice of ``"auto"`` on this machine: device, library and reason."""

    device: str
    backend: str
    reason: str

    def __str__(self) -> str:
        return f"device auto is {self.device} with {self.backend}: {self.reason}"


def choose(backend: str = "auto") -> Choice:
    """Choose a device: the first CUDA GPU if an installed library can use it, else the CPU (never for CuPy).

    Without a driver, no library is imported.

    Parameters
    ----------
    backend
        The only library to try; ``"auto"`` tries CuPy, PyTorch and JAX, in this order, and NumPy on the CPU.
    """
    if backend == "numpy":
        return Choice("cpu", backend, "numpy computes on the CPU only")
    if backend == "cupy":  # if it lacks anything, it says so itself
        return Choice("cuda:0", backend, "cupy computes on CUDA GPUs only")
    on_cpu = "numpy" if backend == "auto" else backend
    if not has_driver():
        return Choice("cpu", on_cpu, "there is no driver of an NVIDIA GPU")
    tried = [name for name in FIRST_OF if backend in ("auto", name) and find_spec(name) is not None]
    told = []
    for name in tried:
        try:
            FIRST_OF[name]()
        except DeviceError as error:
            told.append(str(error))
        else:
            return Choice("cuda:0", name, "it is the first library here that can use the GPU")
    return Choice("cpu", on_cpu, told[0] if told else NO_LIBRARY)


@cache
def has_driver() -> bool:
    """Return whether NVIDIA's driver is installed; this is a fast check."""
    try:
        ctypes.CDLL(DRIVERS[sys.platform])
    except (KeyError, OSError):
        return False
    return True


def count_gpus(backend: str) -> int:
    """Return the number of CUDA GPUs that a library sees.

    Parameters
    ----------
    backend
        A library with which `get_device` has already returned a GPU, so that there is at least one.
        ``"auto"`` is CuPy.

    Raises
    ------
    KeyError
        The library does not support CUDA GPUs, like NumPy.
    ImportError
        The library is not installed.
    """
    library = "cupy" if backend == "auto" else backend
    return COUNT_BY[library](import_module(library))


def is_several(device: object) -> bool:
    """Return whether a name means several GPUs: ``"cuda:all"``, or a list such as ``"cuda:0,cuda:1"``."""
    return isinstance(device, str) and (device == "cuda:all" or "," in device)


def gpu_names(device: str, count: Callable[[], int]) -> tuple[str, ...]:
    """Return the names of the single GPUs that such a name stands for.

    Parameters
    ----------
    device
        ``"cuda:all"``, or a list.
    count
        Returns the number of GPUs of this machine; not called if the list itself is invalid.

    Raises
    ------
    DeviceError
        An entry of the list is not a GPU, does not exist on this machine, or occurs twice.
    """
    if device == "cuda:all":
        return tuple(f"cuda:{number}" for number in range(count()))
    names = [name.strip() for name in device.split(",")]
    for name in names:
        if re.fullmatch(r"cuda:\d+", name) is None:
            raise DeviceError(f"{name!r} is not a GPU: list GPUs as in cuda:0,cuda:1, or use cuda:all")
    numbers = [int(name.partition(":")[2]) for name in names]
    for number in numbers:
        if numbers.count(number) > 1:
            raise DeviceError(f"cuda:{number} is named twice in {device}: name each GPU once")
    there = count()
    for number in numbers:
        if number >= there:
            raise DeviceError(
                f"there is no GPU cuda:{number}: this machine has {there}, from cuda:0 to cuda:{there - 1}"
            )
    return tuple(f"cuda:{number}" for number in numbers)
