"""How a sweep is cut up: groups, chunks, rungs, and what fits in memory."""

import dataclasses

import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st
from memory import memory_of
from sweeps import BASE, DEVICE, SmallDevice, blobs, rates, stacked

from xpnet import sweep
from xpnet.data.batches import epoch_ends
from xpnet.nn.mlp import MLP, operations
from xpnet.runs import preparation
from xpnet.sweep import plan
from xpnet.sweep.plan import Cut

# Groups and chunks


def test_networks_are_grouped_by_what_a_stack_must_share():
    grid = sweep.grid({"hidden": [(4,), (5,)], "learning_rate": [0.1, 0.2], "batch_size": [5, 6]})
    configs = sweep.configs(grid, BASE)
    assert plan.groups(configs) == [[0, 2], [1, 3], [4, 6], [5, 7]]
    for group in plan.groups(configs):
        assert len({(configs[k].hidden, configs[k].batch_size) for k in group}) == 1


def test_whatever_may_differ_in_a_stack_makes_one_group():
    names = [f.name for f in dataclasses.fields(BASE) if f.metadata.get("stackable")]
    assert {"learning_rate", "learning_rate_decay", "reg", "init_std", "seed"} <= set(names)
    changed = [{name: 1 if "seed" in name else 0.5} for name in names]
    configs = sweep.configs([{}, *changed], BASE)
    assert plan.groups(configs) == [list(range(len(configs)))]


@given(count=st.integers(1, 100), size=st.integers(1, 100), workers=st.integers(1, 8))
def test_chunks_are_even_and_keep_all_workers_busy(count, size, workers):
    numbers = list(range(10, 10 + count))
    chunks = Cut(size, workers).chunks(numbers)
    assert [k for chunk in chunks for k in chunk] == numbers
    lengths = [len(chunk) for chunk in chunks]
    assert 1 <= min(lengths) <= max(lengths) <= min(size, min(lengths) + 1)
    assert len(chunks) % workers == 0 or set(lengths) == {1}


# Rungs


@pytest.mark.parametrize(
    ("sampling", "spans"),
    [
        # Forty steps, four to an epoch: rungs of 5, 10, 20 and 40 steps, each up to where an epoch ends.
        ("shuffle", [(0, 2), (2, 3), (3, 5), (5, 10)]),
        ("replacement", [(0, 2), (2, 4), (4, 6), (6, 11)]),  # whose first epoch is the first step
    ],
)
def test_rungs_double(sampling, spans):
    config = dataclasses.replace(BASE, sampling=sampling)
    assert plan.count_halvings([config] * 8, 40) == 3
    assert [plan.epochs_of_rung(config, 40, rung, 3) for rung in range(4)] == spans


@given(
    networks=st.integers(1, 300),
    iterations=st.integers(1, 500),
    batch_size=st.integers(1, 40),
    sampling=st.sampled_from(["shuffle", "replacement"]),
)
def test_rungs_follow_each_other_and_none_is_empty(networks, iterations, batch_size, sampling):
    config = dataclasses.replace(BASE, iterations=iterations, batch_size=batch_size, sampling=sampling)
    rows = 40
    ends = epoch_ends(iterations, rows // batch_size, sampling)
    halvings = plan.count_halvings([config] * networks, rows)
    assert 2**halvings < 2 * networks
    begin = 0
    for rung in range(halvings + 1):
        first, last = plan.epochs_of_rung(config, rows, rung, halvings)
        assert first == begin < last
        goal = iterations / 2 ** (halvings - rung)
        assert ends[last - 1] >= goal
        assert last == 1 or ends[last - 2] < goal
        begin = last
    assert begin == len(ends)


def test_networks_are_halved_until_one_is_left():
    long = dataclasses.replace(BASE, iterations=100_000)
    counts = [plan.count_halvings([long] * n, 40) for n in (1, 2, 3, 4, 5, 8, 9, 128)]
    assert counts == [0, 1, 2, 2, 3, 3, 4, 7]


def test_the_shortest_training_bounds_the_halvings():
    configs = [dataclasses.replace(BASE, iterations=n) for n in (100_000, 20)]  # the second: five epochs
    assert plan.count_halvings(configs * 50, 40) == 2
    assert plan.count_halvings([dataclasses.replace(BASE, iterations=3)] * 50, 40) == 0


def test_the_steps_of_a_sweep():
    configs = rates(*[0.1] * 8, iterations=64)
    assert plan.total_steps(configs, 40, 0) == 8 * 64
    assert plan.total_steps(configs, 40, 3) == 8 * 8 + 4 * (16 - 8) + 2 * (32 - 16) + (64 - 32)


# Memory and speed


def test_a_stack_fits_in_the_memory_that_is_free():
    mlp = MLP((64, 300, 10))
    for_one = plan.network_bytes(mlp, [BASE])
    counts = [
        plan.fits_in_memory(mlp, [BASE], int(share * for_one / plan.MEMORY_SHARE))
        for share in (0, 0.5, 1.01, 7.5)
    ]
    assert counts == [1, 1, 1, 7]


@pytest.mark.parametrize("share_batches", [True, False])
@pytest.mark.parametrize(
    ("features", "rows", "changes"),
    [
        pytest.param(1000, 50, {"hidden": (200,)}, id="weights"),
        pytest.param(20, 1500, {"hidden": (200, 200)}, id="units of an evaluation"),
        pytest.param(400, 300, {"hidden": (10,), "batch_size": 300}, id="batches"),
        pytest.param(
            400, 300, {"hidden": (10,), "batch_size": 300, "input_dropout": 0.2}, id="input dropout"
        ),
        pytest.param(1000, 50, {"hidden": (200,), "solver": "adam", "ema": 0.9}, id="state"),
        pytest.param(
            1000, 50, {"hidden": (400,), "solver": "adam", "ema": 0.9, "patience": 9}, id="the best state"
        ),
        pytest.param(20, 1500, {"hidden": (200, 200), "norm": "batch"}, id="batch norm"),
        pytest.param(20, 1500, {"hidden": (50, 50), "norm": "layer", "residual": True}, id="residual"),
        pytest.param(20, 1500, {"hidden": (100,), "batch_size": 999, "dropout": 0.5}, id="dropout"),
        pytest.param(20, 1500, {"hidden": (100,), "activation": "gelu"}, id="gelu"),
    ],
)
def test_the_memory_of_a_stack_is_not_underestimated(features, rows, changes, share_batches):
    options = {"batch_size": 10, "iterations": 2, "share_batches": share_batches} | changes
    configs, data = rates(*[0.01] * 4, **options), blobs(features, rows=rows)
    prepared = preparation.prepare(configs[0], data, DEVICE)
    peak = memory_of(lambda: stacked(configs, data, prepared=prepared)).peak
    estimate = len(configs) * plan.network_bytes(configs[0].mlp(features, 3), configs)
    assert 0.1 * estimate < peak < estimate


@pytest.mark.parametrize("patience", [None, 9])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_the_memory_of_networks_that_diverge(solver, patience):
    """Of wide rows, so that nothing counts but the states."""
    options = {"hidden": (60,), "solver": solver, "patience": patience, "iterations": 20}
    configs, data = rates(0.01, 0.01, 1e300, **options), blobs(6000, rows=50)
    prepared = preparation.prepare(configs[0], data, DEVICE)
    outcome = stacked(configs, data, prepared=prepared)
    assert [row["status"] for row in outcome.rows] == ["finished", "finished", "diverged"]
    peak = memory_of(lambda: stacked(configs, data, prepared=prepared)).peak
    estimate = len(configs) * plan.network_bytes(configs[0].mlp(6000, 3), configs)
    assert 0.5 * estimate < peak < estimate


def test_the_operations_of_a_step():
    """As in the exercise: five products, and the gradient by the input would be the sixth."""
    assert operations(MLP((3072, 300, 10)), 400) == 6 * 400 * (3072 * 300 + 300 * 10)


def choose(monkeypatch, seconds, count=12, device=DEVICE, max_nets=None, cores=2):
    """Choose a cut where a step of it takes ``seconds(cut)``; return it and the cuts that were tried."""
    tried = []

    def seconds_per_step(cut, *_):
        tried.append(cut)
        return seconds(cut)

    monkeypatch.setattr(plan, "_seconds_per_step", seconds_per_step)
    monkeypatch.setattr(plan, "cores", lambda: cores)
    configs, data = rates(*[0.1] * count), blobs()
    prepared = preparation.prepare(configs[0], data, device)
    return plan.choose_cut(configs, prepared, device, max_nets), tried


def test_a_stack_takes_all_where_it_costs_no_more(monkeypatch):
    assert choose(monkeypatch, lambda _: 100.0, cores=1)[0] == Cut(12)


def test_networks_go_one_by_one_where_a_stack_costs_more(monkeypatch):
    assert choose(monkeypatch, lambda cut: 100.0 * (cut.size * cut.workers) ** 2)[0].size == 1


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("large", [False, True])
def test_every_size_is_tried_on_all_cores_and_on_one(monkeypatch, cores, large):
    """First large networks in a stack on each core and small ones in one for all; and no way twice."""
    if large:
        monkeypatch.setattr(plan, "SHARED_OUT_FROM", 12 * operations(MLP((5, 7, 3)), BASE.batch_size))
    _, tried = choose(monkeypatch, lambda _: 100.0, cores=cores)
    on_each = -(-12 // cores)
    shared_out, one = Cut(on_each, min(cores, -(-12 // on_each))), Cut(12)
    assert tried[0] == (shared_out if large else one)
    assert {shared_out, one} <= set(tried[:2])
    assert len(set(tried)) == len(tried)
    for size in (1, 2, 4, 8):
        assert {Cut(size), Cut(size, min(cores, -(-12 // size)))} <= set(tried)


def test_small_products_stay_on_one_thread_where_that_is_faster(monkeypatch):
    assert choose(monkeypatch, lambda cut: 100.0 * cut.workers**2 / cut.size)[0] == Cut(12)


@pytest.mark.parametrize("limit", ["max_nets", "memory"])
def test_no_way_is_tried_that_goes_past_a_limit(monkeypatch, limit):
    if limit == "memory":
        free = 5.5 * plan.network_bytes(MLP((5, 7, 3)), rates(0.1, 0.1)) / plan.MEMORY_SHARE
        _, tried = choose(monkeypatch, lambda _: 100.0, device=SmallDevice(free))
        assert max(cut.size * cut.workers for cut in tried) <= 5
        assert max(cut.size for cut in tried) == 5
    else:
        _, tried = choose(monkeypatch, lambda _: 100.0, max_nets=5)
        assert max(cut.size for cut in tried) == 5
    assert {cut.size for cut in tried} >= {1, 2, 4}


def test_trying_stops_when_it_takes_a_part_of_the_sweep(monkeypatch):
    best, tried = choose(monkeypatch, lambda _: 1e-12)
    assert tried == [best]


@pytest.mark.parametrize(
    ("seconds", "limits", "size"),
    [
        pytest.param(lambda _: 100.0, {}, 6, id="all at once where a stack costs no more"),
        pytest.param(lambda cut: 100.0 * cut.size**2, {}, 1, id="one by one where it costs more"),
        # Three rounds of four, at four thirds of what one of two takes a round.
        pytest.param(lambda cut: {6: 9.0, 4: 4.0, 2: 3.0, 1: 2.0}[cut.size], {}, 4, id="some at a time"),
        pytest.param(lambda _: 100.0, {"most": 3}, 3, id="no more than are asked for"),
        pytest.param(lambda _: 100.0, {"nets": 5.5}, 5, id="no more than fit its memory"),
        pytest.param(lambda _: 100.0, {"nets": -3}, 1, id="a network where there is no memory"),
    ],
)
def test_a_worker_chooses_a_size_as_is_chosen_here(monkeypatch, seconds, limits, size):
    tried = []

    def seconds_per_step(cut, *_):
        tried.append(cut)
        return seconds(cut)

    monkeypatch.setattr(plan, "_seconds_per_step", seconds_per_step)
    configs, data = rates(*[0.1] * 12, iterations=10_000), blobs()
    prepared = preparation.prepare(configs[0], data, DEVICE)
    of_rows = 2 * 8 * (data.X_train.size + data.X_val.size)
    of_nets = limits.get("nets", 100) * plan.network_bytes(MLP((5, 7, 3)), configs) / plan.MEMORY_SHARE
    most, free = limits.get("most", 6), int(of_rows + of_nets)
    assert plan.choose_size(configs, prepared, DEVICE, most, 2, 2, free) == size
    assert {cut.workers for cut in tried} <= {1}  # products so short that threads would wait for each other


@pytest.mark.parametrize(("beside", "cores", "threads"), [(1, 4, 1), (3, 4, 3), (16, 2, 2)])
def test_threads_stand_for_the_workers_beside_one(monkeypatch, beside, cores, threads):
    tried = []
    monkeypatch.setattr(plan, "_seconds_per_step", lambda cut, *_: tried.append(cut) or 100.0)
    monkeypatch.setattr(plan, "cores", lambda: cores)
    monkeypatch.setattr(plan, "SHARED_OUT_FROM", 1)
    configs = rates(*[0.1] * 12, iterations=10_000)
    prepared = preparation.prepare(configs[0], blobs(), DEVICE)
    assert plan.choose_size(configs, prepared, DEVICE, 3, 4, beside, 2**30) == 3
    assert [(cut.size, cut.workers) for cut in tried] == [(3, threads), (2, threads), (1, threads)]
    few = rates(*[0.1] * 12, iterations=100)  # done before a choice would be
    assert plan.choose_size(few, prepared, DEVICE, 3, 4, beside, 2**30) == 3
    assert len(tried) == 3


def test_the_ways_are_tried_with_real_steps():
    """All of them, of networks with shared and with own batches."""
    data = blobs()
    prepared = preparation.prepare(BASE, data, DEVICE)
    for share_batches in (True, False):
        configs = rates(*[0.1] * 3, share_batches=share_batches, iterations=10**8)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan, "CALIBRATION_SECONDS", 1e-4)
            cut = plan.choose_cut(configs, prepared, DEVICE, None)
        assert 1 <= cut.size <= 3


def test_one_blas_thread_is_for_a_while():
    def threads():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]

    before = threads()
    with plan.one_blas_thread():
        assert set(threads()) <= {1}
    assert threads() == before
    with plan.one_blas_thread(wanted=False):
        assert threads() == before
