"""Normalisation: values and gradients by the definition, the running statistics, and what has no spread."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from layers import NETS, assert_each_alone, assert_writes_nothing, check_layer, nets_shapes, seeds, sizes

from xpnet.nn.norms import STATISTICS_RATE, batch_norm, batch_norm_fixed, layer_norm

EPSILON = 1e-5
NORMS = [batch_norm, batch_norm_fixed, layer_norm]
every_norm = pytest.mark.parametrize("norm", NORMS)
every_nets = pytest.mark.parametrize("nets", NETS)


def draw(norm, rng, *nets_and_shape, dtype="float64"):
    """``x``, gain, shift and, for a batch norm, running mean and variance."""
    *nets, _, units = nets_and_shape
    x = 0.5 + 2.0 * rng.standard_normal(nets_and_shape)
    gain, shift = 1.0 + 0.3 * rng.standard_normal((2, *nets, units))
    statistics = (rng.standard_normal((*nets, units)), rng.uniform(0.5, 2.0, (*nets, units)))
    arrays = (x, gain, shift) if norm is layer_norm else (x, gain, shift, *statistics)
    return [array.astype(dtype) for array in arrays]


def learnt(norm):
    """The layer of ``x``, gain and shift alone, whose pullback has nothing but gradients."""

    def layer(xp, x, gain, shift, *statistics):
        y, pullback = norm(xp, x, gain, shift, *statistics)
        return y, lambda dy: pullback(dy)[:3]

    return layer


def by_definition(x, gain, dy, axis):
    """``x̂`` and ``dx`` of a batch or layer norm, by the whole Jacobian of each group of values."""
    x, d = np.moveaxis(x, axis, -1), np.moveaxis(dy * gain[..., None, :], axis, -1)
    n = x.shape[-1]
    sigma = np.sqrt(x.var(axis=-1) + EPSILON)[..., None]
    normal = (x - x.mean(axis=-1)[..., None]) / sigma
    # ∂x̂_i / ∂x_j = (δ_ij - 1/n - x̂_i x̂_j / n) / σ
    jacobian = (np.eye(n) - 1 / n - normal[..., :, None] * normal[..., None, :] / n) / sigma[..., None]
    dx = np.einsum("...ij,...i->...j", jacobian, d)
    return np.moveaxis(normal, -1, axis), np.moveaxis(dx, -1, axis)


# Values and gradients


@every_nets
@pytest.mark.parametrize(("norm", "axis"), [(batch_norm, -2), (layer_norm, -1)])
def test_by_the_definition(device, dtype, assert_close, norm, axis, nets):
    rng = np.random.default_rng(0)
    arrays = draw(norm, rng, *nets, 6, 5)
    x, gain, shift = arrays[:3]
    dy = rng.standard_normal(x.shape)
    y, pullback = norm(device.xp, *(device.put(a, dtype) for a in arrays))
    dx, dgain, dshift = pullback(device.put(dy, dtype))[:3]

    normal, expected = by_definition(x, gain, dy, axis)
    assert_close(y, normal * gain[..., None, :] + shift[..., None, :])
    assert_close(dx, expected)
    assert_close(dgain, (dy * normal).sum(axis=-2))
    assert_close(dshift, dy.sum(axis=-2))


@every_nets
def test_at_evaluation_batch_norm_is_affine_in_each_unit(device, dtype, assert_close, nets):
    rng = np.random.default_rng(1)
    arrays = draw(batch_norm_fixed, rng, *nets, 6, 5)
    x, gain, shift, mean, variance = (a if a.ndim > len(nets) + 1 else a[..., None, :] for a in arrays)
    dy = rng.standard_normal(x.shape)
    y, pullback = batch_norm_fixed(device.xp, *(device.put(a, dtype) for a in arrays))
    dx, dgain, dshift, dmean, dvariance = pullback(device.put(dy, dtype))

    sigma = np.sqrt(variance + EPSILON)
    assert_close(y, gain * (x - mean) / sigma + shift)
    assert_close(dx, dy * gain / sigma)
    assert_close(dgain, (dy * (x - mean) / sigma).sum(axis=-2))
    assert_close(dshift, dy.sum(axis=-2))
    assert_close(dmean, np.zeros((*nets, 5)))  # evaluation moves no statistics
    assert_close(dvariance, np.zeros((*nets, 5)))


@every_norm
@every_nets
def test_gradients_by_finite_differences(norm, nets):
    rng = np.random.default_rng(2)
    x, gain, shift, *statistics = draw(norm, rng, *nets, 5, 4)

    def layer(xp, x, gain, shift):
        return learnt(norm)(xp, x, gain, shift, *statistics)

    check_layer(layer, {"x": x, "gain": gain, "shift": shift}, rng)


@every_nets
@pytest.mark.parametrize("rows", [1, 2, 6])
def test_the_last_two_of_a_batch_norm_move_the_running_statistics(device, dtype, assert_close, nets, rows):
    rng = np.random.default_rng(3)
    arrays = draw(batch_norm, rng, *nets, rows, 5)
    x, _, _, mean, variance = arrays
    dy = device.put(rng.standard_normal(x.shape), dtype)
    _, pullback = batch_norm(device.xp, *(device.put(a, dtype) for a in arrays))
    *_, dmean, dvariance = pullback(dy)

    unbiased = x.var(axis=-2, ddof=1) if rows > 1 else np.zeros((*nets, 5))
    assert_close(dmean, mean - x.mean(axis=-2))
    assert_close(dvariance, variance - unbiased)
    # What the step makes of it: a tenth of the way.
    moved = mean - STATISTICS_RATE * device.to_host(dmean).astype("float64")
    np.testing.assert_allclose(moved, 0.9 * mean + 0.1 * x.mean(axis=-2), atol=1e-6)


def test_fixed_statistics_of_a_batch_give_what_training_gives():
    rng = np.random.default_rng(4)
    x, gain, shift, *others = draw(batch_norm, rng, 3, 8, 5)
    own = x.mean(axis=-2), x.var(axis=-2)
    in_training = batch_norm(np, x, gain, shift, *others)[0]
    np.testing.assert_allclose(batch_norm_fixed(np, x, gain, shift, *own)[0], in_training, rtol=1e-12)


@given(n=sizes, units=sizes, seed=seeds)
def test_a_row_has_the_same_bits_in_any_batch_but_for_batch_norm_in_training(n, units, seed):
    rng = np.random.default_rng(seed)
    for norm in (batch_norm_fixed, layer_norm):
        x, *others = draw(norm, rng, n, units)
        together = norm(np, x, *others)[0]
        for i in range(n):
            np.testing.assert_array_equal(norm(np, x[i : i + 1], *others)[0], together[i : i + 1])


@given(seed=seeds)
def test_neither_scale_nor_offset_of_the_input_changes_anything(seed):
    rng = np.random.default_rng(seed)
    for norm, along in ((batch_norm, (1, 4)), (layer_norm, (6, 1))):
        x, *others = draw(norm, rng, 6, 4)
        scale, offset = rng.uniform(1e2, 1e3, along), rng.standard_normal(along)  # so that ε is nothing
        y = norm(np, 1e3 * x, *others)[0]
        np.testing.assert_allclose(norm(np, 1e3 * scale * x + offset, *others)[0], y, atol=1e-8)


# Stacks


@every_norm
@given(nets=nets_shapes, n=sizes, units=sizes, seed=seeds)
def test_a_stack_is_each_network_alone(norm, nets, n, units, seed):
    rng = np.random.default_rng(seed)
    assert_each_alone(norm, nets, draw(norm, rng, *nets, n, units), rng)


@every_norm
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_has_the_same_bits_in_any_stack(norm, dtype):
    """Of sizes at which sums are split and their edges treated apart."""
    rng = np.random.default_rng(5)
    for nets, batch, units in itertools.product([(2,), (5,), (2, 3)], (2, 9, 130), (1, 2, 17, 300)):
        assert_each_alone(norm, nets, draw(norm, rng, *nets, batch, units, dtype=dtype), rng)


@every_norm
def test_no_input_is_written_to(device, dtype, norm):
    rng = np.random.default_rng(6)
    assert_writes_nothing(device, norm, draw(norm, rng, 2, 5, 3, dtype=dtype), rng)


# What has no spread, and what has little


@every_nets
def test_columns_without_spread_become_the_shift(device, dtype, assert_close, nets):
    rng = np.random.default_rng(7)
    x, gain, shift, *statistics = draw(batch_norm, rng, *nets, 4, 3)
    x[..., 1] = 5.0
    dy = rng.standard_normal(x.shape)
    put = [device.put(a, dtype) for a in (x, gain, shift, *statistics)]
    y, pullback = batch_norm(device.xp, *put)
    grads = pullback(device.put(dy, dtype))
    assert_close(y[..., 1], np.broadcast_to(shift[..., None, 1], (*nets, 4)))
    assert all(np.all(np.isfinite(device.to_host(g))) for g in grads)
    # The other columns are as they would be without it.
    assert_close(grads[0][..., :1], by_definition(x, gain, dy, -2)[1][..., :1])


@pytest.mark.parametrize(("norm", "shape"), [(batch_norm, (1, 4)), (layer_norm, (4, 1))])
@every_nets
def test_a_single_value_becomes_the_shift_and_has_no_gradient(device, dtype, assert_close, norm, shape, nets):
    rng = np.random.default_rng(8)
    arrays = draw(norm, rng, *nets, *shape)
    y, pullback = norm(device.xp, *(device.put(a, dtype) for a in arrays))
    dx, dgain, *others = pullback(device.put(rng.standard_normal(y.shape), dtype))
    assert_close(y, np.broadcast_to(arrays[2][..., None, :], y.shape))
    assert_close(dx, np.zeros(dx.shape))
    assert_close(dgain, np.zeros(dgain.shape))
    assert all(np.all(np.isfinite(device.to_host(g))) for g in others)


@pytest.mark.parametrize("norm", [batch_norm, layer_norm])
def test_little_spread_far_from_zero(device, norm):
    """Spread 1 at 1000 in float32: as a difference of mean squares the variance would be noise."""
    rng = np.random.default_rng(9)
    x = (1000.0 + rng.standard_normal((64, 48))).astype("float32")
    others = [a.astype("float32") for a in draw(norm, rng, 64, 48)[1:]]
    y, _ = norm(device.xp, *(device.put(a) for a in (x, *others)))
    expected, _ = norm(np, *(a.astype("float64") for a in (x, *others)))
    np.testing.assert_allclose(device.to_host(y), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@every_norm
def test_what_is_no_number_shows(device, dtype, norm, bad):
    x, *others = draw(norm, np.random.default_rng(10), 4, 3)
    x[1, 2] = bad
    y, _ = norm(device.xp, *(device.put(a, dtype) for a in (x, *others)))
    assert not np.isfinite(device.to_host(y)[1, 2])
