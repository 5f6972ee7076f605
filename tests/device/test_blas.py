"""The product that NumPy's own BLAS subtracts in place: its values, what it refuses, where it is found."""

import ctypes
import itertools
import sys

import numpy as np
import pytest
from conftest import StrictDevice
from threadpoolctl import threadpool_limits
from unreadable import UnreadableDevice

from xpnet.device import Device, blas, get_device
from xpnet.typing import Product

NETS = [(), (3,), (2, 3)]
OF_WHEELS = "numpy.libs/libscipy_openblas64_"


@pytest.fixture
def subtract():
    """What is found here, or a skip."""
    found = Device().find_subtract()
    if found is None:
        pytest.skip("not with this BLAS")
    return found


@pytest.fixture
def factors():
    """Return the function that draws ``W``, ``x`` and ``dy``."""

    def draw(dtype="float64", nets=(), batch=5, rows=7, columns=4, shared=False, seed=0):
        rng = np.random.default_rng(seed)
        shapes = (*nets, rows, columns), (*(() if shared else nets), batch, rows), (*nets, batch, columns)
        return [rng.standard_normal(shape).astype(dtype) for shape in shapes]

    return draw


# Values


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_it_is_the_product_subtracted(subtract, factors, dtype, nets, shared, turned):
    tolerance = {"float32": 1e-5, "float64": 1e-13}[dtype]
    for batch, rows, columns in itertools.product((1, 2, 50), (1, 3, 64), (1, 13, 30)):
        W, x, dy = factors(dtype, nets, batch, rows, columns, shared)
        if turned:
            dy = dy.mT.copy().mT
        expected, copies = W - Product(x, dy).multiply(np), (x.copy(), dy.copy())
        x.flags.writeable = dy.flags.writeable = False
        assert subtract(W, x, dy)
        np.testing.assert_allclose(W, expected, rtol=tolerance, atol=10 * tolerance)
        np.testing.assert_array_equal(x, copies[0])
        np.testing.assert_array_equal(dy, copies[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_network_of_a_stack_has_the_bits_of_one_alone(subtract, factors, dtype, shared):
    for batch, rows, columns in ((2, 17, 13), (50, 64, 300), (401, 300, 170)):
        W, x, dy = factors(dtype, (3,), batch, rows, columns, shared)
        alone = W.copy()
        assert subtract(W, x, dy)
        for k in range(3):
            one = alone[k].copy()
            assert subtract(one, x if shared else x[k].copy(), dy[k].copy())
            np.testing.assert_array_equal(W[k], one)


@pytest.fixture(params=[1, 2], ids="{} threads".format)
def threads(request):
    """NumPy's BLAS on one thread, or on two if there are as many."""
    with threadpool_limits(request.param):
        yield request.param


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("nets", NETS)
def test_a_factor_multiplies_what_was_there(subtract, factors, nets):
    """A factor of 0 leaves what is no number."""
    W, x, dy = factors(nets=nets)
    W[..., 0, 0] = np.nan
    for factor in (0.5, 1.0, 0.0):
        keep = np.full(nets, factor)
        if nets:
            keep[..., 0] = 0.25
        expected = keep[..., None, None] * W - Product(x, dy).multiply(np)
        assert subtract(W, x, dy, keep)
        np.testing.assert_allclose(W, expected, rtol=1e-13, atol=1e-13)
        assert np.isnan(W[..., 0, 0]).all()


@pytest.mark.usefixtures("threads")
def test_with_a_factor_too_a_network_has_the_bits_of_one_alone(subtract, factors):
    W, x, dy = factors("float32", (3,), 50, 64, 300)
    keep = np.array([0.5, 0.9, 0.99], np.float32)
    alone = W.copy()
    assert subtract(W, x, dy, keep)
    for k in range(3):
        one = alone[k].copy()
        assert subtract(one, x[k].copy(), dy[k].copy(), keep[k])
        np.testing.assert_array_equal(W[k], one)


def test_what_is_not_finite_stays_so(subtract, factors):
    """Also where the other factor is 0: a diverging network is known by its numbers."""
    for place, bad in itertools.product(range(3), (np.nan, np.inf)):
        arrays = factors()
        arrays[place][1, 1] = bad
        W, x, dy = arrays
        if place:  # column 1 of x makes row 1 of W, and row 1 of dy column 1
            (dy if place == 1 else x)[:] = 0.0
        with np.errstate(invalid="ignore"):
            expected = W - Product(x, dy).multiply(np)
        assert not np.isfinite(expected).all()
        assert subtract(W, x, dy)
        np.testing.assert_array_equal(np.isfinite(W), np.isfinite(expected))


def test_no_row_changes_nothing(subtract, factors):
    W, x, dy = factors(batch=0)
    before = W.copy()
    assert subtract(W, x, dy)
    np.testing.assert_array_equal(W, before)


# What it refuses, and leaves as it was


def unaligned(a):
    buffer = np.empty(a.nbytes + 1, np.uint8)[1:].view()
    copy = buffer[: a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


def read_only(a):
    a.flags.writeable = False
    return a


class Own(np.ndarray):
    """An array whose operations may be others."""


REFUSED = {
    "read-only W": lambda W, x, dy: (read_only(W), x, dy),
    "columns of a larger W": lambda W, x, dy: (np.repeat(W, 2, axis=-1)[..., ::2], x, dy),
    "rows of a larger W": lambda W, x, dy: (np.repeat(W, 2, axis=-2)[..., ::2, :], x, dy),
    "transposed W": lambda W, x, dy: (np.asfortranarray(W), x, dy),
    "transposed x": lambda W, x, dy: (W, np.asfortranarray(x), dy),
    "rows of a larger dy": lambda W, x, dy: (W, x, np.repeat(dy, 2, axis=-2)[..., ::2, :]),
    "rows of a larger dy.mT": lambda W, x, dy: (W, x, np.repeat(dy.mT, 2, axis=-2)[..., ::2, :].mT),
    "columns of a larger dy": lambda W, x, dy: (W, x, np.repeat(dy, 2, axis=-1)[..., ::2]),
    "the same row of x again and again": lambda W, x, dy: (W, np.broadcast_to(x[..., :1, :], x.shape), dy),
    "x of another dtype": lambda W, x, dy: (W, x.astype("float32"), dy),
    "dy of another dtype": lambda W, x, dy: (W, x, dy.astype("float32")),
    "all of a dtype that BLAS lacks": lambda *arrays: [a.astype(np.float16) for a in arrays],
    "integers": lambda *arrays: [a.astype(np.int64) for a in arrays],
    "complex numbers": lambda *arrays: [a.astype(complex) for a in arrays],
    "bytes in the other order": lambda *arrays: [a.astype(a.dtype.newbyteorder()) for a in arrays],
    "a class of its own": lambda W, x, dy: (W.view(Own), x, dy),
    "unaligned W": lambda W, x, dy: (unaligned(W), x, dy),
    "unaligned x": lambda W, x, dy: (W, unaligned(x), dy),
    "fewer rows in dy": lambda W, x, dy: (W, x, np.ascontiguousarray(dy[..., :-1, :])),
    "fewer columns in dy": lambda W, x, dy: (W, x, np.ascontiguousarray(dy[..., :-1])),
    "fewer columns in x": lambda W, x, dy: (W, np.ascontiguousarray(x[..., :-1]), dy),
    "another stack of x": lambda W, x, dy: (W, np.stack([x, x]), dy),
    "no columns": lambda W, x, dy: (W[..., :0], x, dy[..., :0]),
}


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses_what_blas_cannot_be_handed(subtract, factors, what, nets):
    """And those alone: `factors` as they are were accepted in the tests above."""
    arrays = REFUSED[what](*factors(nets=nets))
    before = [a.copy() for a in arrays]
    assert not subtract(*arrays)
    for a, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, old)


# Where it is found


def test_it_is_found_in_the_wheels_of_numpy():
    """Which have it on Linux, unless someone built NumPy himself."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    paths = [library["filepath"].replace("\\", "/") for library in threadpoolctl.threadpool_info()]
    if sys.platform != "linux" or not any(OF_WHEELS in path for path in paths):
        pytest.skip("not a wheel's BLAS")
    assert blas.find_subtract() is not None


def test_other_libraries_have_none():
    pytest.importorskip("array_api_strict")
    assert StrictDevice("device1").find_subtract() is None
    assert UnreadableDevice().find_subtract() is None


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_other_libraries_of_the_cpu_have_none(library):
    pytest.importorskip(library)
    assert get_device("cpu", library).find_subtract() is None


class Library:
    """A BLAS by the names of its functions."""

    def __init__(self, *names, config=b""):
        self.functions = {name: lambda *_: None for name in names}
        if "openblas_get_config" in names:
            self.functions["openblas_get_config"] = lambda: config

    def __getitem__(self, name):
        if name not in self.functions:
            raise AttributeError(name)

        def function(*arguments):
            return self.functions[name](*arguments)

        return function


PLAIN = ("cblas_sgemm", "cblas_dgemm")
THREADS, CONFIG = "openblas_get_num_threads", "openblas_get_config"
OF_WHEEL = "scipy_openblas_get_num_threads64_"


@pytest.mark.parametrize(
    ("library", "integer"),
    [
        (Library("scipy_cblas_sgemm64_", "scipy_cblas_dgemm64_", OF_WHEEL), ctypes.c_int64),
        (Library("cblas_sgemm64_", "cblas_dgemm64_", f"{THREADS}64_", *PLAIN), ctypes.c_int64),
        (Library(*PLAIN, THREADS, CONFIG, config=b"OpenBLAS 0.3.26 DYNAMIC_ARCH"), ctypes.c_int),
        (Library(*PLAIN, THREADS, CONFIG, config=b"OpenBLAS 0.3.26 USE64BITINT"), None),
        (Library(*PLAIN), None),  # MKL's, say: of which integers?
        (Library("cblas_sgemm64_", "cblas_dgemm64_"), None),
        (Library("cblas_sgemm", THREADS, CONFIG), None),
        (Library(), None),
    ],
)
def test_only_a_gemm_whose_integers_are_known_is_called(monkeypatch, library, integer):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    found = blas._find()
    if integer is None:
        assert found is None
        return
    gemms, threads = found
    assert threads.restype is ctypes.c_int
    for dtype, real in (("float32", ctypes.c_float), ("float64", ctypes.c_double)):
        order, arguments = [ctypes.c_int] * 3, gemms[np.dtype(dtype)].argtypes
        pointer = [ctypes.c_void_p, integer]
        assert arguments == [*order, *[integer] * 3, real, *pointer, *pointer, real, *pointer]


def test_without_a_library_there_is_none(monkeypatch):
    def refuse(_):
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    monkeypatch.setattr(blas, "find_subtract", blas.find_subtract.__wrapped__)
    assert Device().find_subtract() is None
    monkeypatch.delitem(sys.modules, "numpy._core._multiarray_umath")
    assert Device().find_subtract() is None
