"""The layers: values, gradients, leading network axes, memory, and scores at the edge of float."""

import itertools

import numpy as np
import pytest
from gradcheck import check_gradient
from hypothesis import given
from hypothesis import strategies as st

from xpnet import ops

NETS = [(), (3,), (2, 3)]
sizes = st.integers(1, 5)
nets_shapes = st.lists(st.integers(1, 3), max_size=2).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def normal(rng, *shape):
    return rng.standard_normal(shape)


def each(nets):
    """Every index of the leading axes."""
    return list(np.ndindex(nets))


# Affine


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_affine_values_and_gradients(device, dtype, assert_close, nets, shared):
    rng = np.random.default_rng(0)
    x = normal(rng, 5, 4) if shared else normal(rng, *nets, 5, 4)
    W, b, dy = normal(rng, *nets, 4, 3), normal(rng, *nets, 3), normal(rng, *nets, 5, 3)

    y, pullback = ops.affine(device.xp, *(device.put(a, dtype) for a in (x, W, b)))
    dx, dW, db = pullback(device.put(dy, dtype))

    assert_close(y, np.einsum("...ni,...io->...no", x, W) + b[..., None, :])
    assert_close(dW, np.einsum("...ni,...no->...io", x, dy))
    assert_close(db, dy.sum(axis=-2))
    expected = np.einsum("...no,...io->...ni", dy, W)
    assert_close(dx, expected.reshape(-1, 5, 4).sum(axis=0) if shared else expected)


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_affine_without_dx(device, dtype, nets, shared):
    rng = np.random.default_rng(1)
    x = normal(rng, 5, 4) if shared else normal(rng, *nets, 5, 4)
    arrays = (x, normal(rng, *nets, 4, 3), normal(rng, *nets, 3))
    _, pullback = ops.affine(device.xp, *(device.put(a, dtype) for a in arrays))
    dy = device.put(normal(rng, *nets, 5, 3), dtype)
    with_dx, without_dx = pullback(dy), pullback(dy, need_dx=False)
    assert with_dx[0] is not None
    assert without_dx[0] is None
    for a, b in zip(with_dx[1:], without_dx[1:], strict=True):
        np.testing.assert_array_equal(device.to_host(a), device.to_host(b))


@given(nets=nets_shapes, n=sizes, i=sizes, o=sizes, seed=seeds)
def test_affine_of_a_stack_is_each_network_alone(nets, n, i, o, seed):
    rng = np.random.default_rng(seed)
    x, W, b = normal(rng, *nets, n, i), normal(rng, *nets, i, o), normal(rng, *nets, o)
    dy = normal(rng, *nets, n, o)
    y, pullback = ops.affine(np, x, W, b)
    together = (y, *pullback(dy))
    for net in each(nets):
        alone_y, alone_pullback = ops.affine(np, x[net], W[net], b[net])
        for a, alone in zip(together, (alone_y, *alone_pullback(dy[net])), strict=True):
            np.testing.assert_array_equal(a[net], alone)  # the same products: equal to the bit


@given(nets=nets_shapes, n=sizes, i=sizes, o=sizes, seed=seeds)
def test_affine_of_a_shared_batch_is_each_network_alone(nets, n, i, o, seed):
    rng = np.random.default_rng(seed)
    x, W, b = normal(rng, n, i), normal(rng, *nets, i, o), normal(rng, *nets, o)
    dy = normal(rng, *nets, n, o)
    y, pullback = ops.affine(np, x, W, b)
    dx, dW, db = pullback(dy)
    dx_alone = np.zeros_like(x)
    for net in each(nets):
        alone_y, alone_pullback = ops.affine(np, x, W[net], b[net])
        alone_dx, alone_dW, alone_db = alone_pullback(dy[net])
        dx_alone += alone_dx
        for a, alone in ((y, alone_y), (dW, alone_dW), (db, alone_db)):
            np.testing.assert_allclose(a[net], alone, rtol=0, atol=1e-12)
    np.testing.assert_allclose(dx, dx_alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype_of_all", [np.float32, np.float64])
def test_a_network_has_the_same_bits_in_any_stack(dtype_of_all):
    """Which is why networks that share x have no product in common; of odd sizes, where a BLAS has edges."""
    rng = np.random.default_rng(2)
    for batch, features, units in itertools.product((2, 7, 50), (3, 17, 64), (2, 13, 300)):
        x = normal(rng, batch, features).astype(dtype_of_all)
        W, b = (normal(rng, 5, *shape).astype(dtype_of_all) for shape in ((features, units), (units,)))
        dy = normal(rng, 5, batch, units).astype(dtype_of_all)
        y, pullback = ops.affine(np, x, W, b)
        _, dW, db = pullback(dy)
        for k in range(5):
            alone, pullback_alone = ops.affine(np, x, W[k], b[k])
            dx, *grads = pullback_alone(dy[k])
            assert dx.shape == x.shape
            for actual, expected in zip((y[k], dW[k], db[k]), (alone, *grads), strict=True):
                np.testing.assert_array_equal(actual, expected)


# ReLU


@pytest.mark.parametrize("nets", NETS)
def test_relu_values_and_gradients(device, dtype, assert_close, nets):
    rng = np.random.default_rng(3)
    x, dy = normal(rng, *nets, 5, 4), normal(rng, *nets, 5, 4)
    x[..., 0, :] = [0.0, -0.0, -1.0, 1.0]  # the kink itself has slope 0
    y, pullback = ops.relu(device.xp, device.put(x, dtype))
    assert_close(y, np.where(x > 0, x, 0.0))
    assert_close(pullback(device.put(dy, dtype)), np.where(x > 0, dy, 0.0))


def test_relu_does_not_hide_what_is_not_a_number(device, dtype):
    y, _ = ops.relu(device.xp, device.put(np.array([np.nan, -np.inf, np.inf]), dtype))
    np.testing.assert_array_equal(device.to_host(y), [np.nan, 0.0, np.inf])


@given(nets=nets_shapes, n=sizes, i=sizes, seed=seeds)
def test_relu_of_a_stack_is_each_network_alone(nets, n, i, seed):
    rng = np.random.default_rng(seed)
    x, dy = normal(rng, *nets, n, i), normal(rng, *nets, n, i)
    y, pullback = ops.relu(np, x)
    dx = pullback(dy)
    for net in each(nets):
        alone_y, alone_pullback = ops.relu(np, x[net])
        np.testing.assert_array_equal(y[net], alone_y)
        np.testing.assert_array_equal(dx[net], alone_pullback(dy[net]))


# Softmax cross-entropy


def cross_entropy(scores, y):
    """Loss and gradient of one network by the definitions (4) and (5), with P_y divided out."""
    P = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    Y = np.eye(scores.shape[1])[y]
    return -np.log(P[Y == 1]).mean(), (P - Y) / len(y)


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shared", [False, True])
def test_softmax_cross_entropy_by_its_definition(device, dtype, assert_close, nets, shared):
    rng = np.random.default_rng(4)
    scores = normal(rng, *nets, 6, 4)
    y = rng.integers(4, size=(6,) if shared else (*nets, 6))
    y_of = np.broadcast_to(y, (*nets, 6))
    loss, dscores = ops.softmax_cross_entropy(device.xp, device.put(scores, dtype), device.put(y))
    by_definition = [cross_entropy(scores[net], y_of[net]) for net in each(nets)]
    assert_close(loss, np.reshape([value for value, _ in by_definition], nets))
    assert_close(dscores, np.reshape([d for _, d in by_definition], scores.shape))


@given(nets=nets_shapes, n=sizes, c=sizes, seed=seeds, shared=st.booleans())
def test_softmax_cross_entropy_of_a_stack_is_each_network_alone(nets, n, c, seed, shared):
    rng = np.random.default_rng(seed)
    scores = 3.0 * normal(rng, *nets, n, c)
    y = rng.integers(c, size=(n,) if shared else (*nets, n))
    loss, dscores = ops.softmax_cross_entropy(np, scores, y)
    assert loss.shape == nets
    for net in each(nets):
        alone = ops.softmax_cross_entropy(np, scores[net], y if shared else y[net])
        np.testing.assert_allclose(loss[net], alone[0], rtol=1e-14, atol=0)
        np.testing.assert_array_equal(dscores[net], alone[1])


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "int64"])
def test_softmax_cross_entropy_takes_any_integer_labels(device, dtype, assert_close, kind):
    scores = np.random.default_rng(5).standard_normal((4, 3))
    y = np.array([2, 0, 1, 1], kind)
    loss, dscores = ops.softmax_cross_entropy(device.xp, device.put(scores, dtype), device.put(y))
    expected = cross_entropy(scores, y)
    assert_close(loss, expected[0])
    assert_close(dscores, expected[1])


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_more_classes_than_the_labels_integers_can_count(kind):
    scores = np.random.default_rng(6).standard_normal((2, 300))
    expected = ops.softmax_cross_entropy(np, scores, np.array([3, 100]))
    actual = ops.softmax_cross_entropy(np, scores, np.array([3, 100], kind))
    np.testing.assert_array_equal(actual[0], expected[0])
    np.testing.assert_array_equal(actual[1], expected[1])


def test_scores_of_ten_thousand_overflow_nothing(device, dtype, assert_close):
    scores = np.array([[1e4, 0.0, -1e4], [-1e4, 1e4, 1e4]])
    y = np.array([2, 1])
    loss, dscores = ops.softmax_cross_entropy(device.xp, device.put(scores, dtype), device.put(y))
    # Row by row: 20000 below the winner; one of two equal winners, log 2.
    assert_close(loss, (2e4 + np.log(2.0)) / 2)
    assert_close(dscores, [[0.5, 0.0, -0.5], [0.0, -0.25, 0.25]])


def test_scores_without_a_chance(device, dtype, assert_close):
    scores = np.array([[0.0, -np.inf, 0.0], [-np.inf, 1.0, -np.inf]])
    y = np.array([0, 1])
    loss, dscores = ops.softmax_cross_entropy(device.xp, device.put(scores, dtype), device.put(y))
    assert_close(loss, np.log(2.0) / 2)
    assert_close(dscores, [[-0.25, 0.0, 0.25], [0.0, 0.0, 0.0]])


def test_a_label_without_a_chance_costs_infinitely_much(device, dtype):
    scores = device.put(np.array([[0.0, -np.inf]]), dtype)
    loss, dscores = ops.softmax_cross_entropy(device.xp, scores, device.put(np.array([1])))
    assert device.to_host(loss) == np.inf
    np.testing.assert_array_equal(device.to_host(dscores), [[1.0, -1.0]])


def test_scores_that_are_no_numbers_show_in_the_loss(device, dtype):
    scores = device.put(np.array([[0.0, np.nan], [0.0, 1.0]]), dtype)
    loss, _ = ops.softmax_cross_entropy(device.xp, scores, device.put(np.array([0, 1])))
    assert np.isnan(device.to_host(loss))


def test_one_class_is_always_right(device, dtype, assert_close):
    scores = device.put(np.array([[3.0], [-2.0]]), dtype)
    loss, dscores = ops.softmax_cross_entropy(device.xp, scores, device.put(np.array([0, 0])))
    assert_close(loss, 0.0)
    assert_close(dscores, [[0.0], [0.0]])


@given(n=sizes, c=sizes, seed=seeds)
def test_renaming_the_classes_changes_nothing(n, c, seed):
    rng = np.random.default_rng(seed)
    scores, y = normal(rng, n, c), rng.integers(c, size=n)
    new_name = rng.permutation(c)
    renamed = np.empty_like(scores)
    renamed[:, new_name] = scores
    loss, dscores = ops.softmax_cross_entropy(np, scores, y)
    renamed_loss, renamed_dscores = ops.softmax_cross_entropy(np, renamed, new_name[y])
    np.testing.assert_allclose(renamed_loss, loss, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(renamed_dscores[:, new_name], dscores, rtol=0, atol=1e-15)


@given(n=sizes, c=sizes, seed=seeds, shift=st.floats(-1e6, 1e6))
def test_the_gradient_of_each_row_sums_to_zero_and_no_shift_changes_it(n, c, seed, shift):
    rng = np.random.default_rng(seed)
    scores, y = normal(rng, n, c), rng.integers(c, size=n)
    loss, dscores = ops.softmax_cross_entropy(np, scores, y)
    np.testing.assert_allclose(dscores.sum(axis=1), 0.0, atol=1e-15)
    shifted_loss, shifted_dscores = ops.softmax_cross_entropy(np, scores + shift, y)
    np.testing.assert_allclose(shifted_loss, loss, rtol=0, atol=1e-9)  # scores of 1e6 keep 10 digits
    np.testing.assert_allclose(shifted_dscores, dscores, rtol=0, atol=1e-9)


# All of them


@pytest.mark.parametrize("nets", NETS)
def test_gradients_by_finite_differences(nets):
    """A stack's losses, each with a weight of its own, as one number of all inputs."""
    rng = np.random.default_rng(7)
    x, dy = normal(rng, 5, 4), normal(rng, *nets, 5, 3)
    scores, y = normal(rng, *nets, 5, 3), rng.integers(3, size=(*nets, 5))
    weight = rng.uniform(0.5, 1.5, nets)

    def affine(p):
        return float(np.sum(ops.affine(np, p["x"], p["W"], p["b"])[0] * dy))

    at = {"x": x, "W": normal(rng, *nets, 4, 3), "b": normal(rng, *nets, 3)}
    gradients = dict(zip(at, ops.affine(np, *at.values())[1](dy), strict=True))
    check_gradient(affine, at, gradients, rng)

    def relu(p):
        return float(np.sum(ops.relu(np, p["x"])[0] * dy))

    at = {"x": normal(rng, *nets, 5, 3)}
    gradients = {"x": ops.relu(np, at["x"])[1](dy)}
    check_gradient(relu, at, gradients, rng, pattern=lambda p: [p["x"] > 0])

    def softmax_cross_entropy(p):
        return float(np.sum(weight * ops.softmax_cross_entropy(np, p["scores"], y)[0]))

    dscores = ops.softmax_cross_entropy(np, scores, y)[1]
    gradients = {"scores": weight[..., None, None] * dscores}
    check_gradient(softmax_cross_entropy, {"scores": scores}, gradients, rng)


def test_no_input_is_written_to(device, dtype):
    """On ``numpy-read-only`` a write would raise; elsewhere the values are compared afterwards."""
    rng = np.random.default_rng(8)
    shapes = {"x": (5, 4), "W": (2, 4, 3), "b": (2, 3), "dy": (2, 5, 3), "scores": (2, 5, 3)}
    given_values = {name: normal(rng, *shape).astype(dtype) for name, shape in shapes.items()}
    given_values["y"] = rng.integers(3, size=5)
    a = {name: device.put(value.copy()) for name, value in given_values.items()}

    _, pullback = ops.affine(device.xp, a["x"], a["W"], a["b"])
    pullback(a["dy"])
    _, pullback = ops.relu(device.xp, a["scores"])
    pullback(a["dy"])
    ops.softmax_cross_entropy(device.xp, a["scores"], a["y"])

    for name, value in given_values.items():
        np.testing.assert_array_equal(device.to_host(a[name]), value)
