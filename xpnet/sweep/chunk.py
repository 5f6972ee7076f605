"""One chunk of a sweep: a stack of networks to train over some epochs, exchanged as plain data."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device, all_to_host, one_blas_thread, small_products
from xpnet.runs.config import Config
from xpnet.runs.networks import monitored, scores, train
from xpnet.runs.preparation import Prepared
from xpnet.training.history import History, Row
from xpnet.training.step import trained

__all__ = ["KEPT", "Outcome", "Task", "Trained", "merit", "train_chunk", "worth"]


KEPT = 2**30
"""Maximum size of the parameters for which all networks are kept: 1 GiB, or 280 of 3072–300–10 in float32."""


@dataclass(frozen=True)
class Trained:
    """A partly or fully trained network on the host, with everything needed to continue training.

    If a network does not continue and is not the best of its stack, only its parameters are kept.
    """

    state: dict[str, dict[str, NDArray[Any]]] = field(repr=False)
    history: History

    @property
    def params(self) -> dict[str, NDArray[Any]]:
        """The parameters to evaluate."""
        return trained(self.state)


@dataclass(frozen=True)
class Task:
    """A task: networks of a sweep to train, all of one shape.

    Attributes
    ----------
    key
        Name of the task, the same whenever the sweep is run again.
    configs
        Settings by network.
    epochs
        First and one past the last.
    before
        The networks after the previous rung; empty in the first.
    keep_all
        Return all trained networks, because another rung follows. Otherwise return only the best, and the
        parameters of the others if those of the whole rung do not exceed `KEPT`.
    networks
        Number of networks trained in this rung, in all its stacks: a single one may use all BLAS threads.
    ranked_by
        The monitor that ranks the trained networks; None for the validation score.
    """

    key: str
    configs: Mapping[int, Config] = field(repr=False)
    epochs: tuple[int, int]
    before: Mapping[int, Trained] = field(repr=False)
    keep_all: bool
    networks: int = 2
    ranked_by: str | None = None

    @property
    def config(self) -> Config:
        """Settings of the first network; all have the same shape."""
        return next(iter(self.configs.values()))


@dataclass(frozen=True)
class Outcome:
    """The result of a task: a table row per network, and the trained networks to keep."""

    key: str
    rows: list[dict[str, Any]] = field(repr=False)
    trained: dict[int, Trained] = field(repr=False)


def train_chunk(
    task: Task,
    prepared: Prepared,
    device: Device,
    on_epoch: Callable[[Task, Row], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome | None:
    """Train the networks of a task as one stack and measure them.

    Parameters
    ----------
    task
        The networks to train.
    prepared, device
        The data, and their device.
    on_epoch
        Called after each epoch with its row, whose values are arrays over the networks.
    should_stop
        See `xpnet.training.loop.fit`.

    Returns
    -------
    Outcome or None
        None if ``should_stop`` ended the training; a partly trained chunk is of no use.
    """
    numbers = list(task.configs)
    configs = [task.configs[k] for k in numbers]
    mlp = prepared.mlp(configs[0])
    began = time.perf_counter()
    # One BLAS thread, however many stacks train at a time, because the last bits depend on the thread count.
    with one_blas_thread(
        device.is_host and (task.networks > 1 or small_products(configs[0].batch_size, mlp.sizes))
    ):
        result = train(
            configs,
            mlp,
            prepared,
            device,
            states=[task.before[k].state for k in numbers] if task.before else None,
            epochs=range(*task.epochs),
            keep_best=False,
            on_epoch=None if on_epoch is None else lambda history: on_epoch(task, history.rows[-1]),
            should_stop=should_stop,
        )
        if result.interrupted:
            return None
        measured = scores(configs[0], mlp, result.params, prepared, device)
        if task.ranked_by is not None:
            measured["monitored"] = monitored(configs[0], mlp, result.params, prepared, device)
    measured = {name: np.atleast_1d(value) for name, value in measured.items()}
    seconds = (time.perf_counter() - began) / len(numbers)
    diverged_at, stopped_at = np.atleast_1d(result.diverged_at), np.atleast_1d(result.stopped_at)
    histories = _split_history(result.history, len(numbers))
    rows = []
    for place, number in enumerate(numbers):
        history = histories[place]
        if task.before:
            earlier = task.before[number].history
            history = History([*earlier.rows, *history.rows], [*earlier.losses, *history.losses])
        if ended := int(diverged_at[place]):
            # The rest of the stack continued, so later measurements of this network mean nothing.
            history = History([row for row in history.rows if row.step < ended], history.losses[: ended - 1])
        elif stopped := int(stopped_at[place]):
            history = History([row for row in history.rows if row.step <= stopped], history.losses[:stopped])
        histories[place] = history
        early = result.timed_out or stopped_at[place]
        rows.append(
            {
                "network": number,
                "task": task.key,
                "networks": len(numbers),
                **{name: float(values[place]) for name, values in measured.items()},
                "status": "diverged" if ended else "stopped" if early else "finished",
                "steps": len(history.losses),
                "seconds": seconds,
                "curve": [[row.step, row.val_score] for row in history.rows],
            }
        )
    best = max(range(len(numbers)), key=lambda i: merit(rows[i]))
    host = {kind: all_to_host(device, of) for kind, of in result.state.items()}
    size = sum(value.nbytes for value in host["params"].values()) // len(numbers)
    keep_params = size * task.networks <= KEPT
    kept = {}
    for place, number in enumerate(numbers):
        if not (task.keep_all or keep_params or place == best):
            continue
        whole = host if task.keep_all or place == best else {"params": trained(host)}
        state = {
            kind: {name: value[place] if len(numbers) > 1 else value for name, value in of.items()}
            for kind, of in whole.items()
        }
        if not task.keep_all:  # a view would keep the solver's state of the whole stack
            state = {kind: {name: value.copy() for name, value in of.items()} for kind, of in state.items()}
        kept[number] = Trained(state, histories[place])
    return Outcome(task.key, rows, kept)


def merit(row: Mapping[str, Any]) -> tuple[bool, float, int]:
    """Return the rank value of a network, higher is better; the first one wins a tie."""
    return (row["status"] != "diverged", worth(row), -row["network"])


def worth(row: Mapping[str, Any]) -> float:
    """Return the score of a network, higher is better: the monitored value, or its validation score."""
    return float(row.get("monitored", row["val_score"]))


def _split_history(history: History, networks: int) -> list[History]:
    """Split the history of a stack into one per network."""
    if networks == 1:
        return [history]
    losses = np.stack(history.losses)
    return [
        History(
            [Row._make(float(v[k]) if isinstance(v, np.ndarray) else v for v in row) for row in history.rows],
            list(losses[:, k]),
        )
        for k in range(networks)
    ]
