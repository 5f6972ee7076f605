"""From settings and a data set to a trained network: what the command lines share."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet import network, transforms
from xpnet.config import Config
from xpnet.datasets import Dataset
from xpnet.device import Device, one_blas_thread
from xpnet.errors import InputError
from xpnet.history import History
from xpnet.network import MLP
from xpnet.training import Fit, Hyper, evaluate, fit
from xpnet.typing import Array, Params

__all__ = [
    "Experiment",
    "Prepared",
    "accuracies",
    "initial",
    "network_for",
    "prepare",
    "record",
    "rng_for",
    "run",
    "status",
    "test_accuracy",
    "train",
]


SHARED_FROM = 4_000_000
"""Operations of a step's largest product from which a second BLAS thread begins to pay. With smaller ones
it gains nothing, and on a busy machine threads that wait for each other cost many times the product."""


@dataclass(frozen=True)
class Prepared:
    """Rows ready to train on, on the device, and the mean that was subtracted from them."""

    X: Array
    y: Array
    X_val: Array
    y_val: Array
    mean: NDArray[np.float64]


@dataclass(frozen=True)
class Experiment:
    """A trained network with all that a run folder records of it.

    ``params`` are NumPy arrays; ``seconds`` go from loaded data to trained network: fitting the
    preprocessing and training, neither the files nor the test set.
    """

    config: Config
    mlp: MLP
    params: dict[str, NDArray[Any]]
    mean: NDArray[np.float64]
    result: Fit
    summary: dict[str, Any]


def prepare(data: Dataset, device: Device, dtype: str) -> Prepared:
    """Fit the preprocessing on the training rows and put the training and validation rows on the device.

    Raises
    ------
    InputError
        A value is too large for ``dtype``.
    """
    xp = device.xp
    with device.active():
        mean = transforms.fit_mean(data.X_train)
        on_device = device.put(mean, dtype)
        X, X_val = (
            transforms.subtract_mean(xp, device.put(rows), on_device) for rows in (data.X_train, data.X_val)
        )
        y, y_val = device.put(data.y_train), device.put(data.y_val)
        if data.X_train.dtype.kind == "f":  # integers fit
            ends = [end for rows in (X, X_val) for end in (xp.min(rows), xp.max(rows))]
            if not np.isfinite(device.to_host(xp.stack(ends))).all():
                raise InputError(f"X has values too large for {dtype}: divide it by its largest value")
    return Prepared(X, y, X_val, y_val, mean)


def network_for(config: Config, num_features: int, num_classes: int) -> MLP:
    """Return the description of the network that the settings and the data make."""
    return MLP((num_features, *config.hidden, num_classes))


def train(
    configs: Sequence[Config],
    mlp: MLP,
    prepared: Prepared,
    device: Device,
    *,
    params: Sequence[Params] | None = None,
    epochs: range | None = None,
    on_epoch: Callable[[History], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Fit:
    """Train the networks that the settings describe: one alone, several as a stack.

    Parameters
    ----------
    configs
        Settings that differ only in fields marked ``stackable``.
    mlp, prepared, device
        The network, the data, and where they are.
    params
        Parameters of each network to go on from, on the host; drawn anew by default.
    epochs, on_epoch, should_stop
        See `xpnet.training.fit`.

    Returns
    -------
    Fit
        Its arrays have a leading axis over the networks only if there are several.
    """
    config = configs[0]
    hyper = {f.name: [getattr(c, f.name) for c in configs] for f in fields(Hyper)}
    alone = len(configs) == 1
    with device.active():
        return fit(
            mlp,
            initial(configs, mlp, device, params),
            prepared.X,
            prepared.y,
            prepared.X_val,
            prepared.y_val,
            device=device,
            hyper=Hyper(**{name: v[0] if alone else np.array(v) for name, v in hyper.items()}),
            num_steps=config.num_steps(prepared.X.shape[0]),
            batch_size=config.batch_size,
            sampling=config.sampling,
            rng=rng_for(configs),
            epochs=epochs,
            on_epoch=on_epoch,
            should_stop=should_stop,
        )


def initial(
    configs: Sequence[Config], mlp: MLP, device: Device, params: Sequence[Params] | None = None
) -> Params:
    """Return parameters on the device: a stack if there are several settings, else one network's.

    They are drawn from each network's seed unless ``params`` holds those of each network on the host.
    """
    if params is None:
        params = [network.init(mlp, _rng(c.seed, 0), c.init_std) for c in configs]
    with device.active():
        on_device = [
            {
                # A copy: training consumes it, and what the caller has is the caller's.
                name: device.xp.asarray(device.put(value, configs[0].dtype), copy=True)
                for name, value in one.items()
            }
            for one in params
        ]
        return on_device[0] if len(on_device) == 1 else network.stack(device.xp, on_device)


def rng_for(
    configs: Sequence[Config],
) -> Callable[[int], np.random.Generator | list[np.random.Generator]]:
    """Return the source of each epoch's batches: one if the networks share them, else one a network.

    It is made from seed and epoch alone, so that a run can be taken up at any epoch, and is apart from
    the source of the weights, so that networks of different weights can share their batches.
    """
    seeds = [c.seed if c.batch_seed is None else c.batch_seed for c in configs]
    if len(set(seeds)) == 1:
        return lambda epoch: _rng(seeds[0], 1, epoch)
    return lambda epoch: [_rng(seed, 1, epoch) for seed in seeds]


def accuracies(mlp: MLP, params: Params, prepared: Prepared, device: Device) -> dict[str, NDArray[Any]]:
    """Return ``train_accuracy`` and ``val_accuracy`` on all rows, ``(*nets,)`` each."""
    parts = {"train": (prepared.X, prepared.y), "val": (prepared.X_val, prepared.y_val)}
    with device.active():
        return {
            f"{part}_accuracy": device.to_host(evaluate(device.xp, mlp, params, X, y)[1])
            for part, (X, y) in parts.items()
        }


def test_accuracy(
    mlp: MLP, params: Params, mean: NDArray[np.float64], data: Dataset, device: Device, dtype: str
) -> float | None:
    """Return the accuracy of one network on the test rows, None if there are none.

    The rows go to the device part by part: they are used this once.
    """
    if data.X_test is None or data.y_test is None:
        return None
    correct = 0
    on_device = device.put(mean, dtype)
    with device.active():
        for start in range(0, len(data.X_test), 1000):
            part = slice(start, start + 1000)
            rows = transforms.subtract_mean(device.xp, device.put(data.X_test[part]), on_device)
            predicted = device.to_host(network.predict(device.xp, mlp, params, rows))
            correct += int((predicted == data.y_test[part]).sum())
    return correct / len(data.X_test)


def run(
    config: Config,
    data: Dataset,
    device: Device,
    on_epoch: Callable[[History], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Experiment:
    """Train the network that the settings describe and measure it.

    Parameters
    ----------
    config
        Settings.
    data
        The loaded data set.
    device
        Where to train.
    on_epoch, should_stop
        See `xpnet.training.fit`.

    Raises
    ------
    InputError
        The settings don't fit the data.
    """
    config.num_steps(len(data.X_train))  # complains before any work is done
    mlp = network_for(config, data.num_features, data.num_classes)
    began = time.perf_counter()
    prepared = prepare(data, device, config.dtype)
    largest_product = max(2 * config.batch_size * a * b for a, b in pairwise(mlp.sizes))
    with one_blas_thread(device.is_host and largest_product < SHARED_FROM):
        result = train([config], mlp, prepared, device, on_epoch=on_epoch, should_stop=should_stop)
    device.synchronize()
    seconds = time.perf_counter() - began
    measured = accuracies(mlp, result.params, prepared, device)
    return record(config, data, device, result, prepared.mean, measured, seconds)


def record(
    config: Config,
    data: Dataset,
    device: Device,
    result: Fit,
    mean: NDArray[np.float64],
    measured: Mapping[str, Any],
    seconds: float,
) -> Experiment:
    """Read the test accuracy of a trained network and put together what a run folder records.

    Parameters
    ----------
    config, data, device
        Of the training.
    result
        The trained network.
    mean
        What was subtracted from the rows.
    measured
        ``train_accuracy`` and ``val_accuracy``, see `accuracies`.
    seconds
        From loaded data to trained network.
    """
    mlp = network_for(config, data.num_features, data.num_classes)
    summary = {
        # By way of text, as short as its precision allows: 0.98, not 0.9800000190734863.
        **{name: float(str(value)) for name, value in measured.items()},
        "test_accuracy": test_accuracy(mlp, result.params, mean, data, device, config.dtype),
        "seconds": seconds,
        "steps": len(result.history.losses),
        "device": device.name,
        "backend": device.backend,
        "dtype": config.dtype,
        "seed": config.seed,
        "status": status(result),
    }
    params = {name: device.to_host(value) for name, value in result.params.items()}
    return Experiment(config, mlp, params, mean, result, summary)


def status(result: Fit) -> str:
    """Return ``"finished"``, ``"interrupted"`` or ``"diverged"`` for the fit of one network."""
    if result.diverged_at.any():
        return "diverged"
    return "interrupted" if result.interrupted else "finished"


def _rng(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))
