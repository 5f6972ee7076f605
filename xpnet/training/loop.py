"""Training: the loop over epochs, what becomes of a run, and the history it leaves.

Everything works on one network or on a stack of them (leading axes, see `xpnet.nn.layers`); hyper-parameters
that vary by network are arrays over the networks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data.batches import epoch_ends
from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.nn.mlp import MLP
from xpnet.training import divergence
from xpnet.training.draws import Sources, draw_epoch
from xpnet.training.evaluation import evaluate
from xpnet.training.history import History, Row
from xpnet.training.regime import Hyper, Regime
from xpnet.training.step import make_advance, per_network, take_steps, trained
from xpnet.training.stopping import Best, improve
from xpnet.typing import Array, Params, State

__all__ = ["Fit", "fit"]


@dataclass(frozen=True)
class Fit:
    """What `fit` returns.

    Attributes
    ----------
    state
        All that training could go on from, on the device. Of a network that diverged, the last whose loss
        was finite; with ``patience`` the parameters are the best, whatever ended the run.
    history
        Of all steps that were done.
    diverged_at
        ``(*nets,)``: the step, from 1, whose loss was the first not to be finite; 0 if there was none.
    interrupted
        Whether ``should_stop`` ended the run.
    stopped_at
        ``(*nets,)``: the step after which a network was out of patience; 0 if none.
    best
        The best parameters by ``monitor``, where there is one and there are validation rows.
    epoch
        In what ``on_fit`` is given: the epoch to go on with.
    last_finite
        While it is trained: states of the networks that have diverged.
    """

    state: State
    history: History
    diverged_at: NDArray[np.int64]
    interrupted: bool
    stopped_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros((), np.int64))
    best: Best | None = None
    epoch: int = 0
    last_finite: State = field(default_factory=dict)

    @property
    def params(self) -> Params:
        """The trained parameters: their moving average, where there is one."""
        return trained(self.state)


def fit(
    mlp: MLP,
    state: State,
    feed: Feed,
    X_val: Array | None,
    y_val: Array | None,
    *,
    device: Device,
    regime: Regime,
    hyper: Hyper,
    sources: Sources,
    epochs: range | None = None,
    after: Fit | None = None,
    on_epoch: Callable[[History], None] | None = None,
    on_fit: Callable[[Fit], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Fit:
    """Train one network, or a stack of them at once, by stochastic gradient descent.

    Parameters
    ----------
    mlp, state
        The network, and `step.initial_state` of its parameters on the device, which is consumed.
    feed
        Training rows and how batches are made of them.
    X_val, y_val
        Validation rows as the network takes them, evaluated once an epoch, or None.
    device
        Where the arrays are.
    regime, hyper
        How to train: what is the same for all networks, and what may differ.
    sources
        ``sources(stream, epoch)`` returns the source of an epoch's draws, on the host: one, whose draws all
        networks share, or a sequence of one per network. Where it makes them anew from seed and epoch,
        a run can be taken up at any epoch.
    epochs
        The epochs to train, of those that ``num_steps`` make (`xpnet.data.batches.epoch_ends`); all by
        default.
    after
        What ``on_fit`` was given after an epoch, on the device: the run goes on from there, with the same
        result as if it had never ended. ``state`` is then its state.
    on_epoch
        Called with the history so far after each epoch.
    on_fit
        Called after each epoch with all there is to go on from. Its arrays are overwritten by the next
        step, and its lists grow: who wants to keep them has to copy them.
    should_stop
        Asked before each step, or before several at a time where the device takes them so
        (`Device.steps_at_once`); once it returns True the run ends as if this were its last step.

    Returns
    -------
    Fit
        State, history, and what became of the run. A network whose loss stops being finite is
        frozen at its last finite parameters, and one that is out of patience at its best; the run ends
        early when no other is left.

    Raises
    ------
    InputError
        Not as many sources as networks.
    """
    xp = device.xp
    params = state["params"]
    nets = tuple(params["W1"].shape[:-2])
    reg = per_network(device, params, hyper.reg)
    advance = make_advance(device, mlp, feed, regime, hyper, params)
    steps_per_epoch = max(feed.X.shape[0] // regime.batch_size, 1)
    if after is None:
        after = Fit(state, History(), np.zeros(nets, np.int64), False, np.zeros(nets, np.int64))
    history, best, last_finite = after.history, after.best, after.last_finite
    diverged_at, stopped_at = after.diverged_at, after.stopped_at
    interrupted = False
    ends = epoch_ends(regime.num_steps, steps_per_epoch, regime.sampling)
    began = time.perf_counter() - (history.rows[-1].seconds if history.rows else 0.0)

    with device.active():
        for epoch in range(after.epoch, len(ends)) if epochs is None else epochs:
            if ((diverged_at > 0) | (stopped_at > 0)).all():
                break
            start = ends[epoch - 1] if epoch else 0
            rates = regime.learning_rates(hyper, nets, range(start, ends[epoch]), epoch)
            draws = draw_epoch(device, feed, regime, hyper, params, sources, epoch, start, rates)
            before = divergence.copy(device, state)

            count = ends[epoch] - start
            state, losses, interrupted = take_steps(device, advance, state, draws, count, should_stop)
            if not losses:
                break
            done = sum(part.shape[0] for part in losses)

            now = trained(state)
            x_batch, y_batch = feed.rows(xp, draws["index"][done - 1, ...])
            batch_loss, train_accuracy = evaluate(xp, mlp, now, x_batch, y_batch, reg, regime.loss)
            val_loss = val_accuracy = batch_loss * float("nan")
            if X_val is not None:
                val_loss, val_accuracy = evaluate(xp, mlp, now, X_val, y_val, reg, regime.loss)
            # The one reading back of the epoch.
            ends_with = xp.stack([batch_loss, train_accuracy, val_loss, val_accuracy])
            measured = np.array(device.to_host(xp.concat([*losses, ends_with])))
            of_steps, (batch_loss, train_accuracy, val_loss, val_accuracy) = measured[:done], measured[done:]

            if X_val is not None:  # what follows the last update must be finite on both
                measured[done] = np.where(np.isfinite(val_loss), batch_loss, val_loss)
            first_bad = divergence.first_bad(measured[: done + 1])
            new = (first_bad > 0) & (diverged_at == 0) & (stopped_at == 0)
            if new.any():
                bad = np.where(new, first_bad, 0)
                last_finite = divergence.replay(device, advance, before, draws, bad, last_finite)
                diverged_at[new] = start + first_bad[new]

            history.losses.extend(of_steps)
            history.rows.append(
                Row(
                    step=start + done,
                    epoch=(start + done) // steps_per_epoch,
                    learning_rate=_scalar(rates[done - 1, ...]),
                    train_loss=_scalar(of_steps.mean(axis=0)),
                    train_accuracy=_scalar(train_accuracy),
                    val_loss=_scalar(val_loss),
                    val_accuracy=_scalar(val_accuracy),
                    seconds=time.perf_counter() - began,
                )
            )
            if regime.monitor is not None and X_val is not None:
                running = (diverged_at == 0) & (stopped_at == 0)
                value = np.asarray(
                    val_accuracy if regime.monitor == "val_accuracy" else -val_loss, np.float64
                )
                if best is None and last_finite:  # what is the best so far must be numbers, too
                    now = trained(divergence.choose(device, diverged_at > 0, last_finite, state))
                best = improve(device, best, now, value, epoch, regime.min_delta, running)
                if regime.patience is not None:
                    tired = running & (epoch - best.epoch >= regime.patience)
                    stopped_at = np.where(tired, start + done, stopped_at)
            if on_epoch is not None:
                on_epoch(history)
            if interrupted:
                break
            if on_fit is not None:
                on_fit(Fit(state, history, diverged_at, False, stopped_at, best, epoch + 1, last_finite))

        if last_finite:
            state = divergence.choose(device, diverged_at > 0, last_finite, state)
    if regime.patience is not None and best is not None:
        state = state | {"average" if "average" in state else "params": best.params}
    return Fit(state, history, diverged_at, interrupted, stopped_at, best)


def _scalar(value: NDArray[Any]) -> Any:
    """A stack's values as they are; one network's as a Python float."""
    return value if value.ndim else float(value)
