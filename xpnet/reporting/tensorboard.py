"""The measures of each epoch as TensorBoard events, for ``tensorboard --logdir runs``."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xpnet.errors import InputError
from xpnet.training.history import History, Row

__all__ = ["EventLog", "logging_to"]

INSTALL = 'pip install "xpnet[tensorboard]"'

TAGS = {
    "loss/train": "train_loss",
    "loss/validation": "val_loss",
    "accuracy/train": "train_score",
    "accuracy/validation": "val_score",
    "learning_rate": "learning_rate",
}
"""The name of each curve; TensorBoard groups them by the part before the slash."""


class EventLog:
    """Writes the rows of a history as events: a training callback and a context manager.

    Parameters
    ----------
    folder
        Folder of the event file. Earlier event files in it are removed: the history of a resumed run begins
        at its first step.

    Raises
    ------
    InputError
        The package tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            # The writer that SummaryWriter runs in a thread. There is so little to write here that it can run
            # in this one, where a full disk raises an error.
            from tensorboardX import summary
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event
        except ModuleNotFoundError as error:
            raise InputError(f"--tensorboard needs tensorboardX: {INSTALL}") from error
        self._scalar: Callable[..., Any] = summary.scalar
        self._event: Callable[..., Any] = Event
        self._new_writer: Callable[..., Any] = EventsWriter
        self._folder = folder
        self._writer: Any = None
        self._rows = 0

    def on_epoch(self, history: History) -> None:
        """Write the new rows; the first call creates the file."""
        if self._writer is None:
            for old in self._folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = self._new_writer(os.fspath(self._folder / "events"))
        for row in history.rows[self._rows :]:
            self._write(row)
        self._rows = len(history.rows)
        self._writer.flush()

    def _write(self, row: Row) -> None:
        for tag, name in TAGS.items():
            value = float(getattr(row, name))
            if not math.isnan(value):  # NaN without validation rows
                event = self._event(
                    wall_time=time.time(), step=int(row.step), summary=self._scalar(tag, value)
                )
                self._writer.write_event(event)

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()


@contextlib.contextmanager
def logging_to(
    folder: Path | None, wanted: bool, on_epoch: Callable[[History], None]
) -> Iterator[Callable[[History], None]]:
    """Return a training callback that calls ``on_epoch`` and, if wanted, logs the epoch.

    Parameters
    ----------
    folder
        Run folder; without one, nothing is logged.
    wanted
        Whether to log.
    on_epoch
        Called first.
    """
    if folder is None or not wanted:
        yield on_epoch
        return
    with EventLog(folder) as log:

        def both(history: History) -> None:
            on_epoch(history)
            log.on_epoch(history)

        yield both
