"""Learning-rate schedules: functions from step numbers to learning rates.

They use NumPy in float64, on the host. A schedule, one of `SCHEDULES`, is a factor on the learning rate; a
linear warm-up may precede any of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SCHEDULES", "Schedule", "learning_rates"]

Floats = NDArray[np.float64]


class Schedule(Protocol):
    """Values that change from step to step, possibly depending on the previous epoch."""

    def by_step(self, steps: range, epoch: int, updates: int) -> dict[str, NDArray[np.float64]]:
        """Return the values of an epoch's steps: ``rate``, ``(steps, *nets)``, and ``epsilon`` if it changes.

        Parameters
        ----------
        steps
            Their numbers, from 0.
        epoch
            Its number, from 0.
        updates
            Number of updates before its first step; higher than the step number if training continues from
            other rows.
        """

    def carried(self) -> Any:
        """Return the factor on a solver's velocity after a change of the rate, ``(*nets,)`` or a number."""


class Steps(NamedTuple):
    """The arguments of a schedule.

    Attributes
    ----------
    steps, epochs
        ``(n,)``: the numbers, from 0, of the steps asked for and of the epochs they are in.
    num_steps
        Of the whole run.
    decay
        One per network, broadcastable to ``(*nets,)``.
    step_epochs, peak
        See `learning_rates`.
    """

    steps: NDArray[Any]
    epochs: NDArray[Any]
    num_steps: int
    decay: Floats
    step_epochs: int
    peak: float


def constant(run: Steps) -> Floats:
    """Return 1 throughout."""
    return _per_step(np.ones(len(run.steps)), run)


def exponential(run: Steps) -> Floats:
    """Return ``decay ** epoch``."""
    return _powers(run.decay, run.epochs)


def step(run: Steps) -> Floats:
    """Return ``decay ** (epoch // step_epochs)``."""
    return _powers(run.decay, run.epochs // run.step_epochs)


def cosine(run: Steps) -> Floats:
    """Return half a cosine from 1 to 0; it would reach 0 one step after the last.

    Loshchilov & Hutter 2017 (https://arxiv.org/abs/1608.03983), without restarts.
    """
    return _per_step(_half_cosine(run.steps / run.num_steps), run)


def one_cycle(run: Steps) -> Floats:
    """Return a linear rise from 1/25 to 1, then half a cosine down to 1/250000 at the last step.

    Smith & Topin 2018 (https://arxiv.org/abs/1708.07120), with the constants of PyTorch's ``OneCycleLR``; the
    rate is highest at step ``peak * num_steps - 1``.
    """
    low, lowest = 1 / 25, 1 / 25e4
    last = run.num_steps - 1
    top = min(max(run.peak * run.num_steps - 1, 0.0), last)
    rise = low + (1 - low) * run.steps / (top or 1.0)
    fall = lowest + (1 - lowest) * _half_cosine((run.steps - top) / ((last - top) or 1.0))
    return _per_step(np.where(run.steps < top, rise, fall), run)


SCHEDULES: Mapping[str, Callable[[Steps], Floats]] = {
    "constant": constant,
    "exponential": exponential,
    "step": step,
    "cosine": cosine,
    "one-cycle": one_cycle,
}
"""All schedules by name; each returns factors on the learning rate, ``(n, *nets)`` or broadcastable to it."""


def learning_rates(
    schedule: str,
    steps: ArrayLike,
    *,
    num_steps: int,
    epochs: ArrayLike,
    learning_rate: ArrayLike,
    decay: ArrayLike = 1.0,
    step_epochs: int = 1,
    warmup_steps: int = 0,
    peak: float = 0.3,
) -> Floats:
    """Return the learning rates of some steps of a run.

    Parameters
    ----------
    schedule
        One of `SCHEDULES`.
    steps
        ``(n,)``: the numbers of the steps, from 0.
    num_steps
        Of the whole run.
    epochs
        The number, from 0, of the epoch of each step: ``(n,)``, or one for all.
    learning_rate
        Highest learning rate, which the schedule multiplies: a float, or one per network.
    decay
        For ``exponential`` and ``step``: the factor per epoch, or per ``step_epochs`` epochs; a float, or one
        per network.
    step_epochs
        For ``step``: number of epochs between two drops.
    warmup_steps
        In the first ``warmup_steps`` steps, the rate of the schedule is multiplied by ``(step + 1) /
        warmup_steps``.
    peak
        For ``one-cycle``: fraction of the run in which the rate rises.

    Returns
    -------
    ndarray
        ``(n, *nets)``, float64, where ``nets`` is the broadcast shape of ``learning_rate`` and ``decay``.
    """
    rate, factor = np.asarray(learning_rate, np.float64), np.asarray(decay, np.float64)
    nets = np.broadcast_shapes(rate.shape, factor.shape)
    rate = np.broadcast_to(rate, nets)
    factor = factor.reshape((1,) * (len(nets) - factor.ndim) + factor.shape)
    steps = np.asarray(steps)
    epochs = np.broadcast_to(np.asarray(epochs), steps.shape)
    run = Steps(steps, epochs, num_steps, factor, step_epochs, peak)
    rates: Floats = rate * SCHEDULES[schedule](run)
    if warmup_steps:
        rates *= _per_step(np.minimum((steps + 1) / warmup_steps, 1.0), run)
    return rates


def _half_cosine(x: NDArray[Any]) -> Floats:
    """Return half a cosine from 1 at ``x = 0`` down to 0 at ``x = 1``."""
    return np.asarray(0.5 * (1.0 + np.cos(np.pi * x)), np.float64)


def _per_step(factor: NDArray[Any], run: Steps) -> Floats:
    """Return the factor with axes for the networks; it is the same for all."""
    return factor.reshape(-1, *(1,) * run.decay.ndim)


def _powers(base: Floats, exponents: NDArray[Any]) -> Floats:
    """Return ``base ** exponent``, ``(n, *base.shape)``, for ``n`` exponents, most of which are equal."""
    each, where = np.unique(exponents, return_inverse=True)
    # With Python integers, because NumPy gives different last bits for an array of exponents.
    powers = [base ** int(exponent) for exponent in each]
    return np.stack(powers)[where] if powers else np.ones((0, *base.shape))
