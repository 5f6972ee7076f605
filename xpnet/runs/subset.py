"""The training rows that settings train on: all, or some of them, drawn by the seed."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets import Dataset
from xpnet.datasets.stored import picked
from xpnet.errors import InputError
from xpnet.runs.config import Config

__all__ = ["count_of", "drawn_by", "subset_of"]

STREAM = 6
"""Of the seed, what the rows are drawn from: after those of weights, of what steps draw, and of bags."""


def drawn_by(config: Config) -> tuple[int, int] | None:
    """Return what tells the rows of some settings from those of others: number and seed; None for all rows.

    Networks of different ones share no stack, as the preprocessing is fitted to the rows of each.
    """
    return None if config.train_rows is None else (config.train_rows, config.seed)


def count_of(config: Config, num_rows: int) -> int:
    """Return how many of the training rows that there are settings train on.

    Raises
    ------
    InputError
        They ask for more.
    """
    count = config.train_rows
    if count is not None and count > num_rows:
        raise InputError(
            f"--train-rows {count} is more than the {num_rows} training rows: give {num_rows} or less"
        )
    return num_rows if count is None else count


def subset_of(config: Config, data: Dataset) -> Dataset:
    """Return a data set with the training rows that settings ask for, as if it had no others.

    They keep their order, and the rows to validate and to test on stay. Of one seed, the rows of a small
    subset are among those of a larger one. Of classes each has its share of the rows, and at least one if
    there are as many rows as classes. A data set that is cut already stays as it is.

    Raises
    ------
    InputError
        They ask for more rows than there are.
    """
    count, there_are = count_of(config, len(data.X_train)), len(data.X_train)
    if count == there_are:
        return data
    rows = np.sort(_order(data, config.seed)[:count])
    weight = data.weight_train
    return replace(
        data,
        X_train=picked(data.X_train, rows),
        y_train=data.y_train[rows],
        weight_train=None if weight is None else weight[rows],
    )


def _order(data: Dataset, seed: int) -> NDArray[np.int64]:
    """Return the numbers of the training rows in the order in which a subset takes them.

    Classes take turns as states get seats in the US House of Representatives, by the method of Huntington and
    Hill: row ``k + 1`` of a class of ``n`` comes at ``√(k (k + 1)) / n``. So of however many rows each class
    has its share, rounded, and one before any has two; and no row is given back for the next.
    """
    # RandomState, not Generator: NumPy promises that its stream never changes (NEP 19).
    bits = np.random.MT19937(np.random.SeedSequence(seed, spawn_key=(STREAM,)))
    shuffled = np.random.RandomState(bits).permutation(len(data.X_train))
    if data.task != "classification":
        return shuffled
    classes = data.y_train[shuffled]
    sizes = np.bincount(classes)
    by_class = np.argsort(classes, kind="stable")
    before = np.empty(len(classes))  # rows of its class before each
    before[by_class] = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = np.sqrt(before * (before + 1)) / sizes[classes]
    # Of rows whose turn it is at once first those of the larger class, else as they were shuffled.
    return shuffled[np.lexsort((-sizes[classes], turn))]
