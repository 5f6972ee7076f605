"""Checks of the arrays of every data set."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets.stored import Stored
from xpnet.errors import InputError
from xpnet.typing import Task
from xpnet.values import refuse_mask

_CHUNK_ELEMENTS = 1 << 20  # of X checked at a time: limits temporary arrays to 1 MiB


def check_split(
    dataset: str,
    X_name: str,
    X: Any,
    y_name: str,
    y: NDArray[Any],
    task: Task,
    num_outputs: int,
    gaps: bool = False,
) -> None:
    """Check that X and y are samples and their targets.

    Parameters
    ----------
    dataset, X_name, y_name : str
        Names of the data set and its arrays in messages.
    X : ndarray, shape (num_samples, num_features)
        Finite real numbers.
    y : ndarray, shape (num_samples,) or (num_samples, num_outputs)
        Targets, see `check_targets`.
    task : {"classification", "multilabel", "regression"}
        The task.
    num_outputs : int
        Number of classes, labels or numbers.
    gaps : bool, default False
        Whether X may hold NaN.

    Raises
    ------
    InputError
        If one of them is anything else, or they differ in length.
    """
    _check_samples(f"{dataset}: {X_name}", X, gaps)
    check_targets(f"{dataset}: {y_name}", y, task, num_outputs, isinstance(X, Stored))
    if len(X) != len(y):
        raise InputError(
            f"{dataset}: {X_name} has {len(X)} rows and {y_name} {len(y)}: give each row one label"
        )


def check_targets(name: str, y: Any, task: Task, num_outputs: int, many: bool = False) -> None:
    """Check that y holds what a data set stores for a task.

    Parameters
    ----------
    name : str
        Name of y in messages.
    y : ndarray
        Classes, ``int64`` of shape (rows,); labels, ``uint8`` 0 or 1 of shape (rows, labels); or finite
        numbers, ``float64`` of shape (rows, outputs).
    task : {"classification", "multilabel", "regression"}
        The task.
    num_outputs : int
        Number of classes, labels or numbers.
    many : bool, default False
        Whether classes may have a smaller dtype: int8, int16 or int32.

    Raises
    ------
    InputError
        If y is anything else.
    """
    if task == "classification":
        is_smaller = many and isinstance(y, np.ndarray) and y.dtype.kind == "i" and y.dtype.isnative
        _check_dtype(name, y, y.dtype.type if is_smaller else np.int64)
        if y.ndim != 1:
            raise InputError(f"{name} has {y.ndim} dimensions: give one, with one label for each row")
        outside = (y < 0) | (y >= num_outputs)
        if outside.any():
            row = int(outside.argmax())
            raise InputError(
                f"{name} holds label {y[row]} in row {row}: "
                f"number the {num_outputs} classes from 0 to {num_outputs - 1}"
            )
        return
    _check_dtype(name, y, np.uint8 if task == "multilabel" else np.float64)
    if y.ndim != 2 or y.shape[1] != max(num_outputs, 1):
        column = "label" if task == "multilabel" else "number to predict"
        raise InputError(
            f"{name} has shape {y.shape}: give (rows, {max(num_outputs, 1)}), a column for each {column}"
        )
    if task == "regression":
        _check_finite(name, y, fix="drop such rows")
    elif len(y) and y.max() > 1:
        row = int((y > 1).any(axis=1).argmax())
        raise InputError(f"{name} holds {y[row].max()} in row {row}: give 1 for a label that is set, else 0")


def check_weights(name: str, weights: Any, num_rows: int) -> None:
    """Check that there is a weight for each row: finite, not negative, and not all zero.

    Parameters
    ----------
    name : str
        Name of the weights in messages.
    weights : ndarray of float64, shape (num_rows,)
        Weights of the rows.
    num_rows : int
        Number of rows.

    Raises
    ------
    InputError
        If they are anything else.
    """
    _check_dtype(name, weights, np.float64)
    if weights.shape != (num_rows,):
        raise InputError(f"{name} has shape {weights.shape}: give ({num_rows},), one weight for each row")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"{name} holds {weights[row]} in row {row}: give finite weights, 0 or above")
    if not weights.any():
        raise InputError(f"{name} is 0 in every row: give a weight above 0 to the rows that count")


def _check_dtype(name: str, array: Any, dtype: type[np.generic]) -> None:
    refuse_mask(array, name)
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{name} is of type {kind}: give a NumPy array of {dtype.__name__}")


def _check_samples(name: str, X: object, gaps: bool) -> None:
    if not isinstance(X, np.ndarray | Stored):
        raise InputError(f"{name} is of type {type(X).__name__}: give a NumPy array")
    if isinstance(X, np.ndarray):
        refuse_mask(X, name)
    if X.dtype.kind not in "biuf":
        raise InputError(f"{name} has dtype {X.dtype}: give real numbers")
    if X.ndim != 2:
        raise InputError(f"{name} has {X.ndim} dimensions: give two, with one row for each sample")
    if not all(X.shape):
        raise InputError(f"{name} has shape {X.shape}: give at least one row and one column")
    _check_finite(name, X, gaps)


def _check_finite(
    name: str,
    X: Any,
    gaps: bool = False,
    fix: str = "drop such rows or replace the values",
) -> None:
    row = first_row_not_finite(X, gaps)
    if row is not None:
        raise InputError(f"{name} holds {'infinity' if gaps else 'NaN or infinity'} in row {row}: {fix}")


def first_row_not_finite(X: Any, gaps: bool = False) -> int | None:
    """Return the index of the first row of X, (n, d), with infinity or (unless ``gaps``) NaN; or None."""
    if X.dtype.kind != "f":
        return None
    if isinstance(X, Stored):
        found = (X.scan.infinite, None if gaps else X.scan.missing)
        return min((row for row in found if row is not None), default=None)
    step = max(1, _CHUNK_ELEMENTS // X.shape[1])
    for start in range(0, len(X), step):
        part = X[start : start + step]
        finite = ~np.isinf(part) if gaps else np.isfinite(part)
        if not finite.all():
            return start + int(finite.all(axis=1).argmin())
    return None
