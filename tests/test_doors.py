"""Every feature at every door: the settings of a run, and where an estimator has them, or why it has not."""

import dataclasses
import inspect
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from estimators import classes, fitted

import xpnet
from xpnet import Config, MLPClassifier, MLPRegressor, TableClassifier, TableRegressor
from xpnet.commands import sweep as sweep_command
from xpnet.runs.fit import fit
from xpnet.sweep.search import search

IMAGES = "rows of an estimator have no shape of an image"
FILES = "an estimator writes no files: a run does, and xpnet.fit is one"
SELF = "scikit-learn's fit takes the data themselves"
PROTOCOL = "scikit-learn's protocol says it otherwise"

TABLES = "MLPClassifier and MLPRegressor take numbers only: TableClassifier and TableRegressor have it"

AT_THE_ESTIMATORS = {
    # setting: its parameter there, or (None, the reason why there is none)
    "dataset": (None, SELF),
    "target": (None, SELF),
    "data_dir": (None, SELF),
    "task": (None, PROTOCOL + ": the class chooses it, and the targets"),
    "categorical": (None, TABLES),
    "numeric": (None, TABLES),
    "ignore": (None, TABLES),
    "header": (None, SELF),
    "validation_fraction": "validation_fraction",
    "group": (None, "rows of an estimator are split by scikit-learn's GroupKFold and its like"),
    "time": (None, "rows of an estimator are split by scikit-learn's TimeSeriesSplit and its like"),
    "train_rows": (None, "rows of an estimator are cut by scikit-learn's learning_curve"),
    "rows_in": (None, "scikit-learn's fit takes rows in memory: a folder is for xpnet.fit"),
    "size": (None, IMAGES),
    "preprocess": "preprocess",
    "bins": (None, TABLES),
    "components": "components",
    "ridge": (None, "of whitening, which a pipeline's PCA(whiten=True) does as well"),
    "contrast": (None, IMAGES),
    "fit_rows": (None, "rows of an estimator are few: they are in memory twice as it is"),
    "hidden": "hidden_layer_sizes",
    "activation": "activation",
    "norm": "norm",
    "residual": "residual",
    "init": "init",
    "init_std": "init_std",
    "init_from": (None, FILES + "; partial_fit and warm_start begin with what was trained"),
    "ensemble": "ensemble",
    "bagging": "bagging",
    "iterations": (None, PROTOCOL + ": max_iter counts epochs"),
    "epochs": "max_iter",
    "batch_size": "batch_size",
    "sampling": (None, PROTOCOL + ": every row once an epoch, in a new order by shuffle"),
    "loss": (None, PROTOCOL + ": of classes it follows; MLPRegressor has it, under scikit-learn's names"),
    "standardize_target": (None, "of numbers alone: MLPRegressor has it, off as in scikit-learn"),
    "solver": "solver",
    "learning_rate": "learning_rate_init",
    "schedule": "learning_rate",
    "learning_rate_decay": (None, PROTOCOL + ": 'invscaling' and 'adaptive' are its schedules that fall"),
    "step_epochs": (None, PROTOCOL + ": 'invscaling' and 'adaptive' are its schedules that fall"),
    "peak": (None, "the 0.3 of one-cycle is PyTorch's; for another use a run"),
    "warmup": "warmup",
    "momentum": "momentum",
    "beta2": "beta_2",
    "epsilon": "epsilon",
    "clip_norm": "clip_norm",
    "ema": "ema",
    "seed": "random_state",
    "batch_seed": (None, PROTOCOL + ": one random_state"),
    "monitor": "monitor",
    "patience": "n_iter_no_change",
    "min_delta": "tol",
    "max_time": "max_time",
    "class_weight": "class_weight",
    "reg": "alpha",
    "weight_decay": "weight_decay",
    "dropout": "dropout",
    "input_dropout": "input_dropout",
    "label_smoothing": "label_smoothing",
    "flip": (None, IMAGES),
    "shift": (None, IMAGES),
    "rotation": (None, IMAGES),
    "cutout": (None, IMAGES),
    "mixup": "mixup",
    "averaging": (None, IMAGES),
    "device": "device",
    "backend": "backend",
    "precision": "precision",
    "compile": "compile",
    "dtype": "dtype",
    "threads": (None, "threadpoolctl's threadpool_limits around a call does it, as of scikit-learn's own"),
    "alone": (None, "an estimator always trains in the process that calls it"),
    "out": (None, FILES),
    "force": (None, FILES),
    "json": (None, FILES),
    "quiet": "verbose",
    "checkpoint_every": (None, FILES),
    "resume": (None, FILES + "; partial_fit and warm_start go on"),
    "tensorboard": (None, FILES + "; callbacks see every epoch"),
    "weights_image": (None, FILES),
}

ONLY_THERE = {
    "power_t": "of 'invscaling'",
    "shuffle": "rows in the order given, for tests and for rows that come in one",
    "warm_start": PROTOCOL,
    "nesterovs_momentum": "at the other doors a solver of its own",
    "early_stopping": "at the other doors validation rows are always there",
    "max_fun": "of lbfgs, a solver of few rows, one network and no epochs: what a run is made of it has not",
    "beta_1": "at the other doors momentum",
    "callbacks": "at the other doors on_epoch",
}
"""Parameters of the estimators that are no settings, and what they are."""

NOT_OF_SWEEPS = {
    "ensemble": "a sweep ranks single networks",
    "bagging": "a sweep ranks single networks",
    "tensorboard": "a sweep leaves tables",
    "checkpoint_every": "a sweep saves its progress by itself",
    "resume": "the same sweep goes on from where it stopped",
    "alone": "a sweep distributes whole networks, not the rows of one network",
}


def test_the_table_has_every_setting_and_every_parameter():
    assert list(AT_THE_ESTIMATORS) == [f.name for f in dataclasses.fields(Config)]
    here = {name for name in AT_THE_ESTIMATORS.values() if isinstance(name, str)} | ONLY_THERE.keys()
    assert here == set(MLPClassifier().get_params())
    assert here - {"class_weight"} | {"loss", "standardize_target"} == set(MLPRegressor().get_params())


def test_what_is_missing_has_its_reason():
    missing = [name for name in AT_THE_ESTIMATORS.values() if not isinstance(name, str)]
    assert all(name is None and len(reason) > 20 for name, reason in missing)
    asked = ("norm residual init ensemble ema label_smoothing mixup clip_norm preprocess components warmup "
             "monitor precision compile")  # fmt: skip
    assert all(AT_THE_ESTIMATORS[name] == name for name in asked.split())


def test_the_estimators_of_tables_have_the_settings_of_tables():
    """By name, as of any setting that is not a parameter; and the same of both."""
    names = set(TableClassifier().get_params())
    assert names == set(TableRegressor().get_params())
    own = {"recipe", "random_state", "verbose", "settings"}
    assert names - own <= {f.name for f in dataclasses.fields(Config)}
    assert {"categorical", "numeric", "ignore", "validation_fraction", "ensemble", "max_time"} <= names
    for estimator in (MLPClassifier, MLPRegressor):
        with pytest.raises(xpnet.InputError, match=r"^preprocess must be one of"):
            estimator(preprocess="table").fit(np.eye(4), [0, 1, 0, 1])


def test_python_and_commands_take_all_settings():
    """`xpnet.fit` and `search` hand them to `Config`; the commands make a flag of each."""
    for door in (fit, search):
        assert inspect.signature(door).parameters["settings"].kind is inspect.Parameter.VAR_KEYWORD
    of_sweep = {f.name for f in dataclasses.fields(sweep_command.SweepConfig)}
    assert {f.name for f in dataclasses.fields(Config)} <= of_sweep


@pytest.mark.parametrize("name", NOT_OF_SWEEPS)
def test_a_sweep_refuses_what_is_not_for_it(name):
    value = {"ensemble": 2, "checkpoint_every": 1, "resume": "runs/a"}.get(name, True)
    with pytest.raises(xpnet.InputError, match=name.replace("_", "-")):
        search("digits", grid={"reg": [0.0, 0.1]}, **{name: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("norm", "batch"),
        ("norm", "layer"),
        ("residual", True),
        ("init", "he"),
        ("init", "normal"),
        ("ensemble", 3),
        ("ema", 0.9),
        ("label_smoothing", 0.2),
        ("mixup", 0.4),
        ("clip_norm", 1e-3),
        ("preprocess", "standardize"),
        ("preprocess", "pca"),
        ("input_dropout", 0.3),
        ("warmup", 0.5),
    ],
)
def test_each_changes_the_network_of_an_estimator(setting, value):
    """Its neutral default is scikit-learn's network; the parity tests hold that."""
    X, y = classes("multiclass")
    how = {"hidden_layer_sizes": (8, 8), "max_iter": 5, "random_state": 0}
    plain = fitted(MLPClassifier(**how), X, y)
    other = fitted(MLPClassifier(**how, **{setting: value}), X, y)
    assert not np.allclose(plain.predict_proba(X), other.predict_proba(X), atol=1e-6)
    assert np.isfinite(other.predict_proba(X)).all()
    np.testing.assert_allclose(other.predict_proba(X).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    "door", ["fit", "partial_fit", "table", "xpnet.fit", "search", "evaluate", "validation"]
)
def test_an_index_in_another_order_is_said(door):
    pd = pytest.importorskip("pandas")
    X, y = classes("multiclass")
    rows, labels = pd.DataFrame(X, columns=list("abcdef")), pd.Series(y, name="kind")
    mixed = labels.sample(frac=1, random_state=0)
    run = fit(rows, labels, recipe="none", iterations=5) if door == "evaluate" else None
    of_door = {
        "fit": lambda: MLPClassifier(max_iter=1).fit(rows, mixed),
        "partial_fit": lambda: MLPClassifier().partial_fit(rows, mixed, classes=[0, 1, 2]),
        "table": lambda: TableClassifier(epochs=1).fit(rows, mixed),
        "xpnet.fit": lambda: fit(rows, mixed, recipe="none", iterations=5),
        "search": lambda: search(rows, mixed, {"hidden": [3, 4]}, recipe="none", iterations=5),
        "evaluate": lambda: run.evaluate(rows, mixed),
        "validation": lambda: fit(X, y, X_val=rows, y_val=mixed, recipe="none", iterations=5),
    }
    name = "X_val and y_val" if door == "validation" else "X and y"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        of_door[door]()
    (said,) = [w for w in caught if "index" in str(w.message)]
    assert str(said.message).startswith(f"{name} have the same index in different orders")
    assert said.filename == __file__  # the line that is to be mended
