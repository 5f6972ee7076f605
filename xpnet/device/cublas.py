"""Matrix products with our own cuBLAS handle: CuPy's handle has one precision and cannot be captured.

CuPy raises an error if a product runs on a stream that is being captured (cupy#6290). cuBLAS itself allows it
if its workspace was set beforehand (https://docs.nvidia.com/cuda/cublas/, "CUDA Graphs Support"). So this
module uses `ctypes` to call the library that CuPy has loaded.
"""

import ctypes
import functools
import importlib
import itertools
import math
import sys
from typing import Any, NamedTuple

import numpy as np

from xpnet.device.handles import Handle, Handles, check
from xpnet.errors import DeviceError
from xpnet.text import one_line
from xpnet.typing import Array, Namespace

__all__ = ["FUNCTIONS", "Products", "library"]

FLOAT, DOUBLE = 0, 1
"""``CUDA_R_32F`` and ``CUDA_R_64F`` of ``cudaDataType``."""

OF_DOUBLE = 70
"""``CUBLAS_COMPUTE_64F``."""

OF_FLOAT = {"fp32": 68, "tf32": 77, "bf16": 75}
"""``CUBLAS_COMPUTE_32F``, ``…_FAST_TF32`` and ``…_FAST_16BF``. With all three, the factors and the result are
float32 in memory, and sums are float32. The last two allow tensor cores, which round the factors as they read
them, so nothing has to be converted beforehand. With the last, cuBLAS may choose TF32, which rounds less."""

DEFAULT_ALGORITHM = -1
"""``CUBLAS_GEMM_DEFAULT``: cuBLAS chooses."""

EXTRAS = (12, 13)
"""The CUDA versions that xpnet's extras install."""

_int, _pointer, _stride = ctypes.c_int, ctypes.c_void_p, ctypes.c_longlong

FUNCTIONS = {
    "cublasCreate_v2": [ctypes.POINTER(_pointer)],
    "cublasDestroy_v2": [_pointer],
    "cublasSetStream_v2": [_pointer, _pointer],
    "cublasSetWorkspace_v2": [_pointer, _pointer, ctypes.c_size_t],
    # handle, transpositions of A and B, m, n, k, alpha, then address, type and row length of A, B, (beta,) C
    "cublasGemmEx": [
        *(_pointer, _int, _int, _int, _int, _int, _pointer),
        *(_pointer, _int, _int),
        *(_pointer, _int, _int),
        *(_pointer, _pointer, _int, _int),
        *(_int, _int),  # compute type, algorithm
    ],
    # the same, with the distance from each matrix to the next, and the number of matrices
    "cublasGemmStridedBatchedEx": [
        *(_pointer, _int, _int, _int, _int, _int, _pointer),
        *(_pointer, _int, _int, _stride),
        *(_pointer, _int, _int, _stride),
        *(_pointer, _pointer, _int, _int, _stride, _int),
        *(_int, _int),
    ],
}
"""The functions called, with argument types as in ``cublas_api.h``; each returns a ``cublasStatus_t``."""


def library(cupy: Any) -> Any:
    """Return the cuBLAS library that CuPy has loaded, with its functions declared.

    Raises
    ------
    DeviceError
        It cannot be found.
    """
    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    # The bare name is enough: the system has loaded the library under it, wherever CuPy found it.
    name = f"cublas64_{major}.dll" if sys.platform == "win32" else f"libcublas.so.{major}"
    try:
        importlib.import_module("cupy.cublas")  # this makes CuPy load cuBLAS
        found = ctypes.CDLL(name)
        for function, types_ in FUNCTIONS.items():
            getattr(found, function).argtypes = types_
        found.cublasGetStatusString.argtypes = [_int]
        found.cublasGetStatusString.restype = ctypes.c_char_p
    except (ImportError, OSError, AttributeError) as error:
        extra = f'run `pip install "xpnet[cuda{major}]"`, which installs it'
        remedy = extra if major in EXTRAS else f"install the CUDA Toolkit {major}"
        raise DeviceError(
            f"cuBLAS of CUDA {major} cannot be loaded ({one_line(error)}): {remedy}, or use device cpu"
        ) from error
    return found


class Products:
    """Products of float32 matrices in a chosen precision, and of float64 matrices; CuPy does all others.

    Parameters
    ----------
    cupy
        The module.
    plain
        Array API namespace of its arrays.
    cublas
        Its `library`.
    precision
        ``"fp32"``, ``"tf32"`` or ``"bf16"``: see `OF_FLOAT`.
    """

    def __init__(self, cupy: Any, plain: Namespace, cublas: Any, precision: str) -> None:
        self._cupy = cupy
        self._plain = plain
        self._library = cublas
        self._handles = Handles(cupy, cublas)
        self._kinds = {
            "f": _kind(ctypes.c_float, FLOAT, OF_FLOAT[precision]),
            "d": _kind(ctypes.c_double, DOUBLE, OF_DOUBLE),
        }

    def handle(self) -> Handle:
        """Return the handle for this thread's products on the current stream.

        A graph captured with it uses its workspace, and so must keep a reference to it.
        """
        return self._handles.current()

    def matmul(self, x1: Array, x2: Array, /) -> Array:
        """Return the product of two matrices, or of stacks of them ``(*nets, …)``.

        This is one cuBLAS call, whichever factors are transposed. Only arrays whose matrices have neither
        contiguous rows nor contiguous columns are copied. A factor that all networks share is not repeated.
        """
        dtype = x1.dtype
        kind = self._kinds.get(dtype.char)
        if kind is None or dtype != x2.dtype:
            return self._plain.matmul(x1, x2)
        call = plan(x1.shape, x1.strides, x2.shape, x2.strides, dtype.itemsize)
        if call is None:
            return self._plain.matmul(x1, x2)
        if call.copies != (False, False):
            x1, x2 = (
                self._in_one_piece(x, call.nets) if copy else x
                for x, copy in zip((x1, x2), call.copies, strict=True)
            )
            call = plan(x1.shape, x1.strides, x2.shape, x2.strides, dtype.itemsize)
            assert call is not None
        out = self._cupy.empty(call.shape, dtype)
        self._multiply(call, kind, kind.one, x1, x2, kind.zero, out)
        return out

    def subtract(self, W: Array, x: Array, dy: Array, keep: Array | None = None) -> bool:
        """Set ``W`` to ``keep · W - xᵀ dy`` in place, and return whether this was possible.

        As in `xpnet.device.blas.find_subtract`, but with one call for all networks. ``keep`` stays on the
        GPU: cuBLAS takes only one factor for all matrices, so a separate pass scales ``W``.
        """
        dtype = W.dtype
        kind = self._kinds.get(dtype.char)
        if kind is None or not dtype == x.dtype == dy.dtype or not W.flags.c_contiguous:
            return False
        call = plan_of_gradient(W.shape, x.shape, x.strides, dy.shape, dy.strides, dtype.itemsize)
        if call is None:
            return False
        if keep is not None:
            W *= keep[..., None, None]
        self._multiply(call, kind, kind.minus_one, x, dy, kind.one, W)
        return True

    def vecdot(self, x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
        """Return the sums of products along an axis.

        CuPy turns this into matrix products, which cannot be captured and are not always in float32.
        """
        return self._plain.sum(x1 * x2, axis=axis)

    def _multiply(
        self, call: "Plan", kind: "_Kind", alpha: Any, x1: Array, x2: Array, beta: Any, out: Array
    ) -> None:
        """Set ``out`` to ``alpha x1 x2 + beta out``."""
        # cuBLAS is column-major, so it sees our row-major matrices as transposed. We therefore ask it for
        # out^T = x2^T x1^T.
        head = (self._handles.current().pointer, *call.head, alpha)
        of_x2, of_x1 = (x2.data.ptr, kind.dtype, *call.of_x2), (x1.data.ptr, kind.dtype, *call.of_x1)
        of_out = (out.data.ptr, kind.dtype, *call.of_out)
        gemm = self._library.cublasGemmStridedBatchedEx if call.stacked else self._library.cublasGemmEx
        status = gemm(*head, *of_x2, *of_x1, beta, *of_out, kind.compute, DEFAULT_ALGORITHM)
        if status:
            check(self._library, status)

    def _in_one_piece(self, x: Array, nets: tuple[int, ...]) -> Array:
        """Return a copy of an array whose matrices cuBLAS can read."""
        x = self._cupy.ascontiguousarray(x)
        if layout(x.shape, x.strides, x.itemsize, nets) is None:  # shared along some axes of a stack only
            x = self._cupy.ascontiguousarray(self._cupy.broadcast_to(x, (*nets, *x.shape[-2:])))
        return x


class _Kind(NamedTuple):
    """What cuBLAS needs to know about a dtype: its number, the compute type, and pointers to some scalars."""

    dtype: int
    compute: int
    one: Any
    minus_one: Any
    zero: Any


def _kind(scalar: Any, dtype: int, compute: int) -> _Kind:
    return _Kind(dtype, compute, *(ctypes.byref(scalar(value)) for value in (1.0, -1.0, 0.0)))


class Plan(NamedTuple):
    """The arguments of a cuBLAS product except the addresses; they are the same in every training step.

    Attributes
    ----------
    shape, nets
        The shape of the result, and its leading axes.
    copies
        For each factor, whether it must be copied first. If either must, do not use the attributes below.
    stacked
        Whether this is a stack of products.
    head, of_x1, of_x2, of_out
        ``head`` holds what is transposed, and the sizes. The others hold the row length of each array and,
        for a stack, the distance to the next matrix; ``of_out`` then ends with the number of matrices.
    """

    shape: tuple[int, ...]
    nets: tuple[int, ...]
    copies: tuple[bool, bool]
    stacked: bool = False
    head: tuple[int, ...] = ()
    of_x1: tuple[int, ...] = ()
    of_x2: tuple[int, ...] = ()
    of_out: tuple[int, ...] = ()


# Cached because working this out takes longer than calling cuBLAS.
@functools.lru_cache(maxsize=1024)
def plan(
    shape1: tuple[int, ...],
    strides1: tuple[int, ...],
    shape2: tuple[int, ...],
    strides2: tuple[int, ...],
    itemsize: int,
) -> Plan | None:
    """Return how cuBLAS multiplies arrays with these shapes and strides, or None if it cannot.

    Raises
    ------
    ValueError
        The shapes do not match.
    """
    if min(len(shape1), len(shape2)) < 2 or 0 in shape1 or 0 in shape2:
        return None
    m, k, n = shape1[-2], shape1[-1], shape2[-1]
    if shape2[-2] != k:
        raise ValueError(f"no product of {shape1} and {shape2}: {k} columns, {shape2[-2]} rows")
    nets = np.broadcast_shapes(shape1[:-2], shape2[:-2])
    shape = (*nets, m, n)
    found1, found2 = layout(shape1, strides1, itemsize, nets), layout(shape2, strides2, itemsize, nets)
    if found1 is None or found2 is None:
        return Plan(shape, nets, (found1 is None, found2 is None))
    (transposed1, row1, distance1), (transposed2, row2, distance2) = found1, found2
    head = (int(transposed2), int(transposed1), n, m, k)
    count = math.prod(nets)
    if count == 1:
        return Plan(shape, nets, (False, False), False, head, (row1,), (row2,), (n,))
    of_out = (n, m * n, count)
    return Plan(shape, nets, (False, False), True, head, (row1, distance1), (row2, distance2), of_out)


@functools.lru_cache(maxsize=1024)
def plan_of_gradient(
    shape: tuple[int, ...],
    shape_x: tuple[int, ...],
    strides_x: tuple[int, ...],
    shape_dy: tuple[int, ...],
    strides_dy: tuple[int, ...],
    itemsize: int,
) -> Plan | None:
    """Return how cuBLAS computes ``xᵀ dy`` from such factors for a result of ``shape``; None if it cannot."""
    *nets, rows, columns = shape
    batch = shape_x[-2]
    if shape_x not in ((batch, rows), (*nets, batch, rows)) or shape_dy != (*nets, batch, columns):
        return None
    turned = [(*of_x[:-2], of_x[-1], of_x[-2]) for of_x in (shape_x, strides_x)]
    found = plan(*turned, shape_dy, strides_dy, itemsize)
    return None if found is None or any(found.copies) else found


def layout(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, nets: tuple[int, ...]
) -> tuple[bool, int, int] | None:
    """Return how cuBLAS has to read the matrices of an array, or None if it cannot.

    Parameters
    ----------
    shape, strides, itemsize
        Those of the array; strides in bytes.
    nets
        Leading axes of the product.

    Returns
    -------
    transposed : bool
        Whether the columns, not the rows, are contiguous.
    row : int
        Entries from the start of one row (column, if transposed) to the start of the next.
    distance : int
        Entries from one matrix to the next; 0 if all are the same matrix.
    """
    *leading, down, right = (stride // itemsize for stride in strides)
    rows, columns = shape[-2:]
    # If there is only one row or column, its stride means nothing.
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        transposed, row = False, columns if rows == 1 else down
    elif (down == 1 or rows == 1) and (right >= rows or columns == 1):
        transposed, row = True, rows if columns == 1 else right
    else:
        return None
    of_nets = [(n, stride) for n, stride in zip(shape[:-2], leading, strict=True) if n != 1]
    if not of_nets:
        return transposed, row, 0
    if math.prod(shape[:-2]) != math.prod(nets):
        return None
    for (_, stride), (n, inner) in itertools.pairwise(of_nets):
        if stride != n * inner:
            return None
    return transposed, row, of_nets[-1][1]
