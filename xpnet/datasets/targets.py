"""Convert the user's targets to the form that a data set stores."""

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
"""Maximum number of distinct integers among floats for a note that they may be classes."""

_MOST_SHOWN = 10  # maximum number of labels that a message lists


def encode_targets(
    y: Any,
    task: Task,
    labels: Sequence[Any] | None,
    num_outputs: int,
    what: str = "y",
    copy: bool = True,
    many: bool = False,
) -> NDArray[Any]:
    """Convert the user's targets to those that a `Dataset` stores.

    Parameters
    ----------
    y : array_like
        Classes by their ``labels``, 0 and 1 for each label, or numbers.
    task : {"classification", "multilabel", "regression"}
        The task.
    labels : sequence, optional
        The labels of the classes in y; None if they are numbered from 0.
    num_outputs : int
        Number of classes, of labels, or of numbers to predict.
    what : str, default "y"
        Name of y in messages.
    copy : bool, default True
        Whether to always copy; otherwise, y itself may be stored if it has the right form.
    many : bool, default False
        Whether there may be more rows than fit into memory; classes then get the smallest dtype.

    Returns
    -------
    ndarray
        ``int64`` (rows,) for classification, or a smaller dtype for many rows; ``uint8`` (rows, labels) for
        multilabel; ``float64`` (rows, outputs) for regression.

    Raises
    ------
    InputError
        If y is of another kind or shape, or holds an invalid class, label or number.
    """
    array = as_targets(y, what)
    if task == "classification":
        return _class_numbers(array, range(num_outputs) if labels is None else labels, what, copy, many)
    if array.dtype.kind not in "biuf":
        word, fix = _advice(array)
        raise InputError(f"{what} holds {word or 'text'}: {fix or f'give numbers for {task}'}")
    columns = array[:, None] if array.ndim == 1 else array
    if task == "multilabel":
        # Before the dtype changes, in which 256 would become 0.
        _refuse(columns, (columns != 0) & (columns != 1), what, "give 1 for a label that is set, else 0")
        stored = columns.astype(np.uint8)
    else:
        with np.errstate(over="ignore"):  # numbers beyond 64 bits become infinity, which is refused below
            stored = np.asarray(columns, np.float64)
    check_targets(what, stored, task, num_outputs)
    return stored


def as_targets(y: Any, what: str) -> NDArray[Any]:
    """Return y as an array of numbers or text, in one or two dimensions.

    Parameters
    ----------
    y : array_like
        Targets; objects must be all bools, all integers, all floats, or all text.
    what : str
        Name of y in messages.

    Returns
    -------
    ndarray
        Bools, integers or floats, or objects that are all text.

    Raises
    ------
    InputError
        If it is anything else. The message names the first such row.
    """
    array = as_array(y, what)
    if array.dtype.kind in "UT":
        # From the original, because NumPy converts the numbers in a list of text and numbers to text.
        array = np.asarray(y, dtype=object)
    if array.ndim not in (1, 2) or array.shape[1:] == (0,):
        raise InputError(f"{what} has shape {array.shape}: give one label for each row")
    if array.dtype.kind == "O":
        array = _of_one_kind(array, what)
    if array.dtype.kind not in "biufO":
        raise InputError(f"{what} has dtype {array.dtype}: give integers, text, or floats to predict numbers")
    return array


def labelled(given: Mapping[str, Any], name: str, note: Note, task: Task | None = None) -> dict[str, Any]:
    """Leave out the rows without a target, as for a target that is a column of a table.

    Parameters
    ----------
    given
        ``X``, ``y`` and other arguments of `xpnet.datasets.from_arrays`, by name.
    name
        Name of the data in messages.
    note
        Called with a sentence about how many rows are left out, and about floats that become classes by this.
    task
        The task, if known.

    Returns
    -------
    dict
        The same for the rows that are left, and in ``rows`` their numbers, if some of ``X`` were left out and
        it does not know them itself.

    Raises
    ------
    InputError
        No row has a target, or the number of targets is not that of the rows.
    """
    kept = dict(given)
    for key in [key for key in given if key[0] == "y"]:
        y, rows = unmasked(given[key], as_objects=True), f"X{key[1:]}"
        missing = np.zeros(0, bool)
        with contextlib.suppress(InputError, TypeError, ValueError):  # `as_targets` has a better message
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
    """Infer the task from y, which `as_targets` made.

    Floats that are only 0 and 1, and both occur, are classes, like integers. Other floats are numbers.

    Parameters
    ----------
    y, what
        Targets, and their name in messages.
    note
        Called with a sentence if floats are ambiguous.

    Raises
    ------
    InputError
        If y looks like one-hot rows of classes, which are more likely a mistake than labels; or like numbers
        written as text.
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
    """Return an example of a number written with symbols, and the fix; empty if there is none."""
    word, fix = words.advice_on(list(dict.fromkeys(text.strip() for text in y.ravel().tolist())))
    return shown(word) if word else "", fix


def _are_few(y: NDArray[Any]) -> bool:
    """Return whether floats are integers with few distinct values, which may be classes."""
    if not ((np.abs(y) < words.EXACT) & (y == np.floor(y))).all():
        return False
    return 1 < len(np.unique(y)) <= min(FEW, len(y) // 2)


def find_labels(targets: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Return the distinct labels of classes, sorted.

    Parameters
    ----------
    targets : mapping
        Each y from `as_targets`, by its name in messages.

    Raises
    ------
    InputError
        If some are text and some are numbers, or a number is not an integer.
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
    """Return the distinct numbers; part by part, because sorting all would double the memory."""
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
        return y.astype(dtype, copy=copy)  # the same as below, which takes a second for ten million rows
    number = {label: k for k, label in enumerate(labels)}
    numbers = np.empty(len(y), dtype)
    for begin in range(0, len(y), PART):  # a list of all would take more memory than y
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
    """Return the smallest signed integer dtype for a range of numbers."""
    names = ("int8", "int16", "int32", "int64")
    ranges = ((name, np.iinfo(name)) for name in names)
    return np.dtype(next(name for name, of in ranges if of.min <= least and most <= of.max))


def _of_one_kind(y: NDArray[Any], what: str) -> NDArray[Any]:
    """Return objects as an array of bools, integers or floats; or as objects if all are text."""
    values, columns = y.ravel().tolist(), math.prod(y.shape[1:])
    kind_of = {  # by type, since there are few types but many values
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
    """Raise InputError for the first wrong value of y, if there is one."""
    if wrong.any():
        place = np.unravel_index(wrong.argmax(), wrong.shape)
        raise InputError(f"{what} holds {y[place]} in row {place[0]}: {fix}")
