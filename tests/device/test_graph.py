"""Steps captured as a graph, on a stand-in for the GPU that is made of NumPy (`taping`)."""

import gc
import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
from fits import (
    EVERYTHING,
    HERE,
    MLP_543,
    NETS,
    REGIME,
    begin,
    image_feed,
    learnable,
    on_host,
    own_sources,
    random_params,
    some_images,
    sources,
    train,
)
from taping import Cupy, TapedDevice

from xpnet.data.feed import Feed
from xpnet.device import one_by_one
from xpnet.device.graph import LENGTHS
from xpnet.nn.mlp import MLP
from xpnet.nn.solvers import SOLVERS
from xpnet.training.draws import draw_epoch
from xpnet.training.regime import Hyper
from xpnet.training.step import make_step

FALLBACK = "cannot be captured as a CUDA graph, training continues without it"


@pytest.fixture
def taped():
    return TapedDevice()


def assert_same_fit(device, actual, expected):
    np.testing.assert_allclose(actual.history.losses, expected.history.losses, rtol=1e-12)
    np.testing.assert_array_equal(actual.diverged_at, expected.diverged_at)
    for kind, arrays in expected.state.items():
        for name, array in on_host(device, actual.state[kind]).items():
            scale = np.max(np.abs(arrays[name]), initial=0.0)
            np.testing.assert_allclose(array, arrays[name], rtol=0, atol=1e-12 * scale, err_msg=name)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("nets", NETS)
def test_a_graph_takes_the_same_steps(taped, solver, nets):
    """Epochs of 5, 5, 5 and 2 steps, 4 of them at a time, and one whose loss is asked for by itself."""
    params = random_params(np.random.default_rng(0), nets)
    settings = {"solver": solver, "hyper": Hyper(0.05, 0.9, 0.01, weight_decay=0.1, clip_norm=1.0)}
    expected = train(HERE, params, learnable(), **settings)
    actual = train(taped, params, learnable(), **settings)
    assert_same_fit(taped, actual, expected)
    assert taped.stream.captures == 2  # of 1 step and of 4
    assert taped.stream.launches == 8 + 2  # and those that were checked


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.usefixtures("by_definition")
def test_with_everything_at_once(taped, nets, own):
    X, y = some_images(11)
    data = None, None, (X - 128.0) / 64, y
    seeds = own_sources(*range(int(np.prod(nets)))) if own and nets else sources(19)
    settings = {k: EVERYTHING[k] for k in ("mlp", "hyper", "regime")} | {"sources": seeds}
    params = random_params(np.random.default_rng(1), nets, EVERYTHING["mlp"])
    results = []
    for device in (HERE, taped):
        feed = image_feed(device, "float64", EVERYTHING["augmentation"])
        results.append(train(device, params, data, **settings, feed=feed))
    assert_same_fit(taped, results[1], results[0])
    assert 1 <= taped.stream.captures <= 3  # a graph for each number of steps at once


def test_networks_that_diverge_are_what_they_were_and_leave_the_others_alone(taped):
    """One repeats its epoch's steps while the state at its end is still needed."""
    params = random_params(np.random.default_rng(2), (3,))
    settings = {"hyper": Hyper(np.array([0.1, 1e40, 0.2]), 1.0, 0.01), "solver": "momentum", "num_steps": 20}
    expected = train(HERE, params, learnable(), **settings)
    actual = train(taped, params, learnable(), **settings)
    assert expected.diverged_at[1] > 0 == expected.diverged_at[0] == expected.diverged_at[2]
    assert taped.stream.captures == 2
    np.testing.assert_array_equal(actual.diverged_at, expected.diverged_at)
    for kind, arrays in expected.state.items():
        for name, array in on_host(taped, actual.state[kind]).items():
            np.testing.assert_allclose(array, arrays[name], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("growth", [11.0, 13.0])
def test_a_network_that_diverges_within_an_epoch(taped, growth):
    """The last finite state is one of those between two launches."""
    data = np.zeros((7, 1)), np.arange(7) % 2, np.zeros((2, 1)), np.arange(2)
    params = {"W1": np.full((2, 1, 2), [1.2, 0.0]), "b1": np.zeros((2, 2))}
    settings = {"mlp": MLP((1, 2)), "dtype": "float32", "num_steps": 40, "batch_size": 1}
    settings["hyper"] = Hyper(np.array([growth, 0.1]), 1.0, 1.0)
    expected, actual = (train(device, params, data, **settings) for device in (HERE, taped))
    assert expected.diverged_at[0] > 0 == expected.diverged_at[1]
    np.testing.assert_array_equal(actual.diverged_at, expected.diverged_at)
    np.testing.assert_allclose(taped.to_host(actual.params["W1"]), expected.params["W1"], rtol=1e-5)


# What the graph is given and gives


def a_step(device, solver="momentum", steps=11, batch_size=6):
    """Return a step, a function that makes the state to begin with, and an epoch's draws."""
    X, y, _, _ = learnable()
    feed, hyper = Feed(device.put(X), device.put(y)), Hyper(0.1, 1.0, 0.01)
    regime = replace(REGIME, solver=solver, batch_size=batch_size)
    params = random_params(np.random.default_rng(3))

    def start():
        return begin(device, params, "float64", regime, hyper)

    some = start()["params"]
    rates = regime.learning_rates(hyper, (), range(steps), 0)
    (draws,) = draw_epoch(device, feed, regime, hyper, some, sources(4), 0, 0, {"rate": rates})
    return make_step(device, MLP_543, feed, regime, hyper, some), start, draws


def values(device, state):
    return [np.array(device.to_host(a)) for arrays in state.values() for a in arrays.values()]


def assert_equal(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_state_is_returned_in_the_arrays_it_came_in(taped):
    step, start, draws = a_step(taped)
    advance, state = taped.compile(step), start()
    later, _ = advance(state, draws, 0, 3)
    for kind, arrays in state.items():
        assert all(later[kind][name] is array for name, array in arrays.items())


def test_other_states_are_left_alone(taped):
    """As are the losses of steps taken before."""
    step, start, draws = a_step(taped)
    advance, eager = taped.compile(step), one_by_one(taped, step)
    first, losses = advance(start(), draws, 0, 5)
    before, losses_before = values(taped, first), taped.to_host(losses)
    second, _ = advance(start(), draws, 2, 9)
    assert_equal(values(taped, first), before)
    assert_equal([taped.to_host(losses)], [losses_before])
    assert_equal(values(taped, second), values(taped, eager(start(), draws, 2, 9)[0]))
    third, _ = advance(first, draws, 5, 11)
    assert_equal(values(taped, third), values(taped, eager(start(), draws, 0, 11)[0]))


def test_any_number_of_steps_at_once(taped):
    step, start, draws = a_step(taped)
    advance = taped.compile(step)
    expected, expected_losses = one_by_one(taped, step)(start(), draws, 0, 11)
    for parts in ([11], [1] * 11, [4, 4, 3], [9, 2]):
        state, losses, begin_at = start(), [], 0
        for n in parts:
            state, part = advance(state, draws, begin_at, begin_at + n)
            assert part.shape == (n,)
            losses.append(taped.to_host(part))
            begin_at += n
        assert_equal(values(taped, state), values(taped, expected))
        assert_equal([np.concatenate(losses)], [taped.to_host(expected_losses)])


def test_many_steps_are_few_launches_of_few_graphs(taped):
    """Of 16 steps each, and one of what is left; of too many lengths single steps make up the rest."""
    step, start, draws = a_step(taped, steps=40)
    advance = taped.compile(step)
    expected, expected_losses = one_by_one(taped, step)(start(), draws, 0, 40)
    state, losses = advance(start(), draws, 0, 40)
    assert_equal(values(taped, state), values(taped, expected))
    assert_equal([taped.to_host(losses)], [taped.to_host(expected_losses)])
    assert taped.stream.captures == 2
    before = taped.stream.launches
    advance(start(), draws, 0, 40)
    assert taped.stream.launches == before + 3
    for n in (1, 3, 5, 7):
        state, losses = advance(start(), draws, 0, n)
        assert_equal([taped.to_host(losses)], [taped.to_host(expected_losses)[:n]])
    assert taped.stream.captures == LENGTHS


def test_a_graph_is_checked_by_reading_one_array(taped, monkeypatch):
    step, start, draws = a_step(taped)
    advance, read = taped.compile(step), []
    state, to_host = start(), taped.to_host
    monkeypatch.setattr(taped, "to_host", lambda array: read.append(array.shape) or to_host(array))
    advance(state, draws, 0, 11)
    assert len(read) == 1
    advance(state, draws, 0, 11)
    assert len(read) == 1


def test_a_graph_holds_the_steps_and_what_keeps_their_losses(taped):
    """Of a step that changes its state in place; nothing is copied that is where it has to be."""
    step, start, draws = a_step(taped, solver="sgd")
    advance = taped.compile(step)
    for n in (1, 4):
        advance(start(), draws, 0, n)
    state, of_step = start(), {name: values[0, ...] for name, values in draws.items()}
    taped.tape.pool = "some"
    taped.stream.begin_capture()
    step(state, of_step)
    taped.stream.end_capture()
    one, four, alone = taped.stream.recorded
    assert (one, four) == (alone + 1, 4 * (alone + 1))


def test_the_memory_of_a_graph_goes_with_it(taped):
    step, start, draws = a_step(taped)
    advance, before = taped.compile(step), Cupy.MemoryPool.emptied
    advance(start(), draws, 0, 5)
    assert Cupy.MemoryPool.emptied == before
    del advance
    gc.collect()
    assert Cupy.MemoryPool.emptied == before + 1


def test_a_step_may_replace_and_exchange_arrays(taped):
    xp = taped.xp

    def step(state, draws):
        a, b = state["a"]["x"], state["b"]["x"]
        state["a"]["x"], state["b"]["x"] = b, a
        return state | {"c": {"x": state["c"]["x"] * draws["rate"]}}, xp.sum(a)

    def start():
        numbers = {"a": 1.0, "b": 2.0, "c": 3.0}
        return {kind: {"x": xp.full(2, number)} for kind, number in numbers.items()}

    draws = {"rate": taped.put(np.arange(7.0))}
    expected = one_by_one(taped, step)(start(), draws, 0, 7)
    actual = taped.compile(step)(start(), draws, 0, 7)
    assert_equal(values(taped, actual[0]), values(taped, expected[0]))
    assert_equal([taped.to_host(actual[1])], [taped.to_host(expected[1])])


# Steps that cannot be captured


def reading(step, _device):
    def spoilt(state, draws):
        state, loss = step(state, draws)
        return state, loss * (1.0 if float(loss) > -1.0 else 2.0)

    return spoilt


def uploading(step, device):
    def spoilt(state, draws):
        state, loss = step(state, draws)
        return state, loss + device.put(np.zeros(()))

    return spoilt


def failing(step, device):
    def spoilt(state, draws):
        if device.tape.actions is not None:
            raise ValueError("not\nthis one")
        return step(state, draws)

    return spoilt


def counting(step, _device):
    """A number of the host's that changes from step to step and would stay what it was in the capture."""
    number = itertools.count(1.0)

    def spoilt(state, draws):
        state, loss = step(state, draws)
        return state, loss * next(number)

    return spoilt


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (reading, "CaptureError: reading during a capture"),
        (uploading, "CaptureError: a copy from the host during a capture"),
        (failing, "ValueError: not this one"),
        (counting, "RuntimeError: the loss of the first steps is not that of single steps"),
    ],
)
def test_what_cannot_be_captured_goes_on_step_by_step_with_one_warning(taped, spoil, reason):
    step, start, draws = a_step(taped)
    advance = taped.compile(spoil(step, taped))
    expected, losses = one_by_one(taped, step)(start(), draws, 0, 11)
    with pytest.warns(RuntimeWarning) as caught:
        state, first = advance(start(), draws, 0, 6)
    assert len(caught) == 1
    assert FALLBACK in str(caught[0].message)
    assert reason in str(caught[0].message)
    assert "\n" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state, second = advance(state, draws, 6, 11)
    assert_equal(values(taped, state), values(taped, expected))
    if spoil is not counting:
        both = [taped.to_host(first), taped.to_host(second)]
        assert_equal([np.concatenate(both)], [taped.to_host(losses)])
    assert taped.tape.actions is None
    assert taped.stream.captures == 1


def test_an_error_of_the_step_itself_is_no_matter_of_graphs(taped):
    def step(_state, _draws):
        raise MemoryError("out of it")

    with pytest.raises(MemoryError, match="out of it"):
        taped.compile(step)({}, {}, 0, 1)
    assert taped.stream.captures == 0


def test_a_loss_that_is_not_a_number_is_no_error_of_the_graph(taped):
    params = {name: value * np.nan for name, value in random_params(np.random.default_rng(5)).items()}
    assert train(taped, params, learnable()).diverged_at == 1
    assert taped.stream.captures == 1


# The stand-in itself


def test_the_stand_in_computes_nothing_before_a_launch(taped):
    xp = taped.xp
    x = xp.zeros(2)
    y = x + 1.0
    taped.tape.pool = "some"
    taped.stream.begin_capture()
    x += 1.0
    z = x + 1.0
    w = xp.zeros(2)
    w += z
    x[...] = w + z
    graph = taped.stream.end_capture()
    assert_equal(values(taped, {"": {"x": x, "y": y}}), [[0, 0], [1, 1]])
    assert np.isnan(taped.to_host(z)).all()
    graph.launch(taped.stream)
    assert_equal(values(taped, {"": {"x": x}}), [[4, 4]])
    graph.launch(taped.stream)
    assert_equal(values(taped, {"": {"x": x}}), [[12, 12]])
    assert np.isnan(taped.to_host(z)).all()


def test_the_stand_in_refuses_what_it_has_never_done(taped):
    taped.tape.pool = "some"
    x = taped.xp.zeros(2)
    taped.stream.begin_capture()
    with pytest.raises(RuntimeError, match="a first"):
        taped.xp.exp(x)
    with pytest.raises(RuntimeError, match="broken off"):
        taped.stream.end_capture()


def test_the_stand_in_needs_memory_of_its_own(taped):
    with pytest.raises(RuntimeError, match="pool that all share"):
        taped.stream.begin_capture()
