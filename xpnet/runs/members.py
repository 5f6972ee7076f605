"""The networks of an ensemble, trained as several stacks at once: one per CPU core.

A stack of small networks saves calls. Two stacks with one BLAS thread each use two cores better than one
stack with two BLAS threads. The results do not depend on which networks share a stack, not even by a bit.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from xpnet.device import Device
from xpnet.nn.mlp import MLP
from xpnet.runs.config import Config
from xpnet.runs.networks import train
from xpnet.runs.preparation import Prepared
from xpnet.training.divergence import Sane
from xpnet.training.history import History, Row
from xpnet.training.result import Fit
from xpnet.training.stopping import Best
from xpnet.typing import State
from xpnet.warn import carrying

__all__ = ["joined_history", "train_apart"]


def train_apart(
    stacks: Sequence[Sequence[Config]],
    mlp: MLP,
    prepared: Prepared,
    device: Device,
    *,
    on_epoch: Callable[[History], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    whole: bool = False,
) -> Fit:
    """Train each stack of networks on its own thread, and return them as one stack.

    Parameters
    ----------
    stacks
        Settings of the networks of each stack.
    mlp, prepared, device
        As for `xpnet.runs.networks.train`; the device is the host.
    on_epoch
        Called on this thread with the history of all networks, up to the last epoch that all stacks have
        finished.
    should_stop
        Called by one stack at a time; if it returns true, all stop.
    whole
        Whether all stacks then stop after the same epoch, the last that any of them has reached, so that
        training can be resumed. By default they stop at once.
    """
    running, stop = set(range(len(stacks))), threading.Event()
    histories = [History() for _ in stacks]
    news: queue.SimpleQueue[None] = queue.SimpleQueue()
    looking = threading.Lock()
    last = 0  # epoch, from 1, after which all should stop; 0 if none

    def asked(stack: int) -> bool:
        nonlocal last
        with looking:  # so that no stack takes more than one step beyond the agreed epoch
            if stop.is_set():
                return True
            if not last and should_stop is not None and stack == min(running) and should_stop():
                last = 1 + max(len(history.rows) for history in histories)
                if not whole:
                    stop.set()
            return stop.is_set() or (last > 0 and len(histories[stack].rows) >= last)

    def run(stack: int) -> Fit:
        def tell(history: History) -> None:
            histories[stack] = history
            news.put(None)

        try:
            before = sum(len(each) for each in stacks[:stack])
            begin = prepared.begin[before : before + len(stacks[stack])]
            return train(
                stacks[stack],
                mlp,
                replace(prepared, begin=begin),
                device,
                on_epoch=tell,
                should_stop=lambda: asked(stack),
            )
        finally:
            running.discard(stack)
            news.put(None)

    with ThreadPoolExecutor(len(stacks)) as threads:
        futures = [threads.submit(carrying(run), stack) for stack in range(len(stacks))]
        try:
            joined = History()
            while True:  # the last message of a stack comes after it has ended
                news.get()
                left = tuple(running)
                behind = [len(histories[stack].rows) for stack in left]
                done = min(behind or [max(len(history.rows) for history in histories)])
                while on_epoch is not None and len(joined.rows) < done:
                    _add_epoch(joined, histories)
                    on_epoch(joined)
                if not left or any(future.done() and future.exception() for future in futures):
                    break
        finally:
            if running:
                stop.set()
        return _joined([future.result() for future in futures])


def _joined(fits: Sequence[Fit]) -> Fit:
    """Return the results of several stacks as one."""
    bests = [fit.best for fit in fits if fit.best is not None]
    best = None
    if len(bests) == len(fits):
        best = Best(
            _joined_states([each.state for each in bests]),
            _side_by_side([each.value for each in bests]),
            _side_by_side([each.epoch for each in bests]),
        )
    return Fit(
        _joined_states([fit.state for fit in fits]),
        joined_history([fit.history for fit in fits]),
        _side_by_side([fit.diverged_at for fit in fits]),
        any(fit.interrupted for fit in fits),
        _side_by_side([fit.stopped_at for fit in fits]),
        best,
        timed_out=any(fit.timed_out for fit in fits),
        whole=_whole(fits),
    )


def _whole(fits: Sequence[Fit]) -> Fit | None:
    """Return the state to resume from, if all stacks were cut off after the same epoch or had ended."""
    cut = [fit.interrupted or fit.timed_out for fit in fits]
    parts = [fit.whole if was_cut else fit for fit, was_cut in zip(fits, cut, strict=True)]
    known = [part for part in parts if part is not None]
    epochs = {part.epoch for part, was_cut in zip(parts, cut, strict=True) if part is not None and was_cut}
    if len(known) < len(fits) or len(epochs) != 1:
        return None
    (epoch,) = epochs
    if max(len(part.history.rows) for part in known) != epoch:
        return None
    joined = _joined([replace(part, interrupted=False, timed_out=False, whole=None) for part in known])
    # A stack that has ended does not change any more, so its state is the sane one.
    ended = [Sane(part.state, np.full(part.diverged_at.shape, -np.inf)) for part in known]
    each = [part.sane or of_ended for part, of_ended in zip(known, ended, strict=True)]
    sane = Sane(_joined_states([one.state for one in each]), _side_by_side([one.value for one in each]))
    return replace(joined, epoch=epoch, sane=sane)


def _side_by_side(values: Sequence[Any]) -> Any:
    """Join the measurements of all stacks; those of a stack of one network have no axis."""
    return np.concatenate([np.atleast_1d(value) for value in values])


def _joined_states(states: Sequence[State]) -> State:
    is_one = [state["params"]["W1"].ndim == 2 for state in states]
    return {
        kind: {
            name: np.concatenate(
                [
                    state[kind][name][None] if one else state[kind][name]
                    for state, one in zip(states, is_one, strict=True)
                ]
            )
            for name in arrays
        }
        for kind, arrays in states[0].items()
    }


def joined_history(histories: Sequence[History]) -> History:
    """Return the joint history of all stacks or networks; one that ended earlier keeps its last values."""
    joined = History()
    for _ in range(max(len(history.rows) for history in histories)):
        _add_epoch(joined, histories)
    return joined


def _add_epoch(joined: History, histories: Sequence[History]) -> None:
    """Add the next epoch of all stacks; one that ended earlier keeps its last values."""
    whole = [history for history in histories if history.rows]
    epoch = len(joined.rows)
    of_stacks = [history.rows[min(epoch, len(history.rows) - 1)] for history in whole]
    latest = max(of_stacks, key=lambda row: row.step)
    measured = {
        name: _side_by_side([getattr(row, name) for row in of_stacks])
        for name in Row._fields
        if name not in ("step", "epoch", "seconds")
    }
    seconds = max(row.seconds for row in of_stacks)
    joined.rows.append(Row(step=latest.step, epoch=latest.epoch, seconds=seconds, **measured))
    joined.losses += [
        _side_by_side([history.losses[min(step, len(history.losses) - 1)] for history in whole])
        for step in range(len(joined.losses), latest.step)
    ]
