"""Data sets from the user's arrays."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import Columns, numbers
from xpnet.columns.tabular import Frame, as_array, flag
from xpnet.datasets.base import Dataset, check_task
from xpnet.datasets.checks import check_split, check_weights
from xpnet.datasets.reading import Note, Reading, hold_out, silent
from xpnet.datasets.stored import Stored, picked
from xpnet.datasets.targets import as_targets, different, encode_targets, find_labels, infer_task
from xpnet.errors import InputError
from xpnet.typing import Task
from xpnet.values import shown
from xpnet.warn import warn

__all__ = [
    "as_rows",
    "assemble",
    "counted",
    "encode_targets",
    "from_arrays",
    "image_shape_of",
    "refuse_name_of_weights",
    "suits_images",
]


MOST_RARE = 100
"""Maximum number of classes with fewer than two rows each on average: names and ids are not classes."""


LEAST_SIDE = 8
"""Minimum height and width for samples of several dimensions to be treated as images."""

SMALLEST = 4
"""Minimum height and width for samples of 1, 3 or 4 planes to be recognised as channels-first images."""


def from_arrays(
    X: Any,
    y: Any,
    *,
    X_val: Any = None,
    y_val: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    sample_weight: Any = None,
    task: Task | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    name: str = "data",
    note: Note = warn,
) -> Dataset:
    """Make a data set from arrays, or from lists and other array-likes.

    Parameters
    ----------
    X : array_like, shape (rows, ...)
        Real numbers, with NaN for missing values. Samples of several dimensions are flattened to rows; for
        images of shape (rows, height, width) or (rows, height, width, 1, 3 or 4), the image shape is kept.
    y : array_like, shape (rows,) or (rows, columns)
        Targets. Integers, bools and text are classes; so are floats that are only 0 and 1. Other floats are
        numbers to predict, one or several per row. Rows of 0 and 1 are several labels per row.
    X_val, y_val, X_test, y_test : array_like, optional
        Validation and test data. Without ``X_val``, part of X is held out.
    sample_weight : array_like, optional, shape (rows,)
        Weights of the rows of X, at least 0. Rows of weight 0 are skipped, whatever they hold.
    task : {"classification", "multilabel", "regression"}, optional
        The task, if it cannot be inferred from y: ``"classification"`` for whole numbers stored as floats,
        ``"regression"`` for integers, or for floats that are only 0 and 1.
    validation_fraction : float, default 0.1
        Fraction of the rows held out at random, at least one row.
    seed : int, default 0
        Random seed of the held-out rows.
    name : str, default "data"
        Name of the data set in messages and summaries.
    note : callable, by default a warning
        Called with a sentence if floats may be classes or numbers.

    Returns
    -------
    Dataset
        Its classes are the sorted distinct values of all y; they become ``labels``, unless they are 0, 1, 2,
        … The caller's arrays are never modified, and copied only if rows are held out.

    Raises
    ------
    InputError
        If an array cannot be used. The message names it and its first invalid row.
    """
    optional = {
        "X_val": X_val,
        "y_val": y_val,
        "X_test": X_test,
        "y_test": y_test,
        "sample_weight": sample_weight,
    }
    arrays = {"X": X, "y": y} | {key: value for key, value in optional.items() if value is not None}
    reading = Reading(task, validation_fraction=validation_fraction, seed=seed)
    return assemble(arrays, name, reading, note=note)


def assemble(
    given: Mapping[str, Any],
    name: str,
    reading: Reading,
    own: Collection[str] = (),
    *,
    columns: Columns | None = None,
    output_names: tuple[str, ...] | None = None,
    class_names: tuple[str, ...] | None = None,
    groups: NDArray[Any] | None = None,
    times: NDArray[Any] | None = None,
    note: Note = silent,
) -> Dataset:
    """Make a data set from arrays, like `from_arrays`, given those that exist.

    Parameters
    ----------
    given : mapping
        ``X``, ``y``, and what else there is, by the names that `from_arrays` has for it; and in ``rows`` the
        numbers of the rows of X among the user's own, if these were more.
    name
        As for `from_arrays`.
    reading
        The task, and which rows are held out.
    own : collection of str, default ()
        Names of arrays that nobody else uses: their rows may be reordered in place, which saves a copy.
    columns : Columns, optional
        The columns of which X is the matrix.
    output_names : tuple of str, optional
        Names of several labels or outputs.
    class_names : tuple of str, optional
        Names of classes numbered from 0; classes that occur keep their names.
    groups, times : ndarray, optional, shape (rows,)
        See `xpnet.datasets.reading.hold_out`.
    note : callable, optional
        Called with a sentence if floats may be classes or numbers.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If an array cannot be used.
    """
    for split in ("val", "test"):
        if (f"X_{split}" in given) != (f"y_{split}" in given):
            raise InputError(f"{name} has only one of X_{split} and y_{split}: give both or neither")
    refuse_name_of_weights(name, given.get("sample_weight"))
    given, counts = counted(given, name)
    groups, times = (values if values is None else values[counts] for values in (groups, times))
    arrays: dict[str, Any] = {key: _rows_of(given[key], f"{name}: {key}") for key in given if key[0] == "X"}
    shapes = {key: (len(X), *X.samples) if isinstance(X, Stored) else X.shape for key, X in arrays.items()}
    image_shape = image_shape_of(shapes["X"])
    if image_shape is None:
        _refuse_channels_first(f"{name}: X", shapes["X"])
    for key, shape in shapes.items():
        if len(shape) > 2 and shape[1:] != shapes["X"][1:]:
            raise InputError(
                f"{name}: rows of {key} have shape {shape[1:]}, but those of X have {shapes['X'][1:]}: give "
                "all the same"
            )
    arrays = {key: as_rows(f"{name}: {key}", X) for key, X in arrays.items()}
    if "sample_weight" in given:
        arrays["sample_weight"] = _weights(f"{name}: sample_weight", given["sample_weight"], len(arrays["X"]))
    targets, task, labels, found = _targets(given, name, reading.task, class_names, note, own)
    class_names = output_names if output_names is not None and task != "classification" else found
    arrays |= targets
    if columns is None and any(_has_gaps(X) for key, X in arrays.items() if key[0] == "X"):
        columns = numbers(arrays["X"].shape[1])
    held_out = None
    if "X_val" not in arrays:
        # Check before reordering rows, so that messages name the row numbers that the user knows.
        X, y = arrays["X"], arrays["y"]
        check_split(name, "X", X, "y", y, task, len(class_names), gaps=columns is not None)
        classes = y if task == "classification" else None
        if groups is None and times is None:
            groups = _blocks_of(X, reading.validation_fraction)
        chosen = hold_out(name, len(X), reading, classes, groups, times)
        held_out = _move_to_end(arrays, chosen, own)
        if "rows" in given:
            held_out = given["rows"][held_out]
    return Dataset(
        name=name,
        X_train=arrays["X"],
        y_train=arrays["y"],
        X_val=arrays["X_val"],
        y_val=arrays["y_val"].astype(np.int64, copy=False) if task == "classification" else arrays["y_val"],
        X_test=arrays.get("X_test"),
        y_test=arrays.get("y_test"),
        class_names=class_names,
        image_shape=image_shape,
        task=task,
        labels=labels,
        weight_train=arrays.get("sample_weight"),
        weight_val=arrays.get("sample_weight_val"),
        columns=columns,
        target=reading.target,
        held_out=held_out,
    )


def image_shape_of(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return (height, width, channels) if samples of an array of this shape look like images."""
    match shape:
        case (_, height, width):
            return height, width, 1
        case (_, height, width, (1 | 3 | 4) as channels):
            return height, width, channels
        case _:
            return None


def suits_images(shape: tuple[int, ...] | None) -> bool:
    """Return whether images of this height and width keep their meaning if shifted and mirrored."""
    return shape is not None and min(shape[:2]) >= LEAST_SIDE


def _refuse_channels_first(what: str, shape: tuple[int, ...]) -> None:
    """Refuse channels-first images, as in PyTorch, which would become rows of plain numbers."""
    match shape:
        case (_, 1 | 3 | 4, height, width) if min(height, width) >= SMALLEST:
            raise InputError(
                f"{what} has shape {shape}, but channels must come last: give np.moveaxis(X, 1, -1), or "
                "X.reshape(len(X), -1) if these are not images"
            )


def _rows_of(X: Any, what: str) -> Any:
    """Return an array; rows on disk are returned as they are."""
    return X if isinstance(X, Stored) else as_array(X, what)


def as_rows(what: str, X: Any) -> Any:
    """Return X with one row for each sample, in the byte order of this machine; ``what`` names it.

    Raises
    ------
    InputError
        It has no sample axis.
    """
    if isinstance(X, Stored):
        return X
    if X.ndim < 2:
        raise InputError(f"{what} has shape {X.shape}: give at least two dimensions, samples first")
    rows = X.reshape(len(X), math.prod(X.shape[1:]))
    return np.asarray(rows, dtype=X.dtype.newbyteorder("="))


def refuse_name_of_weights(name: str, weights: Any) -> None:
    """Refuse the name of a column in place of the weights of rows."""
    if isinstance(weights, str):
        raise InputError(
            f"{name}: sample_weight is {shown(weights)}, the name of a column: give the values of that "
            f"column, and leave it out with {flag('ignore', weights)}"
        )


def counted(given: Mapping[str, Any], name: str) -> tuple[dict[str, Any], Any]:
    """Leave out rows of weight 0 before doing anything else, as if they had not been given.

    Parameters
    ----------
    given
        ``X`` (a `Frame` or array-like), ``y`` and other arguments of `from_arrays`, by name.
    name
        Name of the data in messages.

    Returns
    -------
    kept : dict
        The same arrays with only the rows that count.
    counts
        The index of these rows: a mask, or a slice of all.
    """
    if "sample_weight" not in given:
        return dict(given), slice(None)
    X = given["X"] if isinstance(given["X"], Frame) else _rows_of(given["X"], f"{name}: X")
    weight = _weights(f"{name}: sample_weight", given["sample_weight"], len(X))
    counts = weight > 0
    y = given["y"] if counts.all() else as_targets(given["y"], f"{name}: y")
    if counts.all() or len(y) != len(X):  # a wrong length is refused later
        return {**given, "X": X, "sample_weight": weight}, slice(None)
    kept = {**given, "y": y[counts], "sample_weight": weight[counts]}
    if isinstance(X, Frame):  # which knows the numbers of its rows
        return {**kept, "X": X.take(counts)}, counts
    rows = given["rows"][counts] if "rows" in given else np.flatnonzero(counts)
    return {**kept, "X": picked(X, counts), "rows": rows}, counts


def _weights(what: str, weights: Any, num_rows: int) -> NDArray[np.float64]:
    array = as_array(weights, what)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} has dtype {array.dtype}: give numbers, 0 or above")
    array = np.asarray(array, np.float64)
    check_weights(what, array, num_rows)
    return array


def _targets(
    given: Mapping[str, Any],
    name: str,
    task: Task | None,
    class_names: tuple[str, ...] | None,
    note: Note,
    own: Collection[str],
) -> tuple[dict[str, NDArray[Any]], Task, tuple[Any, ...] | None, tuple[str, ...]]:
    """Return each y in stored form, with the task, the labels of the classes, and their names."""
    targets = {key: as_targets(given[key], f"{name}: {key}") for key in given if key[0] == "y"}
    y = targets["y"]
    if task is None:
        task = infer_task(y, f"{name}: y", note)
    check_task(name, task)
    labels: tuple[Any, ...] | None = None
    values: list[Any] = list(range(y.shape[1] if y.ndim == 2 else 1))
    if task == "classification":
        values = find_labels({f"{name}: {key}": array for key, array in targets.items()})
        if len(values) > MOST_RARE and 2 * len(values) > len(y):
            of_numbers = "" if y.dtype.kind == "O" else ", or predict numbers with --task regression"
            raise InputError(
                f"{name}: y has {len(values):,} classes in {len(y):,} rows, too few of each to learn from: "
                f"give another target{of_numbers}"
            )
        if class_names is not None:
            number = range(len(class_names))
            if len(set(class_names)) < len(class_names) or any(value not in number for value in values):
                raise InputError(
                    f"{name}: class_names has {len(class_names)} names, so y must hold class numbers from 0 "
                    f"to {len(class_names) - 1}: correct one of the two"
                )
        if any(type(value) is not int for value in values) or values != list(range(len(values))):
            labels = tuple(values)
    many = isinstance(given["X"], Stored)
    stored = {
        key: encode_targets(
            array, task, labels, len(values), f"{name}: {key}", copy=key not in own, many=many and key == "y"
        )
        for key, array in targets.items()
    }
    if task == "classification" and "y_val" in stored:
        lacking = ~np.isin(stored["y_val"], different(stored["y"]))
        if lacking.any():
            row = int(lacking.argmax())
            raise InputError(
                f"{name}: y_val holds {values[stored['y_val'][row]]!r:.60} in row {row}, which y lacks: "
                "give rows of that class to train on, or drop it"
            )
    if class_names is not None and task == "classification":  # except those that do not occur
        return stored, task, labels, tuple(class_names[value] for value in values)
    return stored, task, labels, tuple(map(str, values))


def _has_gaps(X: Any) -> bool:
    """Return whether there is a NaN; checked part by part, because X may be large."""
    if isinstance(X, Stored):
        return X.scan.missing is not None
    step = max(1, 2**20 // max(1, X.shape[1]))
    parts = (X[start : start + step] for start in range(0, len(X), step))
    return X.dtype.kind == "f" and any(np.isnan(part).any() for part in parts)


def _blocks_of(X: Any, fraction: float) -> NDArray[Any] | None:
    """Return the block of each row, if whole blocks are held out, so that no block is read for a few rows."""
    blocks = X.blocks if isinstance(X, Stored) else None
    if blocks is None or len(blocks) * fraction < 1:
        return None
    return np.repeat(np.arange(len(blocks)), blocks)


def _move_to_end(
    arrays: dict[str, Any], chosen: NDArray[np.int64], own: Collection[str]
) -> NDArray[np.int64]:
    """Take the chosen rows of X, y and the weights out, to validate on; return their numbers, in order."""
    num_rows = len(arrays["X"])
    if isinstance(arrays["X"], Stored) and arrays["X"].blocks is not None:
        held = np.zeros(num_rows, np.bool_)
        held[chosen] = True
        for key in [key for key in ("X", "y", "sample_weight") if key in arrays]:
            rows = arrays[key]
            arrays |= {key: picked(rows, ~held), f"{key}_val": picked(rows, held)}
        return np.flatnonzero(held)
    start = num_rows - len(chosen)
    tail = np.arange(start, num_rows)
    coming, going = np.setdiff1d(chosen, tail), np.setdiff1d(tail, chosen)
    for key in ("X", "y", "sample_weight"):
        if isinstance(arrays.get(key), Stored):
            order = np.arange(num_rows, dtype=np.int32 if num_rows < 2**31 else np.int64)
            order[coming], order[going] = going, coming
            rows = arrays[key]
            arrays |= {key: rows.pick(order[:start]), f"{key}_val": rows.pick(order[start:])}
        elif key in arrays:
            array = arrays[key] if key in own else arrays[key].copy()
            array[coming], array[going] = array[going], array[coming]
            arrays |= {key: array[:start], f"{key}_val": array[start:]}
    tail[going - start] = coming
    return tail
