"""One product that NumPy does not offer, by the very BLAS that NumPy calls: ``keep · W - xᵀ dy`` into ``W``.

BLAS can add a product to what is there, and NumPy's ``matmul`` only multiplies. A step of gradient descent
is spared an array of the weights' size and the pass that subtracts it.
"""

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet.typing import Array, Subtract

__all__ = ["SUBTRACTED_FROM", "find_subtract"]

SUBTRACTED_FROM = 50_000
"""Entries of a network's matrix from which this is worth a call for each network. With smaller ones NumPy's
passes over a whole stack are faster, and the factors may take more memory than their product.
"""

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112
"""The constants of cblas.h: layout, and whether a factor is to be transposed."""

NAMES = (
    # The wheels of NumPy: these names say that integers have 64 bits.
    ("scipy_cblas_{}gemm64_", ctypes.c_int64, "scipy_openblas_get_num_threads64_", None),
    ("cblas_{}gemm64_", ctypes.c_int64, "openblas_get_num_threads64_", None),
    # The plain names don't: only where the library tells how it was built.
    ("cblas_{}gemm", ctypes.c_int, "openblas_get_num_threads", "openblas_get_config"),
)
"""What OpenBLAS calls gemm, its integers, and the functions that tell the number of threads and, where that
is needed, how it was built. Other libraries lack some of these."""


@functools.cache
def find_subtract() -> Subtract | None:
    """Return what subtracts a product in place; None where NumPy's BLAS is not one that is known here.

    ``subtract(W, x, dy, keep)`` makes ``W``, ``(*nets, in, out)``, to be ``keep · W - xᵀ dy`` in place; see
    `xpnet.typing.Product` for the factors. It returns whether it's done; not, and nothing is, if BLAS can't
    be handed these arrays as they are. Each network has a call of its own, the same as alone, so that a
    network of a stack has the bits of one alone.
    """
    found = _find()
    if found is None:
        return None
    gemms, threads = found

    def subtract(W: Array, x: Array, dy: Array, keep: Array | None = None) -> bool:
        if W.dtype not in gemms or not _fit(W, x, dy):
            return False
        gemm = gemms[W.dtype]
        *nets, rows, columns = W.shape
        batch, shared = x.shape[-2], x.ndim < W.ndim
        # OpenBLAS takes four times as long for a factor on W as NumPy; but several threads of it have their
        # parts of W in their own caches. A factor of 0 would hide what is not finite from it.
        if keep is not None and (threads() == 1 or not np.all(keep)):
            W *= keep[..., None, None]
            keep = None
        # Of the last layer it may lie transposed in memory: see `xpnet.nn.losses`.
        order, row = (AS_IT_IS, columns) if dy.flags.c_contiguous else (TRANSPOSED, batch)
        for net in np.ndindex(*nets):
            gemm(
                *(ROW_MAJOR, TRANSPOSED, order, rows, columns, batch, -1.0),
                *((x if shared else x[net]).ctypes.data, rows, dy[net].ctypes.data, row),
                *(1.0 if keep is None else float(keep[net]), W[net].ctypes.data, columns),
            )
        return True

    return subtract


def _fit(W: Array, x: Array, dy: Array) -> bool:
    """Whether the arrays are what BLAS takes them for, and ``W`` may be written to: it looks at no flag."""
    *nets, rows, columns = W.shape
    batch = x.shape[-2]
    return bool(
        all(type(a) is np.ndarray and a.flags.aligned for a in (W, x, dy))
        and W.flags.c_contiguous
        and x.flags.c_contiguous
        and W.flags.writeable
        and x.dtype == dy.dtype == W.dtype
        and x.shape in ((batch, rows), (*nets, batch, rows))
        and dy.shape == (*nets, batch, columns)
        and (dy.flags.c_contiguous or dy.mT.flags.c_contiguous)
        and min(W.shape) > 0
        and max(batch, rows, columns) < 2**31
    )


def _find() -> tuple[dict[np.dtype[Any], Callable[..., None]], Callable[[], int]] | None:
    """Return the gemm of each dtype from NumPy's BLAS, and what tells its number of threads; or None."""
    # Names are looked up in NumPy's extension module and what that was linked with: no other library that
    # happens to be loaded, SciPy's with its own pool of threads say, can be found so. Windows looks at the
    # module alone, and nothing is found.
    try:
        library: Any = ctypes.CDLL(sys.modules["numpy._core._multiarray_umath"].__file__)
    except (KeyError, OSError):
        return None
    for name, integer, threads, tells in NAMES:
        try:
            gemms, tell_threads = [library[name.format(letter)] for letter in "sd"], library[threads]
            if tells and not _has_short_integers(library[tells]):
                continue
        except AttributeError:
            continue
        for gemm, real in zip(gemms, (ctypes.c_float, ctypes.c_double), strict=True):
            array = [ctypes.c_void_p, integer]
            gemm.argtypes = [*[ctypes.c_int] * 3, *[integer] * 3, real, *array, *array, real, *array]
            gemm.restype = None
        tell_threads.argtypes, tell_threads.restype = [], ctypes.c_int
        return dict(zip((np.dtype("float32"), np.dtype("float64")), gemms, strict=True)), tell_threads
    return None


def _has_short_integers(tell: Any) -> bool:
    """Whether OpenBLAS says nothing of integers of 64 bits."""
    tell.restype = ctypes.c_char_p
    return b"USE64BITINT" not in tell()
