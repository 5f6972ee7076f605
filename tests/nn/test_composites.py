"""What a device may put in the place of several operations."""

import types

import numpy as np

from xpnet.nn.composites import composite, elementwise, elementwise_layer


@composite
def twice(_xp, x):
    """Return twice as much."""
    return x + x


@elementwise
def grown(_xp, x, by):
    x += by
    return x


@elementwise_layer
def squared(_xp, x):
    x += 1.0
    return x * x, lambda dy: (2.0 * x * dy,)


def test_the_definition_runs_where_nothing_is_in_its_place():
    for xp in (np, types.SimpleNamespace(), types.SimpleNamespace(composites={"other": None})):
        assert twice(xp, 3.0) == 6.0
        assert grown(xp, np.array([1.0]), 2.0) == 3.0
        y, pullback = squared(xp, np.array([1.0]))
        assert (y, *pullback(1.0)) == (4.0, 4.0)
    assert twice.__doc__ == "Return twice as much."


def test_a_composite_is_the_devices_by_its_name_and_without_the_namespace():
    xp = types.SimpleNamespace(composites={"twice": lambda *args: ("own", args)})
    assert twice(xp, 3.0) == ("own", (3.0,))


def test_element_wise_functions_are_handed_over_with_their_arguments():
    calls = []

    def fuse(function, args, writes=True):
        calls.append((args, writes))
        return function(np, *(a.copy() if isinstance(a, np.ndarray) else a for a in args))

    xp, x = types.SimpleNamespace(composites={"elementwise": fuse}), np.array([1.0])
    assert grown(xp, x, 2.0) == 3.0
    assert calls == [((x, 2.0), True)]


def test_a_fused_layer_computes_again_and_changes_nothing():
    calls = []

    def fuse(function, args, writes=True):
        calls.append((function.__qualname__, writes))
        return function(np, *(a.copy() if isinstance(a, np.ndarray) else a for a in args))

    x = np.array([1.0])
    y, pullback = squared(types.SimpleNamespace(composites={"elementwise": fuse}), x)
    (dx,) = pullback(np.array([0.5]))
    assert (y, dx, x) == (4.0, 2.0, 1.0)
    assert [writes for _, writes in calls] == [False, False]


def test_a_device_may_leave_it_to_the_definition():
    xp = types.SimpleNamespace(composites={"twice": lambda x: NotImplemented if x > 2 else "own"})
    assert (twice(xp, 3.0), twice(xp, 1.0)) == (6.0, "own")
