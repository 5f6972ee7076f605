"""Predictions of a trained network for raw rows, averaged over their views, and their score."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data.weights import unit_of
from xpnet.device import Device
from xpnet.nn import backprop, losses
from xpnet.nn.mlp import MLP
from xpnet.training.evaluation import parts, r_squared
from xpnet.training.measures import right
from xpnet.typing import Array, Params

__all__ = ["predictions", "score"]


def predictions(
    device: Device,
    mlp: MLP,
    params: Params,
    X: Any,
    prepare: Callable[[Array], Array],
    views: Callable[[Array], Iterable[Array]],
    output: str = "softmax",
) -> Iterator[Array]:
    """Yield predictions for raw rows, part by part, averaged over the views of each row.

    Parameters
    ----------
    device
        The device to compute on. Iterate inside `Device.active`.
    mlp, params
        The network, or a stack.
    X
        Raw rows ``(rows, features)``: an array on the host or the device, or a SciPy sparse matrix.
    prepare
        Preprocessing of raw rows.
    views
        Function from raw rows to the views over which predictions are averaged.
    output
        Name in `xpnet.nn.losses.OUTPUTS` of the function from scores to predictions.

    Yields
    ------
    Array
        ``(*nets, part of rows, outputs)``, on the device.
    """
    activate = losses.OUTPUTS[output]
    for part in parts(X.shape[0]):
        rows = X[part].toarray() if hasattr(X, "toarray") else X[part, ...]
        of_views = [
            activate(device.xp, backprop.scores(device.xp, mlp, params, prepare(view)))
            for view in views(device.put(rows))
        ]
        yield sum(of_views[1:], of_views[0]) / len(of_views) if of_views[1:] else of_views[0]


def score(
    device: Device,
    of_parts: Iterable[Array],
    y: Any,
    output: str = "softmax",
    weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the score of predictions.

    Parameters
    ----------
    device
        The device of the predictions.
    of_parts
        Results of `predictions`, ``(*nets, part of rows, outputs)`` each.
    y
        Labels ``(rows,)``, or ``(rows, outputs)``, on the host or the device; at least one row.
    output
        As for `predictions`.
    weight
        Weights of the rows ``(rows,)``, on the host; None for all the same.

    Returns
    -------
    ndarray
        ``(*nets,)``, on the host, in float64; a division on the device would lose precision.
    """
    weight = None if weight is None else weight / unit_of(weight)  # so that their sum does not overflow
    y = y if isinstance(y, np.ndarray) else device.to_host(y)
    done, sums = 0, np.zeros(())
    for part in of_parts:
        P = device.to_host(part)
        rows = slice(done, done + P.shape[-2])
        done, target = rows.stop, y[rows]
        by = 1.0 if weight is None else weight[rows]
        if output in losses.NUMBERS:
            distance = np.asarray(P, np.float64) - target
            sums = sums + (distance * distance * np.asarray(by)[..., None]).sum(axis=-2)
            continue
        if output == "logistic" and target.ndim == 1:  # two classes with one output
            target = target[:, None]
        sums = sums + (right(target, P) * by).sum(axis=-1)
    if output in losses.NUMBERS:
        return np.asarray(r_squared(np, sums, np.asarray(y, np.float64), weight))
    return np.asarray(sums / (done if weight is None else weight.sum()))
