"""Losses: values and gradients by their definitions, targets of every kind, scores at the edge of float."""

import numpy as np
import pytest
from gradcheck import check_gradient
from hypothesis import given
from hypothesis import strategies as st
from layers import NETS, each, nets_shapes, seeds, sizes

from xpnet.device.by_numpy import FEW
from xpnet.nn.losses import (
    HUBER_DELTA,
    LOSSES,
    OF_OUTPUTS,
    find,
    logistic,
    logistic_cross_entropy,
    multiclass_hinge,
    one_hot,
    relative,
    smooth,
    softmax,
    softmax_cross_entropy,
)

every_nets = pytest.mark.parametrize("nets", NETS)
every_loss = pytest.mark.parametrize("name", list(LOSSES))


def normal(rng, *shape):
    return rng.standard_normal(shape)


def probabilities(rng, *shape):
    """Rows that sum to 1."""
    p = rng.exponential(size=shape)
    return p / p.sum(axis=-1, keepdims=True)


def cross_entropy(scores, Y):
    """Loss and gradient of one network by the definitions (4) and (5), with the softmax divided out."""
    P = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return -(Y * np.log(P)).sum(axis=1).mean(), (P - Y) / len(Y)


def hinge(scores, Y):
    """Loss and gradient of one network by the definition, class by class."""
    loss, dscores = 0.0, np.zeros_like(scores)
    for i, y in enumerate(Y.argmax(axis=1)):
        for j in set(range(scores.shape[1])) - {y}:
            margin = scores[i, j] - scores[i, y] + 1
            loss += max(0.0, margin)
            dscores[i, j] += margin > 0
            dscores[i, y] -= margin > 0
    return loss / len(Y), dscores / len(Y)


DEFINITIONS = {"cross-entropy": cross_entropy, "hinge": hinge}


def assert_by_definition(assert_close, name, result, scores, Y):
    nets = scores.shape[:-2]
    expected = [DEFINITIONS[name](scores[net], np.broadcast_to(Y, scores.shape)[net]) for net in each(nets)]
    assert_close(result[0], np.reshape([value for value, _ in expected], nets))
    assert_close(result[1], np.reshape([d for _, d in expected], scores.shape))


# Both losses


def test_every_loss_has_its_definition_here():
    assert set(LOSSES) == set(DEFINITIONS)


@every_loss
@every_nets
@pytest.mark.parametrize("shared", [False, True])
def test_by_the_definition(device, dtype, assert_close, name, nets, shared):
    rng = np.random.default_rng(0)
    scores = normal(rng, *nets, 6, 4)
    y = rng.integers(4, size=(6,) if shared else (*nets, 6))
    result = LOSSES[name](device.xp, device.put(scores, dtype), device.put(y))
    assert_by_definition(assert_close, name, result, scores, np.eye(4)[y])


@every_loss
@given(nets=nets_shapes, n=sizes, c=sizes, seed=seeds, shared=st.booleans(), soft=st.booleans())
def test_a_stack_is_each_network_alone(name, nets, n, c, seed, shared, soft):
    rng = np.random.default_rng(seed)
    scores = 3.0 * normal(rng, *nets, n, c)
    y = rng.integers(c, size=(n,) if shared else (*nets, n))
    if soft:
        y = np.eye(c)[y] if name == "hinge" else probabilities(rng, *y.shape, c)
    loss, dscores = LOSSES[name](np, scores, y)
    assert loss.shape == nets
    for net in each(nets):
        alone = LOSSES[name](np, scores[net], y if shared else y[net])
        np.testing.assert_allclose(loss[net], alone[0], rtol=1e-14, atol=0)
        np.testing.assert_array_equal(dscores[net], alone[1])


@every_loss
@every_nets
def test_gradients_by_finite_differences(name, nets):
    """A stack's losses, each with a weight of its own, as one number of all scores."""
    rng = np.random.default_rng(1)
    scores, y = normal(rng, *nets, 5, 3), rng.integers(3, size=(*nets, 5))
    weight = rng.uniform(0.5, 1.5, nets)
    label = np.eye(3)[y] > 0

    def loss(p):
        return float(np.sum(weight * LOSSES[name](np, p["scores"], y)[0]))

    def pattern(p):
        return [p["scores"] + 1 > p["scores"][label].reshape(*y.shape, 1)]

    gradients = {"scores": weight[..., None, None] * LOSSES[name](np, scores, y)[1]}
    check_gradient(loss, {"scores": scores}, gradients, rng, pattern=pattern if name == "hinge" else None)


@every_loss
@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "int64"])
def test_any_integers_are_labels(device, dtype, assert_close, name, kind):
    scores, y = normal(np.random.default_rng(2), 4, 3), np.array([2, 0, 1, 1], kind)
    result = LOSSES[name](device.xp, device.put(scores, dtype), device.put(y))
    assert_by_definition(assert_close, name, result, scores, np.eye(3)[y])


@every_loss
@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_more_classes_than_the_labels_integers_can_count(name, kind):
    scores = normal(np.random.default_rng(3), 2, 300)
    expected = LOSSES[name](np, scores, np.array([3, 100]))
    actual = LOSSES[name](np, scores, np.array([3, 100], kind))
    np.testing.assert_array_equal(actual[0], expected[0])
    np.testing.assert_array_equal(actual[1], expected[1])


@every_loss
@given(n=sizes, c=sizes, seed=seeds)
def test_renaming_the_classes_changes_nothing(name, n, c, seed):
    rng = np.random.default_rng(seed)
    scores, y = normal(rng, n, c), rng.integers(c, size=n)
    new_name = rng.permutation(c)
    renamed = np.empty_like(scores)
    renamed[:, new_name] = scores
    loss, dscores = LOSSES[name](np, scores, y)
    renamed_loss, renamed_dscores = LOSSES[name](np, renamed, new_name[y])
    np.testing.assert_allclose(renamed_loss, loss, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(renamed_dscores[:, new_name], dscores, rtol=0, atol=1e-15)


@given(n=sizes, c=sizes, seed=seeds, shift=st.floats(-1e6, 1e6))
def test_the_gradient_of_each_row_sums_to_zero_and_no_shift_changes_it(n, c, seed, shift):
    rng = np.random.default_rng(seed)
    scores, y = normal(rng, n, c), rng.integers(c, size=n)
    for loss_of in LOSSES.values():
        loss, dscores = loss_of(np, scores, y)
        np.testing.assert_allclose(dscores.sum(axis=1), 0.0, atol=2e-15)
        shifted_loss, shifted_dscores = loss_of(np, scores + shift, y)
        np.testing.assert_allclose(shifted_loss, loss, rtol=0, atol=1e-8)  # scores of 1e6 keep 10 digits
        np.testing.assert_allclose(shifted_dscores, dscores, rtol=0, atol=1e-9)


@every_loss
def test_one_class_is_always_right(device, dtype, assert_close, name):
    scores = device.put(np.array([[3.0], [-2.0]]), dtype)
    loss, dscores = LOSSES[name](device.xp, scores, device.put(np.array([0, 0])))
    assert_close(loss, 0.0)
    assert_close(dscores, [[0.0], [0.0]])


@every_loss
@pytest.mark.parametrize("at", [(0, 1), (1, 1)])  # a wrong class and the label
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_show_in_the_loss(device, dtype, name, at, bad):
    scores = np.array([[0.0, 0.5], [0.0, 1.0]])
    scores[at] = bad
    loss, _ = LOSSES[name](device.xp, device.put(scores, dtype), device.put(np.array([0, 1])))
    assert not np.isfinite(device.to_host(loss))


@every_loss
@pytest.mark.parametrize("soft", [False, True])
def test_no_input_is_written_to(device, dtype, name, soft):
    """On ``numpy-read-only`` a write would raise; elsewhere the values are compared afterwards."""
    rng = np.random.default_rng(4)
    scores, y = normal(rng, 2, 5, 3).astype(dtype), rng.integers(3, size=5)
    target = np.eye(3, dtype=dtype)[y] if soft else y
    on_device = device.put(scores.copy()), device.put(target.copy())
    LOSSES[name](device.xp, *on_device)
    softmax(device.xp, on_device[0])
    if soft:
        smooth(device.xp, on_device[1], device.put(np.array([0.1, 0.2], dtype)))
    for actual, expected in zip(on_device, (scores, target), strict=True):
        np.testing.assert_array_equal(device.to_host(actual), expected)


# Softmax cross-entropy


@every_nets
def test_softmax_by_its_definition(device, dtype, assert_close, nets):
    scores = normal(np.random.default_rng(5), *nets, 5, 4)
    expected = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    assert_close(softmax(device.xp, device.put(scores, dtype)), expected)
    far = device.put(scores + 1000.0, dtype)
    assert_close(softmax(device.xp, far), expected, rtol=1e-4 if dtype == "float32" else 1e-12)


@every_nets
@pytest.mark.parametrize("shared", [False, True])
def test_soft_targets_by_the_definition(device, dtype, assert_close, nets, shared):
    rng = np.random.default_rng(6)
    scores = normal(rng, *nets, 6, 4)
    Y = probabilities(rng, 6, 4) if shared else probabilities(rng, *nets, 6, 4)
    result = softmax_cross_entropy(device.xp, device.put(scores, dtype), device.put(Y, dtype))
    assert_by_definition(assert_close, "cross-entropy", result, scores, Y)


@every_nets
def test_gradients_of_soft_and_smoothed_targets_by_finite_differences(nets):
    rng = np.random.default_rng(7)
    scores, y, strength = normal(rng, *nets, 5, 3), rng.integers(3, size=5), rng.uniform(0.1, 0.5, nets)
    smoothed = smooth(np, one_hot(np, y, scores), strength)
    for target in (smoothed, probabilities(rng, *nets, 5, 3), probabilities(rng, 5, 3)):

        def loss(p, target=target):
            return float(np.sum(softmax_cross_entropy(np, p["scores"], target)[0]))

        check_gradient(
            loss, {"scores": scores}, {"scores": softmax_cross_entropy(np, scores, target)[1]}, rng
        )


def test_labels_and_their_one_hot_rows_give_the_same_bits(device, dtype):
    rng = np.random.default_rng(8)
    scores, y = device.put(normal(rng, 2, 5, 3), dtype), rng.integers(3, size=5)
    for loss_of in LOSSES.values():
        hard = loss_of(device.xp, scores, device.put(y))
        soft = loss_of(device.xp, scores, device.put(np.eye(3)[y], dtype))
        for a, b in zip(hard, soft, strict=True):
            np.testing.assert_array_equal(device.to_host(a), device.to_host(b))


def test_scores_of_ten_thousand_overflow_nothing(device, dtype, assert_close):
    scores = np.array([[1e4, 0.0, -1e4], [-1e4, 1e4, 1e4]])
    loss, dscores = softmax_cross_entropy(device.xp, device.put(scores, dtype), device.put(np.array([2, 1])))
    # Row by row: 20000 below the winner; one of two equal winners, log 2.
    assert_close(loss, (2e4 + np.log(2.0)) / 2)
    assert_close(dscores, [[0.5, 0.0, -0.5], [0.0, -0.25, 0.25]])


def test_scores_without_a_chance(device, dtype, assert_close):
    scores = np.array([[0.0, -np.inf, 0.0], [-np.inf, 1.0, -np.inf]])
    loss, dscores = softmax_cross_entropy(device.xp, device.put(scores, dtype), device.put(np.array([0, 1])))
    assert_close(loss, np.log(2.0) / 2)
    assert_close(dscores, [[-0.25, 0.0, 0.25], [0.0, 0.0, 0.0]])


def test_a_label_without_a_chance_costs_infinitely_much(device, dtype):
    scores = device.put(np.array([[0.0, -np.inf]]), dtype)
    loss, dscores = softmax_cross_entropy(device.xp, scores, device.put(np.array([1])))
    assert device.to_host(loss) == np.inf
    np.testing.assert_array_equal(device.to_host(dscores), [[1.0, -1.0]])


# Targets


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_one_hot(device, dtype, assert_close, shape):
    y = np.random.default_rng(9).integers(4, size=shape)
    like = device.put(np.zeros(4), dtype)
    assert_close(one_hot(device.xp, device.put(y), like), np.eye(4)[y])
    assert_close(one_hot(device.xp, device.put(np.array([-1, 4])), like), np.zeros((2, 4)))  # no class


@every_nets
@pytest.mark.parametrize("shared", [False, True])
def test_smoothing_gives_every_class_its_part(device, dtype, assert_close, nets, shared):
    rng = np.random.default_rng(10)
    Y = np.eye(4)[rng.integers(4, size=(5,) if shared else (*nets, 5))]
    strength = rng.uniform(0.1, 0.9, nets)
    s = strength[..., None, None]
    expected = np.where(Y == 1, 1 - s + s / 4, s / 4)
    assert_close(smooth(device.xp, device.put(Y, dtype), device.put(strength, dtype)), expected)


def test_smoothing_of_no_strength_changes_no_bit(device, dtype):
    Y = probabilities(np.random.default_rng(11), 5, 3).astype(dtype)
    smoothed = device.to_host(smooth(device.xp, device.put(Y), device.put(np.array([0.0, 0.1]), dtype)))
    np.testing.assert_array_equal(smoothed[0], Y)
    assert np.all(smoothed[1] != Y)
    np.testing.assert_allclose(smoothed.sum(axis=-1), 1.0, rtol=1e-6)


# Hinge


def test_hinge_by_hand(device, dtype, assert_close):
    """Margins (·, 3, -1), of which one counts, and (1.5, ·, 2.5): a loss of (3 + 4) / 2."""
    scores = np.array([[1.0, 3.0, -1.0], [0.5, 0.0, 1.5]])
    loss, dscores = multiclass_hinge(device.xp, device.put(scores, dtype), device.put(np.array([0, 1])))
    assert_close(loss, 3.5)
    assert_close(dscores, [[-0.5, 0.5, 0.0], [0.5, -1.0, 0.5]])


def test_a_margin_of_one_is_enough(device, dtype, assert_close):
    """At the kink itself the gradient is 0."""
    scores = device.put(np.array([[2.0, 1.0, -5.0]]), dtype)
    loss, dscores = multiclass_hinge(device.xp, scores, device.put(np.array([0])))
    assert_close(loss, 0.0)
    assert_close(dscores, np.zeros((1, 3)))


# Losses of outputs


def logistic_definition(scores, T):
    P = 1 / (1 + np.exp(-scores))
    return -(T * np.log(P) + (1 - T) * np.log(1 - P)).sum(axis=1).mean(), (P - T) / len(T)


def squared_definition(scores, T):
    return ((scores - T) ** 2).sum(axis=1).mean() / 2, (scores - T) / len(T)


def absolute_definition(scores, T):
    return np.abs(scores - T).sum(axis=1).mean(), np.sign(scores - T) / len(T)


def huber_definition(scores, T):
    d = scores - T
    near = np.abs(d) <= HUBER_DELTA
    loss = np.where(near, d**2 / 2, HUBER_DELTA * (np.abs(d) - HUBER_DELTA / 2))
    return loss.sum(axis=1).mean(), np.where(near, d, HUBER_DELTA * np.sign(d)) / len(T)


def poisson_definition(scores, T):
    P = np.exp(scores)
    return (T * np.log(T / P) - T + P).sum(axis=1).mean(), (P - T) / len(T)


OF_OUTPUTS_DEFINITIONS = {
    "logistic": logistic_definition,
    "squared-error": squared_definition,
    "absolute-error": absolute_definition,
    "huber": huber_definition,
    "poisson": poisson_definition,
}

every_loss_of_outputs = pytest.mark.parametrize("name", list(OF_OUTPUTS))


def test_every_loss_of_outputs_has_its_definition_here():
    assert set(OF_OUTPUTS) == set(OF_OUTPUTS_DEFINITIONS)


def test_losses_are_found_by_their_names():
    assert {name: find(name) for name in (*LOSSES, *OF_OUTPUTS)} == {**LOSSES, **OF_OUTPUTS}
    with pytest.raises(KeyError):
        find("no loss")


@every_loss_of_outputs
@every_nets
@pytest.mark.parametrize("shared", [False, True])
def test_losses_of_outputs_by_the_definition(device, dtype, assert_close, name, nets, shared):
    rng = np.random.default_rng(12)
    scores, T = normal(rng, *nets, 6, 4), rng.uniform(size=(6, 4) if shared else (*nets, 6, 4))
    loss, dscores = OF_OUTPUTS[name](device.xp, device.put(scores, dtype), device.put(T, dtype))
    T = np.broadcast_to(T, scores.shape)
    expected = [OF_OUTPUTS_DEFINITIONS[name](scores[net], T[net]) for net in each(nets)]
    assert_close(loss, np.reshape([value for value, _ in expected], nets))
    assert_close(dscores, np.reshape([d for _, d in expected], scores.shape))


@every_loss_of_outputs
@every_nets
def test_losses_of_outputs_by_finite_differences(name, nets):
    rng = np.random.default_rng(13)
    scores, T, weight = normal(rng, *nets, 5, 3), rng.uniform(size=(5, 3)), rng.uniform(size=(*nets, 5))
    for w in (None, weight):

        def loss(p, w=w):
            return float(np.sum(OF_OUTPUTS[name](np, p["scores"], T, w)[0]))

        check_gradient(loss, {"scores": scores}, {"scores": OF_OUTPUTS[name](np, scores, T, w)[1]}, rng)


def test_losses_of_outputs_at_their_kinks(device, dtype, assert_close):
    """The target met, a distance of 1 and beyond; a count of 0, of which the logarithm is never taken."""
    scores = device.put(np.array([[0.0, 1.0, -3.0]]), dtype)
    target = device.put(np.zeros((1, 3)), dtype)
    expected = {
        "absolute-error": (4.0, [[0.0, 1.0, -1.0]]),
        "huber": (0.5 + 2.5, [[0.0, 1.0, -1.0]]),
        "poisson": (1.0 + np.e + np.exp(-3.0), [[1.0, np.e, np.exp(-3.0)]]),
    }
    for name, (value, gradient) in expected.items():
        loss, dscores = find(name)(device.xp, scores, target)
        assert_close(loss, value)
        assert_close(dscores, gradient)


def test_what_the_losses_of_numbers_are_least_at():
    """Of one score for all rows: the mean, the median, the logarithm of the mean."""
    T = np.array([[0.0], [0.5], [10.0]])
    for name, least in (("squared-error", 3.5), ("absolute-error", 0.5), ("poisson", np.log(3.5))):
        _, dscores = find(name)(np, np.full((3, 1), least), T)
        np.testing.assert_allclose(dscores.sum(), 0.0, atol=1e-12)


def test_one_output_is_the_cross_entropy_of_two_classes():
    rng = np.random.default_rng(14)
    scores, y = normal(rng, 6, 1), rng.integers(2, size=6)
    both = np.concatenate([np.zeros_like(scores), scores], axis=1)
    of_two, of_one = softmax_cross_entropy(np, both, y), logistic_cross_entropy(np, scores, y[:, None] * 1.0)
    np.testing.assert_allclose(of_one[0], of_two[0], rtol=1e-14)
    np.testing.assert_allclose(of_one[1][:, 0], of_two[1][:, 1], rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logistic_scores_far_from_zero_overflow_nothing(dtype):
    """Plain NumPy, outside a device's context: an overflow on the way would be a warning, so an error."""
    scores = np.array([[1e4], [-1e4], [1e4]], dtype)
    loss, dscores = logistic_cross_entropy(np, scores, np.array([[1.0], [0.0], [0.0]], dtype))
    np.testing.assert_allclose(loss, 1e4 / 3, rtol=1e-6)
    np.testing.assert_allclose(dscores, np.array([[0.0], [0.0], [1 / 3]]), rtol=1e-6)
    np.testing.assert_array_equal(logistic(np, scores)[:, 0], [1.0, 0.0, 1.0])


# Weights of rows


every_loss_at_all = pytest.mark.parametrize("name", [*LOSSES, *OF_OUTPUTS])


def target_of(name, rng, *shape):
    """Labels in 3 classes or numbers for 3 outputs, of rows ``shape``."""
    return rng.integers(3, size=shape) if name in LOSSES else rng.uniform(size=(*shape, 3))


@every_loss_at_all
@every_nets
@pytest.mark.parametrize("shared", [False, True])
def test_a_row_of_weight_n_is_n_rows(device, dtype, assert_close, name, nets, shared):
    rng = np.random.default_rng(15)
    scores, weight = normal(rng, *nets, 4, 3), np.array([2, 0, 1, 3])
    target = target_of(name, rng, 4)
    expected, of_repeated = find(name)(np, scores.repeat(weight, axis=-2), target.repeat(weight, axis=0))
    weights = device.put(weight if shared else np.broadcast_to(weight, (*nets, 4)), dtype)
    put = [device.put(scores, dtype), device.put(target, None if name in LOSSES else dtype)]
    over_rows, _ = find(name)(device.xp, *put, weights)
    assert_close(over_rows, expected * 6 / 4)  # six rows in the place of four
    loss, dscores = find(name)(device.xp, *put, relative(device.xp, weights))
    assert_close(loss, expected)
    starts = np.array([0, 2, 3])  # of the rows whose weight is above 0 among the repeated
    gradient = np.zeros_like(scores)
    gradient[..., [0, 2, 3], :] = np.add.reduceat(of_repeated, starts, axis=-2)
    assert_close(dscores, gradient)


@every_loss_at_all
def test_a_stack_of_weights_is_each_network_alone(name):
    rng = np.random.default_rng(16)
    scores, weight, target = normal(rng, 3, 5, 3), rng.uniform(size=(3, 5)), target_of(name, rng, 3, 5)
    loss, dscores = find(name)(np, scores, target, weight)
    for net in range(3):
        alone = find(name)(np, scores[net], target[net], weight[net])
        np.testing.assert_allclose(loss[net], alone[0], rtol=1e-14)
        np.testing.assert_array_equal(dscores[net], alone[1])


@every_loss_at_all
def test_a_row_weighs_the_same_whatever_is_beside_it(name):
    """Or those of a class would have another share in each batch, and all the same alone."""
    rng = np.random.default_rng(19)
    scores, target, weight = normal(rng, 6, 3), target_of(name, rng, 6), np.array([5.0, 0.2, 0, 1, 1, 0.4])
    loss, dscores = find(name)(np, scores, target, weight)
    by_row = [find(name)(np, scores[k : k + 1], target[k : k + 1], weight[k : k + 1]) for k in range(6)]
    np.testing.assert_allclose(loss, np.mean([of_row for of_row, _ in by_row]), rtol=1e-13)
    np.testing.assert_allclose(dscores, np.concatenate([of_row for _, of_row in by_row]) / 6, rtol=1e-13)


@every_loss_at_all
def test_rows_without_weight_have_no_loss(device, dtype, assert_close, name):
    rng = np.random.default_rng(17)
    target = device.put(target_of(name, rng, 4), None if name in LOSSES else dtype)
    scores, weight = device.put(normal(rng, 4, 3), dtype), device.put(np.zeros(4), dtype)
    for as_given in (weight, relative(device.xp, weight)):
        loss, dscores = find(name)(device.xp, scores, target, as_given)
        assert_close(loss, 0.0)
        assert_close(dscores, np.zeros((4, 3)))


@every_loss_at_all
def test_no_weight_is_written_to(device, dtype, name):
    rng = np.random.default_rng(18)
    given = [normal(rng, 5, 3).astype(dtype), target_of(name, rng, 5), rng.uniform(size=5).astype(dtype)]
    given[1] = given[1] if name in LOSSES else given[1].astype(dtype)
    on_device = [device.put(a.copy()) for a in given]
    find(name)(device.xp, *on_device)
    for actual, expected in zip(on_device, given, strict=True):
        np.testing.assert_array_equal(device.to_host(actual), expected)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, multiclass_hinge])
@pytest.mark.parametrize("shape", [(200, 3), (3, 200), (200, FEW), (200, FEW + 1), (2, 70, 3), (2, 3, 70)])
def test_how_many_classes_there_are_makes_no_difference(device, dtype, assert_close, loss, shape):
    """Few are laid out in another order than many, and so than a row alone."""
    rng = np.random.default_rng(3)
    scores = rng.standard_normal(shape)
    y = rng.integers(0, shape[-1], shape[:-1])
    value, dscores = loss(device.xp, device.put(scores, dtype), device.put(y))
    rows = zip(scores.reshape(-1, 1, shape[-1]), y.reshape(-1, 1), strict=True)
    rows = [loss(np, row, label) for row, label in rows]
    assert_close(value, np.mean(np.reshape([v for v, _ in rows], shape[:-1]), axis=-1))
    assert_close(dscores, np.reshape([d[0] for _, d in rows], shape) / shape[-2])
