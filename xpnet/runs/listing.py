"""List the runs and sweeps in folders, from their small files; no model is loaded."""

import csv
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xpnet.training.history import SCORE_OF

__all__ = ["Listed", "differing", "find", "read"]

DEPTH = 4
"""Maximum depth of the search below the given folder."""

MOST_FOLDERS = 20_000
"""Maximum number of folders to search, in case someone names a whole disk."""

LARGEST = 2**26
"""Maximum size in bytes of a file to read; the settings of 30,000 networks take less."""

SIGNS = ("config.json", "summary.json", "sweep.json")
"""Files that mark the folder of a run or a sweep."""

OF_DATA = ("dataset", "data_dir")
"""Settings that the column for the data set already shows."""


@dataclass(frozen=True)
class Listed:
    """A run in a list, or a sweep with its best network.

    Attributes
    ----------
    path
        The folder.
    status
        ``"finished"``, ``"stopped"``, ``"interrupted"`` or ``"diverged"``; ``"unfinished"`` if it is still
        running or was cut off, ``"damaged"`` if its files can't be read.
    written
        When its files were last written: seconds since 1970.
    settings
        Settings in ``config.json``, by name.
    score
        ``"accuracy"`` or ``"r2"``; empty if there is none.
    train, val, test
        The score on each split.
    seconds
        Training time; for a sweep, the sum over its networks.
    steps, epochs
        How many were taken; for a sweep, by its best network.
    networks, done
        For a sweep, the number of networks, and how many of them are done. None for a run.
    summary
        Content of ``summary.json``; empty if there is none.
    """

    path: Path
    status: str
    written: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    score: str = ""
    train: float | None = None
    val: float | None = None
    test: float | None = None
    seconds: float | None = None
    steps: int | None = None
    epochs: int | None = None
    networks: int | None = None
    done: int | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """The data set: a name, or the path of a file; empty if unknown."""
        return str(self.settings.get("dataset", ""))


def find(folder: Path, note: Callable[[str], None]) -> list[Listed]:
    """Return the runs and sweeps in a folder, including the folder itself.

    Parameters
    ----------
    folder
        Where to look.
    note
        Called with a sentence about each file that is damaged or not from a run.
    """
    found: list[Listed] = []
    level, seen = [folder], 0
    for depth in range(DEPTH + 1):
        inner: list[Path] = []
        for place in sorted(level):
            seen += 1
            if seen > MOST_FOLDERS:
                note(f"{folder} has more than {MOST_FOLDERS:,} folders: name one closer to the runs")
                return found
            try:
                listed = read(place, note)
                below = _within(place, listed is not None)
            except OSError as error:
                note(f"{place} cannot be read ({error.strerror}): check its permissions")
                continue
            if listed is not None:
                found.append(listed)
            # Inside are only the best run of a sweep, or earlier runs that were moved aside.
            if depth < DEPTH and (listed is None or place == folder):
                inner += below
        level = inner
    return found


def read(folder: Path, note: Callable[[str], None]) -> Listed | None:
    """Return the run or sweep in a folder; None if there is none.

    Parameters
    ----------
    folder, note
        As for `find`.
    """
    signs = [name for name in SIGNS if (folder / name).is_file()]
    if not signs:
        return None
    notes: list[str] = []
    listed = (_sweep if "sweep.json" in signs else _run)(folder, notes.append)
    if listed is None and not (folder / "results.csv").is_file():  # written only by sweeps
        notes = [f"{folder / signs[0]} is not from an xpnet run: ignored"]
    for text in notes:
        note(text)
    return listed


def _within(folder: Path, is_listed: bool) -> list[Path]:
    """Return the folders in a folder, except hidden ones and links, which could form a cycle."""
    of_sweep = ("best", "chunks") if is_listed and (folder / "sweep.json").is_file() else ()
    with os.scandir(folder) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if entry.is_dir(follow_symlinks=False)
            and not entry.name.startswith(".")
            and entry.name not in of_sweep
        ]


def _run(folder: Path, note: Callable[[str], None]) -> Listed | None:
    settings, summary = _settings(folder, note), _json(folder / "summary.json", note)
    is_of_run = summary is not None and isinstance(summary.get("status"), str) and "steps" in summary
    if not (settings or is_of_run):
        return None
    if summary is not None and not is_of_run:
        note(f"{folder / 'summary.json'} is damaged: correct it, or move it away")
    known = summary or {}
    missing = not (folder / "summary.json").is_file()
    status = "unfinished" if missing else str(known.get("status", "damaged"))
    score = next((name for name in SCORE_OF.values() if f"val_{name}" in known), "")
    scores = {part: _number(known.get(f"{part}_{score}")) for part in ("train", "val", "test")}
    return Listed(
        folder,
        status,
        _written(folder, "summary.json", "config.json"),
        settings,
        score,
        scores["train"],
        scores["val"],
        scores["test"],
        seconds=_number(known.get("seconds")),
        steps=_whole(known.get("steps")),
        epochs=_epochs(folder / "history.csv"),
        summary=known,
    )


def _sweep(folder: Path, note: Callable[[str], None]) -> Listed | None:
    description = _json(folder / "sweep.json", note)
    networks = None if description is None else description.get("networks")
    if not isinstance(networks, list) or not all(isinstance(each, dict) for each in networks):
        return None
    rows = _rows(folder / "results.csv", note)
    best = _run(folder / "best", note) if (folder / "best").is_dir() else None
    of_all = best or Listed(folder, "", 0.0, _shared(networks))
    if rows is None:
        status, done = "unfinished", _lines(folder / "results.jsonl")
    else:
        lost = all(row.get("status") == "diverged" for row in rows)
        status, done = "finished" if best else "diverged" if lost else "damaged", len(rows)
        if status == "damaged":
            note(f"{folder / 'best'} is missing or damaged: run the sweep again, which writes it anew")
    seconds = [_number(row.get("seconds")) for row in rows or []]
    return Listed(
        folder,
        status,
        _written(folder, "results.csv", "results.jsonl", "sweep.json"),
        of_all.settings,
        of_all.score,
        of_all.train,
        of_all.val,
        of_all.test,
        math.fsum(value for value in seconds if value is not None) if rows else None,
        of_all.steps,
        of_all.epochs,
        len(networks),
        min(done, len(networks)),
        of_all.summary,
    )


def _shared(networks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that all networks of a sweep have in common."""
    if not networks:
        return {}
    same = {name for name, value in networks[0].items() if all(each.get(name) == value for each in networks)}
    return {name: _plain(value) for name, value in networks[0].items() if name in same}


def _settings(folder: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """Return the content of ``config.json``, also of other versions with other settings; empty if missing."""
    found = _json(folder / "config.json", note) or {}
    if not (isinstance(found.get("dataset"), str) and "hidden" in found):
        return {}
    return {name: _plain(value) for name, value in found.items()}


def _json(path: Path, note: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the JSON object in a file; None if the file does not exist or, with a note, if it is damaged."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    except (ValueError, RecursionError):  # not JSON, or not text
        pass
    note(f"{path} is damaged: correct it, or move it away")
    return None


def _rows(path: Path, note: Callable[[str], None]) -> list[dict[str, str]] | None:
    """Return the rows of ``results.csv``; None if it does not exist, as before the end of a sweep."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return None
    except (ValueError, csv.Error):
        note(f"{path} is damaged: run the sweep again; it keeps the networks that are done")
        return None


def _lines(path: Path) -> int:
    """Return the number of lines in a file; 0 if it does not exist."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0


def _epochs(path: Path) -> int | None:
    """Return the last epoch in ``history.csv``."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 1000))
            *_, last = file.read().decode("ascii", "replace").split("\n")[-2:-1]
        return int(last.split(",")[1])
    except (OSError, ValueError, IndexError):
        return None


def _written(folder: Path, *names: str) -> float:
    """Return when the first existing file of these was written; if there is none, the time of the folder."""
    for name in names:
        if (folder / name).is_file():
            return (folder / name).stat().st_mtime
    return folder.stat().st_mtime


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _number(value: Any) -> float | None:
    """Return a finite number from a file; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def differing(runs: Sequence[Listed], defaults: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that differ between runs, except those of the data.

    Parameters
    ----------
    runs
        Runs; those with unknown settings are left out.
    defaults
        Values of settings that a run of an earlier version did not record.
    """
    known = [run.settings for run in runs if run.settings]
    names = dict.fromkeys([*defaults, *(name for settings in known for name in settings)])
    return [
        name
        for name in names
        if name not in OF_DATA
        and len({repr(settings.get(name, defaults.get(name))) for settings in known}) > 1
    ]
