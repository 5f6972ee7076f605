"""Products of float32 matrices in bf16 on a CPU, which PyTorch has from oneDNN.

That rounds the factors or not, as suits the processor: with AVX512-BF16 alone its version 3.12 computes in
float32, by code that may be faster than what PyTorch calls otherwise.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from xpnet.device.processor import has_bf16
from xpnet.device.shared import Shared
from xpnet.errors import DeviceError
from xpnet.typing import Array

__all__ = ["bf16", "check_bf16", "matmul_in_bf16"]

WORTHWHILE = 2**20
"""Multiplications in a product from which bf16 gains: a call of oneDNN takes some microseconds more, which
smaller ones do not make up for."""


def check_bf16(torch: Any) -> None:
    """Raise a `DeviceError` where there is no bf16 on the CPU."""
    told = has_bf16()
    if told is None:  # not Linux: PyTorch knows, by functions that it has no public names for
        known = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
        told = any(is_supported() for is_supported in known if is_supported is not None)
    if not told:
        raise DeviceError(
            "precision bf16 needs a processor with AMX-BF16 or AVX512-BF16, which this one lacks: use "
            "precision fp32"
        )
    mkldnn = torch.backends.mkldnn
    if not hasattr(mkldnn, "matmul"):
        raise DeviceError(
            f"precision bf16 needs PyTorch 2.9, and this is {torch.__version__}: run "
            "`pip install --upgrade torch`, or use precision fp32"
        )
    if not mkldnn.is_available():
        raise DeviceError(
            "precision bf16 needs oneDNN, which this build of PyTorch lacks: install one from "
            "https://pytorch.org, or use precision fp32"
        )


def bf16(torch: Any) -> AbstractContextManager[None]:
    """Return the context in which PyTorch may multiply float32 matrices on the CPU in bf16.

    The setting is one of the whole process: the last user takes it back.
    """
    matmul = torch.backends.mkldnn.matmul

    def note() -> Callable[[], Any]:
        return partial(setattr, matmul, "fp32_precision", matmul.fp32_precision)

    return _setting.using(note, partial(setattr, matmul, "fp32_precision", "bf16"))


def matmul_in_bf16(torch: Any) -> Callable[[Array, Array], Array]:
    """Return `torch.matmul`, in bf16 where that gains.

    Set for each product, not for a whole run: so callbacks and other code of the user's are left alone.
    """
    plain = torch.matmul

    def matmul(x1: Array, x2: Array, /) -> Array:
        if x1.dtype != torch.float32 or x1.ndim < 2 or x2.ndim < 2:
            return plain(x1, x2)
        (*_, rows, inner), (*_, columns) = x1.shape, x2.shape
        matrices = max(math.prod(x1.shape[:-2]), math.prod(x2.shape[:-2]))
        if matrices * rows * inner * columns < WORTHWHILE:
            return plain(x1, x2)
        with bf16(torch):
            return plain(x1, x2)

    return matmul


_setting = Shared()
