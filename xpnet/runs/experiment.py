"""From settings and a data set to a trained network: what the command lines share."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.data import augment
from xpnet.data.batches import batches_per_epoch, epoch_ends
from xpnet.datasets import Dataset
from xpnet.device import SHARED_FROM, Device, one_blas_thread
from xpnet.nn import backprop, losses
from xpnet.nn.mlp import MLP, init
from xpnet.runs.config import Config
from xpnet.runs.preparation import Prepared, check, prepare, standardised
from xpnet.training.draws import Sources
from xpnet.training.history import SCORE_OF, History
from xpnet.training.loop import Fit, fit
from xpnet.training.model import Model
from xpnet.training.raw_rows import RowError
from xpnet.training.regime import Hyper
from xpnet.training.scoring import predictions, score
from xpnet.training.step import initial_state
from xpnet.training.stopping import Patience
from xpnet.typing import Array, Params, State, Task

__all__ = [
    "Experiment",
    "Validated",
    "hyper_of",
    "initial",
    "record",
    "run",
    "schedule_of",
    "scores",
    "share_inputs",
    "small_products",
    "sources_of",
    "status",
    "train",
]


CURVE_POINTS = 2000
"""Steps at which a learning rate is drawn: more than a picture has columns, however long the run."""


class Validated(NamedTuple):
    """The validation rows' targets as a data set has them, and what was predicted."""

    y: NDArray[Any]
    predicted: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Experiment:
    """A trained model with all that a run folder records of it.

    Attributes
    ----------
    config
        The settings.
    model
        The trained network with its preprocessing.
    history
        Of one network, or the means over those of an ensemble.
    summary
        As in ``summary.json``.
    best
        The model of the best epoch by ``monitor``; None where the run kept none.
    validated
        The validation rows; None where they are not known any more.
    rates
        Numbers of steps, from 1 to the last that was planned, and the learning rate of each: some of them.
    diverged_at
        The first step whose loss was not finite; 0 if there was none.
    result
        What training returned, its arrays on the device; None where they are not kept.
    """

    config: Config
    model: Model
    history: History
    summary: dict[str, Any]
    best: Model | None = None
    validated: Validated | None = None
    rates: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
    diverged_at: int = 0
    result: Fit | None = field(default=None, repr=False)


def train(
    configs: Sequence[Config],
    mlp: MLP,
    prepared: Prepared,
    device: Device,
    *,
    states: Sequence[State] | None = None,
    epochs: range | None = None,
    after: Fit | None = None,
    keep_best: bool = True,
    on_epoch: Callable[[History], None] | None = None,
    on_fit: Callable[[Fit], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Fit:
    """Train the networks that the settings describe: one alone, several as a stack.

    Parameters
    ----------
    configs
        Settings that differ only in fields marked ``stackable``.
    mlp, prepared, device
        The network, the data, and where they are.
    states
        State of each network to go on from, on the host; begun anew by default.
    keep_best
        Keep the best parameters of each network also where no patience asks for them.
    epochs, after, on_epoch, on_fit, should_stop
        See `xpnet.training.loop.fit`.

    Returns
    -------
    Fit
        Its arrays have a leading axis over the networks only if there are several.
    """
    config = configs[0]
    regime, hyper = config.regime(prepared.feed.X.shape[0], prepared.data.task), hyper_of(configs)
    if not keep_best and config.patience is None:
        regime = replace(regime, monitor=None)
    with device.active():
        if after is not None:
            state = after.state
        elif states is None:
            state = initial_state(device, initial(configs, mlp, device), regime, hyper)
        else:
            # They may come from stacks that kept an average and from others that had no use for one; a
            # network that has none is its own.
            kinds = initial_state(device, {}, regime, hyper)
            of_kind = {kind: [state.get(kind, state["params"]) for state in states] for kind in kinds}
            state = {kind: _stacked(each, device, configs[0].dtype) for kind, each in of_kind.items()}
        return fit(
            mlp,
            state,
            prepared.feed,
            prepared.validation,
            device=device,
            regime=regime,
            hyper=hyper,
            sources=sources_of(configs),
            stopping=Patience(config.patience),
            epochs=epochs,
            after=after,
            on_epoch=on_epoch,
            on_fit=on_fit,
            should_stop=should_stop,
        )


def hyper_of(configs: Sequence[Config]) -> Hyper:
    """Return the hyper-parameters: numbers of one network, arrays ``(nets,)`` of several."""
    each = {f.name: [getattr(c, f.name) for c in configs] for f in fields(Hyper)}
    each["clip_norm"] = [float("inf") if limit is None else limit for limit in each["clip_norm"]]
    return Hyper(**{name: v[0] if len(configs) == 1 else np.array(v) for name, v in each.items()})


def initial(configs: Sequence[Config], mlp: MLP, device: Device) -> Params:
    """Return initial parameters on the device: a stack if there are several settings, else one network's."""
    drawn = [init(mlp, _rng(c.seed, 0), c.init_std, c.init) for c in configs]
    return _stacked(drawn, device, configs[0].dtype)


def _stacked(networks: Sequence[Params], device: Device, dtype: str) -> Params:
    with device.active():
        # A copy: training consumes it, and what the caller has is the caller's.
        copies = [
            {name: device.xp.asarray(device.put(value, dtype), copy=True) for name, value in one.items()}
            for one in networks
        ]
        return copies[0] if len(copies) == 1 else backprop.stack(device.xp, copies)


def schedule_of(
    config: Config, num_rows: int, task: Task = "classification"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return steps, from 1, and the learning rate of each: as many of a run's as make a curve."""
    regime = config.regime(num_rows, task)
    points = min(regime.num_steps, CURVE_POINTS)
    steps = np.linspace(0, regime.num_steps - 1, points).round().astype(np.int64)
    steps_per_epoch = batches_per_epoch(num_rows, config.batch_size, config.sampling)
    ends = epoch_ends(regime.num_steps, steps_per_epoch, config.sampling)
    epochs = np.searchsorted(ends, steps, side="right")
    return steps + 1, regime.learning_rates(hyper_of([config]), (), steps, epochs)


def sources_of(configs: Sequence[Config]) -> Sources:
    """Return the sources of each epoch's draws: one if the networks share them, else one a network.

    They are made from seed and epoch alone, so that a run can be taken up at any epoch, and are apart from
    the source of the weights and from each other, so that networks of different weights can share their
    batches and turning one technique on leaves what others draw.
    """
    seeds = {
        "dropout": [c.seed for c in configs],
        "batches": [c.seed if c.batch_seed is None else c.batch_seed for c in configs],
    }
    streams = {"batches": 1, "dropout": 2, "augment": 3, "mixup": 4}

    def sources(stream: str, epoch: int) -> np.random.Generator | list[np.random.Generator]:
        each = seeds.get(stream, seeds["batches"])
        # Units are dropped by each network for itself, whatever else it shares.
        shared = len(set(each)) == 1 and (stream != "dropout" or len(each) == 1)
        made = [_rng(seed, streams[stream], epoch) for seed in (each[:1] if shared else each)]
        return made[0] if shared else made

    return sources


def share_inputs(configs: Sequence[Config]) -> bool:
    """Return whether the networks of a stack have the very same input in each step: shared batches, whole."""
    shared = isinstance(sources_of(configs)("batches", 0), np.random.Generator)
    return shared and not hyper_of(configs).uses("input_dropout")


def scores(config: Config, mlp: MLP, params: Params, prepared: Prepared, device: Device) -> dict[str, Any]:
    """Return ``train_score`` and ``val_score`` on all rows, ``(*nets,)`` each, on the host.

    The second averages over views of the images if the settings say so; the first never does. R² is that of
    the standardised targets, which is the same.
    """
    data, feed, validation = prepared.data, prepared.feed, prepared.validation
    output = losses.OUTPUT_OF[config.loss_of(data.task)]
    y_train, y_val = feed.y, validation.y
    if prepared.target is not None:  # on the device they may be rounded to float32
        y_train, y_val = (standardised(prepared.target, y) for y in (data.y_train, data.y_val))

    X_val: Any = validation.X
    apply_val: Callable[[Array], Array] = _as_it_is
    if config.averaging != "none":  # views are of raw rows, as a model has them: in floats of the device
        floats = data.X_val.dtype.kind == "f"
        X_val = data.X_val.astype(config.dtype, copy=False) if floats else data.X_val
        apply_val = prepared.apply

    def measured(X: Any, y: Any, apply: Callable[[Array], Array], kind: augment.Views) -> NDArray[Any]:
        def of_views(rows: Array) -> Iterable[Array]:
            return [rows] if kind == "none" else augment.views(device.xp, kind, rows, data.image_shape)

        return score(device, predictions(device, mlp, params, X, apply, of_views, output), y, output)

    with device.active():
        return {
            "train_score": measured(feed.X, y_train, feed.prepare or _as_it_is, "none"),
            "val_score": measured(X_val, y_val, apply_val, config.averaging),
        }


def _as_it_is(rows: Array) -> Array:
    return rows


def run(
    config: Config,
    data: Dataset,
    device: Device,
    on_epoch: Callable[[History], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    *,
    after: Fit | None = None,
    on_fit: Callable[[Fit], None] | None = None,
) -> Experiment:
    """Train the network that the settings describe, or the ensemble, and measure it.

    Parameters
    ----------
    config
        Settings.
    data
        The loaded data set.
    device
        Where to train.
    on_epoch, should_stop, after, on_fit
        See `xpnet.training.loop.fit`.

    Raises
    ------
    InputError
        The settings don't fit the data.
    """
    check(config, data)
    members = _members(config)
    mlp = config.mlp(data.num_features, data.num_outputs)
    began = time.perf_counter() - (after.history.rows[-1].seconds if after else 0.0)
    prepared = prepare(config, data, device)
    with one_blas_thread(device.is_host and small_products(config, mlp)):
        result = train(
            members,
            mlp,
            prepared,
            device,
            after=after,
            on_epoch=on_epoch if on_epoch is None or len(members) == 1 else _of_means(on_epoch),
            on_fit=on_fit,
            should_stop=should_stop,
        )
    device.synchronize()
    seconds = time.perf_counter() - began
    return record(config, prepared, device, result, seconds)


def small_products(config: Config, mlp: MLP) -> bool:
    """Return whether a step's products are too small to share out to threads."""
    return max(2 * config.batch_size * a * b for a, b in pairwise(mlp.sizes)) < SHARED_FROM


def _of_means(on_epoch: Callable[[History], None]) -> Callable[[History], None]:
    """Return what tells of the means over the networks of a stack, each epoch's taken once."""
    means = History()

    def tell(history: History) -> None:
        new = History(history.rows[len(means.rows) :], history.losses[len(means.losses) :]).mean()
        means.rows.extend(new.rows)
        means.losses.extend(new.losses)
        on_epoch(means)

    return tell


def _members(config: Config) -> list[Config]:
    """Settings of each network of an ensemble: successive seeds, the same batches."""
    if config.ensemble == 1:
        return [config]
    batch_seed = config.seed if config.batch_seed is None else config.batch_seed
    return [
        replace(config, seed=config.seed + k, batch_seed=batch_seed, ensemble=1)
        for k in range(config.ensemble)
    ]


def record(
    config: Config,
    prepared: Prepared,
    device: Device,
    result: Fit,
    seconds: float,
    measured: Mapping[str, float] | None = None,
) -> Experiment:
    """Read the scores of a trained network and put together what a run folder records.

    Parameters
    ----------
    config, prepared, device
        Of the training.
    result
        The trained network.
    seconds
        From loaded data to trained network.
    measured
        ``train_score`` and ``val_score``, where they are known already.
    """
    data = prepared.data
    model = Model(
        config.mlp(data.num_features, data.num_outputs),
        {name: device.to_host(value) for name, value in result.params.items()},
        config.preprocessing,
        prepared.fitted,
        data.class_names,
        data.image_shape,
        config.averaging,
        data.task,
        labels=data.labels,
        target=prepared.target,
    )
    if measured is None:
        plain = replace(model, averaging="none")
        measured = {
            "train_score": plain.score(data.X_train, data.y_train, device),
            "val_score": model.score(data.X_val, data.y_val, device),
        }
    test = None
    if data.X_test is not None and data.y_test is not None:
        test = model.score(data.X_test, data.y_test, device)
    best = None
    if result.best is not None:
        params = {name: device.to_host(value) for name, value in result.best.params.items()}
        best = replace(model, params=params)
    name = SCORE_OF[data.task]
    summary = {
        f"train_{name}": measured["train_score"],
        f"val_{name}": measured["val_score"],
        f"test_{name}": test,
        "seconds": seconds,
        "steps": len(result.history.losses),
        "device": device.name,
        "backend": device.backend,
        "dtype": config.dtype,
        "seed": config.seed,
        "status": status(result),
    }
    validated = None
    with contextlib.suppress(RowError):  # a diverged network may be of parameters too large to predict
        validated = Validated(data.y_val, model.predict(data.X_val, device))
    diverged_at = result.diverged_at[result.diverged_at > 0]
    return Experiment(
        config,
        model,
        result.history.mean(),
        summary,
        best,
        validated,
        schedule_of(config, len(data.X_train), data.task),
        int(diverged_at.min()) if diverged_at.size else 0,
        result,
    )


def status(result: Fit) -> str:
    """Return ``"finished"``, ``"stopped"`` early, ``"interrupted"`` or ``"diverged"``: what ended a run."""
    if result.diverged_at.any():
        return "diverged"
    if result.interrupted:
        return "interrupted"
    return "stopped" if result.timed_out or result.stopped_at.all() else "finished"


def _rng(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))
