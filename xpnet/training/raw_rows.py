"""Checks of the raw rows and targets that users give to a model."""

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.masks import is_masked, unmasked
from xpnet.columns.raw import NUMBERS
from xpnet.datasets.stored import Stored
from xpnet.device import to_numpy
from xpnet.errors import InputError
from xpnet.typing import Task
from xpnet.values import shown

__all__ = ["RowError", "checked", "checked_targets", "refuse_path"]

CHUNK = 2**20
"""Numbers checked at a time."""


_FILL = "fill in a value, or drop the row"


class RowError(InputError):
    """A row that a model cannot predict.

    Attributes
    ----------
    row
        Its index, counted from 0.
    problem
        What is wrong, and what to do.
    column
        Index of the feature without a value; None if the problem is another one.
    why
        Why a value is required there.
    """

    def __init__(self, row: int, problem: str, column: int | None = None, why: str = "") -> None:
        super().__init__(row, problem, column, why)
        self.row, self.problem, self.column, self.why = row, problem, column, why

    def __str__(self) -> str:
        return self.said(f"row {self.row} of X")

    def said(self, where: str, names: Sequence[str] = ()) -> str:
        """Return the message, with the name of the row and, if known, of the column."""
        if self.column is None or not names:
            return f"{where} {self.problem}"
        # Users know an empty field of a table, not NaN.
        lacks = f"has no value (an empty field, NA or NaN) in column {shown(names[self.column])}"
        return f"{where} {lacks}{', ' * (self.why != '')}{self.why}: {_FILL}"


def checked(
    X: Any, num_features: int, dtype: str, most: float = 0.0, *, gaps: bool | NDArray[np.bool_] = False
) -> Any:
    """Return rows on the host: an array, or a SciPy sparse matrix in CSR format.

    Parameters
    ----------
    X
        ``(rows, features)``: an array of any library, on any device, a nested sequence or a sparse matrix.
    num_features
        Number of features of the model.
    dtype
        Dtype of the parameters, whose range no value may exceed.
    most
        The largest allowed value, if it may exceed that range; else 0.
    gaps
        Whether NaN stands for a missing value, or in which features it does.

    Raises
    ------
    RowError
        A row holds NaN, infinity, or a value beyond the range; the error names the first such row.
    InputError
        ``X`` does not hold such rows.
    """
    refuse_path(X)
    if isinstance(X, Stored):
        return _checked_on_disk(X, num_features, dtype, most, gaps)
    try:
        X = X.tocsr() if hasattr(X, "tocsr") else to_numpy(unmasked(X))
    except (TypeError, ValueError) as error:  # sequences of different lengths, or a dtype unknown to NumPy
        reason = " ".join(str(error).split())
        raise InputError(f"X is not an array ({reason}): give rows of {num_features} numbers each") from error
    if X.ndim != 2 or X.shape[1] != num_features:
        raise InputError(f"X has shape {X.shape}: give (rows, {num_features})")
    if X.dtype.kind == "O":
        X = _of_objects(X)
    if X.dtype.kind not in "biuf":
        raise InputError(f"X has dtype {X.dtype}: give real numbers")
    if X.dtype.kind == "f":
        _check_values(X, dtype, most, gaps)
    return X


def refuse_path(X: Any) -> None:
    """Raise InputError if a path is given instead of rows, because a model does not read files."""
    if isinstance(X, str | os.PathLike):
        raise InputError(
            f"X is a path, {shown(os.fspath(X))}: give the rows themselves, or use xpnet predict"
        )


def _of_objects(X: NDArray[Any]) -> NDArray[Any]:
    """Return objects as numbers if all are numbers; else return them unchanged."""
    if all(issubclass(kind, NUMBERS) for kind in set(map(type, X.ravel().tolist()))):
        with contextlib.suppress(OverflowError):  # an integer may be too large for a float
            return X.astype(np.float64)
    return X


def checked_targets(y: Any, task: Task, outputs: int, rows: int) -> NDArray[Any]:
    """Return the true targets in the form that `Model.score` needs.

    Parameters
    ----------
    y
        A class number for each row; 0 or 1 for each label; or numbers. An array of any library, on any
        device, or a sequence.
    task, outputs
        Task of the model, and its number of classes, labels or outputs.
    rows
        Number of rows.

    Raises
    ------
    InputError
        There are no rows, ``y`` has another length, or it holds an invalid class, label or number. The
        message names the first such row.
    """
    try:
        y = to_numpy(y)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"y is not an array ({' '.join(str(error).split())}): give one number for each row"
        ) from error
    if is_masked(y):
        row = int(np.argwhere(np.ma.getmaskarray(y))[0, 0])
        raise InputError(f"y is masked in row {row}: drop rows without a target")
    shape = (rows,) if task == "classification" else (rows, outputs)
    if not rows:
        raise InputError("there are no rows to score: give at least one")
    if y.shape != shape:
        raise InputError(f"y has shape {y.shape}: give {shape}")
    of_classes = f"give the numbers of classes, 0 to {outputs - 1}"
    if y.dtype.kind not in "biuf":
        fix = of_classes if task == "classification" else "give numbers"
        raise InputError(f"y has dtype {y.dtype}: {fix}")
    if task == "classification":
        fits, fix = (y >= 0) & (y < outputs) & (y == np.floor(y)), of_classes
    elif task == "multilabel":
        fits, fix = (y == 0) | (y == 1), "give 1 for a label that is set, else 0"
    else:
        fits, fix = np.isfinite(y), "drop rows without a finite number"
    if not fits.all():
        place = np.unravel_index(int(fits.argmin()), fits.shape)
        raise InputError(f"y holds {y[place]} in row {place[0]}: {fix}")
    dtype = {"classification": np.int64, "multilabel": np.uint8, "regression": np.float64}[task]
    return np.asarray(y, dtype)


def _checked_on_disk(
    X: Stored, num_features: int, dtype: str, most: float, gaps: bool | NDArray[np.bool_]
) -> Stored:
    """Check rows that stay on disk, using the results of a single pass over them."""
    if X.shape[1] != num_features:
        raise InputError(f"X has shape {X.shape}: give (rows, {num_features})")
    scan = X.scan
    if scan.infinite is not None or (scan.gaps & ~np.broadcast_to(gaps, num_features)).any():
        rows = [row for row in (scan.infinite, scan.missing) if row is not None]
        raise RowError(min(rows), "holds NaN or infinity: drop such rows or replace the values")
    held = most or float(np.finfo(dtype).max)
    if np.fmax(np.abs(scan.low), np.abs(scan.high)).max(initial=0) > held:
        raise InputError(f"X has values too large for {dtype}: divide them as the training rows were")
    return X


def _check_values(X: Any, dtype: str, most: float, gaps: bool | NDArray[np.bool_]) -> None:
    is_sparse, may_lack = hasattr(X, "tocsr"), np.broadcast_to(gaps, X.shape[1:])
    held = min(most or float(np.finfo(dtype).max), float(np.finfo(X.dtype).max))
    values = X.data if is_sparse else X
    first = _first_beyond(values, held, may_lack[X.indices] if is_sparse else may_lack)
    if first is None:
        return
    row = int(np.searchsorted(X.indptr, first, "right")) - 1 if is_sparse else first
    columns = X.indices[first : first + 1] if is_sparse else np.arange(X.shape[1])
    of_row = np.atleast_1d(values[first])
    lacking = columns[np.isnan(of_row) & ~may_lack[columns]]
    if isinstance(gaps, np.ndarray) and lacking.size:
        why = "where every training row had one"
        raise RowError(
            row, f"has no value (NaN) in column {lacking[0]}, {why}: {_FILL}", int(lacking[0]), why
        )
    if lacking.size or np.isinf(of_row).any():
        what = "NaN or infinity" if gaps is False else "infinity"
        column = int(lacking[0]) if lacking.size else None
        raise RowError(row, f"holds {what}: drop such rows or replace the values", column)
    beyond = f"beyond {most:.0e}" if most else f"too large for {dtype}"
    raise RowError(row, f"holds values {beyond}: divide them as the training rows were")


def _first_beyond(values: NDArray[Any], most: float, may_lack: NDArray[np.bool_]) -> int | None:
    """Return the first row, or number, that is NaN or larger than ``most`` in magnitude; else None.

    NaN is allowed where ``may_lack`` is true; it has an entry per feature, or per number.
    """
    step = max(1, CHUNK * len(values) // max(1, values.size))
    for start in range(0, len(values), step):
        part = values[start : start + step]
        fits = np.abs(part) <= most  # false for NaN
        if not fits.all():
            fits |= np.isnan(part) & (may_lack[start : start + step] if part.ndim == 1 else may_lack)
            fits = fits if fits.ndim == 1 else fits.all(axis=1)
            if not fits.all():
                return start + int(fits.argmin())
    return None
