"""How networks are trained: which hyper-parameters do anything, and the learning rates of steps."""

import numpy as np
import pytest

from xpnet.training import schedules
from xpnet.training.regime import Hyper, Regime


@pytest.mark.parametrize(
    ("name", "nothing", "something"),
    [
        ("dropout", 0.0, 0.1),
        ("ema", [0.0, 0.0], [0.0, 0.9]),
        ("clip_norm", float("inf"), 1.0),
        ("clip_norm", [float("inf")] * 2, [float("inf"), 1.0]),
    ],
)
def test_a_hyper_parameter_is_used_if_it_does_something_for_any_network(name, nothing, something):
    assert not Hyper(**{name: nothing}).uses(name)
    assert Hyper(**{name: something}).uses(name)


@pytest.mark.parametrize("nets", [(), (3,), (2, 3)])
def test_learning_rates_are_those_of_the_schedule(nets):
    regime = Regime(20, 5, schedule="step", step_epochs=2, warmup_steps=3)
    rate = np.random.default_rng(0).uniform(0.1, 1, nets)
    rates = regime.learning_rates(Hyper(rate, 0.5), nets, range(4, 9), 3)
    assert rates.shape == (5, *nets)
    np.testing.assert_allclose(rates, np.broadcast_to(0.5 * rate, (5, *nets)))
    first = regime.learning_rates(Hyper(rate, 0.5), nets, range(2), 0)
    np.testing.assert_allclose(first, [rate / 3, rate * 2 / 3])


def test_a_shared_rate_is_laid_over_all_networks():
    rates = Regime(4, 1, schedule="cosine").learning_rates(Hyper(0.1), (2,), range(4), 0)
    alone = schedules.learning_rates("cosine", range(4), num_steps=4, epochs=0, learning_rate=0.1)
    np.testing.assert_array_equal(rates, np.stack([alone, alone], axis=1))
