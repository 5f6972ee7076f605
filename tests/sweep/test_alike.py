"""Each setting of a run either may differ between the networks of a sweep, or is refused by its name."""

from dataclasses import fields, replace

import numpy as np
import pytest
from sweeps import BASE, blobs, numbers

from xpnet import Config, InputError, sweep
from xpnet.sweep.space import SAME_FOR_ALL

ROWS = blobs(features=9)
DATA = replace(ROWS, X_train=np.abs(ROWS.X_train), image_shape=(3, 3, 1))

SHARED = {
    "dataset": "other.npz",
    "data_dir": "elsewhere",
    "init_from": "a",
    "task": "regression",
    "target": ("y",),
    "categorical": ("a",),
    "numeric": ("a",),
    "ignore": ("a",),
    "header": True,
    "validation_fraction": 0.2,
    "group": "a",
    "time": "a",
    "rows_in": "disk",
    "size": 8,
    "device": "cuda",
    "backend": "torch",
    "precision": "tf32",
    "compile": True,
    "dtype": "float32",
    "weights_image": True,
    "tensorboard": True,
    "checkpoint_every": 3,
    "resume": "a",
    "out": "a",
    "force": True,
    "json": True,
    "quiet": True,
    "threads": 2,
    "alone": True,
}
"""Settings that all networks of a sweep have in common, and another value of each."""

APART = {
    "preprocess": "standardize",
    "bins": 3,
    "components": 2,
    "ridge": 0.1,
    "contrast": True,
    "fit_rows": 20,
    "train_rows": 20,
    "hidden": (3,),
    "activation": "tanh",
    "norm": "layer",
    "residual": True,
    "init": "he",
    "init_std": 0.3,
    "iterations": 9,
    "epochs": 2,
    "batch_size": 7,
    "sampling": "all",
    "loss": "hinge",
    "solver": "adam",
    "learning_rate": 0.3,
    "schedule": "cosine",
    "learning_rate_decay": 0.5,
    "step_epochs": 1,
    "peak": 0.7,
    "warmup": 0.5,
    "momentum": 0.5,
    "beta2": 0.9,
    "epsilon": 0.1,
    "clip_norm": 0.1,
    "ema": 0.9,
    "seed": 9,
    "batch_seed": 9,
    "monitor": "val_log_loss",
    "patience": 1,
    "min_delta": 0.5,
    "max_time": 100.0,
    "class_weight": ("0=5",),
    "reg": 0.5,
    "weight_decay": 0.5,
    "dropout": 0.5,
    "input_dropout": 0.5,
    "label_smoothing": 0.5,
    "flip": True,
    "shift": 1,
    "rotation": 30.0,
    "cutout": 1,
    "mixup": 0.5,
    "averaging": "flip",
    "standardize_target": False,
}
"""Settings in which networks may differ."""

FIRST = {"residual": {"hidden": (5, 5)}, "components": {"preprocess": "pca"}, "ridge": {"preprocess": "zca"}}
"""What else a setting asks for."""


def test_every_setting_is_one_or_the_other():
    names = [f.name for f in fields(Config)]
    assert SHARED.keys() == set(SAME_FOR_ALL)
    assert SHARED.keys() | APART.keys() | {"ensemble", "bagging"} == set(names)


@pytest.mark.parametrize("name", SHARED)
def test_what_is_shared_is_refused_by_name(name):
    configs = [BASE, replace(BASE, **{name: SHARED[name]})]
    with pytest.raises(InputError) as caught:
        sweep.run(configs, DATA)
    assert str(caught.value).startswith(f"{name} is the same for a whole sweep, not ")
    with pytest.raises(InputError, match=f"^{name} is the same for a whole sweep"):
        sweep.configs([{name: SHARED[name]}], BASE)


@pytest.mark.parametrize("name", APART)
def test_what_differs_is_trained_as_alone(name):
    base = replace(BASE, **FIRST.get(name, {}))
    exclusive = {"iterations": None} if name == "epochs" else {"epochs": None} if name == "iterations" else {}
    changed = replace(base, **exclusive, **{name: APART[name]})
    alone, together = sweep.run([changed], DATA), sweep.run([base, changed], DATA)
    (row,) = (row for row in together.rows if row["network"] == 1)
    for measured in ("train_score", "val_score", "steps", "status"):
        assert row[measured] == alone.rows[0][measured]


@pytest.mark.parametrize(
    "changes", [{"standardize_target": False}, {"loss": "absolute-error"}, {"loss": "poisson"}], ids=str
)
def test_targets_are_prepared_for_each_network(changes):
    """What they are divided by depends on the loss, and on whether it is asked for."""
    rows = numbers()
    data = replace(rows, y_train=5 + np.abs(rows.y_train), y_val=5 + np.abs(rows.y_val))
    changed = replace(BASE, **changes)
    alone, together = sweep.run([changed], data), sweep.run([BASE, changed], data)
    (row,) = (row for row in together.rows if row["network"] == 1)
    assert row["val_score"] == alone.rows[0]["val_score"]


def test_an_ensemble_is_no_network_of_a_sweep():
    with pytest.raises(InputError, match="drop --ensemble"):
        sweep.run([BASE, replace(BASE, ensemble=2)], DATA)
