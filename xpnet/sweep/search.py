"""A sweep from settings to files, shared by `xpnet.search` and the command."""

import hashlib
import json
import signal
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xpnet.datasets import Dataset
from xpnet.datasets.reading import Note
from xpnet.device import get_device, threads_note, using_threads
from xpnet.errors import InputError
from xpnet.files import replacing
from xpnet.reporting import plots
from xpnet.runs import folder as run_folder
from xpnet.runs.config import Config
from xpnet.runs.experiment import record
from xpnet.runs.given import ARRAYS, what_is_given
from xpnet.runs.keywords import in_python, naming_keywords, warn_in_python
from xpnet.runs.names import flag
from xpnet.runs.preparation import load_data, suited
from xpnet.runs.remedy import remedy_of_many
from xpnet.runs.run import Run, as_run
from xpnet.runs.settings import kinds_of, refuse_unknown
from xpnet.runs.starting import begin_with, model_of, prepared_for, unlike_its_rows
from xpnet.sweep import display, gpus, space
from xpnet.sweep import plots as sweep_plots
from xpnet.sweep.chunk import Trained
from xpnet.sweep.interruption import what_is_kept
from xpnet.sweep.learning import learning
from xpnet.sweep.plan import count_halvings, total_steps
from xpnet.sweep.report import page_of
from xpnet.sweep.runner import Sweep, run
from xpnet.sweep.store import recorded
from xpnet.sweep.table import write_csv
from xpnet.sweep.workers import check_executor, options_of
from xpnet.training import out_of_scale
from xpnet.training.history import SCORE_OF
from xpnet.training.interrupt import StopSignals
from xpnet.training.result import Fit
from xpnet.values import Kind, counted, shown
from xpnet.warn import warn

__all__ = ["carry_out", "configs_of", "folder_of", "search"]

_ARGUMENTS = (
    *("recipe", "grid", "ablation", "random", "random_seed", "halving"),
    *("own_batches", "max_nets", "executor"),
)
"""Arguments of `search` other than data and settings."""

NOT_FOR_SWEEPS = {
    "tensorboard": "a sweep writes tables, but no TensorBoard events",
    "resume": "a sweep saves its progress by itself, and the same call continues it",
    "checkpoint_every": "a sweep saves its progress by itself, and the same call continues it",
    "alone": "a sweep distributes whole networks, not the rows of one network",
}
"""Settings of a run that do not apply to a sweep, and why."""


def search(
    X: Any,
    y: ArrayLike | None = None,
    grid: Mapping[str, Any] | None = None,
    *,
    recipe: str | None = None,
    ablation: bool = False,
    random: int | None = None,
    random_seed: int = 0,
    halving: bool = False,
    own_batches: bool = False,
    max_nets: int | None = None,
    executor: Executor | None = None,
    **settings: Any,
) -> Sweep:
    """Train a grid of settings, many networks at a time as one stack, and rank them.

    The networks are ranked by validation score, or by another measure if ``monitor`` names one; not by the
    loss, which is not comparable between networks trained with different losses.

    Parameters
    ----------
    X, y, recipe
        As for `xpnet.fit`. ``X_val``, ``y_val``, ``X_test``, ``y_test`` and ``sample_weight`` may be among
        the settings.
    grid
        Values to try for each setting: ``{"learning_rate": [1e-3, 1e-2], "reg": [0, 1e-3]}``.
    ablation
        Vary one setting at a time; all others keep the first of their values.
    random
        Number of random draws, instead of the whole grid. Two floats are the ends of a range, log-uniform if
        both are above 0; from any other values each draw takes one. `LogUniform`, `Uniform` and `Choice` of
        `xpnet.sweep` state the distribution explicitly.
    random_seed
        Seed of the random draws.
    halving
        Whether to use successive halving: after each rung only the better half continues.
    own_batches
        Whether each network draws its own batches; by default all share the same batches.
    max_nets
        Maximum number of networks per stack; by default as many as fit memory and cache.
    executor
        Train the stacks on the workers of this `concurrent.futures.Executor`, which must be able to import
        xpnet.
    **settings
        All other settings of `Config`. With ``device="cuda:all"``, or a list such as ``"cuda:0,cuda:1"``, the
        GPUs share the stacks. ``out`` writes a folder, as ``xpnet sweep`` does; the same call resumes an
        interrupted sweep from there. Notebooks show progress unless ``quiet=True``, scripts only with
        ``quiet=False``.

    Returns
    -------
    Sweep
        ``rows`` is the table, best first; ``best`` is the `Run` of the best network, or None if all diverged
        or the search was interrupted;
        ``ensemble(k)`` returns an ensemble of up to ``k`` networks, chosen by the validation rows.

    Raises
    ------
    InputError
        If a setting is unknown or out of range, or the data cannot be used.
    DeviceError
        If the device cannot be used.

    Warns
    -----
    RuntimeWarning
        If every network diverged.
    UserWarning
        If the search was interrupted (Ctrl-C, or Stop in a notebook). Networks whose stacks had finished are
        in ``rows``.

    Examples
    --------
    >>> import xpnet
    >>> grid = {"learning_rate": [0.01, 0.02], "reg": [1e-3, 1e-2]}
    >>> table = xpnet.search("digits", grid=grid, epochs=3)
    >>> len(table.rows), table.best.summary["val_accuracy"] == table.rows[0]["val_score"]
    (4, True)
    """
    with naming_keywords():
        arrays = {name: settings.pop(name, None) for name in ARRAYS}
        refuse_unknown(settings, Config, arguments=(*ARRAYS, *_ARGUMENTS))
        kinds = kinds_of(Config)
        for name, value in settings.items():
            if isinstance(value, list | tuple | range) and not kinds[name].is_tuple:
                raise InputError(
                    f"{name} takes one value for all networks: give several values in the grid, by its name"
                )
        listed = {name: _listed(values) for name, values in grid.items()} if isinstance(grid, Mapping) else {}
        base, data = what_is_given(X, y, arrays, recipe, None, settings, listed | {"halving": (halving,)})
        configs = configs_of(
            grid or {},
            base,
            ablation=ablation,
            random=random,
            random_seed=random_seed,
            own_batches=own_batches,
        )
        with StopSignals(signal.SIGINT) as signals:
            found = carry_out(
                configs,
                data,
                folder=base.out,
                halving=halving,
                max_nets=max_nets,
                executor=executor,
                signals=signals,
                note=warn_in_python,
            )
    if not found.complete:
        kept = what_is_kept(len(found.rows), len(found.configs), base.out)
        onwards = "search again; with a folder (out=), the same call continues after finished stacks"
        if base.out is not None:
            onwards = f"the same call {'continues from there' if found.rows else 'starts over'}"
        found = replace(found, remedy=f"the search was interrupted {kept}, and best is None; {onwards}")
        warn(found.remedy)
    elif signals.received is not None:
        warn("the search was interrupted, but it was already complete: nothing is missing")
    if found.complete and found.best is None:
        warn(in_python(f"every network diverged: {found.remedy}"), RuntimeWarning)
    return found


def configs_of(
    values: Mapping[str, Any],
    base: Config,
    *,
    ablation: bool = False,
    random: int | None = None,
    random_seed: int = 0,
    own_batches: bool = False,
) -> list[Config]:
    """Return the settings of each network of a sweep; parameters as for `search`, ``values`` its grid.

    Raises
    ------
    InputError
        If values cannot be swept over, or there is nothing to draw from.
    """
    for name, value in (("ablation", ablation), ("own_batches", own_batches)):
        Kind(bool).take(name, value)
    random = None if random is None else counted(flag("random"), random)
    random_seed = counted(flag("random_seed"), random_seed, 0)
    if not isinstance(values, Mapping):
        raise InputError(f"the grid must be a dict of values by setting, not {shown(values)}")
    if ablation and random is not None:
        raise InputError("give either --ablation or --random")
    if random is None:
        points = (space.ablation if ablation else space.grid)(values)
    else:
        if not values:
            raise InputError(
                "--random needs a setting with several values to draw from, such as --reg 1e-4 1e-1"
            )
        draws = {name: _distribution(given) for name, given in values.items()}
        points = space.random(draws, random, random_seed)
    return space.configs(points, base, share_batches=not own_batches)


def _listed(values: Any) -> tuple[Any, ...]:
    """Return the values of a setting in a grid, as far as they are a list."""
    values = getattr(values, "values", values)  # those of a `Choice`
    several = isinstance(values, list | tuple | range | set) or np.ndim(values) > 0
    return tuple(values) if several else (values,)


def _distribution(values: Any) -> Any:
    """Return the distribution that a list of values stands for in a random sweep."""
    is_one = isinstance(values, str | Mapping) or (isinstance(values, np.ndarray) and values.ndim == 0)
    if is_one or not isinstance(values, Iterable):
        return values
    values = list(values)
    if len(values) == 2 and all(isinstance(value, float) for value in values):
        low, high = sorted(values)
        return space.LogUniform(low, high) if low > 0 else space.Uniform(low, high)
    return space.Choice(values)


def folder_of(configs: Sequence[Config], halving: bool) -> str:
    """Return the default folder of a sweep, named after its settings.

    So the same command finds its earlier results there.
    """
    text = json.dumps([halving, *map(recorded, configs)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"runs/sweep-{Path(configs[0].dataset).stem}-{digest}"


def carry_out(
    configs: Sequence[Config],
    data: Dataset | None,
    *,
    folder: str | None,
    signals: StopSignals,
    halving: bool = False,
    max_nets: int | None = None,
    executor: Executor | None = None,
    note: Note = warn,
) -> Sweep:
    """Train the networks of a sweep, and write its folder, if any.

    Parameters
    ----------
    configs
        Settings of each network.
    data
        The data set; None for the one that the settings name.
    folder
        Where to write; None to write nothing.
    signals
        Checked before each step: once a signal was received, the sweep ends incomplete.
    halving, max_nets, executor
        As for `search`.
    note
        Called with a sentence about what was guessed or left out of the data.

    Returns
    -------
    Sweep
        Its ``best`` is a `Run`.

    Raises
    ------
    InputError
        The settings cannot be swept over, or do not fit the data.
    """
    space.check_alike(configs)
    base = configs[0]
    for name, reason in NOT_FOR_SWEEPS.items():
        if any(getattr(config, name) for config in configs):
            raise InputError(f"{reason}: drop {flag(name)}")
    halving = Kind(bool).take("halving", halving)
    max_nets = None if max_nets is None else counted(flag("max_nets"), max_nets)
    if base.weights_image and not plots.available():
        raise InputError(f"--weights-image needs matplotlib: {plots.INSTALL}")
    check_executor(executor)
    several = bool(gpus.names_of(options_of(base, None), executor))
    if executor is None and not several:
        base.find_device()  # raises an error before anything is loaded or written
    if not base.quiet and (said := threads_note(base.threads, base.backend)):
        note(said)
    with using_threads(base.threads), ExitStack() as stack:
        place = None
        if folder is not None:
            place = stack.enter_context(run_folder.claim(folder, base.dataset))
        if place is not None and (place / "model.safetensors").exists():
            raise InputError(
                f"{place} holds a run, which the sweep's best network would replace: give another --out"
            )
        screen = stack.enter_context(display.start(base.quiet))
        screen.on_phase("loading")
        loaded = data or load_data(base, note, screen.hidden)
        if base.weights_image:
            plots.check_images(loaded.image_shape)
        start = model_of(base)
        if start and (unlike := unlike_its_rows(start, begin_with(start, configs[0], loaded)[1])):
            note(unlike)
        num_rows = len(loaded.X_train)
        configs = suited(configs, loaded, note)
        halvings = count_halvings(configs, num_rows) if halving else 0
        total, score = total_steps(configs, num_rows, halvings), SCORE_OF[loaded.task]
        screen.expect(configs, total, score, halvings + 1)
        screen.on_phase("training")
        with signals.listening():
            found = run(
                configs,
                # Workers load a data set by its name.
                data if several or executor is not None else loaded,
                halving=halving,
                max_nets=max_nets,
                out=place,
                executor=executor,
                on_epoch=screen.on_epoch,
                on_outcome=screen.on_outcome,
                on_recorded=screen.on_recorded,
                should_stop=lambda: signals.received is not None,
            )
        if not found.complete:
            return found
        best, remedy = None, ""
        screen.on_phase("evaluating")
        if isinstance(found.best, Trained):
            best = _record(found, found.best, loaded, place, executor is not None)
        else:
            remedy = _remedy(found.configs[0], loaded, executor is not None)
        if place is not None:
            screen.on_phase("drawing" if plots.available() else "writing")
            _write(place, replace(found, remedy=remedy), best, num_rows)
        return replace(found, best=best, remedy=remedy)


def _remedy(config: Config, data: Dataset, elsewhere: bool) -> str:
    """Return what to change after all networks have diverged."""
    device = get_device() if elsewhere else config.find_device()
    prepared = prepared_for(config, data, device)
    with device.active():
        wrong = out_of_scale.find(device, prepared.feed)
    return remedy_of_many(config, wrong)


def _record(found: Sweep, trained: Trained, data: Dataset, folder: Path | None, elsewhere: bool) -> Run:
    """Return the run of the best network; the test rows are used only here, after it was chosen."""
    row = found.rows[0]
    config = found.configs[row["network"]]
    device = get_device() if elsewhere else config.find_device()
    experiment = record(
        config,
        prepared_for(config, data, device),
        device,
        Fit(
            trained.state,
            trained.history,
            diverged_at=np.zeros((), np.int64),
            interrupted=False,
            stopped_at=np.array(row["steps"] if row["status"] == "stopped" else 0),
        ),
        row["seconds"],
        {name: row[name] for name in ("train_score", "val_score")},
    )
    return as_run(experiment, None if folder is None else folder / "best")


def _write(folder: Path, found: Sweep, best: Run | None, num_rows: int) -> None:
    """Write the table, the pictures, the report and the best network's run folder."""
    write_csv(folder / "results.csv", found.configs, found.rows, found.score)
    if plots.available():
        pictures = {
            "heatmap.png": sweep_plots.heatmap(found.configs, found.rows, found.score),
            "curves.png": sweep_plots.curves(found.configs, found.rows, found.score),
            "learning.png": learning(found.configs, found.rows, found.score, num_rows),
        }
        for name, figure in pictures.items():
            if figure is not None:
                with replacing(folder / name) as temporary:
                    figure.savefig(temporary, format="png")
    html = page_of(
        found.configs,
        found.rows,
        found.score,
        best,
        num_rows=num_rows,
        remedy=found.remedy,
        folder=folder,
    )
    with replacing(folder / "report.html") as temporary:
        temporary.write_bytes(html)
    if best is not None:
        with run_folder.claim(str(folder / "best"), best.config.dataset) as best_folder:
            run_folder.write(best_folder, best, pictures=plots.available())
