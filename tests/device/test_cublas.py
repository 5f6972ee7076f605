"""Products by cuBLAS: what it is told, against a stand-in that multiplies in the memory of the host."""

import ctypes
import itertools
import threading
import types

import numpy as np
import pytest

from xpnet.device import cublas
from xpnet.device.arrays import replacing
from xpnet.device.cublas import FUNCTIONS, OF_FLOAT, Products, library

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
        assert (alpha._obj.value, beta._obj.value, algorithm) == (1.0, 0.0, -1)
        dtype = TYPES[a_type]
        A = in_columns(a, *((k, m) if trans_a else (m, k)), lda, dtype)
        B = in_columns(b, *((n, k) if trans_b else (k, n)), ldb, dtype)
        C = in_columns(c, m, n, ldc, dtype)
        C[...] = np.matmul(A.T if trans_a else A, B.T if trans_b else B)
        self.computed_in.append(how)
        return self.status


class Cupy:
    """CuPy as far as products need it."""

    broadcast_shapes = staticmethod(np.broadcast_shapes)

    def __init__(self):
        self.copies = 0
        self.stream = 7
        self.cuda = types.SimpleNamespace(
            runtime=types.SimpleNamespace(getDevice=lambda: 0),
            get_current_stream=lambda: types.SimpleNamespace(ptr=self.stream),
            Memory=lambda size: types.SimpleNamespace(ptr=size + 1),
        )

    def empty(self, shape, dtype):
        return on_gpu(np.full(shape, np.nan, dtype))

    def broadcast_to(self, array, shape):
        return np.broadcast_to(array, shape, subok=True)

    def ascontiguousarray(self, array):
        self.copies += not array.flags.c_contiguous
        return on_gpu(np.ascontiguousarray(array))


@pytest.fixture
def cupy():
    return Cupy()


@pytest.fixture
def lib():
    return Library()


@pytest.fixture
def products(cupy, lib):
    return Products(cupy, np, lib, "fp32")


def transposed(array):
    """The same matrices, their columns in one piece."""
    return np.swapaxes(np.ascontiguousarray(np.swapaxes(array, -1, -2)), -1, -2)


def part(array):
    """The same matrices within larger ones."""
    wide = np.full((*array.shape[:-2], array.shape[-2] + 1, array.shape[-1] + 3), np.nan, array.dtype)
    wide[..., 1:, 2:-1] = array
    return wide[..., 1:, 2:-1]


def every_other(array):
    """The same matrices, neither rows nor columns in one piece."""
    wide = np.full((*array.shape[:-2], 2 * array.shape[-2], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2, ::2] = array
    return wide[..., ::2, ::2]


def some_networks(array):
    """The same matrices among others, no two of them side by side."""
    leading = array.shape[:-2]
    wide = np.full((*(2 * n for n in leading), *array.shape[-2:]), np.nan, array.dtype)
    wide[(slice(None, None, 2),) * len(leading)] = array
    return wide[(slice(None, None, 2),) * len(leading)]


def backwards(array):
    return np.flip(np.ascontiguousarray(np.flip(array, (-2, -1))), (-2, -1))


LAYOUTS = [
    *(np.ascontiguousarray, transposed, part, lambda a: transposed(part(a)), every_other, some_networks),
    backwards,
]
SIZES = [(4, 5, 3), (1, 5, 3), (4, 1, 3), (4, 5, 1), (1, 1, 3), (1, 5, 1), (4, 1, 1), (1, 1, 1)]
STACKS = [
    *(((), ()), ((3,), (3,)), ((), (3,)), ((3,), ()), ((2, 3), (2, 3)), ((), (2, 3)), ((1,), (1,))),
    *(((1, 3), (2, 1)), ((3,), (2, 3)), ((2, 1), (2, 3)), ((1,), (4,)), ((1, 1), (2, 3))),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("of_x1", LAYOUTS)
@pytest.mark.parametrize("of_x2", LAYOUTS)
def test_products_of_every_layout_size_and_stack(products, dtype, of_x1, of_x2):
    rng = np.random.default_rng(0)
    for (m, k, n), (nets1, nets2) in itertools.product(SIZES, STACKS):
        x1 = of_x1(rng.standard_normal((*nets1, m, k)).astype(dtype))
        x2 = of_x2(rng.standard_normal((*nets2, k, n)).astype(dtype))
        actual, expected = products.matmul(on_gpu(x1), on_gpu(x2)), np.matmul(x1, x2)
        assert actual.dtype == dtype
        assert actual.shape == expected.shape
        assert actual.flags.c_contiguous
        np.testing.assert_allclose(actual, expected, rtol=0, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("nets", [(), (3,), (2, 3)])
@pytest.mark.parametrize("shared", [False, True])
def test_the_products_of_a_layer_are_one_call_each_and_copy_nothing(products, cupy, lib, nets, shared):
    rng = np.random.default_rng(1)
    x = on_gpu(rng.standard_normal((8, 5) if shared else (*nets, 8, 5)))
    W, dy = on_gpu(rng.standard_normal((*nets, 5, 4))), on_gpu(rng.standard_normal((*nets, 8, 4)))
    x_t, W_t = np.swapaxes(x, -1, -2), np.swapaxes(W, -1, -2)
    for a, b in ((x, W), (dy, W_t), (x_t, dy)):
        np.testing.assert_allclose(products.matmul(a, b), np.matmul(a, b), rtol=1e-12)
    assert cupy.copies == 0
    calls = [call for call in lib.calls if isinstance(call, str)]
    assert calls == ["create", *["stack" if nets else "one"] * 3]


def test_rows_that_are_repeated_by_their_strides(products):
    x1 = on_gpu(np.broadcast_to(np.arange(3.0), (4, 3)))
    x2 = on_gpu(np.broadcast_to(np.arange(2.0), (2, 3, 2)))
    np.testing.assert_array_equal(products.matmul(x1, x2), np.matmul(x1, x2))


@pytest.mark.parametrize("precision", OF_FLOAT)
def test_the_precision_is_that_of_float32_alone(cupy, lib, precision):
    products = Products(cupy, np, lib, precision)
    for dtype in (np.float32, np.float64):
        products.matmul(on_gpu(np.ones((2, 2), dtype)), on_gpu(np.ones((3, 2, 2), dtype)))
    assert lib.computed_in == [OF_FLOAT[precision]] * 3 + [70] * 3


def test_other_products_are_the_namespaces(products, lib):
    pairs = [
        (np.arange(4).reshape(2, 2), np.arange(4).reshape(2, 2)),
        (np.ones((2, 2), np.float32), np.ones((2, 2))),
        (np.ones(2), np.ones((2, 2))),
        (np.ones((2, 2)), np.ones(2)),
        (np.ones((2, 0)), np.ones((0, 2))),
        (np.ones((0, 2, 2)), np.ones((2, 2))),
    ]
    for x1, x2 in pairs:
        np.testing.assert_array_equal(products.matmul(on_gpu(x1), on_gpu(x2)), np.matmul(x1, x2))
    assert not lib.calls


def test_shapes_that_have_no_product(products, lib):
    with pytest.raises(ValueError, match=r"no product of \(2, 3\) and \(2, 3\)"):
        products.matmul(on_gpu(np.ones((2, 3))), on_gpu(np.ones((2, 3))))
    with pytest.raises(ValueError, match="broadcast"):
        products.matmul(on_gpu(np.ones((2, 2, 2))), on_gpu(np.ones((3, 2, 2))))
    assert not lib.calls


def test_vecdot(products):
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 3, 4, 5))
    np.testing.assert_allclose(products.vecdot(a, b), np.sum(a * b, axis=-1))
    np.testing.assert_allclose(products.vecdot(a, b, axis=0), np.sum(a * b, axis=0))


def test_each_stream_and_thread_has_a_handle_whose_workspace_comes_last(products, cupy, lib):
    a = on_gpu(np.ones((2, 2)))
    for stream in (7, 7, 9, 7):
        cupy.stream = stream
        products.matmul(a, a)
    thread = threading.Thread(target=products.matmul, args=(a, a))
    thread.start()
    thread.join()
    size = cublas.WORKSPACE
    made = [[("stream", n, on), ("workspace", n, size + 1, size)] for n, on in ((1, 7), (2, 9), (3, 7))]
    assert [call for call in lib.calls if isinstance(call, tuple)] == list(itertools.chain(*made))
    assert lib.calls.count("create") == 3


def test_a_handle_goes_with_its_products(cupy, lib):
    products = Products(cupy, np, lib, "fp32")
    products.matmul(on_gpu(np.ones((2, 2))), on_gpu(np.ones((2, 2))))
    assert "destroy" not in lib.calls
    del products
    assert lib.calls[-1] == "destroy"


@pytest.mark.parametrize("failures", [1, 2])
def test_a_workspace_that_the_pool_holds_is_had_back(products, cupy, failures):
    class CUDARuntimeError(RuntimeError):
        pass

    calls = []

    def memory(size):
        calls.append(size)
        if calls.count(size) <= failures:
            raise CUDARuntimeError("out of\nmemory")
        return types.SimpleNamespace(ptr=size + 1)

    cupy.cuda.Memory, cupy.cuda.runtime.CUDARuntimeError = memory, CUDARuntimeError
    pool = types.SimpleNamespace(free_all_blocks=lambda: calls.append("freed"))
    cupy.get_default_memory_pool = lambda: pool
    one = on_gpu(np.ones((2, 2)))
    if failures == 1:
        np.testing.assert_array_equal(products.matmul(one, one), np.full((2, 2), 2.0))
        assert calls == [2**25, "freed", 2**25]
    else:
        with pytest.raises(MemoryError, match="workspace: out of memory"):
            products.matmul(one, one)


@pytest.mark.parametrize(("status", "error"), [(3, MemoryError), (13, RuntimeError)])
def test_what_cublas_complains_of(products, lib, status, error):
    lib.status = status
    with pytest.raises(error, match=f"cuBLAS: status {status}"):
        products.matmul(on_gpu(np.ones((2, 2))), on_gpu(np.ones((2, 2))))


def test_a_namespace_is_the_plain_one_but_for_products(products):
    mine = replacing(np, matmul=products.matmul, vecdot=products.vecdot)
    assert (mine.matmul, mine.vecdot) == (products.matmul, products.vecdot)
    assert {name for name in dir(np) if getattr(mine, name) is not getattr(np, name)} == {"matmul", "vecdot"}
    assert np.matmul is not mine.matmul


def test_the_cublas_of_this_machine():
    """No stand-in: the library that CuPy has loaded has all that is called, and reads the arguments."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
    found = library(cupy)
    assert found.cublasGetStatusString(3)
    handle, one = None, ctypes.byref(ctypes.c_float(1.0))
    factor = (None, 0, 1)
    not_initialised = 1  # what it says of the handle, whatever else it is given
    how = (OF_FLOAT["fp32"], -1)
    call = (handle, True, False, 1, 1, 1, one)
    assert found.cublasGemmEx(*call, *factor, *factor, one, *factor, *how) == not_initialised
    stacked = (*factor, 0, *factor, 0, one, *factor, 0, 1)
    assert found.cublasGemmStridedBatchedEx(*call, *stacked, *how) == not_initialised
