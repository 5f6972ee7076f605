"""An ensemble of what a sweep has trained: what selection chooses, whatever it was kept in."""

import dataclasses
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sweeps import alone, assert_same, blobs, labels, numbers, rates, stop_after

import xpnet
from xpnet import InputError, sweep
from xpnet.commands.sweep import main
from xpnet.training.measures import log_loss, r2
from xpnet.training.selection import select

RATES = (0.03, 0.1, 0.2, 0.3, 0.5)
CONFIGS = rates(*RATES, iterations=20, share_batches=False)


def losses(task, data, P):
    """The loss of each prediction by itself."""
    if task == "regression":
        return [-float(r2(data.y_val, p)) for p in P]
    return [float(log_loss(data.y_val, p)) for p in P]


@pytest.mark.parametrize(
    "data",
    [blobs(), labels(weights=True), numbers(2), numbers()],
    ids=["classes", "labels", "numbers", "number"],
)
@pytest.mark.parametrize("k", [1, 2, 6])
def test_it_is_what_selection_chooses_of_the_networks_trained_alone(data, k):
    found = sweep.run(CONFIGS, data)
    models = [alone(config, data).model for config in CONFIGS]
    ranked = [row["network"] for row in found.rows]  # of equals the first of the table
    P = np.stack([models[number].members(data.X_val)[0] for number in ranked])
    chosen = select(P, lambda p: losses(data.task, data, [p])[0], k)
    expected = [ranked[m] for m in chosen]
    ours = found.ensemble(k)
    assert ours.summary["networks"] == expected
    assert ours.config == dataclasses.replace(CONFIGS[expected[0]], ensemble=len(expected))
    assert (ours.model.networks or 1) == len(expected) <= k
    members = ours.model.members(data.X_val)
    for each, number in zip(members, expected, strict=True):
        np.testing.assert_allclose(each, models[number].members(data.X_val)[0], rtol=1e-9)
    mean = ours.model.predict(data.X_val) if data.task == "regression" else ours.predict_proba(data.X_val)
    np.testing.assert_allclose(mean.reshape(members[0].shape), members.mean(axis=0), rtol=1e-9)
    mean = members.mean(axis=0)
    assert losses(data.task, data, [mean])[0] <= min(losses(data.task, data, P)) + 1e-9
    assert ours.summary["status"] == "finished"
    assert ours.history.rows[-1].step == 20
    score = ours.evaluate(data.X_val, data.y_val)["r2" if data.task == "regression" else "accuracy"]
    assert ours.summary[f"val_{found.score}"] == pytest.approx(score)


def test_it_is_the_same_from_a_folder_here_or_elsewhere(tmp_path):
    data = blobs()
    expected = sweep.run(CONFIGS, data).ensemble(4)
    with ThreadPoolExecutor(2) as executor:
        found = [
            sweep.run(CONFIGS, data, out=tmp_path, max_nets=2),
            sweep.run(CONFIGS, data, out=tmp_path),  # all of it is there
            sweep.run(CONFIGS, data, max_nets=1),
            sweep.run(CONFIGS, data, executor=executor),
        ]
    found.append(pickle.loads(pickle.dumps(found[0])))
    for each in found:
        ours = each.ensemble(4)
        assert_same(ours.model.params, expected.model.params)
        assert ours.summary | {"seconds": 0} == expected.summary | {"seconds": 0}


def test_only_the_parameters_of_most_are_kept():
    configs = [dataclasses.replace(c, solver="adam", ema=0.9) for c in CONFIGS]
    found = sweep.run(configs, blobs(), max_nets=len(configs))
    store, best = found.library.store, found.rows[0]
    assert store.networks(best["task"]) == set(range(len(configs)))
    for row in found.rows:
        kept = store.load(row["task"], row["network"])
        assert (kept.state.keys() == {"params"}) == (row is not best)
        assert_same(kept.params, alone(configs[row["network"]], blobs()).model.params)


@pytest.mark.parametrize("in_folder", [False, True])
def test_of_large_networks_the_best_of_each_stack_are_kept(monkeypatch, tmp_path, in_folder):
    monkeypatch.setattr("xpnet.sweep.chunk.KEPT", 1000)
    configs = [c for c in CONFIGS if c.learning_rate > 0.03]
    found = sweep.run(configs, blobs(), max_nets=2, out=tmp_path if in_folder else None)
    tasks = {row["task"]: row["network"] for row in reversed(found.rows)}  # the first of each, so its best
    assert len(tasks) == 2
    assert {task: found.library.store.networks(task) for task in tasks} == {
        task: {number} for task, number in tasks.items()
    }
    assert set(found.ensemble(8).summary["networks"]) <= set(tasks.values())


def test_networks_of_other_layers_are_in_no_ensemble_together():
    """Each kind has one, and the better is returned."""
    data = blobs()
    configs = [dataclasses.replace(c, hidden=hidden) for hidden in [(7,), (5, 5)] for c in CONFIGS]
    found = sweep.run(configs, data)
    ours = found.ensemble(6)
    assert len({configs[number].hidden for number in ours.summary["networks"]}) == 1
    kinds = [sweep.run(configs[:5], data), sweep.run(configs[5:], data)]
    values = [losses("classification", data, [one.ensemble(6).predict_proba(data.X_val)]) for one in kinds]
    mine = losses("classification", data, [ours.predict_proba(data.X_val)])
    assert mine[0] == pytest.approx(min(values)[0])


def test_networks_of_other_ways_to_train_may_be_together():
    ways = [{"solver": "adam"}, {"batch_size": 20}, {"epochs": 3, "iterations": None}, {"loss": "hinge"}]
    configs = [dataclasses.replace(CONFIGS[k], **way) for k, way in enumerate(ways)]
    found = sweep.run(configs, blobs())
    ours = found.ensemble(20)
    assert len(set(ours.summary["networks"])) > 1
    assert len(ours.history.rows) >= 3


@pytest.mark.parametrize(
    ("data", "monitor"),
    [
        (blobs(), "val_balanced_accuracy"),
        (blobs(), "f1_macro"),
        (labels(), "average_precision"),
        (numbers(), "neg_median_absolute_error"),
        (numbers(2), "val_mae"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_chosen_by_what_the_sweep_ranks_by(data, monitor):
    from sklearn.metrics import average_precision_score, f1_score, median_absolute_error

    configs = [dataclasses.replace(c, monitor=monitor) for c in CONFIGS]
    found = sweep.run(configs, data)
    ours = found.ensemble(6)
    y = data.y_val
    if data.task == "regression":
        P = ours.model.predict(data.X_val).reshape(y.shape)
        value = -median_absolute_error(y, P) if monitor[0] == "n" else -np.abs(P - y).mean()
    elif data.task == "multilabel":
        value = average_precision_score(y, ours.predict_proba(data.X_val))
    elif monitor == "f1_macro":
        value = f1_score(y, ours.model.predict(data.X_val), average="macro")
    else:
        value = ours.evaluate(data.X_val, y)["balanced_accuracy"]
    assert value >= found.rows[0]["monitored"] - 1e-9


def test_those_that_fell_behind_or_diverged_are_not_chosen():
    configs = rates(*RATES, 1e300, iterations=40, share_batches=False)
    halved = sweep.run(configs, blobs(), halving=True)
    kept = {row["network"] for row in halved.rows if row["status"] == "finished"}
    assert set(halved.ensemble(8).summary["networks"]) <= kept
    found = sweep.run(configs, blobs())
    assert 5 not in found.ensemble(8).summary["networks"]
    diverged = sweep.run(rates(1e300, 1e301), blobs())
    with pytest.raises(InputError, match=r"every network diverged, .* use a lower learning rate"):
        diverged.ensemble(2)


def test_one_of_a_sweep_that_was_cut_off():
    found = sweep.run(CONFIGS, blobs(), should_stop=stop_after(3))
    with pytest.raises(InputError, match="was interrupted: run it again to the end"):
        found.ensemble(2)
    with pytest.raises(InputError, match=r"^k must be an integer, at least 1, not 0"):
        sweep.run(CONFIGS[:1], blobs()).ensemble(0)


def test_with_patience_it_says_that_they_stopped():
    configs = [dataclasses.replace(c, patience=1, iterations=4000, monitor="val_loss") for c in CONFIGS]
    found = sweep.run(configs, blobs())
    ours = found.ensemble(6)
    of = {row["network"]: row["steps"] for row in found.rows}
    assert ours.summary["status"] == "stopped"
    assert ours.summary["steps"] == max(of[number] for number in ours.summary["networks"])


def test_that_of_a_search_is_a_run_like_others(tmp_path):
    data = blobs()
    search = xpnet.search(
        data.X_train,
        data.y_train,
        {"learning_rate": [0.3, 0.5], "seed": [0, 1, 2, 3, 4]},
        X_val=data.X_val,
        y_val=data.y_val,
        X_test=data.X_val,
        y_test=data.y_val,
        hidden=7,
        epochs=12,
        batch_size=10,
        own_batches=True,
        recipe="none",
    )
    ours = search.ensemble(6)
    assert ours.model.networks > 1
    assert ours.summary["test_accuracy"] == ours.summary["val_accuracy"]
    again = xpnet.load(ours.save(tmp_path / "run"))
    np.testing.assert_array_equal(again.predict_proba(data.X_val), ours.predict_proba(data.X_val))
    assert again.summary["networks"] == ours.summary["networks"]
    assert (tmp_path / "run" / "report.html").is_file()
    ours.export(tmp_path / "model.safetensors")
    further = xpnet.fit(
        data,
        init_from=str(tmp_path / "run"),
        epochs=1,
        batch_size=10,
        hidden=7,
        ensemble=ours.model.networks,
    )
    assert further.model.networks == ours.model.networks


def test_that_of_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = "--learning-rate 0.01 0.02 --seed 0 1 2 --own-batches --hidden 8 --epochs 2 --out a --json"
    argv = flags.split()
    assert main([*argv, "--ensemble-of", "4"]) == 0
    *said, summary = capsys.readouterr().out.splitlines()
    summary = json.loads(summary)
    chosen = summary["ensemble"]["networks"]
    assert f"ensemble: networks {', '.join(map(str, chosen))}: validation " in said[-5]
    assert said[-3] == "report: a/report.html, a/ensemble/report.html"
    assert said[-2] == "next: xpnet evaluate a/ensemble"
    assert xpnet.load("a/ensemble").summary == summary["ensemble"]
    assert main([*argv, "--ensemble-of", "4", "--quiet"]) == 0  # again, from the folder
    assert json.loads(capsys.readouterr().out)["ensemble"]["networks"] == chosen
    assert not list((tmp_path / "a" / "ensemble").glob("previous*"))
    assert main([*argv, "--ensemble-of", "0"]) == 2
    assert "--ensemble-of must be an integer, at least 1" in capsys.readouterr().err
    assert main([*argv, "--force", "--quiet"]) == 0
    assert not (tmp_path / "a" / "ensemble").exists()
