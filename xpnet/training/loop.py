"""Training: the loop over epochs.

Everything works on one network or on a stack of them (leading axes, see `xpnet.nn.layers`); hyper-parameters
that vary by network are arrays over the networks. Commands, estimators and `TwoLayerNet` all train with this
loop. Where they differ, they pass in an object: a `Schedule`, a `Stopping` rule, `Sources` of random draws,
or callbacks.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data.batches import batches_per_epoch, epoch_ends
from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.nn.mlp import MLP
from xpnet.training import divergence, monitors
from xpnet.training.draws import Sources, draw_epoch
from xpnet.training.ending import Ending
from xpnet.training.history import History, Row
from xpnet.training.measuring import measure
from xpnet.training.regime import Hyper, Known, Regime
from xpnet.training.result import Fit, finished
from xpnet.training.scale import Scale
from xpnet.training.schedules import Schedule
from xpnet.training.sharing import check_equal
from xpnet.training.step import (
    joined,
    make_advance,
    make_step,
    per_network,
    take_steps,
    trained,
    with_velocity,
)
from xpnet.training.stopping import Epoch, Patience, Stopping, improve
from xpnet.typing import Advance, Array, State

__all__ = ["fit"]


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
        Training rows, and how to make batches of them.
    validation
        Rows to evaluate once per epoch, or None.
    device
        The device of the arrays. If it belongs to a ``team`` of processes, all of them call this function
        with the same arguments, each scores a share of the rows, and all stop after the same step.
    regime, hyper
        Hyper-parameters: those common to all networks, and those that may differ.
    sources
        ``sources(stream, epoch)`` returns the random source of an epoch, on the host: one shared by all
        networks, or a sequence with one per network. If it depends on seed and epoch only, a run can be
        resumed at any epoch.
    schedule
        Learning-rate schedule; by default that of the regime.
    stopping
        Stopping rule; by default none.
    target
        Standardisation of the targets of a regression, so that monitored errors are in original units; None
        if there was none; one per network if networks have their own rows.
    updates
        Number of earlier steps, on other rows, for solvers that count their steps.
    epochs
        Range of epochs to train, of those in ``num_steps`` (`xpnet.data.batches.epoch_ends`); by default all.
    after
        The argument of an earlier ``on_fit``, on the device: the run continues from there as if it had never
        been interrupted. ``state`` is then its state.
    on_epoch
        Called with the history so far after every epoch.
    on_fit
        Called after every whole epoch with everything needed to continue; the run ends if it returns true.
        The next step overwrites the arrays and extends the lists: copy what you keep.
    should_stop
        Called before each step, or before several if the device takes them at once (`Device.steps_at_once`);
        once it returns True, the run ends.

    Returns
    -------
    Fit
        State, history and outcome of the run. A network that diverges is frozen at the end of its best epoch,
        or at its beginning if that is the first; the run ends early when all networks have diverged or
        stopped.

    Raises
    ------
    InputError
        If the number of sources is not the number of networks, or the monitor does not suit the loss or rows.
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
    watch = None
    if regime.monitor is not None and validation is not None:
        watch = monitors.watch(device, regime, validation, target)
    step = make_step(device, mlp, feed, regime, hyper, params)
    # Batch norm needs full batches: with a single row, all normalised values are 0, and nothing is learnt.
    filled = mlp.norm == "batch"
    advances: dict[int, Advance] = {}  # by batch size: the last batch of an epoch may be smaller
    if after is None:
        after = Fit(state, History(), np.zeros(nets, np.int64), False, np.zeros(nets, np.int64))
    history, best, sane, settled = after.history, after.best, after.sane, after.settled
    diverged_at, stopped_at = after.diverged_at, after.stopped_at
    running = (diverged_at == 0) & (stopped_at == 0)
    whole = None
    steps_per_epoch = batches_per_epoch(rows, regime.batch_size, regime.sampling)
    ends = epoch_ends(regime.num_steps, steps_per_epoch, regime.sampling)
    before = history.rows[-1].seconds if history.rows else 0.0
    ending = Ending(device, regime.max_time, should_stop, before)
    look = ending.before_steps if ending.may_come else None
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
            if history.rows and (ending.interrupted or ending.timed_out):
                so_far = History([*history.rows], [*history.losses])
                bad_so_far = diverged_at.copy()
                whole = Fit(
                    began_with, so_far, bad_so_far, False, stopped_at, best, epoch, sane, settled=settled
                )
            if not losses:
                break
            now, takes_scores = trained(state), watch is not None and watch.takes_scores
            found = measure(device, mlp, now, feed, validation, regime, reg, tables, losses, takes_scores)
            done = len(found.steps)

            loss_before = history.rows[-1].train_loss if history.rows else -np.inf
            sane = divergence.saner(device, sane, began_with, loss_before, found.steps[0], running)
            first = history.losses[0] if history.losses else found.steps[0]
            most = divergence.limits(device, mlp, now, feed, regime, found.train_loss, first)
            first_bad = divergence.first_bad(found.finite, most)
            new = running & (first_bad > 0)
            if new.any():
                diverged_at[new] = start + first_bad[new]
                running = running & ~new

            history.losses.extend(found.steps)
            history.rows.append(
                Row(
                    step=start + done,
                    epoch=(start + done) // steps_per_epoch,
                    learning_rate=_scalar(by_step["rate"][done - 1, ...]),
                    train_loss=_scalar(found.train_loss),
                    train_score=_scalar(found.train_score),
                    val_loss=_scalar(found.val_loss),
                    val_score=_scalar(found.val_score),
                    seconds=ending.seconds,
                )
            )
            value = None
            if watch is not None:
                value = watch.value(found.val_loss, found.unpenalised, found.val_score, found.scores)
                good = state
                if best is None and new.any():  # the best state so far must be finite, too
                    good = divergence.choose(device, diverged_at > 0, sane.state, state)
                best = improve(device, best, good, value, epoch, regime.min_delta, running)
            of_epoch = Epoch(epoch, found.train_loss, found.val_loss, found.val_score, best, value)
            tired = running & stopping.ends(of_epoch)
            if tired.any():
                stopped_at = np.where(tired, start + done, stopped_at)
                running = running & ~tired
                # The other networks continue, and the steps of the stack change its parameters, too.
                if (running.any() or settled is not None) and not regime.restores_best:
                    settled = divergence.choose(device, tired, state, settled or state)
            check_equal(device, state["params"], running, *([] if best is None else [best.value, best.epoch]))
            if on_epoch is not None:
                on_epoch(history)
            if ending.interrupted or done < ends[epoch] - start:
                break
            after = Fit(
                state, history, diverged_at, False, stopped_at, best, epoch + 1, sane, settled=settled
            )
            if on_fit is not None and on_fit(after):
                break
            if ending.after_epoch():
                whole = after
                break

    ended = Fit(
        state,
        history,
        diverged_at,
        ending.interrupted,
        stopped_at,
        best,
        sane=sane,
        timed_out=ending.timed_out,
        settled=settled,
        whole=whole,
    )
    return finished(device, ended, regime)


def _scalar(value: NDArray[Any]) -> Any:
    """Return the values of a stack unchanged, and that of a single network as a Python float."""
    return value if value.ndim else float(value)
