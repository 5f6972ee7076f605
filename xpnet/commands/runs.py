"""``xpnet runs``: the runs and sweeps in a folder, and what differs between them."""

import csv
import json
import shutil
import sys
import time
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from xpnet.commands.comparison import comparison
from xpnet.commands.console import complain, run_command
from xpnet.commands.flags import Parser
from xpnet.commands.tabulate import Column, as_lines, fitting, shortened
from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.reporting.metrics import named
from xpnet.runs.config import Config
from xpnet.runs.defaults import defaults_for
from xpnet.runs.listing import Listed, differing, find, read
from xpnet.runs.names import did_you_mean
from xpnet.sweep.table import SEEDS, show
from xpnet.text import printable

__all__ = ["main"]

NAME = "xpnet runs"

DEFAULT = "runs"
"""The folder that runs are written to by default."""

WIDEST = 32
"""Maximum width of a cell in a terminal."""

MOST_NOTES = 8
"""Notes on damaged files that are printed; the rest are counted."""

MEASURED: Mapping[str, Callable[[Listed], Any]] = {
    "test": lambda run: run.test,
    "val": lambda run: run.val,
    "train": lambda run: run.train,
    "seconds": lambda run: run.seconds,
    "steps": lambda run: run.steps,
    "last_epoch": lambda run: run.epochs,
    "date": lambda run: run.written,
}
"""The numeric columns that are not settings."""

FALLING = ("test", "val", "train", "date")
"""Columns that are sorted with the highest value first: the best score, the newest date."""


def main(argv: Sequence[str] | None = None) -> int:
    """List the runs that the arguments name, or compare two; return the exit status of `run_command`."""
    return run_command(NAME, lambda _: _list(_parse(argv)))


def _parse(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(
        NAME,
        "List the runs and sweeps in a folder, with their scores and the settings that differ. A sweep "
        "is shown by its best network. Given two runs, compare them.",
        "xpnet runs",
        "xpnet runs experiments --sort val",
        "xpnet runs runs/first runs/second",
    )
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="*",
        help=f"folder to look in, or two runs or sweeps to compare (default: {DEFAULT})",
    )
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help=f"name, data, status, {', '.join(MEASURED).replace('_', '-')} or a setting: scores and dates "
        f"are sorted from high to low, all others from low to high (default: date)",
    )
    parser.add_argument("--reverse", action=BooleanOptionalAction, help="reverse the order")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print all details of each run as JSON")
    form.add_argument("--csv", action="store_true", help="print the whole table as CSV")
    return parser.read(argv)


def _list(given: Namespace) -> int:
    folders = [path_of(name) for name in given.folders] or [Path(DEFAULT)]
    for folder in folders:
        if not folder.is_dir():
            fix = "give another" if given.folders else "train a first run with `xpnet train`, or give another"
            raise InputError(f"there is no folder {folder}: {fix}")
    notes: list[str] = []
    if len(folders) == 2:
        first, second = (read(folder, notes.append) for folder in folders)
        if first is not None and second is not None:
            return _compare(first, second, given, notes)
        notes.clear()
    found = {run.path.resolve(): run for folder in folders for run in find(folder, notes.append)}
    runs = list(found.values())
    names = {run.path: _name(run.path, folders) for run in runs}
    usual = defaults_for(Config)
    settings = differing(runs, usual)
    runs = _sorted(runs, names, given.sort or "date", settings, usual, bool(given.reverse))
    if given.json:
        print(json.dumps([_plain(run) for run in runs], indent=2))
    elif given.csv:
        _write_csv(runs, names, settings, usual)
    elif runs:
        _print_table(runs, names, settings, usual, given.sort)
    _tell(notes)
    if not runs and not (given.json or given.csv):
        where = " and ".join(map(str, folders))
        raise InputError(f"there is no run in {where}: train one with `xpnet train`, or give another folder")
    return 0


def _compare(first: Listed, second: Listed, given: Namespace, notes: list[str]) -> int:
    usual = defaults_for(Config)
    if given.json:
        print(json.dumps([_plain(run) for run in (first, second)], indent=2))
    elif given.csv:
        runs = [first, second]
        _write_csv(runs, {run.path: str(run.path) for run in runs}, differing(runs, usual), usual)
    else:
        print("\n".join(comparison(first, second, usual, _width() or 120)))
    _tell(notes)
    return 0


def _tell(notes: list[str]) -> None:
    """Print the notes on folders that could not be read, one a line and at most `MOST_NOTES`."""
    for text in notes[:MOST_NOTES]:
        complain(NAME, f"note: {printable(text)}")
    if len(notes) > MOST_NOTES:
        complain(
            NAME, f"note: {len(notes) - MOST_NOTES} more could not be read: list their folders one by one"
        )


def _name(path: Path, folders: Sequence[Path]) -> str:
    """Return the name of a run: its path inside the folder, or its whole path if several were given."""
    if len(folders) > 1 or path == folders[0]:
        return str(path)
    return path.relative_to(folders[0]).as_posix()


def _sorted(
    runs: list[Listed],
    names: Mapping[Path, str],
    column: str,
    settings: Sequence[str],
    usual: Mapping[str, Any],
    reverse: bool,
) -> list[Listed]:
    """Return runs in the order of a column; those without a value there come last."""
    plain = column.replace("-", "_")
    texts: dict[str, Callable[[Listed], Any]] = {
        "name": lambda run: names[run.path],
        "data": lambda run: _data(run),
        "status": _status,
    }
    known = {**texts, **MEASURED}
    of_setting = {*usual, *settings}
    if plain not in known and plain not in of_setting:
        hint = did_you_mean(column, [*known, *of_setting]) or f": use {', '.join(known)}, or a setting"
        raise InputError(f"--sort: there is no column {column!r}{hint}")

    def value(run: Listed) -> Any:
        return known[plain](run) if plain in known else _setting(run, plain, usual)

    there = [run for run in runs if value(run) is not None]
    missing = [run for run in runs if value(run) is None]
    falling = (plain in FALLING) != reverse
    try:
        there.sort(key=value, reverse=falling)
    except TypeError:  # values of several kinds, in a file that was edited
        there.sort(key=lambda run: show(value(run)), reverse=falling)
    return there + missing


def _setting(run: Listed, name: str, usual: Mapping[str, Any]) -> Any:
    """Return a setting of a run, or its default if the run lacks it; None if all settings are unknown."""
    return run.settings.get(name, usual.get(name)) if run.settings else None


def _shown_setting(run: Listed, name: str, usual: Mapping[str, Any]) -> str:
    return show(_setting(run, name, usual))


def _data(run: Listed) -> str:
    return Path(run.dataset).name


def _status(run: Listed) -> str:
    """Return how a run ended; for a sweep, how many networks it has."""
    if run.networks is None or run.status in ("diverged", "damaged"):
        return run.status
    if run.status == "unfinished":
        return f"{run.done} of {run.networks} done"
    return f"best of {run.networks}"


def _score(value: float | None, run: Listed) -> str:
    return "" if value is None else named(value, run.score, 1)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _print_table(
    runs: Sequence[Listed],
    names: Mapping[Path, str],
    settings: Sequence[str],
    usual: Mapping[str, Any],
    sort: str | None,
) -> None:
    width = _width()
    this_year = time.strftime("%Y")
    same_year = all(time.strftime("%Y", time.localtime(run.written)) == this_year for run in runs)
    form = "%m-%d %H:%M" if same_year and width is not None else "%Y-%m-%d %H:%M"

    def cells(of: Callable[[Listed], str]) -> list[str]:
        texts = [printable(of(run)) for run in runs]
        return texts if width is None else [shortened(text, WIDEST) for text in texts]

    columns = {
        "name": Column("name", cells(lambda run: names[run.path])),
        "data": Column("data", cells(_data)),
        "status": Column("status", cells(_status)),
        "val": Column("val", cells(lambda run: _score(run.val, run)), True),
        "test": Column("test", cells(lambda run: _score(run.test, run)), True),
        "seconds": Column("seconds", cells(lambda run: _seconds(run.seconds)), True),
        "date": Column("date", cells(lambda run: time.strftime(form, time.localtime(run.written)))),
    }
    more = {"train": lambda run: _score(run.train, run), "steps": lambda run: show(run.steps)}
    more["last_epoch"] = lambda run: show(run.epochs)
    by = "name" if sort is None else sort.replace("-", "_")
    if by in more:
        columns[by] = Column(by, cells(more[by]), True)
    order = _by_weight(runs, settings, usual)
    shown = order if by in columns or by not in usual else list(dict.fromkeys([by, *order]))
    for name in shown:
        columns[name] = Column(name, cells(partial(_shown_setting, name=name, usual=usual)))
    empty = {name for name, column in columns.items() if not any(column.cells)} - {by}
    same = len({_data(run) for run in runs}) == 1 < len(runs) and by != "data"
    left_out = empty | ({"data"} if same else set())
    first = [name for name in ("name", by, "test", "val", "status", "data", *shown[:3]) if name in columns]
    ranked = [name for name in dict.fromkeys([*first, "seconds", "date", *columns]) if name not in left_out]
    chosen = {column.name for column in fitting([columns[name] for name in ranked], width)}
    print("\n".join(as_lines([column for name, column in columns.items() if name in chosen - left_out])))
    of_data = f" of {printable(_data(runs[0]))}" if same and _data(runs[0]) else ""
    hidden = [name for name in order if name not in chosen]
    print(f"\n{_counted(runs)}{of_data}{_of_hidden(len(hidden), len(order))}")


def _counted(runs: Sequence[Listed]) -> str:
    sweeps = sum(run.networks is not None for run in runs)
    singles = len(runs) - sweeps
    parts = [f"{singles} run{'s' * (singles != 1)}"] if singles else []
    parts += [f"{sweeps} sweep{'s' * (sweeps != 1)}"] if sweeps else []
    return " and ".join(parts)


def _of_hidden(hidden: int, all_of_them: int) -> str:
    if not hidden:
        return ""
    more = "more " if hidden < all_of_them else ""
    return f"; {hidden} {more}setting{'s differ' if hidden > 1 else ' differs'}: --csv shows all"


def _by_weight(runs: Sequence[Listed], settings: Sequence[str], usual: Mapping[str, Any]) -> list[str]:
    """Return settings, the most informative first.

    Settings that differ between runs on the same data come first: different recipes do not explain them.
    Then come the common ones. Seeds are last.
    """
    common = {f.name for f in fields(Config) if f.metadata.get("common")}
    by_data: dict[str, list[Listed]] = {}
    for run in runs:
        by_data.setdefault(run.dataset, []).append(run)
    within = {name for same in by_data.values() for name in differing(same, usual)}
    return sorted(settings, key=lambda name: (name in SEEDS, name not in within, name not in common))


def _width() -> int | None:
    """Return the width of the terminal; None if the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _plain(run: Listed) -> dict[str, Any]:
    """Return all that is known about a run, for JSON."""
    written = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(run.written))
    return {
        "path": str(run.path),
        "kind": "run" if run.networks is None else "sweep",
        "dataset": run.dataset or None,
        "status": run.status,
        "score": run.score or None,
        **{name: of(run) for name, of in MEASURED.items()},
        "date": written,
        "networks": run.networks,
        "networks_done": run.done,
        "summary": dict(run.summary),
        "settings": dict(run.settings),
    }


def _write_csv(
    runs: Sequence[Listed], names: Mapping[Path, str], settings: Sequence[str], usual: Mapping[str, Any]
) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["name", "data", "status", "score", *MEASURED, *map(printable, settings)])
    for run in runs:
        facts = {**{name: of(run) for name, of in MEASURED.items()}, "date": _plain(run)["date"]}
        values = (_setting(run, name, usual) for name in settings)
        cells = [names[run.path], run.dataset, _status(run), run.score, *facts.values(), *values]
        writer.writerow([_cell(value) for value in cells])


def _cell(value: Any) -> Any:
    """Return a value for CSV: numbers as they are, all else as text that is safe to print."""
    return value if value is None or isinstance(value, int | float) else printable(show(value))
