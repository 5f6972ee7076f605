"""Sweeps by Optuna: ask for a stack of trials, train them at once, and report their scores.

::

    import optuna
    from xpnet.runs.config import Config
    from xpnet.sweep import LogUniform
    from xpnet.sweep.asktell import config_for, optimize

    # Without constant_liar, the trials of a stack are too similar.
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(constant_liar=True))
    space = {"learning_rate": LogUniform(1e-3, 1e-1)}
    optimize(study, space, Config(), trials=64)
    config_for(study.best_trial, space, Config())
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xpnet.datasets import Dataset
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.runs.config import Config
from xpnet.sweep.chunk import worth
from xpnet.sweep.runner import run
from xpnet.sweep.space import Choice, Distribution, LogUniform, Uniform, check_fixed, configs
from xpnet.sweep.workers import load_of
from xpnet.values import counted

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

__all__ = ["config_for", "optimize"]


def optimize(
    study: "Study",
    space: Mapping[str, Any],
    base: Config,
    data: Dataset | None = None,
    *,
    trials: int,
    stack: int = 16,
    share_batches: bool = True,
    device: Device | str | None = None,
    max_nets: int | None = None,
    executor: Executor | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """Add trials to a study that maximizes the validation score (accuracy, or R² in regression).

    If ``monitor`` names another measure than the score or the loss, the value is that measure, negated if
    lower is better.

    A trial fails if its network diverges, or if an error, Ctrl-C or ``should_stop`` leaves it unfinished. No
    trial is left in the state "running", unless the process is killed.

    Parameters
    ----------
    study
        The study, which must maximize one value. Its sampler must accept being asked for many trials before
        the first result.
    space
        As for `xpnet.sweep.random`.
    base
        All other settings.
    data
        As for `xpnet.sweep.run`.
    trials
        Number of trials to add.
    stack
        Number of trials to ask for at a time: more train faster, fewer learn more from each other.
    share_batches
        Give all networks the same batches in the same order, those of ``base``, whatever their seeds.
    device, max_nets, executor, should_stop
        As for `xpnet.sweep.run`.

    Raises
    ------
    InputError
        If the study does not maximize one value or has another distribution for a setting, or if settings
        cannot be swept over or do not fit the data.
    """
    if [direction.name for direction in study.directions] != ["MAXIMIZE"]:
        raise InputError(
            'the study must maximize one value, the validation score: create it with direction="maximize"'
        )
    trials, stack = counted("trials", trials), counted("stack", stack)
    if executor is None:
        data = data or load_of(base)  # once for all stacks
    for begin in range(0, trials, stack):
        with _asked(study, min(stack, trials - begin), space, base, share_batches) as asked:
            found = run(
                list(asked.values()),
                data,
                device=device,
                max_nets=max_nets,
                executor=executor,
                should_stop=should_stop,
            )
            numbered = list(asked)
            for row in found.rows:
                if row["status"] != "diverged":
                    study.tell(numbered[row["network"]], worth(row))
        if not found.complete:
            return


def config_for(
    trial: "Trial | FrozenTrial", space: Mapping[str, Any], base: Config, share_batches: bool = True
) -> Config:
    """Return the settings of a trial's network, such as those of ``study.best_trial``.

    Parameters
    ----------
    trial
        A trial of a study that `optimize` has worked on, or one just asked for.
    space, base, share_batches
        As for `optimize`.
    """
    if share_batches and base.batch_seed is None:
        base = replace(base, batch_seed=base.seed)
    point = {name: _suggest(trial, name, given) for name, given in space.items()}
    return configs([point], base, share_batches=False)[0]


@contextmanager
def _asked(
    study: "Study", count: int, space: Mapping[str, Any], base: Config, share_batches: bool
) -> Iterator[dict["Trial", Config]]:
    """Ask for trials; those without a reported result at the end are marked as failed."""
    from optuna.trial import TrialState

    asked: list[Trial] = []
    made: dict[Trial, Config] = {}
    try:
        for _ in range(count):
            # One at a time, so that the sampler sees its earlier suggestions.
            asked.append(study.ask())
            made[asked[-1]] = config_for(asked[-1], space, base, share_batches)
        yield made
    finally:
        for trial in asked:
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)


def _suggest(trial: "Trial | FrozenTrial", name: str, given: Any) -> Any:
    """Return a trial's value of a setting; suggest one if it has none yet."""
    if not isinstance(given, Distribution):
        check_fixed(name, given)
    try:
        match given:
            case LogUniform(low, high):
                return trial.suggest_float(name, low, high, log=True)
            case Uniform(low, high):
                return trial.suggest_float(name, low, high)
            case Choice(values):
                # Optuna stores numbers, text and None; layers such as (300, 100) are stored as text.
                stored = [v if isinstance(v, int | float | str | None) else str(v) for v in values]
                return values[stored.index(trial.suggest_categorical(name, stored))]
            case _:
                return given
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"the study has another distribution for {name} ({reason}): start another study"
        ) from error
