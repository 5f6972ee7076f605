"""Ensembles of the networks of a sweep, chosen on the validation rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets import Dataset
from xpnet.device import Device, Options, get_device
from xpnet.errors import InputError
from xpnet.nn import backprop, losses
from xpnet.runs.config import Config
from xpnet.runs.experiment import as_model, record
from xpnet.runs.members import joined_history
from xpnet.runs.preparation import Prepared, monitor_of
from xpnet.runs.run import Run, as_run
from xpnet.runs.starting import prepared_for
from xpnet.runs.subset import drawn_by
from xpnet.sweep.chunk import Trained
from xpnet.sweep.store import Memory
from xpnet.training.measures import MEASURES
from xpnet.training.monitors import ours, sign_of
from xpnet.training.result import Fit
from xpnet.training.selection import select
from xpnet.typing import Params, Task

__all__ = ["Library", "choose"]


@dataclass(frozen=True)
class Library:
    """The networks and data from which an ensemble of a finished sweep is chosen.

    Attributes
    ----------
    store
        The trained networks that were kept.
    data
        The data set.
    options
        The device to predict on.
    """

    store: Memory = field(repr=False)
    data: Dataset
    options: Options


def choose(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], library: Library, k: int) -> Run:
    """Return an ensemble of up to ``k`` networks of a sweep.

    Parameters
    ----------
    configs, rows
        Settings and results of the sweep.
    library
        Its networks.
    k
        Maximum number of networks; one may count several times.
    """
    store, data, device = library.store, library.data, get_device(*library.options)
    kinds: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    left = {task: store.networks(task) for task in {row["task"] for row in rows if _has_ended(row)}}
    for row in rows:
        if _has_ended(row) and row["network"] in left[row["task"]]:
            kinds.setdefault(_kind_of(configs[row["network"]], data.task), []).append(row)
    best: tuple[float, Prepared, list[Mapping[str, Any]]] | None = None
    for alike in kinds.values():
        config = configs[alike[0]["network"]]
        prepared = prepared_for(config, data, device)
        P = _predictions(config, prepared, alike, store, device)
        loss = _loss_of(config, prepared.data, "monitored" in alike[0])
        chosen = select(P, loss, k)
        value = loss(P[chosen].mean(axis=0, dtype=np.float64))
        if best is None or value < best[0]:
            best = value, prepared, [alike[m] for m in chosen]
    if best is None:
        raise InputError("every network diverged, so there is no ensemble: use a lower learning rate")
    return _recorded(configs, best[2], best[1], store, device)


def _has_ended(row: Mapping[str, Any]) -> bool:
    """Return whether a network finished training."""
    return row["status"] in ("finished", "stopped")


def _kind_of(config: Config, task: Task) -> tuple[Any, ...]:
    """Return what trained networks must have in common to form one model."""
    return (
        config.hidden,
        config.activation,
        config.norm,
        config.residual,
        config.preprocessing,
        config.dtype,
        config.averaging,
        losses.OUTPUT_OF[config.loss_of(task)],
        config.standardize_target,
        config.class_weight,  # the preprocessing ignores rows of weight 0
        drawn_by(config),
    )


def _predictions(
    config: Config,
    prepared: Prepared,
    rows: Sequence[Mapping[str, Any]],
    store: Memory,
    device: Device,
) -> NDArray[np.floating]:
    """Return each network's predictions for the validation rows, computed in the training stacks."""
    found: dict[int, NDArray[np.floating]] = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        numbers = [row["network"] for row in rows if row["task"] == task]
        params = _stacked([store.load(task, number) for number in numbers])
        members = as_model(config, prepared, params).members(prepared.data.X_val, device)
        found |= dict(zip(numbers, members, strict=True))
    return np.stack([found[row["network"]] for row in rows])


def _stacked(networks: Sequence[Trained]) -> Params:
    return backprop.stack(np, [trained.params for trained in networks])


def _loss_of(config: Config, data: Dataset, monitors: bool) -> Callable[[NDArray[np.float64]], float]:
    """Return the loss of mean predictions for the validation rows.

    It is the negative of what the sweep ranks by, if that is a monitor. Otherwise it is the log loss for
    classes and labels, which is less noisy than accuracy on few rows, and the negative R² in regression.
    """
    y, weight = data.y_val, data.weight_val
    usual = "val_r2" if data.task == "regression" else "val_log_loss"
    monitor = config.monitor if monitors else usual
    if name := ours(monitor):
        measure, sign = MEASURES[name.removeprefix("val_")].of, sign_of(name)
        return lambda P: -sign * float(measure(y, P, weight))
    scorer = monitor_of(config, data)

    def loss(P: NDArray[np.float64]) -> float:
        if data.task != "regression":  # scores that correspond to these probabilities
            least = np.finfo(np.float64).tiny
            P = np.log(np.maximum(P, least)) - (
                np.log(np.maximum(1 - P, least)) if data.task == "multilabel" else 0.0
            )
        return -float(scorer(y, P, weight))

    return loss


def _recorded(
    configs: Sequence[Config],
    rows: Sequence[Mapping[str, Any]],
    prepared: Prepared,
    store: Memory,
    device: Device,
) -> Run:
    """Return the run of the chosen networks; the test rows are used only here, after the choice."""
    numbers = [row["network"] for row in rows]
    networks = [store.load(row["task"], row["network"]) for row in rows]
    stopped_at = np.array([row["steps"] if row["status"] == "stopped" else 0 for row in rows])
    if len(networks) == 1:
        params, history, stopped_at = networks[0].params, networks[0].history, stopped_at[0]
    else:
        params, history = _stacked(networks), joined_history([trained.history for trained in networks])
    config = replace(configs[numbers[0]], ensemble=len(numbers))
    fit = Fit({"params": params}, history, np.zeros_like(stopped_at), False, stopped_at)
    seconds = sum({row["network"]: row["seconds"] for row in rows}.values())
    found = record(config, prepared, device, fit, seconds)
    return as_run(replace(found, summary=found.summary | {"networks": numbers}), None)
