"""Train networks that were set up separately as stacks: folds, candidates of a search, ensemble members.

Each network gets the same result as on its own, with NumPy bit for bit. Networks of the same shape share a
stack, whatever their rows and hyper-parameters. A network that has ended leaves it, and the others continue.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.data.feed import Feed
from xpnet.data.host_rows import HostRows
from xpnet.data.pool import pool
from xpnet.device import Device, dtype_name
from xpnet.nn.mlp import MLP
from xpnet.training.history import History
from xpnet.training.loop import fit
from xpnet.training.regime import Hyper, Regime
from xpnet.training.result import Fit, finished
from xpnet.training.scale import Scale
from xpnet.training.schedules import Schedule
from xpnet.training.slices import of_networks
from xpnet.training.step import initial_state
from xpnet.training.stopping import Best, Epoch, Stopping
from xpnet.typing import Params, State

__all__ = ["SHARED_OUT_FROM", "Job", "kind_of", "train_together"]

SHARED_OUT_FROM = 1.5e8
"""Minimum number of floating-point operations in a step of the largest stack for which a stack on each core
is probably faster, according to ``benchmarks/sweep.py --stack-sizes``. With fewer, most of a step is spent in
the Python interpreter, which only one core can use at a time.
"""

LEAVING = 4
"""If a smaller stack must be compiled or captured again, it is made only once one in so many has ended."""


Streams: TypeAlias = Callable[[str, int], Any]
"""``streams(stream, epoch)``: `xpnet.training.draws.Sources` of a single network."""


@dataclass(frozen=True, eq=False)
class Job:
    """A network to train, or several with the same rows and settings: what `xpnet.training.loop.fit` takes.

    Attributes
    ----------
    mlp, feed, validation, regime, hyper, schedule, stopping, target, updates
        As for `fit`.
    state
        On the device: the parameters, ``(…)`` for one network or ``(members, …)``, and, if training
        continues, the solver's state.
    streams
        Sources of randomness of each network.
    """

    mlp: MLP
    state: State = field(repr=False)
    feed: Feed = field(repr=False)
    validation: Feed | None = field(repr=False)
    regime: Regime
    hyper: Hyper
    streams: Sequence[Streams] = field(repr=False)
    schedule: Schedule
    stopping: Stopping
    target: Scale | None = None
    updates: int = 0

    @property
    def members(self) -> int:
        """Number of networks."""
        return len(self.streams)


def kind_of(job: Job) -> tuple[Any, ...]:
    """Return a key that is equal for jobs that can share a stack."""
    return (
        job.mlp,
        job.regime,
        job.updates,
        None if len(job.state) == 1 else id(job),
        dtype_name(job.state["params"]["W1"]),
        _rows_of(job.feed),
        None if job.validation is None else _rows_of(job.validation),
    )


def _rows_of(feed: Feed) -> tuple[Any, ...]:
    """Return a key that is equal for feeds that can be pooled; one that prepares batches cannot."""
    lone = feed.prepare is not None or bool(feed.augmentation)
    of_X = feed.X.shape[1:], isinstance(feed.X, HostRows)
    return feed.num_rows, *of_X, feed.y.shape[1:], feed.weight is None, id(feed) if lone else None


def train_together(
    jobs: Sequence[Job],
    device: Device,
    *,
    on_epoch: Callable[[History], None] | None = None,
    on_fit: Callable[[Fit], Any] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Fit]:
    """Train jobs of one kind as one stack.

    Parameters
    ----------
    jobs
        Jobs with the same `kind_of`.
    device
        The device of their arrays.
    on_epoch, on_fit, should_stop
        As for `fit`; arrays and history are those of the jobs that are still being trained.

    Returns
    -------
    list of Fit
        The result of each job. If ``should_stop`` ended the training, jobs that had not ended are cut off.
    """
    members = [job.members for job in jobs]
    ends = np.cumsum([0, *members])
    places = [np.arange(begin, end) for begin, end in pairwise(ends)]
    first, lone = jobs[0], len(jobs) == 1
    with device.active():
        feed = _pooled(device, [job.feed for job in jobs], members)
        validation = None
        if first.validation is not None:
            validation = _pooled(device, [job.validation for job in jobs if job.validation], members)
    results: dict[int, Fit] = {}
    alive = list(range(len(jobs)))
    after: Fit | None = None
    while alive:
        some = [jobs[k] for k in alive]
        chosen = np.concatenate([places[k] for k in alive])
        nets = np.cumsum([0, *(job.members for job in some)])
        of_job = [np.arange(begin, end) for begin, end in pairwise(nets)]
        ended: list[int] = []  # indices into `some`
        reached: Fit | None = None

        def look(now: Fit) -> bool:
            """Note, after an epoch, which jobs have ended; return whether to rebuild the stack."""
            nonlocal reached, ended
            reached = now
            asked = on_fit is not None and bool(on_fit(now))
            if lone:
                return asked
            over = np.atleast_1d((now.diverged_at > 0) | (now.stopped_at > 0))
            ended = [k for k, of in enumerate(of_job) if over[of].all()]  # noqa: B023 - called in this round
            enough = 1 if device.is_host else -(-len(some) // LEAVING)  # noqa: B023
            return asked or enough <= len(ended) < len(some)  # noqa: B023

        result = _fit(
            some,
            device,
            _some(device, feed, chosen),
            _some(device, validation, chosen),
            lone=lone,
            after=after,
            on_epoch=on_epoch,
            on_fit=look,
            should_stop=should_stop,
        )
        if lone:
            return [result]
        left = [k for k in range(len(some)) if k not in set(ended)]
        cut = result.interrupted or result.timed_out or not (ended and left)
        if cut or reached is None or len(reached.history.losses) >= first.regime.num_steps:
            for k, of in zip(alive, of_job, strict=True):
                results[k] = of_networks(device, result, of, jobs[k].members == 1)
            break
        for k in ended:
            of_ended = of_networks(device, reached, of_job[k], some[k].members == 1)
            results[alive[k]] = finished(device, of_ended, first.regime)
        after = of_networks(device, reached, np.concatenate([of_job[k] for k in left]))
        alive = [alive[k] for k in left]
    return [results[k] for k in range(len(jobs))]


def _fit(
    jobs: Sequence[Job],
    device: Device,
    feed: Feed,
    validation: Feed | None,
    *,
    lone: bool,
    after: Fit | None,
    **callbacks: Any,
) -> Fit:
    """Train jobs as one stack; a single job keeps the axes of its parameters."""
    first, members = jobs[0], [job.members for job in jobs]
    hyper = first.hyper if lone else _joined([job.hyper for job in jobs], members)
    if after is not None:
        state = after.state
    else:
        with device.active():
            params = first.state["params"] if lone else _side_by_side(device, jobs)
            state = initial_state(device, params, first.regime, hyper)
        state |= {kind: of for kind, of in first.state.items() if kind in state and kind != "params"}
    streams = [of for job in jobs for of in job.streams]

    def sources(stream: str, epoch: int) -> Any:
        each = [of(stream, epoch) for of in streams]
        return each[0] if lone and len(each) == 1 else each

    return fit(
        first.mlp,
        state,
        feed,
        validation,
        device=device,
        regime=first.regime,
        hyper=hyper,
        sources=sources,
        schedule=first.schedule if lone else _Schedules([job.schedule for job in jobs], members),
        stopping=first.stopping if lone else _Stoppings([job.stopping for job in jobs], members),
        target=first.target if lone else [job.target for job in jobs for _ in range(job.members)],
        updates=first.updates,
        after=after,
        **callbacks,
    )


def _pooled(device: Device, feeds: Sequence[Feed], members: Sequence[int]) -> Feed:
    """Return the rows of all networks; rows that several share occur once."""
    if all(feed is feeds[0] for feed in feeds) and feeds[0].own is None:
        return feeds[0]
    return pool(device.xp, feeds, members)


def _some(device: Device, feed: Any, networks: NDArray[np.int64]) -> Any:
    """Return the feed of some networks of the stack."""
    if feed is None or feed.own is None or feed.own.shape[0] == len(networks):
        return feed
    with device.active():
        return feed.some(device.xp, device.put(networks))


def _side_by_side(device: Device, jobs: Sequence[Job]) -> Params:
    """Return the parameters of all networks, ``(nets, …)``."""
    each = [job.state["params"] for job in jobs]
    alone = [job.members == 1 for job in jobs]
    return {
        name: device.xp.concat(
            [of[name][None, ...] if one else of[name] for of, one in zip(each, alone, strict=True)]
        )
        for name in each[0]
    }


def _joined(hypers: Sequence[Hyper], members: Sequence[int]) -> Hyper:
    """Return the hyper-parameters of all networks, ``(nets,)`` each."""
    each = {
        f.name: [np.broadcast_to(getattr(h, f.name), (n,)) for h, n in zip(hypers, members, strict=True)]
        for f in fields(Hyper)
    }
    return Hyper(**{name: np.concatenate(values).astype(np.float64) for name, values in each.items()})


class _Schedules:
    """The schedules of jobs, side by side."""

    def __init__(self, each: Sequence[Schedule], members: Sequence[int]) -> None:
        ends = np.cumsum([0, *members])
        self._each, self._nets = each, int(ends[-1])
        self._places = [slice(begin, end) for begin, end in pairwise(ends)]

    def by_step(self, steps: range, epoch: int, updates: int) -> dict[str, NDArray[np.float64]]:
        each = [schedule.by_step(steps, epoch, updates) for schedule in self._each]
        found = {name: np.empty((len(steps), self._nets)) for name in each[0]}
        for name, joined in found.items():
            for of_one, nets in zip(each, self._places, strict=True):
                joined[:, nets] = np.reshape(of_one[name], (len(steps), -1))
        return found

    def carried(self) -> NDArray[np.float64]:
        found = np.empty(self._nets)
        for schedule, nets in zip(self._each, self._places, strict=True):
            found[nets] = schedule.carried()
        return found


class _Stoppings:
    """The stopping rules of jobs, side by side."""

    def __init__(self, each: Sequence[Stopping], members: Sequence[int]) -> None:
        ends = np.cumsum([0, *members])
        places = [begin if end - begin == 1 else slice(begin, end) for begin, end in pairwise(ends)]
        self._each = list(zip(each, places, strict=True))

    def ends(self, epoch: Epoch) -> NDArray[np.bool_]:
        found = []
        for stopping, k in self._each:
            best = epoch.best
            if best is not None:
                best = Best(best.state, best.value[k], best.epoch[k])
            value = None if epoch.value is None else epoch.value[k]
            losses = epoch.train_loss[k], epoch.val_loss[k]
            found.append(
                np.atleast_1d(stopping.ends(Epoch(epoch.number, *losses, epoch.val_score[k], best, value)))
            )
        return np.concatenate(found)
