"""Divergence: how to detect it, and which state to keep of a diverged network.

A step must not read its loss back, so a diverged network continues, with useless parameters, until the losses
of its epoch are checked. The state that is kept is the one at the start of an epoch with the lowest losses
just before and after it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.nn import losses
from xpnet.nn.mlp import MLP
from xpnet.training.evaluation import parts
from xpnet.training.regime import Regime
from xpnet.typing import Params, State

__all__ = ["Sane", "choose", "copy", "first_bad", "limits", "saner"]

LARGEST_WEIGHT = 1e3
"""Weights larger than this mean that the network itself causes a large loss, not an outlier row."""


class Sane(NamedTuple):
    """The best of the states at the start of an epoch.

    Attributes
    ----------
    state
        A copy of the state.
    value
        ``(*nets,)``: its loss, the higher of the mean loss of the epoch before and that of the first batch
        after.
    """

    state: State
    value: NDArray[np.float64]


def copy(device: Device, state: State) -> State:
    """Return a copy of a state, so that training can consume one of the two."""
    return {
        kind: {name: device.xp.asarray(value, copy=True) for name, value in arrays.items()}
        for kind, arrays in state.items()
    }


def saner(
    device: Device,
    sane: Sane | None,
    state: State,
    before: NDArray[Any] | float,
    after: NDArray[Any],
    running: NDArray[np.bool_],
) -> Sane:
    """Return the better of the best state so far and the state at the start of an epoch.

    Parameters
    ----------
    device
        The device of the states.
    sane
        The best so far; None in the first epoch.
    state
        The state at the start of the epoch; it is not copied.
    before, after
        ``(*nets,)``: the mean loss of the epoch before, and the loss of the first batch.
    running
        ``(*nets,)``: which networks are still trained; the others do not change.
    """
    value = np.maximum(np.asarray(before, np.float64), after)  # NaN if either is NaN
    value = np.where(np.isnan(value), np.inf, value)
    if sane is None:
        return Sane(state, value)
    better = running & (value < sane.value)
    if not better.any():
        return sane
    chosen = state if better.all() else choose(device, better, state, sane.state)
    return Sane(chosen, np.where(better, value, sane.value))


def first_bad(losses: NDArray[Any], most: NDArray[np.float64] | float = np.inf) -> NDArray[np.int64]:
    """Return the position, from 1, of the first bad loss in ``(steps, *nets)``; 0 if all are good.

    A loss is bad if it is not finite, or higher than ``most``, ``(*nets,)``.
    """
    bad = ~np.isfinite(losses) | (losses > most)
    if not bad.any():
        return np.zeros(losses.shape[1:], np.int64)
    return np.where(bad.any(axis=0), bad.argmax(axis=0) + 1, 0)


def limits(
    device: Device,
    mlp: MLP,
    params: Params,
    feed: Feed,
    regime: Regime,
    mean: NDArray[Any],
    first: NDArray[Any],
) -> NDArray[np.float64]:
    """Return the losses beyond which networks have diverged, ``(*nets,)``; infinity for those that have not.

    A network counts as diverged only if three things are true, so that no useful training is stopped. Its
    losses are far higher than the first one; that may have been low by chance, so they must also be far
    higher than the loss of scores of 0, which scales with the targets. And its weights are large: a single
    outlier row can make the loss large, too.

    Parameters
    ----------
    device, mlp, params, feed, regime
        As in `xpnet.training.loop.fit`.
    mean
        ``(*nets,)``: the mean loss of an epoch.
    first
        ``(*nets,)``: the loss of the very first step.
    """
    none = np.full(np.shape(mean), np.inf)
    if np.isinf(regime.explosion):
        return none
    unit, mean = np.asarray(first, np.float64), np.asarray(mean, np.float64)
    # NaN does not count here. Compute the rest only if there is reason to.
    if not (mean > regime.explosion * unit).any():
        return none
    if feed.own is None:
        nothing: Any = _loss_of_nothing(device, mlp, regime.loss, feed, params)
    else:
        each = [feed.of(device.xp, k) for k in range(len(unit))]
        nothing = [_loss_of_nothing(device, mlp, regime.loss, rows, params) for rows in each]
    unit = np.maximum(unit, nothing)
    far = (mean > regime.explosion * unit) & (unit > 0) & _has_exploded(device, mlp, params)
    return np.where(far, regime.explosion * unit, none)


def _has_exploded(device: Device, mlp: MLP, params: Params) -> NDArray[np.bool_]:
    """Return whether a network has weights far larger than any initial ones, ``(*nets,)``."""
    xp = device.xp
    largest = [xp.max(xp.abs(params[name]), axis=(-2, -1)) for name in mlp.weights]
    return np.asarray(np.asarray(device.to_host(xp.stack(largest))).max(axis=0) > LARGEST_WEIGHT)


def _loss_of_nothing(device: Device, mlp: MLP, kind: str, feed: Feed, params: Params) -> float:
    """Return the loss of a network whose scores are all 0, on the training rows.

    It is the natural unit of the loss: for squared errors, for example, half the mean square of the targets.
    """
    xp, y, find_loss = device.xp, feed.y, losses.find(kind)
    bias = params[f"b{mlp.depth}"]
    if kind not in losses.OF_OUTPUTS:  # it is the same for all rows
        scores = xp.zeros((1, bias.shape[-1]), dtype=bias.dtype, device=getattr(bias, "device", None))
        return float(find_loss(xp, scores, y[:1])[0])
    total, counted = 0.0, 0.0
    for part in parts(y.shape[0]):
        target, weight = y[part, ...], None if feed.weight is None else feed.weight[part]
        total += target.shape[0] * float(find_loss(xp, xp.zeros_like(target), target, weight)[0])
        counted += float(target.shape[0] if weight is None else xp.sum(weight))
    return total / counted if counted else 0.0


def choose(device: Device, mask: NDArray[np.bool_], yes: State, no: State) -> State:
    """Return, for each network, a copy of its state in ``yes`` if ``mask`` is set, else of that in ``no``."""
    xp = device.xp
    on_device = {n: device.put(mask.reshape(mask.shape + (1,) * n)) for n in (1, 2)}
    return {
        kind: {
            name: xp.where(on_device[value.ndim - mask.ndim], value, no[kind][name])
            for name, value in arrays.items()
        }
        for kind, arrays in yes.items()
    }
