"""A network of a stack is the network that the same settings train alone.

Each network has its own matrix products, the same calls with the same numbers, and so to the bit the same
result in either precision. For shared batches this file only asks for 1e-12 of the largest weight in
float64 and 1e-5 in float32; to the bit they are held to it in test_ops.py, layer by layer, and in
test_sweep_cli.py, by an unstable network in stacks of two sizes and alone.
"""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeps import BASE, alone, assert_close, assert_same, blobs, results, stacked

from xpnet import sweep

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}

settings = st.fixed_dictionaries(
    {
        "learning_rate": st.floats(0.01, 0.5),
        "learning_rate_decay": st.floats(0.8, 1.0),
        "reg": st.floats(0.0, 0.1),
        "init_std": st.floats(0.05, 0.5),
        "seed": st.integers(0, 2**64 - 1),
    }
)
# Of different seeds, because networks of one seed draw the same batches, and so share them.
points = st.lists(settings, min_size=2, max_size=5, unique_by=lambda point: point["seed"])


def shapes(least):
    """Settings that all networks of a stack have in common, with no size below ``least``."""
    return st.fixed_dictionaries(
        {
            "hidden": st.lists(st.integers(least, 20), max_size=2).map(tuple),
            "iterations": st.integers(1, 12),
            "batch_size": st.integers(least, 13),
            "sampling": st.sampled_from(["replacement", "shuffle"]),
        }
    )


def check_stack(points, common, share_batches, dtype, check):
    """Train networks both ways and compare all that is said of them, parameters by ``check``."""
    configs = sweep.configs(points, dataclasses.replace(BASE, dtype=dtype, **common), share_batches)
    data = blobs()
    outcome = stacked(configs, data)
    for number, config in enumerate(configs):
        single, row, trained = alone(config, data), outcome.rows[number], outcome.trained[number]
        check(trained.params, single.params)
        assert row["network"] == number
        assert row["status"] == single.summary["status"] == "finished"
        assert row["steps"] == single.summary["steps"]
        # Losses are only looked at; their sums may be taken in another order.
        rtol = 10 * TOLERANCE[dtype]
        history = single.result.history
        np.testing.assert_allclose(trained.history.losses, history.losses, rtol)
        for actual, expected in zip(trained.history.rows, history.rows, strict=True):
            np.testing.assert_allclose(actual[:6], expected[:6], rtol)
            assert actual.val_accuracy == expected.val_accuracy
        for part in ("train_accuracy", "val_accuracy"):
            assert row[part] == single.summary[part]


@pytest.mark.parametrize("dtype", TOLERANCE)
@given(points=points, common=shapes(1))
def test_with_shared_batches_to_rounding(dtype, points, common):
    def check(actual, expected):
        assert_close(actual, expected, TOLERANCE[dtype])

    check_stack(points, common, True, dtype, check)


# No batch and no layer of one: NumPy finds those rows and columns at other strides in a stack than
# alone, and hands their products to another BLAS routine.
@pytest.mark.parametrize("dtype", TOLERANCE)
@given(points=points, common=shapes(2))
def test_with_own_batches_to_the_bit(dtype, points, common):
    check_stack(points, common, False, dtype, assert_same)


# Networks that diverge

# With a learning rate of 1 every step multiplies the weights by about -reg, so the penalty leaves the
# range of float64 after 52, 26, 13 and 6 of the 60 steps: in the last epochs, the middle, the first.
CALM, BURSTS = 1e-2, (1e3, 1e6, 1e12, 1e25)
regs = st.lists(st.sampled_from([CALM, *BURSTS]), min_size=2, max_size=5)


def bursting(regs, share_batches):
    points = [{"reg": reg, "seed": seed} for seed, reg in enumerate(regs)]
    base = dataclasses.replace(BASE, iterations=60, learning_rate=1.0, learning_rate_decay=1.0)
    return sweep.configs(points, base, share_batches)


@given(regs=regs)
@hypothesis.settings(max_examples=20)
def test_a_network_that_diverges_is_frozen_as_it_is_alone(regs):
    configs, data = bursting(regs, share_batches=False), blobs()
    outcome = stacked(configs, data)
    for number, config in enumerate(configs):
        row, trained = outcome.rows[number], outcome.trained[number]
        single = alone(config, data)
        assert (
            row["status"] == single.summary["status"] == ("finished" if regs[number] == CALM else "diverged")
        )
        assert row["steps"] == np.isfinite(single.result.history.losses).sum()
        assert_same(trained.params, single.params)
        assert all(np.isfinite(value).all() for value in trained.params.values())
        # All that is said of it, its curve included, is the same as from a stack of its own.
        by_itself = stacked([config], data)
        assert results([row]) == results([by_itself.rows[0] | {"network": number}])
        np.testing.assert_array_equal(trained.history.losses, by_itself.trained[0].history.losses)
        assert [r[:4] for r in trained.history.rows] == [r[:4] for r in by_itself.trained[0].history.rows]


@pytest.mark.parametrize("share_batches", [True, False])
def test_a_network_that_diverges_does_not_disturb_the_others(share_batches):
    calm = stacked(bursting([CALM] * 5, share_batches), blobs())
    outcome = stacked(bursting([CALM, 1e25, CALM, 1e3, CALM], share_batches), blobs())
    assert [row["status"] for row in outcome.rows].count("diverged") == 2
    for number in (0, 2, 4):
        assert_same(outcome.trained[number].params, calm.trained[number].params)
        assert outcome.rows[number]["curve"] == calm.rows[number]["curve"]
