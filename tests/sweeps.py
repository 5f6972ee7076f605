"""What the tests of sweeps share: small data, networks trained alone or as a stack, a sweep to kill.

A module of its own so that a spawned process can import it.
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np

from xpnet import sweep
from xpnet.datasets import Dataset
from xpnet.device import Device
from xpnet.runs import experiment, preparation
from xpnet.runs.config import Config
from xpnet.sweep.chunk import Task, train_chunk
from xpnet.sweep.plan import epochs_of_rung

DEVICE = Device()

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
