"""What changes from step to step (rows, rates, keys), drawn on the host as arrays for a whole epoch."""

from __future__ import annotations  # else those of inner functions are evaluated in every epoch

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.data.ahead import Ahead
from xpnet.data.batches import draw_batches
from xpnet.data.feed import Feed
from xpnet.device import Device, dtype_name
from xpnet.errors import InputError
from xpnet.training.regime import Hyper, Regime
from xpnet.typing import Array, Draws, Params, Random

__all__ = ["Sources", "draw_epoch"]

Sources: TypeAlias = Callable[[str, int], Random | Sequence[Random]]
"""``sources(stream, epoch)``: the source of ``"batches"``, ``"augment"``, ``"mixup"`` or ``"dropout"``."""


def draw_epoch(
    device: Device,
    feed: Feed,
    regime: Regime,
    hyper: Hyper,
    params: Params,
    sources: Sources,
    epoch: int,
    begin: int,
    by_step: Mapping[str, NDArray[np.float64]],
    filled: bool = False,
) -> list[Draws]:
    """Draw the arguments of an epoch's steps on the host, and put them on the device.

    Parameters
    ----------
    device, feed, regime, hyper, params
        As for `xpnet.training.step.make_step`.
    sources
        The sources of randomness.
    epoch, begin
        The number of the epoch, and the number of updates before its first step.
    by_step
        The values of a `xpnet.training.schedules.Schedule` for its steps, such as ``rate``, ``(steps,
        *nets)``.
    filled
        Whether to fill the last batch up to the size of the others, see `xpnet.data.batches.draw_batches`.

    Returns
    -------
    list of Draws
        A table for each batch size, in order (`xpnet.data.batches.draw_batches`), with a leading axis of
        steps: the ``index`` of each batch's rows, the ``count`` of steps from 1, the values in ``by_step``
        and, if they are used, the keys ``augment`` and ``dropout`` and the share ``mix``. For rows on disk,
        also ``rows``, which are read ahead; if several processes share a batch, only those of this process.

    Raises
    ------
    InputError
        The number of sources is not the number of networks.
    """
    nets, dtype = tuple(params["W1"].shape[:-2]), dtype_name(params["W1"])
    steps, rows = len(by_step["rate"]), feed.num_rows

    def draw(stream: str, one: Callable[[Any], list[NDArray[Any]]]) -> list[NDArray[Any]]:
        """Draw tables ``(steps, …)`` from a single source, or ``(steps, *nets, …)`` from one per network."""
        source = sources(stream, epoch)
        if not isinstance(source, Sequence):
            return one(source)
        if len(source) != math.prod(nets):
            raise InputError(f"{len(source)} sources of {stream} for networks {nets}: give one for each")
        together = [np.stack(tables, axis=1) for tables in zip(*map(one, source), strict=True)]
        return [table.reshape(len(table), *nets, *table.shape[2:]) for table in together]

    def keys(rng: np.random.Generator) -> list[NDArray[np.int32]]:
        return [rng.integers(-(2**31), 2**31, steps, dtype=np.int32)]

    def shares(rng: np.random.Generator) -> list[NDArray[np.float64]]:
        return [rng.beta(regime.mixup, regime.mixup, steps)]

    def indices_of(rng: Random) -> list[NDArray[np.signedinteger[Any]]]:
        of_index = np.int32 if feed.on_disk and rows < 2**31 else np.int64
        return draw_batches(
            rng, rows, regime.batch_size, steps, regime.sampling, filled, feed.blocks, feed.buffer, of_index
        )

    tables = draw("batches", indices_of)
    floats = dict(by_step) | {"count": np.arange(begin + 1, begin + steps + 1)}
    if regime.mixup:
        (floats["mix"],) = draw("mixup", shares)
    draws = {name: device.put(values, dtype) for name, values in floats.items()}
    if feed.augmentation:
        draws["augment"] = device.put(draw("augment", keys)[0])
    if hyper.uses("dropout") or hyper.uses("input_dropout"):
        draws["dropout"] = device.put(draw("dropout", keys)[0])
    indices = [feed.index(device.xp, device.put(table)) for table in tables]
    batches = [{"index": index} for index in indices]
    if feed.on_disk:
        batches = [of | {"rows": Ahead(feed.X, _to_read(device, of["index"]))} for of in batches]
    if len(tables) == 1:
        return [draws | batches[0]]
    full = len(tables[0])
    return [
        {name: values[part, ...] for name, values in draws.items()} | of
        for part, of in zip((slice(full), slice(full, None)), batches, strict=True)
    ]


def _to_read(device: Device, index: Array) -> NDArray[np.signedinteger[Any]]:
    """Return the row numbers of this process's share of each batch, on the host."""
    if device.team is not None:
        index = device.team.share(index.shape[-1]).of(index)
    found: NDArray[np.signedinteger[Any]] = device.to_host(index)
    return found
