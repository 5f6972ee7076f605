"""Targets as a user has them, and as a data set stores them."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns import words
from xpnet.columns.masks import unmasked
from xpnet.columns.outputs import lacks, take_target, tell_of_floats
from xpnet.columns.tabular import Frame, as_array, as_frame, is_frame
from xpnet.datasets.checks import check_targets
from xpnet.datasets.reading import Note, silent
from xpnet.datasets.stored import PART, Stored, picked
from xpnet.errors import InputError
from xpnet.typing import Task
from xpnet.values import shown

__all__ = [
    "as_targets",
    "different",
    "encode_targets",
    "find_labels",
    "infer_task",
    "labelled",
    "smallest_for",
]

_KINDS: dict[type, tuple[type, ...]] = {  # bool first: it is an int, too
    bool: (bool, np.bool_),
    int: (int, np.integer),
    float: (float, np.floating),
    str: (str,),
}
FEW = 10
"""Different whole floats up to which it is said that they may be classes."""

_MOST_SHOWN = 10  # labels that a message lists


def encode_targets(
    y: Any,
    task: Task,
    labels: Sequence[Any] | None,
    num_outputs: int,
    what: str = "y",
    copy: bool = True,
    many: bool = False,
) -> NDArray[Any]:
    """Turn targets of the user's own kind into those that a `Dataset` stores.

    Parameters
    ----------
    y : array_like
        Classes as ``labels`` calls them, 0 and 1 for each label, or numbers.
    task : {"classification", "multilabel", "regression"}
        What y holds.
    labels : sequence, optional
        What the classes are called in y; None where they are numbered from 0.
    num_outputs : int
        Number of classes, of labels, or of numbers to predict.
    what : str, default "y"
        What to call y in a message.
    copy : bool, default True
        Whether what is stored is never y itself: else it may be, where it holds what is stored.
    many : bool, default False
        Whether there may be more rows than memory has room for: their classes are in as few bytes as hold
        them.

    Returns
    -------
    ndarray
        ``int64`` (rows,) for classification, or fewer bytes for many rows; ``uint8`` (rows, labels) for
        multilabel; ``float64`` (rows, outputs) for regression.

    Raises
    ------
    InputError
        If y is of another kind or shape, or holds what is no class, 0 or 1, or finite number.
    """
    array = as_targets(y, what)
    if task == "classification":
        return _class_numbers(array, range(num_outputs) if labels is None else labels, what, copy, many)
    if array.dtype.kind not in "biuf":
        word, fix = _advice(array)
        raise InputError(f"{what} holds {word or 'text'}: {fix or f'give numbers for {task}'}")
    columns = array[:, None] if array.ndim == 1 else array
    if task == "multilabel":
        # Before the dtype is changed, in which a 256 would be a 0.
        _refuse(columns, (columns != 0) & (columns != 1), what, "give 1 for a label that is set, else 0")
        stored = columns.astype(np.uint8)
    else:
        with np.errstate(over="ignore"):  # of numbers longer than 64 bits: infinity, which is refused below
            stored = np.asarray(columns, np.float64)
    check_targets(what, stored, task, num_outputs)
    return stored


def as_targets(y: Any, what: str) -> NDArray[Any]:
    """Return y as an array of numbers, or of text, in one or two dimensions.

    Parameters
    ----------
    y : array_like
        Targets; objects must be all bools, all integers, all floats, or all text.
    what : str
        What to call y in a message.

    Returns
    -------
    ndarray
        Bools, integers or floats, or objects that are all text.

    Raises
    ------
    InputError
        If it is anything else. The message names the first row that is.
    """
    array = as_array(y, what)
    if array.dtype.kind in "UT":
        # From the original: in a list of text and numbers, NumPy makes text of the numbers.
        array = np.asarray(y, dtype=object)
    if array.ndim not in (1, 2) or array.shape[1:] == (0,):
        raise InputError(f"{what} has shape {array.shape}: give one label for each row")
    if array.dtype.kind == "O":
        array = _of_one_kind(array, what)
    if array.dtype.kind not in "biufO":
        raise InputError(f"{what} has dtype {array.dtype}: give integers, text, or floats to predict numbers")
    return array


def labelled(given: Mapping[str, Any], name: str, note: Note, task: Task | None = None) -> dict[str, Any]:
    """Leave out the rows that have no target, as where it is a column among others.

    Parameters
    ----------
    given
        ``X``, ``y``, and what else `xpnet.datasets.from_arrays` takes, by name.
    name
        What to call the data in a message.
    note
        Told how many rows are left out, and of floats that become classes by that.
    task
        What is predicted, if that is known.

    Returns
    -------
    dict
        The same for the rows that are left, and in ``rows`` their numbers, if some of ``X`` were left out and
        it does not know them itself.

    Raises
    ------
    InputError
        No row has a target, or there are not as many as rows.
    """
    kept = dict(given)
    for key in [key for key in given if key[0] == "y"]:
        y, rows = unmasked(given[key], as_objects=True), f"X{key[1:]}"
        missing = np.zeros(0, bool)
        with contextlib.suppress(InputError, TypeError, ValueError):  # `as_targets` says better what is wrong
            table = y if np.ndim(y) == 2 else {key: y}
            missing = lacks(table)
        if missing.any() and rows in given:
            X = given[rows]
            if not isinstance(X, Stored):
                X = as_frame(X) if is_frame(X) else as_array(X, rows)
            if len(X) != len(missing):
                raise InputError(
                    f"{name}: {rows} has {len(X)} rows and {key} {len(missing)}: give each row one label"
                )
            names = as_frame(table).names
            if missing.all():
                holds = "holds NaN or None in every row" if len(names) == 1 else "has no row with all targets"
                raise InputError(f"{name}: {key} {holds}: fill in the targets")
            kept[rows] = X.take(~missing) if isinstance(X, Frame) else picked(X, ~missing)
            if key == "y" and not isinstance(X, Frame):
                kept["rows"] = np.flatnonzero(~missing)
            kept[key] = take_target(table, names if len(names) > 1 else names[0], note).y
            if key == "y" and task is None and len(names) == 1:
                tell_of_floats(as_frame(table), names[0], kept[key], note)
            if key == "y" and "sample_weight" in given:
                weight = as_array(given["sample_weight"], "sample_weight")
                kept["sample_weight"] = weight[~missing] if weight.shape == missing.shape else weight
    return kept


def infer_task(y: NDArray[Any], what: str, note: Note = silent) -> Task:
    """Return the task that y, made by `as_targets`, looks like.

    Floats that are 0 and 1, both and nothing else, are classes as the integers are. Other floats are numbers.

    Parameters
    ----------
    y, what
        Targets, and what to call them in a message.
    note
        Told where floats leave it open.

    Raises
    ------
    InputError
        If it looks like classes in one-hot rows, which are more likely a slip than labels; or like numbers
        that are written in a way that is none of theirs.
    """
    kind, several = y.dtype.kind, y.ndim == 2 and y.shape[1] > 1
    is_binary = kind != "O" and len(y) > 0 and bool(((y == 0) | (y == 1)).all())
    if several and is_binary:
        if ((y == 1).sum(axis=1) == 1).all():
            raise InputError(
                f"{what} of shape {y.shape} has one 1 in each row: give y.argmax(axis=1), the class numbers, "
                "or task='multilabel' if a row may have several labels"
            )
        if kind != "f":
            return "multilabel"
    if kind == "O":
        word, fix = _advice(y)
        if word:
            raise InputError(f"{what} holds {word}: {fix}, or use --task classification")
    if kind != "f":
        return "classification"
    if is_binary and (y == 0).any() and (y == 1).any():
        classes = "several labels per row" if several else "two classes"
        note(f"{what} holds only 0.0 and 1.0, read as {classes}: use --task regression for numbers")
        return "multilabel" if several else "classification"
    if not several and _are_few(y):
        note(
            f"{what} holds a few whole numbers as floats, read as numbers to predict: use --task "
            f"classification for classes"
        )
    return "regression"


def _advice(y: NDArray[Any]) -> tuple[str, str]:
    """Return a number that is written with signs, and what to do; nothing if y does not hold such."""
    word, fix = words.advice_on(list(dict.fromkeys(text.strip() for text in y.ravel().tolist())))
    return shown(word) if word else "", fix


def _are_few(y: NDArray[Any]) -> bool:
    """Whether floats are whole numbers of which only some differ: they may be classes."""
    if not ((np.abs(y) < words.EXACT) & (y == np.floor(y))).all():
        return False
    return 1 < len(np.unique(y)) <= min(FEW, len(y) // 2)


def find_labels(targets: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Return the different labels of classes, sorted.

    Parameters
    ----------
    targets : mapping
        What to call each y in a message, and the y that `as_targets` made.

    Raises
    ------
    InputError
        If some are text and some numbers, or a number is not whole.
    """
    found: set[Any] = set()
    for what, y in targets.items():
        if y.dtype.kind == "f":
            fix = "give whole numbers or text for classes, or leave out task to predict numbers"
            _refuse(y, ~np.isfinite(y) | (np.floor(y) != y), what, fix)
        labels = set(y.ravel().tolist() if y.dtype.kind == "O" else different(y))
        if y.dtype.kind == "f":
            labels = {int(label) for label in labels}
        if found and labels and isinstance(min(found), str) != isinstance(min(labels), str):
            of, other = ("text", "numbers") if y.dtype.kind == "O" else ("numbers", "text")
            raise InputError(f"{what} holds {of} and {next(iter(targets))} {other}: give labels of one kind")
        found |= labels
    return sorted(found)


def different(y: NDArray[Any]) -> list[Any]:
    """Return the different numbers; a part at a time, as to sort all takes as much memory again."""
    flat = y.reshape(-1)
    parts = [np.unique(flat[begin : begin + PART]) for begin in range(0, len(flat), PART)]
    found: list[Any] = np.unique(np.concatenate(parts or [flat])).tolist()
    return found


def _class_numbers(
    y: NDArray[Any], labels: Sequence[Any], what: str, copy: bool, many: bool
) -> NDArray[np.signedinteger[Any]]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(
            f"{what} has shape {y.shape}: give one label for each row, as y.argmax(axis=1) makes them from "
            "one-hot rows, or floats to predict numbers"
        )
    dtype = smallest_for(-1, len(labels) - 1) if many else np.dtype(np.int64)
    numbered = isinstance(labels, range) and y.dtype.kind in "iu"
    if numbered and len(y) and y.min() >= 0 and y.max() < len(labels):
        return y.astype(dtype, copy=copy)  # as below, which takes a second for ten million rows
    number = {label: k for k, label in enumerate(labels)}
    numbers = np.empty(len(y), dtype)
    for begin in range(0, len(y), PART):  # a list of all has more bytes than they
        part = y[begin : begin + PART].tolist()
        numbers[begin : begin + PART] = [number.get(label, -1) for label in part]
    if (numbers < 0).any():
        row = int(numbers.argmin())
        known = ", ".join(f"{label!r:.60}" for label in labels[:_MOST_SHOWN])
        known += ", …" if len(labels) > _MOST_SHOWN else ""
        value = y[row : row + 1].tolist()[0]
        raise InputError(
            f"{what} holds {value!r:.60} in row {row}, which is not a class: give one of {known}"
        )
    return numbers


def smallest_for(least: int, most: int) -> np.dtype[np.signedinteger[Any]]:
    """Return the smallest signed integers that hold what is between two numbers."""
    names = ("int8", "int16", "int32", "int64")
    ranges = ((name, np.iinfo(name)) for name in names)
    return np.dtype(next(name for name, of in ranges if of.min <= least and most <= of.max))


def _of_one_kind(y: NDArray[Any], what: str) -> NDArray[Any]:
    """Return objects as an array of what they are: bools, integers, floats; or objects still, all text."""
    values, columns = y.ravel().tolist(), math.prod(y.shape[1:])
    kind_of = {  # of each type that occurs: they are few, the values many
        type_: next((kind for kind, types in _KINDS.items() if issubclass(type_, types)), None)
        for type_ in set(map(type, values))
    }
    kinds = [kind_of[type(value)] for value in values]
    for place, kind in enumerate(kinds):
        if kind is None or kind is not kinds[0]:
            value, row = values[place], place // columns
            what_it_is = f"{value!r:.60}" if kind or value is None else f"a {type(value).__name__}"
            before = f", after {values[0]!r:.60}" if place else ""
            raise InputError(
                f"{what} holds {what_it_is} in row {row}{before}: "
                "drop rows without a target, and give all integers, all text or all floats"
            )
    if not kinds or kinds[0] is str:
        return np.array([str(value) for value in values], object).reshape(y.shape)
    try:
        return np.array(values, kinds[0]).reshape(y.shape)
    except OverflowError as error:
        place = next(place for place, value in enumerate(values) if not -(2**63) <= value < 2**63)
        raise InputError(
            f"{what} holds an integer of more than 64 bits in row {place // columns}: give text"
        ) from error


def _refuse(y: NDArray[Any], wrong: NDArray[np.bool_], what: str, fix: str) -> None:
    """Raise InputError if a value of y is wrong, for the first that is."""
    if wrong.any():
        place = np.unravel_index(wrong.argmax(), wrong.shape)
        raise InputError(f"{what} holds {y[place]} in row {place[0]}: {fix}")
