"""What chooses the best epoch: the measure that is monitored, of each network once an epoch.

Here alone is said which of them are for which task, and whether more or less is better.
"""

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.nn import losses
from xpnet.training.measures import MEASURES, MEASURES_OF
from xpnet.training.regime import Monitor, Regime
from xpnet.training.scale import Scale
from xpnet.training.scorers import Scoring, scoring
from xpnet.typing import Task

__all__ = ["MONITORS_OF", "Watch", "check", "find", "sign_of"]

MONITORS_OF: Mapping[Task, tuple[str, ...]] = {
    task: ("val_score", "val_loss", *(f"val_{name}" for name in names)) for task, names in MEASURES_OF.items()
}
"""What can be monitored of each task."""

_TASK_OF: Mapping[str, Task] = {
    "softmax": "classification",
    "logistic": "multilabel",  # of one label, which two classes by one output are too
    **dict.fromkeys(losses.NUMBERS, "regression"),
}


def sign_of(monitor: str) -> int:
    """Return 1 for what is better the higher it is, -1 for what is better the lower."""
    if monitor == "val_score":  # whatever it is
        return 1
    return -1 if monitor == "val_loss" else MEASURES[monitor.removeprefix("val_")].sign


def find(monitor: Any, called: str = "--monitor", labels: NDArray[Any] | None = None) -> str | Scoring:
    """Return what a user says is to be monitored: one of our names, or a scorer of scikit-learn.

    Parameters
    ----------
    monitor
        One of ours; the name of a scorer of scikit-learn; or, in Python, a scorer itself.
    called
        What the message calls the setting.
    labels
        Of classes, as the scorer is to see them; None for their numbers.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if isinstance(monitor, str) and monitor in get_args(Monitor):
        return monitor
    return scoring(monitor, get_args(Monitor), called, labels)


def check(
    monitor: str | Scoring,
    task: Task,
    y: NDArray[Any] | None = None,
    weight: NDArray[np.float64] | None = None,
    called: str = "--monitor",
) -> None:
    """Refuse to monitor what is not for a task, or what validation rows leave undefined in every epoch.

    Parameters
    ----------
    monitor, task
        As said.
    y, weight
        Targets of the validation rows, and their weights; None where there are no such rows.
    called
        What the message calls it.

    Raises
    ------
    InputError
        It is not for the task, or the area under a ROC curve of rows that are all of one class.
    """
    if isinstance(monitor, Scoring):
        monitor.check(task)
        return
    if monitor not in MONITORS_OF[task]:
        names = ", ".join(MONITORS_OF[task])
        raise InputError(f"{called} {monitor} is not for {task}: use {names}")
    if monitor == "val_roc_auc" and y is not None:
        counted = y if weight is None else y[weight > 0]
        if not (len(counted) and np.any(counted.min(axis=0) < counted.max(axis=0))):
            what = "two classes" if task == "classification" else "a label, and rows without it"
            raise InputError(
                f"{called} {monitor} compares rows, and those of validation are all alike: give rows of "
                f"{what}, or use val_loss"
            )


class Watch:
    """Takes down what is monitored after an epoch, as a number of which more is better.

    Parameters
    ----------
    device
        Where the validation rows are.
    regime
        How networks are trained, by which loss above all; it monitors something.
    validation
        The validation rows.
    target
        What the numbers of a regression were standardised by: errors are in the units of before. None where
        they were not.

    Raises
    ------
    InputError
        As `check`.
    """

    def __init__(self, device: Device, regime: Regime, validation: Feed, target: Scale | None = None) -> None:
        monitor = regime.monitor or "val_score"
        self._scoring = monitor if isinstance(monitor, Scoring) else None
        self._sign = 1 if isinstance(monitor, Scoring) else sign_of(monitor)
        self._output = losses.OUTPUT_OF[regime.loss]
        task = _TASK_OF[self._output]
        self._target = target
        self._y = device.to_host(validation.y)
        weight = None if validation.weight is None else np.asarray(device.to_host(validation.weight), float)
        self._weight: NDArray[np.float64] | None = weight
        check(monitor, task, self._y, weight)
        score = f"val_{MEASURES_OF[task][0]}"  # what an evaluation gives, by its own name
        known = {"val_score": "score", score: "score", "val_loss": "loss"}
        if regime.loss != "hinge":
            known["val_log_loss"] = "unpenalised"
        self._known = None if isinstance(monitor, Scoring) else known.get(monitor)
        self._measure = None
        if not (self._known or isinstance(monitor, Scoring)):
            self._measure = MEASURES[monitor.removeprefix("val_")].of

    @property
    def takes_scores(self) -> bool:
        """Whether it takes the scores of the validation rows, beside what every evaluation gives."""
        return self._known is None

    def value(
        self,
        loss: NDArray[Any],
        unpenalised: NDArray[Any],
        score: NDArray[Any],
        scores: NDArray[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Return what is monitored, ``(*nets,)``, with its sign changed where less is better.

        Parameters
        ----------
        loss, unpenalised, score
            What an evaluation gives ``(*nets,)``, on the host: the loss with and without its penalty.
        scores
            Those of the validation rows ``(*nets, rows, outputs)``, on the host, where it `takes_scores`.
        """
        if self._known is not None or scores is None:
            given = {"loss": loss, "unpenalised": unpenalised, "score": score}[self._known or "score"]
            return self._sign * np.asarray(given, np.float64)
        y, P = self._y, losses.OUTPUTS[self._output](np, scores)
        if _TASK_OF[self._output] == "regression":
            P = np.asarray(P, np.float64)
            if self._target is not None:
                y, P = self._target.undo(y), self._target.undo(P)
        found = self._scored(y, P) if self._measure is None else self._measure(y, P, self._weight)
        # Of a network that has overflowed whatever was compared means nothing.
        return np.where(np.isfinite(loss), self._sign * found, np.nan)

    def _scored(self, y: NDArray[Any], P: NDArray[Any]) -> NDArray[np.float64]:
        """Return the scorer's value of each network ``(*nets,)``."""
        task = _TASK_OF[self._output]
        if task == "multilabel" and y.shape[1] == 1:  # one output of two classes
            task, y, P = "classification", y[:, 0].astype(np.int64), np.concatenate([1 - P, P], axis=-1)
        assert self._scoring is not None  # there is no measure
        found = [self._scoring.of(task, y, of_net, self._weight) for of_net in P.reshape(-1, *P.shape[-2:])]
        return np.reshape(found, P.shape[:-2])
