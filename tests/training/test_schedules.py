"""Learning rates, their values written out."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from xpnet.training.schedules import SCHEDULES, learning_rates

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def rates(schedule, num_steps, steps_per_epoch=1, learning_rate=1.0, **settings):
    """The rates of all steps of a run."""
    steps = np.arange(num_steps)
    return learning_rates(
        schedule,
        steps,
        num_steps=num_steps,
        epochs=steps // steps_per_epoch,
        learning_rate=learning_rate,
        **settings,
    )


def test_constant():
    assert rates("constant", 4, learning_rate=0.3, decay=0.5).tolist() == [0.3] * 4


def test_exponential():
    by_hand = [0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1]
    assert rates("exponential", 7, 2, learning_rate=0.8, decay=0.5).tolist() == by_hand


def test_step():
    by_hand = [0.8] * 4 + [0.4] * 4 + [0.2]
    assert rates("step", 9, 2, learning_rate=0.8, decay=0.5, step_epochs=2).tolist() == by_hand


def test_cosine():
    r = np.sqrt(0.75)
    by_hand = [1, (1 + r) / 2, 0.75, 0.5, 0.25, (1 - r) / 2]
    np.testing.assert_allclose(rates("cosine", 6), by_hand, rtol=1e-14)


def test_one_cycle():
    """Up over steps 0 to 4, down over steps 4 to 8, where a cosine has (2 ± √2) / 4 between."""
    r, low = np.sqrt(2) / 4, 4e-6
    up = [0.04, 0.28, 0.52, 0.76, 1.0]
    down = [low + (1 - low) * part for part in (0.5 + r, 0.5, 0.5 - r, 0.0)]
    np.testing.assert_allclose(rates("one-cycle", 9, peak=5 / 9), up + down, rtol=1e-13)


@pytest.mark.parametrize(("num_steps", "peak"), [(1, 0.3), (2, 0.3), (3, 0.9), (5, 0.0), (5, 1.0)])
def test_one_cycle_of_few_steps_reaches_the_top(num_steps, peak):
    r = rates("one-cycle", num_steps, peak=peak)
    assert np.isfinite(r).all()
    assert 0.5 < r.max() <= 1.0
    if num_steps > 1:
        assert r[0] == (0.04 if peak * num_steps > 1 else 1.0)
        assert r[-1] == pytest.approx(1.0 if peak == 1.0 else 4e-6)


def test_they_rise_and_fall():
    assert (np.diff(rates("cosine", 100)) < 0).all()
    change = np.diff(rates("one-cycle", 100, peak=0.4))
    assert (change[:39] > 0).all()
    assert (change[39:] < 0).all()


@every_schedule
def test_warm_up_stands_in_front(schedule):
    settings = {"steps_per_epoch": 3, "learning_rate": 0.5, "decay": 0.9, "step_epochs": 2}
    bare = rates(schedule, 12, **settings)
    warm = rates(schedule, 12, warmup_steps=4, **settings)
    np.testing.assert_allclose(warm[:4], bare[:4] * [0.25, 0.5, 0.75, 1.0], rtol=1e-15)
    np.testing.assert_array_equal(warm[4:], bare[4:])


@every_schedule
def test_a_part_of_a_run_has_the_rates_of_the_whole(schedule):
    settings = {"num_steps": 20, "learning_rate": 0.3, "decay": [0.9, 0.8], "warmup_steps": 7}
    whole = learning_rates(schedule, np.arange(20), epochs=np.arange(20) // 5, **settings)
    part = learning_rates(schedule, range(5, 10), epochs=1, **settings)
    np.testing.assert_array_equal(part, whole[5:10])
    assert learning_rates(schedule, np.arange(0), epochs=0, **settings).shape == (0, 2)


@every_schedule
@pytest.mark.parametrize(
    ("learning_rate", "decay", "nets"),
    [(1.0, 0.5, ()), ([1.0, 2.0], 0.5, (2,)), (1.0, [0.5, 0.25], (2,)), ([[1.0], [2.0]], [0.5] * 3, (2, 3))],
)
def test_a_rate_and_a_decay_for_each_network(schedule, learning_rate, decay, nets):
    """Each network has the bits of the rates it has alone."""
    settings = {"steps_per_epoch": 2, "warmup_steps": 3}
    stacked = rates(schedule, 7, learning_rate=learning_rate, decay=decay, **settings)
    assert stacked.shape == (7, *nets)
    assert stacked.dtype == np.float64
    each = zip(np.broadcast_to(learning_rate, nets).flat, np.broadcast_to(decay, nets).flat, strict=True)
    for column, (one_rate, one_decay) in zip(stacked.reshape(7, -1).T, each, strict=True):
        alone = rates(schedule, 7, learning_rate=one_rate, decay=one_decay, **settings)
        np.testing.assert_array_equal(column, alone)


@hypothesis.given(st.floats(1e-6, 10), st.floats(0, 1), st.integers(0, 1000))
def test_exponential_has_the_bits_of_its_formula(learning_rate, decay, epoch):
    r = learning_rates(
        "exponential", [0, 1], num_steps=2, epochs=[0, epoch], learning_rate=learning_rate, decay=decay
    )
    # Of arrays: NumPy's scalars have a power of their own.
    assert r.tolist() == [learning_rate, learning_rate * np.asarray(decay) ** epoch]


def test_computed_in_float64_whatever_comes_in():
    r = rates("exponential", 4, learning_rate=np.float32(0.5), decay=np.array([1, 0], np.int8))
    assert r.dtype == np.float64
    np.testing.assert_array_equal(r[3], [0.5, 0.0])


@every_schedule
def test_arguments_are_left_alone(schedule):
    given = np.arange(4), np.arange(4) // 2, np.array([1.0, 2.0]), np.array([0.5, 0.5])
    for array in given:
        array.flags.writeable = False
    steps, epochs, rate, decay = given
    r = learning_rates(
        schedule, steps, num_steps=4, epochs=epochs, learning_rate=rate, decay=decay, warmup_steps=2
    )
    assert r.flags.writeable


def test_the_same_as_multiplying_epoch_by_epoch():
    """As the original class does: equal up to rounding."""
    by_hand = np.cumprod([1.6e-3] + [0.9] * 199)
    np.testing.assert_allclose(
        rates("exponential", 200, learning_rate=1.6e-3, decay=0.9), by_hand, rtol=1e-13
    )


# PyTorch's schedulers


def torch_rates(make, num_steps):
    """The rates of a run of PyTorch's; ``make(schedulers, optimizer)`` returns the scheduler."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    r = [optimizer.param_groups[0]["lr"]]
    for _ in range(num_steps - 1):
        optimizer.step()
        scheduler.step()
        r.append(optimizer.param_groups[0]["lr"])
    return r


@pytest.mark.parametrize(
    ("schedule", "settings", "make"),
    [
        ("exponential", {"decay": 0.9}, lambda s, o: s.ExponentialLR(o, 0.9)),
        ("step", {"decay": 0.9, "step_epochs": 7}, lambda s, o: s.StepLR(o, 7, 0.9)),
        ("cosine", {}, lambda s, o: s.CosineAnnealingLR(o, 50)),
        ("constant", {"warmup_steps": 10}, lambda s, o: s.LinearLR(o, 0.1, 1.0, 9)),
    ],
)
def test_equals_pytorch(schedule, settings, make):
    """With one step an epoch."""
    expected = torch_rates(make, 50)
    np.testing.assert_allclose(rates(schedule, 50, learning_rate=0.3, **settings), expected, rtol=1e-9)


@pytest.mark.parametrize("num_steps", [50, 57])
def test_one_cycle_equals_pytorch(num_steps):
    """PyTorch's has one form for both ways: its straight line on the way up, its cosine on the way down."""

    def expected(form):
        return torch_rates(
            lambda s, o: s.OneCycleLR(
                o, 0.3, total_steps=num_steps, anneal_strategy=form, cycle_momentum=False
            ),
            num_steps,
        )

    by_torch = np.where(np.arange(num_steps) < 0.3 * num_steps - 1, expected("linear"), expected("cos"))
    np.testing.assert_allclose(rates("one-cycle", num_steps, learning_rate=0.3), by_torch, rtol=1e-9)
