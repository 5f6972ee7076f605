"""The best state so far, and when to stop waiting for a better one."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device
from xpnet.training import divergence
from xpnet.training.step import trained
from xpnet.typing import Params, State

__all__ = ["Best", "Epoch", "Patience", "Stopping", "improve"]


@dataclass(frozen=True)
class Best:
    """The best of a run so far, for each network by itself.

    Attributes
    ----------
    state
        All that training could go on from, on the device.
    value
        ``(*nets,)``: what is monitored, with its sign changed where less is better (`Watch.value` in
        `xpnet.training.monitors`); minus infinity if it was no number.
    epoch
        ``(*nets,)``: the epoch, from 0, that ended with it.
    """

    state: State = field(repr=False)
    value: NDArray[np.float64] = field(repr=False)
    epoch: NDArray[np.int64] = field(repr=False)

    @property
    def params(self) -> Params:
        """The parameters to evaluate."""
        return trained(self.state)


class Epoch(NamedTuple):
    """What an epoch measured, ``(*nets,)`` each.

    Attributes
    ----------
    number
        Of the epoch, from 0.
    train_loss, val_loss, val_score
        As in `xpnet.training.history.Row`; the last two NaN without validation rows.
    best
        The best so far; None where none is kept.
    value
        What is monitored, as in `Best`; None where nothing is.
    """

    number: int
    train_loss: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    val_score: NDArray[np.float64]
    best: Best | None
    value: NDArray[np.float64] | None = None


class Stopping(Protocol):
    """When to stop."""

    def ends(self, epoch: Epoch) -> NDArray[np.bool_]:
        """Return the networks ``(*nets,)`` that have been trained for long enough."""


class Patience:
    """Stop after so many epochs without a better value of what is monitored.

    Parameters
    ----------
    epochs
        How many; None never stops.
    """

    def __init__(self, epochs: int | None) -> None:
        self._epochs = epochs

    def ends(self, epoch: Epoch) -> NDArray[np.bool_]:
        """Return the networks that are out of patience."""
        if self._epochs is None or epoch.best is None:
            return np.zeros(np.shape(epoch.train_loss), np.bool_)
        return np.asarray(epoch.number - epoch.best.epoch >= self._epochs)


def improve(
    device: Device,
    best: Best | None,
    state: State,
    value: NDArray[np.float64],
    epoch: int,
    min_delta: float,
    running: NDArray[np.bool_],
) -> Best:
    """Return the better of the best so far and what an epoch ended with.

    Parameters
    ----------
    device
        Where the state is.
    best
        None in the first epoch.
    state, value, epoch
        As in `Best`, of this epoch; the state is copied.
    min_delta
        By how much a value has to be higher to count as better.
    running
        ``(*nets,)``: the networks that are still trained; of others nothing changes.
    """
    if best is None:
        known = running & ~np.isnan(value)
        copy = divergence.copy(device, state)
        return Best(copy, np.where(known, value, -np.inf), np.full(value.shape, epoch))
    better = running & (value > best.value + min_delta)
    if not better.any():
        return best
    if better.all():  # as of one network; to copy is less work
        chosen = divergence.copy(device, state)
    else:
        chosen = divergence.choose(device, better, state, best.state)
    return Best(chosen, np.where(better, value, best.value), np.where(better, epoch, best.epoch))
