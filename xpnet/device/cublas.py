"""Products by a cuBLAS handle of our own: CuPy's has one precision, and refuses to be captured.

CuPy raises an error when its products meet a stream that is being captured (cupy#6290); cuBLAS itself allows
it, if its workspace was set beforehand (https://docs.nvidia.com/cuda/cublas/, "CUDA Graphs Support"). So
this room calls the library that CuPy has loaded, by `ctypes`.
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
"""``CUBLAS_COMPUTE_32F``, ``…_FAST_TF32`` and ``…_FAST_16BF``. With each the factors and the result are
float32 in memory and sums are float32; the last two allow tensor cores, which round the factors as they read
them, so nothing has to be converted beforehand. With the last cuBLAS may choose TF32, which rounds less."""

DEFAULT_ALGORITHM = -1
"""``CUBLAS_GEMM_DEFAULT``: cuBLAS chooses."""

EXTRAS = (12, 13)
"""The versions of CUDA that an extra of xpnet's brings along."""

_int, _pointer, _stride = ctypes.c_int, ctypes.c_void_p, ctypes.c_longlong

FUNCTIONS = {
    "cublasCreate_v2": [ctypes.POINTER(_pointer)],
    "cublasDestroy_v2": [_pointer],
    "cublasSetStream_v2": [_pointer, _pointer],
    "cublasSetWorkspace_v2": [_pointer, _pointer, ctypes.c_size_t],
    # handle, how A and B lie, m, n, k, alpha, then address, type and row length: A, B, beta, C
    "cublasGemmEx": [
        *(_pointer, _int, _int, _int, _int, _int, _pointer),
        *(_pointer, _int, _int),
        *(_pointer, _int, _int),
        *(_pointer, _pointer, _int, _int),
        *(_int, _int),  # what to compute in, the algorithm
    ],
    # the same with the distance from each matrix to the next, and their number
    "cublasGemmStridedBatchedEx": [
        *(_pointer, _int, _int, _int, _int, _int, _pointer),
        *(_pointer, _int, _int, _stride),
        *(_pointer, _int, _int, _stride),
        *(_pointer, _pointer, _int, _int, _stride, _int),
        *(_int, _int),
    ],
}
"""What is called, the types of its arguments as in ``cublas_api.h``; each returns a ``cublasStatus_t``."""


def library(cupy: Any) -> Any:
    """Return the cuBLAS that CuPy has loaded, its functions declared.

    Raises
    ------
    DeviceError
        It cannot be found.
    """
    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    # By its bare name, under which the system has it already, wherever CuPy found it.
    name = f"cublas64_{major}.dll" if sys.platform == "win32" else f"libcublas.so.{major}"
    try:
        importlib.import_module("cupy.cublas")  # CuPy loads cuBLAS with it
        found = ctypes.CDLL(name)
        for function, types_ in FUNCTIONS.items():
            getattr(found, function).argtypes = types_
        found.cublasGetStatusString.argtypes = [_int]
        found.cublasGetStatusString.restype = ctypes.c_char_p
    except (ImportError, OSError, AttributeError) as error:
        extra = f'run `pip install "xpnet[cuda{major}]"`, which brings it along'
        remedy = extra if major in EXTRAS else f"install the CUDA Toolkit {major}"
        raise DeviceError(
            f"cuBLAS of CUDA {major} cannot be loaded ({one_line(error)}): {remedy}, or use device cpu"
        ) from error
    return found


class Products:
    """Products of float32 matrices in a chosen precision, of float64 in their own; others are left to CuPy.

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
        """Return what products of this thread work with on the current stream.

        A graph that was captured with it works in its workspace, and has to keep it.
        """
        return self._handles.current()

    def matmul(self, x1: Array, x2: Array, /) -> Array:
        """Return the product of two matrices, or of stacks of them ``(*nets, …)``.

        One call of cuBLAS, whatever is transposed, and nothing is copied but arrays whose matrices have
        neither rows nor columns in one piece. A factor that all networks share is read where it is.
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
        """Make ``W`` to be ``keep · W - xᵀ dy`` in place, and return whether it's done.

        As `xpnet.device.blas.find_subtract` has it, but one call for all networks. ``keep`` is an array of
        the GPU's and stays there: cuBLAS takes one factor on all matrices, so ``W`` has a pass of its own.
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

        CuPy makes a product of matrices of it, which it does not do in a capture, nor always in float32.
        """
        return self._plain.sum(x1 * x2, axis=axis)

    def _multiply(
        self, call: "Plan", kind: "_Kind", alpha: Any, x1: Array, x2: Array, beta: Any, out: Array
    ) -> None:
        """Make ``out`` to be ``alpha x1 x2 + beta out``."""
        # cuBLAS takes matrices column by column. Read so, ours are transposed: what it is to compute is
        # out^T = x2^T x1^T.
        head = (self._handles.current().pointer, *call.head, alpha)
        of_x2, of_x1 = (x2.data.ptr, kind.dtype, *call.of_x2), (x1.data.ptr, kind.dtype, *call.of_x1)
        of_out = (out.data.ptr, kind.dtype, *call.of_out)
        gemm = self._library.cublasGemmStridedBatchedEx if call.stacked else self._library.cublasGemmEx
        status = gemm(*head, *of_x2, *of_x1, beta, *of_out, kind.compute, DEFAULT_ALGORITHM)
        if status:
            check(self._library, status)

    def _in_one_piece(self, x: Array, nets: tuple[int, ...]) -> Array:
        """Return an array whose matrices cuBLAS can read."""
        x = self._cupy.ascontiguousarray(x)
        if layout(x.shape, x.strides, x.itemsize, nets) is None:  # shared along some axes of a stack only
            x = self._cupy.ascontiguousarray(self._cupy.broadcast_to(x, (*nets, *x.shape[-2:])))
        return x


class _Kind(NamedTuple):
    """What cuBLAS is told of a dtype: its number, what to compute in, and where some factors are."""

    dtype: int
    compute: int
    one: Any
    minus_one: Any
    zero: Any


def _kind(scalar: Any, dtype: int, compute: int) -> _Kind:
    return _Kind(dtype, compute, *(ctypes.byref(scalar(value)) for value in (1.0, -1.0, 0.0)))


class Plan(NamedTuple):
    """What cuBLAS is told of a product but for addresses: the same in every step of a training.

    Attributes
    ----------
    shape, nets
        Of the result, and its leading axes.
    copies
        Whether either factor cannot be read as it is; the rest is then not to be used.
    stacked
        Whether there are several products.
    head, of_x1, of_x2, of_out
        What lies transposed, and sizes; then of each array the length of its rows and, of several, the
        distance to the next matrix; their number at last.
    """

    shape: tuple[int, ...]
    nets: tuple[int, ...]
    copies: tuple[bool, bool]
    stacked: bool = False
    head: tuple[int, ...] = ()
    of_x1: tuple[int, ...] = ()
    of_x2: tuple[int, ...] = ()
    of_out: tuple[int, ...] = ()


# To find out takes longer than to call cuBLAS.
@functools.lru_cache(maxsize=1024)
def plan(
    shape1: tuple[int, ...],
    strides1: tuple[int, ...],
    shape2: tuple[int, ...],
    strides2: tuple[int, ...],
    itemsize: int,
) -> Plan | None:
    """Return how cuBLAS multiplies arrays that lie in memory like this, or None if it does not.

    Raises
    ------
    ValueError
        They have no product.
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
    """Return how cuBLAS makes ``xᵀ dy`` of factors that lie like this, to be of that shape; None if not."""
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
        Of the array, strides in bytes.
    nets
        Leading axes of the product.

    Returns
    -------
    transposed : bool
        Whether the columns are in one piece, not the rows.
    row : int
        Numbers from the beginning of a row (of a column, if transposed) to that of the next.
    distance : int
        Numbers from a matrix to the next; 0 if all are the same.
    """
    *leading, down, right = (stride // itemsize for stride in strides)
    rows, columns = shape[-2:]
    # Where there is only one of something, the distance to the next says nothing.
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
