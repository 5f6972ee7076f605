"""Values that are none, at every door of a sweep: one line that says what they should be."""

import numpy as np
import pytest
from sweeps import BASE, blobs

from xpnet import Config, InputError, fit, search, sweep
from xpnet.runs.config import Config as Settings

ROWS = blobs()
FAST = {"iterations": 2, "batch_size": 10, "recipe": "none"}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        # what is no grid
        *[(lambda make=make, given=given: make(given), "the grid must be a dict of values by setting")
          for make in (sweep.grid, sweep.ablation, lambda given: sweep.random(given, 2),
                       lambda given: search(ROWS, grid=given or 5, **FAST))
          for given in (None, [], [("reg", [1.0])], "reg", 5)],
        # values in it
        (lambda: sweep.grid({"reg": [0.1, 0.2, 0.1]}), "reg has 0.1 twice: leave one out"),
        (lambda: sweep.grid({"hidden": [[5], 3, [5]]}), "hidden has [5] twice: leave one out"),
        (lambda: search(ROWS, grid={"solver": ["adam", "adam"]}, **FAST), "solver has 'adam' twice"),
        (lambda: search(ROWS, grid={"solver": ["Adam"]}, **FAST), "did you mean 'adam'?"),
        (lambda: search(ROWS, grid={"schedule": "Cosine"}, **FAST), "did you mean 'cosine'?"),
        (lambda: search(ROWS, grid={"learning_rate": [None]}, **FAST), "--learning-rate must be a number"),
        (lambda: search(ROWS, grid={"seed": [True]}, **FAST), "--seed must be an integer, not True"),
        (lambda: search(ROWS, grid={"hidden": [10.0]}, **FAST), "--hidden must be an integer or a list"),
        (lambda: search(ROWS, grid={1: [0.1]}, **FAST), "there is no setting 1"),
        (lambda: search(ROWS, reg=[0.1, 0.2], **FAST), "reg takes one value for all networks: give several"),
        # draws
        *[(lambda n=n: sweep.random({}, n), "n, the number of points, must be an integer, at least 1")
          for n in ("2", 2.0, True, 0, None)],
        *[(lambda seed=seed: sweep.random({}, 1, seed), "seed must be an integer, at least 0")
          for seed in ("a", -1, 1.5, None)],
        (lambda: sweep.random({"reg": (1e-3, 1e-1)}, 2), "give LogUniform, Uniform or Choice instead"),
        *[(lambda of=of, ends=ends: of(*ends), "an end of the range, must be a number")
          for of in (sweep.Uniform, sweep.LogUniform) for ends in (("a", 1), (1, None), (True, 2))],
        *[(lambda given=given: sweep.Choice(given), "a choice needs a list of values, not ")
          for given in (5, None, "adam", {"a": 1})],
        # points
        *[(lambda given=given: sweep.configs(given, BASE), "points must be a list of points")
          for given in (None, {"seed": 1}, "seed", 5)],
        *[(lambda given=given: sweep.configs([given], BASE), "a point must be a dict of values by setting")
          for given in (BASE, "seed", None)],
        *[(lambda base=base: sweep.configs([{}], base), "base must be a Config")
          for base in (None, {}, Config)],
        # what is run
        *[(lambda given=given: sweep.run(given, ROWS), "a sweep needs a list of Config objects, not ")
          for given in (None, BASE, "digits", {"seed": 1}, 5)],
        (lambda: sweep.run([], ROWS), "a sweep needs at least one network"),
        (lambda: sweep.run(iter([]), ROWS), "a sweep needs at least one network"),
        (lambda: sweep.run([{"seed": 1}], ROWS), "a sweep needs a list of Config objects, not {'seed': 1}"),
        (lambda: sweep.run([BASE], ROWS.X_train), "data must be a Dataset"),
        (lambda: sweep.run([BASE], "digits"), "data must be a Dataset"),
        (lambda: sweep.run([BASE], ROWS, out=5), "out must be the path of a folder"),
        (lambda: sweep.run([BASE], ROWS, halving=1), "halving must be true or false, not 1"),
        *[(lambda most=most: sweep.run([BASE], ROWS, max_nets=most), "--max-nets must be an integer")
          for most in (0, "1", 1.5, True)],
        # recipes
        (lambda: fit(ROWS, recipe="Table"), "did you mean 'table'?"),
        (lambda: search(ROWS, recipe=["table"]), "there is no recipe ['table']"),
    ],
)  # fmt: skip
def test_one_line(call, text):
    with pytest.raises(InputError) as caught:
        call()
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        (3, [3]),
        (np.int64(3), [3]),
        (np.array(3), [3]),
        ([3, np.uint8(4)], [3, 4]),
        ((3, 4), [3, 4]),
        (np.array([3, 4]), [3, 4]),
        (range(3, 5), [3, 4]),
        ({3}, [3]),
    ],
)
def test_taken_as_meant(given, seeds):
    assert [config.seed for config in sweep.configs(sweep.grid({"seed": given}), BASE)] == seeds
    found = search(ROWS, grid={"seed": given}, **FAST)
    assert [config.seed for config in found.configs] == seeds
    drawn = search(ROWS, grid={"seed": given}, random=np.int64(3), random_seed=np.int64(1), **FAST)
    assert {config.seed for config in drawn.configs} <= set(seeds)


def test_generators():
    assert len(sweep.grid({"seed": (k for k in range(3))})) == 3
    configs = sweep.configs(({"seed": k} for k in range(3)), BASE)
    found = sweep.run((config for config in configs), ROWS, halving=np.bool_(False), max_nets=np.int64(2))
    assert len(found.rows) == 3
    assert len(search(ROWS, grid={"seed": (k for k in (1, 2))}, random=4, **FAST).rows) == 4


def test_one_layer_in_a_grid():
    for given, layers in ((100, [(100,)]), ([100, (10, 5)], [(100,), (10, 5)])):
        assert [c.hidden for c in sweep.configs(sweep.grid({"hidden": given}), Settings())] == layers
