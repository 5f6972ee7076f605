"""Find badly scaled targets or features after training has failed, and describe them with figures."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.nn import backprop, losses
from xpnet.nn.mlp import MLP
from xpnet.typing import Array, Params

__all__ = ["OutOfScale", "find", "find_if_useless"]

ROWS = 1000
"""Number of rows to check."""

NUMBERS = 2**24
"""Maximum number of values to check."""

FAR = 100.0
"""Root mean square above which numbers are out of scale."""

TINY = 1e-2
"""Standard deviation below which numbers are out of scale if all are like this: weights would have to be
huge."""

SOME = 64
"""Number of columns whose deviations are computed at a time."""

OFF = 5.0
"""If nothing was learnt: maximum distance of the targets' mean from 0, in standard deviations."""

HARDLY = 0.9
"""A network has learnt next to nothing if its loss is above this fraction of the best constant's."""


class OutOfScale(NamedTuple):
    """Numbers whose size is far from 1.

    Attributes
    ----------
    what
        The targets (``"y"``) or the rows (``"X"``).
    figures
        A description with figures.
    """

    what: Literal["y", "X"]
    figures: str


def find(device: Device, feed: Feed, tiny: bool = False) -> OutOfScale | None:
    """Return what is out of scale after preprocessing, targets before rows; None if nothing is.

    Parameters
    ----------
    device
        The device of the rows. Call this inside `Device.active`.
    feed
        The training rows.
    tiny
        Whether numbers that hardly vary are out of scale, too, and targets that hardly vary around a large
        mean.
    """
    x, y, _ = _some(device, feed)
    if y.ndim > 1 and (figures := _figures(y, "y", "column")):
        return OutOfScale("y", figures)
    if figures := _figures(x, "X", "feature"):
        return OutOfScale("X", figures)
    if tiny and y.ndim > 1 and (np.abs(y.mean(axis=0)) > OFF * y.std(axis=0)).any():
        return OutOfScale("y", _figures(y, "y", "column", far=0.0))
    if tiny and y.ndim > 1 and (figures := _tiny(y, "y", "columns")):
        return OutOfScale("y", figures)
    figures = _tiny(x, "X", "features") if tiny else ""
    return OutOfScale("X", figures) if figures else None


def find_if_useless(device: Device, mlp: MLP, params: Params, feed: Feed, loss: str) -> OutOfScale | None:
    """Return what is out of scale if the network predicts hardly better than a constant; else None.

    Parameters
    ----------
    device, feed
        As for `find`.
    mlp, params
        The trained network, or several, on the device.
    loss
        Name of the loss that was minimised.
    """
    wrong = find(device, feed, tiny=True)
    if wrong is None:
        return None
    x, y, weight = _some(device, feed)
    if not np.any(y.max(axis=0) > y.min(axis=0)) or (weight is not None and not weight.any()):
        return None
    find_loss = losses.find(loss)
    scores = backprop.scores(device.xp, mlp, params, device.put(x))
    found = np.asarray(device.to_host(scores), np.float64)
    constant = np.broadcast_to(_best_constant(y, weight, loss, found.shape[-1]), found.shape[-2:])
    least, _ = find_loss(np, constant, y, weight)
    reached, _ = find_loss(np, found, y, weight)
    return None if np.mean(reached) < HARDLY * least else wrong


def _some(device: Device, feed: Feed) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Return rows, targets and weights of an evenly spaced sample, on the host."""
    total, features = feed.X.shape
    count = min(ROWS, total, max(1, NUMBERS // max(1, features)))  # sparse rows become dense
    index = device.put(np.arange(count) * total // count)

    def host(array: Array) -> NDArray[Any]:
        values = device.to_host(array)
        return np.asarray(values, np.float64) if values.dtype.kind == "f" else np.asarray(values)

    x, y = feed.rows(device.xp, index)
    weight = feed.weights(device.xp, index)
    return device.to_host(x), host(y), None if weight is None else host(weight)


def _best_constant(
    y: NDArray[Any], weight: NDArray[Any] | None, loss: str, outputs: int
) -> NDArray[np.float64]:
    """Return the scores ``(outputs,)`` of the best network that predicts the same for every row."""
    if y.ndim == 1:
        shares = np.bincount(y, weight, outputs)
        return np.asarray(np.log(np.maximum(shares / shares.sum(), 1e-12)))
    mean = np.average(y, axis=0, weights=weight)
    if loss == "logistic":
        share = np.clip(mean, 1e-12, 1 - 1e-12)
        return np.asarray(np.log(share / (1 - share)))
    if losses.OUTPUT_OF[loss] == "exp":
        return np.asarray(np.log(np.maximum(mean, 1e-300)))
    return np.asarray(np.median(y, axis=0) if loss == "absolute-error" else mean)


def _tiny(values: NDArray[Any], name: str, called: str) -> str:
    """Describe how little the columns vary if all of them hardly do; else return ``""``."""
    columns, deviation = values.shape[1], 0.0
    for begin in range(0, columns, SOME):
        part = np.asarray(values[:, begin : begin + SOME], np.float64)
        deviation = np.maximum(deviation, part.std(axis=0).max())  # keeps NaN
        if not deviation < TINY:  # usually true for the first columns already
            return ""
    if not deviation > 0:
        return ""
    of = f"{name} has a deviation" if columns == 1 else f"the {called} of {name} have deviations"
    return f"{of} of {'' if columns == 1 else 'at most '}{deviation:.3g}"


def _figures(values: NDArray[Any], name: str, called: str, far: float = FAR) -> str:
    """Describe mean and deviation of the column farthest from 1; return ``""`` if none is far."""
    if not max(float(values.max()), -float(values.min())) > far:  # the usual case: no column can be larger
        return ""
    values = np.asarray(values, np.float64)
    unit = np.maximum(np.abs(values).max(axis=0), 1.0)  # divide by this so that squares do not overflow
    size = np.sqrt(((values / unit) ** 2).mean(axis=0)) * unit
    worst = int(size.argmax())
    if not size[worst] > far:
        return ""
    part = values[:, worst] / unit[worst]
    mean, deviation = part.mean() * unit[worst], part.std() * unit[worst]
    where = name if len(size) == 1 else f"{called} {worst} of {name}"
    return f"{where} has a mean of {mean:.3g} and a deviation of {deviation:.3g}"
