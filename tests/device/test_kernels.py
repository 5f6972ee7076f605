"""Kernels of a CUDA device: what they compute, by the portable definitions, and how many a step takes."""

import dataclasses
import types

import numpy as np
import pytest
from fits import (
    EVERYTHING,
    HERE,
    MLP_543,
    NETS,
    REGIME,
    begin,
    draw_step,
    image_feed,
    learnable,
    on_host,
    own_sources,
    random_params,
    some_images,
    sources,
    train,
)
from host_gpu import HostGpu, OnGpu, launches
from host_kernels import COMPILER, Cupy

from xpnet.data.augment import Augmentation
from xpnet.data.feed import Feed
from xpnet.data.transforms import _of_raw
from xpnet.device.kernels import Kernels
from xpnet.nn import losses, penalty
from xpnet.nn.activations import ACTIVATIONS, BIASED
from xpnet.nn.composites import elementwise
from xpnet.nn.mlp import MLP
from xpnet.nn.solvers import SOLVERS
from xpnet.training.regime import Hyper
from xpnet.training.step import make_step

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

GPU = HostGpu()
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def assert_same(actual, expected, dtype):
    actual = actual if isinstance(actual, tuple | list) else (actual,)
    expected = expected if isinstance(expected, tuple | list) else (expected,)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        assert a.shape == np.shape(e)
        scale = np.max(np.abs(e), where=np.isfinite(e), initial=0.0)
        np.testing.assert_allclose(np.asarray(a), e, rtol=0, atol=TOLERANCE[dtype] * scale)


def both(function, dtype, *arrays):
    """Return what a function of a namespace and arrays gives on the GPU and here."""
    results = []
    for device in (GPU, HERE):
        with device.active():
            put = [
                device.put(np.array(a), dtype if np.asarray(a).dtype.kind == "f" else None) for a in arrays
            ]
            results.append(function(device.xp, *put))
    return results


# Composites


@every_dtype
@pytest.mark.parametrize(
    ("nets", "rows", "classes"), [((), 1, 2), ((2, 3), 7, 3), ((2,), 600, 10), ((), 12, 100), ((3,), 40, 33)]
)
def test_softmax_cross_entropy(dtype, nets, rows, classes):
    """Rows by one block and by several, classes by a thread and by a warp."""
    rng = np.random.default_rng(0)
    scores = 3 * rng.standard_normal((*nets, rows, classes))
    for shared in (True, False) if nets else (True,):
        of = (rows,) if shared else (*nets, rows)
        soft = rng.dirichlet(np.ones(classes), of)
        for target in (rng.integers(classes, size=of), soft):
            results = both(losses.softmax_cross_entropy, dtype, scores, target)
            assert_same(*results, dtype)
            more = rng.uniform(0, 2, of), rng.uniform(0.1, 1, nets)
            assert_same(*both(losses.softmax_cross_entropy, dtype, scores, target, *more), dtype)


@every_dtype
def test_softmax_cross_entropy_of_what_is_not_finite(dtype):
    """And labels that no class has."""
    scores = np.array([[1.0, -np.inf, 2.0], [np.nan, 1.0, 2.0], [1.0, 2.0, 3.0], [-np.inf, -np.inf, 0.0]])
    for rows in ([0, 2, 3], [1], [0, 1, 2, 3]):
        labels = np.array([0, 1, -1, 2])[rows]
        assert_same(*both(losses.softmax_cross_entropy, dtype, scores[rows], labels), dtype)


@every_dtype
@pytest.mark.parametrize("nets", NETS)
def test_squares(dtype, nets):
    """Of arrays that one block sums up, and several; with a decay in passing."""
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((*nets, *shape)) for shape in ((3, 4), (5,), (90, 100))]
    rate, decay = rng.uniform(0.1, 0.5, nets), rng.uniform(0.1, 1.0, nets)
    for rates in (None, (GPU.put(rate, dtype), GPU.put(decay, dtype))):
        on_gpu = [GPU.put(a, dtype) for a in arrays]
        parts, left = penalty.squares(GPU.xp, on_gpu, len(nets), rates)
        assert left is None
        assert parts.shape[:-1] == nets
        expected = sum(np.sum(a.astype(dtype) ** 2, axis=tuple(range(len(nets), a.ndim))) for a in arrays)
        assert_same(np.sum(np.asarray(parts), axis=-1), np.asarray(expected, dtype), dtype)
        for a, before in zip(on_gpu, arrays, strict=True):
            by = np.ones(nets) if rates is None else 1 - rate * decay
            assert_same(
                a, (before * by.reshape(*nets, *[1] * (before.ndim - len(nets)))).astype(dtype), dtype
            )


def test_arrays_that_do_not_lie_in_one_piece_are_left_to_the_maths():
    array = GPU.put(np.arange(12.0).reshape(3, 4)).mT
    parts, left = penalty.squares(GPU.xp, [array], 0, (GPU.put(np.array(0.5)), GPU.put(np.array(0.5))))
    assert left == 0.75
    assert np.sum(np.asarray(parts)) == np.sum(np.arange(12.0) ** 2)
    np.testing.assert_array_equal(np.asarray(array), np.arange(12.0).reshape(3, 4).T)


def test_arrays_of_several_dtypes_are_those_that_their_numbers_are():
    """A kernel sees addresses, and would take one dtype for another."""
    rng = np.random.default_rng(9)
    single, double = rng.standard_normal((3, 4)).astype("float32"), rng.standard_normal((5, 4))
    for arrays in ([single, double], [double, single]):
        rates = GPU.put(np.array(0.5)), GPU.put(np.array(0.5))
        parts, left = penalty.squares(GPU.xp, [GPU.put(a) for a in arrays], 0, rates)
        assert left == 0.75
        assert np.sum(np.asarray(parts)) == pytest.approx(np.sum(single**2) + np.sum(double**2))
    scores, labels, weight = rng.standard_normal((5, 3)), rng.integers(3, size=5), rng.uniform(0, 1, 5)
    results = [
        losses.softmax_cross_entropy(
            d.xp, d.put(scores, "float32"), d.put(labels.astype(kind)), d.put(weight), d.put(np.array(0.5))
        )
        for d in (GPU, HERE)
        for kind in ("int64", "int32", "uint8")
    ]
    for loss, dscores in results:
        np.testing.assert_allclose(np.asarray(loss), results[-1][0], rtol=1e-6)
        np.testing.assert_allclose(np.asarray(dscores), results[-1][1], rtol=1e-5, atol=1e-7)


def test_more_networks_than_the_short_side_of_a_grid_is_long(monkeypatch):
    grids = []
    module = types.SimpleNamespace(get_function=lambda _name: lambda grid, *_: grids.append(grid))
    monkeypatch.setattr(Cupy, "RawModule", lambda _self, code: module)  # noqa: ARG005
    scores, labels = np.zeros((70_000, 1, 2)), np.zeros((70_000, 1), np.int64)
    Kernels(Cupy(OnGpu)).softmax_cross_entropy(GPU.put(scores), GPU.put(labels))
    assert grids == [(70_000, 1)]


@every_dtype
@pytest.mark.parametrize("nets", NETS)
def test_regularised(dtype, nets):
    rng = np.random.default_rng(2)
    parts, reg = rng.uniform(0, 1, (*nets, 700)), rng.uniform(0, 1, nets)
    assert_same(*both(penalty.regularised, dtype, rng.uniform(0, 1, nets), reg, parts), dtype)
    if nets:  # where there is no penalty, no overflow is seen
        parts[0], reg[0] = np.inf, 0.0
        assert_same(*both(penalty.regularised, dtype, rng.uniform(0, 1, nets), reg, parts), dtype)


# Fused functions


@every_dtype
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(dtype, name):
    rng = np.random.default_rng(3)
    x, b, dy = (rng.standard_normal(shape) for shape in ((3, 5, 4), (3, 1, 4), (3, 5, 4)))
    x[0, 0] = [np.nan, np.inf, -np.inf, 0.0]

    def layer(function, *arrays):
        def call(xp, dy, *arrays):
            y, pullback = function(xp, *arrays)
            return y, *pullback(dy)

        return both(call, dtype, dy, *arrays)

    assert_same(*layer(BIASED[name], x, b), dtype)
    assert_same(*layer(ACTIVATIONS[name], x), dtype)


@every_dtype
@pytest.mark.parametrize("kind", losses.OF_OUTPUTS)
@pytest.mark.parametrize("nets", NETS)
def test_losses_of_outputs(dtype, kind, nets):
    rng = np.random.default_rng(4)
    scores, target = 2 * rng.standard_normal((*nets, 6, 2)), rng.integers(2, size=(6, 2)).astype(float)
    weight, factor = rng.uniform(0, 2, 6), rng.uniform(0.1, 1, nets)
    function = losses.OF_OUTPUTS[kind]
    assert_same(*both(function, dtype, scores, target), dtype)
    assert_same(*both(function, dtype, scores, target, weight, factor), dtype)


@pytest.mark.parametrize(
    ("solver", "nets"), [(solver, (3,)) for solver in SOLVERS] + [("adamw", ()), ("adamw", (2, 3))]
)
def test_training(solver, nets):
    """With both kinds of decay, and a clip that some steps reach."""
    params = random_params(np.random.default_rng(5), nets)
    hyper = Hyper(0.05, 0.9, 0.01, weight_decay=0.1, clip_norm=1.0)
    for more in ({"hyper": hyper}, {"hyper": Hyper(0.05, 0.9, 0.01)}):
        settings = {"solver": solver, "num_steps": 6} | more
        expected, actual = (train(d, params, learnable(), **settings) for d in (HERE, GPU))
        np.testing.assert_allclose(actual.history.losses, expected.history.losses, rtol=1e-10)
        for name, array in on_host(GPU, actual.params).items():
            np.testing.assert_allclose(array, expected.params[name], rtol=1e-8, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("nets", [(), (2,)])
@pytest.mark.parametrize("rotation", [0.0, 20.0])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_training_with_everything_at_once(nets, rotation, norm):
    X, y = some_images(11)
    data = None, None, (X - 128.0) / 64, y
    mlp = dataclasses.replace(EVERYTHING["mlp"], norm=norm)
    how = dataclasses.replace(EVERYTHING["augmentation"], rotation=rotation)
    regime = dataclasses.replace(EVERYTHING["regime"], num_steps=4)
    settings = {"mlp": mlp, "hyper": EVERYTHING["hyper"], "regime": regime}
    settings["sources"] = own_sources(1, 2) if nets else sources(3)
    params = random_params(np.random.default_rng(6), nets, mlp)
    expected, actual = (
        train(d, params, data, **settings, feed=image_feed(d, "float64", how)) for d in (HERE, GPU)
    )
    np.testing.assert_allclose(actual.history.losses, expected.history.losses, rtol=1e-10)


def test_a_float_is_a_number_of_each_call_and_a_whole_one_part_of_the_kernel():
    """So that batches of another size need no other kernel."""
    fuse, x = GPU.xp.composites["elementwise"], GPU.put(np.array([3.0]))

    def grown(_xp, x, by):
        return x * by

    before = len(fuse._kernels)
    assert [float(fuse(grown, (x, by))[0]) for by in (2.0, 4.0, 2, 4)] == [6.0, 12.0, 6.0, 12.0]
    assert len(fuse._kernels) == before + 3


@every_dtype
def test_functions_of_numbers_that_are_not_finite_or_lie_between_two(dtype):
    numbers = np.array([np.nan, np.inf, -np.inf, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5])
    a, b = (grid.ravel() for grid in np.meshgrid(numbers, numbers))

    @elementwise
    def some(xp, a, b):
        pairs = xp.maximum(a, b), xp.minimum(a, b), xp.where(a > b, a, b), xp.maximum(a, 0.25)
        return *pairs, xp.clip(a, -1.0, 1.0), xp.round(a), xp.floor(a), xp.sign(a), xp.abs(a)

    for actual, expected in zip(*both(some, dtype, a, b), strict=True):
        np.testing.assert_array_equal(np.asarray(actual), expected)


# Launches of a step


def of_step(mlp, hyper, regime, feed, nets=()):
    """Return what one step launches, the second, as the first compiles."""
    state = begin(GPU, random_params(np.random.default_rng(7), nets, mlp), "float32", regime, hyper)
    draws = draw_step(GPU, feed, regime, hyper, state["params"], sources(8))
    step = make_step(GPU, mlp, feed, regime, hyper, state["params"])
    state, _ = step(state, draws)
    found = launches(step, state, draws)
    return sum(found.values()), found


def rows():
    X, y, _, _ = learnable()
    return Feed(GPU.put(X, "float32"), GPU.put(y))


@pytest.mark.parametrize("nets", [(), (15,)])
@pytest.mark.parametrize("raw", [False, True])
def test_launches_of_a_step_of_the_original(nets, raw):
    """Of floats and of bytes, which are prepared in one; a graph launches one more, for the loss."""
    feed = image_feed(GPU, "float32", Augmentation()) if raw else rows()
    if raw:
        feed = dataclasses.replace(feed, prepare=lambda X: _of_raw(GPU.xp, X, *statistics()))
    mlp = MLP((6 if raw else 5, 4, 3))
    total, found = of_step(mlp, Hyper(0.1, 1.0, 0.01), REGIME, feed, nets)
    assert total == 18 + raw, found
    assert found["softmax_cross_entropy"] == 1
    assert found["squares"] == found["subtract"] == 2
    assert found["matmul"] == 3


def statistics():
    return GPU.put(np.full(6, 128.0), "float32"), GPU.put(np.full(6, 1 / 64), "float32")


def test_launches_of_a_step_with_dropout_and_batch_norm():
    mlp = MLP((5, 4, 3), norm="batch")
    total, found = of_step(mlp, Hyper(0.1, 1.0, 0.01, dropout=0.2), REGIME, rows())
    assert total == 39, found
    assert found["xpnet__halves"] == 1  # the hash


def test_launches_of_a_step_of_adam():
    regime = dataclasses.replace(REGIME, solver="adam")
    total, found = of_step(MLP_543, Hyper(0.001, 1.0, 0.01, weight_decay=0.1), regime, rows())
    assert total == 22, found


def test_launches_of_a_step_with_everything_at_once():
    feed = image_feed(GPU, "float32", EVERYTHING["augmentation"])
    total, found = of_step(EVERYTHING["mlp"], EVERYTHING["hyper"], EVERYTHING["regime"], feed)
    assert total == 164, found


def test_launches_of_a_step_with_flips_and_shifts():
    feed = image_feed(GPU, "float32", Augmentation(flip=True, shift=1))
    total, found = of_step(MLP((6, 4, 3)), Hyper(0.1, 1.0, 0.01), REGIME, feed)
    assert total == 28, found


def test_the_counter_counts():
    a = GPU.put(np.ones((2, 3)))

    def some(a):
        xp = GPU.xp
        b = a + 1.0
        b *= 2.0
        return xp.sum(b.mT[..., None], axis=-1), xp.exp(a[0, ...])

    assert launches(some, a) == {"add": 1, "multiply": 1, "sum": 1, "exp": 1}
    assert isinstance(a, OnGpu)
