"""What a data set is, and the checks that every one of them passes."""

import math
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError

_CHUNK_ELEMENTS = 1 << 20  # of X looked at together: bounds the check's temporaries to 1 MiB


@dataclass(frozen=True, eq=False)  # eq: comparing arrays gives arrays, not a truth value
class Dataset:
    """Labelled samples on the host, in two or three splits.

    Every X is 2-D, a row a sample, in the dtype it is stored in: images stay ``uint8``, a fourth
    of their ``float32`` size. Every y holds the class of each row as ``int64``, from 0 on.

    Parameters
    ----------
    name : str
        What the data set is called in messages and summaries.
    X_train, y_train : ndarray, shape (num_train, num_features) and (num_train,)
        Samples to fit.
    X_val, y_val : ndarray, shape (num_val, num_features) and (num_val,)
        Samples to choose hyper-parameters by.
    X_test, y_test : ndarray or None, shape (num_test, num_features) and (num_test,)
        Samples to report on once at the end; both None if there are none.
    class_names : tuple of str
        The name of each class; their number bounds the labels.
    image_shape : (int, int, int), optional
        Height, width and channels of the image that a row holds; None for rows that are no image.

    Raises
    ------
    InputError
        If an array is empty, has the wrong number of dimensions or dtype, differs in length from
        its partner or in features from the training split, holds NaN or infinity, or labels
        outside the classes. The message names the array and its first offending row.
    """

    name: str
    X_train: NDArray[Any] = field(repr=False)
    y_train: NDArray[np.int64] = field(repr=False)
    X_val: NDArray[Any] = field(repr=False)
    y_val: NDArray[np.int64] = field(repr=False)
    X_test: NDArray[Any] | None = field(repr=False)
    y_test: NDArray[np.int64] | None = field(repr=False)
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        """Check the splits, each by itself and against the others."""
        for split in ("train", "val", "test"):
            X, y = getattr(self, f"X_{split}"), getattr(self, f"y_{split}")
            if split == "test" and X is None and y is None:
                continue
            check_split(self.name, f"X_{split}", X, f"y_{split}", y, self.num_classes)
            if X.shape[1] != self.num_features:
                raise InputError(
                    f"{self.name}: X_{split} has {X.shape[1]} features and X_train "
                    f"{self.num_features}: give all splits the same columns"
                )
        if self.image_shape is not None and math.prod(self.image_shape) != self.num_features:
            raise InputError(
                f"{self.name}: image_shape {self.image_shape} does not multiply to "
                f"{self.num_features} features: correct it or leave it out"
            )

    def checksum(self) -> str:
        """Return the CRC-32 of the training and validation rows: other data, another number."""
        crc = 0
        for rows in (self.X_train, self.y_train, self.X_val, self.y_val):
            crc = zlib.crc32(np.ascontiguousarray(rows).data, crc)
        return f"{crc:08x}"

    @property
    def num_features(self) -> int:
        """Length of a row of X."""
        return int(self.X_train.shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes; labels are 0 to ``num_classes - 1``."""
        return len(self.class_names)


def check_split(
    dataset: str,
    X_name: str,
    X: NDArray[Any],
    y_name: str,
    y: NDArray[np.int64],
    num_classes: int,
) -> None:
    """Check that X and y are samples and their labels.

    Parameters
    ----------
    dataset, X_name, y_name : str
        What to call the data set and its arrays in a message.
    X : ndarray, shape (num_samples, num_features)
        Finite real numbers.
    y : ndarray of int64, shape (num_samples,)
        Classes.
    num_classes : int
        Labels must be 0 to ``num_classes - 1``.

    Raises
    ------
    InputError
        If one of them is anything else, or they differ in length.
    """
    _check_samples(f"{dataset}: {X_name}", X)
    _check_labels(f"{dataset}: {y_name}", y, num_classes)
    if len(X) != len(y):
        raise InputError(
            f"{dataset}: {X_name} has {len(X)} rows and {y_name} {len(y)}: give each row one label"
        )


def _check_samples(name: str, X: object) -> None:
    if not isinstance(X, np.ndarray):
        raise InputError(f"{name} is of type {type(X).__name__}: give a NumPy array")
    if X.dtype.kind not in "biuf":
        raise InputError(f"{name} has dtype {X.dtype}: give real numbers, as X.astype(np.float32)")
    if X.ndim != 2:
        raise InputError(f"{name} has {X.ndim} dimensions: give two, with one row for each sample")
    if X.size == 0:
        raise InputError(f"{name} has shape {X.shape}: give at least one row and one column")
    row = _first_row_not_finite(X)
    if row is not None:
        raise InputError(
            f"{name} holds NaN or infinity in row {row}: "
            "drop such rows or replace the values, for example with np.nan_to_num"
        )


def _check_labels(name: str, y: object, num_classes: int) -> None:
    if not isinstance(y, np.ndarray) or y.dtype != np.int64:
        kind = y.dtype if isinstance(y, np.ndarray) else type(y).__name__
        raise InputError(f"{name} is of type {kind}: give a NumPy array of int64")
    if y.ndim != 1:
        raise InputError(f"{name} has {y.ndim} dimensions: give one, with one label for each row")
    outside = (y < 0) | (y >= num_classes)
    if outside.any():
        row = int(outside.argmax())
        raise InputError(
            f"{name} holds label {y[row]} in row {row}: "
            f"number the {num_classes} classes from 0 to {num_classes - 1}"
        )


def _first_row_not_finite(X: NDArray[Any]) -> int | None:
    """Index of the first row of X, shape (n, d), that holds NaN or infinity; None if none does."""
    if X.dtype.kind != "f":
        return None
    step = max(1, _CHUNK_ELEMENTS // X.shape[1])
    for start in range(0, len(X), step):
        finite = np.isfinite(X[start : start + step])
        if not finite.all():
            return start + int(finite.all(axis=1).argmin())
    return None
