"""What of the data is out of scale, where training diverged: the targets or a feature, with their figures."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.data.feed import Feed
from xpnet.device import Device

__all__ = ["OutOfScale", "find"]

ROWS = 1000
"""Rows that are looked at."""

FAR = 100.0
"""Size, the root of the mean square, from which on numbers are out of scale."""


class OutOfScale(NamedTuple):
    """What is far from 1.

    Attributes
    ----------
    what
        The targets or the rows.
    figures
        In words.
    """

    what: Literal["y", "X"]
    figures: str


def find(device: Device, feed: Feed) -> OutOfScale | None:
    """Return what is out of scale as a network sees it, targets before rows; None if nothing is.

    Parameters
    ----------
    device
        Where the rows are; `Device.active` is the caller's to enter.
    feed
        The training rows.
    """
    count = min(ROWS, feed.X.shape[0])
    x, y = (device.to_host(a) for a in feed.rows(device.xp, device.put(np.arange(count))))
    if y.ndim > 1 and (figures := _figures(y, "y", "column")):
        return OutOfScale("y", figures)
    figures = _figures(x, "X", "feature")
    return OutOfScale("X", figures) if figures else None


def _figures(values: NDArray[Any], name: str, called: str) -> str:
    """Say mean and deviation of the column that is farthest from 1; nothing if none is far."""
    values = np.asarray(values, np.float64)
    unit = np.maximum(np.abs(values).max(axis=0), 1.0)  # squares of what is divided by it overflow nowhere
    size = np.sqrt(((values / unit) ** 2).mean(axis=0)) * unit
    worst = int(size.argmax())
    if not size[worst] > FAR:
        return ""
    part = values[:, worst] / unit[worst]
    mean, deviation = part.mean() * unit[worst], part.std() * unit[worst]
    where = name if len(size) == 1 else f"{called} {worst} of {name}"
    return f"{where} has a mean of {mean:.3g} and a deviation of {deviation:.3g}"
