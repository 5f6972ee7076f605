"""What the tests of sweeps share: small data, networks trained alone or as a stack, a sweep to kill.

A module of its own so that a spawned process can import it.
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from xpnet import sweep
from xpnet.datasets import Dataset, from_arrays
from xpnet.device import Device
from xpnet.runs import experiment, preparation
from xpnet.runs.config import Config
from xpnet.sweep.chunk import Task, train_chunk
from xpnet.sweep.plan import epochs_of_rung
from xpnet.training.history import SCORE_OF

DEVICE = Device()

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}

BASE = Config(
    dtype="float64",
    hidden=(7,),
    iterations=40,
    batch_size=10,
    learning_rate=0.3,
    learning_rate_decay=0.95,
    reg=1e-2,
    init_std=0.3,
)
"""Ten passes over `blobs`, in which a network learns something."""


class SmallDevice(Device):
    """A device of little memory."""

    name = "small"

    def __init__(self, free):
        super().__init__()
        self.free = free

    def free_memory(self):
        return self.free


def blobs(features=5, classes=3, rows=40, seed=0, dtype="float64"):
    """Return a data set with something to learn; a quarter of its labels is noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows + 30, features))
    y = np.argmax(X @ rng.standard_normal((features, classes)), axis=1)
    y = np.where(rng.random(len(y)) < 0.25, rng.integers(classes, size=len(y)), y)
    X = X.astype(dtype)
    splits = X[:rows], y[:rows], X[rows:], y[rows:], None, None
    return Dataset("blobs", *splits, tuple(map(str, range(classes))))


def numbers(outputs=1, weights=False, shift=0.0, scale=1.0, rows=40):
    """Return a data set of numbers to predict, from a little noise and a plane."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((rows + 30, 4))
    y = np.tanh(X @ rng.standard_normal((4, outputs))) + 0.1 * rng.standard_normal((rows + 30, outputs))
    y = (y - y[:rows].mean(axis=0)) / y[:rows].std(axis=0) * scale + shift
    given = {"sample_weight": rng.integers(1, 5, rows).astype(float)} if weights else {}
    given |= {"X_val": X[rows:], "y_val": y[rows:], "name": "numbers"}
    return from_arrays(X[:rows], y[:rows], **given)


def labels(weights=False, rows=40):
    """Return a data set of rows that have several labels, or none."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((rows + 30, 4))
    y = (X @ rng.standard_normal((4, 3)) > 0.3).astype(int)
    given = {"sample_weight": rng.integers(1, 5, rows).astype(float)} if weights else {}
    return from_arrays(X[:rows], y[:rows], X_val=X[rows:], y_val=y[rows:], name="labels", **given)


def rates(*values, share_batches=True, **changes):
    """Return the settings of networks that differ in learning rate and seed."""
    points = [{"learning_rate": rate, "seed": seed} for seed, rate in enumerate(values)]
    return sweep.configs(points, dataclasses.replace(BASE, **changes), share_batches)


def alone(config, data):
    """Train one network by itself, as ``xpnet train`` does."""
    return experiment.run(config, data, DEVICE)


def stacked(configs, data, device=DEVICE, prepared=None):
    """Train networks as one stack; return its `Outcome` with all of them."""
    span = epochs_of_rung(configs[0], len(data.X_train), 0, 0)
    task = Task("stack", dict(enumerate(configs)), span, {}, keep_all=True)
    prepared = prepared or preparation.prepare(configs[0], data, device)
    return train_chunk(task, prepared, device)


def stop_after(steps):
    """Return a ``should_stop`` that says so once that many steps of stacks are done."""
    asked = itertools.count()
    return lambda: next(asked) >= steps


def check_stack(points, common, share_batches, dtype, data=None):
    """Train networks both ways and compare all that is said of them; return the stack's `Outcome`."""
    configs = sweep.configs(points, dataclasses.replace(BASE, dtype=dtype, **common), share_batches)
    data = data or blobs()

    def close(value):
        return pytest.approx(value, rel=10 * TOLERANCE[dtype]) if data.task == "regression" else value

    outcome = stacked(configs, data)
    for number, config in enumerate(configs):
        single, row, trained = alone(config, data), outcome.rows[number], outcome.trained[number]
        assert_same(trained.params, single.model.params)
        for kind, arrays in single.result.state.items():  # a stack may keep an average for others
            assert_same(trained.state[kind], arrays)
        assert row["network"] == number
        assert row["status"] == single.summary["status"]
        if row["status"] == "diverged":  # as deep hinges may; a stack leaves out what came after
            continue
        assert row["steps"] == single.summary["steps"]
        # Losses, and squares for R², are only looked at; their sums may be taken in another order.
        rtol = 10 * TOLERANCE[dtype]
        history = single.result.history
        np.testing.assert_allclose(trained.history.losses, history.losses, rtol)
        for actual, expected in zip(trained.history.rows, history.rows, strict=True):
            np.testing.assert_allclose(actual[:6], expected[:6], rtol)
            assert actual.val_score == close(expected.val_score)
        for part in ("train", "val"):
            assert row[f"{part}_score"] == close(single.summary[f"{part}_{SCORE_OF[data.task]}"])
    return outcome


def results(rows):
    """Return a table without what a repetition may change: times, and how the sweep was cut."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "task", "networks")} for row in rows]


def assert_same(actual, expected):
    """The same parameters, to the bit."""
    assert sorted(actual) == sorted(expected)
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


def assert_close(actual, expected, rtol):
    """The same parameters but for ``rtol`` of the largest number in each."""
    assert sorted(actual) == sorted(expected)
    for name in expected:
        scale = np.max(np.abs(expected[name]))
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=rtol * scale, err_msg=name)


def sweep_to_kill(configs, folder, options):
    """Run a sweep in ``folder``: the work of a process that a test kills."""
    sweep.run(configs, blobs(), out=Path(folder), **options)


def optimize_in_storage(url, name, space, options):
    """Work on an Optuna study in a database: the work of another process."""
    import optuna

    from xpnet.sweep import asktell

    study = optuna.load_study(study_name=name, storage=url)
    asktell.optimize(study, space, BASE, blobs(), **options)
