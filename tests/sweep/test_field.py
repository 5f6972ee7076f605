"""Which two settings a heat map is over, and how settings are ranked by their influence."""

import numpy as np
import pytest
from sweeps import BASE

from xpnet import sweep
from xpnet.sweep.field import field_of, in_order
from xpnet.sweep.influence import by_influence


def rows_of(configs, value, diverged=()):
    return [
        {"network": k, "val_score": value(config), "status": "diverged" if k in diverged else "finished"}
        for k, config in enumerate(configs)
    ]


def found(grid, value, **more):
    configs = sweep.configs(sweep.grid(grid), BASE)
    return field_of(configs, rows_of(configs, value, **more))


THREE = {"reg": [0.0, 0.1], "seed": [0, 1, 2], "dropout": [0.0, 0.5], "learning_rate": [0.1, 0.2, 0.3]}


def test_it_is_over_the_two_settings_that_matter_most():
    field = found(THREE, lambda c: c.learning_rate + 0.1 * c.dropout + 0.01 * c.reg + c.seed / 10)
    assert field.names == ("learning_rate", "dropout")
    assert field.over == ["seed", "reg"]
    assert field.note == "each cell is the best over seed and reg"
    best = [[rate + 0.1 * dropout + 0.001 + 0.2 for dropout in (0, 0.5)] for rate in (0.1, 0.2, 0.3)]
    np.testing.assert_allclose(field.scores, best)
    assert found(THREE, lambda c: c.reg - c.dropout).names == ("reg", "dropout")


def test_a_seed_only_where_nothing_else_is_left():
    field = found({"seed": [0, 1], "reg": [0.0, 0.1]}, lambda c: c.seed)
    assert field.names == ("seed", "reg")
    assert field.note == ""
    assert found({"seed": [0, 1, 2]}, lambda c: c.seed) is None


def test_cells_without_a_score():
    configs = sweep.configs(sweep.grid({"reg": [0.0, 0.1], "dropout": [0.0, 0.5], "seed": [0, 1]}), BASE)
    rows = rows_of(configs, lambda _: 0.5, diverged=(0, 1, 2))[:6]
    field = field_of(configs, rows)
    assert np.isfinite(field.scores).tolist() == [[False, True], [True, False]]
    assert field.trained.tolist() == [[True, True], [True, False]]


def test_two_settings_that_make_no_grid_are_passed_over():
    """As of draws: each learning rate is another, but the rest is tried in all pairs."""
    rng = np.random.default_rng(0)
    draws = [
        {
            "learning_rate": float(rng.uniform(0, 1)),
            "reg": [0.0, 0.1][k % 2],
            "dropout": [0.0, 0.5][k // 2 % 2],
        }
        for k in range(16)
    ]
    configs = sweep.configs(draws, BASE)
    assert field_of(configs, rows_of(configs, lambda c: c.learning_rate)).names == ("reg", "dropout")
    assert field_of(configs[:3], rows_of(configs[:3], lambda c: c.learning_rate)) is None


def test_the_influence_of_a_setting_is_what_it_explains():
    rng = np.random.default_rng(0)
    draws = [
        {"learning_rate": float(rng.uniform(0, 1)), "reg": float(rng.uniform(0, 1)),
         "activation": str(rng.choice(["relu", "gelu"])), "seed": k}
        for k in range(200)
    ]  # fmt: skip
    configs = sweep.configs(draws, BASE)
    assert by_influence(configs, rows_of(configs, lambda c: c.reg + 0.3 * c.learning_rate))[:2] == [
        "reg",
        "learning_rate",
    ]
    assert by_influence(configs, rows_of(configs, lambda c: c.activation == "relu"))[0] == "activation"
    # What makes networks diverge matters, whatever a score says, and a score of -1e9 is only the last.
    large = [k for k, config in enumerate(configs) if config.learning_rate > 0.5]
    rows = rows_of(configs, lambda c: -1e9 if c.seed == 3 else c.reg, diverged=large)
    assert by_influence(configs, rows)[0] == "learning_rate"
    assert by_influence(configs, []) == by_influence(configs, rows_of(configs, lambda _: np.nan))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_networks(count):
    configs = sweep.configs([{"reg": 0.1 * k, "dropout": 0.1 * k} for k in range(count)], BASE)
    assert set(by_influence(configs, rows_of(configs, lambda c: c.reg))) == set(
        ["dropout", "reg"] if count > 1 else []
    )


def test_values_in_order():
    configs = sweep.configs(sweep.grid({"patience": [5, None, 2]}), BASE)
    assert in_order(configs, "patience") == [None, 2, 5]
    configs = sweep.configs(sweep.grid({"hidden": [(100, 50), (20,), (100,)]}), BASE)
    assert in_order(configs, "hidden") == [(20,), (100,), (100, 50)]
