"""From settings to trained networks: a single one, or several as a stack."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data.batches import batches_per_epoch, epoch_ends
from xpnet.data.feed import Feed
from xpnet.data.views import Views, views
from xpnet.device import Device
from xpnet.nn import backprop, losses
from xpnet.nn.mlp import MLP, init
from xpnet.runs.config import Config
from xpnet.runs.preparation import Prepared, monitor_of
from xpnet.training.draws import Sources
from xpnet.training.history import History
from xpnet.training.loop import fit
from xpnet.training.monitors import Watch
from xpnet.training.regime import Hyper, Known
from xpnet.training.result import Fit
from xpnet.training.scoring import predictions, score
from xpnet.training.step import initial_state
from xpnet.training.stopping import Patience
from xpnet.training.together import Job
from xpnet.typing import Array, Params, State, Task

__all__ = [
    "bagged",
    "hyper_of",
    "initial",
    "job_of",
    "monitored",
    "schedule_of",
    "scores",
    "share_inputs",
    "sources_of",
    "train",
]

BAGS = 5
"""Random stream of the bootstrap samples, after the streams of `sources_of`."""

CURVE_POINTS = 2000
"""Number of steps at which to plot the learning rate: more than a picture has columns, however long the
run."""


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
    """Train the networks that the settings describe: a single one, or several as a stack.

    Parameters
    ----------
    configs
        Settings that differ only in fields marked ``stackable``.
    mlp, prepared, device
        The network, the data, and their device.
    states
        State of each network to continue from, on the host; by default training starts afresh.
    keep_best
        Keep the best parameters of each network even without ``patience``.
    epochs, after, on_epoch, on_fit, should_stop
        See `xpnet.training.loop.fit`.

    Returns
    -------
    Fit
        Its arrays have a leading axis over the networks only if there are several.
    """
    goes_on = after is not None or states is not None
    job = job_of(configs, mlp, prepared, device, keep_best=keep_best, draws=not goes_on)
    with device.active():
        if after is not None:
            state = after.state
        elif states is None:
            state = initial_state(device, job.state["params"], job.regime, job.hyper)
        else:
            # Some may come from stacks that kept an average, others from stacks that did not. For a network
            # without one, the average is the network itself.
            kinds = initial_state(device, {}, job.regime, job.hyper)
            of_kind = {kind: [state.get(kind, state["params"]) for state in states] for kind in kinds}
            state = {kind: _stacked(each, device, configs[0].dtype) for kind, each in of_kind.items()}
        return fit(
            mlp,
            state,
            job.feed,
            job.validation,
            device=device,
            regime=job.regime,
            hyper=job.hyper,
            sources=sources_of(configs),
            schedule=job.schedule,
            stopping=job.stopping,
            target=job.target,
            epochs=epochs,
            after=after,
            on_epoch=on_epoch,
            on_fit=on_fit,
            should_stop=should_stop,
        )


def job_of(
    configs: Sequence[Config],
    mlp: MLP,
    prepared: Prepared,
    device: Device,
    *,
    keep_best: bool = True,
    draws: bool = True,
) -> Job:
    """Return the training job of these networks.

    Parameters
    ----------
    configs, mlp, prepared, device, keep_best
        As for `train`.
    draws
        Whether to draw initial parameters; otherwise the job has none.
    """
    config = configs[0]
    regime, hyper = config.regime(prepared.feed.num_rows, prepared.data.task), hyper_of(configs)
    watches = keep_best or config.patience is not None
    regime = replace(regime, monitor=monitor_of(config, prepared.data) if watches else None)
    with device.active():
        params = initial(configs, mlp, device, prepared.begin) if draws else {}
        feed = bagged(configs, prepared.feed, device) if config.bagging else prepared.feed
    nets = () if len(configs) == 1 else (len(configs),)
    return Job(
        mlp,
        {"params": params},
        feed,
        prepared.validation,
        regime,
        hyper,
        [sources_of([one]) for one in configs],
        Known(regime, hyper, nets),
        Patience(config.patience),
        prepared.target,
    )


def hyper_of(configs: Sequence[Config]) -> Hyper:
    """Return the hyper-parameters: numbers for one network, arrays ``(nets,)`` for several."""
    each = {f.name: [getattr(c, f.name) for c in configs] for f in fields(Hyper)}
    each["clip_norm"] = [float("inf") if limit is None else limit for limit in each["clip_norm"]]
    return Hyper(**{name: v[0] if len(configs) == 1 else np.array(v) for name, v in each.items()})


def initial(configs: Sequence[Config], mlp: MLP, device: Device, begin: Sequence[Params] = ()) -> Params:
    """Return initial parameters on the device: a stack if there are several settings, else one network's.

    They come from ``begin`` if it holds any, else they are drawn.
    """
    each = [begin[k % len(begin)] for k in range(len(configs))] if begin else []
    each = each or [init(mlp, _rng(c.seed, 0), c.init_std, c.init) for c in configs]
    return _stacked(each, device, configs[0].dtype)


def _stacked(networks: Sequence[Params], device: Device, dtype: str) -> Params:
    with device.active():
        # A copy, because training overwrites its parameters.
        copies = [
            {name: device.xp.asarray(device.put(value, dtype), copy=True) for name, value in one.items()}
            for one in networks
        ]
        return copies[0] if len(copies) == 1 else backprop.stack(device.xp, copies)


def bagged(configs: Sequence[Config], feed: Feed, device: Device) -> Feed:
    """Return a feed with a bootstrap sample of the rows for each network, drawn by the network's own seed.

    The seed of the batches would not do, because networks may share it.
    """
    rows = feed.num_rows
    own = [_rng(config.seed, BAGS).integers(rows, size=rows) for config in configs]
    feed = replace(feed, own=device.put(np.stack(own)))
    return feed.of(device.xp, 0) if len(own) == 1 else feed


def schedule_of(
    config: Config, num_rows: int, task: Task = "classification"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return some steps, counted from 1, and their learning rates: enough to draw a curve."""
    regime = config.regime(num_rows, task)
    points = min(regime.num_steps, CURVE_POINTS)
    steps = np.linspace(0, regime.num_steps - 1, points).round().astype(np.int64)
    steps_per_epoch = batches_per_epoch(num_rows, config.batch_size, config.sampling)
    ends = epoch_ends(regime.num_steps, steps_per_epoch, config.sampling)
    epochs = np.searchsorted(ends, steps, side="right")
    return steps + 1, regime.learning_rates(hyper_of([config]), (), steps, epochs)


def sources_of(configs: Sequence[Config]) -> Sources:
    """Return the random sources of each epoch: one if the networks share them, else one per network.

    They depend on seed and epoch only, so that a run can be resumed at any epoch. They are independent of the
    source of the weights and of each other, so that networks with different weights can share batches, and
    switching one technique on does not change what others draw.
    """
    seeds = {
        "dropout": [c.seed for c in configs],
        "batches": [c.seed if c.batch_seed is None else c.batch_seed for c in configs],
    }
    streams = {"batches": 1, "dropout": 2, "augment": 3, "mixup": 4}

    def sources(stream: str, epoch: int) -> np.random.Generator | list[np.random.Generator]:
        each = seeds.get(stream, seeds["batches"])
        # Dropout is drawn for each network separately, whatever else is shared.
        shared = len(set(each)) == 1 and (stream != "dropout" or len(each) == 1)
        made = [_rng(seed, streams[stream], epoch) for seed in (each[:1] if shared else each)]
        return made[0] if shared else made

    return sources


def share_inputs(configs: Sequence[Config]) -> bool:
    """Return whether all networks of a stack have the same input in each step."""
    shared = isinstance(sources_of(configs)("batches", 0), np.random.Generator)
    return shared and not hyper_of(configs).uses("input_dropout")


def scores(config: Config, mlp: MLP, params: Params, prepared: Prepared, device: Device) -> dict[str, Any]:
    """Return ``train_score`` and ``val_score`` on all rows, ``(*nets,)`` each, on the host.

    ``val_score`` averages over views of the images if the settings say so; ``train_score`` never does. R² is
    computed on the standardised targets, which makes no difference.
    """
    data, feed, validation = prepared.data, prepared.feed, prepared.validation
    output = losses.OUTPUT_OF[config.loss_of(data.task)]
    y_train, y_val = feed.y, validation.y
    if prepared.target is not None:  # on the device they may be rounded to float32
        y_train, y_val = map(prepared.target.apply, (data.y_train, data.y_val))

    X_val: Any = validation.X
    apply_val: Callable[[Array], Array] = validation.prepare or _as_it_is
    if config.averaging != "none":  # views are made from raw rows, in floats of the device, as in a model
        floats = data.X_val.dtype.kind == "f"
        X_val = data.X_val.astype(config.dtype, copy=False) if floats else data.X_val
        apply_val = prepared.apply

    def measured(X: Any, y: Any, apply: Any, weight: Any, kind: Views = "none") -> NDArray[Any]:
        def of_views(rows: Array) -> Iterable[Array]:
            return [rows] if kind == "none" else views(device.xp, kind, rows, data.image_shape)

        found = predictions(device, mlp, params, X, apply, of_views, output)
        return score(device, found, y, output, weight)

    with device.active():
        return {
            "train_score": measured(feed.X, y_train, feed.prepare or _as_it_is, data.weight_train),
            "val_score": measured(X_val, y_val, apply_val, data.weight_val, config.averaging),
        }


def monitored(
    config: Config, mlp: MLP, params: Params, prepared: Prepared, device: Device
) -> NDArray[np.float64]:
    """Return the monitored measure on the validation rows, ``(*nets,)``; higher is better, see `Watch`."""
    data, validation = prepared.data, prepared.validation
    regime = config.regime(prepared.feed.num_rows, data.task)
    regime = replace(regime, monitor=monitor_of(config, data))
    with device.active():
        # The networks of a sweep are compared without class weights.
        plain = None if data.weight_val is None else device.put(data.weight_val, config.dtype)
        watch = Watch(device, regime, replace(validation, weight=plain), prepared.target)
        prepare = validation.prepare or _as_it_is
        found = predictions(device, mlp, params, validation.X, prepare, lambda rows: [rows], "identity")
        scores = np.concatenate([device.to_host(part) for part in found], axis=-2)
    finite = np.where(np.isfinite(scores).all(axis=(-2, -1)), 0.0, np.nan)
    return watch.value(finite, finite, finite, scores)


def _as_it_is(rows: Array) -> Array:
    return rows


def _rng(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))
