"""One chunk of a sweep: a stack of networks trained over some epochs, there and back by plain data."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.config import Config
from xpnet.device import Device, one_blas_thread
from xpnet.experiment import Prepared, accuracies, network_for, train
from xpnet.history import History, Row

__all__ = ["Outcome", "Task", "Trained", "merit", "train_chunk"]


@dataclass(frozen=True)
class Trained:
    """One network as far as it has been trained, on the host."""

    params: dict[str, NDArray[Any]]
    history: History


@dataclass(frozen=True)
class Task:
    """What to train: networks of a sweep by their number, all of one shape.

    Attributes
    ----------
    key
        Name of the task, the same whenever the sweep is run again.
    configs
        Settings by network.
    epochs
        First and one past the last.
    before
        The networks as the previous rung left them; empty in the first.
    keep_all
        Return all trained networks, because a rung follows; else only the best.
    """

    key: str
    configs: Mapping[int, Config]
    epochs: tuple[int, int]
    before: Mapping[int, Trained]
    keep_all: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a row a network for the table, and the trained networks that are kept."""

    key: str
    rows: list[dict[str, Any]]
    trained: dict[int, Trained]


def train_chunk(
    task: Task,
    prepared: Prepared,
    device: Device,
    classes: int,
    on_epoch: Callable[[Task, Row], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome | None:
    """Train the networks of a task as one stack and measure them.

    Parameters
    ----------
    task
        What to train.
    prepared, device, classes
        The data, where they are, and the number of classes.
    on_epoch
        Called after each epoch with its row, whose values are arrays over the networks.
    should_stop
        See `xpnet.training.fit`.

    Returns
    -------
    Outcome or None
        None if ``should_stop`` ended the training: what was done of it is of no use to a sweep.
    """
    numbers = list(task.configs)
    configs = [task.configs[k] for k in numbers]
    mlp = network_for(configs[0], prepared.X.shape[1], classes)
    began = time.perf_counter()
    # One BLAS thread however many stacks train at a time: the last bits depend on their number.
    with one_blas_thread(device.is_host):
        result = train(
            configs,
            mlp,
            prepared,
            device,
            params=[task.before[k].params for k in numbers] if task.before else None,
            epochs=range(*task.epochs),
            on_epoch=None if on_epoch is None else lambda history: on_epoch(task, history.rows[-1]),
            should_stop=should_stop,
        )
        if result.interrupted:
            return None
        measured = accuracies(mlp, result.params, prepared, device)
    measured = {name: np.atleast_1d(value) for name, value in measured.items()}
    seconds = (time.perf_counter() - began) / len(numbers)
    diverged_at = np.atleast_1d(result.diverged_at)
    histories = _split_history(result.history, len(numbers))
    rows = []
    for place, number in enumerate(numbers):
        history = histories[place]
        if task.before:
            earlier = task.before[number].history
            history = History([*earlier.rows, *history.rows], [*earlier.losses, *history.losses])
        if ended := int(diverged_at[place]):
            # The rest of the stack went on, and what was measured of this one since means nothing.
            history = History([row for row in history.rows if row.step < ended], history.losses[: ended - 1])
        histories[place] = history
        rows.append(
            {
                "network": number,
                "task": task.key,
                "networks": len(numbers),
                # By way of text, as short as its precision allows: 0.98, not 0.9800000190734863.
                **{name: float(str(values[place])) for name, values in measured.items()},
                "status": "diverged" if ended else "finished",
                "steps": len(history.losses),
                "seconds": seconds,
                "curve": [[row.step, row.val_accuracy] for row in history.rows],
            }
        )
    best = max(range(len(numbers)), key=lambda i: merit(rows[i]))
    host = {name: device.to_host(value) for name, value in result.params.items()}
    trained = {
        number: Trained(
            {name: value[place] if len(numbers) > 1 else value for name, value in host.items()},
            histories[place],
        )
        for place, number in enumerate(numbers)
        if task.keep_all or place == best
    }
    return Outcome(task.key, rows, trained)


def merit(row: Mapping[str, Any]) -> tuple[bool, float, int]:
    """What the networks of a sweep are ranked by, higher is better; the first wins a tie."""
    return (row["status"] != "diverged", row["val_accuracy"], -row["network"])


def _split_history(history: History, networks: int) -> list[History]:
    """One history a network out of that of a stack."""
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
