"""The points of grids and random draws, and the settings that they make."""

import copy
import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.errors import InputError
from xpnet.runs.config import Config
from xpnet.runs.networks import sources_of
from xpnet.sweep import Choice, LogUniform, Uniform, ablation, configs, grid, random

positive = st.floats(1e-300, 1e300)
finite = st.floats(-1e300, 1e300)


# Points


def test_a_grid_is_every_combination_the_last_varying_fastest():
    assert grid({"reg": [1, 2], "seed": [3, 4, 5]}) == [
        {"reg": 1, "seed": 3},
        {"reg": 1, "seed": 4},
        {"reg": 1, "seed": 5},
        {"reg": 2, "seed": 3},
        {"reg": 2, "seed": 4},
        {"reg": 2, "seed": 5},
    ]


@pytest.mark.parametrize(
    ("space", "points"),
    [
        ({"reg": 1e-3}, [{"reg": 1e-3}]),
        ({"solver": "adam", "seed": [1, 2]}, [{"solver": "adam", "seed": s} for s in (1, 2)]),
        ({"seed": range(2)}, [{"seed": 0}, {"seed": 1}]),
        ({"reg": np.float64(1.5)}, [{"reg": 1.5}]),
        ({"reg": np.array(1.5)}, [{"reg": 1.5}]),
        ({"components": None}, [{"components": None}]),
        ({"hidden": 100}, [{"hidden": 100}]),
        ({"hidden": [100, (300, 100)]}, [{"hidden": 100}, {"hidden": (300, 100)}]),
        ({"hidden": ((100,), ())}, [{"hidden": (100,)}, {"hidden": ()}]),
    ],
)
def test_values_to_try(space, points):
    assert grid(space) == points
    assert ablation(space) == points  # of one setting it is the same


@pytest.mark.parametrize("sizes", [[100, 300], np.array([100, 300]), [[100], [300]], [(100,), 300]])
def test_layers_to_try(sizes):
    made = configs(grid({"hidden": sizes}), Config())
    assert [c.hidden for c in made] == [(100,), (300,)]


@pytest.mark.parametrize("make", [grid, ablation])
@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "hidden has no value to try: give one or more"),
        ((), "hidden has no value to try: give one or more"),
        (np.array([]), "hidden has no value to try: give one or more"),
        (Choice([3]), "hidden is a distribution: draw from it with random, or give a list of values"),
        (
            (300, 100),
            (
                "hidden is (300, 100), which may be one value or several: give [(300, 100)] to try it as "
                "one, or [300, 100] to try each"
            ),
        ),
    ],
)
def test_what_cannot_be_tried(make, given, text):
    with pytest.raises(InputError) as caught:
        make({"seed": [1], "hidden": given})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([1, 2], "reg is a plain list: give Choice([1, 2])"),
        (np.array([1, 2]), "reg is a plain list: give Choice([1, 2])"),
        (range(3), "reg is a plain list: give Choice(range(0, 3))"),
        (object(), "reg cannot be drawn from an object of object: give Uniform, LogUniform or Choice"),
        (LogUniform, "reg cannot be drawn from an object of type: give Uniform, LogUniform or Choice"),
        ({"low": 1}, "reg cannot be drawn from an object of dict: give Uniform, LogUniform or Choice"),
    ],
)
def test_what_is_no_distribution(given, text):
    with pytest.raises(InputError) as caught:
        random({"seed": Choice([1]), "reg": given}, 2)
    assert str(caught.value) == text


def test_a_fixed_value_of_any_kind_goes_through_random():
    fixed = {"hidden": (3, 4), "solver": "adam", "components": None, "flip": True, "reg": np.float32(1)}
    assert random(fixed, 2) == [fixed, fixed]


def test_a_grid_of_nothing_is_the_one_point_that_changes_nothing():
    assert grid({}) == [{}]


@given(ends=st.tuples(positive, positive).map(sorted), seed=st.integers(0, 2**32))
def test_log_uniform_draws_stay_within_their_ends(ends, seed):
    low, high = ends
    draws = [point["reg"] for point in random({"reg": LogUniform(low, high)}, 5, seed)]
    assert all(low <= draw <= high for draw in draws)


@given(ends=st.tuples(finite, finite).map(sorted), seed=st.integers(0, 2**32))
def test_uniform_draws_stay_within_their_ends(ends, seed):
    low, high = ends
    draws = [point["reg"] for point in random({"reg": Uniform(low, high)}, 5, seed)]
    assert all(low <= draw <= high for draw in draws)


@pytest.mark.parametrize(
    ("draw", "to_unit"),
    [
        (LogUniform(1e-4, 1e2), lambda value: (math.log10(value) + 4) / 6),
        (Uniform(-3.0, 5.0), lambda value: (value + 3) / 8),
        (Choice([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95]), float),
    ],
)
def test_draws_are_spread_evenly_in_what_they_are_uniform_in(draw, to_unit):
    values = [to_unit(point["x"]) for point in random({"x": draw}, 2000)]
    shares, _ = np.histogram(values, bins=10, range=(0, 1))
    # Of 2,000 draws 200 a bin, with a standard deviation of 13.
    assert shares.sum() == 2000
    assert np.abs(shares - 200).max() < 60


def test_draws_follow_from_their_seed():
    space = {"reg": Uniform(0, 1), "seed": Choice(range(100)), "init_std": LogUniform(1e-3, 1)}
    assert random(space, 5, seed=1) == random(space, 5, seed=1)
    assert random(space, 5, seed=1) != random(space, 5, seed=2)


@given(n=st.integers(1, 20), more=st.integers(0, 20), seed=st.integers(0, 2**32))
def test_the_first_draws_do_not_depend_on_how_many_follow(n, more, seed):
    space = {"reg": Uniform(0, 1), "hidden": Choice([(3,), (4, 5)]), "init_std": LogUniform(1e-3, 1)}
    assert random(space, n + more, seed)[:n] == random(space, n, seed)


def test_a_plain_value_is_the_same_in_all_draws():
    points = random({"reg": 0.5, "seed": Choice(range(1000))}, 8)
    assert {point["reg"] for point in points} == {0.5}
    assert len({point["seed"] for point in points}) > 1


def test_an_ablation_changes_one_setting_at_a_time():
    assert ablation({"flip": [True, False], "reg": [1, 2, 3], "seed": [4]}) == [
        {"flip": True, "reg": 1, "seed": 4},
        {"flip": False, "reg": 1, "seed": 4},
        {"flip": True, "reg": 2, "seed": 4},
        {"flip": True, "reg": 3, "seed": 4},
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LogUniform(0, 1), "0 < low"),
        (lambda: LogUniform(2, 1), "low <= high"),
        (lambda: LogUniform(1, math.inf), "inf"),
        (lambda: LogUniform(math.nan, 1), "nan"),
        (lambda: Uniform(2, 1), "low <= high"),
        (lambda: Uniform(0, math.inf), "finite"),
        (lambda: Uniform(-1e308, 1e308), "1e+308"),
        (lambda: Choice([]), "at least one value"),
        (lambda: random({}, 0), "must be an integer, at least 1, not 0"),
    ],
)
def test_what_cannot_be_drawn_from_is_an_error(make, words):
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# Settings


def test_a_point_takes_the_place_of_the_base_settings():
    base = Config(reg=0.5, iterations=7)
    made = configs([{"learning_rate": 0.1}, {"hidden": (5, 4)}], base, share_batches=False)
    assert made == [dataclasses.replace(base, learning_rate=0.1), dataclasses.replace(base, hidden=(5, 4))]


def test_a_point_may_hold_what_numpy_and_json_make_of_values():
    points = grid({"learning_rate": np.logspace(-3, -1, 2), "batch_size": np.array([5]), "hidden": [[4, 3]]})
    made = configs(points, Config(), share_batches=False)
    assert made == configs(
        [{"learning_rate": rate, "batch_size": 5, "hidden": (4, 3)} for rate in (1e-3, 1e-1)],
        Config(),
        share_batches=False,
    )
    values = made[0].learning_rate, made[0].batch_size, made[0].hidden
    assert [type(value) for value in values] == [float, int, tuple]


def test_networks_share_the_batches_of_the_first_by_default():
    made = configs(grid({"seed": [3, 4, 5]}), Config())
    assert [c.seed for c in made] == [3, 4, 5]
    assert [c.batch_seed for c in made] == [3, 3, 3]


def test_networks_have_batches_of_their_own_on_demand():
    made = configs(grid({"seed": [3, 4, 5]}), Config(), share_batches=False)
    assert [c.batch_seed for c in made] == [None, None, None]


@pytest.mark.parametrize("share_batches", [True, False])
def test_each_network_draws_what_it_draws_alone(share_batches):
    made = configs(grid({"seed": [3, 4, 5]}), Config(), share_batches)
    source = sources_of(made)("batches", 7)
    sources = [source] * 3 if share_batches else source
    draws = [rng.integers(2**62) for rng in map(copy.deepcopy, sources)]
    assert draws == [sources_of([config])("batches", 7).integers(2**62) for config in made]
    assert len(set(draws)) == (1 if share_batches else 3)


def test_shared_batches_are_those_that_the_settings_name():
    assert {c.batch_seed for c in configs(grid({"seed": [3, 4]}), Config(batch_seed=9))} == {9}


def test_a_point_may_name_its_own_batches():
    made = configs([{"seed": 3}, {"seed": 4, "batch_seed": 8}, {"seed": 5}], Config())
    assert [c.batch_seed for c in made] == [3, 8, 3]


@pytest.mark.parametrize(
    ("base", "point"),
    [(Config(iterations=10), {"epochs": 3}), (Config(iterations=None, epochs=3), {"iterations": 10})],
)
def test_iterations_and_epochs_take_each_others_place(base, point):
    (made,) = configs([point], base)
    assert (made.iterations, made.epochs) == (point.get("iterations"), point.get("epochs"))


def test_iterations_and_epochs_exclude_each_other():
    with pytest.raises(InputError, match="either --iterations or --epochs"):
        configs([{"iterations": 10, "epochs": 3}], Config())


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([], "at least one point"),
        (iter([]), "at least one point"),
        ([{"learning_rat": 1.0}], "'learning_rat' to sweep over: did you mean learning_rate?"),
        ([{"lr": 1.0}], "'lr' to sweep over: did you mean learning_rate?"),
        ([{"zzz": 1.0}], "no setting 'zzz' to sweep over"),
        ([{"reg": "1"}], "--reg must be a number, not '1'"),
        ([{"reg": [1.0, 2.0]}], "--reg must be a number, not [1.0, 2.0]"),
        ([{"solver": "adm"}], "did you mean 'adam'?"),
        ([{"learning_rate": -1.0}], "--learning-rate"),
        ([{"dataset": "cifar10"}], "dataset is the same for a whole sweep"),
        ([{"device": "cuda"}], "device is the same for a whole sweep"),
        ([{"backend": "torch"}], "backend is the same for a whole sweep"),
        ([{"precision": "tf32"}], "precision is the same for a whole sweep"),
        ([{"dtype": "float32"}], "dtype is the same for a whole sweep"),
        ([{"data_dir": "."}], "data_dir is the same for a whole sweep"),
        ([{"out": "there"}], "out is the same for a whole sweep"),
    ],
)
def test_what_cannot_be_swept_over_is_an_error(points, words):
    with pytest.raises(InputError) as caught:
        configs(points, Config())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
