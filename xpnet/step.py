"""One training step: a batch, forward, backward, update; and what changes from step to step, as arrays."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet import feeding, losses, network, norms, optimizers, schedules
from xpnet.batches import Sampling, draw_batches
from xpnet.device import Device, dtype_name
from xpnet.errors import InputError
from xpnet.feeding import Feed
from xpnet.mlp import MLP
from xpnet.typing import Array, Params, Random, State

__all__ = [
    "Draws",
    "Hyper",
    "Monitor",
    "Regime",
    "Sources",
    "Step",
    "draw_epoch",
    "initial_state",
    "make_step",
    "of_step",
    "per_network",
    "trained",
]

Monitor = Literal["val_accuracy", "val_loss"]

Draws: TypeAlias = dict[str, Array]
"""What changes from step to step, by name; with a leading axis of steps for a whole epoch."""

Step: TypeAlias = Callable[[State, Draws], tuple[State, Array]]

Sources: TypeAlias = Callable[[str, int], Random | Sequence[Random]]
"""``sources(stream, epoch)``: what ``"batches"``, ``"augment"``, ``"mixup"`` or ``"dropout"`` come from."""


@dataclass(frozen=True)
class Hyper:
    """Hyper-parameters that may differ between the networks of a stack: floats, or one per network.

    Attributes
    ----------
    learning_rate
        The schedule's highest.
    learning_rate_decay
        Factor on the learning rate, see `xpnet.schedules`.
    reg
        Strength of the L2 penalty, see `xpnet.network.penalty`.
    weight_decay, momentum, beta2, epsilon
        Of the solver, see `xpnet.optimizers.Rates`.
    clip_norm
        Longest gradient, over all parameters of a network; infinity for any.
    dropout, input_dropout
        Rates of the hidden layers and of the input.
    label_smoothing
        See `xpnet.losses.smooth`.
    ema
        Decay of the moving average of the parameters that is evaluated in their place; 0 for none.
    """

    learning_rate: ArrayLike = 1e-3
    learning_rate_decay: ArrayLike = 0.95
    reg: ArrayLike = 0.0
    weight_decay: ArrayLike = 0.0
    momentum: ArrayLike = 0.9
    beta2: ArrayLike = 0.999
    epsilon: ArrayLike = 1e-8
    clip_norm: ArrayLike = float("inf")
    dropout: ArrayLike = 0.0
    input_dropout: ArrayLike = 0.0
    label_smoothing: ArrayLike = 0.0
    ema: ArrayLike = 0.0

    def uses(self, name: str) -> bool:
        """Return whether a hyper-parameter does anything for any network."""
        return bool(np.any(np.asarray(getattr(self, name)) != (float("inf") if name == "clip_norm" else 0.0)))


@dataclass(frozen=True)
class Regime:
    """How a stack is trained, all its networks alike.

    Attributes
    ----------
    num_steps, batch_size, sampling
        Number of updates, and what they are made of (`xpnet.batches`).
    solver
        Name in `xpnet.optimizers.SOLVERS`.
    schedule, step_epochs, peak, warmup_steps
        See `xpnet.schedules.learning_rates`.
    loss
        Name in `xpnet.losses.LOSSES`.
    mixup
        Both parameters of the beta distribution of each batch's share (`xpnet.feeding.mix`); 0 for none.
    monitor
        What the best parameters are chosen by; None keeps none.
    patience, min_delta
        Stop after so many epochs in which ``monitor`` was not better by ``min_delta``, and return to the
        best parameters; None never stops.
    """

    num_steps: int
    batch_size: int
    sampling: Sampling = "replacement"
    solver: str = "sgd"
    schedule: str = "exponential"
    step_epochs: int = 30
    peak: float = 0.3
    warmup_steps: int = 0
    loss: str = "cross-entropy"
    mixup: float = 0.0
    monitor: Monitor | None = None
    patience: int | None = None
    min_delta: float = 0.0

    def learning_rates(
        self, hyper: Hyper, nets: tuple[int, ...], steps: ArrayLike, epochs: ArrayLike
    ) -> NDArray[np.float64]:
        """Return the learning rates of steps, given the epoch of each or of all: ``(steps, *nets)``."""
        return schedules.learning_rates(
            self.schedule,
            np.asarray(steps),
            num_steps=self.num_steps,
            epochs=epochs,
            learning_rate=np.broadcast_to(np.asarray(hyper.learning_rate), nets),
            decay=hyper.learning_rate_decay,
            step_epochs=self.step_epochs,
            peak=self.peak,
            warmup_steps=self.warmup_steps,
        )


def initial_state(device: Device, params: Params, regime: Regime, hyper: Hyper) -> State:
    """Return what the first step takes: the parameters, and the solver's and the average's beginnings."""
    xp = device.xp
    # The statistics of a batch norm come along: the solver never asks for them.
    state = {"params": params, **optimizers.SOLVERS[regime.solver].init(xp, params)}
    if hyper.uses("ema"):
        state["average"] = {name: xp.asarray(value, copy=True) for name, value in params.items()}
    return state


def trained(state: State) -> Params:
    """Return the parameters to evaluate: their moving average, where there is one."""
    return state.get("average", state["params"])


def per_network(device: Device, params: Params, value: ArrayLike) -> Array:
    """Return a value or one per network as an array ``(*nets,)`` of the parameters' dtype."""
    W = params["W1"]
    return device.put(np.broadcast_to(np.asarray(value), tuple(W.shape[:-2])), dtype_name(W))


def make_step(device: Device, mlp: MLP, feed: Feed, regime: Regime, hyper: Hyper, params: Params) -> Step:
    """Return the training step: make a batch, forward, backward, update.

    The step is a pure function of arrays but for this: it consumes the state it is given. It reads nothing
    back to the host and takes every value that changes as an array, so that a device may queue, capture or
    compile it. What does nothing for any network is left out of it.

    Parameters
    ----------
    device
        Where the arrays are.
    mlp, feed, regime, hyper
        The network, its training rows, and how it is trained.
    params
        Parameters, of which only dtype and leading axes are looked at.

    Returns
    -------
    callable
        ``step(state, draws)`` returns ``(state, loss)``: ``draws`` holds what `draw_epoch` drew for this
        step, and an ``epsilon`` where that changes; ``loss`` is ``(*nets,)``, the regularised one before the
        update.
    """
    if regime.mixup and feed.weight is not None:
        raise InputError("mixup makes one row of two: give weights of rows or mixup, not both")
    xp = device.xp
    solver = optimizers.SOLVERS[regime.solver]
    given = {
        f.name: per_network(device, params, getattr(hyper, f.name)) if hyper.uses(f.name) else None
        for f in fields(Hyper)
    }
    zero = per_network(device, params, 0.0)
    clip_norm, smoothing, ema, reg = (given[n] for n in ("clip_norm", "label_smoothing", "ema", "reg"))
    of_solver = {"weight_decay": given["weight_decay"]}
    of_solver |= {n: zero if given[n] is None else given[n] for n in ("momentum", "beta2", "epsilon")}
    weights, statistics = frozenset(mlp.weights), mlp.statistics
    kinds = tuple(solver.init(xp, {}))

    def step(state: State, draws: Draws) -> tuple[State, Array]:
        params, rate = state["params"], draws["rate"]
        x, target = feed.batch(xp, draws["index"], draws.get("augment"))
        if smoothing is not None or "mix" in draws:
            Y = losses.one_hot(xp, target, params[f"b{mlp.depth}"])
            target = Y if smoothing is None else losses.smooth(Y, smoothing)
            if "mix" in draws:
                x, target = feeding.mix(xp, x, target, draws["mix"])

        training = network.Training(given["dropout"], given["input_dropout"], draws.get("dropout"))
        weight = feed.weights(xp, draws["index"])
        loss, pullback = network.loss(xp, mlp, params, x, target, training, regime.loss, weight)
        strength = reg if reg is None or weight is None else _by_weight(xp, reg, weight)
        if strength is not None:
            loss = loss + network.penalty(xp, mlp, params, strength)
        grads = pullback(rate if solver.scaled else None)

        for name in statistics:
            params[name] -= norms.STATISTICS_RATE * grads.pop(name)
        if clip_norm is not None:
            grads = optimizers.clip(xp, grads, clip_norm * rate if solver.scaled else clip_norm)
        learnt = {name: params[name] for name in grads}
        changing = {"epsilon": draws["epsilon"]} if "epsilon" in draws else {}
        rates = optimizers.Rates(rate, strength, step=draws["count"], **of_solver | changing)
        of_kinds = {kind: state[kind] for kind in kinds}
        learnt, of_kinds = solver.update(xp, learnt, grads, of_kinds, rates, weights)
        state = state | of_kinds | {"params": params | learnt}

        if ema is not None:
            state["average"] = _averaged(xp, state["average"], state["params"], ema, draws["count"])
        return state, loss

    return step


def _by_weight(xp: Any, reg: Array, weight: Array) -> Array:
    """The strength of the penalty on a batch whose rows have weights; 0 if they weigh nothing."""
    total = xp.sum(weight, axis=-1)
    return xp.where(total > 0, reg / xp.where(total > 0, total, 1.0), 0.0)


def _averaged(xp: Any, average: Params, params: Params, decay: Array, count: Array) -> Params:
    """Move an average towards the parameters, faster at first, that it soon forgets where it began."""
    decay = xp.minimum(decay, count / (count + 9.0))
    for name, value in average.items():
        keep = decay[(..., *(None,) * (value.ndim - decay.ndim))]
        value *= keep
        value += (1.0 - keep) * params[name]
        average[name] = value
    return average


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
        As for `make_step`.
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


def of_step(draws: Mapping[str, Array], i: int) -> Draws:
    """Return what step ``i`` of an epoch takes."""
    return {name: values[i, ...] for name, values in draws.items()}
