"""What changes from step to step, as arrays: rows, rates, keys; drawn on the host, an epoch at a time."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.data.batches import draw_batches
from xpnet.data.feed import Feed
from xpnet.device import Device, dtype_name
from xpnet.errors import InputError
from xpnet.training.regime import Hyper, Regime
from xpnet.typing import Draws, Params, Random

__all__ = ["Sources", "draw_epoch"]

Sources: TypeAlias = Callable[[str, int], Random | Sequence[Random]]
"""``sources(stream, epoch)``: what ``"batches"``, ``"augment"``, ``"mixup"`` or ``"dropout"`` come from."""


def draw_epoch(
    device: Device,
    feed: Feed,
    regime: Regime,
    hyper: Hyper,
    params: Params,
    sources: Sources,
    epoch: int,
    begin: int,
    rates: NDArray[np.float64],
) -> Draws:
    """Draw on the host what the steps of an epoch take, and put it on the device.

    Parameters
    ----------
    device, feed, regime, hyper, params
        As for `xpnet.training.step.make_step`.
    sources
        Where it is drawn from.
    epoch, begin
        Number of the epoch and of its first step, from 0.
    rates
        Learning rates of its steps, ``(steps, *nets)``.

    Returns
    -------
    Draws
        With a leading axis of steps: ``index`` of each batch's rows, ``rate``, ``count`` of steps from 1
        and, where they are used, the keys ``augment`` and ``dropout`` and the share ``mix``.

    Raises
    ------
    InputError
        Not as many sources as networks.
    """
    nets, dtype = tuple(params["W1"].shape[:-2]), dtype_name(params["W1"])
    steps, rows = len(rates), feed.X.shape[0]

    def draw(stream: str, one: Callable[[Any], NDArray[Any]], shape: tuple[int, ...] = ()) -> NDArray[Any]:
        """Draw ``(steps, *shape)`` from one source, or ``(steps, *nets, *shape)`` from one a network."""
        source = sources(stream, epoch)
        if not isinstance(source, Sequence):
            return one(source)
        if len(source) != math.prod(nets):
            raise InputError(f"{len(source)} sources of {stream} for networks {nets}: give one each")
        return np.stack([one(each) for each in source], axis=1).reshape(steps, *nets, *shape)

    def keys(rng: np.random.Generator) -> NDArray[np.int32]:
        return rng.integers(-(2**31), 2**31, steps, dtype=np.int32)

    def batches(rng: Random) -> NDArray[np.int64]:
        return draw_batches(rng, rows, regime.batch_size, steps, regime.sampling)

    draws = {
        "index": device.put(draw("batches", batches, (regime.batch_size,))),
        "rate": device.put(rates, dtype),
        "count": device.put(np.arange(begin + 1, begin + steps + 1), dtype),
    }
    if feed.augmentation:
        draws["augment"] = device.put(draw("augment", keys))
    if hyper.uses("dropout") or hyper.uses("input_dropout"):
        draws["dropout"] = device.put(draw("dropout", keys))
    if regime.mixup:
        shares = draw("mixup", lambda rng: rng.beta(regime.mixup, regime.mixup, steps))
        draws["mix"] = device.put(shares, dtype)
    return draws
