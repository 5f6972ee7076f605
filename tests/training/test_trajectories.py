"""Many steps on every device and in every library, against the same seed and batches in NumPy."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from fits import EVERYTHING, HERE, begin, image_feed, on_host, own_sources, random_params, sources

from xpnet import datasets
from xpnet.runs.config import Config
from xpnet.runs.experiment import run
from xpnet.training.loop import fit

EVERY_DTYPE = True
TOLERANCE = {"float32": 1e-3, "float64": 1e-10}


def distance(found, expected):
    """The largest difference of a parameter, by the largest of its kind."""
    assert sorted(found) == sorted(expected)
    return max(
        np.abs(found[name].astype(np.float64) - value).max() / np.abs(value).max()
        for name, value in expected.items()
    )


@functools.cache  # most of all what is trained in NumPy, for each device to compare with
def on_digits(place, dtype, settings):
    config = Config(**({"hidden": (32,), "iterations": 200, "dtype": dtype} | json.loads(settings)))
    return run(config, datasets.load("digits", None), place)


@functools.cache
def with_everything(place, dtype, solver):
    mlp = dataclasses.replace(EVERYTHING["mlp"], norm="batch" if solver == "sgd" else "layer")
    regime = dataclasses.replace(EVERYTHING["regime"], solver=solver, num_steps=60)
    hyper = dataclasses.replace(EVERYTHING["hyper"], learning_rate=np.array([0.01, 0.02]))
    params = random_params(np.random.default_rng(31), (2,), mlp)
    with place.active():
        result = fit(
            mlp,
            begin(place, params, dtype, regime, hyper),
            image_feed(place, dtype, EVERYTHING["augmentation"]),
            device=place,
            regime=regime,
            hyper=hyper,
            sources=own_sources(32, 33) if solver == "adam" else sources(34),
        )
        assert not result.diverged_at.any()
        return on_host(place, result.params)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"solver": "adam", "learning_rate": 1e-3, "schedule": "one-cycle", "sampling": "shuffle"},
        {"activation": "gelu", "norm": "layer", "hidden": (24, 24), "preprocess": "zca", "dropout": 0.2},
    ],
    ids=["default", "adam", "deep"],
)
def test_a_network_on_the_digits(device, dtype, settings):
    found, here = (on_digits(place, dtype, json.dumps(settings)) for place in (device, HERE))
    losses = [np.asarray(each.result.history.losses, np.float64) for each in (found, here)]
    assert losses[0].shape == losses[1].shape == (200,)
    np.testing.assert_allclose(losses[0], losses[1], rtol=TOLERANCE[dtype])
    assert distance(found.model.params, here.model.params) < TOLERANCE[dtype]
    assert losses[1][-1] < losses[1][0] / 2  # it has learnt


@pytest.mark.parametrize("solver", ["sgd", "nesterov", "adam"])
def test_a_stack_with_everything(device, dtype, solver):
    found, here = (with_everything(place, dtype, solver) for place in (device, HERE))
    assert distance(found, here) < TOLERANCE[dtype]
