"""What NumPy does better than the definitions of the maths, and the same."""

import numpy as np
import pytest

from xpnet.device import get_device
from xpnet.nn import layers, losses, penalty, solvers

XP = get_device("cpu").xp
OWN = XP.composites


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def both(function, *args):
    """What the device makes of it and what the definition does, of arguments of their own."""
    return [function(xp, *(a.copy() if isinstance(a, np.ndarray) else a for a in args)) for xp in (XP, np)]


def assert_same(own, defined, rtol):
    for a, b in zip(own, defined, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nets", [(), (3,), (2, 3)])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_softmax_cross_entropy_of_labels_is_as_defined(rng, dtype, nets, shared, scaled):
    scores = rng.normal(0, 3, (*nets, 12, 5)).astype(dtype)
    target = rng.integers(0, 5, (12,) if shared else (*nets, 12))
    factor = rng.uniform(0.1, 1, nets).astype(dtype) if scaled else None
    if scaled and not nets:
        factor = np.asarray(factor, dtype)
    assert OWN["softmax_cross_entropy"](scores, target, None, factor) is not NotImplemented
    kept = scores.copy(), target.copy()
    rtol = 1e-5 if dtype == "float32" else 1e-13
    assert_same(*both(losses.softmax_cross_entropy, scores, target, None, factor), rtol)
    losses.softmax_cross_entropy(XP, scores, target, None, factor)
    assert np.array_equal(scores, kept[0])
    assert np.array_equal(target, kept[1])


@pytest.mark.parametrize("rows", [32, 200])
def test_a_network_of_a_stack_has_the_bits_of_one_alone(rng, rows):
    scores = rng.normal(0, 3, (4, rows, 10)).astype("float32")
    target = rng.integers(0, 10, (4, rows))
    loss, dscores = losses.softmax_cross_entropy(XP, scores, target)
    db = layers.sum_of_rows(XP, dscores)
    W = rng.normal(size=(4, 64, 10)).astype("float32")
    of_W, _ = penalty.squares(XP, [W], 1, None)
    for i in range(4):
        alone, dalone = losses.softmax_cross_entropy(XP, scores[i], target[i])
        assert np.array_equal(alone, loss[i])
        assert np.array_equal(dalone, dscores[i])
        assert np.array_equal(layers.sum_of_rows(XP, dalone), db[i])
        assert np.array_equal(penalty.squares(XP, [W[i]], 0, None)[0], of_W[i])


@pytest.mark.parametrize("label", [-1, 5, 2**40])
def test_a_label_out_of_range_matches_no_class(rng, label):
    scores, target = rng.normal(size=(3, 8, 5)), rng.integers(0, 5, (3, 8))
    target[1, 2] = label
    assert_same(*both(losses.softmax_cross_entropy, scores, target), 1e-13)


def test_a_score_of_minus_infinity_has_the_probability_0(rng):
    scores, target = rng.normal(size=(8, 5)), np.full(8, 1)
    scores[3, 0] = -np.inf
    with np.errstate(invalid="ignore"):
        own, defined = both(losses.softmax_cross_entropy, scores, target)
    assert np.isfinite(own[0])
    assert_same(own, defined, 1e-13)


def test_what_numpy_is_no_better_at_is_as_defined(rng):
    scores, target = rng.normal(size=(8, 5)), rng.integers(0, 5, 8)
    soft = np.full((8, 5), 0.2)
    for args in (
        (scores, soft, None, None),
        (scores, target, np.ones(8), None),
        (scores[:3], target[:3], None, None),  # fewer rows than classes
        (rng.normal(size=(100, 90)), rng.integers(0, 90, 100), None, None),
        (scores, target.astype(np.int32), None, None),
    ):
        assert OWN["softmax_cross_entropy"](*args) is NotImplemented
        assert_same(*both(losses.softmax_cross_entropy, *args), 1e-13)
    wide = rng.normal(size=(8, 300))
    assert OWN["sum_of_rows"](wide) is NotImplemented
    assert np.array_equal(*both(layers.sum_of_rows, wide))


def test_sums_and_squares_are_as_defined(rng):
    dy = rng.normal(size=(2, 3, 20, 7))
    np.testing.assert_allclose(*both(layers.sum_of_rows, dy), rtol=1e-13, atol=1e-13)
    arrays = [rng.normal(size=(2, 3, 6, 5)), rng.normal(size=(2, 3, 5, 4))]
    (own, keep), (defined, _) = (penalty.squares(xp, arrays, 2, None) for xp in (XP, np))
    assert keep is None
    assert own.shape == (2, 3, 2)
    np.testing.assert_allclose(own.sum(axis=-1), defined.sum(axis=-1), rtol=1e-13)


def test_decay_and_large_matrices_are_left_to_the_definition(rng):
    small, large = rng.normal(size=(2, 6, 5)), rng.normal(size=(2, 100, 90))
    rates = np.full(2, 0.1), np.full(2, 0.5)
    assert OWN["squares"]([small], 1, rates) is NotImplemented
    assert OWN["squares"]([small, large], 1, None) is NotImplemented
    _, keep = penalty.squares(XP, [small], 1, rates)
    np.testing.assert_allclose(keep, 0.95)


@pytest.mark.parametrize("name", solvers.SOLVERS)
@pytest.mark.parametrize("shape", [(700, 200), (3, 300, 150), (2, 2, 90, 400), (5, 30_000), (50, 60, 50)])
@pytest.mark.parametrize("nets", [False, True])
def test_a_large_array_moves_in_parts_as_it_does_whole(rng, name, shape, nets):
    axes = shape[:-2] if len(shape) > 2 else shape[:-1] if shape[0] == 5 else ()

    def rate(value):
        values = value * rng.uniform(0.5, 1, axes if nets else ())
        return np.asarray(values, np.float32)

    W, *grads = rng.normal(size=(4, *shape)).astype(np.float32)
    rates = solvers.Rates(rate(0.1), rate(0.01), rate(0.02), rate(0.9), rate(0.99), rate(1e-8))
    own, defined = [], []
    for xp, found in ((XP, own), (np, defined)):
        solver, params = solvers.SOLVERS[name], {"W1": W.copy()}
        state = solver.init(xp, params)
        for t, g in enumerate(grads):
            given = rates._replace(step=np.full(rates.learning_rate.shape, t + 1, np.float32))
            params, state, _ = solver.update(xp, params, {"W1": g.copy()}, state, given, {"W1"})
        found += [params["W1"], *(of["W1"] for of in state.values())]
    assert OWN["in_parts"](lambda part, _: (part,), [W, W], []) is not NotImplemented
    for a, b in zip(own, defined, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_biases_of_networks_with_two_axes_have_their_own_rates():
    rates = solvers.Rates(np.arange(1.0, 7.0).reshape(2, 3), momentum=np.zeros((2, 3)))
    found = []
    for xp in (XP, np):
        params, grads = {"b1": np.zeros((2, 3, 30_000))}, {"b1": np.ones((2, 3, 30_000))}
        solver = solvers.SOLVERS["momentum"]
        params, _, _ = solver.update(xp, params, grads, solver.init(xp, params), rates, set())
        found.append(params["b1"])
    np.testing.assert_array_equal(*found)
