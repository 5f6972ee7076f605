"""From settings and a data set to a trained model: ensembles, averages, views, and what is measured."""

import dataclasses

import numpy as np
import pytest
from sweeps import BASE, DEVICE, blobs

from xpnet.data import transforms
from xpnet.data.views import views
from xpnet.datasets import digits
from xpnet.errors import InputError
from xpnet.nn import backprop
from xpnet.runs import networks
from xpnet.runs.config import Config
from xpnet.runs.experiment import run
from xpnet.runs.networks import schedule_of, scores, sources_of, train
from xpnet.runs.preparation import prepare

# Rows whose columns are as wide as small images.
IMAGES = dataclasses.replace(blobs(features=12, dtype="float32"), image_shape=(4, 3, 1))
TEST = np.random.default_rng(1)
IMAGES = dataclasses.replace(
    IMAGES, X_test=TEST.standard_normal((25, 12)).astype("float32"), y_test=TEST.integers(3, size=25)
)
ADAM = dataclasses.replace(BASE, solver="adam", learning_rate=0.02)


def softmax(scores):
    P = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return P / P.sum(axis=-1, keepdims=True)


def probabilities(experiment_, X):
    """Of each network alone, without views."""
    model = experiment_.model
    rows = transforms.apply(np, model.preprocessing, model.fitted, X)
    return softmax(backprop.scores(np, model.mlp, model.params, rows))


def part(P, y):
    return pytest.approx(np.mean(P.argmax(axis=-1) == y), rel=1e-6)


# Ensembles


@pytest.mark.parametrize("changes", [{}, {"batch_seed": 9}, {"flip": True, "dropout": 0.2, "ema": 0.9}])
def test_an_ensemble_is_networks_of_successive_seeds(changes):
    """Those of the batches succeed each other too, unless one is given for all."""
    config = dataclasses.replace(ADAM, ensemble=3, seed=5, **changes)
    together = run(config, IMAGES, DEVICE)
    alone = [run(dataclasses.replace(config, ensemble=1, seed=5 + k), IMAGES, DEVICE) for k in range(3)]
    for k, single in enumerate(alone):
        for name, value in single.model.params.items():
            np.testing.assert_array_equal(together.model.params[name][k], value)
    assert together.model.networks == 3
    # Its history is the mean of theirs.
    for row, *each in zip(together.history.rows, *(s.history.rows for s in alone), strict=True):
        assert row.val_score == pytest.approx(np.mean([r.val_score for r in each]))
        assert row.train_loss == pytest.approx(np.mean([r.train_loss for r in each]))
        assert type(row.learning_rate) is float
    losses = np.mean([s.history.losses for s in alone], axis=0)
    np.testing.assert_allclose(together.history.losses, losses, rtol=1e-12)


def test_the_accuracy_of_an_ensemble_is_that_of_the_mean_of_probabilities():
    config = dataclasses.replace(ADAM, ensemble=5, seed=2, iterations=30)
    found = run(config, IMAGES, DEVICE)
    P = {name: probabilities(found, getattr(IMAGES, f"X_{name}")) for name in ("train", "val", "test")}
    assert P["val"].shape == (5, 30, 3)
    for name, each in P.items():
        labels = getattr(IMAGES, f"y_{name}")
        assert found.summary[f"{name}_accuracy"] == part(each.mean(axis=0), labels)
    assert found.summary["seed"] == 2
    assert found.summary["status"] == "finished"


def test_seeds_beyond_the_last_are_refused():
    config = dataclasses.replace(BASE, ensemble=3, seed=2**64 - 2)
    with pytest.raises(InputError, match="--seed must be from 0"):
        run(config, IMAGES, DEVICE)


def test_an_ensemble_tells_of_the_means_as_it_goes():
    seen = []

    def on_epoch(history):
        row = history.rows[-1]
        assert type(row.val_score) is float
        seen.append((len(history.rows), len(history.losses), row.step, row.val_score))

    found = run(dataclasses.replace(ADAM, ensemble=2), IMAGES, DEVICE, on_epoch)
    rows = found.history.rows
    assert [s[0] for s in seen] == list(range(1, len(rows) + 1))
    assert [s[1:] for s in seen] == [(row.step, row.step, row.val_score) for row in rows]


def test_an_ensemble_of_which_one_diverges():
    config = Config(hidden=(4,), iterations=60, ensemble=2, learning_rate=1e6, batch_size=10)
    found = run(config, IMAGES, DEVICE)
    assert found.summary["status"] == "diverged"
    assert found.result.diverged_at.shape == (2,)
    assert all(np.isfinite(value).all() for value in found.model.params.values())


# Bags of rows


def bag_of(seed, rows):
    """Which rows a network of a seed has."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5,))).integers(rows, size=rows)


@pytest.mark.parametrize("changes", [{}, {"batch_seed": 9, "sampling": "all", "batch_size": 7}])
def test_each_network_of_an_ensemble_has_a_bag_of_rows(changes):
    """It is the one that is trained alone on those rows; validation rows are the same of all."""
    config = dataclasses.replace(ADAM, ensemble=3, seed=5, preprocess="none", patience=99, **changes)
    together = run(dataclasses.replace(config, bagging=True), IMAGES, DEVICE)
    bags = [bag_of(5 + k, 40) for k in range(3)]
    assert len({tuple(bag) for bag in bags}) == 3
    for k, bag in enumerate(bags):
        assert 20 < len(set(bag)) < 32  # 1 - 1 / e of the rows, about
        data = dataclasses.replace(IMAGES, X_train=IMAGES.X_train[bag], y_train=IMAGES.y_train[bag])
        alone = run(dataclasses.replace(config, ensemble=1, seed=5 + k), data, DEVICE)
        for name, value in alone.model.params.items():
            np.testing.assert_array_equal(together.model.params[name][k], value)
    assert together.model.members(IMAGES.X_val).shape == (3, 30, 3)


@pytest.mark.parametrize("ensemble", [1, 2])
def test_weighted_rows_of_a_bag_stay_weighted(ensemble):
    """And augmented ones augmented. A network alone has its rows themselves, one of several their numbers."""
    weight = (1 + np.arange(40) % 4) / 2.5
    data = dataclasses.replace(IMAGES, weight_train=weight)
    config = dataclasses.replace(ADAM, bagging=True, flip=True, seed=3)
    members = [dataclasses.replace(config, seed=3 + k) for k in range(ensemble)]
    prepared = prepare(config, data, DEVICE)
    mlp = prepared.mlp(config)
    found = train(members, mlp, prepared, DEVICE)
    for k, member in enumerate(members):
        bag = bag_of(3 + k, 40)
        feed = prepared.feed
        of_bag = dataclasses.replace(feed, X=feed.X[bag], y=feed.y[bag], weight=feed.weight[bag])
        alone = train(
            [dataclasses.replace(member, bagging=False)],
            mlp,
            dataclasses.replace(prepared, feed=of_bag),
            DEVICE,
        )
        for name, value in alone.params.items():
            ours = found.params[name]
            np.testing.assert_array_equal(ours if ensemble == 1 else ours[k], value)


def test_bags_are_the_same_on_every_device(device, dtype):
    config = dataclasses.replace(ADAM, ensemble=2, bagging=True, dtype=dtype, iterations=12)
    found, ours = run(config, IMAGES, device), run(config, IMAGES, DEVICE)
    for name, value in ours.model.params.items():
        np.testing.assert_allclose(found.model.params[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"batch_seed": 3}])
def test_bags_are_of_an_ensemble(changes):
    with pytest.raises(
        InputError, match=r"^--bagging needs several networks: give --ensemble 8, for example, or"
    ):
        run(dataclasses.replace(ADAM, bagging=True, **changes), IMAGES, DEVICE)


# The average that is evaluated


def test_the_moving_average_is_what_is_saved_and_measured():
    config = dataclasses.replace(ADAM, ema=0.95)
    found, plain = run(config, IMAGES, DEVICE), run(ADAM, IMAGES, DEVICE)
    assert found.model.params.keys() == plain.model.params.keys()
    for name, value in plain.result.state["params"].items():
        # It is only looked at: the training itself is the same to the bit.
        np.testing.assert_array_equal(found.result.state["params"][name], value)
        np.testing.assert_array_equal(found.model.params[name], found.result.state["average"][name])
    assert not np.array_equal(found.model.params["W1"], plain.model.params["W1"])
    for name in ("train", "val", "test"):
        X, y = getattr(IMAGES, f"X_{name}"), getattr(IMAGES, f"y_{name}")
        assert found.summary[f"{name}_accuracy"] == part(probabilities(found, X), y)
    assert found.result.history.rows[-1].val_score == pytest.approx(found.summary["val_accuracy"])


# Averaging over views


@pytest.mark.parametrize("averaging", ["flip", "flip-shift"])
@pytest.mark.parametrize("ensemble", [1, 2])
def test_validation_and_test_are_averaged_over_views_and_training_is_not(averaging, ensemble):
    config = dataclasses.replace(ADAM, averaging=averaging, ensemble=ensemble, hidden=(5,))
    found = run(config, IMAGES, DEVICE)
    assert found.model.averaging == averaging
    for name in ("val", "test"):
        X, y = getattr(IMAGES, f"X_{name}"), getattr(IMAGES, f"y_{name}")
        each = [probabilities(found, view) for view in views(np, averaging, X, (4, 3, 1))]
        P = np.mean(each, axis=0)
        assert found.summary[f"{name}_accuracy"] == part(P if ensemble == 1 else P.mean(axis=0), y)
    P = probabilities(found, IMAGES.X_train)
    assert found.summary["train_accuracy"] == part(P if ensemble == 1 else P.mean(axis=0), IMAGES.y_train)


@pytest.mark.parametrize("averaging", ["none", "flip"])
@pytest.mark.parametrize("flip", [False, True])
def test_scores_of_a_stack_are_those_of_its_networks(device, averaging, flip):
    config = dataclasses.replace(ADAM, averaging=averaging, flip=flip, dtype="float32", iterations=10)
    configs = [dataclasses.replace(config, seed=seed) for seed in range(3)]
    prepared, mlp = prepare(config, IMAGES, device), config.mlp(12, 3)
    params = train(configs, mlp, prepared, device).params
    measured = scores(config, mlp, params, prepared, device)
    for k, one in enumerate(configs):
        single = run(one, IMAGES, device)
        for name, value in measured.items():
            assert value.shape == (3,)
            assert value[k] == pytest.approx(single.summary[name.replace("score", "accuracy")], abs=1e-6)


# Preparing


@pytest.mark.parametrize("augmented", [False, True])
def test_rows_of_training_that_are_also_those_of_validation(augmented):
    """The same array: what is validated on is prepared, what is augmented is not."""
    data = dataclasses.replace(IMAGES, X_val=IMAGES.X_train, y_val=IMAGES.y_train)
    config = dataclasses.replace(ADAM, flip=augmented, preprocess="standardize")
    prepared = prepare(config, data, DEVICE)
    expected = transforms.apply(np, config.preprocessing, prepared.fitted, data.X_train)
    np.testing.assert_allclose(prepared.validation.X, expected)
    np.testing.assert_allclose(prepared.feed.X, data.X_train if augmented else expected)
    np.testing.assert_allclose(prepared.feed.rows(np, np.arange(40))[0], expected)
    assert run(config, data, DEVICE).result.history.rows


def test_what_is_cut_out_shows_the_mean_image():
    prepared = prepare(dataclasses.replace(ADAM, cutout=2), IMAGES, DEVICE)
    np.testing.assert_allclose(prepared.feed.fill, IMAGES.X_train.mean(axis=0), rtol=1e-5)
    data = digits()
    prepared = prepare(Config(cutout=2), data, DEVICE)
    assert prepared.feed.fill.dtype == data.X_train.dtype
    if data.X_train.dtype.kind in "iu":
        np.testing.assert_array_equal(prepared.feed.fill, data.X_train.mean(axis=0).round())


def test_augmented_digits_train_on_every_device(device, dtype):
    config = Config(hidden=(8,), iterations=30, dtype=dtype, flip=True, shift=1, rotation=9.0, cutout=2)
    found, here = (run(config, digits(), place) for place in (device, DEVICE))
    for name, value in here.model.params.items():
        np.testing.assert_allclose(found.model.params[name], value, rtol=0, atol=2e-3)
    assert found.summary["val_accuracy"] == pytest.approx(here.summary["val_accuracy"], abs=0.02)


# The schedule as it is drawn


@pytest.mark.parametrize("sampling", ["replacement", "shuffle"])
@pytest.mark.parametrize("schedule", ["exponential", "step", "one-cycle"])
def test_the_schedule_of_a_run_is_that_of_its_history(sampling, schedule):
    config = dataclasses.replace(BASE, sampling=sampling, schedule=schedule, step_epochs=2, warmup=0.2)
    steps, rates = schedule_of(config, 40)
    assert steps.tolist() == list(range(1, 41))
    for row in run(config, IMAGES, DEVICE).result.history.rows:
        assert row.learning_rate == pytest.approx(rates[row.step - 1], rel=1e-14)


def test_the_schedule_of_a_long_run_is_drawn_at_a_few_points():
    steps, rates = schedule_of(dataclasses.replace(BASE, iterations=10**7, schedule="cosine"), 40)
    assert len(steps) == len(rates) == 2000
    assert (steps[0], steps[-1]) == (1, 10**7)
    np.testing.assert_allclose(rates, 0.15 * (1 + np.cos(np.pi * (steps - 1) / 1e7)), rtol=1e-9, atol=1e-12)


# Sources


def test_streams_are_apart_and_each_made_of_seed_and_epoch():
    streams = ("batches", "dropout", "augment", "mixup")
    seen = {
        sources_of([dataclasses.replace(BASE, seed=seed)])(stream, epoch).integers(2**62)
        for stream in streams
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(seen) == 16


def test_networks_of_shared_batches_share_all_but_dropout():
    configs = [dataclasses.replace(BASE, seed=seed, batch_seed=7) for seed in (1, 2)]
    sources = sources_of(configs)
    for stream in ("batches", "augment", "mixup"):
        assert isinstance(sources(stream, 0), np.random.Generator)
    assert len({source.integers(2**62) for source in sources("dropout", 0)}) == 2
    same = sources_of([configs[0], configs[0]])("dropout", 0)
    assert len(same) == 2  # of one seed, and so alike, but each its own


@pytest.mark.parametrize(
    "changes",
    [{"dropout": 0.3}, {"ema": 0.9}, {"mixup": 0.5}, {"flip": True}, {"clip_norm": 0.1}, {"solver": "adam"}],
)
def test_a_technique_that_is_switched_on_leaves_the_batches(monkeypatch, changes):
    """Hence comparisons with and without it are paired."""
    drawn = []
    draw = networks.fit.__globals__["draw_epoch"]

    def draw_epoch(*args):
        tables = draw(*args)
        drawn.extend(tables)
        return tables

    monkeypatch.setitem(networks.fit.__globals__, "draw_epoch", draw_epoch)
    run(BASE, IMAGES, DEVICE)
    plain, drawn = drawn, []
    run(dataclasses.replace(BASE, **changes), IMAGES, DEVICE)
    for a, b in zip(plain, drawn, strict=True):
        np.testing.assert_array_equal(a["index"], b["index"])
