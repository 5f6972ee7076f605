"""What only a CUDA GPU with CuPy can tell: products, captured steps, streams and memory.

Everything else runs on CuPy through the fixture ``device`` of all other tests.
"""

import threading

import numpy as np
import pytest
from command_lines import refused
from fits import (
    EVERYTHING,
    HERE,
    MLP_543,
    NETS,
    REGIME,
    begin,
    image_feed,
    learnable,
    on_host,
    random_params,
    some_images,
    sources,
    train,
)

from xpnet.data.feed import Feed
from xpnet.datasets import Dataset
from xpnet.device import get_device, one_by_one
from xpnet.errors import DeviceError
from xpnet.nn.solvers import SOLVERS
from xpnet.runs.config import Config
from xpnet.runs.preparation import prepare
from xpnet.train import main
from xpnet.training.divergence import copy
from xpnet.training.draws import draw_epoch
from xpnet.training.regime import Hyper
from xpnet.training.step import make_step

WAYS = [("fp32", False), ("tf32", False), ("bf16", False), ("fp32", True), ("tf32", True), ("bf16", True)]
ways = pytest.mark.parametrize(("precision", "compiled"), WAYS)


@pytest.fixture
def cupy(request):
    """The module; skips the test where there is no GPU, fails it if one was demanded."""
    try:
        get_device("cuda", "cupy")
    except DeviceError as error:
        if "cupy" in (request.config.getoption("--xp") or ""):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    import cupy

    return cupy


@pytest.fixture
def gpu(cupy, precision, compiled):
    assert cupy.cuda.is_available()
    return get_device("cuda", "cupy", precision, compiled)


# Products

ROUNDING = {"fp32": 2e-6, "tf32": 2e-3, "bf16": 2e-2}
"""Largest error of a product of random numbers, relative to its root mean square. There is no least: tensor
cores are allowed, and cuBLAS may take others. Which it took is in the report, as a property of each test."""


def layer(rng, nets, shared):
    x = rng.standard_normal((96, 256) if shared else (*nets, 96, 256))
    return x, rng.standard_normal((*nets, 256, 128)), rng.standard_normal((*nets, 96, 128))


@ways
@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_products_of_a_layer(gpu, precision, nets, shared, record_property):
    xp, rng = gpu.xp, np.random.default_rng(0)
    host = layer(rng, nets, shared)
    with gpu.active():
        for dtype in ("float32", "float64"):
            on_gpu = [gpu.put(array, dtype) for array in host]
            exact = [gpu.to_host(array).astype(np.float64) for array in on_gpu]
            results = []
            for take, transpose in ((xp.matmul, xp.matrix_transpose), (np.matmul, np.matrix_transpose)):
                x, W, dy = on_gpu if take is xp.matmul else exact
                results.append([take(x, W), take(dy, transpose(W)), take(transpose(x), dy)])
            for actual, expected in zip(*results, strict=True):
                assert str(actual.dtype) == dtype
                assert actual.shape == expected.shape
                error = np.sqrt(np.mean((gpu.to_host(actual) - expected) ** 2) / np.mean(expected**2))
                if dtype == "float64":
                    assert error < 1e-14
                else:
                    record_property("error of a product", f"{error:.1e}")
                    assert error < ROUNDING[precision]


@ways
def test_sums_of_products_are_float32s(gpu):
    a, b = np.random.default_rng(1).standard_normal((2, 3, 40, 50))
    result = gpu.xp.vecdot(gpu.put(a, "float32"), gpu.put(b, "float32"))
    np.testing.assert_allclose(gpu.to_host(result), np.sum(a * b, axis=-1), atol=1e-4)


@pytest.mark.parametrize(("precision", "compiled"), [("tf32", False)])
def test_shared_arrays_beyond_the_ends_of_a_product_are_left_alone(gpu):
    """A part of a matrix is read and nothing beside it."""
    wide = gpu.put(np.full((7, 9), np.nan))
    wide[1:5, 2:6] = 1.0
    result = gpu.xp.matmul(wide[1:5, 2:6], gpu.xp.matrix_transpose(wide[1:4, 2:6]))
    np.testing.assert_array_equal(gpu.to_host(result), np.full((4, 3), 4.0))


# The same training


BEFORE_BATCH_NORM = ("b1", "b2b")
"""The biases of `EVERYTHING` that a batch norm takes away again: their gradients are 0 but for rounding."""

OF_ROUNDING = {"gradients": 1e-14, "squares": 1e-28, "params": 1e-7, "average": 1e-7}
"""How much of them there may be: of a gradient, of its square, and of a bias that Adam moved by it."""


def assert_near(gpu, actual, expected, tolerance, no_gradient=()):
    np.testing.assert_allclose(actual.history.losses, expected.history.losses, rtol=0, atol=tolerance)
    for kind, arrays in expected.state.items():
        for name, array in on_host(gpu, actual.state[kind]).items():
            limit = tolerance * np.max(np.abs(arrays[name]), initial=0.0)
            if name in no_gradient:
                limit = OF_ROUNDING[kind]
            np.testing.assert_allclose(array, arrays[name], rtol=0, atol=limit, err_msg=f"{kind} {name}")


@ways
@pytest.mark.parametrize("nets", NETS)
def test_a_gpu_trains_as_numpy_does(gpu, precision, nets):
    """A step that could not be captured would warn, and a warning is an error here."""
    params = random_params(np.random.default_rng(2), nets)
    for solver in SOLVERS:
        settings = {"solver": solver, "hyper": Hyper(0.01, 0.9, 0.01, clip_norm=1.0)}
        for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-3 if precision == "fp32" else 0.2)):
            if dtype == "float32" and solver == "lion":  # it takes the sign of what rounding may turn
                continue
            expected, actual = (train(d, params, learnable(), dtype, **settings) for d in (HERE, gpu))
            assert_near(gpu, actual, expected, tolerance)


@ways
@pytest.mark.parametrize("nets", NETS)
def test_with_everything_at_once(gpu, nets):
    X, y = some_images(11)
    data = None, None, (X - 128.0) / 64, y
    settings = {k: EVERYTHING[k] for k in ("mlp", "hyper", "regime")} | {"sources": sources(3)}
    params = random_params(np.random.default_rng(4), nets, EVERYTHING["mlp"])
    expected, actual = (
        train(d, params, data, **settings, feed=image_feed(d, "float64", EVERYTHING["augmentation"]))
        for d in (HERE, gpu)
    )
    assert_near(gpu, actual, expected, 1e-8, BEFORE_BATCH_NORM)


@ways
def test_networks_that_diverge(gpu):
    params = random_params(np.random.default_rng(5), (3,))
    settings = {"hyper": Hyper(np.array([0.1, 1e40, 0.2]), 1.0, 0.01), "solver": "momentum", "num_steps": 20}
    expected, actual = (train(d, params, learnable(), **settings) for d in (HERE, gpu))
    np.testing.assert_array_equal(actual.diverged_at, expected.diverged_at)
    assert expected.diverged_at[1] > 0
    for name, array in on_host(gpu, actual.params).items():
        np.testing.assert_allclose(array, expected.params[name], rtol=1e-6, err_msg=name)


# An epoch


def an_epoch(device, steps, dtype="float32"):
    """Return a step, its first state and the draws of an epoch."""
    X, y, _, _ = learnable()
    feed, hyper = Feed(device.put(X, dtype), device.put(y)), Hyper(0.1, 1.0, 0.01, dropout=0.2)
    state = begin(device, random_params(np.random.default_rng(6), (3,)), dtype, REGIME, hyper)
    rates = REGIME.learning_rates(hyper, (3,), range(steps), 0)
    by_step = {"rate": rates}
    (draws,) = draw_epoch(device, feed, REGIME, hyper, state["params"], sources(7), 0, 0, by_step)
    return make_step(device, MLP_543, feed, REGIME, hyper, state["params"]), state, draws


@pytest.mark.parametrize(("precision", "compiled"), [way for way in WAYS if way[1]])
def test_captured_steps_are_those_taken_one_by_one(gpu):
    with gpu.active():
        step, state, draws = an_epoch(gpu, 150)
        eager, eager_losses = one_by_one(gpu, step)(copy(gpu, state), draws, 0, 150)
        state, losses = gpu.compile(step)(state, draws, 0, 150)
    np.testing.assert_allclose(gpu.to_host(losses), gpu.to_host(eager_losses), rtol=1e-4)
    expected = on_host(gpu, eager["params"])
    for name, array in on_host(gpu, state["params"]).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-3, atol=1e-5)


@ways
def test_an_epoch_neither_waits_nor_asks_for_memory(cupy, gpu):
    """The GPU is held up until the host has asked for all steps: a host that waited for it would not."""

    class Allocations(cupy.cuda.MemoryHook):
        name = "Allocations"
        count = 0

        def alloc_preprocess(self, **_kwargs):
            self.count += 1

    # So few because a driver keeps about a thousand launches waiting, and makes the host wait with more.
    steps, asked_for_all, in_time = 3, threading.Event(), []
    with gpu.active():
        step, state, draws = an_epoch(gpu, steps)
        advance = gpu.compile(step)
        for _ in range(3):
            state, losses = advance(state, draws, 0, steps)
        gpu.synchronize()
        stream = cupy.cuda.get_current_stream()
        stream.launch_host_func(lambda event: in_time.append(event.wait(20)), asked_for_all)
        with Allocations() as allocations:
            state, losses = advance(state, draws, 0, steps)
        asked_for_all.set()
        gpu.synchronize()
    assert in_time == [True]
    assert allocations.count == 0
    assert np.isfinite(gpu.to_host(losses)).all()


# Streams and memory


@ways
def test_work_inside_and_outside_the_context_is_in_order(gpu):
    """Each array takes long to make, and is read elsewhere at once."""
    xp, n = gpu.xp, 2000
    ones = gpu.put(np.ones((n, n), np.float32))
    for _ in range(5):
        outside = xp.matmul(ones, ones)
        with gpu.active():
            inside = outside + xp.matmul(ones, ones)
        both = inside + outside
        np.testing.assert_array_equal(gpu.to_host(both), 3.0 * n)
        with gpu.active():
            inside = xp.matmul(ones, ones) * 2.0
        np.testing.assert_array_equal(gpu.to_host(inside), 2.0 * n)


@pytest.mark.parametrize(("precision", "compiled"), [("fp32", True), ("fp32", False)])
def test_bytes_stay_bytes_in_memory(gpu):
    rng = np.random.default_rng(8)
    X, y = rng.integers(0, 256, (60, 48), dtype=np.uint8), rng.integers(3, size=60)
    data = Dataset("images", X[:40], y[:40], X[40:50], y[40:50], X[50:], y[50:], ("a", "b", "c"), (4, 4, 3))
    index = np.arange(7)
    kinds = {"none": "uint8", "mean": "uint8", "standardize": "uint8", "zca": "float32"}
    for preprocess, kind in kinds.items():
        config = Config(preprocess=preprocess, batch_size=10)
        feed, on_cpu = (prepare(config, data, device).feed for device in (gpu, HERE))
        assert str(feed.X.dtype) == kind
        with gpu.active():
            x, labels = feed.batch(gpu.xp, gpu.put(index))
        np.testing.assert_array_equal(gpu.to_host(labels), y[:7])
        np.testing.assert_allclose(gpu.to_host(x), on_cpu.X[index], atol=1e-3)


@pytest.mark.parametrize("flags", [[], ["--compile"]])
def test_too_little_memory_is_one_line_with_what_to_do(cupy, capsys, tmp_path, flags):
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.get_limit()
    pool.set_limit(size=2**24)
    try:
        settings = ["--hidden", "20000", "--out", tmp_path / "run", *flags]
        line = refused(main, capsys, "--device", "cuda", *settings)
    finally:
        pool.set_limit(size=before)
    assert "out of memory" in line
    assert "use less data or smaller settings" in line
