"""The best parameters so far, and when to stop waiting for better ones."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device
from xpnet.training import divergence
from xpnet.typing import Params

__all__ = ["Best", "improve"]


@dataclass(frozen=True)
class Best:
    """The best of a run so far, for each network by itself.

    Attributes
    ----------
    params
        Parameters, on the device.
    value
        ``(*nets,)``: the validation accuracy, or the validation loss with its sign changed; minus infinity
        if it was no number.
    epoch
        ``(*nets,)``: the epoch, from 0, that ended with them.
    """

    params: Params = field(repr=False)
    value: NDArray[np.float64] = field(repr=False)
    epoch: NDArray[np.int64] = field(repr=False)


def improve(
    device: Device,
    best: Best | None,
    params: Params,
    value: NDArray[np.float64],
    epoch: int,
    min_delta: float,
    running: NDArray[np.bool_],
) -> Best:
    """Return the better of the best so far and what an epoch ended with.

    Parameters
    ----------
    device
        Where the parameters are.
    best
        None in the first epoch.
    params, value, epoch
        As in `Best`, of this epoch; the parameters are copied.
    min_delta
        By how much a value has to be higher to count as better.
    running
        ``(*nets,)``: the networks that are still trained; of others nothing changes.
    """
    if best is None:
        copy = divergence.copy(device, {"params": params})["params"]
        known = running & ~np.isnan(value)
        return Best(copy, np.where(known, value, -np.inf), np.full(value.shape, epoch))
    better = running & (value > best.value + min_delta)
    if not better.any():
        return best
    chosen = divergence.choose(device, better, {"params": params}, {"params": best.params})
    return Best(chosen["params"], np.where(better, value, best.value), np.where(better, epoch, best.epoch))
