"""Products by a cuBLAS handle of our own: CuPy's has one precision, and refuses to be captured.

CuPy raises an error when its products meet a stream that is being captured (cupy#6290); cuBLAS itself allows
it, if its workspace was set beforehand (https://docs.nvidia.com/cuda/cublas/, "CUDA Graphs Support"). So
this room calls the library that CuPy has loaded, by `ctypes`.
"""

import ctypes
import importlib
import itertools
import math
import sys
import threading
import weakref
from typing import Any

from xpnet.errors import DeviceError
from xpnet.text import one_line
from xpnet.typing import Array, Namespace

__all__ = ["FUNCTIONS", "Products", "library"]

WORKSPACE = 32 * 2**20
"""Bytes of a handle's workspace: what cuBLAS recommends for Hopper; older GPUs take less."""

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

OUT_OF_MEMORY = 3
"""``CUBLAS_STATUS_ALLOC_FAILED``."""

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
        raise DeviceError(
            f"cuBLAS of CUDA {major} cannot be loaded ({one_line(error)}): run "
            f'`pip install "xpnet[cuda{major}]"`, which brings it along, or use precision fp32 uncompiled'
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
        self._of_float = OF_FLOAT[precision]
        self._handles: dict[tuple[int, int, int], _Handle] = {}

    def matmul(self, x1: Array, x2: Array, /) -> Array:
        """Return the product of two matrices, or of stacks of them ``(*nets, …)``.

        One call of cuBLAS, whatever is transposed, and nothing is copied but arrays whose matrices have
        neither rows nor columns in one piece. A factor that all networks share is read where it is.
        """
        dtype = x1.dtype
        small = x1.ndim < 2 or x2.ndim < 2 or x1.size == 0 or x2.size == 0
        if small or dtype != x2.dtype or dtype.char not in "fd":
            return self._plain.matmul(x1, x2)
        m, k, n = x1.shape[-2], x1.shape[-1], x2.shape[-1]
        if x2.shape[-2] != k:
            raise ValueError(f"no product of {x1.shape} and {x2.shape}: {k} columns, {x2.shape[-2]} rows")
        nets = x1.shape[:-2]
        if nets != x2.shape[:-2]:
            nets = tuple(self._cupy.broadcast_shapes(nets, x2.shape[:-2]))
        x1, transposed1, row1, distance1 = self._matrices(x1, nets)
        x2, transposed2, row2, distance2 = self._matrices(x2, nets)
        out = self._cupy.empty((*nets, m, n), dtype=dtype)

        scalar: Any = ctypes.c_float if dtype.char == "f" else ctypes.c_double
        kind, compute = (FLOAT, self._of_float) if dtype.char == "f" else (DOUBLE, OF_DOUBLE)
        one, zero = ctypes.byref(scalar(1.0)), ctypes.byref(scalar(0.0))
        # cuBLAS takes matrices column by column. Read so, ours are transposed: what it is to compute is
        # out^T = x2^T x1^T.
        call = (self._handle(), transposed2, transposed1, n, m, k, one)
        of_x1, of_x2, of_out = (x1.data.ptr, kind, row1), (x2.data.ptr, kind, row2), (out.data.ptr, kind, n)
        how = (compute, DEFAULT_ALGORITHM)
        count = math.prod(nets)
        if count == 1:
            status = self._library.cublasGemmEx(*call, *of_x2, *of_x1, zero, *of_out, *how)
        else:
            status = self._library.cublasGemmStridedBatchedEx(
                *(*call, *of_x2, distance2, *of_x1, distance1),
                *(zero, *of_out, m * n, count, *how),
            )
        self._check(status)
        return out

    def vecdot(self, x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
        """Return the sums of products along an axis.

        CuPy makes a product of matrices of it, which it does not do in a capture, nor always in float32.
        """
        return self._plain.sum(x1 * x2, axis=axis)

    def _matrices(self, x: Array, nets: tuple[int, ...]) -> tuple[Array, bool, int, int]:
        """Return an array, whether its matrices lie transposed, their rows' distance and their own."""
        found = layout(x.shape, x.strides, x.itemsize, nets)
        if found is None:
            x = self._cupy.ascontiguousarray(x)
            found = layout(x.shape, x.strides, x.itemsize, nets)
        if found is None:  # a stack that is shared along some of its axes only
            x = self._cupy.ascontiguousarray(self._cupy.broadcast_to(x, (*nets, *x.shape[-2:])))
            found = layout(x.shape, x.strides, x.itemsize, nets)
        assert found is not None
        return (x, *found)

    def _handle(self) -> Any:
        """Return this thread's handle for the current stream of the current GPU.

        None is ever moved to another stream: it would lose its workspace, or two streams would share it.
        """
        cuda = self._cupy.cuda
        stream = cuda.get_current_stream().ptr
        key = (threading.get_ident(), cuda.runtime.getDevice(), stream)
        if key not in self._handles:
            self._handles[key] = _Handle(self._cupy, self._library, self._check, stream)
        return self._handles[key].pointer

    def _check(self, status: int) -> None:
        if status:
            message = f"cuBLAS: {self._library.cublasGetStatusString(status).decode()}"
            raise MemoryError(message) if status == OUT_OF_MEMORY else RuntimeError(message)


class _Handle:
    """A cuBLAS handle on a stream, with a workspace that no memory pool lends to others."""

    def __init__(self, cupy: Any, cublas: Any, check: Any, stream: int) -> None:
        self.pointer = ctypes.c_void_p()
        check(cublas.cublasCreate_v2(ctypes.byref(self.pointer)))
        weakref.finalize(self, cublas.cublasDestroy_v2, self.pointer).atexit = False
        self._workspace = _memory(cupy)
        # In this order: a new stream takes the workspace away.
        check(cublas.cublasSetStream_v2(self.pointer, stream))
        check(cublas.cublasSetWorkspace_v2(self.pointer, self._workspace.ptr, WORKSPACE))


def _memory(cupy: Any) -> Any:
    """Return a workspace; CuPy's pool gives back what it holds in reserve, if there is nothing else."""
    try:
        return cupy.cuda.Memory(WORKSPACE)
    except cupy.cuda.runtime.CUDARuntimeError:
        cupy.get_default_memory_pool().free_all_blocks()
    try:
        return cupy.cuda.Memory(WORKSPACE)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise MemoryError(f"cuBLAS's workspace: {one_line(error)}") from error


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
