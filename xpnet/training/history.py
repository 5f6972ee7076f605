"""What a training run measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.typing import Task

__all__ = ["SCORE_OF", "History", "Row"]

SCORE_OF: Mapping[Task, str] = {"classification": "accuracy", "multilabel": "accuracy", "regression": "r2"}
"""What the score of a task is called, in files and on pictures (see `xpnet.training.evaluation`)."""


class Row(NamedTuple):
    """One epoch of a history; for a stack, the measured values are arrays over the networks.

    Losses include the penalty. ``train_loss`` is the mean over the epoch's rows, each batch before its
    update; ``train_score`` is that of the last batch, after its update; ``seconds`` count from the start of
    training. Scores are accuracies, or R² of numbers. Without validation rows the two ``val_`` values are
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


@dataclass
class History:
    """What a training run measured: a `Row` an epoch, and the loss of each step ``(steps, *nets)``."""

    rows: list[Row] = field(default_factory=list)
    losses: list[NDArray[np.floating[Any]]] = field(default_factory=list)

    def mean(self) -> "History":
        """Return the history of a stack as that of one network: the means over its networks."""
        rows = [
            Row._make(float(np.mean(v)) if isinstance(v, np.ndarray) else v for v in row) for row in self.rows
        ]
        return History(rows, [np.mean(loss) if np.ndim(loss) else loss for loss in self.losses])
