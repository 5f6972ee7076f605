"""A network of a stack is the network that the same settings train alone, to the bit.

Each network has its own matrix products, the same calls with the same numbers. Where a batch or a layer has
but one row or unit, NumPy finds it at other strides in a stack than alone and hands the product to another
BLAS routine: such shapes are left out.
"""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeps import BASE, DEVICE, TOLERANCE, alone, assert_same, blobs, check_stack, results, stacked

from xpnet import sweep
from xpnet.nn.solvers import SOLVERS
from xpnet.runs import preparation
from xpnet.sweep.chunk import Task, train_chunk
from xpnet.sweep.plan import epochs_of_rung
from xpnet.training.regime import Hyper

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


@pytest.mark.parametrize("dtype", TOLERANCE)
@given(points=points, common=shapes(2), share_batches=st.booleans())
@hypothesis.settings(max_examples=30)
def test_to_the_bit(dtype, points, common, share_batches):
    check_stack(points, common, share_batches, dtype)


# Every technique

of_solvers = st.fixed_dictionaries(
    {
        "learning_rate": st.floats(0.001, 0.05),
        "momentum": st.floats(0.0, 0.95),
        "beta2": st.floats(0.5, 0.9999),
        "epsilon": st.floats(1e-8, 1e-2),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "reg": st.sampled_from([0.0, 0.05]),
        "clip_norm": st.sampled_from([None, 0.1, 1.0]),
        "dropout": st.sampled_from([0.0, 0.3, 0.7]),
        "input_dropout": st.sampled_from([0.0, 0.2]),
        "label_smoothing": st.sampled_from([0.0, 0.1]),
        "ema": st.sampled_from([0.0, 0.5, 0.9]),
        "seed": st.integers(0, 2**64 - 1),
    }
)

stacks_of_solvers = st.lists(of_solvers, min_size=2, max_size=4, unique_by=lambda point: point["seed"])

techniques = st.fixed_dictionaries(
    {
        "hidden": st.sampled_from([(6, 6), (4, 4, 4)]),
        "activation": st.sampled_from(["relu", "leaky-relu", "gelu", "silu", "soft-abs", "tanh", "identity"]),
        "norm": st.sampled_from(["none", "batch", "layer"]),
        "residual": st.booleans(),
        "init": st.sampled_from(["normal", "he", "glorot"]),
        "preprocess": st.sampled_from(["none", "standardize", "pca", "zca"]),
        "contrast": st.booleans(),
        "schedule": st.sampled_from(["constant", "exponential", "step", "cosine", "one-cycle"]),
        "step_epochs": st.integers(1, 2),
        "warmup": st.sampled_from([0.0, 0.3]),
        "iterations": st.integers(1, 12),
        "batch_size": st.integers(2, 13),
        "sampling": st.sampled_from(["replacement", "shuffle"]),
        "mixup": st.sampled_from([0.0, 0.4]),
        "flip": st.booleans(),
        "shift": st.integers(0, 2),
        "rotation": st.sampled_from([0.0, 20.0]),
        "cutout": st.integers(0, 2),
        "averaging": st.sampled_from(["none", "flip"]),
    }
)

IMAGES = dataclasses.replace(blobs(features=12, dtype="float32"), image_shape=(4, 3, 1))


@pytest.mark.parametrize("solver", SOLVERS)
@given(
    points=stacks_of_solvers,
    common=techniques,
    share_batches=st.booleans(),
    dtype=st.sampled_from(sorted(TOLERANCE)),
)
@hypothesis.settings(max_examples=12)
def test_every_technique_to_the_bit(solver, points, common, share_batches, dtype):
    check_stack(points, common | {"solver": solver}, share_batches, dtype, IMAGES)


@pytest.mark.parametrize("share_batches", [True, False])
@given(points=stacks_of_solvers, common=techniques)
@hypothesis.settings(max_examples=15)
def test_the_hinge_to_the_bit(share_batches, points, common):
    points = [point | {"label_smoothing": 0.0} for point in points]
    check_stack(points, common | {"loss": "hinge", "mixup": 0.0}, share_batches, "float64", IMAGES)


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Hyper)])
def test_networks_differ_by_each_hyper_parameter(name):
    """So that the tests above compare something: none is without effect, and each is its own network's."""
    values = {"clip_norm": (None, 0.01), "epsilon": (1e-8, 1.0), "beta2": (0.9, 0.99)}.get(name, (0.1, 0.6))
    common = {"solver": "adam", "learning_rate": 0.05, "seed": 1}
    configs = sweep.configs([common | {name: value} for value in values], BASE)
    first, second = (trained.params for trained in stacked(configs, IMAGES).trained.values())
    assert any(not np.array_equal(first[key], second[key]) for key in first)


def rungs(configs, data, ends):
    """Train networks by rungs, each taken up from the state that the one before returned."""
    before, begin = {}, 0
    for end in ends:
        of_rung = {k: config for k, config in enumerate(configs) if not before or k in before}
        task = Task(f"until{end}", of_rung, (begin, end), before, keep_all=True)
        prepared = preparation.prepare(configs[0], data, DEVICE)
        before, begin = train_chunk(task, prepared, DEVICE).trained, end
        yield before


@pytest.mark.parametrize(
    ("solver", "emas"),
    [
        *((solver, (0.9, 0.0, 0.5)) for solver in SOLVERS),
        ("adam", (0.9, 0.9, 0.5)),
        ("adam", (0.0, 0.0, 0.0)),
    ],
)
def test_rungs_carry_the_state_of_solver_and_average(solver, emas):
    points = [{"seed": seed, "ema": ema, "learning_rate": 0.02} for seed, ema in enumerate(emas)]
    base = dataclasses.replace(BASE, solver=solver, norm="batch", dropout=0.2, flip=True, mixup=0.2)
    configs = sweep.configs(points, base)
    spans = epochs_of_rung(configs[0], 40, 0, 0)
    *_, last = rungs(configs, IMAGES, (2, 5, spans[1]))
    for number, config in enumerate(configs):
        single = alone(config, IMAGES)
        assert_same(last[number].params, single.model.params)
        assert [r[:4] for r in last[number].history.rows] == [r[:4] for r in single.result.history.rows]
        assert last[number].history.losses == single.result.history.losses


@pytest.mark.parametrize("emas", [(0.9, 0.0, 0.0, 0.9), (0.0, 0.9, 0.9, 0.0), (0.9, 0.9, 0.0, 0.0)])
@pytest.mark.parametrize("max_nets", [1, 2, 4])
@pytest.mark.parametrize("folder", [False, True])
def test_halving_joins_networks_with_and_without_an_average(tmp_path, emas, max_nets, folder):
    """Those that are left stand in other stacks than before, one of which may have kept no average."""
    points = [{"seed": seed, "ema": ema} for seed, ema in enumerate(emas)]
    configs = sweep.configs(points, dataclasses.replace(BASE, solver="adam", learning_rate=0.02))
    found = sweep.run(
        configs, IMAGES, halving=True, max_nets=max_nets, out=tmp_path / "s" if folder else None
    )
    first = found.rows[0]
    single = alone(configs[first["network"]], IMAGES)
    assert first["steps"] == 40
    assert_same(found.best.params, single.model.params)
    assert first["val_score"] == single.summary["val_accuracy"]


# Networks that diverge

# With a learning rate of 1 every step multiplies the weights by about -reg, so the penalty leaves the
# range of float64 after 52, 26, 13 and 6 of the 60 steps; what is beyond all measure comes sooner.
CALM, BURSTS = 1e-2, (1e3, 1e6, 1e12, 1e25)
regs = st.lists(st.sampled_from([CALM, *BURSTS]), min_size=2, max_size=5)


def bursting(regs, share_batches):
    points = [{"reg": reg, "seed": seed} for seed, reg in enumerate(regs)]
    base = dataclasses.replace(BASE, iterations=60, learning_rate=1.0, learning_rate_decay=1.0)
    return sweep.configs(points, base, share_batches)


@given(regs=regs)
@hypothesis.settings(max_examples=8)
def test_a_network_that_diverges_is_frozen_as_it_is_alone(regs):
    configs, data = bursting(regs, share_batches=False), blobs()
    outcome = stacked(configs, data)
    for number, config in enumerate(configs):
        row, trained = outcome.rows[number], outcome.trained[number]
        single = alone(config, data)
        assert (
            row["status"] == single.summary["status"] == ("finished" if regs[number] == CALM else "diverged")
        )
        assert row["steps"] == (single.diverged_at - 1 if single.diverged_at else 60)
        assert_same(trained.params, single.model.params)
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
