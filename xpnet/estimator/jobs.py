"""The stages of a fit, as plain data: checked rows, what is ready to train, and what is being trained."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device
from xpnet.estimator.notes import Notes
from xpnet.nn.mlp import MLP
from xpnet.training.result import Fit
from xpnet.training.together import Job

__all__ = ["Begun", "Order", "Ready", "Rows", "Share", "Streams"]


class Rows(NamedTuple):
    """Checked rows on the host, dense or sparse, with their targets and weights."""

    X: Any
    target: NDArray[Any]
    weight: NDArray[np.float64] | None


class Ready(NamedTuple):
    """What to train, after all checks.

    Attributes
    ----------
    device, mlp
        The device and the network.
    rows, validation
        Training rows, and validation rows, if any.
    batch_size
        Rows in a batch.
    incremental
        Whether this is for ``partial_fit``.
    """

    device: Device
    mlp: MLP
    rows: Rows
    batch_size: int
    validation: Rows | None
    incremental: bool


class Share(NamedTuple):
    """What an estimator contributes to joint training.

    Attributes
    ----------
    job, device
        Its networks, and the device to train them on.
    take
        Function that takes the result, and the seconds that training took.
    ready
        What was ready for training, and the estimator's attributes at that time, for estimators that start
        alike.
    """

    job: Job
    device: Device
    take: Callable[[Fit, float], None]
    ready: "tuple[Ready, dict[str, Any]] | None" = None


class Begun(NamedTuple):
    """A fit that is ready to train, in batches.

    Attributes
    ----------
    job
        The networks to train.
    device
        The device.
    notes
        Records each epoch.
    per_epoch
        Steps per epoch.
    incremental
        Whether this is for ``partial_fit``.
    """

    job: Job
    device: Device
    notes: Notes
    per_epoch: int
    incremental: bool


class Streams:
    """The random streams of a network: the order of its rows, and its noise, if any.

    Parameters
    ----------
    order
        Source of the order of the rows.
    noise
        Source from which all other streams are drawn, one after the other.
    takes
        The other streams that the network uses when it is trained alone.
    """

    def __init__(self, order: "Order", noise: np.random.Generator | None, takes: Collection[str]) -> None:
        self._order, self._noise, self._takes = order, noise, takes

    def __call__(self, stream: str, _epoch: int) -> Any:
        """Return the source of a stream.

        In a stack, a network also draws from streams that it does not use alone. That must not change its own
        streams.
        """
        if stream == "batches":
            return self._order
        if self._noise is None or stream not in self._takes:
            return np.random.default_rng(0)
        return self._noise


class Order:
    """scikit-learn's order of rows: each epoch shuffles the order of the previous one, or none does."""

    def __init__(self, rng: Any, rows: int, shuffles: bool) -> None:
        self._rng, self._shuffles, self._order = rng, shuffles, np.arange(rows)

    def permutation(self, rows: int) -> NDArray[np.int64]:
        """Return the row numbers in the order of an epoch."""
        if self._shuffles:
            self._order = self._order[self._rng.permutation(rows)]
        return self._order
