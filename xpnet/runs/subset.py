"""``--train-rows``: a random subset of the training rows."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets import Dataset
from xpnet.datasets.stored import picked
from xpnet.errors import InputError
from xpnet.runs.config import Config

__all__ = ["count_of", "drawn_by", "subset_of"]

STREAM = 6
"""Random stream of the subset, after those of the weights, the steps and the bootstrap samples."""


def drawn_by(config: Config) -> tuple[int, int] | None:
    """Return what identifies the subset of some settings: number of rows and seed; None for all rows.

    Networks with different subsets cannot share a stack, because the preprocessing is fitted to each subset.
    """
    return None if config.train_rows is None else (config.train_rows, config.seed)


def count_of(config: Config, num_rows: int) -> int:
    """Return the number of training rows in use.

    Raises
    ------
    InputError
        If ``train_rows`` is more than there are.
    """
    count = config.train_rows
    if count is not None and count > num_rows:
        raise InputError(
            f"--train-rows {count} is more than the {num_rows} training rows: give {num_rows} or less"
        )
    return num_rows if count is None else count


def subset_of(config: Config, data: Dataset) -> Dataset:
    """Return the data set with only the subset of training rows that the settings ask for.

    The order is kept, and so are the validation and test rows. With the same seed, a smaller subset is part
    of a larger one. The subset is stratified: each class has its share of the rows, and at least one if there
    are as many rows as classes. A data set that is a subset already is returned unchanged.

    Raises
    ------
    InputError
        If ``train_rows`` is more than there are.
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

    Classes take turns by the method of Huntington and Hill, as states get seats in the US House of
    Representatives: row ``k + 1`` of a class of ``n`` comes at ``√(k (k + 1)) / n``. So a subset of any size
    has each class in its rounded share, every class has one row before any has two, and larger subsets
    contain smaller ones.
    """
    # RandomState, not Generator: NumPy promises that its stream never changes (NEP 19).
    bits = np.random.MT19937(np.random.SeedSequence(seed, spawn_key=(STREAM,)))
    shuffled = np.random.RandomState(bits).permutation(len(data.X_train))
    if data.task != "classification":
        return shuffled
    classes = data.y_train[shuffled]
    sizes = np.bincount(classes)
    by_class = np.argsort(classes, kind="stable")
    before = np.empty(len(classes))  # for each row, the number of earlier rows of its class
    before[by_class] = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = np.sqrt(before * (before + 1)) / sizes[classes]
    # Ties go to the larger class, then to the shuffled order.
    return shuffled[np.lexsort((-sizes[classes], turn))]
