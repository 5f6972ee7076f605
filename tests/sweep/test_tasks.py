"""Sweeps over numbers and labels, over weighted rows, and over settings that change what is drawn."""

import csv
import dataclasses
from functools import partial

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeps import (
    BASE,
    TOLERANCE,
    alone,
    assert_same,
    blobs,
    check_stack,
    labels,
    numbers,
    rates,
    results,
    stop_after,
)

from xpnet import sweep
from xpnet.datasets import from_arrays
from xpnet.errors import InputError
from xpnet.sweep import LogUniform, display, plots, table
from xpnet.sweep.plan import Cut, count_halvings, epochs_of_rung

DATA = {
    "a number": numbers(),
    "numbers": numbers(outputs=3),
    "weighted numbers": numbers(outputs=2, weights=True),
    "far numbers": numbers(shift=1e6),
    "labels": labels(),
    "weighted labels": labels(weights=True),
    "weighted classes": dataclasses.replace(
        blobs(), weight_train=np.arange(40) % 3 + 0.5, weight_val=np.arange(30) % 2 + 1.0
    ),
}

points = st.lists(
    st.fixed_dictionaries(
        {
            "learning_rate": st.floats(0.001, 0.1),
            "reg": st.floats(0.0, 0.1),
            "dropout": st.sampled_from([0.0, 0.3]),
            "ema": st.sampled_from([0.0, 0.9]),
            "seed": st.integers(0, 2**32),
        }
    ),
    min_size=2,
    max_size=4,
    unique_by=lambda point: point["seed"],
)
commons = st.fixed_dictionaries(
    {
        "hidden": st.sampled_from([(), (6,), (5, 4)]),
        "solver": st.sampled_from(["sgd", "momentum", "adam", "lion"]),
        "sampling": st.sampled_from(["replacement", "shuffle", "all"]),
        "batch_size": st.integers(2, 17),
        "iterations": st.integers(1, 12),
        "preprocess": st.sampled_from(["mean", "standardize"]),
    }
)


# To the bit as each network alone


@pytest.mark.parametrize("of", DATA)
@given(points=points, common=commons, share_batches=st.booleans(), dtype=st.sampled_from(sorted(TOLERANCE)))
@hypothesis.settings(max_examples=10)
def test_to_the_bit(of, points, common, share_batches, dtype):
    check_stack(points, common, share_batches, dtype, DATA[of])


@pytest.mark.parametrize("of", ["numbers", "labels"])
def test_with_the_loss_of_the_task_by_name(of):
    """Which is no loss of classes: nothing on the way may take the task for one of those."""
    loss = {"numbers": "squared-error", "labels": "logistic"}[of]
    check_stack([{"seed": 0}, {"seed": 1}], {"loss": loss, "learning_rate": 0.05}, True, "float64", DATA[of])
    configs = rates(0.01, 0.02, loss=loss)
    assert sweep.run(configs, DATA[of]).complete
    other = sweep.run(rates(0.01, 0.02), DATA[of])
    assert results(sweep.run(configs, DATA[of]).rows) == results(other.rows)


@pytest.mark.parametrize("weight", ["balanced", {"0": 3.0}, {"1": 0.0, "2": 0.5}])
@pytest.mark.parametrize("of", [blobs(), DATA["weighted classes"]])
def test_with_class_weights_to_the_bit(weight, of):
    common = {"class_weight": weight, "sampling": "all"}
    check_stack([{"seed": 0}, {"seed": 1}, {"seed": 2, "reg": 0.1}], common, False, "float64", of)


def test_a_sweep_over_class_weights():
    """Each network is trained with its own, however the data sets that they prepare are kept."""
    data = blobs()
    space = {"class_weight": [None, "balanced", {"0": 9.0}], "seed": [0, 1]}
    configs = sweep.configs(sweep.grid(space), BASE, share_batches=False)
    found = sweep.run(configs, data)
    for row in found.rows:
        single = alone(configs[row["network"]], data)
        assert row["curve"] == [[r.step, r.val_score] for r in single.history.rows]
        assert row["train_score"] == single.summary["train_accuracy"]
    assert len({str(row["curve"]) for row in found.rows}) == 6
    assert_same(found.best.params, alone(configs[found.rows[0]["network"]], data).model.params)


def test_with_patience_the_best_state_is_kept_whole():
    """Of the epoch that was the best, the memory of the solver with it."""
    common = {"patience": 2, "monitor": "val_loss", "solver": "adam", "learning_rate": 0.1, "iterations": 100}
    configs = sweep.configs([{"seed": k} for k in range(3)], dataclasses.replace(BASE, **common), False)
    found = sweep.run(configs, DATA["a number"], max_nets=3)
    for row in found.rows:
        single = alone(configs[row["network"]], DATA["a number"])
        assert row["status"] == single.summary["status"] == "stopped"
        assert row["steps"] == single.summary["steps"] < 100
    best = alone(configs[found.rows[0]["network"]], DATA["a number"]).result
    assert found.best.state.keys() == {"params", "gradients", "squares"}
    for kind, arrays in best.best.state.items():
        assert_same(found.best.state[kind], arrays)


# What they are ranked by


def rare(rows=300):
    """Rows of which few are of the second class, which nothing tells but chance."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((rows, 3)), (np.arange(rows) % 12 == 0).astype(int)
    X[:, 0] += 1.5 * y
    return from_arrays(X[50:], y[50:], X_val=X[:50], y_val=y[:50])


MEASURED = {"val_balanced_accuracy": 1, "roc_auc": 1, "f1_macro": 1, "val_log_loss": -1, "neg_log_loss": -1}


@pytest.mark.parametrize("halving", [False, True])
@pytest.mark.parametrize("monitor", MEASURED)
def test_the_measure_that_is_monitored_ranks(monitor, halving):
    points = [{"class_weight": w, "seed": k} for w in (None, "balanced") for k in range(3)]
    base = dataclasses.replace(BASE, monitor=monitor, iterations=100, batch_size=10)
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    configs, data = sweep.configs(points, base), rare()
    found = sweep.run(configs, data, halving=halving)
    kept = [row for row in found.rows if row["status"] == "finished"]
    assert len(kept) < len(found.rows) or not halving
    values = [row["monitored"] for row in kept]
    assert values == sorted(values, reverse=True)
    for row in kept[:2]:
        model = alone(configs[row["network"]], data).model
        P = model.probabilities(data.X_val)
        name = monitor.removeprefix("val_").removeprefix("neg_")
        predicted = P.argmax(axis=1)
        theirs = {
            "balanced_accuracy": partial(metrics.balanced_accuracy_score, data.y_val, predicted),
            "roc_auc": partial(metrics.roc_auc_score, data.y_val, P[:, 1]),
            "f1_macro": partial(metrics.f1_score, data.y_val, predicted, average="macro"),
            "log_loss": partial(metrics.log_loss, data.y_val, P),
        }
        sign = -1 if name == "log_loss" else 1
        assert row["monitored"] == pytest.approx(sign * theirs[name](), abs=1e-6)
    header, first, *_ = table.cells(configs, found.rows, "accuracy")
    assert float(first[header.index(monitor)]) == pytest.approx(MEASURED[monitor] * values[0], abs=1e-4)


@pytest.mark.parametrize(
    "monitors", [("val_loss",), ("val_score",), ("accuracy",), ("val_log_loss", "roc_auc")]
)
def test_losses_and_different_measures_do_not_rank(monitors):
    points = [{"monitor": monitor, "seed": k} for monitor in monitors for k in range(2)]
    found = sweep.run(sweep.configs(points, BASE), rare())
    values = [row["val_score"] for row in found.rows]
    assert values == sorted(values, reverse=True)
    assert not any("monitored" in row for row in found.rows)


def test_errors_of_numbers_rank_with_less_first(tmp_path):
    base = dataclasses.replace(BASE, monitor="val_mae")
    found = sweep.run(sweep.configs([{"seed": k} for k in range(4)], base), DATA["a number"])
    errors = [-row["monitored"] for row in found.rows]
    assert errors == sorted(errors)
    table.write_csv(tmp_path / "t.csv", found.configs, found.rows, found.score)
    with (tmp_path / "t.csv").open() as file:
        assert [float(row["val_mae"]) for row in csv.DictReader(file)] == errors


# Time


def test_time_that_is_enough_changes_nothing():
    check_stack([{"seed": 0}, {"seed": 1}], {"max_time": 1e6}, True, "float64")
    configs, data = rates(0.1, 0.2), blobs()
    timed = [dataclasses.replace(config, max_time=1e6) for config in configs]
    assert results(sweep.run(timed, data).rows) == results(sweep.run(configs, data).rows)


def test_time_ends_a_stack_with_what_it_has():
    """After a step, which every network has at least."""
    found = sweep.run(rates(0.1, 0.2, max_time=1e-9), blobs(), max_nets=2)
    assert found.complete
    assert [row["status"] for row in found.rows] == ["stopped"] * 2
    assert [row["steps"] for row in found.rows] == [1, 1]
    assert found.best is not None


def test_halving_has_no_use_for_a_time():
    with pytest.raises(InputError, match=r"^halving compares networks after equal steps: drop --max-time"):
        sweep.run(rates(0.1, 0.2, max_time=5.0), blobs(), halving=True)


# Halving


@pytest.mark.parametrize("of", ["numbers", "labels"])
def test_halving_over_all_rows(of, tmp_path):
    """Each pass of batches of 10, 10, 10, 10; and of 12, 12, 12, 4."""
    data = DATA[of]
    for batch_size in (10, 12):
        values = np.geomspace(1e-4, 0.1, 8).tolist()
        options = {"sampling": "all", "batch_size": batch_size, "solver": "adam", "share_batches": False}
        configs = rates(*values, **options)
        halvings = count_halvings(configs, 40)
        assert halvings == 3
        first = [epochs_of_rung(configs[0], 40, rung, halvings)[1] * 4 for rung in range(4)]
        outcomes = []
        found = sweep.run(
            configs,
            data,
            halving=True,
            max_nets=3,
            on_outcome=outcomes.append,
            out=tmp_path / str(batch_size),
        )
        undisturbed = [alone(config, data) for config in configs]
        survivors = list(range(8))
        for rung, end in enumerate(first):
            of_rung = [row for o in outcomes if o.key.startswith(f"rung{rung}-") for row in o.rows]
            assert sorted(row["network"] for row in of_rung) == sorted(survivors)
            assert {row["steps"] for row in of_rung} == {end}
            score = {row["network"]: row["val_score"] for row in of_rung}
            survivors = sorted(survivors, key=lambda k: (-score[k], k))[: (len(survivors) + 1) // 2]
        (winner,) = survivors
        assert found.rows[0]["network"] == winner
        assert found.score == {"numbers": "r2", "labels": "accuracy"}[of]
        assert_same(found.best.params, undisturbed[winner].model.params)
        assert found.best.history.losses == pytest.approx(undisturbed[winner].history.losses)


def test_a_stopped_sweep_of_numbers_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("xpnet.sweep.workers.choose_cut", lambda *_: Cut(2))
    configs = rates(0.01, 0.02, 0.05, 1e300, sampling="all", batch_size=12)
    data = DATA["numbers"]
    stopped = sweep.run(configs, data, out=tmp_path, should_stop=stop_after(50))
    assert not stopped.complete
    assert stopped.score == "r2"
    assert len(stopped.rows) == 2
    found = sweep.run(configs, data, out=tmp_path)
    undisturbed = sweep.run(configs, data)
    assert results(found.rows) == results(undisturbed.rows)
    assert [row["status"] for row in found.rows] == ["finished"] * 3 + ["diverged"]
    assert_same(found.best.params, undisturbed.best.params)


# What is shown


def test_scores_are_shown_as_what_they_are(tmp_path, capsys):
    configs = rates(0.01, 0.05)
    found = sweep.run(configs, DATA["a number"])
    assert found.score == "r2"
    best = found.rows[0]
    shown = f"{best['val_score']:.4f}"
    assert shown in repr(found)
    assert "%" not in repr(found)
    assert f"<td>{shown}</td>" in found._repr_html_()
    table.write_csv(tmp_path / "results.csv", configs, found.rows, found.score)
    header = (tmp_path / "results.csv").read_text().partition("\n")[0].split(",")
    assert header[-5:] == ["train_r2", "val_r2", "status", "steps", "seconds"]
    told = display.Lines()
    told.expect(configs, 80, "r2")
    told.rows[best["network"]] = best
    told.on_outcome(type("Outcome", (), {"key": "rung0-network0", "rows": found.rows}))
    err = capsys.readouterr().err
    assert err.endswith(f"best so far: network {best['network']}, val R² {shown}\n")
    assert sweep.run(configs, DATA["labels"]).score == sweep.run(configs, blobs()).score == "accuracy"


def test_pictures_of_r2_are_not_in_percent():
    pytest.importorskip("matplotlib")
    configs = sweep.configs(sweep.grid({"reg": [0.0, 0.1], "seed": [0, 1]}), BASE)
    rows = [
        {"network": k, "val_score": value, "status": "finished", "curve": [[1, -0.5], [40, value]]}
        for k, value in enumerate([0.25, 0.5, 0.75, 0.875])
    ]
    figure = plots.heatmap(configs, rows, "r2")
    assert {text.get_text() for text in figure.axes[0].texts} == {"0.250", "0.500", "0.750", "0.875"}
    assert figure.axes[1].get_ylabel() == "validation R²"
    figure = plots.curves(configs, rows, "r2")
    assert figure.axes[0].get_ylabel() == "validation R²"
    assert figure.axes[0].lines[0].get_ydata().tolist() == [-0.5, 0.875]
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend[0] == "0.250  seed 0, reg 0"
    assert plots.heatmap(configs, rows).axes[1].get_ylabel() == "validation accuracy"


# Optuna


def test_a_study_of_numbers():
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    from xpnet.sweep import asktell

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    space = {"learning_rate": LogUniform(1e-4, 0.1), "sampling": "all"}
    asktell.optimize(study, space, BASE, DATA["numbers"], trials=5, stack=3)
    study.enqueue_trial({"learning_rate": 0.1})
    asktell.optimize(study, space | {"reg": 1e25}, BASE, DATA["numbers"], trials=1)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 5 + ["FAIL"]
    for trial in study.trials[:5]:
        config = asktell.config_for(trial, space, BASE)
        assert trial.value == pytest.approx(alone(config, DATA["numbers"]).summary["val_r2"])
