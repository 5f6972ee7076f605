"""The files of a sweep, from which it can be resumed after being killed at any moment."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.files import replacing
from xpnet.runs.config import Config
from xpnet.runs.previous import discard
from xpnet.sweep.chunk import Outcome, Trained
from xpnet.sweep.plan import Cut
from xpnet.training.history import History, Row

__all__ = ["Memory", "Store", "recorded"]


PICTURES = ("heatmap.png", "curves.png", "learning.png")
MADE = ("sweep.json", "results.jsonl", "results.csv", "report.html", *PICTURES, "chunks", "best", "ensemble")
"""Files that a sweep leaves in its folder."""


class Memory:
    """Replaces the store of a sweep without a folder: keeps everything in memory."""

    def __init__(self) -> None:
        self.cuts: dict[int, Cut] = {}
        self._trained: dict[str, dict[int, Trained]] = {}

    def note_cut(self, group: int, cut: Cut) -> None:
        """Note how a group of networks is divided."""
        self.cuts[group] = cut

    def done(self) -> list[dict[str, Any]]:
        """Return the rows of all complete tasks; there are none yet."""
        return []

    def save(self, outcome: Outcome) -> None:
        """Save the outcome of a task."""
        self._trained[outcome.key] = outcome.trained

    def load(self, task: str, network: int) -> Trained:
        """Return a network from a complete task."""
        return self._trained[task][network]

    def networks(self, task: str) -> set[int]:
        """Return the numbers of the networks from a complete task."""
        return set(self._trained[task])

    def forget(self, keep: set[str]) -> None:
        """Drop the networks of all tasks except those to keep."""
        self._trained = {task: self._trained[task] for task in keep if task in self._trained}


class Store(Memory):
    """The folder of a sweep.

    ``sweep.json`` describes the networks and how they are divided into chunks. ``results.jsonl`` gets one
    line per network when a chunk ends. ``chunks/`` holds the trained networks that the next rung needs; at
    the end, it holds the best of each chunk, and the parameters of all networks if they are not too large.

    A chunk's networks are written before its lines: a chunk with all its lines is done; any other is trained
    again, with the same result.

    Parameters
    ----------
    folder
        Created if missing.
    description
        What identifies the sweep, as plain data.
    force
        Start afresh: delete a sweep that is in the folder.

    Raises
    ------
    InputError
        If the folder holds another sweep.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any], force: bool = False) -> None:
        super().__init__()
        self.folder = folder
        self._results = folder / "results.jsonl"
        self._chunks = folder / "chunks"
        folder.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(description))
        path = folder / "sweep.json"
        if force and (path.exists() or self._results.exists()):
            discard(folder, [folder / name for name in MADE])
        if path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                cuts = found.pop("cuts")
                self.cuts = {int(k): Cut(int(size), int(workers)) for k, (size, workers) in cuts.items()}
                if not all(min(cut.size, cut.workers) >= 1 for cut in self.cuts.values()):
                    raise ValueError("a cut into nothing")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"{path} is not a sweep: give another --out, or delete that folder"
                ) from error
            if found != wanted:
                raise InputError(
                    f"{folder} holds another sweep: give another --out, --force to delete it, or start from "
                    f"its best network with --init-from {folder}"
                )
        elif self._results.exists():
            raise InputError(
                f"{self._results} does not belong to a known sweep: give another --out, or delete it"
            )
        self._description = wanted

    def note_cut(self, group: int, cut: Cut) -> None:
        """Note how a group of networks is divided: a resumed sweep must divide it the same way."""
        super().note_cut(group, cut)
        cuts = {str(number): [cut.size, cut.workers] for number, cut in self.cuts.items()}
        text = json.dumps({**self._description, "cuts": cuts}, indent=1) + "\n"
        with replacing(self.folder / "sweep.json") as path:
            path.write_text(text, encoding="utf-8")

    def done(self) -> list[dict[str, Any]]:
        """Return the rows of all complete tasks, and remove incomplete ones left by a killed process."""
        if not self._results.exists():
            return []
        tasks: dict[str, dict[int, dict[str, Any]]] = {}
        for line in self._results.read_text(encoding="ascii", errors="replace").splitlines():
            try:
                row = json.loads(line)
                if _is_row(row, len(self._description["networks"])):
                    tasks.setdefault(row["task"], {})[row["network"]] = row
            except (ValueError, KeyError, TypeError):
                continue  # the last line, cut short
        rows = [row for task in tasks.values() for row in task.values() if len(task) == row["networks"]]
        with replacing(self._results) as path:
            path.write_text("".join(map(_line, rows)), encoding="ascii")
        return rows

    def save(self, outcome: Outcome) -> None:
        """Save the outcome of a task: first its networks, then its lines."""
        from safetensors.numpy import save

        self._chunks.mkdir(exist_ok=True)
        tensors: dict[str, NDArray[Any]] = {}
        for number, trained in outcome.trained.items():
            rows = np.array(trained.history.rows, np.float64)
            arrays = {f"{kind}/{name}": a for kind, of in trained.state.items() for name, a in of.items()}
            arrays |= {"rows": rows, "losses": np.array(trained.history.losses)}
            # The arrays may be views, and safetensors writes the memory as it is.
            tensors |= {f"{number}/{name}": np.ascontiguousarray(a) for name, a in arrays.items()}
        with replacing(self._chunk(outcome.key)) as path:
            path.write_bytes(save(tensors))  # its own writing raises no OSError on a full disk
        lines = "".join(_line(row) for row in outcome.rows)
        with self._results.open("a", encoding="ascii") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def load(self, task: str, network: int) -> Trained:
        """Return a network from a complete task."""
        from safetensors import SafetensorError, safe_open

        path = self._chunk(task)
        prefix = f"{network}/"
        try:
            with safe_open(path, framework="numpy") as file:
                names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
                arrays = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
            rows, losses = arrays.pop("rows"), arrays.pop("losses")
        except (OSError, KeyError, SafetensorError) as error:
            raise InputError(
                f"{path} cannot be read: delete {self.folder} and run the sweep again"
            ) from error
        history = History([Row(int(r[0]), int(r[1]), *r[2:]) for r in rows.tolist()], list(losses))
        state: dict[str, dict[str, NDArray[Any]]] = {}
        for key, array in arrays.items():
            kind, _, name = key.partition("/")
            state.setdefault(kind, {})[name] = array
        return Trained(state, history)

    def networks(self, task: str) -> set[int]:
        """Return the numbers of the networks from a complete task."""
        from safetensors import SafetensorError, safe_open

        path = self._chunk(task)
        try:
            with safe_open(path, framework="numpy") as file:
                return {int(name.partition("/")[0]) for name in file.keys()}  # noqa: SIM118
        except (OSError, ValueError, SafetensorError) as error:
            raise InputError(
                f"{path} cannot be read: delete {self.folder} and run the sweep again"
            ) from error

    def forget(self, keep: set[str]) -> None:
        """Remove the networks of all tasks except those to keep, and partial files of killed processes."""
        kept = {self._chunk(key) for key in keep}
        for path in self._chunks.glob("*"):
            if path not in kept:
                path.unlink()

    def _chunk(self, key: str) -> Path:
        return self._chunks / f"{key}.safetensors"


def recorded(config: Config) -> dict[str, Any]:
    """Return the settings that define a run."""
    values = asdict(config)
    return {f.name: values[f.name] for f in fields(Config) if f.metadata.get("recorded", True)}


def _is_row(row: Mapping[str, Any], networks: int) -> bool:
    """Return whether a sweep of this many networks wrote this line; may raise KeyError or TypeError."""
    numbers = (row["train_score"], row["val_score"], row["steps"], row["seconds"], row["networks"])
    return (
        isinstance(row["task"], str)
        and isinstance(row["status"], str)
        and isinstance(row["curve"], list)
        and row["network"] in range(networks)
        and all(isinstance(number, int | float) for number in numbers)
    )


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row) + "\n"
