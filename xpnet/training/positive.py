"""Scorers of one class, such as recall: find the class, which a user may name as in ``recall:fraud``."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.typing import Task
from xpnet.values import shown

__all__ = ["of_class", "parted", "positive", "takes_class"]

LISTED = 5
"""Maximum number of classes that a message lists."""


def parted(monitor: str) -> tuple[str, str | None]:
    """Return the name of a scorer, and the class named after its colon, or None."""
    name, colon, wanted = monitor.partition(":")
    return name, wanted if colon else None


def takes_class(name: str) -> bool:
    """Return whether a scikit-learn scorer measures a single class (by default, class 1)."""
    from sklearn.metrics import get_scorer

    scorer: Any = get_scorer(name)
    said = inspect.signature(scorer._score_func).parameters.get("pos_label")
    return said is not None and said.default == 1 and scorer._kwargs.get("pos_label", 1) == 1


def positive(
    name: str, wanted: str | None, task: Task, labels: Sequence[Any], class_names: Sequence[str]
) -> int | None:
    """Return the number of the class that a scikit-learn scorer measures; None if it measures all.

    Parameters
    ----------
    name, wanted
        The scorer and the class that the user named, see `parted`.
    task
        Whether the network predicts one of several classes, or several labels.
    labels, class_names
        The classes, and their names.

    Raises
    ------
    InputError
        There is no such class; or no class was named, and it is not clear which one is meant.
    """
    called = [*class_names] or [str(label) for label in labels]
    some = ", ".join(map(shown, called[:LISTED])) + (", …" if len(called) > LISTED else "")
    of_one = f"monitor {name} measures one class"
    if wanted is not None:
        found = [k for k, one in enumerate(called) if one == wanted]
        found = found or [k for k, label in enumerate(labels) if str(label) == wanted]
        if not found:
            raise InputError(f"{of_one}, but {shown(wanted)} is not a class: name one of {some}")
        return found[0]
    if task != "classification" or not takes_class(name):
        return None
    if len(labels) > 2:
        if name == "average_precision":  # it is then the mean over the classes
            return None
        raise InputError(
            f"{of_one}, but there are {len(labels)}: name one, as in {name}:{called[0]}, or use {name}_macro"
        )
    found = [k for k, label in enumerate(labels) if label == 1 or label == "1"]
    if not found:
        raise InputError(
            f"{of_one}, by default 1, but the classes are {some}: name one, as in {name}:{called[0]}"
        )
    return found[0]


def of_class(k: int, task: Task, y: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return the binary problem of one class against all others.

    Parameters
    ----------
    k, task
        Number of the class, and the task.
    y, scores
        Targets and scores of one network, as in `xpnet.training.scorers.Scorer`.

    Returns
    -------
    y
        1 for rows of the class, else 0 ``(rows,)``.
    scores
        Log-odds of the class ``(rows, 1)``.
    chosen
        1 for rows for which the class is predicted, else 0 ``(rows,)``.
    """
    if task == "multilabel":
        y, odds = y[:, k] > 0, scores[:, k]
        chosen = odds > 0
    elif scores.shape[1] == 1:  # the single output of two classes
        y = (y if y.ndim == 1 else y[:, 0]) == k
        odds = scores[:, 0] if k else -scores[:, 0]
        chosen = (scores[:, 0] > 0) == k
    else:
        y = y == k
        odds = scores[:, k] - np.logaddexp.reduce(np.delete(scores, k, axis=1), axis=1)
        chosen = scores.argmax(axis=1) == k
    return y.astype(np.int64), odds[:, None], chosen.astype(np.int64)
