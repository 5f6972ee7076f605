"""Training: the loop over epochs, what becomes of a run, and the history it leaves.

Everything works on one network or on a stack of them (leading axes, see `xpnet.nn.layers`); hyper-parameters
that vary by network are arrays over the networks. Every door trains by this loop. Where doors differ they
hand in an object: a `Schedule`, a `Stopping` rule, the `Sources` of what is drawn, callbacks.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data.batches import batches_per_epoch, epoch_ends
from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.nn import penalty
from xpnet.nn.mlp import MLP
from xpnet.training import divergence, monitors
from xpnet.training.draws import Sources, draw_epoch
from xpnet.training.evaluation import evaluate
from xpnet.training.history import History, Row
from xpnet.training.regime import Hyper, Known, Regime
from xpnet.training.scale import Scale
from xpnet.training.schedules import Schedule
from xpnet.training.sharing import check_equal, share_of
from xpnet.training.step import (
    joined,
    make_advance,
    make_step,
    per_network,
    take_steps,
    trained,
    with_velocity,
)
from xpnet.training.stopping import Best, Epoch, Patience, Stopping, improve
from xpnet.typing import Advance, Array, Draws, Params, State

__all__ = ["Fit", "finished", "fit"]


@dataclass(frozen=True)
class Fit:
    """What `fit` returns.

    Attributes
    ----------
    state
        All that training could go on from, on the device. Of a network that diverged, what its best epoch
        ended with; with ``restores_best`` the best, whatever ended the run.
    history
        Of all steps that were done.
    diverged_at
        ``(*nets,)``: the step, from 1, whose loss was the first not to be finite, or beyond all measure
        (`Regime.explosion`); 0 if there was none.
    interrupted
        Whether ``should_stop`` ended the run.
    stopped_at
        ``(*nets,)``: the step after which the stopping rule ended a network; 0 if none.
    best
        The best state by ``monitor``, where there is one and there are validation rows.
    epoch
        In what ``on_fit`` is given: the epoch to go on with.
    sane
        While it is trained: the best state to begin an epoch with, which is what is kept of a network that
        diverges.
    timed_out
        Whether ``regime.max_time`` ended the run.
    settled
        While it is trained: what the networks that the stopping rule has ended are to stay, where it is not
        the best that is kept; None until there are some.
    whole
        Of a run that ``should_stop`` or ``max_time`` cut off: what ``on_fit`` was given, or would have been,
        after its last whole epoch. None if there was none.
    """

    state: State = field(repr=False)
    history: History
    diverged_at: NDArray[np.int64]
    interrupted: bool
    stopped_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros((), np.int64))
    best: Best | None = None
    epoch: int = 0
    sane: divergence.Sane | None = field(default=None, repr=False)
    timed_out: bool = False
    settled: State | None = field(default=None, repr=False)
    whole: "Fit | None" = field(default=None, repr=False)

    @property
    def params(self) -> Params:
        """The trained parameters: their moving average, where there is one."""
        return trained(self.state)


def fit(
    mlp: MLP,
    state: State,
    feed: Feed,
    validation: Feed | None = None,
    *,
    device: Device,
    regime: Regime,
    hyper: Hyper,
    sources: Sources,
    schedule: Schedule | None = None,
    stopping: Stopping | None = None,
    target: Scale | list[Scale | None] | None = None,
    updates: int = 0,
    epochs: range | None = None,
    after: Fit | None = None,
    on_epoch: Callable[[History], None] | None = None,
    on_fit: Callable[[Fit], Any] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Fit:
    """Train one network, or a stack of them at once, by stochastic gradient descent.

    Parameters
    ----------
    mlp, state
        The network, and `step.initial_state` of its parameters on the device, which is consumed.
    feed
        Training rows and how batches are made of them.
    validation
        Rows to evaluate once an epoch, as the network takes them, or None.
    device
        Where the arrays are. Where it is that of one of several processes (its ``team``), all call this with
        the same, each scores a share of the rows, and all end after the same step.
    regime, hyper
        How to train: what is the same for all networks, and what may differ.
    sources
        ``sources(stream, epoch)`` returns the source of an epoch's draws, on the host: one, whose draws all
        networks share, or a sequence of one per network. Where it makes them anew from seed and epoch,
        a run can be taken up at any epoch.
    schedule
        How fast to go; that of the regime by default.
    stopping
        When to stop a network; never by default.
    target
        What the numbers of a regression were standardised by: errors that are monitored are in the units of
        before. None where they were not. Of each network by itself where they have their own rows.
    updates
        Steps that were taken before, on other rows: solvers that count their steps go on from there.
    epochs
        The epochs to train, of those that ``num_steps`` make (`xpnet.data.batches.epoch_ends`); all by
        default.
    after
        What ``on_fit`` was given after an epoch, on the device: the run goes on from there, with the same
        result as if it had never ended. ``state`` is then its state.
    on_epoch
        Called with the history so far after each epoch.
    on_fit
        Called after each whole epoch with all there is to go on from; the run ends if it returns true. Its
        arrays are overwritten by the next step, and its lists grow: who wants to keep them has to copy them.
    should_stop
        Asked before each step, or before several at a time where the device takes them so
        (`Device.steps_at_once`); once it returns True the run ends as if this were its last step.

    Returns
    -------
    Fit
        State, history, and what became of the run. A network that diverges is frozen at what its best epoch
        ended with, or began with if it was the first; the run ends early when all have diverged or stopped.

    Raises
    ------
    InputError
        Not as many sources as networks; or a monitor that is not for the loss, or not for these rows.
    """
    xp = device.xp
    params = state["params"]
    nets = tuple(params["W1"].shape[:-2])
    rows = feed.num_rows
    reg: Array | float = 0.0
    if hyper.uses("reg") and not regime.reg_per_row:
        reg = per_network(device, params, hyper.reg)
    schedule = schedule or Known(regime, hyper, nets)
    stopping = stopping or Patience(None)
    team, watch = device.team, None
    mine = None if validation is None else share_of(device, validation.num_rows)
    if regime.monitor is not None and validation is not None:
        watch = monitors.watch(device, regime, validation, target)
    step = make_step(device, mlp, feed, regime, hyper, params)
    # A rest of few rows has no statistics to speak of: of one row they are all 0, and nothing is learnt.
    filled = mlp.norm == "batch"
    advances: dict[int, Advance] = {}  # by the size of a batch: an epoch's last may be smaller
    if after is None:
        after = Fit(state, History(), np.zeros(nets, np.int64), False, np.zeros(nets, np.int64))
    history, best, sane, settled = after.history, after.best, after.sane, after.settled
    diverged_at, stopped_at = after.diverged_at, after.stopped_at
    running = (diverged_at == 0) & (stopped_at == 0)
    interrupted = timed_out = False
    whole = None
    unknown = np.full(nets, np.nan)  # what is not measured
    steps_per_epoch = batches_per_epoch(rows, regime.batch_size, regime.sampling)
    ends = epoch_ends(regime.num_steps, steps_per_epoch, regime.sampling)
    began = time.perf_counter() - (history.rows[-1].seconds if history.rows else 0.0)

    def out_of_time() -> bool:
        return regime.max_time is not None and time.perf_counter() - began >= regime.max_time

    begun = False  # a run has a step at least, or it would have no loss

    def ended_early() -> bool:
        """Look, before some steps, whether they are to be taken."""
        nonlocal begun, interrupted, timed_out
        interrupted = should_stop is not None and should_stop()
        begun, timed_out = True, begun and out_of_time()
        if team is not None:  # one that stopped alone would leave the others waiting
            interrupted, timed_out = team.any(interrupted, timed_out)
        return interrupted or timed_out

    look = None if should_stop is None and regime.max_time is None else ended_early
    with device.active():
        for epoch in range(after.epoch, len(ends)) if epochs is None else epochs:
            if not running.any():
                break
            start = ends[epoch - 1] if epoch else 0
            by_step = schedule.by_step(range(start, ends[epoch]), epoch, updates + start)
            tables = draw_epoch(
                device, feed, regime, hyper, params, sources, epoch, updates + start, by_step, filled
            )
            for size in {table["index"].shape[-1] for table in tables} - advances.keys():
                advances[size] = make_advance(device, feed, step)
            advance = joined(xp, [(advances[table["index"].shape[-1]], table) for table in tables])
            state = with_velocity(device, state, schedule.carried())
            began_with = divergence.copy(device, state)

            state, losses = take_steps(device, advance, state, ends[epoch] - start, look)
            if history.rows and (interrupted or timed_out):
                so_far = History([*history.rows], [*history.losses])
                whole = Fit(
                    began_with,
                    so_far,
                    diverged_at.copy(),
                    False,
                    stopped_at,
                    best,
                    epoch,
                    sane,
                    settled=settled,
                )
            if not losses:
                break
            done = sum(part.shape[0] for part in losses)

            now = trained(state)
            found = _last_batch(device, mlp, now, feed, regime, reg, tables, done)
            kept: list[Array] | None = [] if watch is not None and watch.takes_scores else None
            if validation is not None:
                loss, score = evaluate(
                    xp,
                    mlp,
                    now,
                    validation.X,
                    validation.y,
                    0.0,
                    regime.loss,
                    validation.weight,
                    kept,
                    validation.prepare,
                    validation.own,
                    mine,
                )
                found += (loss, loss + penalty.penalty(xp, mlp, now, reg), score)
            # The one reading back of the epoch, but for the scores that a monitor is made of.
            measured = np.array(device.to_host(xp.concat([*losses, *(value[None, ...] for value in found)])))
            of_steps, after_last = measured[:done], measured[done:]
            train_score = after_last[1] if regime.scores_batch else unknown
            unpenalised, val_loss, val_score = after_last[-3:] if validation is not None else [unknown] * 3

            if validation is not None:  # what follows the last update must be finite on both
                measured[done] = np.where(np.isfinite(val_loss), measured[done], val_loss)
            train_loss = _mean(of_steps, tables)
            before = history.rows[-1].train_loss if history.rows else -np.inf
            sane = divergence.saner(device, sane, began_with, before, of_steps[0], running)
            first = history.losses[0] if history.losses else of_steps[0]
            most = divergence.limits(device, mlp, now, feed, regime, train_loss, first)
            first_bad = divergence.first_bad(measured[: done + 1], most)
            new = running & (first_bad > 0)
            if new.any():
                diverged_at[new] = start + first_bad[new]
                running = running & ~new

            history.losses.extend(of_steps)
            history.rows.append(
                Row(
                    step=start + done,
                    epoch=(start + done) // steps_per_epoch,
                    learning_rate=_scalar(by_step["rate"][done - 1, ...]),
                    train_loss=_scalar(train_loss),
                    train_score=_scalar(train_score),
                    val_loss=_scalar(val_loss),
                    val_score=_scalar(val_score),
                    seconds=time.perf_counter() - began,
                )
            )
            value = None
            if watch is not None:
                scores = None if kept is None else device.to_host(xp.concat(kept, axis=-2))
                if team is not None and mine is not None and scores is not None:
                    scores = team.joined(scores, axis=-2)
                value = watch.value(val_loss, unpenalised, val_score, scores)
                good = state
                if best is None and new.any():  # what is the best so far must be numbers, too
                    good = divergence.choose(device, diverged_at > 0, sane.state, state)
                best = improve(device, best, good, value, epoch, regime.min_delta, running)
            tired = running & stopping.ends(Epoch(epoch, train_loss, val_loss, val_score, best, value))
            if tired.any():
                stopped_at = np.where(tired, start + done, stopped_at)
                running = running & ~tired
                # Others that go on take its parameters along.
                if (running.any() or settled is not None) and not regime.restores_best:
                    settled = divergence.choose(device, tired, state, settled or state)
            check_equal(device, state["params"], running, *([] if best is None else [best.value, best.epoch]))
            if on_epoch is not None:
                on_epoch(history)
            if interrupted or done < ends[epoch] - start:
                break
            after = Fit(
                state, history, diverged_at, False, stopped_at, best, epoch + 1, sane, settled=settled
            )
            if on_fit is not None and on_fit(after):
                break
            if team.any(out_of_time())[0] if team is not None else out_of_time():
                timed_out, whole = True, after
                break

    ended = Fit(
        state, history, diverged_at, interrupted, stopped_at, best, 0, sane, timed_out, settled, whole
    )
    return finished(device, ended, regime)


def finished(device: Device, ended: Fit, regime: Regime) -> Fit:
    """Return a run that has ended with what is kept of each network for its state."""
    state, sane, settled = ended.state, ended.sane, ended.settled
    with device.active():
        if settled is not None:
            state = divergence.choose(device, ended.stopped_at > 0, settled, state)
        if sane is not None and (ended.diverged_at > 0).any():
            state = divergence.choose(device, ended.diverged_at > 0, sane.state, state)
    if regime.restores_best and ended.best is not None:
        state = ended.best.state
    return replace(ended, state=state, epoch=0, sane=None, settled=None)


def _last_batch(
    device: Device,
    mlp: MLP,
    params: Params,
    feed: Feed,
    regime: Regime,
    reg: Array | float,
    tables: Sequence[Draws],
    done: int,
) -> tuple[Array, ...]:
    """Return loss and score of the last batch; where it isn't scored, what is finite if the weights are."""
    if not regime.scores_batch:
        xp, nets = device.xp, params["W1"].shape[:-2]
        return (sum(xp.sum(xp.reshape(value, (*nets, -1)), axis=-1) for value in params.values()),)
    first = tables[0]["index"].shape[0]
    table, i = (tables[0], done - 1) if done <= first else (tables[1], done - 1 - first)
    index = table["index"][i, ...]
    x, y = feed.rows(device.xp, index)
    share, weight = share_of(device, index.shape[-1]), feed.weights(device.xp, index)
    return evaluate(device.xp, mlp, params, x, y, reg, regime.loss, weight, share=share)


def _mean(losses: NDArray[Any], tables: Sequence[Draws]) -> NDArray[Any]:
    """Return the mean of the steps' losses over their rows, ``(*nets,)``."""
    # Step by step in memory, as of one network alone: NumPy adds in another order what lies otherwise.
    each = np.ascontiguousarray(np.moveaxis(losses, 0, -1))
    if len(losses) <= tables[0]["index"].shape[0]:  # none was of the last batch, which may be smaller
        return np.asarray(each.mean(axis=-1))
    full, last = (table["index"].shape[-1] for table in tables)
    each = each.astype(np.float64)
    total = full * each[..., :-1].sum(axis=-1) + last * each[..., -1]
    return np.asarray(total / (full * (len(losses) - 1) + last))


def _scalar(value: NDArray[Any]) -> Any:
    """A stack's values as they are; one network's as a Python float."""
    return value if value.ndim else float(value)
