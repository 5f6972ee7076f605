"""What the tests of layers share: stacks, gradient checks, and that nothing given is written to.

A layer is ``layer(xp, *arrays)`` here: it returns its value and a pullback to a gradient for each array.
"""

import numpy as np
from gradcheck import check_gradient
from hypothesis import strategies as st

NETS = [(), (3,), (2, 3)]
"""Leading axes: one network, a stack, a stack of stacks."""

sizes = st.integers(1, 5)
nets_shapes = st.lists(st.integers(1, 3), max_size=2).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def each(nets):
    """Every index of the leading axes."""
    return list(np.ndindex(nets))


def check_layer(layer, at, rng, *, pattern=None):
    """Check the gradients of ``layer`` by finite differences at the arrays ``at``, in the layer's order."""
    y, pullback = layer(np, *at.values())
    dy = rng.standard_normal(y.shape)
    gradients = dict(zip(at, pullback(dy), strict=True))
    check_gradient(
        lambda p: float(np.sum(layer(np, *p.values())[0] * dy)), at, gradients, rng, pattern=pattern
    )


def assert_each_alone(layer, nets, arrays, rng):
    """Value and gradients of a stack are those of each network alone, to the bit."""
    y, pullback = layer(np, *arrays)
    dy = rng.standard_normal(y.shape).astype(y.dtype)
    together = (y, *pullback(dy))
    for net in each(nets):
        alone, pullback_alone = layer(np, *(a[net] for a in arrays))
        for actual, expected in zip(together, (alone, *pullback_alone(dy[net])), strict=True):
            np.testing.assert_array_equal(actual[net], expected)


def assert_writes_nothing(device, layer, arrays, rng):
    """Neither a layer nor its pullback writes to what it is given, nor to what a second call needs.

    On ``numpy-read-only`` a write would raise; elsewhere the values are compared afterwards.
    """
    given = [device.put(a.copy()) for a in arrays]
    y, pullback = layer(device.xp, *given)
    value = device.to_host(y).copy()
    dy = rng.standard_normal(value.shape).astype(value.dtype)
    on_device = device.put(dy.copy())
    first = [device.to_host(g).copy() for g in pullback(on_device)]
    second = [device.to_host(g) for g in pullback(on_device)]
    for actual, expected in zip((*given, on_device, y), (*arrays, dy, value), strict=True):
        np.testing.assert_array_equal(device.to_host(actual), expected)
    for actual, expected in zip(second, first, strict=True):
        np.testing.assert_array_equal(actual, expected)
