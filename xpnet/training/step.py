"""One training step as a function of arrays: batch, forward, backward, update."""

from __future__ import annotations  # else those of inner functions are evaluated in every step

import math
from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import ArrayLike

from xpnet.data import feed as feeding
from xpnet.data.feed import Feed
from xpnet.device import Device, dtype_name, one_by_one
from xpnet.errors import InputError
from xpnet.nn import backprop, losses, norms, penalty, solvers
from xpnet.nn.composites import elementwise, whole
from xpnet.nn.mlp import MLP
from xpnet.training.regime import Hyper, Regime
from xpnet.typing import Advance, Array, Draws, EpochAdvance, Namespace, Params, Share, State, Step

__all__ = [
    "initial_state",
    "joined",
    "make_advance",
    "make_step",
    "per_network",
    "take_steps",
    "trained",
    "with_velocity",
]


TOGETHER = 1000
"""Number of losses on the host to join into one array: a single one has an overhead of 50 times its size."""


def initial_state(device: Device, params: Params, regime: Regime, hyper: Hyper) -> State:
    """Return the state before the first step: the parameters, and the initial state of solver and average."""
    xp = device.xp
    # The solver's state includes the statistics of a batch norm, but never uses them.
    state = {"params": params, **solvers.SOLVERS[regime.solver].init(xp, params)}
    if hyper.uses("ema"):
        state["average"] = {name: xp.asarray(value, copy=True) for name, value in params.items()}
    return state


def trained(state: State) -> Params:
    """Return the parameters to evaluate: their moving average, if there is one."""
    return state.get("average", state["params"])


def per_network(device: Device, params: Params, value: ArrayLike) -> Array:
    """Return one value, or one per network, as an array ``(*nets,)`` of the parameters' dtype."""
    W = params["W1"]
    return device.put(np.broadcast_to(np.asarray(value), tuple(W.shape[:-2])), dtype_name(W))


def make_advance(device: Device, feed: Feed, step: Step) -> Advance:
    """Return the device's fastest function for many steps with batches of one size; see `make_step`."""
    # Rows on the host are fetched during the steps, so the steps are not functions of device arrays only.
    return one_by_one(device, step) if feed.on_host else device.compile(step)


def make_step(device: Device, mlp: MLP, feed: Feed, regime: Regime, hyper: Hyper, params: Params) -> Step:
    """Return the training step: make a batch, forward, backward, update.

    The step is a pure function of arrays, except that it consumes the state it is given. It reads nothing
    back to the host and takes every value that changes as an array, so that a device may queue, capture or
    compile it. Techniques that no network uses are left out.

    If several processes train the network, all draw the same batches, and each computes its share of every
    batch. Gradients and loss are summed over the processes, and each then does the same update, so that the
    parameters stay equal.

    Parameters
    ----------
    device
        The device of the arrays.
    mlp, feed, regime, hyper
        The network, its training rows, and its hyper-parameters.
    params
        Parameters; only their dtype and leading axes are used.

    Returns
    -------
    callable
        ``step(state, draws)`` returns ``(state, loss)``. ``draws`` holds what `draws.draw_epoch` drew for
        this step, and an ``epsilon`` if that changes; ``loss`` is the regularised loss before the update,
        ``(*nets,)``.
    """
    if regime.mixup and feed.weight is not None:
        raise InputError("mixup cannot be combined with weights of rows: give one of them")
    xp = device.xp
    solver = solvers.SOLVERS[regime.solver]
    given = {
        f.name: per_network(device, params, getattr(hyper, f.name)) if hyper.uses(f.name) else None
        for f in fields(Hyper)
    }
    clip_norm, smoothing, ema, reg = (given[n] for n in ("clip_norm", "label_smoothing", "ema", "reg"))
    of_solver = {"weight_decay": given["weight_decay"]}
    of_solver |= {n: _as_one(device, params, getattr(hyper, n)) for n in ("momentum", "beta2", "epsilon")}
    weights, statistics = frozenset(mlp.weights), mlp.statistics
    kinds = tuple(solver.init(xp, {}))
    team = device.team
    # A gradient that is only subtracted, as it is, may stay in factors.
    alone = solver.scaled and clip_norm is None and team is None
    subtract = device.find_subtract() if alone else None
    least = device.subtracted_from
    in_factors = {name for name in weights if subtract and math.prod(mlp.shapes[name]) >= least}
    parts: dict[int, Array] = {}  # by number of rows in the batch

    def batch(
        params: Params, draws: Draws, share: Share | None, rows: Array | None = None
    ) -> tuple[Array, Array]:
        """Return the rows and targets of a batch, or a share of them, before MixUp."""
        x, target = feed.batch(xp, draws["index"], draws.get("augment"), share, rows)
        if smoothing is not None or "mix" in draws:
            of_outputs = regime.loss in losses.OF_OUTPUTS
            Y = target if of_outputs else losses.one_hot(xp, target, params[f"b{mlp.depth}"])
            target = Y if smoothing is None else losses.smooth(xp, Y, smoothing, 2 if of_outputs else None)
        return x, target

    def step(state: State, draws: Draws) -> tuple[State, Array]:
        params, rate = state["params"], draws["rate"]
        rows = draws["index"].shape[-1]
        share = None if team is None else team.share(rows)
        x, target = batch(params, draws, share, draws.get("rows"))
        if "mix" in draws:
            others = None if share is None else batch(params, draws, share.mirrored())
            x, target = feeding.mix(xp, x, target, draws["mix"], others)

        training = backprop.Training(given["dropout"], given["input_dropout"], draws.get("dropout"), share)
        weight = given_weight = feed.weights(xp, draws["index"])
        if weight is not None and regime.weighs_by_batch:
            weight = losses.relative(xp, weight)
        factor = rate if solver.scaled else None
        if share is not None:
            weight = None if weight is None else share.of(weight)
            if rows not in parts:
                parts[rows] = per_network(device, params, share.part)
            factor = parts[rows] if factor is None else factor * parts[rows]
        loss, pullback = backprop.loss(
            xp,
            mlp,
            params,
            x,
            target,
            training,
            regime.loss,
            weight,
            in_factors,
            factor,
        )
        strength = reg
        if reg is not None and regime.reg_per_row:
            by_batch = regime.weighs_by_batch and given_weight is not None
            strength = _by_weight(xp, reg, given_weight) if by_batch else reg / rows
        grads = pullback()
        if share is not None:
            mine = [name for name in grads if name not in mlp.of_batches]
            loss, *summed = whole(xp, loss * parts[rows], *(grads[name] for name in mine))
            grads |= dict(zip(mine, summed, strict=True))

        for name in statistics:
            params[name] = norms.follow(xp, params[name], grads.pop(name))
        if clip_norm is not None:
            grads = solvers.clip(xp, grads, clip_norm * rate if solver.scaled else clip_norm)
        learnt = {name: params[name] for name in grads}
        changing = {"epsilon": draws["epsilon"]} if "epsilon" in draws else {}
        rates = solvers.Rates(rate, strength, step=draws["count"], **of_solver | changing)
        of_kinds = {kind: state[kind] for kind in kinds}
        learnt, of_kinds, of_weights = solver.update(xp, learnt, grads, of_kinds, rates, weights, subtract)
        if strength is not None:
            loss = penalty.regularised(xp, loss, strength, of_weights)
        state = state | of_kinds | {"params": params | learnt}

        if ema is not None:
            state["average"] = _averaged(xp, state["average"], state["params"], ema, draws["count"])
        return state, loss

    return step


def with_velocity(device: Device, state: State, factor: ArrayLike) -> State:
    """Return a state whose solver's velocity is multiplied by a factor, ``(*nets,)`` or a number."""
    factor = np.asarray(factor)
    if np.all(factor == 1.0):
        return state
    velocity = {}
    for name, value in state.get("velocity", {}).items():
        laid = np.reshape(factor, factor.shape + (1,) * (value.ndim - factor.ndim))
        velocity[name] = value * device.put(laid, dtype_name(value))
    return state | ({"velocity": velocity} if velocity else {})


def take_steps(
    device: Device,
    advance: EpochAdvance,
    state: State,
    count: int,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[State, list[Array]]:
    """Take the first steps of an epoch, as many at once as suits the device.

    Parameters
    ----------
    device, advance
        The device, and the function that takes the steps.
    state
        The initial state; consumed.
    count
        Number of steps.
    should_stop
        Called before each step, or before several if the device takes them at once; once it returns True, no
        more steps are taken.

    Returns
    -------
    state : State
        The state after the last step.
    losses : list of Array
        The steps' losses in parts, ``(steps, *nets)`` each.
    """
    losses: list[Array] = []
    latest: list[Array] = []
    for begin in range(0, count, device.steps_at_once):
        if should_stop is not None and should_stop():
            break
        state, part = advance(state, begin, min(begin + device.steps_at_once, count))
        latest.append(part)
        # If reading is free, stop as soon as no network has a finite loss.
        if device.is_host and not np.isfinite(part).any():
            break
        if device.is_host and len(latest) == TOGETHER:
            losses.append(np.concatenate(latest))
            latest = []
    return state, [*losses, *latest]


def joined(xp: Namespace, parts: Sequence[tuple[Advance, Draws]]) -> EpochAdvance:
    """Return a function that takes the steps of an epoch whose batches may differ in size.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    parts
        A function that takes steps with batches of one size, and their draws; then, if the last batch is
        smaller, the same for that one.
    """
    full, draws = parts[0]
    steps = draws["count"].shape[0]

    def advance(state: State, begin: int, end: int) -> tuple[State, Array]:
        if end <= steps:
            return full(state, draws, begin, end)
        rest, last = parts[1]
        if begin >= steps:
            return rest(state, last, begin - steps, end - steps)
        state, losses = full(state, draws, begin, steps)
        state, loss = rest(state, last, 0, end - steps)
        return state, xp.concat([losses, loss])

    return advance


def _as_one(device: Device, params: Params, value: ArrayLike) -> Array:
    """Return `per_network`, or a single number, ``()``, if it is the same for all networks.

    NumPy multiplies a stack by a single number in half the time it takes with one per network.
    """
    values = np.asarray(value)
    if values.ndim and values.size and (values == values.flat[0]).all():
        value = values.flat[0]
    if np.ndim(value):
        return per_network(device, params, value)
    return device.put(np.asarray(value), dtype_name(params["W1"]))


def _by_weight(xp: Namespace, reg: Array, weight: Array) -> Array:
    """Return the strength of the penalty divided by the sum of the rows' weights; 0 if that sum is 0."""
    total = xp.sum(weight, axis=-1)
    return xp.where(total > 0, reg / xp.where(total > 0, total, 1.0), 0.0)


def _averaged(xp: Namespace, average: Params, params: Params, decay: Array, count: Array) -> Params:
    """Move an average towards the parameters, faster at first so that it soon forgets its starting point."""
    decay = _soon(xp, decay, count)
    for name, value in average.items():
        keep = decay[(..., *(None,) * (value.ndim - decay.ndim))]
        average[name] = _between(xp, value, params[name], keep)
    return average


@elementwise
def _soon(xp: Namespace, decay: Array, count: Array) -> Array:
    return xp.minimum(decay, count / (count + 9.0))


@elementwise
def _between(_xp: Namespace, average: Array, value: Array, keep: Array) -> Array:
    average *= keep
    average += (1.0 - keep) * value
    return average
