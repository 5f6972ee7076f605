"""Fit many estimators at once: networks of the same shape are trained as stacks, one stack per core.

Each estimator ends up as its own ``fit`` would leave it, with NumPy bit for bit. (If one breaks a stack, for
example because its monitor fails, the others are fitted again and draw once more from a
`numpy.random.RandomState`.) Estimators that cannot share a stack, such as those of other libraries or with
callbacks, are fitted alone.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

import joblib  # type: ignore[import-untyped]
import numpy as np
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from xpnet.device import cores, one_blas_thread
from xpnet.device.elsewhere import ask
from xpnet.estimator.beginning import Beginning, Part, Unit
from xpnet.estimator.inputs import own_rows
from xpnet.estimator.jobs import Share
from xpnet.estimator.settings import STACKABLE
from xpnet.nn.mlp import operations
from xpnet.training.history import History
from xpnet.training.together import SHARED_OUT_FROM, kind_of, train_together
from xpnet.warn import carrying

__all__ = ["Outcome", "Part", "Score", "Unit", "fit_together"]

MEMORY_SHARE = 0.6
"""Fraction of the free memory to use: estimates err, and other programs need memory, too."""

WORTH_STACKING = 200_000_000
"""Floating-point operations per step beyond which a larger stack is no faster per network."""


class Score(NamedTuple):
    """The score of an estimator, the seconds it took, and the error raised, if any."""

    value: Any
    seconds: float
    error: Exception | None = None


class Outcome(NamedTuple):
    """The result of a unit: its fitted estimator, its share of the seconds, and the error raised, if any.

    It includes the score, if the estimator was scored where it was fitted.
    """

    estimator: Any
    seconds: float
    error: Exception | None = None
    score: Score | None = None


class _Ready(NamedTuple):
    """A prepared unit: its index, what to train, and the seconds spent so far."""

    place: int
    share: Share
    seconds: float


def fit_together(
    units: Sequence[Unit],
    *,
    n_jobs: int | None = None,
    max_nets: int | None = None,
    executor: Executor | None = None,
    scorer: Callable[..., Any] | None = None,
    on_part: Callable[[float], None] | None = None,
) -> list[Outcome]:
    """Fit estimators, those of the same shape as stacks.

    Parameters
    ----------
    units
        The estimators to fit; units with the same part of the rows should be adjacent.
    n_jobs
        Number of processes, as in `joblib.Parallel`. None and 1 use this process: None with one thread per
        core if the steps of a stack are long enough; short steps spend their time in the interpreter, which
        only one thread can use.
    max_nets
        Maximum number of networks per stack; by default chosen for the machine.
    executor
        Executor to fit on, which must report its number of workers; they take equal shares of the units.
    scorer
        Scores each estimator on the ``test`` rows of its part, but only in other processes, where this runs
        in parallel; in this process, the caller does the scoring.
    on_part
        Called by the training threads with the additional number (or fraction) of units done; for other
        processes, when their tasks end.

    Returns
    -------
    list of Outcome
        In the order of the units.
    """
    tell = on_part or (lambda _part: None)
    if executor is not None:
        number, beside, _ = ask(executor)
        found = _by_executor(units, _shared_out(units, number), max_nets, executor, beside, tell)
    elif n_jobs is None or joblib.effective_n_jobs(n_jobs) == 1:
        threads = cores() if n_jobs is None and _is_long(units) else 1
        found = _by_threads(units, _shared_out(units, threads), max_nets, tell)
    else:
        tasks = _shared_out(units, joblib.effective_n_jobs(n_jobs))
        fit = delayed(_fit_and_score)
        calls = (fit([units[k] for k in places], scorer, max_nets, get_config()) for places in tasks)
        found = {}
        parallel = Parallel(n_jobs, return_as="generator")  # scikit-learn's version passes warning filters on
        for places, outcomes in zip(tasks, parallel(calls), strict=True):
            found.update(zip(places, outcomes, strict=True))
            tell(len(places))
    return [found[place] for place in range(len(units))]


def _by_threads(
    units: Sequence[Unit], tasks: Sequence[list[int]], max_nets: int | None, tell: Callable[[float], None]
) -> dict[int, Outcome]:
    """Fit in this process, each task on a thread."""
    left, config = threading.Event(), get_config()
    found: dict[int, Outcome] = {}
    fit = carrying(_fit)
    with one_blas_thread(), ThreadPoolExecutor(len(tasks)) as pool:
        try:
            futures = {
                pool.submit(
                    fit, [units[k] for k in places], max_nets, config, len(tasks), tell, left.is_set
                ): places
                for places in tasks
            }
            for future in as_completed(futures):
                found.update(zip(futures[future], future.result(), strict=True))
        finally:  # after Ctrl-C, do not wait for the rest
            left.set()
    return found


def _by_executor(
    units: Sequence[Unit],
    tasks: Sequence[list[int]],
    max_nets: int | None,
    executor: Executor,
    beside: int,
    tell: Callable[[float], None],
) -> dict[int, Outcome]:
    """Fit on the workers of an executor, some of which may share the memory of a device."""
    config = get_config()
    found: dict[int, Outcome] = {}
    futures = {
        executor.submit(_fit, [units[k] for k in places], max_nets, config, beside): places
        for places in tasks
    }
    try:
        for future in as_completed(futures):
            found.update(zip(futures[future], future.result(), strict=True))
            tell(len(futures[future]))
    finally:
        for future in futures:
            future.cancel()
    return found


def _is_long(units: Sequence[Unit]) -> bool:
    """Return whether a step with half of the networks is long, judged by the first that can be in a stack."""
    for unit in units:
        with contextlib.suppress(Exception):  # reported when its turn comes
            if (share := Beginning()(Unit(clone(unit.estimator), unit.part))) is not None:
                work = operations(share.job.mlp, share.job.regime.batch_size)
                if not share.device.is_host:  # a GPU needs only one stack
                    return False
                return bool(work * len(units) / cores() >= SHARED_OUT_FROM)
    return False


def _shared_out(units: Sequence[Unit], threads: int) -> list[list[int]]:
    """Return the units of each thread; each gets the same number of every shape."""
    shapes: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        shapes.setdefault(_shape(unit.estimator), []).append(place)
    tasks: list[list[int]] = [[] for _ in range(threads)]
    for places in shapes.values():
        for k, some in enumerate(np.array_split(places, threads)):
            tasks[k] += some.tolist()
    return [task for task in tasks if task]


def _shape(estimator: Any) -> str:
    """Return a key that differs for estimators that cannot share a stack, as far as parameters show this."""
    return repr(
        [
            (name, value)
            for name, value in sorted(estimator.get_params().items())
            if name.rpartition("__")[2] not in STACKABLE and not hasattr(value, "get_params")
        ]
    )


def _fit(
    units: Sequence[Unit],
    max_nets: int | None,
    config: Mapping[str, Any],
    threads: int = 1,
    tell: Callable[[float], None] = lambda _part: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Fit some units on this thread, one of several, or in a worker of an executor.

    scikit-learn's configuration is per thread; here it is set to that of the caller.
    """
    found: dict[int, Outcome] = {}
    waiting: list[_Ready] = []
    begin, room, taken = Beginning(), 0, 0
    with one_blas_thread(), config_context(**config):
        for place, unit in enumerate(units):
            if should_stop():
                break
            began = time.perf_counter()
            try:
                share = begin(unit)
            except Exception as error:  # a pipeline step may raise anything; a search counts it as failed
                found[place] = Outcome(unit.estimator, time.perf_counter() - began, error)
            else:
                if share is None:
                    found[place] = _alone(unit)
            if place in found or share is None:
                tell(1.0)
                continue
            room = room or int(MEMORY_SHARE * share.device.free_memory() / threads)
            taken += begin.bytes_of(share)
            if taken > room and waiting:  # train these first, to free their rows
                found |= _train_all(units, waiting, max_nets, tell, should_stop)
                waiting, begin, taken = [], Beginning(), begin.bytes_of(share)
            waiting.append(_Ready(place, share, time.perf_counter() - began))
        found |= _train_all(units, waiting, max_nets, tell, should_stop)
    return [found[place] for place in sorted(found)]


def _fit_and_score(
    units: Sequence[Unit], scorer: Callable[..., Any] | None, max_nets: int | None, config: Mapping[str, Any]
) -> list[Outcome]:
    """Fit some units in a separate process, and score them."""
    outcomes = _fit(units, max_nets, config)
    if scorer is None:
        return outcomes
    with one_blas_thread(), config_context(**config):
        return [
            outcome if outcome.error else outcome._replace(score=_score(outcome.estimator, unit.part, scorer))
            for outcome, unit in zip(outcomes, units, strict=True)
        ]


def _score(estimator: Any, part: Part, scorer: Callable[..., Any]) -> Score | None:
    """Return the score on the test rows."""
    if part.test is None:
        return None
    began, value, error = time.perf_counter(), None, None
    try:
        value = scorer(estimator, *map(own_rows, part.test))
    except Exception as raised:  # the search raises it again, or counts it as failed
        error = raised
    return Score(value, time.perf_counter() - began, error)


def _alone(unit: Unit) -> Outcome:
    """Fit a unit separately."""
    began, error = time.perf_counter(), None
    try:
        unit.estimator.fit(own_rows(unit.part.X), own_rows(unit.part.y), **unit.part.params)
    except Exception as raised:  # as above
        error = raised
    return Outcome(unit.estimator, time.perf_counter() - began, error)


def _train_all(
    units: Sequence[Unit],
    waiting: Sequence[_Ready],
    max_nets: int | None,
    tell: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> dict[int, Outcome]:
    """Train the waiting units, each kind as a stack, or as several if there are many."""
    kinds: dict[tuple[Any, ...], list[_Ready]] = {}
    for ready in waiting:
        kinds.setdefault((ready.share.device.options, *kind_of(ready.share.job)), []).append(ready)
    found: dict[int, Outcome] = {}
    for same in kinds.values():
        count = -(-len(same) // min(max_nets or len(same), _suiting(same[0].share)))
        for some in np.array_split(np.arange(len(same)), count):
            if not should_stop():
                found |= _train(units, [same[k] for k in some], tell, should_stop)
    return found


def _train(
    units: Sequence[Unit],
    stack: Sequence[_Ready],
    tell: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> dict[int, Outcome]:
    """Train units of one kind as a stack."""
    began, told = time.perf_counter(), 0.0
    device, steps = stack[0].share.device, stack[0].share.job.regime.num_steps

    def on_epoch(history: History) -> None:
        nonlocal told
        done = len(stack) * len(history.losses) / steps
        tell(done - told)
        told = done

    try:
        jobs = [ready.share.job for ready in stack]
        results = train_together(jobs, device, on_epoch=on_epoch, should_stop=should_stop)
    except Exception:  # one network may have broken the stack, for example by a monitor that fails
        tell(len(stack) - told)
        return {ready.place: _alone(units[ready.place]) for ready in stack}
    tell(len(stack) - told)  # some have stopped early
    seconds = (time.perf_counter() - began) / len(stack)
    found = {}
    for ready, result in zip(stack, results, strict=True):
        began, raised = time.perf_counter(), None
        try:
            ready.share.take(result, ready.seconds + seconds)
        except Exception as error:  # for example, a warning turned into an error: the candidate has failed
            raised = error
        whole = ready.seconds + seconds + time.perf_counter() - began
        found[ready.place] = Outcome(units[ready.place].estimator, whole, raised)
    return found


def _suiting(share: Share) -> int:
    """Return a suitable number of networks per stack.

    Stacking saves calls, which matters little when a network's own work takes long.
    """
    if not share.device.is_host:
        return sys.maxsize
    least: int = -(-WORTH_STACKING // operations(share.job.mlp, share.job.regime.batch_size))
    return max(1, least)
