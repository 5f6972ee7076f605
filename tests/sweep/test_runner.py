"""Sweeps from their settings to the table: ranking, chunks, halving, memory, stopping."""

import ast
import dataclasses
import pickle
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sweeps import BASE, SmallDevice, alone, assert_close, assert_same, blobs, rates, results, stop_after

import xpnet.sweep
from xpnet import sweep
from xpnet.datasets import digits
from xpnet.errors import InputError
from xpnet.nn.mlp import MLP
from xpnet.runs.config import Config
from xpnet.runs.networks import hyper_of
from xpnet.sweep.chunk import Outcome, merit
from xpnet.sweep.display import Display
from xpnet.sweep.plan import MEMORY_SHARE, Cut, epochs_of_rung, network_bytes
from xpnet.sweep.runner import Sweep
from xpnet.sweep.search import search
from xpnet.sweep.space import Choice
from xpnet.training.regime import Hyper

BURST = {"learning_rate": 1.0, "reg": 1e25}
"""Settings of a network that diverges in the seventh step."""


def statuses(found):
    return [row["status"] for row in found.rows]


# The table


def test_the_table_ranks_the_networks():
    data = blobs()
    configs = rates(1e-6, 0.1, 0.5, 0.3)
    found = sweep.run(configs, data)
    assert found.complete
    assert found.configs == configs
    assert sorted(row["network"] for row in found.rows) == [0, 1, 2, 3]
    accuracies = [row["val_score"] for row in found.rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert len(set(accuracies)) > 1
    for row in found.rows:
        single = alone(configs[row["network"]], data)
        assert row["status"] == "finished"
        assert row["steps"] == BASE.iterations
        assert row["seconds"] > 0
        assert row["train_score"] == single.summary["train_accuracy"]
        assert row["val_score"] == single.summary["val_accuracy"]
        assert row["curve"] == [[r.step, r.val_score] for r in single.result.history.rows]
    best = alone(configs[found.rows[0]["network"]], data)
    assert_close(found.best.params, best.model.params, 1e-12)
    assert [r.step for r in found.best.history.rows] == [r.step for r in best.result.history.rows]


def test_the_first_of_equals_wins():
    configs = sweep.configs([{}, {}, {}], BASE)
    assert [row["network"] for row in sweep.run(configs, blobs()).rows] == [0, 1, 2]


def test_the_data_set_that_the_settings_name_is_loaded():
    configs = sweep.configs(sweep.grid({"seed": [0, 1]}), Config(hidden=(8,), iterations=30))
    named, given = sweep.run(configs, max_nets=2), sweep.run(configs, digits(), max_nets=2)
    assert {row["val_score"] for row in named.rows} == {row["val_score"] for row in given.rows}


def test_on_every_device(device, dtype):
    configs, data = rates(0.1, 0.2, 0.3, dtype=dtype), blobs(dtype=dtype)
    found = sweep.run(configs, data, device=device, max_nets=3)
    here = sweep.run(configs, data, max_nets=3)
    assert [row["network"] for row in found.rows] == [row["network"] for row in here.rows]
    for row, expected in zip(found.rows, here.rows, strict=True):
        assert row["val_score"] == pytest.approx(expected["val_score"], abs=1e-6)
    assert isinstance(found.best.params["W1"], np.ndarray)
    assert_close(found.best.params, here.best.params, {"float64": 1e-12, "float32": 1e-4}[dtype])


def test_settings_that_do_not_fit_the_data_are_an_error_before_any_work(tmp_path):
    configs = sweep.configs([{}, {"loss": "logistic"}], BASE)
    with pytest.raises(InputError, match="--loss logistic is not for classification"):
        sweep.run(configs, blobs(), out=tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_what_is_no_executor(tmp_path):
    with pytest.raises(
        InputError, match=r"^executor must be a concurrent\.futures\.Executor or similar, not 5$"
    ):
        sweep.run(sweep.configs([{}], BASE), blobs(), out=tmp_path / "there", executor=5)
    assert not (tmp_path / "there").exists()


def test_a_sweep_of_nothing():
    for given in ([], ()):
        with pytest.raises(InputError, match=r"^a sweep needs at least one network: give the settings"):
            sweep.run(given, blobs())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dataset", "other.npz"),
        ("data_dir", "there"),
        ("device", "cuda"),
        ("backend", "torch"),
        ("precision", "tf32"),
        ("compile", True),
        ("dtype", "float32"),
    ],
)
def test_networks_that_cannot_share_a_sweep(name, value):
    first = getattr(BASE, name)
    with pytest.raises(InputError) as caught:
        sweep.run([BASE, BASE, dataclasses.replace(BASE, **{name: value})], blobs())
    assert str(caught.value) == (
        f"{name} is the same for a whole sweep, not {first!r} and {value!r}: run one sweep for each value"
    )


# As text


def row(network, status="finished", accuracy=0.5):
    return {"network": network, "train_score": 0.75, "val_score": accuracy, "status": status}


def test_a_sweep_prints_the_best_and_what_became_of_the_others():
    configs = sweep.configs(sweep.grid({"reg": [0.5, 0.25, 0.125], "seed": [1, 2]}), BASE)
    rows = [row(3, accuracy=0.875), row(1), row(0, "dropped"), row(2, "dropped"), row(5, "dropped")]
    found = Sweep(configs, [*rows, row(4, "diverged", float("nan"))], None, complete=True)
    assert repr(found) == (
        "Sweep(6 networks, 3 dropped, 1 diverged\n"
        "  network  seed    reg    train      val    status\n"
        "        3     2   0.25  75.00 %  87.50 %  finished\n"
        "        1     2    0.5  75.00 %  50.00 %  finished\n"
        "        0     1    0.5  75.00 %  50.00 %   dropped\n"
        "        2     1   0.25  75.00 %  50.00 %   dropped\n"
        "        5     2  0.125  75.00 %  50.00 %   dropped)"
    )
    page = found._repr_html_()
    assert "Sweep: 6 networks</span>" in page
    assert "3 dropped, 1 diverged" in page
    assert "<b>87.50 %</b><span>best validation accuracy" in page
    assert "<table><tr><th>network</th><th>seed" in page
    assert page.count("<tr>") == 7
    assert "<td>0.125</td>" in page
    assert repr(Sweep(configs, [], None, complete=False)) == "Sweep(6 networks, interrupted with no results)"
    assert repr(Sweep(configs[:1], [row(0)], None, complete=True)).startswith("Sweep(1 network\n")
    many = [row(k) for k in range(6)] * 30
    assert repr(Sweep(configs, many, None, complete=True)).count("\n") < 10
    assert Sweep(configs, many, None, complete=True)._repr_html_().count("<tr>") == 21


def interrupting(monkeypatch, event):
    """Send Ctrl-C, once, as a search hears of an event."""
    real, sent = getattr(Display, event), []

    def tell(self, *given):
        real(self, *given)
        if not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Display, event, tell)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("some", "out", "kept"),
    [
        (False, None, "before any stack of networks had finished: nothing is kept, and best is None; search"),
        (
            False,
            "there",
            "only the settings are kept, in there, and best is None; the same call starts",
        ),
        (True, None, "their scores are in rows, the networks are not kept, and best is None; search again;"),
        (True, "there", "the results so far are in there, and best is None; the same call continues from"),
    ],
)
def test_an_interrupted_search_says_what_is_kept(some, out, kept, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rates = {"learning_rate": [k / 100 for k in range(1, 13)]}
    how = {"max_nets": 1, "out": out, "iterations": 1000, "hidden": 7, "batch_size": 10, "recipe": "none"}
    interrupting(monkeypatch, "on_outcome" if some else "on_recorded")
    with pytest.warns(UserWarning, match="the search was interrupted") as told:
        found = search(blobs(), grid=rates, **how)
    (warning,) = told
    assert warning.filename == __file__
    assert kept in str(warning.message)
    assert (found.complete, found.best) == (False, None)
    assert 0 < len(found.rows) < 12 if some else found.rows == []
    assert not some or f"with results of {len(found.rows)} of 12 networks: " in str(warning.message)
    shown = found._repr_html_()
    assert kept in shown
    assert ("<table>" in shown) == some
    page = found.report("page.html").read_text("utf-8")
    assert kept in page
    assert "Every network diverged" not in page
    with pytest.raises(InputError, match="the sweep was interrupted"):
        found.ensemble()
    assert search(blobs(), grid=rates, **how).complete  # Ctrl-C was pressed once


def test_ctrl_c_after_the_last_network_is_told(monkeypatch):
    real = Display.on_outcome

    def tell(self, outcome):
        real(self, outcome)
        if self.counts().startswith("2/2"):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Display, "on_outcome", tell)
    with pytest.warns(UserWarning, match="the search was interrupted, but it was already complete"):
        assert search(
            blobs(), grid={"reg": [0.0, 1e-3]}, iterations=9, hidden=7, batch_size=10, recipe="none"
        ).complete


def test_a_sweep_that_was_stopped_shows_a_sentence_not_an_empty_table():
    shown = Sweep(rates(0.1, 0.2), [], None, complete=False)._repr_html_()
    assert "Interrupted before any stack of networks had finished: nothing is kept." in shown
    assert "<table>" not in shown


def test_a_sweep_pickles_and_its_parts_print_no_arrays():
    found = sweep.run(rates(0.1, 0.2), blobs())
    other = pickle.loads(pickle.dumps(found))
    assert (other.configs, other.rows, repr(other)) == (found.configs, found.rows, repr(found))
    assert_same(other.best.params, found.best.params)
    for part in (found, found.best, Outcome("rung0", found.rows, {0: found.best}), hyper_of(found.configs)):
        assert "array" not in repr(part)
        assert repr(part).count("\n") < 10
    assert "learning_rate=0.1…0.2" in repr(hyper_of(found.configs))


# Chunks


@pytest.mark.parametrize("halving", [False, True])
@pytest.mark.parametrize("share_batches", [False, True])
@pytest.mark.parametrize("max_nets", [1, 2, 5, None])
def test_the_table_does_not_depend_on_the_size_of_stacks(max_nets, share_batches, halving):
    values = (0.05, 0.1, 0.2, 0.3, 1e300, 0.5, 0.6)  # of which one diverges
    configs = rates(*values, share_batches=share_batches)
    sizes = set()

    def on_outcome(outcome):
        sizes.update(row["networks"] for row in outcome.rows)

    found = sweep.run(configs, blobs(), halving=halving, max_nets=max_nets, on_outcome=on_outcome)
    assert max(sizes) <= (max_nets or 7)
    whole = sweep.run(configs, blobs(), halving=halving, max_nets=7)
    assert results(found.rows) == results(whole.rows)
    if share_batches:
        assert_close(found.best.params, whole.best.params, 1e-12)
    else:
        assert_same(found.best.params, whole.best.params)


def test_shapes_are_trained_in_turn():
    space = {"hidden": [(4,), (5, 3)], "batch_size": [8, 10], "seed": [0, 1, 2]}
    configs, data = sweep.configs(sweep.grid(space), BASE, share_batches=False), blobs()
    found = sweep.run(configs, data)
    assert sorted(row["network"] for row in found.rows) == list(range(12))
    for row in found.rows:
        single = alone(configs[row["network"]], data)
        assert row["val_score"] == single.summary["val_accuracy"]
        assert row["steps"] == single.summary["steps"]
    assert_same(found.best.params, alone(configs[found.rows[0]["network"]], data).model.params)


def test_stacks_are_no_larger_than_memory_allows():
    configs = rates(*[0.1] * 8, share_batches=False)
    small = SmallDevice(3.5 * network_bytes(MLP((5, 7, 3)), configs) / MEMORY_SHARE)
    sizes = []
    found = sweep.run(
        configs, blobs(), device=small, on_outcome=lambda outcome: sizes.append(len(outcome.rows))
    )
    assert max(sizes) <= 3
    assert sum(sizes) == 8
    assert results(found.rows) == results(sweep.run(configs, blobs(), max_nets=8).rows)


# Networks that diverge


def test_networks_that_diverge_come_last():
    configs = sweep.configs([BURST, {"learning_rate": 1e-6}, BURST, {}], BASE)
    found = sweep.run(configs, blobs())
    assert statuses(found) == ["finished", "finished", "diverged", "diverged"]
    assert {row["network"] for row in found.rows[:2]} == {1, 3}
    assert found.rows[2]["steps"] < BASE.iterations
    assert found.best is not None


@pytest.mark.parametrize("halving", [False, True])
def test_a_sweep_of_which_all_diverge_has_no_best(tmp_path, halving):
    configs = sweep.configs([BURST | {"seed": seed} for seed in range(4)], BASE)
    for _ in range(2):  # the second time from the folder
        found = sweep.run(configs, blobs(), halving=halving, out=tmp_path)
        assert found.complete
        assert found.best is None
        assert statuses(found) == ["diverged"] * 4


# Halving


def test_halving_keeps_the_better_half_of_each_rung():
    data = blobs()
    values = np.geomspace(1e-3, 0.6, 8)
    configs = rates(*values.tolist(), share_batches=False)
    outcomes = []
    found = sweep.run(configs, data, halving=True, max_nets=3, on_outcome=outcomes.append)
    assert found.complete
    # 40 steps in rungs that end where an epoch does: after 5, 13, 21 and all 40 (test_sweep_plan).
    ends = [5, 13, 21, 40]
    undisturbed = [alone(config, data) for config in configs]
    survivors = list(range(8))
    for rung, end in enumerate(ends):
        of_rung = [row for o in outcomes if o.key.startswith(f"rung{rung}-") for row in o.rows]
        assert sorted(row["network"] for row in of_rung) == sorted(survivors)
        for row in of_rung:
            history = undisturbed[row["network"]].result.history.rows
            assert row["steps"] == end
            assert row["curve"] == [[r.step, r.val_score] for r in history if r.step <= end]
            assert row["val_score"] == row["curve"][-1][1]
        survivors = sorted(survivors, key=lambda k: (-accuracy(undisturbed[k], end), k))[
            : (len(survivors) + 1) // 2
        ]
    assert statuses(found) == ["finished"] + ["dropped"] * 7
    first, *dropped = found.rows
    assert [first["network"]] == survivors
    assert sorted(row["steps"] for row in dropped) == [5, 5, 5, 5, 13, 13, 21]
    assert_same(found.best.params, undisturbed[first["network"]].model.params)
    assert [r[:4] for r in found.best.history.rows] == [
        r[:4] for r in undisturbed[first["network"]].result.history.rows
    ]
    assert found.best.history.losses == undisturbed[first["network"]].result.history.losses


def accuracy(experiment, step):
    """Validation accuracy of a network after a step that ends an epoch."""
    (value,) = [row.val_score for row in experiment.result.history.rows if row.step == step]
    return value


def test_halving_never_goes_on_with_a_network_that_diverged():
    points = [BURST | {"seed": seed} for seed in range(6)] + [{"seed": 6}, {"seed": 7}]
    configs = sweep.configs(points, dataclasses.replace(BASE, iterations=64), share_batches=False)
    outcomes = []
    found = sweep.run(configs, blobs(), halving=True, on_outcome=outcomes.append)
    # The first rung is 8 steps, in which six of the eight diverge.
    later = [row for o in outcomes if not o.key.startswith("rung0-") for row in o.rows]
    assert {row["network"] for row in later} == {6, 7}
    assert statuses(found) == ["finished", "dropped"] + ["diverged"] * 6


def test_halving_over_shapes_compares_all_networks():
    space = {"hidden": [(1,), (8,)], "seed": [0, 1, 2, 3]}
    configs, data = sweep.configs(sweep.grid(space), BASE, share_batches=False), blobs()
    outcomes = []
    found = sweep.run(configs, data, halving=True, on_outcome=outcomes.append)
    first = [row for o in outcomes if o.key.startswith("rung0-") for row in o.rows]
    second = {row["network"] for o in outcomes if o.key.startswith("rung1-") for row in o.rows}
    assert second == {row["network"] for row in sorted(first, key=merit, reverse=True)[:4]}
    assert_same(found.best.params, alone(configs[found.rows[0]["network"]], data).model.params)


def test_halving_saves_most_of_the_steps():
    configs = rates(*[0.1] * 32, iterations=400)
    found = sweep.run(configs, blobs(), halving=True)
    assert statuses(found) == ["finished"] + ["dropped"] * 31
    done = sum(row["steps"] for row in found.rows)
    assert done < 32 * 400 / 5
    span = epochs_of_rung(configs[0], 40, 0, 5)
    assert span == (0, 4)  # 400 / 32 = 12.5 steps: up to the 13th


def test_halving_too_short_a_training_is_none():
    configs = rates(0.1, 0.2, 0.3, iterations=4)
    assert statuses(sweep.run(configs, blobs(), halving=True)) == ["finished"] * 3


# Watching and stopping


def test_epochs_and_outcomes_are_told():
    epochs, outcomes = [], []
    configs = rates(0.1, 0.2, 0.3)
    sweep.run(
        configs,
        blobs(),
        max_nets=2,
        on_epoch=lambda task, row: epochs.append((task.key, row.step)),
        on_outcome=outcomes.append,
    )
    keys = {outcome.key for outcome in outcomes}
    assert sorted(row["network"] for outcome in outcomes for row in outcome.rows) == [0, 1, 2]
    for key in keys:
        assert [step for k, step in epochs if k == key] == [*range(1, 40, 4), 40]
    assert {key for key, _ in epochs} == keys


@pytest.mark.parametrize(("halving", "steps"), [(False, 100), (True, 60)])
def test_a_sweep_can_be_stopped(halving, steps):
    """In the middle: it would take 240 steps, or with halving 89, of which the first rung is 30."""
    epochs = []
    found = sweep.run(
        rates(*[0.1] * 6),
        blobs(),
        halving=halving,
        max_nets=1,
        on_epoch=lambda task, _: epochs.append(task.key),
        should_stop=stop_after(steps),
    )
    assert not found.complete
    assert found.best is None
    assert 1 <= len(found.rows) <= 6
    assert len(set(epochs)) < (6 if not halving else 6 + 3 + 2 + 1)


def test_stopping_when_all_is_done_changes_nothing():
    ended = []
    found = sweep.run(
        rates(0.1, 0.2),
        blobs(),
        max_nets=2,
        on_outcome=lambda outcome: ended.extend(outcome.rows),
        should_stop=lambda: len(ended) == 2,
    )
    assert found.complete
    assert found.best is not None


def test_an_error_does_not_wait_for_the_rest(monkeypatch):
    """Neither for what trains beside it nor for what is to come."""
    monkeypatch.setattr("xpnet.sweep.workers.choose_cut", lambda *_: Cut(1, workers=2))

    def fail(task, row):
        if row.step > 100 and 0 in task.configs:
            raise OSError("disk full")

    configs = rates(*[0.1] * 8, iterations=200_000)  # a minute each
    began, before = time.monotonic(), set(threading.enumerate())
    with pytest.raises(OSError, match="disk full"):
        sweep.run(configs, blobs(), on_epoch=fail)
    while set(threading.enumerate()) - before:
        assert time.monotonic() - began < 30  # each ends with its step
        time.sleep(0.01)


# Structure


def test_a_sweep_names_no_hyper_parameter():
    """Hence one that is added to `Config` and `Hyper` can be swept over without a change here.

    Seeds are not meant: that networks share their batches is a sweep's own affair.
    """
    stackable = {f.name for f in dataclasses.fields(Config) if f.metadata.get("stackable")}
    assert {f.name for f in dataclasses.fields(Hyper)} <= stackable
    names = stackable - {"seed", "batch_seed"}
    files = sorted(Path(xpnet.sweep.__file__).parent.glob("*.py"))
    assert len(files) > 5
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            # Names and attributes, parameters and arguments, and strings that are a name and no prose.
            used = {getattr(node, part, None) for part in ("id", "attr", "arg", "name", "value")}
            found = {value for value in used if isinstance(value, str)} & names
            assert not found, f"{path.name}:{node.lineno} names {found}"


def test_a_recipe_gives_way_to_the_values_of_a_grid():
    """And to what is said of the sweep itself: halving has no use for patience."""
    data = blobs()
    X, y = data.X_train, data.y_train
    given = {"hidden": 4, "epochs": 4, "batch_size": 10}
    for loss in (["auto", "hinge"], Choice(["auto", "hinge"])):
        random = {"random": 3} if isinstance(loss, Choice) else {}
        found = search(X, y, grid={"loss": loss}, recipe="table", halving=True, **given, **random)
        assert {config.label_smoothing for config in found.configs} == {0.0}
        assert {config.patience for config in found.configs} == {None}
    kept = search(X, y, grid={"loss": ["auto", "cross-entropy"]}, recipe="table", **given)
    assert {config.label_smoothing for config in kept.configs} == {0.1}
