"""PyTorch as an array library on the CPU, CUDA GPUs and Apple GPUs (``mps``). No autograd, no layers."""

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
    """A PyTorch device.

    Parameters
    ----------
    place
        ``"cpu"``, ``"cuda:N"`` or ``"mps"``.
    precision
        ``"fp32"``; ``"tf32"``, which lets a CUDA GPU round the factors of products to 10 bits of mantissa; or
        ``"bf16"``, which lets a CPU round them to 7.
    compiled
        Whether steps go through ``torch.compile``.

    Raises
    ------
    DeviceError
        PyTorch is missing or broken, has no such device, or does not support this precision on it.
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

        # For equal dtypes the adapter's functions do the same, but take longer: `vecdot` three times as long
        # even for large arrays, and `maximum` copies its number to the GPU each time.
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
        """The arguments with which another process gets the same device."""
        return Options(self.name, "torch", self._precision, self._compiled)

    def put(self, array: Any, dtype: str | None = None) -> Array:
        """Return ``array`` on this device, without a copy if it is already there."""
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
        """Return ``array`` as a NumPy array, without a copy if it is on the CPU; do not write to it."""
        return to_numpy(array)

    def synchronize(self) -> None:
        """Wait until the device has finished all its work."""
        if self._place.type == "cuda":
            self._torch.cuda.synchronize(self._place)
        elif self._place.type == "mps":
            self._torch.mps.synchronize()

    def free_memory(self) -> int:
        """Return the free memory in bytes, including what PyTorch holds in reserve."""
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
        """Return the context to compute in: it sets the precision of products and maps memory errors.

        Raises
        ------
        MemoryError
            Out of memory, for which PyTorch has several errors.
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
        """Set the precision of products. It applies to the whole process; the last user restores it."""
        if self._place.type != "cuda":  # the setting is for tensor cores
            yield
            return
        torch = self._torch

        def note() -> Callable[[], Any]:
            try:
                before = torch.get_float32_matmul_precision()
            except RuntimeError:  # the user has set the precision through PyTorch's newer names
                matmul = torch.backends.cuda.matmul
                return partial(setattr, matmul, "fp32_precision", matmul.fp32_precision)
            return partial(torch.set_float32_matmul_precision, before)

        wanted = "high" if self._precision == "tf32" else "highest"
        with _precision.using(note, partial(torch.set_float32_matmul_precision, wanted)):
            yield

    def compile(self, step: Step) -> Advance:
        """Return a function that takes many steps, each through ``torch.compile`` if ``compiled`` is set."""
        return one_by_one(self, self._compile(step) if self._compiled else step)

    def _compile(self, step: Step) -> Step:
        """Return a step that is compiled on its first call or, if that fails, runs as it is.

        The step is first traced into a graph of PyTorch operations, so that the compiler need not read our
        Python code or the adapter's. Tracing runs the step, so it gets a copy of the state. The step is
        compiled into one graph or not at all; so if it fails, nothing has been overwritten.
        """
        torch = self._torch
        chosen: Step | None = None
        # In a compiled step, the precision cannot be set for single products.
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
            except Exception as error:  # from torch.compile, or from the C++ compiler that it calls
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
    """Raise a `DeviceError` if PyTorch has no such device."""
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
    except (ImportError, OSError) as error:  # one of its shared libraries is missing
        raise DeviceError(
            f"PyTorch is installed but cannot be imported ({one_line(error)}): install it again"
        ) from error
    return torch
