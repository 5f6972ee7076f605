"""What a network is worth: loss and accuracy on many rows, and averaged probabilities."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from xpnet.device import Device
from xpnet.nn import backprop, losses
from xpnet.nn.mlp import MLP
from xpnet.typing import Array, Namespace, Params

__all__ = ["EVALUATION_ROWS", "evaluate", "hits", "probabilities"]

EVALUATION_ROWS = 1000
"""Rows scored at once: what bounds the memory of an evaluation."""


def evaluate(
    xp: Namespace,
    mlp: MLP,
    params: Params,
    X: Array,
    y: Array,
    reg: Array | float = 0.0,
    kind: str = "cross-entropy",
) -> tuple[Array, Array]:
    """Return the regularised loss and the accuracy on all rows of ``X``.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    mlp, params
        The network, or a stack.
    X, y
        ``(rows, features)`` as the network takes them, and ``(rows,)``; or with leading axes ``*nets``.
    reg
        As for `xpnet.nn.backprop.penalty`.
    kind
        Name in `xpnet.nn.losses.LOSSES`.

    Returns
    -------
    loss, accuracy : Array
        ``(*nets,)`` each; the accuracy is a fraction.
    """
    rows = y.shape[-1]
    loss: Array | float = 0.0
    correct: Array | float = 0.0
    for part in _parts(rows):
        scores, target = backprop.scores(xp, mlp, params, X[..., part, :]), y[..., part]
        mean_loss, _ = losses.LOSSES[kind](xp, scores, target)
        hits = xp.astype(xp.argmax(scores, axis=-1) == target, scores.dtype)
        loss = loss + mean_loss * (target.shape[-1] / rows)
        correct = correct + xp.sum(hits, axis=-1)
    return loss + backprop.penalty(xp, mlp, params, reg), correct / rows


def probabilities(
    device: Device,
    mlp: MLP,
    params: Params,
    X: Any,
    prepare: Callable[[Array], Array],
    views: Callable[[Array], Iterable[Array]],
) -> Iterator[Array]:
    """Yield the probabilities of raw rows, part by part, averaged over the views of each row.

    Parameters
    ----------
    device
        Where to compute; `Device.active` is the caller's to enter.
    mlp, params
        The network, or a stack.
    X
        Raw rows ``(rows, features)``, on the host or the device.
    prepare
        From raw rows to those that the network takes.
    views
        Of raw rows, the versions whose probabilities are averaged.

    Yields
    ------
    Array
        ``(*nets, part of rows, classes)``, on the device.
    """
    xp = device.xp
    for part in _parts(X.shape[0]):
        of_views = [
            losses.softmax(xp, backprop.scores(xp, mlp, params, prepare(view)))
            for view in views(device.put(X[part, ...]))
        ]
        yield sum(of_views[1:], of_views[0]) / len(of_views)


def hits(device: Device, of_parts: Iterable[Array], y: Any) -> Array:
    """Return the number of rows whose most probable class is their label.

    Parameters
    ----------
    device
        Where the probabilities are.
    of_parts
        From `probabilities`: ``(*nets, part of rows, classes)`` each.
    y
        Labels ``(rows,)``, at least one, on the host or the device.

    Returns
    -------
    Array
        ``(*nets,)``, on the device: integers, since a quotient would be as coarse as the probabilities.
    """
    xp = device.xp
    done: int = 0
    count: Array | int = 0
    for P in of_parts:
        target = device.put(y[done : done + P.shape[-2]])
        count = count + xp.sum(xp.astype(xp.argmax(P, axis=-1) == target, xp.int64), axis=-1)
        done += P.shape[-2]
    return count


def _parts(rows: int) -> Iterator[slice]:
    for start in range(0, rows, EVALUATION_ROWS):
        yield slice(start, min(start + EVALUATION_ROWS, rows))
