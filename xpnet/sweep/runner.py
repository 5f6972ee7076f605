"""Run a sweep: train its chunks on threads or an executor, rung by rung, and make the table."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xpnet.datasets import Dataset
from xpnet.device import Device, get_device
from xpnet.errors import InputError
from xpnet.files import output_file, path_of, replacing
from xpnet.reporting.card import card
from xpnet.reporting.metrics import score_name
from xpnet.reporting.metrics import shown as shown_score
from xpnet.reporting.page import text
from xpnet.runs.averaged import note_on_curves
from xpnet.runs.config import Config
from xpnet.runs.names import flag
from xpnet.runs.preparation import check, suited
from xpnet.runs.resume import WEIGHTS
from xpnet.runs.run import Run
from xpnet.runs.starting import begin_with, model_of
from xpnet.runs.subset import drawn_by, subset_of
from xpnet.sweep import gpus
from xpnet.sweep.charts import curves
from xpnet.sweep.chunk import Outcome, Task, merit
from xpnet.sweep.ensembles import Library, choose
from xpnet.sweep.interruption import what_is_kept
from xpnet.sweep.plan import Cut, count_halvings, epochs_of_rung, groups, shape_of
from xpnet.sweep.report import page_of
from xpnet.sweep.space import check_alike
from xpnet.sweep.store import Memory, Store, recorded
from xpnet.sweep.table import as_text, cells, show, varied
from xpnet.sweep.workers import Here, There, check_executor, load_of, options_of, source_of
from xpnet.text import html_table
from xpnet.training import monitors
from xpnet.training.history import SCORE_OF, Row
from xpnet.training.measures import MEASURES_OF
from xpnet.training.monitors import ours
from xpnet.typing import Task as TaskOfData
from xpnet.values import Kind, counted, shown
from xpnet.warn import warn

__all__ = ["Sweep", "run"]

SHOWN_ROWS, SHOWN_ROWS_HTML, MOST_VARIED = 5, 20, 6
"""Number of networks that a sweep shows as text and in a notebook, and of settings in its card."""


@dataclass(frozen=True)
class Sweep:
    """The result of a sweep.

    Attributes
    ----------
    configs
        Settings of each network.
    rows
        One dict per network, best first: ``network`` (its number), ``train_score``, ``val_score``, ``status``
        (``"finished"``, ``"stopped"`` early by patience or time, ``"dropped"`` by halving, or
        ``"diverged"``), ``steps`` (with finite loss), ``seconds`` (its share of its stack's time) and
        ``curve`` (steps and validation scores). If all monitor another measure than the score or the loss,
        ``monitored`` is its value (negated if lower is better), by which they are then ranked.
    best
        The trained network of the first row (from `xpnet.search`, a `Run`); None if all diverged, or if the
        sweep was interrupted.
    complete
        Whether the sweep finished; if ``should_stop`` ended it, the rows are those done so far.
    score
        Name of the scores: ``"accuracy"`` or ``"r2"``.
    remedy
        From `xpnet.search`: what to change if every network diverged; of one that was interrupted, what is
        kept and how to go on.
    library
        What an `ensemble` is chosen from; None if the sweep was interrupted.
    """

    configs: Sequence[Config]
    rows: list[dict[str, Any]]
    best: Any
    complete: bool
    score: str = "accuracy"
    remedy: str = ""
    library: Library | None = field(default=None, repr=False, compare=False)

    def ensemble(self, k: int = 8) -> Run:
        """Return an ensemble of up to ``k`` of the networks, chosen by their validation predictions.

        Nothing more is trained. Networks are added greedily, each such that the mean of the predictions has
        the lowest loss; a network may be added more than once, which raises its weight. This is ensemble
        selection (Caruana et al. 2004, https://doi.org/10.1145/1015330.1015432), see
        `xpnet.training.selection.select`. The loss is the log loss for classes and labels, R² in regression,
        or the monitored measure by which the sweep ranks. Since the validation rows chose the networks,
        scores on them are somewhat optimistic: evaluate on others, such as ``X_test``.

        The networks of an ensemble must share layers, preprocessing and views: an ensemble is chosen for each
        such group, and the best one is returned. Only networks that finished are candidates: all of them if
        their parameters take at most 1 GiB together, else the best of each stack, since a larger sweep keeps
        only these.

        Parameters
        ----------
        k
            Maximum number of networks.

        Returns
        -------
        Run
            ``summary["networks"]`` lists the numbers of the chosen networks. Its settings are those of the
            first one, and do not suffice to reproduce it; its history holds means over all.

        Raises
        ------
        InputError
            If the sweep was interrupted, or every network diverged.
        """
        k = counted("k", k)
        if self.library is None:
            raise InputError("the sweep was interrupted: run it again to the end, then choose an ensemble")
        return choose(self.configs, self.rows, self.library, k)

    def __repr__(self) -> str:
        """Return the counts by status, and the best networks with their settings."""
        lines = [f"Sweep({', '.join(self._counts())}"]
        if self.rows:
            lines += as_text(self.configs, self.rows[:SHOWN_ROWS], self.score).splitlines()
        return "\n  ".join(lines) + ")"

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write a self-contained HTML page about all networks, and return its path.

        Parameters
        ----------
        path
            The file, such as ``"sweep.html"``. A sweep with a folder has already written ``report.html``
            there.
        """
        file = output_file(path)
        num_rows = None if self.library is None else len(self.library.data.X_train)
        best = self.best if isinstance(self.best, Run) else None
        html = page_of(self.configs, self.rows, self.score, best, num_rows=num_rows, remedy=self.remedy)
        with replacing(file) as temporary:
            temporary.write_bytes(html)
        return file

    def _repr_html_(self) -> str:
        """Return a card with the curves and a table of the best, for a notebook."""
        header, *rows = cells(self.configs, self.rows[:SHOWN_ROWS_HTML], self.score)
        count, *others = self._counts()
        values = []
        if self.rows and self.rows[0]["status"] != "diverged":
            best = self.rows[0]
            values.append(
                (f"best validation {score_name(self.score)}", shown_score(best["val_score"], self.score))
            )
            config = self.configs[best["network"]]
            values += [(name, show(getattr(config, name))) for name in varied(self.configs)[:MOST_VARIED]]
        table = f'<div class="o">{html_table(header, rows)}</div>' if rows else ""
        if not self.complete:
            kept = self.remedy or f"interrupted {what_is_kept(len(self.rows), len(self.configs), None)}"
            table = f"<p>{text(f'{kept[:1].upper()}{kept[1:]}.')}</p>{table}"
        drawn = curves(self.rows, self.score)
        drawn = f'<div class="xp-charts">{drawn}</div>' if drawn else ""
        if drawn and (note := note_on_curves(self.score, {config.averaging for config in self.configs})):
            drawn = f"<p>{note}</p>{drawn}"
        return card(f"Sweep: {count}", ", ".join(others), values, drawn + table)

    def _counts(self) -> list[str]:
        """Return the number of networks, in total and by status."""
        number = len(self.configs)
        statuses = Counter(row["status"] for row in self.rows)
        counts = [f"{number} network{'s' * (number != 1)}"]
        counts += [
            f"{statuses[status]} {status}"
            for status in ("stopped", "dropped", "diverged")
            if statuses[status]
        ]
        if not self.complete:
            counts.append(f"interrupted with {f'results of {len(self.rows)}' if self.rows else 'no results'}")
        return counts


def run(
    configs: Iterable[Config],
    data: Dataset | None = None,
    *,
    device: Device | str | None = None,
    halving: bool = False,
    max_nets: int | None = None,
    out: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    on_epoch: Callable[[Task, Row], None] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_recorded: Callable[[list[dict[str, Any]]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Sweep:
    """Train many networks as stacks, and rank them by validation score or by what they monitor.

    Parameters
    ----------
    configs
        Settings of each network, from `xpnet.sweep.configs`. ``max_time`` applies to each stack.
    data
        The data set; by default the one named by the settings, which each worker loads itself.
    device
        Device to train on; by default that of the settings. With several GPUs, ``"cuda:all"`` or
        ``"cuda:0,cuda:1"``, each trains a stack.
    halving
        Successive halving: after each rung, only the better half continues.
    max_nets
        Maximum number of networks per stack; by default as many as fit memory and cache.
    out
        Folder for results, from which the same call resumes an interrupted sweep.
    executor
        Train the chunks on the workers of this `concurrent.futures.Executor`, which must be able to import
        xpnet. If a worker is lost, the executor is responsible for running its chunk again.
    on_epoch
        Called with a task and the newest row of its history, in the training thread; not called with an
        executor or on several GPUs.
    on_outcome
        Called when a chunk ends.
    on_recorded
        Called once with the rows of earlier calls found in ``out``.
    should_stop
        Called before each step, and while waiting for chunks; if it returns True, the sweep ends.

    Raises
    ------
    InputError
        If there are no settings, they cannot be in one sweep or do not fit the data, or ``out`` holds another
        sweep.
    DeviceError
        If a device cannot be used, or the process of a GPU was lost.
    """
    if isinstance(configs, Config | str | bytes | Mapping) or not isinstance(configs, Iterable):
        raise InputError(f"a sweep needs a list of Config objects, not {shown(configs)}")
    configs = list(configs)
    check_alike(configs)
    check_executor(executor)
    halving = Kind(bool).take("halving", halving)
    max_nets = None if max_nets is None else counted(flag("max_nets"), max_nets)
    if not (data is None or isinstance(data, Dataset)):
        raise InputError(f"data must be a Dataset, not {shown(data)}: use xpnet.search for other data")
    if not (out is None or isinstance(out, str | os.PathLike)):
        raise InputError(f"out must be the path of a folder, not {shown(out)}")
    stop = should_stop or (lambda: False)
    options = options_of(configs[0], device)
    names = gpus.names_of(options, executor)
    if names and device is None:  # the device on which the best network could be trained alone
        configs = [replace(config, device=names[0]) for config in configs]
    elif names:
        device = names[0]
    shipped, data = data, data or load_of(configs[0])
    loaded = data
    start = model_of(configs[0])
    if start is not None:
        configs = [begin_with(start, config, data)[0] for config in configs]
        data = begin_with(start, configs[0], data)[1]
    num_rows, score = len(data.X_train), SCORE_OF[data.task]
    configs = suited(configs, data, warn)
    _check(configs, data, halving)  # before any work is done
    ranked_by = _ranked_by(configs, data.task)
    store = (
        Memory()
        if out is None
        else Store(path_of(out), _description(configs, halving, data, ranked_by), configs[0].force)
    )
    recorded_rows = store.done()
    if on_recorded is not None:
        on_recorded(recorded_rows)
    workers: AbstractContextManager[Here | There]
    if len(names) > 1:
        workers = gpus.started(names, source_of(configs[0], shipped), options, max_nets, stop)
    elif executor is None:
        workers = nullcontext(Here(configs[0], data, device, max_nets, on_epoch, stop))
    else:
        workers = nullcontext(There(executor, configs[0], shipped, device, max_nets, stop))
    halvings = count_halvings(configs, num_rows) if halving else 0
    with workers as ready:
        found = _train(
            configs, ready, store, recorded_rows, num_rows, halvings, max_nets, ranked_by, on_outcome
        )
    library = None
    if found.complete:
        place = options_of(configs[0], device) if executor is None else get_device().options
        library = Library(store, loaded, place)
    return replace(found, score=score, library=library)


def _check(configs: Sequence[Config], data: Dataset, halving: bool) -> None:
    """Refuse settings that do not fit the data or a sweep.

    Raises
    ------
    InputError
        The settings do not fit.
    """
    if halving and len({config.train_rows for config in configs}) > 1:
        raise InputError(
            "halving would drop the networks with few rows: drop --halving, or give one --train-rows"
        )
    for drawn in dict.fromkeys(map(drawn_by, configs)):
        some = [config for config in configs if drawn_by(config) == drawn]
        rows = subset_of(some[0], data)
        for config in some:
            if config.bagging:
                raise InputError("a sweep trains single networks, on all rows: drop --bagging")
            check(config, rows)
            if undefined := monitors.undefined("val_score", data.task, data.y_val, data.weight_val):
                raise InputError(
                    f"{undefined}, but a sweep ranks by it: hold out more rows, or give other X_val"
                )
            if halving and config.patience is not None:
                raise InputError("halving stops networks by itself: drop --patience or --halving")
            if halving and config.max_time is not None:
                raise InputError("halving compares networks after equal steps: drop --max-time or --halving")
            if config.ensemble > 1:
                raise InputError(
                    "a sweep trains single networks: drop --ensemble, or train an ensemble with the "
                    "best settings"
                )


def _train(
    configs: Sequence[Config],
    workers: Here | There,
    store: Memory,
    recorded_rows: Sequence[Mapping[str, Any]],
    num_rows: int,
    halvings: int,
    max_nets: int | None,
    ranked_by: str | None,
    on_outcome: Callable[[Outcome], None] | None,
) -> Sweep:
    """Train the networks that the store does not have yet, rung by rung."""
    members = dict(enumerate(groups(configs)))
    rows: dict[int, dict[str, Any]] = {}
    cuts: dict[tuple[object, ...], Cut] = {}
    survivors = set(range(len(configs)))
    for rung in range(halvings + 1):
        prefix = f"rung{rung}-"
        done = {row["network"]: row for row in recorded_rows if row["task"].startswith(prefix)}
        rows |= done
        work: list[tuple[Cut, list[Task]]] = []
        for group, numbers in members.items():
            alive = [k for k in numbers if k in survivors]
            if not alive:
                continue
            cut = store.cuts.get(group)
            if cut is None or cut.size > (max_nets or cut.size):
                # Saved at once, so that a resumed sweep is divided in the same way; unless it was killed for
                # that reason, and smaller stacks are requested. Choosing needs prepared data, so skip it for
                # a single network, and for networks like those before.
                alike = shape_of(configs[alive[0]]), len(alive)
                if alike not in cuts:
                    some = [configs[k] for k in alive]
                    found = workers.cut(some, len(survivors)) if len(alive) > 1 else Cut(1)
                    if found is None:
                        return Sweep(configs, _ranked(rows, survivors), None, complete=False)
                    cuts[alike] = found
                cut = cuts[alike]
                store.note_cut(group, cut)
            span = epochs_of_rung(configs[alive[0]], num_rows, rung, halvings)
            tasks = []
            for chunk in cut.chunks(alive):
                missing = [k for k in chunk if k not in done]
                if missing:
                    before = {k: store.load(rows[k]["task"], k) for k in missing} if rung else {}
                    chosen = {k: configs[k] for k in missing}
                    key = f"{prefix}network{missing[0]}"
                    task = Task(key, chosen, span, before, rung < halvings, len(survivors), ranked_by)
                    tasks.append(task)
            work.append((cut, tasks))
        left = {task.key for _, tasks in work for task in tasks}
        with closing(workers.train(work)) as outcomes:
            for outcome in outcomes:
                store.save(outcome)
                left.remove(outcome.key)
                rows |= {row["network"]: row for row in outcome.rows}
                if on_outcome is not None:
                    on_outcome(outcome)
        if left:
            return Sweep(configs, _ranked(rows, survivors), None, complete=False)
        if rung < halvings:
            # A network that diverged never continues, even if fewer than half are left.
            healthy = [k for k in survivors if rows[k]["status"] != "diverged"]
            healthy.sort(key=lambda k: merit(rows[k]), reverse=True)
            survivors = set(healthy[: -(-len(survivors) // 2)])
    table = _ranked(rows, survivors)
    first = table[0]
    best = None if first["status"] == "diverged" else store.load(first["task"], first["network"])
    store.forget(keep={row["task"] for row in table if row["network"] in survivors})
    return Sweep(configs, table, best, complete=True)


def _ranked_by(configs: Sequence[Config], task: TaskOfData) -> str | None:
    """Return the monitor that ranks the networks; None if their scores do.

    Losses never rank: networks may be trained with different losses.
    """
    monitors = {config.monitor for config in configs}
    monitor = monitors.pop()
    plain = ("val_score", "val_loss", f"val_{MEASURES_OF[task][0]}")
    return None if monitors or (ours(monitor) or monitor) in plain else monitor


def _ranked(rows: Mapping[int, dict[str, Any]], survivors: set[int]) -> list[dict[str, Any]]:
    """Return the table: first the networks that halving kept, then those it dropped, then diverged ones."""
    marked = [
        row | {"status": "dropped"} if row["status"] != "diverged" and number not in survivors else row
        for number, row in rows.items()
    ]
    return sorted(
        marked, key=lambda row: (row["status"] in ("finished", "stopped"), *merit(row)), reverse=True
    )


def _description(
    configs: Sequence[Config], halving: bool, data: Dataset, ranked_by: str | None
) -> dict[str, Any]:
    weighted = data.weight_train is not None or any(config.class_weight is not None for config in configs)
    found = {
        **({"weights": WEIGHTS} if weighted else {}),  # as in `identity` of a run
        "data": {"name": data.name, "rows": len(data.X_train), "crc32": data.checksum()},
        "halving": halving,
        "networks": [recorded(config) for config in configs],
    }
    return found if ranked_by is None else found | {"ranked_by": ranked_by}
