"""From settings and a data set to a trained and measured network."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets import Dataset
from xpnet.datasets.stored import picked
from xpnet.device import Device, all_to_host, busy_note, cores, one_blas_thread, small_products
from xpnet.nn import losses
from xpnet.reporting.evaluated import Mistake
from xpnet.reporting.live import Phase
from xpnet.runs.config import Config
from xpnet.runs.members import train_apart
from xpnet.runs.mistakes import worst
from xpnet.runs.networks import schedule_of, train
from xpnet.runs.preparation import Prepared, check, prepare
from xpnet.training import out_of_scale
from xpnet.training.history import SCORE_OF, History
from xpnet.training.model import Model
from xpnet.training.out_of_scale import OutOfScale
from xpnet.training.raw_rows import RowError
from xpnet.training.result import Fit
from xpnet.training.row_range import RowRange
from xpnet.typing import Params

__all__ = [
    "Experiment",
    "Predicted",
    "as_model",
    "members_of",
    "record",
    "run",
    "status",
]


MEASURED = 100_000
"""Maximum number of training rows whose score is measured at the end."""


class Predicted(NamedTuple):
    """Targets of the validation or the test rows, as in the data set, and the predictions for them.

    Attributes
    ----------
    y, predicted
        Both.
    mistakes
        The worst mistakes; empty for validation rows if there are test rows.
    weighted
        Whether the run's scores weight these rows.
    numbered
        Whether the rows of the mistakes are numbered as among the user's own.
    """

    y: NDArray[Any]
    predicted: NDArray[Any]
    mistakes: tuple[Mistake, ...] = ()
    weighted: bool = False
    numbered: bool = False


@dataclass(frozen=True, eq=False)
class Experiment:
    """A trained model with everything that a run folder records.

    Attributes
    ----------
    config
        The settings.
    model
        The trained network with its preprocessing.
    history
        History of one network, or the means over an ensemble.
    summary
        As in ``summary.json``.
    best
        The model of the best epoch by ``monitor``; None where the run kept none.
    validated, tested
        The validation rows and the test rows; None if there are none, or they are no longer known.
    best_rows
        For each network, the index of its best epoch by ``monitor`` in the rows of ``history``; empty if it
        is unknown.
    rates
        Some steps, from 1 to the last one planned, and the learning rate of each.
    diverged_at
        The first step whose loss was not finite or absurdly large; 0 if there was none.
    out_of_scale
        After divergence, what in the data is badly scaled; None if nothing is.
    result
        What training returned, with arrays on the device; None if they are not kept.
    """

    config: Config
    model: Model
    history: History
    summary: dict[str, Any]
    best: Model | None = None
    validated: Predicted | None = None
    tested: Predicted | None = None
    best_rows: tuple[int, ...] = ()
    rates: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
    diverged_at: int = 0
    out_of_scale: OutOfScale | None = None
    result: Fit | None = field(default=None, repr=False)


def run(
    config: Config,
    data: Dataset,
    device: Device,
    on_epoch: Callable[[History], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    *,
    after: Fit | None = None,
    on_fit: Callable[[Fit], None] | None = None,
    on_ready: Callable[[Prepared], None] | None = None,
    on_phase: Callable[[Phase], None] | None = None,
    start: Model | None = None,
    note: Callable[[str], None] | None = None,
) -> Experiment:
    """Train and measure the network or ensemble that the settings describe.

    Parameters
    ----------
    config
        Settings.
    data
        The loaded data set.
    device
        The device to train on.
    on_epoch, should_stop, after, on_fit
        See `xpnet.training.loop.fit`.
    on_ready
        Called with what was prepared before the first step, for runs that are written to a folder. If
        ``should_stop`` ends training, the run can then be resumed, see ``result.whole``.
    on_phase
        Called when preprocessing, training and evaluation begin.
    start
        The model to start from, with its preprocessing; its columns and classes are those of the data.
    note
        Called with a sentence if other programs use the cores that the BLAS threads need.

    Raises
    ------
    InputError
        If the settings do not fit the data.
    """
    check(config, data)
    on_phase = on_phase or (lambda _: None)
    members = members_of(config)
    began = time.perf_counter() - (after.history.rows[-1].seconds if after else 0.0)
    on_phase("preprocessing")
    prepared = prepare(config, data, device, start)
    if on_ready is not None:
        on_ready(prepared)
    on_phase("training")
    mlp = prepared.mlp(config)
    if on_epoch is not None and len(members) > 1:
        on_epoch = _of_means(on_epoch)
    # An ensemble always uses one BLAS thread, so that its last bits do not depend on the number of cores.
    lone = device.is_host and (len(members) > 1 or small_products(config.batch_size, mlp.sizes))
    if note is not None and device.is_host and not lone and (said := busy_note()):
        note(said)
    # Threads would call MPI in an order that differs between processes.
    apart_at_all = device.is_host and device.team is None and on_fit is None and after is None
    stacks = min(cores(), len(members)) if apart_at_all else 1
    with one_blas_thread(lone):
        if stacks > 1:
            ends = [len(members) * k // stacks for k in range(stacks + 1)]
            apart = [members[start:end] for start, end in pairwise(ends)]
            result = train_apart(
                apart,
                mlp,
                prepared,
                device,
                on_epoch=on_epoch,
                should_stop=should_stop,
                whole=on_ready is not None,
            )
        else:
            result = train(
                members,
                mlp,
                prepared,
                device,
                after=after,
                on_epoch=on_epoch,
                on_fit=on_fit,
                should_stop=should_stop,
            )
    device.synchronize()
    seconds = time.perf_counter() - began
    on_phase("evaluating")
    return record(config, prepared, device, result, seconds)


def _of_means(on_epoch: Callable[[History], None]) -> Callable[[History], None]:
    """Return a callback that passes on the means over the networks of a stack, computed once per epoch."""
    means = History()

    def tell(history: History) -> None:
        new = History(history.rows[len(means.rows) :], history.losses[len(means.losses) :]).mean()
        means.rows.extend(new.rows)
        means.losses.extend(new.losses)
        on_epoch(means)

    return tell


def members_of(config: Config) -> list[Config]:
    """Return the settings of each network: successive seeds, but the same ``batch_seed`` if one is set."""
    if config.ensemble == 1:
        return [config]
    return [replace(config, seed=config.seed + k, ensemble=1) for k in range(config.ensemble)]


def record(
    config: Config,
    prepared: Prepared,
    device: Device,
    result: Fit,
    seconds: float,
    measured: Mapping[str, float] | None = None,
) -> Experiment:
    """Measure a trained network and collect everything that a run folder records.

    Parameters
    ----------
    config, prepared, device
        The settings, the data and the device of the training.
    result
        The trained network.
    seconds
        Time from loaded data to trained network.
    measured
        ``train_score`` and ``val_score``, if already known.
    """
    data = prepared.data
    model = as_model(config, prepared, all_to_host(device, result.params))
    if measured is None:
        plain = replace(model, averaging="none")
        X, y, weight = _some_rows(data)
        measured = {
            "train_score": plain.score(X, y, device, weight),
            "val_score": model.score(data.X_val, data.y_val, device, data.weight_val),
        }
    test = None
    if data.X_test is not None and data.y_test is not None:
        test = model.score(data.X_test, data.y_test, device)
    best = None
    if result.best is not None:
        params = all_to_host(device, result.best.params)
        best = _calibrated(replace(model, params=params), data, device)
    model = _calibrated(model, data, device)
    validated = tested = None
    # the parameters of a diverged network may be too large to predict with
    with contextlib.suppress(RowError):
        predicted = model.predict(data.X_val, device)
        mistakes: tuple[Mistake, ...] = ()
        if data.X_test is None:
            mistakes = worst(model, data.X_val, data.y_val, predicted, device, numbers=data.held_out)
        is_weighted, is_numbered = data.weight_val is not None, data.held_out is not None
        validated = Predicted(data.y_val, predicted, mistakes, is_weighted, is_numbered)
        if data.X_test is not None and data.y_test is not None:
            predicted = model.predict(data.X_test, device)
            mistakes = worst(model, data.X_test, data.y_test, predicted, device)
            tested = Predicted(data.y_test, predicted, mistakes)
    # Last, since rows of the data set itself need no warning.
    row_range = RowRange.of(data.X_train, data.X_val, data.X_test)
    model = replace(model, row_range=row_range)
    best = None if best is None else replace(best, row_range=row_range)
    name = SCORE_OF[data.task]
    summary = {
        f"train_{name}": _known(measured["train_score"]),
        f"val_{name}": _known(measured["val_score"]),
        f"test_{name}": None if test is None else _known(test),
        "seconds": seconds,
        "steps": len(result.history.losses),
        "device": device.name,
        "backend": device.backend,
        "dtype": config.dtype,
        "seed": config.seed,
        "status": status(result),
        "data": data.checksum(),
    }
    if device.team is not None:
        summary["processes"] = device.team.size
    diverged_at = result.diverged_at[result.diverged_at > 0]
    with device.active():
        wrong = out_of_scale.find(device, prepared.feed) if diverged_at.size else None
    return Experiment(
        config,
        model,
        result.history.mean(),
        summary,
        best,
        validated,
        tested,
        () if result.best is None else tuple(np.atleast_1d(result.best.epoch).tolist()),
        schedule_of(config, len(data.X_train), data.task),
        int(diverged_at.min()) if diverged_at.size else 0,
        wrong,
        result,
    )


def as_model(config: Config, prepared: Prepared, params: Params) -> Model:
    """Return the model of trained parameters, or of a stack of them, with all that prediction needs."""
    data = prepared.data
    return Model(
        prepared.mlp(config),
        params,
        prepared.how,
        prepared.fitted,
        data.class_names,
        data.image_shape,
        config.averaging,
        data.task,
        labels=data.labels,
        target=prepared.target,
        columns=data.columns,
        link="log" if losses.OUTPUT_OF[config.loss_of(data.task)] == "exp" else "identity",
    )


def _known(score: float) -> float | None:
    """Return a score, or None if it is undefined, since JSON has no NaN."""
    return None if np.isnan(score) else score


def _some_rows(data: Dataset) -> tuple[Any, NDArray[Any], Any]:
    """Return the training rows, or a fixed sample of `MEASURED` of them, since more would add nothing."""
    X, y, weight = data.X_train, data.y_train, data.weight_train
    if len(X) <= MEASURED:
        return X, y, weight
    chosen = np.sort(np.random.default_rng(0).choice(len(X), MEASURED, replace=False, shuffle=False))
    return picked(X, chosen), y[chosen], None if weight is None else weight[chosen]


def _calibrated(model: Model, data: Dataset, device: Device) -> Model:
    """Return a regression model with its errors on the validation rows; other models unchanged."""
    if model.task == "regression":
        with contextlib.suppress(RowError):  # as above
            return model.calibrated(data.X_val, data.y_val, device, data.weight_val)
    return model


def status(result: Fit) -> str:
    """Return what ended a run: ``"finished"``, ``"stopped"`` (early), ``"interrupted"`` or ``"diverged"``."""
    if result.interrupted:  # checked before divergence: the other members of an ensemble can go on
        return "interrupted"
    if result.diverged_at.any():
        return "diverged"
    return "stopped" if result.timed_out or result.stopped_at.all() else "finished"
