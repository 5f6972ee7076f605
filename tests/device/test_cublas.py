"""Products by cuBLAS: what it is told, against a stand-in that multiplies in the memory of the host."""

import ctypes
import itertools

import numpy as np
import pytest
from host_cublas import Cupy, Library, on_gpu

from xpnet.device.arrays import replacing
from xpnet.device.cublas import OF_FLOAT, Products, library


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nets", [(), (1,), (3,), (2, 3)])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("of_factors", [np.ascontiguousarray, transposed, part])
@pytest.mark.parametrize("keeps", [False, True])
def test_a_product_is_subtracted_in_place(products, cupy, lib, dtype, nets, shared, of_factors, keeps):
    rng = np.random.default_rng(3)
    for batch, rows, columns in SIZES:
        x = of_factors(rng.standard_normal((batch, rows) if shared else (*nets, batch, rows)).astype(dtype))
        dy = of_factors(rng.standard_normal((*nets, batch, columns)).astype(dtype))
        W = on_gpu(rng.standard_normal((*nets, rows, columns)).astype(dtype))
        keep = on_gpu(rng.uniform(0.5, 1.0, nets).astype(dtype)) if keeps else None
        kept = W if keep is None else keep[..., None, None] * W
        expected = np.array(kept - np.matmul(x.mT, dy))
        lib.calls.clear()
        assert products.subtract(W, on_gpu(x), on_gpu(dy), keep)
        np.testing.assert_allclose(W, expected, rtol=0, atol=30 * np.finfo(dtype).eps)
        assert lib.calls[-1:] == ["stack" if np.prod(nets) > 1 else "one"]
    assert cupy.copies == 0


def test_a_weight_that_is_not_kept_does_not_hide_what_is_no_number(products):
    W = on_gpu(np.full((2, 2), np.inf))
    with np.errstate(invalid="ignore"):
        assert products.subtract(W, on_gpu(np.ones((3, 2))), on_gpu(np.ones((3, 2))), on_gpu(np.zeros(())))
    assert np.isnan(W).all()


def of_a_layer(**others):
    arrays = {"W": np.ones((3, 5, 4)), "x": np.ones((3, 8, 5)), "dy": np.ones((3, 8, 4))}
    return arrays | others


@pytest.mark.parametrize(
    "arrays",
    [
        of_a_layer(W=transposed(np.ones((3, 5, 4)))),
        of_a_layer(W=part(np.ones((3, 5, 4)))),
        of_a_layer(W=np.ones((3, 5, 4), np.float32)),
        of_a_layer(x=np.ones((3, 8, 5), np.float32)),
        of_a_layer(dy=np.ones((3, 8, 4), np.float32)),
        {name: array.astype(np.int64) for name, array in of_a_layer().items()},
        {name: array.astype(np.float16) for name, array in of_a_layer().items()},
        of_a_layer(x=every_other(np.ones((3, 8, 5)))),
        of_a_layer(dy=every_other(np.ones((3, 8, 4)))),
        of_a_layer(x=np.ones((1, 8, 5))),
        of_a_layer(x=np.ones((3, 8, 6))),
        of_a_layer(dy=np.ones((8, 4))),
        of_a_layer(dy=np.ones((3, 7, 4))),
        of_a_layer(x=np.ones((3, 0, 5)), dy=np.ones((3, 0, 4))),
        of_a_layer(W=np.ones((3, 5, 0)), dy=np.ones((3, 8, 0))),
        of_a_layer(W=np.ones((0, 5, 4)), x=np.ones((0, 8, 5)), dy=np.ones((0, 8, 4))),
    ],
)
def test_what_cannot_be_subtracted_in_place_is_left_alone(products, lib, arrays):
    before = arrays["W"].copy()
    assert not products.subtract(*map(on_gpu, arrays.values()), on_gpu(np.full(3, 0.5)))
    np.testing.assert_array_equal(arrays["W"], before)
    assert not lib.calls


@pytest.mark.parametrize("precision", OF_FLOAT)
def test_what_is_subtracted_is_of_the_precision(cupy, lib, precision):
    products = Products(cupy, np, lib, precision)
    for dtype in (np.float32, np.float64):
        assert products.subtract(*(on_gpu(np.ones((2, 2), dtype)) for _ in range(3)))
    assert lib.computed_in == [OF_FLOAT[precision], 70]


def test_what_cublas_complains_of(products, lib):
    one = on_gpu(np.ones((2, 2)))
    products.matmul(one, one)
    for status, error in ((13, RuntimeError), (3, MemoryError)):
        lib.status = status
        with pytest.raises(error, match=f"cuBLAS: status {status}"):
            products.matmul(one, one)
        with pytest.raises(error, match=f"cuBLAS: status {status}"):
            products.subtract(one, one, one)


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
