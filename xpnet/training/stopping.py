"""Early stopping: the best state so far, and when to stop waiting for a better one."""

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
    """The best state of a run so far, for each network separately.

    Attributes
    ----------
    state
        Everything needed to continue training, on the device.
    value
        ``(*nets,)``: the monitored value, negated if lower is better (`Watch.value` in
        `xpnet.training.monitors`); minus infinity if it was NaN.
    epoch
        ``(*nets,)``: the epoch, counted from 0, at the end of which it was reached.
    """

    state: State = field(repr=False)
    value: NDArray[np.float64] = field(repr=False)
    epoch: NDArray[np.int64] = field(repr=False)

    @property
    def params(self) -> Params:
        """The parameters to evaluate."""
        return trained(self.state)


class Epoch(NamedTuple):
    """Measures of an epoch, ``(*nets,)`` each.

    Attributes
    ----------
    number
        Number of the epoch, from 0.
    train_loss, val_loss, val_score
        As in `xpnet.training.history.Row`; the last two NaN without validation rows.
    best
        The best state so far; None if none is kept.
    value
        The monitored value, as in `Best`; None without a monitor.
    """

    number: int
    train_loss: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    val_score: NDArray[np.float64]
    best: Best | None
    value: NDArray[np.float64] | None = None


class Stopping(Protocol):
    """A stopping rule."""

    def ends(self, epoch: Epoch) -> NDArray[np.bool_]:
        """Return which networks are to stop, ``(*nets,)``."""


class Patience:
    """Stop after a number of epochs without improvement of the monitored value.

    Parameters
    ----------
    epochs
        Number of epochs; None never stops.
    """

    def __init__(self, epochs: int | None) -> None:
        self._epochs = epochs

    def ends(self, epoch: Epoch) -> NDArray[np.bool_]:
        """Return which networks have run out of patience."""
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
    """Return the better of the best state so far and the state at the end of an epoch.

    Parameters
    ----------
    device
        The device of the state.
    best
        The best state so far; None in the first epoch.
    state, value, epoch
        As in `Best`, of this epoch; the state is copied.
    min_delta
        Smallest increase that counts as an improvement.
    running
        ``(*nets,)``: which networks are still trained; the others do not change.
    """
    if best is None:
        known = running & ~np.isnan(value)
        copy = divergence.copy(device, state)
        return Best(copy, np.where(known, value, -np.inf), np.full(value.shape, epoch))
    better = running & (value > best.value + min_delta)
    if not better.any():
        return best
    if better.all():  # as for a single network; a plain copy is less work
        chosen = divergence.copy(device, state)
    else:
        chosen = divergence.choose(device, better, state, best.state)
    return Best(chosen, np.where(better, value, best.value), np.where(better, epoch, best.epoch))
