"""Scorers of one class, such as recall: which class that is, and how another is named: ``recall:fraud``."""

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
"""Classes that a message names."""


def parted(monitor: str) -> tuple[str, str | None]:
    """Return the name of a scorer, and the class that is named after its colon; None where there is none."""
    name, colon, wanted = monitor.partition(":")
    return name, wanted if colon else None


def takes_class(name: str) -> bool:
    """Return whether a scorer of scikit-learn measures one class, the 1 where no other is named."""
    from sklearn.metrics import get_scorer

    scorer: Any = get_scorer(name)
    said = inspect.signature(scorer._score_func).parameters.get("pos_label")
    return said is not None and said.default == 1 and scorer._kwargs.get("pos_label", 1) == 1


def positive(
    name: str, wanted: str | None, task: Task, labels: Sequence[Any], class_names: Sequence[str]
) -> int | None:
    """Return the number of the class that a scorer of scikit-learn measures; None for all of them.

    Parameters
    ----------
    name, wanted
        The scorer, and the class that was named, see `parted`.
    task
        What is predicted: one of several classes, or each of several labels.
    labels, class_names
        The classes, and what users call them.

    Raises
    ------
    InputError
        There is no such class; or none is named, and it is not plain which is meant.
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
        if name == "average_precision":  # which is the mean over the classes then
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
    """Return the case of two that one class is beside all others.

    Parameters
    ----------
    k, task
        Number of the class, and what is predicted.
    y, scores
        Of one network, as `xpnet.training.scorers.Scorer` takes them.

    Returns
    -------
    y
        1 for a row of the class, else 0 ``(rows,)``.
    scores
        The logarithm of the odds of the class ``(rows, 1)``.
    chosen
        1 for a row for which it is predicted, else 0 ``(rows,)``.
    """
    if task == "multilabel":
        y, odds = y[:, k] > 0, scores[:, k]
        chosen = odds > 0
    elif scores.shape[1] == 1:  # of the second of two
        y = (y if y.ndim == 1 else y[:, 0]) == k
        odds = scores[:, 0] if k else -scores[:, 0]
        chosen = (scores[:, 0] > 0) == k
    else:
        y = y == k
        odds = scores[:, k] - np.logaddexp.reduce(np.delete(scores, k, axis=1), axis=1)
        chosen = scores.argmax(axis=1) == k
    return y.astype(np.int64), odds[:, None], chosen.astype(np.int64)
