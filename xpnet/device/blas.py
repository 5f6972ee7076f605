"""A product that NumPy does not offer, computed by the BLAS that NumPy uses: ``keep · W - xᵀ dy`` into ``W``.

BLAS can add a product to an existing array, whereas NumPy's ``matmul`` only multiplies. This saves each step
of gradient descent an array of the size of the weights, and the pass that subtracts it.
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
"""Minimum number of entries in a network's weight matrix for which a BLAS call per network pays off. For
smaller matrices, NumPy's passes over the whole stack are faster, and the factors may take more memory than
their product.
"""

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112
"""Constants from cblas.h: the layout, and whether to transpose a factor."""

NAMES = (
    # NumPy's wheels: these names imply 64-bit integers.
    ("scipy_cblas_{}gemm64_", ctypes.c_int64, "scipy_openblas_get_num_threads64_", None),
    ("cblas_{}gemm64_", ctypes.c_int64, "openblas_get_num_threads64_", None),
    # The plain names do not say: use them only if the library reports how it was built.
    ("cblas_{}gemm", ctypes.c_int, "openblas_get_num_threads", "openblas_get_config"),
)
"""OpenBLAS's names for gemm, the integer type, the function that returns the number of threads and, where it
is needed, the one that returns how the library was built. Other BLAS libraries lack some of these."""


@functools.cache
def find_subtract() -> Subtract | None:
    """Return a function that subtracts a product in place; None if NumPy uses a BLAS not known here.

    ``subtract(W, x, dy, keep)`` sets ``W``, ``(*nets, in, out)``, to ``keep · W - xᵀ dy`` in place; see
    `xpnet.typing.Product` for the factors. It returns True if it did so. If BLAS cannot take these arrays as
    they are, it changes nothing and returns False. Each network is a separate BLAS call, so a network gets
    the same bits in a stack as on its own.
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
        # OpenBLAS takes four times as long as NumPy to scale W; but several OpenBLAS threads each have their
        # part of W in their own cache. With a factor of 0, OpenBLAS would ignore non-finite entries of W.
        if keep is not None and (threads() == 1 or not np.all(keep)):
            W *= keep[..., None, None]
            keep = None
        # In the last layer, dy may be transposed in memory: see `xpnet.nn.losses`.
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
    """Return whether BLAS can take the arrays and write to ``W``: BLAS itself checks nothing."""
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
    """Return NumPy's BLAS gemm for each dtype, and the function that returns its thread count; or None."""
    # Names are looked up in NumPy's extension module and the libraries linked to it. So this cannot find
    # another BLAS that happens to be loaded, such as SciPy's, which has its own thread pool. Windows searches
    # only the module itself, so nothing is found there.
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
    """Return whether OpenBLAS was built without 64-bit integers."""
    tell.restype = ctypes.c_char_p
    return b"USE64BITINT" not in tell()
