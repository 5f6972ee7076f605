"""Learning curves: networks of different numbers of rows in one sweep, and their picture."""

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sweeps import BASE, alone, assert_same, blobs, numbers, stacked

from xpnet import InputError, fit, search, sweep
from xpnet.reporting import plots
from xpnet.runs.starting import prepare
from xpnet.sweep.learning import MOST_LINES, learning, lines_of
from xpnet.sweep.plan import groups

CONFIGS = sweep.configs(
    sweep.grid({"train_rows": [10, 20, 40], "seed": [0, 1], "learning_rate": [0.1, 0.3]}), BASE
)


@pytest.fixture
def prepared(monkeypatch):
    """What data are prepared for: rows and seeds, in order."""
    made = []

    def counting(config, *given):
        made.append((config.train_rows, config.seed))
        return prepare(config, *given)

    monkeypatch.setattr("xpnet.runs.starting.prepare", counting)
    return made


# The networks


@pytest.mark.parametrize("data", [blobs(), numbers(shift=10.0, scale=3.0)], ids=["classes", "numbers"])
def test_a_network_of_a_stack_is_the_one_that_is_trained_alone(data):
    """The same rows share a stack: of one number and one seed."""
    found = groups(CONFIGS)
    assert found == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert len(groups([replace(config, train_rows=None) for config in CONFIGS])) == 1
    for numbers_of in found:
        configs = [CONFIGS[k] for k in numbers_of]
        for config, trained in zip(configs, stacked(configs, data).trained.values(), strict=True):
            assert_same(trained.params, alone(config, data).model.params)


@pytest.mark.parametrize(
    "options",
    [{}, {"max_nets": 1}, {"executor": ThreadPoolExecutor(2)}],
    ids=["threads", "alone", "executor"],
)
def test_a_sweep_is_of_networks_that_are_trained_alone(options):
    data = blobs()
    found = sweep.run(CONFIGS, data, **options)
    assert found.complete
    for row in found.rows:
        single = alone(CONFIGS[row["network"]], data)
        for part in ("train", "val"):
            assert row[f"{part}_score"] == single.summary[f"{part}_accuracy"]
        assert row["steps"] == single.summary["steps"]
    assert_same(found.best.params, alone(CONFIGS[found.rows[0]["network"]], data).model.params)


def test_workers_cut_what_they_load():
    grid = {"train_rows": [50, 200], "seed": [0, 1]}
    settings = {"grid": grid, "hidden": 5, "epochs": 1}
    there = search("digits", **settings, executor=ThreadPoolExecutor(2))
    here = search("digits", **settings)
    assert [(row["network"], row["val_score"]) for row in there.rows] == [
        (row["network"], row["val_score"]) for row in here.rows
    ]
    assert there.best.summary["data"] == here.best.summary["data"]


def test_what_suits_the_rows_is_that_of_each_number():
    data = blobs(rows=2000)
    found = search(
        data, grid={"train_rows": [100, 1000, 2000]}, epochs=0, batch_size=0, recipe="none", hidden=5
    )
    for config in found.configs:
        run = fit(data, train_rows=config.train_rows, epochs=0, batch_size=0, recipe="none", hidden=5)
        assert replace(config, batch_seed=None) == run.config
    assert len({(config.batch_size, config.epochs) for config in found.configs}) == 3


def test_each_subset_is_prepared_once(prepared):
    grid = {"train_rows": [10, 20, 30], "seed": [0, 1, 2, 3]}
    sweep.run(sweep.configs(sweep.grid(grid), BASE), blobs())
    subsets = [(rows, seed) for rows in grid["train_rows"] for seed in grid["seed"]]
    assert sorted(prepared) == subsets
    prepared.clear()
    # Of several networks each, one of a number has to be prepared before, to choose how they are cut.
    sweep.run(sweep.configs(sweep.grid(grid | {"reg": [0.0, 0.1]}), BASE), blobs())
    assert prepared[:3] == [(10, 0), (20, 0), (30, 0)]
    assert sorted(prepared[3:]) in (subsets, [s for s in subsets if s != (20, 0)])


def test_more_rows_than_there_are_end_a_sweep_before_any_work(tmp_path):
    with pytest.raises(
        InputError, match=r"^--train-rows 41 is more than the 40 training rows: give 40 or less"
    ):
        search(blobs(), grid={"train_rows": [10, 41]}, recipe="none", out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_halving_compares_networks_of_as_many_rows():
    with pytest.raises(InputError, match="drop --halving, or give one --train-rows"):
        sweep.run(CONFIGS, blobs(), halving=True)
    some = [config for config in CONFIGS if config.train_rows == 20]
    found = sweep.run(some, blobs(), halving=True)
    assert [row["status"] for row in found.rows].count("dropped") == 3
    first = found.rows[0]
    assert_same(found.best.params, alone(some[first["network"]], blobs()).model.params)


@pytest.mark.usefixtures("without_pictures")
def test_a_folder_holds_the_rows_and_the_best_run(tmp_path, monkeypatch):
    settings = {"recipe": "none", "hidden": 5, "epochs": 5, "batch_size": 10, "batch_seed": 0}
    swept = {"grid": {"train_rows": [10, 40], "seed": [0, 1]}, "out": tmp_path / "s"}
    found = search(blobs(), **swept, **settings)
    with (tmp_path / "s/results.csv").open() as file:
        in_table = [row["train_rows"] for row in csv.DictReader(file)]
    assert in_table == [str(found.configs[row["network"]].train_rows) for row in found.rows]
    best = found.configs[found.rows[0]["network"]]
    assert found.best.config == best
    run = fit(blobs(), train_rows=best.train_rows, seed=best.seed, **settings)
    assert_same(found.best.model.params, run.model.params)

    def train_chunk(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("xpnet.sweep.workers.train_chunk", train_chunk)
    assert search(blobs(), **swept, **settings).rows == found.rows


def test_a_run_to_begin_with_keeps_its_preprocessing(tmp_path):
    fit(blobs(), out=tmp_path / "first", recipe="none", hidden=5, epochs=1, batch_size=10)
    settings = {"init_from": tmp_path / "first", "epochs": 2}
    found = search(blobs(), grid={"train_rows": [10, 20]}, **settings)
    run = fit(blobs(), train_rows=found.best.config.train_rows, **settings)
    assert_same(found.best.model.params, run.model.params)
    assert_same(found.best.model.fitted, run.model.fitted)


# The lines


def rows_of(configs, score, diverged=()):
    """The rows of a table whose scores are of a function of the settings."""
    return [
        {
            "network": k,
            "val_score": score(config),
            "train_score": 1.0,
            "status": "diverged" if k in diverged else "finished",
        }
        for k, config in enumerate(configs)
    ]


def configs_of(**grid):
    return sweep.configs(sweep.grid(grid), BASE)


def scored(config):
    return config.train_rows / 1000 + config.seed / 10 - config.reg


def test_seeds_are_a_point():
    configs = configs_of(seed=[0, 2], train_rows=[100, 10])
    (line,) = lines_of(configs, rows_of(configs, scored))
    assert (line.label, list(line.points)) == ("", [10, 100])
    mean, deviation = line.band("val_score")
    np.testing.assert_allclose(mean, [0.1, 0.19])
    np.testing.assert_allclose(deviation, [0.2 / 2**0.5] * 2)
    (line,) = lines_of(configs, rows_of(configs, scored, diverged=(0, 1)))
    np.testing.assert_allclose(line.band("val_score"), [[0.2, 0.29], [0, 0]])


def test_each_other_setting_is_a_line_while_they_are_few():
    configs = configs_of(train_rows=[10, 100], reg=[0.5, 0.1], seed=[0, 1])
    lines = lines_of(configs, rows_of(configs, scored))
    assert [line.label for line in lines] == ["reg 0.1", "reg 0.5"]  # the best first
    assert all(list(line.points) == [10, 100] for line in lines)
    many = configs_of(train_rows=[10, 100], reg=[k / 10 for k in range(MOST_LINES + 1)], seed=[0, 1])
    (line,) = lines_of(many, rows_of(many, lambda c: scored(c) if c.train_rows > 10 else c.reg))
    assert line.label == f"the best of {MOST_LINES + 1} settings"
    of_points = [{many[row["network"]].reg for row in rows} for rows in line.points.values()]
    assert of_points == [{MOST_LINES / 10}, {0.0}]


def test_what_suits_the_rows_is_no_other_setting():
    configs = [replace(config, batch_size=config.train_rows) for config in configs_of(train_rows=[10, 40])]
    (line,) = lines_of(configs, rows_of(configs, scored))
    assert list(line.points) == [10, 40]


def test_settings_that_name_no_number_have_all_rows():
    configs = configs_of(train_rows=[10, None])
    rows = rows_of(configs, lambda config: config.reg)
    (line,) = lines_of(configs, rows, 1000)
    assert list(line.points) == [10, 1000]
    assert lines_of(configs, rows) == []
    assert lines_of(CONFIGS[:4], rows_of(CONFIGS[:4], scored)) == []


def test_the_picture():
    pytest.importorskip("matplotlib")
    configs = configs_of(train_rows=[1000, 1020, 4000, None], seed=[0, 1], reg=[0.1, 0.2])
    rows = rows_of(configs, lambda config: 0.5 + config.reg)
    figure = learning(configs, rows, num_rows=10_000)
    (axes,) = figure.axes
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["reg 0.2", "reg 0.1", "validation", "training", "mean ± standard deviation of 2 seeds"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10,000", "4,000", "1,020"]  # with room
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("training rows", "accuracy")
    assert axes.get_ylim()[1] == 1.0
    figure.canvas.draw()

    one = configs_of(train_rows=[10, 100])
    axes = learning(one, rows_of(one, scored), "r2").axes[0]
    assert axes.get_ylabel() == "R²"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["validation", "training"]
    assert not axes.collections  # no band of a single network
    assert learning(one[:1], rows_of(one[:1], scored)) is None


@pytest.mark.skipif(not plots.available(), reason="matplotlib is not installed")
def test_the_picture_is_in_the_folder_where_rows_vary(tmp_path):
    settings = {"recipe": "none", "hidden": 5, "epochs": 1, "batch_size": 10}
    search(blobs(), grid={"train_rows": [10, 20]}, out=tmp_path / "s", **settings)
    assert (tmp_path / "s/learning.png").stat().st_size > 1000
    search(blobs(), grid={"seed": [0, 1]}, out=tmp_path / "s", force=True, **settings)
    assert not (tmp_path / "s/learning.png").exists()
