"""The history of a training run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.text import html_table
from xpnet.typing import Task

__all__ = ["SCORE_OF", "History", "Row", "columns_of"]

SCORE_OF: Mapping[Task, str] = {"classification": "accuracy", "multilabel": "accuracy", "regression": "r2"}
"""Name of each task's score in files and pictures (see `xpnet.training.evaluation`)."""

LAST_ROWS = 10
"""Number of rows shown in a notebook."""


class Row(NamedTuple):
    """One epoch of a history; for a stack, the measured values are arrays over the networks.

    Losses include the penalty. ``train_loss`` is the mean over the epoch's rows, each batch measured before
    its update; ``train_score`` is that of the last batch, after its update; ``seconds`` count from the start
    of training. Scores are accuracies, or R² in regression. Without validation rows, both ``val_`` values are
    NaN.
    """

    step: int
    epoch: int
    learning_rate: Any
    train_loss: Any
    train_score: Any
    val_loss: Any
    val_score: Any
    seconds: float


def columns_of(task: Task) -> list[str]:
    """Return the column names of a row in files, with scores named by the task."""
    return [name.replace("score", SCORE_OF[task]) for name in Row._fields]


@dataclass
class History:
    """History of a training run: a `Row` per epoch, and the loss of each step ``(steps, *nets)``."""

    rows: list[Row] = field(default_factory=list)
    losses: list[NDArray[np.floating[Any]]] = field(default_factory=list)

    def __repr__(self) -> str:
        """Return the steps and epochs, and the losses and scores of the last and the best epoch."""
        last = self.rows[-1] if self.rows else None
        lines = [f"History({last.step if last else 0} steps, {last.epoch if last else 0} epochs"]
        if self.rows:
            lines.append(f"  last: {_figures(self.rows[-1])}")
        best = self._best()
        if best is not None and best is not self.rows[-1]:
            lines.append(f"  best: {_figures(best)}")
        return "\n".join(lines) + ")"

    def _repr_html_(self) -> str:
        """Return a table of the last epochs, for a notebook."""
        rows = [[_show(value) for value in row] for row in self.rows[-LAST_ROWS:]]
        if len(self.rows) > LAST_ROWS:
            rows.insert(0, ["…"] * len(Row._fields))
        return html_table(Row._fields, rows)

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a dict of lists, one per column, from which any data frame can be made.

        Numbers are Python's; for a stack, each value is a list over its networks.
        """
        columns: dict[str, list[Any]] = {name: [] for name in Row._fields}
        for row in self.rows:
            for name, value in zip(Row._fields, row, strict=True):
                columns[name].append(np.asarray(value).tolist())
        return columns

    def _best(self) -> Row | None:
        """The first row with the best validation score; None if there is none, or for a stack."""
        for name, sign in (("val_score", 1), ("val_loss", -1)):
            values = {i: getattr(row, name) for i, row in enumerate(self.rows)}
            known = {i: sign * v for i, v in values.items() if np.ndim(v) == 0 and np.isfinite(v)}
            if known:
                return self.rows[max(known, key=known.__getitem__)]
        return None

    def mean(self) -> "History":
        """Return the means over the networks of a stack, as the history of one network."""
        rows = [
            Row._make(float(np.mean(v)) if isinstance(v, np.ndarray) else v for v in row) for row in self.rows
        ]
        return History(rows, [np.mean(loss) if np.ndim(loss) else loss for loss in self.losses])


def _figures(row: Row) -> str:
    """Return the epoch of a row and its measured values, as text."""
    measured = {
        name: value
        for name, value in row._asdict().items()
        if name.startswith(("train_", "val_")) and not np.all(np.isnan(value))
    }
    return ", ".join([f"epoch {row.epoch}", *(f"{name} {_show(value)}" for name, value in measured.items())])


def _show(value: Any) -> str:
    """Return a number with few digits; for a stack, the smallest and the largest."""
    if np.ndim(value) == 0:
        return str(value) if isinstance(value, int) else f"{float(value):.4g}"
    known = np.asarray(value)[~np.isnan(value)]
    return f"{known.min():.4g} … {known.max():.4g}" if known.size else "nan"
