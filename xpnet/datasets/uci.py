"""Handwritten digits, shipped with the package; NOTICE.txt beside this file names their source."""

from importlib import resources

import numpy as np

from xpnet.datasets.base import Dataset

_NUM_TRAIN, _NUM_VAL = 1297, 200  # of 1,797; the other 300 are the test set


def digits() -> Dataset:
    """Load the 1,797 handwritten digits of UCI and scikit-learn.

    They are images of 8 by 8 pixels with values 0 to 16, in ten classes: 1,297 for training, 200 for
    validation and 300 for testing. The split is always the same, whatever the seed of a run, so that
    accuracies of different runs can be compared.

    Returns
    -------
    Dataset
        X is ``uint8`` of shape (n, 64).
    """
    with resources.files(__package__).joinpath("digits.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        X, y = arrays["X"], arrays["y"].astype(np.int64)
    # RandomState, not Generator: NumPy promises that its stream never changes (NEP 19).
    order = np.random.RandomState(0).permutation(len(X))
    train, val, test = np.split(order, [_NUM_TRAIN, _NUM_TRAIN + _NUM_VAL])
    return Dataset(
        name="digits",
        X_train=X[train],
        y_train=y[train],
        X_val=X[val],
        y_val=y[val],
        X_test=X[test],
        y_test=y[test],
        class_names=tuple("0123456789"),
        image_shape=(8, 8, 1),
    )
