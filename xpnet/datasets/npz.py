"""A user's own arrays, from an ``.npz`` file."""

import math
import os
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets.base import Dataset, check_split
from xpnet.errors import InputError

_KEYS = ("X", "y", "X_val", "y_val", "X_test", "y_test")


def from_npz(path: str | os.PathLike[str]) -> Dataset:
    """Load arrays that ``np.savez(path, X=X, y=y)`` saved.

    Parameters
    ----------
    path : str or path-like
        An ``.npz`` file with ``X`` and ``y`` and, if wanted, ``X_val`` and ``y_val``, ``X_test``
        and ``y_test``. Other keys are ignored, unless they begin as a misspelt one of these would.

        Each X has shape (n, ...) and any real dtype; samples of several dimensions become one row
        each. Images, of shape (n, height, width) or (n, height, width, 1, 3 or 4), are remembered
        as such. Each y has shape (n,) or (n, 1) and any integer dtype.

    Returns
    -------
    Dataset
        It has as many classes as the largest label plus one. Without ``X_val`` a tenth of the rows
        of X, at least one, is held out for validation: the same rows whatever the seed of a run.
        Without ``X_test`` there is no test set.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, a key is missing, or an array cannot be used.
    """
    path = Path(path)
    arrays = _read(path)
    image_shape = _image_shape(arrays["X"])
    for key in ("X_val", "X_test"):
        if key in arrays and arrays[key].ndim > 2 and arrays[key].shape[1:] != arrays["X"].shape[1:]:
            raise InputError(
                f"{path}: a row of {key} has the shape {arrays[key].shape[1:]} and one of X "
                f"{arrays['X'].shape[1:]}: give all the same"
            )
    for key, array in arrays.items():
        tidy = _rows if key.startswith("X") else _labels
        arrays[key] = tidy(f"{path}: {key}", array)
    num_classes = _num_classes(path, arrays)
    if "X_val" not in arrays:
        X, y = arrays["X"], arrays["y"]
        # Checked before rows change places, so that a message can name the row of the file.
        check_split(str(path), "X", X, "y", y, num_classes)
        start = _hold_out(path, X, y)
        arrays |= {"X": X[:start], "y": y[:start], "X_val": X[start:], "y_val": y[start:]}
    return Dataset(
        name=str(path),
        X_train=arrays["X"],
        y_train=arrays["y"],
        X_val=arrays["X_val"],
        y_val=arrays["y_val"],
        X_test=arrays.get("X_test"),
        y_test=arrays.get("y_test"),
        class_names=tuple(map(str, range(num_classes))),
        image_shape=image_shape,
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays named in `_KEYS`, as many as there are, and see that the needed ones are."""
    if not path.is_file():
        raise InputError(f"there is no file {path}: check the path of the .npz file")
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise zipfile.BadZipFile("no zip archive, or cut short")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                keys = sorted(archive.files)
                arrays = {key: np.asarray(archive[key]) for key in _KEYS if key in keys}
    except Exception as error:
        # Reading what a stranger wrote, numpy, zipfile and zlib raise a dozen kinds of exception.
        reason = textwrap.shorten(str(error), 300, placeholder="…") or type(error).__name__
        raise InputError(
            f"{path} cannot be read ({reason}): save number arrays with np.savez(FILE, X=X, y=y)"
        ) from error

    missing = {"X", "y"} - arrays.keys()
    for key in arrays:
        missing |= {key.replace("X", "y"), key.replace("y", "X")} - arrays.keys()
    if missing:
        there = ", ".join(map(ascii, keys)) or "nothing"
        raise InputError(
            f"{path} has no {' and no '.join(sorted(missing))}, only {there}: "
            "save X and y, with X_val and y_val or X_test and y_test if wanted"
        )
    misspelt = [key for key in keys if key.startswith(("X_", "y_")) and key not in _KEYS]
    if misspelt:
        raise InputError(
            f"{path} has {misspelt[0]!r}: rename or drop it, the known keys are {', '.join(_KEYS)}"
        )
    return arrays


def _image_shape(X: NDArray[Any]) -> tuple[int, int, int] | None:
    """Return (height, width, channels) if the samples of X look like images."""
    match X.shape:
        case (_, height, width):
            return height, width, 1
        case (_, height, width, (1 | 3 | 4) as channels):
            return height, width, channels
        case _:
            return None


def _rows(name: str, X: NDArray[Any]) -> NDArray[Any]:
    """Return X with one row for each sample, in the byte order of this machine."""
    if X.ndim < 2:
        raise InputError(f"{name} has shape {X.shape}: give at least two dimensions, samples first")
    rows = X.reshape(len(X), math.prod(X.shape[1:]))
    return np.asarray(rows, dtype=X.dtype.newbyteorder("="))


def _labels(name: str, y: NDArray[Any]) -> NDArray[np.int64]:
    """Return y, of shape (n,) or (n, 1) and any integer dtype, as (n,) ``int64``."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(
            f"{name} has shape {y.shape}: give one class number for each row, as y.argmax(axis=1) "
            "makes them from one-hot rows"
        )
    if y.dtype.kind not in "biu":
        raise InputError(f"{name} has dtype {y.dtype}: give class numbers, as y.astype(np.int64)")
    if y.size and y.max() > np.iinfo(np.int64).max:
        raise InputError(f"{name} has the label {y.max()}: number the classes from 0")
    return y.astype(np.int64)


def _num_classes(path: Path, arrays: dict[str, NDArray[Any]]) -> int:
    """Count the classes: the largest label plus one, but no more than there are labels."""
    labels = [y for key, y in arrays.items() if key.startswith("y") and len(y)]
    num_classes = 1 + max((int(y.max()) for y in labels), default=0)
    num_labels = sum(map(len, labels))
    if num_classes > max(num_labels, 1):
        # Not only useless: a stray label of a billion would ask for as large a network.
        raise InputError(
            f"{path}: the largest label is {num_classes - 1}, of only {num_labels} labels: "
            "number the classes from 0, for example y = np.unique(y, return_inverse=True)[1]"
        )
    return num_classes


def _hold_out(path: Path, X: NDArray[Any], y: NDArray[np.int64]) -> int:
    """Move a random tenth of the rows to the end, in place so that X never exists twice.

    Returns
    -------
    int
        The row at which they start.
    """
    if len(X) == 1:
        raise InputError(f"{path}: X has one row, which leaves none to train on: give at least two")
    start = len(X) - max(1, len(X) // 10)
    # RandomState, not Generator: NumPy promises that its stream never changes (NEP 19).
    chosen = np.random.RandomState(0).permutation(len(X))[start:]
    tail = np.arange(start, len(X))
    coming, going = np.setdiff1d(chosen, tail), np.setdiff1d(tail, chosen)
    for array in (X, y):
        array[coming], array[going] = array[going], array[coming]
    return start
