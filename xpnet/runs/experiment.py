"""From settings and a data set to a trained network: what the command lines share."""

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
"""Training rows whose score is measured at the end, at most."""


class Predicted(NamedTuple):
    """The targets of the validation or the test rows as a data set has them, and what was predicted.

    Attributes
    ----------
    y, predicted
        Both.
    mistakes
        The worst of them; none of validation rows where there are others to test on.
    """

    y: NDArray[Any]
    predicted: NDArray[Any]
    mistakes: tuple[Mistake, ...] = ()


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
    validated, tested
        The validation rows, and those of the test; None where they are not known any more, or there are none.
    best_rows
        The place among the history's rows of the epoch with the best validation figure by ``monitor``, of
        each network; none if it is unknown.
    rates
        Numbers of steps, from 1 to the last that was planned, and the learning rate of each: some of them.
    diverged_at
        The first step whose loss was not finite, or beyond all measure; 0 if there was none.
    out_of_scale
        What of the data is, where training diverged; None if nothing is, or it did not.
    result
        What training returned, its arrays on the device; None where they are not kept.
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
    on_ready: Callable[[], None] | None = None,
    on_phase: Callable[[Phase], None] | None = None,
    start: Model | None = None,
    note: Callable[[str], None] | None = None,
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
    on_ready
        Called once all is ready to train, before the first step: of a run that is written. If ``should_stop``
        ends it, there is then something to go on from, see ``result.whole``.
    on_phase
        Called as the preprocessing is fitted, as training begins, and as the trained network is evaluated.
    start
        The model to begin with, and to take the preprocessing from; its columns and classes are the data's.
    note
        Told if other programs keep the cores busy that BLAS threads need.

    Raises
    ------
    InputError
        The settings don't fit the data.
    """
    check(config, data)
    on_phase = on_phase or (lambda _: None)
    members = members_of(config)
    began = time.perf_counter() - (after.history.rows[-1].seconds if after else 0.0)
    on_phase("preprocessing")
    prepared = prepare(config, data, device, start)
    if on_ready is not None:
        on_ready()
    on_phase("training")
    mlp = prepared.mlp(config)
    if on_epoch is not None and len(members) > 1:
        on_epoch = _of_means(on_epoch)
    # An ensemble always has one BLAS thread: the last bits depend on their number, and not on the cores then.
    lone = device.is_host and (len(members) > 1 or small_products(config.batch_size, mlp.sizes))
    if note is not None and device.is_host and not lone and (said := busy_note()):
        note(said)
    # Threads would each call MPI, and in no order that all processes have.
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
    """Return what tells of the means over the networks of a stack, each epoch's taken once."""
    means = History()

    def tell(history: History) -> None:
        new = History(history.rows[len(means.rows) :], history.losses[len(means.losses) :]).mean()
        means.rows.extend(new.rows)
        means.losses.extend(new.losses)
        on_epoch(means)

    return tell


def members_of(config: Config) -> list[Config]:
    """Settings of each network of an ensemble: successive seeds, of batches too if these have no other."""
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
    with contextlib.suppress(RowError):  # a diverged network may be of parameters too large to predict
        validated = _predicted(model, data.X_val, data.y_val, device, data.X_test is None)
        if data.X_test is not None and data.y_test is not None:
            tested = _predicted(model, data.X_test, data.y_test, device, True)
    # Last of all: rows of the data set itself are nothing to warn of.
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


def _predicted(model: Model, X: Any, y: NDArray[Any], device: Device, with_mistakes: bool) -> Predicted:
    predicted = model.predict(X, device)
    return Predicted(y, predicted, worst(model, X, y, predicted, device) if with_mistakes else ())


def as_model(config: Config, prepared: Prepared, params: Params) -> Model:
    """Return trained parameters, or a stack of them, with all that predictions need."""
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
    """Return a score; None for one that is undefined, as JSON has no NaN."""
    return None if np.isnan(score) else score


def _some_rows(data: Dataset) -> tuple[Any, NDArray[Any], Any]:
    """Return the training rows, or `MEASURED` of them, drawn once and for all: a million tell no more."""
    X, y, weight = data.X_train, data.y_train, data.weight_train
    if len(X) <= MEASURED:
        return X, y, weight
    chosen = np.sort(np.random.default_rng(0).choice(len(X), MEASURED, replace=False, shuffle=False))
    return picked(X, chosen), y[chosen], None if weight is None else weight[chosen]


def _calibrated(model: Model, data: Dataset, device: Device) -> Model:
    """Return the model of a regression with the errors on its validation rows; any other as it is."""
    if model.task == "regression":
        with contextlib.suppress(RowError):  # as above
            return model.calibrated(data.X_val, data.y_val, device, data.weight_val)
    return model


def status(result: Fit) -> str:
    """Return ``"finished"``, ``"stopped"`` early, ``"interrupted"`` or ``"diverged"``: what ended a run."""
    if result.interrupted:  # before what became of a member of an ensemble: the others can go on
        return "interrupted"
    if result.diverged_at.any():
        return "diverged"
    return "stopped" if result.timed_out or result.stopped_at.all() else "finished"
