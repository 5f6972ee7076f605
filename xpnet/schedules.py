"""Learning-rate schedules: an epoch's number in, its learning rate out."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["exponential"]


def exponential(epoch: int, learning_rate: ArrayLike, decay: ArrayLike) -> NDArray[np.float64]:
    """Return ``learning_rate * decay ** epoch``.

    Parameters
    ----------
    epoch
        Number of the epoch, from 0.
    learning_rate
        At epoch 0, a float or one per network.
    decay
        Factor from one epoch to the next, a float or one per network; 1 keeps the rate constant.

    Returns
    -------
    ndarray
        float64, in the broadcast shape of ``learning_rate`` and ``decay``.
    """
    return np.asarray(learning_rate, np.float64) * np.asarray(decay, np.float64) ** epoch
