"""`Dataset`: checked arrays with their description."""

import html
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import Columns
from xpnet.datasets.checks import check_split, check_weights
from xpnet.datasets.stored import PART, Stored, picked
from xpnet.errors import InputError
from xpnet.text import printable
from xpnet.typing import Task

_MOST_NAMES, _LONGEST_NAME = 10, 20
"""Maximum number of class names that a data set shows, and maximum length of each."""


@dataclass(frozen=True, eq=False, repr=False)  # eq: comparing arrays gives arrays, not a truth value
class Dataset:
    """Samples with targets on the host, in two or three splits.

    Every X is 2-D, with one row per sample, in its stored dtype: images stay ``uint8``, a quarter of their
    ``float32`` size. The form of y depends on the task: class numbers from 0 on, ``int64`` (n,), or a smaller
    dtype if X is on disk; 0 or 1 for each label, ``uint8`` (n, labels); or numbers to predict, ``float64``
    (n, outputs).

    Parameters
    ----------
    name : str
        Name of the data set in messages and summaries.
    X_train, y_train : ndarray, shape (num_train, num_features) and (num_train, ...)
        Training rows. Here and below, X may be a `xpnet.datasets.stored.Stored`: rows on disk.
    X_val, y_val : ndarray, shape (num_val, num_features) and (num_val, ...)
        Validation rows, for choosing hyper-parameters and early stopping.
    X_test, y_test : ndarray or None, shape (num_test, num_features) and (num_test, ...)
        Test rows, evaluated once at the end; None if there are none.
    class_names : tuple of str
        Names of the classes, labels or outputs.
    image_shape : (int, int, int), optional
        Height, width and channels if the rows are images, else None.
    task : {"classification", "multilabel", "regression"}
        The task.
    labels : tuple, optional
        Labels of the classes in the user's y, in the order of class numbers; None if they are the class
        numbers.
    weight_train, weight_val : ndarray of float64, optional, shape (num_train,) and (num_val,)
        Weights of the rows. Rows of weight 0 are skipped, whatever they hold.
    columns : Columns, optional
        Columns of the table that X was made from; X may then hold NaN for missing values.
    target : tuple of str
        Target columns of the table; empty if y was given separately.
    held_out : ndarray of int64, optional, shape (num_val,)
        Number of each validation row among the user's own, from 0, if they were held out of these.

    Raises
    ------
    InputError
        If an array is empty, has the wrong number of dimensions or dtype, differs in length from
        its partner or in features from the training split, holds NaN or infinity, labels outside
        the classes or weights below 0. The message names the array and its first offending row.
    """

    name: str
    X_train: Any
    y_train: NDArray[Any]
    X_val: Any
    y_val: NDArray[Any]
    X_test: Any
    y_test: NDArray[Any] | None
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None = None
    task: Task = "classification"
    labels: tuple[Any, ...] | None = None
    weight_train: NDArray[np.float64] | None = None
    weight_val: NDArray[np.float64] | None = None
    columns: Columns | None = None
    target: tuple[str, ...] = ()
    held_out: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check the splits, each by itself and against the others."""
        check_task(self.name, self.task)
        if self.labels is not None:
            self._check_labels(self.labels)
        for split in ("train", "val", "test"):
            X, y = getattr(self, f"X_{split}"), getattr(self, f"y_{split}")
            if split == "test" and X is None and y is None:
                continue
            gaps = self.columns is not None
            check_split(self.name, f"X_{split}", X, f"y_{split}", y, self.task, self.num_outputs, gaps)
            if X.shape[1] != self.num_features:
                raise InputError(
                    f"{self.name}: X_{split} has {X.shape[1]} features, but X_train has "
                    f"{self.num_features}: give all splits the same columns"
                )
            weights = getattr(self, f"weight_{split}", None)  # the test set has none
            if weights is not None:
                check_weights(f"{self.name}: weight_{split}", weights, len(X))
        if self.image_shape is not None and math.prod(self.image_shape) != self.num_features:
            raise InputError(
                f"{self.name}: image_shape {self.image_shape} does not multiply to "
                f"{self.num_features} features: correct it or leave it out"
            )
        for split in ("train", "val"):
            self._leave_out_of_weight_0(split)
        if self.columns is not None and len(self.columns.columns) != self.num_features:
            raise InputError(
                f"{self.name}: {len(self.columns.columns)} columns are described, but X_train has "
                f"{self.num_features}: give one description each"
            )

    def _leave_out_of_weight_0(self, split: str) -> None:
        """Leave out rows of weight 0: they do not affect the loss, but would affect everything else."""
        weights = getattr(self, f"weight_{split}")
        if weights is None or weights.all():
            return
        for name in ("X", "y", "weight"):
            object.__setattr__(self, f"{name}_{split}", picked(getattr(self, f"{name}_{split}"), weights > 0))
        if split == "val" and self.held_out is not None:
            object.__setattr__(self, "held_out", self.held_out[weights > 0])

    def _check_labels(self, labels: tuple[Any, ...]) -> None:
        if self.task != "classification":
            raise InputError(
                f"{self.name}: labels apply to classification only: leave them out of {self.task}"
            )
        if len(labels) != self.num_classes or len(set(labels)) != len(labels):
            raise InputError(
                f"{self.name}: labels has {len(set(labels))} distinct values for {self.num_classes} "
                "classes: give each class its own"
            )

    def checksum(self) -> str:
        """Return the CRC-32 of the training and validation rows, to recognise the data."""
        crc = 0
        for rows in (self.X_train, self.y_train, self.X_val, self.y_val, self.weight_train, self.weight_val):
            if isinstance(rows, Stored):
                crc = rows.crc32(crc)
            elif rows is not None:
                whole = np.int64 if rows is self.y_train and rows.dtype.kind == "i" else rows.dtype
                for begin in range(0, len(rows), PART):  # independent of the dtype that stores classes
                    part = np.ascontiguousarray(rows[begin : begin + PART], whole)
                    crc = zlib.crc32(part.data, crc)
        return f"{crc:08x}"

    @property
    def num_features(self) -> int:
        """Length of a row of X."""
        return int(self.X_train.shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes; labels are 0 to ``num_classes - 1``."""
        return len(self.class_names)

    @property
    def num_outputs(self) -> int:
        """Number of classes, of labels, or of numbers to predict."""
        return len(self.class_names)

    def __repr__(self) -> str:
        splits = (f"\n  {split + ':':<6} X {X}, y {y}" for split, X, y in self._splits())
        return f"Dataset {self.name!r}: {self.summary()}{''.join(splits)}"

    def _repr_html_(self) -> str:
        """Return a table, for a notebook."""
        caption = html.escape(f"{printable(self.name)}: {self.summary()}")
        rows = ("".join(f"<td>{cell}</td>" for cell in split) for split in self._splits())
        return (
            f"<table><caption>{caption}</caption><tr><th>split</th><th>X</th><th>y</th></tr>"
            f"{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        )

    def summary(self) -> str:
        """Return the task, the names of classes, labels or outputs, and the shape of images."""
        names = [printable(name)[:_LONGEST_NAME] for name in self.class_names[:_MOST_NAMES]]
        names += ["…"] if self.num_outputs > _MOST_NAMES else []
        one, more = {
            "classification": ("class", "classes"),
            "multilabel": ("label", "labels"),
            "regression": ("output", "outputs"),
        }[self.task]
        noun = one if self.num_outputs == 1 else more
        image = f", images of {'×'.join(map(str, self.image_shape))}" if self.image_shape else ""
        return f"{self.task}, {self.num_outputs} {noun} ({', '.join(names)}){image}"

    def _splits(self) -> Iterator[tuple[str, str, str]]:
        """Yield the name of each split, and descriptions of its X and y."""
        for split in ("train", "val", "test"):
            X, y = getattr(self, f"X_{split}"), getattr(self, f"y_{split}")
            if X is not None:
                weighted = ", weighted" if getattr(self, f"weight_{split}", None) is not None else ""
                where = " on disk" if isinstance(X, Stored) else ""
                yield split, f"{X.shape} {X.dtype}{where}", f"{y.shape} {y.dtype}{weighted}"


def check_task(dataset: str, task: str) -> None:
    """Raise InputError for an unknown task."""
    if task not in get_args(Task):
        raise InputError(f"{dataset}: unknown task {task!r}: use {', '.join(get_args(Task))}")
