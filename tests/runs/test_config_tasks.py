"""What settings make of a task: its loss, its regime, weights of classes, and what is recorded."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from xpnet.errors import InputError
from xpnet.nn import losses
from xpnet.runs.config import LOSSES_OF, Config
from xpnet.runs.settings import kinds_of, read_file
from xpnet.training.regime import Regime
from xpnet.training.stopping import Patience

USUAL = {"classification": "cross-entropy", "multilabel": "logistic", "regression": "squared-error"}


# Losses


@pytest.mark.parametrize("task", USUAL)
def test_the_loss_of_a_task(task):
    assert Config().loss == "auto"
    assert Config().loss_of(task) == Config(loss=USUAL[task]).loss_of(task) == USUAL[task]
    for other in USUAL.keys() - {task}:
        with pytest.raises(InputError) as caught:
            Config(loss=USUAL[other]).loss_of(task)
        assert (
            str(caught.value) == f"--loss {USUAL[other]} is not for {task}: use {', '.join(LOSSES_OF[task])}"
        )


def test_the_hinge_is_for_classes():
    assert Config(loss="hinge").loss_of("classification") == "hinge"
    for task in ("multilabel", "regression"):
        with pytest.raises(InputError, match=f"--loss hinge is not for {task}: use {USUAL[task]}"):
            Config(loss="hinge").loss_of(task)


def test_the_losses_that_can_be_chosen_are_those_of_the_tasks():
    named = {loss for of_task in LOSSES_OF.values() for loss in of_task}
    assert set(kinds_of(Config)["loss"].choices) == named | {"auto"}
    assert all(loss in losses.OUTPUT_OF for loss in named)


# The regime


@pytest.mark.parametrize("task", USUAL)
def test_the_regime_of_a_task(task):
    config = Config(solver="adam", warmup=0.1, monitor="val_loss", min_delta=0.5, max_time=7, mixup=0.25)
    regime = config.regime(1000, task)
    assert regime == Regime(
        num_steps=1000,
        batch_size=50,
        solver="adam",
        warmup_steps=100,
        loss=USUAL[task],
        mixup=0.25,
        monitor="val_loss",
        min_delta=0.5,
        max_time=7.0,
    )
    with pytest.raises(InputError, match="--loss"):
        Config(loss="hinge" if task != "classification" else "logistic").regime(1000, task)


def test_patience_restores_the_best():
    assert not Config().regime(1000).restores_best
    assert Config(patience=3).regime(1000).restores_best
    assert Patience(Config(patience=3).patience)._epochs == 3


def test_the_steps_of_an_epoch_of_all_rows():
    """The last batch, a smaller one, is a step too."""
    for sampling, steps in (("shuffle", 4), ("replacement", 4), ("all", 5)):
        config = Config(epochs=3, batch_size=20, sampling=sampling)
        assert config.num_steps(99) == config.regime(99).num_steps == 3 * steps
        assert config.num_steps(80) == 12
    assert Config(epochs=2, batch_size=80, sampling="all").num_steps(80) == 2
    with pytest.raises(InputError, match="--batch-size 81 is larger than the 80 training rows: use 80"):
        Config(epochs=2, batch_size=81, sampling="all").regime(80)


def test_what_a_regime_has_no_setting_for_is_as_it_was():
    """Those are for the estimators, whose penalty and history are scikit-learn's."""
    names = {f.name for f in dataclasses.fields(Config)}
    of_regime = {f.name: f.default for f in dataclasses.fields(Regime) if f.name not in names}
    made = {"num_steps", "warmup_steps", "restores_best"}
    regime = Config().regime(100)
    assert of_regime.keys() - made == {"reg_per_row", "scores_batch", "explosion", "weighs_by_batch"}
    for name in of_regime.keys() - made:
        assert getattr(regime, name) == of_regime[name]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none(value):
    with pytest.raises(InputError, match=r"^--max-time must be a finite number above 0, not "):
        Config(max_time=value)


# Weights of classes


@pytest.mark.parametrize(
    ("given", "kept", "meant"),
    [
        (None, None, {}),
        ("balanced", ("balanced",), "balanced"),
        (["balanced"], ("balanced",), "balanced"),
        ({}, (), {}),
        ({"cat": 2, "dog": 0.5}, ("cat=2", "dog=0.5"), {"cat": 2.0, "dog": 0.5}),
        ({0: np.float64(3), 1: np.int64(0)}, ("0=3.0", "1=0"), {"0": 3.0, "1": 0.0}),
        ({True: 1e-9}, ("True=1e-09",), {"True": 1e-9}),
        ({"a=b": 2, " ": 1}, ("a=b=2", " =1"), {"a=b": 2.0, " ": 1.0}),
        ({"balanced": 2}, ("balanced=2",), {"balanced": 2.0}),
        ("cat=2", ("cat=2",), {"cat": 2.0}),
        (("cat=2", "dog=1e3"), ("cat=2", "dog=1e3"), {"cat": 2.0, "dog": 1000.0}),
    ],
)
def test_weights_by_class(given, kept, meant):
    config = Config(class_weight=given)
    assert config.class_weight == kept
    assert config.weight_by_class == meant
    assert dataclasses.replace(config) == config
    assert eval(repr(config)) == config
    hash(config)


@pytest.mark.parametrize(
    ("given", "item"),
    [
        ("balance", "balance"),
        (["balanced", "cat=2"], "balanced"),
        ({"cat": -1}, "cat=-1"),
        ({"cat": float("nan")}, "cat=nan"),
        ({"cat": float("inf")}, "cat=inf"),
        ({"cat": "much"}, "cat=much"),
        ({"cat": None}, "cat=None"),
        ({"": 1}, "=1"),
        ("cat=", "cat="),
        ("cat", "cat"),
    ],
)
def test_what_are_no_weights_of_classes(given, item):
    with pytest.raises(InputError) as caught:
        Config(class_weight=given)
    assert str(caught.value) == (
        f"--class-weight must be balanced, or NAME=WEIGHT for some classes, not {item!r}"
    )


@pytest.mark.parametrize("given", [3, True, [1.0], {"a": 1}.items()])
def test_weights_of_another_type(given):
    with pytest.raises(InputError, match=r"^--class-weight must be text or a list of them, not "):
        Config(class_weight=given)


# What is recorded


def test_what_is_recorded_makes_the_same_run(tmp_path):
    config = Config(
        class_weight={"a=b": 2, "c": 0.5},
        max_time=9,
        loss="hinge",
        sampling="all",
        out="x",
        quiet=True,
        json=True,
    )
    recorded = config.recorded()
    assert recorded.keys() == {f.name for f in dataclasses.fields(Config)} - {
        "out",
        "force",
        "json",
        "quiet",
        "resume",
        "alone",
        "threads",
    }
    assert (recorded["class_weight"], recorded["max_time"]) == (("a=b=2", "c=0.5"), 9.0)
    same = dataclasses.replace(config, out=None, quiet=False, json=False)
    assert Config(**recorded) == same
    path = tmp_path / "config.json"
    path.write_text(json.dumps(recorded))
    assert Config(**read_file(path, Config)) == Config.of(path) == same


@pytest.mark.parametrize(
    ("toml", "kept"),
    [
        ('class_weight = "balanced"', ("balanced",)),
        ('class-weight = ["cat=2", "dog=0.5"]', ("cat=2", "dog=0.5")),
        ("max_time = 3", None),
    ],
)
def test_in_toml(tmp_path, toml, kept):
    path = Path(tmp_path, "a.toml")
    path.write_text(toml)
    config = Config.of(path)
    assert config.class_weight == kept
    assert config.max_time == (3.0 if kept is None else None)
