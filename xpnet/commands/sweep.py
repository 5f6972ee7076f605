"""``xpnet sweep``: train a grid of networks, or random draws, as stacks."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xpnet import datasets, recipes
from xpnet.commands import flags
from xpnet.commands.console import USER_ERROR, complain, run_command
from xpnet.datasets import Dataset
from xpnet.device import get_device
from xpnet.errors import InputError
from xpnet.files import replacing
from xpnet.reporting import plots
from xpnet.reporting.metrics import named
from xpnet.runs import folder as run_folder
from xpnet.runs.config import DATASET_DEFAULTS, Config, defaults_for
from xpnet.runs.experiment import record
from xpnet.runs.preparation import check, prepare
from xpnet.runs.settings import setting
from xpnet.sweep import display, space
from xpnet.sweep import plots as sweep_plots
from xpnet.sweep.plan import count_halvings, total_steps
from xpnet.sweep.runner import Sweep, run
from xpnet.sweep.store import recorded
from xpnet.sweep.table import as_text, write_csv
from xpnet.training.history import SCORE_OF
from xpnet.training.interrupt import StopSignals
from xpnet.training.loop import Fit

__all__ = ["main"]

NAME = "xpnet sweep"
DESCRIPTION = """\
Train every combination of the values given, many networks at a time as one stack. With --ablation, only the
first value of each setting together, and each further value alone changed. With --random N, N draws instead:
two values of a setting with a decimal range are its ends, log-uniform if both are above 0; of any other
values each draw takes one.
"""
EXAMPLES = (
    "xpnet sweep --learning-rate 0.01 0.02 --hidden 300 --hidden 100 100",
    "xpnet sweep --random 50 --learning-rate 1e-3 1e-1 --reg 1e-4 1e-1 --halving",
)

SINGLE = (
    *space.SAME_FOR_ALL,
    "weights_image",
    "tensorboard",
    "checkpoint_every",
    "resume",
    "out",
    "json",
    "quiet",
)
"""Settings of `Config` that take one value."""


_sweep_setting = partial(setting, group="sweep", common=True)


@dataclass(frozen=True)
class SweepConfig(Config):
    """The settings of a sweep beside those of its networks."""

    out: str | None = setting(
        None,
        "folder to write, by default runs/sweep-<dataset>-<digest of the settings>",
        group="output",
        recorded=False,
        common=True,
        path=True,
    )
    ablation: bool = _sweep_setting(False, "vary one setting at a time, instead of the whole grid")
    random: int | None = _sweep_setting(None, "number of random draws, instead of the whole grid")
    random_seed: int = _sweep_setting(0, "seed of the random draws")
    own_batches: bool = _sweep_setting(
        False, "give each network batches of its own seed; else all share the first's"
    )
    halving: bool = _sweep_setting(False, "successive halving: after each rung only the better half goes on")
    max_nets: int | None = _sweep_setting(
        None, "most networks in a stack, by default as many as fit memory and cache"
    )
    scheduler: str | None = _sweep_setting(None, "address of a Dask scheduler whose workers train")


def main(argv: Sequence[str] | None = None) -> int:
    """Train the networks that the arguments describe.

    Parameters
    ----------
    argv
        Arguments; those of the process by default.

    Returns
    -------
    int
        0; 2 after an error that a user can mend; 130 after Ctrl-C. Each but 0 with one line on standard
        error that says why.
    """
    return run_command(NAME, lambda signals: _sweep(_read_settings(argv), signals))


def _read_settings(argv: Sequence[str] | None) -> dict[str, Any]:
    return flags.parse(
        flags.Parser(NAME, DESCRIPTION, *EXAMPLES),
        SweepConfig,
        argv,
        defaults=lambda given: defaults_for(given.get("dataset"), SweepConfig),
        variants=DATASET_DEFAULTS,
        recipes={name: recipes.path(name) for name in recipes.names()},
        several=_several(),
        hidden=("checkpoint_every", "ensemble", "resume", "tensorboard"),  # refused below
    )


def _several() -> list[str]:
    return [f.name for f in fields(Config) if f.name not in SINGLE]


def _configs(settings: dict[str, Any]) -> list[Config]:
    """The settings of each network."""
    several = _several()
    values = {n: v if isinstance(v := settings[n], tuple) else (v,) for n in several}
    base = {f.name: settings[f.name] for f in fields(Config) if f.name not in several}
    first = Config(**base, **{name: given[0] for name, given in values.items()})
    lists = {name: given for name, given in values.items() if len(given) > 1}
    if settings["ablation"] and settings["random"] is not None:
        raise InputError("give either --ablation or --random")
    if settings["random"] is None:
        points = (space.ablation if settings["ablation"] else space.grid)(lists)
    else:
        if not lists:
            raise InputError("--random needs a setting with several values to draw from, as --reg 1e-4 1e-1")
        draws = {name: _distribution(given) for name, given in lists.items()}
        points = space.random(draws, settings["random"], settings["random_seed"])
    return space.configs(points, first, share_batches=not settings["own_batches"])


def _distribution(values: tuple[Any, ...]) -> space.Distribution:
    """What a list of values stands for in a random sweep."""
    if len(values) == 2 and all(isinstance(value, float) for value in values):
        low, high = sorted(values)
        return space.LogUniform(low, high) if low > 0 else space.Uniform(low, high)
    return space.Choice(values)


def _sweep(settings: dict[str, Any], signals: StopSignals) -> int:
    configs = _configs(settings)
    base, halving, quiet = configs[0], settings["halving"], settings["quiet"]
    if base.tensorboard:
        raise InputError("a sweep writes no events for TensorBoard, only its tables: drop --tensorboard")
    if base.resume is not None or base.checkpoint_every is not None:
        raise InputError(
            "a sweep keeps what it has done by itself, and the same command goes on from there: "
            "drop --resume and --checkpoint-every"
        )
    if settings["max_nets"] is not None and settings["max_nets"] < 1:
        raise InputError(f"--max-nets must be at least 1, not {settings['max_nets']}")
    if base.weights_image and not plots.available():
        raise InputError(f"--weights-image needs matplotlib: {plots.INSTALL}")
    # The same command must find what it has done before, so the folder is named after its settings.
    out = settings["out"] or f"runs/sweep-{Path(base.dataset).stem}-{_fingerprint(configs, halving)}"
    workers: AbstractContextManager[Any] = nullcontext()
    if settings["scheduler"] is None:
        base.find_device()  # complains before anything is loaded or written
    else:
        from xpnet.sweep.cluster import connect

        workers = connect(settings["scheduler"])
    with workers as executor, run_folder.claim(out, base.dataset) as folder:
        data = datasets.load(base.dataset, base.data_dir, progress=not quiet)
        if base.weights_image:
            plots.check_images(data.image_shape)
        num_rows = len(data.X_train)
        for config in configs:
            check(config, data)  # before any work is done
        halvings = count_halvings(configs, num_rows) if halving else 0
        total, score = total_steps(configs, num_rows, halvings), SCORE_OF[data.task]
        with signals.listening(), display.start(configs, total, quiet, score) as live:
            found = run(
                configs,
                None if executor is not None else data,
                halving=halving,
                max_nets=settings["max_nets"],
                out=folder,
                executor=executor,
                on_epoch=live.on_epoch,
                on_outcome=live.on_outcome,
                on_recorded=live.on_recorded,
                should_stop=lambda: signals.received is not None,
            )
        if not found.complete:
            raise KeyboardInterrupt(
                f"interrupted: what is done is in {folder}; run the same command again to go on"
            )
        return _report(found, data, folder, settings)


def _fingerprint(configs: Sequence[Config], halving: bool) -> str:
    text = json.dumps([halving, *map(recorded, configs)])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _report(found: Sweep, data: Dataset, folder: Path, settings: dict[str, Any]) -> int:
    """Write the table, the pictures and the best network's run folder, and say what they are."""
    score = SCORE_OF[data.task]
    write_csv(folder / "results.csv", found.configs, found.rows, score)
    can_draw = plots.available()
    if can_draw:
        pictures = {
            "heatmap.png": sweep_plots.heatmap(found.configs, found.rows, score),
            "curves.png": sweep_plots.curves(found.configs, found.rows, score),
        }
        for name, figure in pictures.items():
            if figure is not None:
                with replacing(folder / name) as temporary:
                    figure.savefig(temporary, format="png")
    elif not settings["quiet"]:
        complain(NAME, f"note: there are no pictures, which need matplotlib: {plots.INSTALL}")
    if not settings["quiet"]:
        print(as_text(found.configs, found.rows, score))
    if found.best is None:
        complain(NAME, f"error: every network diverged: lower --learning-rate; the table is in {folder}")
        return USER_ERROR
    row = found.rows[0]
    # The test rows are read here, once, for the network that validation has chosen.
    device = get_device() if settings["scheduler"] else found.configs[0].find_device()
    config = found.configs[row["network"]]
    best = record(
        config,
        prepare(config, data, device),
        device,
        Fit(found.best.state, found.best.history, diverged_at=np.zeros((), np.int64), interrupted=False),
        row["seconds"],
        {name: row[name] for name in ("train_score", "val_score")},
    )
    with run_folder.claim(str(folder / "best"), data.name) as best_folder:
        run_folder.write(best_folder, best, pictures=can_draw)
    if not settings["quiet"]:
        test = best.summary[f"test_{score}"]
        print(
            f"best: network {row['network']}, validation {named(row['val_score'], score)}"
            + ("" if test is None else f", test {named(test, score)}")
        )
        print(f"written to {folder}, the best network to {folder / 'best'}")
    if settings["json"]:
        print(json.dumps({"network": row["network"], "out": str(folder), **best.summary}))
    return 0
