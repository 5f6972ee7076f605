"""``xpnet train``: train a network from the command line and save it in a run folder."""

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xpnet import recipes
from xpnet.commands import flags
from xpnet.commands.console import USER_ERROR, complain, run_command
from xpnet.commands.devices import tell_choice
from xpnet.commands.ending import best_epoch, cost, next_command, scores
from xpnet.commands.launch import on_gpus
from xpnet.datasets import Dataset
from xpnet.device import Team, find_team, is_first, is_several
from xpnet.errors import InputError
from xpnet.reporting import plots
from xpnet.runs.carry_out import carry_out
from xpnet.runs.checkpoints import has_checkpoint
from xpnet.runs.config import Config
from xpnet.runs.defaults import DATASET_DEFAULTS, defaults_for, usual_recipe
from xpnet.runs.names import flag, to_resume
from xpnet.runs.ranges import check_fraction
from xpnet.runs.remedy import remedy
from xpnet.runs.resume import settings_to_resume
from xpnet.runs.run import Run
from xpnet.runs.starting import inherited
from xpnet.text import name_of
from xpnet.training.interrupt import StopSignals

__all__ = ["main"]

NAME = "xpnet train"

SHOWN = 10_000
"""Number of rows that are read from the disk to show the columns."""

ALONE = flag("alone")
"""This flag is looked for before the arguments are read, which happens once for all processes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train the network that the arguments describe; return the exit status of `run_command`.

    If ``mpiexec`` or ``srun`` started several processes, they train one network together, and only the first
    prints anything. With ``--alone``, each process trains a network of its own.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with contextlib.ExitStack() as stack:
        if not is_first() and ALONE not in words:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        return run_command(NAME, lambda signals: _train_together(words, signals))


def _train_together(words: list[str], signals: StopSignals) -> int:
    team = None if ALONE in words else find_team()
    if team is None:
        config = _read_config(words)
    else:
        config = team.first_makes(lambda: _read_config(words))
        if len(set(map(tuple, team.all_have(words)))) > 1:  # which ones would apply?
            raise InputError(
                f"the processes of one network have different arguments: give all the same, or use "
                f"{ALONE} to train a separate network in each"
            )
    if is_several(config.device):
        config = on_gpus(config, words, team)
    return _train(config, signals, team)


def _read_config(argv: Sequence[str] | None) -> Config:
    parser = flags.Parser(
        NAME,
        "Train a fully-connected network and save it in a run folder, with its settings, scores and report.",
        "xpnet train people.csv --target plan --out runs/plans",
        "xpnet train --dataset digits --hidden 100 100 --epochs 20",
    )
    settings = flags.parse(
        parser,
        Config,
        argv,
        defaults=lambda given: defaults_for(Config, given.get("dataset")),
        variants=DATASET_DEFAULTS,
        recipes={name: recipes.path(name) for name in recipes.names()},
        usual=usual_recipe,
        check=lambda given, settings: check_fraction(given, settings["dataset"]),
        file_of=settings_to_resume,
        under=inherited,
    )
    return Config(**settings)


def _note(text: str) -> None:
    complain(NAME, f"note: {text}")


def _train(config: Config, signals: StopSignals, team: Team | None) -> int:
    def show(data: Dataset) -> None:
        if not config.quiet and data.columns is not None:
            rows = f"{len(data.X_train):,} rows to train on, {len(data.X_val):,} to validate on"
            X = data.X_train if isinstance(data.X_train, np.ndarray) else data.X_train[:SHOWN]
            some = "" if len(X) == len(data.X_train) else f" (columns of the first {len(X):,})"
            print(f"{data.columns.overview(X)}\n{data.summary()}; {rows}{some}", flush=True)

    tell_choice(NAME, config)
    folder = config.resume or config.out or ""
    run = carry_out(config, None, signals, folder=folder, team=team, note=_note, on_data=show)
    if not (plots.available() or config.quiet):
        complain(NAME, f"note: no curves.png without matplotlib: {plots.INSTALL}")
    return _report(run, signals)


def _report(run: Run, signals: StopSignals) -> int:
    """Say how the run ended; return the exit status."""
    config, summary = run.config, run.summary
    folder = run.folder or Path()
    if not config.quiet:
        print(scores(summary, run.model.task))
        if best := best_epoch(run):
            print(best)
        print(cost(summary))
        print(f"report: {name_of(folder / 'report.html')}")
        if summary["status"] not in ("diverged", "interrupted"):  # these get a message of their own
            print(f"next: {next_command(folder, config.dataset)}")
    if config.json:
        print(json.dumps(summary))
    sys.stdout.flush()
    match summary["status"]:
        case "diverged":
            complain(NAME, f"error: {remedy(run)}")
            return USER_ERROR
        case "interrupted":
            further = f"{to_resume(folder)} continues from its last complete epoch"
            if not has_checkpoint(folder):
                further = f"no epoch was complete, so {to_resume(folder)} starts over"
            complain(
                NAME,
                f"interrupted after step {summary['steps']}: what was trained so far is in "
                f"{name_of(folder)}; {further}",
            )
            return signals.exit_status
        case _:
            return 0
