"""``xpnet sweep``: train a grid of networks, or random draws, as stacks."""

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from xpnet import recipes
from xpnet.commands import flags
from xpnet.commands.console import USER_ERROR, complain, run_command
from xpnet.commands.devices import tell_choice
from xpnet.commands.ending import next_command
from xpnet.errors import InputError
from xpnet.reporting import plots
from xpnet.reporting.metrics import named
from xpnet.runs.config import Config
from xpnet.runs.defaults import DATASET_DEFAULTS, defaults_for, usual_recipe
from xpnet.runs.names import flag
from xpnet.runs.ranges import check_fraction
from xpnet.runs.settings import setting
from xpnet.runs.starting import inherited
from xpnet.sweep import space
from xpnet.sweep.gpus import names_of
from xpnet.sweep.interruption import what_is_kept
from xpnet.sweep.runner import Sweep
from xpnet.sweep.search import carry_out, configs_of, folder_of
from xpnet.sweep.table import as_text, show, varied
from xpnet.sweep.workers import options_of
from xpnet.text import for_shell, name_of
from xpnet.training.interrupt import StopSignals
from xpnet.values import counted

__all__ = ["main"]

NAME = "xpnet sweep"

SHOWN = 20
"""Maximum number of networks in the printed table: it holds the best."""

MPI = "mpi"
DESCRIPTION = """\
Train every combination of the given values, many networks at a time as one stack. --ablation starts from
the first value of each setting and changes one setting at a time. --random N trains N random draws: two
values of a decimal setting are the ends of a range (log-uniform if both are above 0); for any other setting,
each draw takes one of its values. Several --train-rows give learning curves; add several --seed to see how
much they vary.
"""
EXAMPLES = (
    "xpnet sweep --learning-rate 0.01 0.02 --hidden 300 --hidden 100 100",
    "xpnet sweep --random 50 --learning-rate 1e-3 1e-1 --reg 1e-4 1e-1 --halving",
    "xpnet sweep --train-rows 100 300 1000 --seed 0 1 2",
)

_sweep_setting = partial(setting, group="sweep", common=True)


@dataclass(frozen=True)
class SweepConfig(Config):
    """The settings of a sweep, in addition to those of its networks."""

    out: str | None = setting(
        None,
        "output folder (default: runs/sweep-<dataset>-<digest of the settings>)",
        group="output",
        recorded=False,
        common=True,
        path=True,
    )
    ablation: bool = _sweep_setting(False, "change one setting at a time, instead of training the whole grid")
    random: int | None = _sweep_setting(None, "train N random draws, instead of the whole grid")
    random_seed: int = _sweep_setting(0, "seed of the random draws")
    own_batches: bool = _sweep_setting(
        False,
        "draw the batches of each network from its own seed; by default all networks share the "
        "batches of the first",
    )
    halving: bool = _sweep_setting(
        False, "successive halving: after each rung, only the better half of the networks continues"
    )
    max_nets: int | None = _sweep_setting(
        None, "maximum number of networks in a stack; by default as many as fit into memory and cache"
    )
    ensemble_of: int | None = _sweep_setting(
        None, "build an ensemble of up to N trained networks, chosen on the validation rows, in ensemble/"
    )
    scheduler: str | None = _sweep_setting(
        None,
        "address of a Dask scheduler whose workers train the networks; or mpi, to train them in "
        "the other processes that mpiexec starts",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Train the networks that the arguments describe; return the exit status of `run_command`."""
    return run_command(NAME, lambda signals: _work(sys.argv[1:] if argv is None else argv, signals))


def _work(argv: Sequence[str], signals: StopSignals) -> int:
    """Read the arguments and train. With MPI, the first process does so, and the others work for it."""
    # With MPI, connect before reading the settings: then one process reports what is wrong with them.
    settings = None if _names_mpi(argv) else _read_settings(argv)
    if settings is not None and settings["scheduler"] != MPI:  # a settings file may say so
        return _sweep(settings, signals)
    from xpnet.sweep import mpi

    with mpi.connect() as executor:
        return 0 if executor is None else _sweep(settings or _read_settings(argv), signals, executor)


def _names_mpi(argv: Sequence[str]) -> bool:
    """Return whether a flag asks for MPI, whatever else is given."""
    return f"--scheduler={MPI}" in argv or ("--scheduler", MPI) in pairwise(argv)


def _read_settings(argv: Sequence[str] | None) -> dict[str, Any]:
    return flags.parse(
        flags.Parser(NAME, DESCRIPTION, *EXAMPLES),
        SweepConfig,
        argv,
        defaults=lambda given: defaults_for(SweepConfig, given.get("dataset")),
        variants=DATASET_DEFAULTS,
        recipes={name: recipes.path(name) for name in recipes.names()},
        usual=usual_recipe,
        under=lambda given, whole: inherited(given, whole, _several()),
        check=lambda given, settings: check_fraction(given, settings["dataset"]),
        several=_several(),
        hidden=("alone", "bagging", "checkpoint_every", "ensemble", "resume", "tensorboard"),  # refused below
    )


def _several() -> list[str]:
    return [f.name for f in fields(Config) if f.name not in space.SAME_FOR_ALL]


def _configs(settings: dict[str, Any]) -> list[Config]:
    """Return the settings of each network."""
    several = _several()
    values = {n: v if isinstance(v := settings[n], tuple) else (v,) for n in several}
    base = {f.name: settings[f.name] for f in fields(Config) if f.name not in several}
    first = Config(**base, **{name: given[0] for name, given in values.items()})
    lists = {name: list(given) for name, given in values.items() if len(given) > 1}
    how = {name: settings[name] for name in ("ablation", "random", "random_seed", "own_batches")}
    return configs_of(lists, first, **how)


def _sweep(settings: dict[str, Any], signals: StopSignals, executor: Executor | None = None) -> int:
    """Train the networks of the settings: in an executor, on a scheduler's workers, or on this machine."""
    configs = _configs(settings)
    if settings["ensemble_of"] is not None:  # before anything is trained
        counted(flag("ensemble_of"), settings["ensemble_of"])
    out = configs[0].out or folder_of(configs, settings["halving"])
    workers: AbstractContextManager[Any] = nullcontext(executor)
    if executor is not None:
        names_of(options_of(configs[0], None), executor)
    elif settings["scheduler"] is not None:
        if ":" not in settings["scheduler"]:  # perhaps meant as in PyTorch: for the learning rate
            raise InputError(
                f"--scheduler must be mpi or the address of a Dask scheduler, such as tcp://HOST:8786, "
                f"not {settings['scheduler']!r}: for the learning-rate schedule use --schedule"
            )
        # Refuse several GPUs before waiting for a scheduler: its workers cannot use them.
        names_of(options_of(configs[0], None), settings["scheduler"])
        from xpnet.sweep.cluster import connect

        workers = connect(settings["scheduler"])
    else:
        tell_choice(NAME, configs[0])
    with workers as elsewhere:
        found = carry_out(
            configs,
            None,
            folder=out,
            signals=signals,
            halving=settings["halving"],
            max_nets=settings["max_nets"],
            executor=elsewhere,
            note=lambda text: complain(NAME, f"note: {text}"),
        )
    if not found.complete:
        kept = what_is_kept(len(found.rows), len(found.configs), out)
        onwards = "continue" if found.rows else "start over"
        raise KeyboardInterrupt(f"interrupted {kept}; run the same command again to {onwards}")
    return _report(found, Path(out), settings)


def _report(found: Sweep, folder: Path, settings: dict[str, Any]) -> int:
    """Print the results and where the files are; return the exit status."""
    if not settings["quiet"]:
        if not plots.available():
            complain(NAME, f"note: no pictures without matplotlib: {plots.INSTALL}")
        print(as_text(found.configs, found.rows[:SHOWN], found.score))
        if (more := len(found.rows) - SHOWN) > 0:
            print(f"and {more} more in {name_of(folder / 'results.csv')}")
    if found.best is None:
        complain(NAME, f"error: every network diverged: {found.remedy}; the table is in {folder}")
        return USER_ERROR
    row, summary = found.rows[0], found.best.summary
    ensemble = None
    if settings["ensemble_of"] is not None:
        ensemble = found.ensemble(settings["ensemble_of"])
        ensemble.save(folder / "ensemble", force=True)
    if not settings["quiet"]:
        config = found.configs[row["network"]]
        differing = [f"{name} {show(getattr(config, name)) or 'none'}" for name in varied(found.configs)]
        which = f" ({', '.join(differing)})" if differing else ""
        print(f"best: network {row['network']}{which}, {_scores(summary, found.score)}")
        if ensemble is not None:
            numbers = ", ".join(map(str, ensemble.summary["networks"]))
            print(f"ensemble: networks {numbers}: {_scores(ensemble.summary, found.score)}")
        print(f"table: {name_of(folder / 'results.csv')}")
        reports = [folder / "report.html"]
        reports += [] if ensemble is None else [folder / "ensemble" / "report.html"]
        print(f"report: {', '.join(map(name_of, reports))}")
        predictor = folder if ensemble is None else folder / "ensemble"
        print(f"next: {next_command(predictor, settings['dataset'])}")
        print(f"      xpnet train --config {for_shell(folder / 'best' / 'config.json')}")
    if settings["json"]:
        chosen = {} if ensemble is None else {"ensemble": ensemble.summary}
        print(json.dumps({"network": row["network"], "out": str(folder), **summary, **chosen}))
    return 0


def _scores(summary: Mapping[str, Any], score: str) -> str:
    """Return the validation and test scores of a run, as text."""
    test = summary[f"test_{score}"]
    of_test = "" if test is None else f", test {named(test, score)}"
    return f"validation {named(summary[f'val_{score}'], score)}{of_test}"
