"""cuBLAS as far as it is called, in the memory of the host, and as much of CuPy as products need."""

import contextlib
import ctypes
import itertools
import types

import numpy as np

from xpnet.device.cublas import FUNCTIONS

TYPES = {0: np.float32, 1: np.float64}


class OnGpu(np.ndarray):
    """A NumPy array with CuPy's way to say where it is."""

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.__array_interface__["data"][0])


def on_gpu(array):
    return np.asarray(array).view(OnGpu)


def in_columns(address, rows, columns, distance, dtype):
    """The matrix at an address, column by column, as cuBLAS sees it."""
    assert distance >= max(rows, 1)
    item = np.dtype(dtype).itemsize
    memory = (ctypes.c_byte * (item * (distance * (columns - 1) + rows))).from_address(address)
    flat = np.frombuffer(memory, dtype)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (item, distance * item))


class Library:
    """cuBLAS as far as it is called; notes the calls."""

    def __init__(self):
        self.calls = []
        self.computed_in = []
        self.status = 0
        self.numbers = itertools.count(1)

    def cublasCreate_v2(self, handle):  # noqa: N802
        handle._obj.value = next(self.numbers)
        self.calls.append("create")
        return self.status

    def cublasDestroy_v2(self, handle):  # noqa: N802
        assert handle.value
        self.calls.append("destroy")
        return 0

    def cublasSetStream_v2(self, handle, stream):  # noqa: N802
        self.calls.append(("stream", handle.value, stream))
        return 0

    def cublasSetWorkspace_v2(self, handle, address, size):  # noqa: N802
        self.calls.append(("workspace", handle.value, address, size))
        return 0

    def cublasGetStatusString(self, status):  # noqa: N802
        return b"status %d" % status

    def cublasGemmEx(self, *given):  # noqa: N802
        assert len(given) == len(FUNCTIONS["cublasGemmEx"])
        self.calls.append("one")
        return self.multiply(*given)

    def cublasGemmStridedBatchedEx(self, *given):  # noqa: N802
        assert len(given) == len(FUNCTIONS["cublasGemmStridedBatchedEx"])
        self.calls.append("stack")
        head, (a, a_type, lda, to_a), (b, b_type, ldb, to_b) = given[:7], given[7:11], given[11:15]
        beta, c, c_type, ldc, to_c, count, *how = given[15:]
        item = np.dtype(TYPES[a_type]).itemsize
        for i in range(count):
            of_a, of_b = (a + i * to_a * item, a_type, lda), (b + i * to_b * item, b_type, ldb)
            of_c = (c + i * to_c * item, c_type, ldc)
            status = self.multiply(*head, *of_a, *of_b, beta, *of_c, *how)
        return status

    def multiply(self, handle, trans_a, trans_b, m, n, k, alpha, *rest):
        a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, how, algorithm = rest
        assert handle.value
        assert a_type == b_type == c_type
        assert algorithm == -1
        dtype = TYPES[a_type]
        assert np.dtype(type(alpha._obj)) == np.dtype(type(beta._obj)) == dtype
        A = in_columns(a, *((k, m) if trans_a else (m, k)), lda, dtype)
        B = in_columns(b, *((n, k) if trans_b else (k, n)), ldb, dtype)
        C = in_columns(c, m, n, ldc, dtype)
        product = alpha._obj.value * np.matmul(A.T if trans_a else A, B.T if trans_b else B)
        # What is there is not read with a factor of 0: NaN times 0 would stay.
        C[...] = product if beta._obj.value == 0 else product + beta._obj.value * C
        self.computed_in.append(how)
        return self.status


class Stream:
    def __init__(self, ptr):
        self.ptr = ptr


class Cupy:
    """CuPy as far as products need it."""

    broadcast_shapes = staticmethod(np.broadcast_shapes)

    def __init__(self):
        self.copies = 0
        self.stream = Stream(7)
        self.cuda = types.SimpleNamespace(
            runtime=types.SimpleNamespace(getDevice=lambda: 0),
            get_current_stream=lambda: self.stream,
            Memory=lambda size: types.SimpleNamespace(ptr=size + 1),
            Device=contextlib.nullcontext,
            Stream=Stream,
        )

    def empty(self, shape, dtype):
        return on_gpu(np.full(shape, np.nan, dtype))

    def broadcast_to(self, array, shape):
        return np.broadcast_to(array, shape, subok=True)

    def ascontiguousarray(self, array):
        self.copies += not array.flags.c_contiguous
        return on_gpu(np.ascontiguousarray(array))
