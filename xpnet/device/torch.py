"""PyTorch as an array library: the CPU, CUDA GPUs, and with ``mps`` those of Macs. No autograd, no layers."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.device.arrays import adapter_of, between_numbers, dtype_name, replacing, to_numpy
from xpnet.device.base import Device, Options, one_by_one
from xpnet.device.onednn import bf16, check_bf16, matmul_in_bf16
from xpnet.device.shared import Shared
from xpnet.errors import DeviceError
from xpnet.text import one_line
from xpnet.typing import Advance, Array, Draws, State, Step
from xpnet.warn import warn

__all__ = ["TorchDevice"]


class TorchDevice(Device):
    """A device of PyTorch's.

    Parameters
    ----------
    place
        ``"cpu"``, ``"cuda:N"`` or ``"mps"``.
    precision
        ``"tf32"`` lets a CUDA GPU round the factors of products to 10 bits of fraction, ``"bf16"`` a CPU to
        7; else ``"fp32"``.
    compiled
        Whether steps go through ``torch.compile``.

    Raises
    ------
    DeviceError
        PyTorch is missing or broken, or has no such device here, or not in this precision.
    """

    is_host = False
    steps_at_once = 16

    def __init__(self, place: str = "cpu", precision: str = "fp32", compiled: bool = False) -> None:
        self._torch = _import_torch()
        _check(self._torch, place)
        if precision == "bf16":
            check_bf16(self._torch)
        adapter = adapter_of("torch")
        torch = self._torch

        def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
            return torch.linalg.vecdot(x1, x2, dim=axis)

        def maximum(x1: Array, x2: Array | float, /) -> Array:
            return torch.clamp(x1, min=x2) if isinstance(x2, float) else torch.maximum(x1, x2)

        # The adapter's do no more for equal dtypes and take longer: `vecdot` three times even for large ones,
        # and `maximum` copies its number to the GPU each time.
        matmul = matmul_in_bf16(torch) if precision == "bf16" else torch.matmul
        functions = {"matmul": matmul, "vecdot": vecdot, "maximum": maximum}
        clip = between_numbers(torch.clamp, adapter.clip)
        self.xp = replacing(adapter, clip=clip, **functions)
        self.name = place
        self.backend = f"torch {self._torch.__version__}"
        self._place = self._torch.device(place)
        self._precision, self._compiled = precision, compiled

    @property
    def options(self) -> Options:
        """What another process has to ask for to have the same device."""
        return Options(self.name, "torch", self._precision, self._compiled)

    def put(self, array: Any, dtype: str | None = None) -> Array:
        """Return ``array`` on this device, without a copy where it is there already."""
        torch = self._torch
        if isinstance(array, torch.Tensor):
            array = array.detach()
        else:
            host = to_numpy(array)
            if host.dtype.byteorder == ">" or not host.flags.writeable or any(s < 0 for s in host.strides):
                host = np.array(host, host.dtype.newbyteorder("="), order="C")  # PyTorch takes none of these
            array = torch.from_numpy(host)
        if self._place.type == "mps" and "float64" in (dtype, None if dtype else dtype_name(array)):
            raise DeviceError("device mps does not support float64: use dtype float32, or device cpu")
        return array.to(self._place, getattr(torch, dtype) if dtype else None)

    def to_host(self, array: Array) -> NDArray[Any]:
        """Return ``array`` as a NumPy array, without a copy where it is on the CPU; only to be read."""
        return to_numpy(array)

    def synchronize(self) -> None:
        """Wait until everything asked of the device is done."""
        if self._place.type == "cuda":
            self._torch.cuda.synchronize(self._place)
        elif self._place.type == "mps":
            self._torch.mps.synchronize()

    def free_memory(self) -> int:
        """Return the bytes that can still be had, those that PyTorch holds in reserve included."""
        if self._place.type == "cuda":
            cuda = self._torch.cuda
            free, _ = cuda.mem_get_info(self._place)
            return int(free + cuda.memory_reserved(self._place) - cuda.memory_allocated(self._place))
        if self._place.type == "mps":
            mps = self._torch.mps
            return int(mps.recommended_max_memory() - mps.current_allocated_memory())
        return super().free_memory()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Return the context to compute in: the precision of products, and one kind of error for all.

        Raises
        ------
        MemoryError
            Out of memory, which PyTorch has several errors for.
        """
        try:
            with self._torch.no_grad(), np.errstate(all="ignore"), self._products():
                yield
        except RuntimeError as error:
            if isinstance(error, self._torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise MemoryError(one_line(error)) from error
            raise

    @contextmanager
    def _products(self) -> Iterator[None]:
        """Set the precision of products, which is one of the whole process: the last user takes it back."""
        if self._place.type != "cuda":  # it is for tensor cores
            yield
            return
        torch = self._torch

        def note() -> Callable[[], Any]:
            try:
                before = torch.get_float32_matmul_precision()
            except RuntimeError:  # the user has set it by PyTorch's newer names
                matmul = torch.backends.cuda.matmul
                return partial(setattr, matmul, "fp32_precision", matmul.fp32_precision)
            return partial(torch.set_float32_matmul_precision, before)

        wanted = "high" if self._precision == "tf32" else "highest"
        with _precision.using(note, partial(torch.set_float32_matmul_precision, wanted)):
            yield

    def compile(self, step: Step) -> Advance:
        """Return what takes many steps; each through ``torch.compile`` if that was asked for."""
        return one_by_one(self, self._compile(step) if self._compiled else step)

    def _compile(self, step: Step) -> Step:
        """Return a step compiled when it is first called; where that fails, the step itself.

        It is first traced into a graph of PyTorch's own operations, on a copy of the state as it is run for
        that: the compiler then has no Python of ours, or of the adapter's, to read. In one graph or not at
        all, so if it fails, nothing has been overwritten.
        """
        torch = self._torch
        chosen: Step | None = None
        # What is compiled has no place to set it for single products.
        products = partial(bf16, torch) if self._precision == "bf16" else nullcontext

        def take(state: State, draws: Draws) -> tuple[State, Array]:
            nonlocal chosen
            if chosen is not None:
                return chosen(state, draws)
            try:
                copy = {kind: {name: v.clone() for name, v in of.items()} for kind, of in state.items()}
                traced = torch.fx.experimental.proxy_tensor.make_fx(step)(copy, draws)
                compiled: Step = torch.compile(traced, fullgraph=True, dynamic=False)

                def in_precision(state: State, draws: Draws) -> tuple[State, Array]:
                    with products():
                        return compiled(state, draws)

                result = in_precision(state, draws)
            except Exception as error:  # of the compiler's, or of the C++ compiler that it calls
                warn(
                    f"torch.compile failed, training continues without it ({one_line(error)[:300]})",
                    RuntimeWarning,
                )
                chosen = step
                return step(state, draws)
            chosen = in_precision
            return result

        return take


_precision = Shared()


def _check(torch: Any, place: str) -> None:
    """Raise a `DeviceError` where PyTorch has no such device."""
    kind, _, index = place.partition(":")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("PyTorch finds no Apple GPU (Metal, macOS 14 or later): use device cpu")
    if kind == "cuda":
        built = re.search(r"\+cpu$", torch.__version__) is None and torch.version.cuda is not None
        count = torch.cuda.device_count() if built else 0
        if count == 0:
            reason = "the driver lists none" if built else "this build of it is for the CPU"
            raise DeviceError(
                f"PyTorch is installed but finds no usable GPU ({reason}): install a build for your CUDA "
                "version from https://pytorch.org and a driver that lists a GPU in `nvidia-smi`, or use "
                "device cpu"
            )
        if int(index) >= count:
            raise DeviceError(
                f"there is no GPU {place}: this machine has {count}, from cuda:0 to cuda:{count - 1}"
            )


def _import_torch() -> Any:
    try:
        import torch
        import torch.fx.experimental.proxy_tensor
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DeviceError(
            'backend torch needs PyTorch, which is not installed: run `pip install "xpnet[torch]"`'
        ) from error
    except (ImportError, OSError) as error:  # a shared library of its own is missing
        raise DeviceError(
            f"PyTorch is installed but cannot be imported ({one_line(error)}): install it again"
        ) from error
    return torch
