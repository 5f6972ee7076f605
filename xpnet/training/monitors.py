"""Monitors: the measures that choose the best epoch, evaluated once per epoch for each network.

Only this module says which monitor applies to which task, and whether higher or lower is better.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.nn import losses
from xpnet.training import positive, scorers
from xpnet.training.measures import MEASURES, MEASURES_OF
from xpnet.training.regime import Monitor, Regime
from xpnet.training.scale import Scale
from xpnet.training.scorers import Scorer
from xpnet.typing import Task
from xpnet.values import shown

__all__ = [
    "MONITORS_OF",
    "Watch",
    "Watches",
    "check",
    "check_name",
    "ours",
    "resolved",
    "sign_of",
    "undefined",
    "watch",
]

MONITORS_OF: Mapping[Task, tuple[str, ...]] = {
    task: ("val_score", "val_loss", *(f"val_{name}" for name in names)) for task, names in MEASURES_OF.items()
}
"""Monitors of each task, besides scikit-learn's scorers."""

_OTHER_NAMES: Mapping[str, str] = {
    **{name: f"val_{name}" for name in MEASURES},
    "neg_log_loss": "val_log_loss",
    "neg_root_mean_squared_error": "val_rmse",
    "neg_mean_absolute_error": "val_mae",
}
"""Our monitors by their scikit-learn names, or without ``val_``."""

_TASK_OF: Mapping[str, Task] = {
    "softmax": "classification",
    "logistic": "multilabel",  # two classes with one output are like one label
    **dict.fromkeys(losses.NUMBERS, "regression"),
}


def ours(monitor: Any) -> str:
    """Return the name of a monitor in `MONITORS_OF`; an empty string for a scikit-learn scorer."""
    name = _OTHER_NAMES.get(monitor, monitor) if isinstance(monitor, str) else ""
    return name if name in get_args(Monitor) else ""


def check_name(monitor: str, called: str = "--monitor") -> None:
    """Refuse an unknown name of a monitor.

    Without scikit-learn, a name unlike any of ours may be one of its scorers, so that a run trained elsewhere
    can be loaded.

    Raises
    ------
    InputError
        The name is unknown.
    """
    if ours(monitor):
        return
    choices = get_args(Monitor)
    known = scorers.names()
    likely = (*choices, *_OTHER_NAMES, *known) if known else choices
    name, wanted = positive.parted(monitor)
    if name in known and (wanted is None or positive.takes_class(name)):
        return
    if wanted is not None and (name in known or ours(name)):
        some = ", ".join(["", *(f"{one}:CLASS" for one in known if positive.takes_class(one))])
        raise InputError(f"{called} {name} does not take a class: use {name}{some}")
    close = difflib.get_close_matches(name.lower(), likely, n=1)
    if not (close or known):
        return
    meant = [one if wanted is None or one not in known else f"{one}:{wanted}" for one in close]
    hint = f"; did you mean {meant[0]!r}?" if meant else ""
    raise InputError(
        f"{called} must be one of {', '.join(map(repr, choices))}, or a scorer of scikit-learn by its name, "
        f"not {shown(monitor)}{hint}"
    )


def sign_of(monitor: str) -> int:
    """Return 1 if a higher value of one of our monitors is better, else -1."""
    if monitor == "val_score":  # for every task
        return 1
    return -1 if monitor == "val_loss" else MEASURES[monitor.removeprefix("val_")].sign


def check(
    monitor: Any,
    task: Task,
    y: NDArray[Any] | None = None,
    weight: NDArray[np.float64] | None = None,
    called: str = "--monitor",
    outputs: int = 1,
    labels: Sequence[Any] | None = None,
    class_names: Sequence[str] = (),
) -> None:
    """Refuse a monitor that does not apply to the task, or is always undefined on the validation rows.

    Parameters
    ----------
    monitor, task
        The monitor, possibly a `Scorer`, and the task.
    y, weight
        Targets and weights of the validation rows; None if there are no such rows.
    called
        The name of the monitor's setting in the message.
    outputs
        Number of classes, if ``y`` has one class per row.
    labels, class_names
        See `resolved`.

    Raises
    ------
    InputError
        The monitor is not for this task, measures a class that does not exist, or fails on these rows: for
        example, the area under a ROC curve if all rows have the same class.
    """
    if not ours(monitor):
        scorer = resolved(monitor, task, labels, class_names=class_names)
        if y is not None:
            scorer.check(y, weight, outputs)
        return
    name = ours(monitor)
    if name not in MONITORS_OF[task]:
        names = ", ".join(MONITORS_OF[task])
        raise InputError(f"{called} {monitor} is not for {task}: use {names}")
    if name == "val_roc_auc" and y is not None:
        counted = y if weight is None else y[weight > 0]
        if not (len(counted) and np.any(counted.min(axis=0) < counted.max(axis=0))):
            what = "two classes" if task == "classification" else "a label, and rows without it"
            raise InputError(
                f"{called} {monitor} compares rows, but all validation rows are alike: give rows of {what}, "
                "or use val_loss"
            )


def resolved(
    monitor: Any,
    task: Task,
    labels: Sequence[Any] | None = None,
    X: Any = None,
    class_names: Sequence[str] = (),
) -> Any:
    """Return the argument of `Watch`: the name of one of our monitors, or a `Scorer` with its class.

    Parameters and errors are those of `xpnet.training.scorers.scorer_of`.
    """
    if ours(monitor) or isinstance(monitor, Scorer):
        return monitor
    return scorers.scorer_of(monitor, task, labels, X, class_names)


def undefined(monitor: Any, task: Task, y: NDArray[Any], weight: NDArray[np.float64] | None = None) -> str:
    """Return why a monitor is undefined on the validation rows, so that the loss replaces it; else ``""``.

    This is so for R² if all targets with weight are equal. Parameters are those of `check`.
    """
    if task != "regression" or ours(monitor) not in ("val_score", "val_r2"):
        return ""
    counted = y if weight is None else y[weight > 0]
    if np.any(counted.min(axis=0) < counted.max(axis=0)):
        return ""
    rows = "of a single validation row" if len(counted) == 1 else "of validation rows with equal targets"
    return f"R² {rows} is undefined"


class Watch:
    """Computes the monitored value after an epoch, such that higher is better.

    Parameters
    ----------
    device
        The device of the validation rows.
    regime
        The hyper-parameters, with a monitor.
    validation
        The validation rows.
    target
        Standardisation of the targets of a regression, so that errors are in original units; None if there
        was none.

    Raises
    ------
    InputError
        As in `check`.
    """

    def __init__(self, device: Device, regime: Regime, validation: Feed, target: Scale | None = None) -> None:
        given = regime.monitor
        self._output = losses.OUTPUT_OF[regime.loss]
        task = _TASK_OF[self._output]
        self._y = device.to_host(validation.y)
        weight = None if validation.weight is None else np.asarray(device.to_host(validation.weight), float)
        self._weight: NDArray[np.float64] | None = weight
        self._scorer: Scorer | None = None
        self._target = target
        self._known, self._measure = None, None
        monitor = ours(given)
        if not monitor:
            self._scorer = resolved(given, task)
            self._y = self._y if target is None else target.undo(self._y)
            return
        self._sign = sign_of(monitor)
        self._scale = 1.0 if target is None else target.scale
        check(monitor, task, self._y, weight)
        if undefined(monitor, task, self._y, weight):
            monitor = "val_loss"
            self._sign = sign_of(monitor)
        score = f"val_{MEASURES_OF[task][0]}"  # the name of the score that every evaluation returns
        known = {"val_score": "score", score: "score", "val_loss": "loss"}
        if regime.loss != "hinge":
            known["val_log_loss"] = "unpenalised"
        self._known = known.get(monitor)
        measure = MEASURES.get(monitor.removeprefix("val_"))
        self._measure = None if measure is None else measure.of

    @property
    def takes_scores(self) -> bool:
        """Whether it needs the network's scores of the validation rows, besides the usual measurements."""
        return self._known is None

    def value(
        self,
        loss: NDArray[Any],
        unpenalised: NDArray[Any],
        score: NDArray[Any],
        scores: NDArray[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Return the monitored value, ``(*nets,)``, negated if lower is better.

        Parameters
        ----------
        loss, unpenalised, score
            Results of an evaluation on the host, ``(*nets,)``: the loss with and without penalty, and the
            score.
        scores
            The network's scores of the validation rows ``(*nets, rows, outputs)``, on the host, if
            `takes_scores`; our own measures are then computed from them alone.
        """
        if self._scorer is not None:
            given = np.asarray(scores, np.float64)
            if self._output in losses.NUMBERS:
                given = losses.OUTPUTS[self._output](np, given)
                given = given if self._target is None else self._target.undo(given)
            return np.where(np.isfinite(loss), self._scorer(self._y, given, self._weight), np.nan)
        if self._measure is None or scores is None:
            given = {"loss": loss, "unpenalised": unpenalised, "score": score}[self._known or "score"]
            return self._sign * np.asarray(given, np.float64)
        y, P = self._y, losses.OUTPUTS[self._output](np, scores)
        if self._output in losses.NUMBERS:
            y, P = y * self._scale, np.asarray(P, np.float64) * self._scale
        found = self._measure(y, P, self._weight)
        # For a network that has overflowed, the value means nothing.
        return np.where(np.isfinite(loss), self._sign * found, np.nan)


class Watches:
    """A `Watch` for each network, if their validation rows differ.

    Parameters
    ----------
    each
        The `Watch` of each network.
    """

    def __init__(self, each: Sequence[Watch]) -> None:
        self._each = each

    @property
    def takes_scores(self) -> bool:
        """Whether any of them needs the scores."""
        return any(watch.takes_scores for watch in self._each)

    def value(
        self,
        loss: NDArray[Any],
        unpenalised: NDArray[Any],
        score: NDArray[Any],
        scores: NDArray[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Return the monitored values, ``(nets,)``; parameters are those of `Watch.value`."""
        found = [
            one.value(loss[k], unpenalised[k], score[k], None if scores is None else scores[k])
            for k, one in enumerate(self._each)
        ]
        return np.array(found, np.float64)


def watch(
    device: Device,
    regime: Regime,
    validation: Feed,
    target: Scale | list[Scale | None] | None = None,
) -> Watch | Watches:
    """Return a `Watch`, or `Watches` if networks have different validation rows.

    Parameters are those of `Watch`. With different rows, ``target`` is one for all networks or one for each.
    """
    if validation.own is None:
        return Watch(device, regime, validation, target[0] if isinstance(target, list) else target)
    nets = validation.own.shape[0]
    of_each = target if isinstance(target, list) else [target] * nets
    return Watches([Watch(device, regime, validation.of(device.xp, k), of_each[k]) for k in range(nets)])
