"""Products of float32 matrices in bf16 on a CPU, computed by PyTorch with oneDNN.

oneDNN decides by processor whether to round the factors: with AVX512-BF16 alone, version 3.12 computes in
float32, which may still be faster than what PyTorch calls otherwise.
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
"""Minimum number of multiplications in a product for which bf16 pays off: calling oneDNN takes a few
microseconds more, which smaller products do not make up for."""


def check_bf16(torch: Any) -> None:
    """Raise a `DeviceError` if the CPU or PyTorch does not support bf16 products."""
    told = has_bf16()
    if told is None:  # not Linux: ask PyTorch, which has only private functions for this
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

    The setting applies to the whole process; the last user restores it.
    """
    matmul = torch.backends.mkldnn.matmul

    def note() -> Callable[[], Any]:
        return partial(setattr, matmul, "fp32_precision", matmul.fp32_precision)

    return _setting.using(note, partial(setattr, matmul, "fp32_precision", "bf16"))


def matmul_in_bf16(torch: Any) -> Callable[[Array, Array], Array]:
    """Return `torch.matmul`, in bf16 where that pays off.

    The precision is set for each product rather than for a whole run, so that the user's callbacks and other
    code are not affected.
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
