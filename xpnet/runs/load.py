"""Saved runs back in hand: what `xpnet.load` does."""

import csv
import json
import os
from pathlib import Path
from typing import Any

from xpnet.errors import InputError
from xpnet.runs.config import Config
from xpnet.runs.experiment import Experiment
from xpnet.runs.model_file import load_model
from xpnet.runs.run import Run, as_run
from xpnet.runs.saved_run import open_run
from xpnet.training.history import SCORE_OF, History, Row
from xpnet.training.model import Model

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> Run:
    """Load what was trained, from what the commands and `Run.save` write.

    Parameters
    ----------
    path
        A run folder; the folder of a sweep, for its best network; or a model file (``.safetensors``).

    Returns
    -------
    Run
        Of a model file alone the settings are those that the model itself tells, and the defaults; there is
        no history. Of a folder, what of its files is missing is left out likewise. Losses of single steps are
        in no file.

    Raises
    ------
    InputError
        There is no such run, or a file of it is damaged.

    Examples
    --------
    >>> import xpnet
    >>> run = xpnet.fit("digits", epochs=5, out="runs/digits")
    >>> xpnet.load("runs/digits").summary == run.summary
    True
    """
    saved = open_run(os.fspath(Path(path).expanduser()))
    folder, model = saved.folder, saved.model
    given = Path(path).expanduser()
    if given.is_file() and given.name not in ("model.safetensors", "best.safetensors"):
        return as_run(Experiment(_settings_of(model), model, History(), {}), None)
    settings = saved.settings()
    best = folder / "best.safetensors"
    return as_run(
        Experiment(
            Config.of(settings) if settings else _settings_of(model),
            model,
            _history(folder / "history.csv", model),
            _summary(folder / "summary.json"),
            load_model(best) if best.is_file() else None,
        ),
        folder,
    )


def _settings_of(model: Model) -> Config:
    """Return the settings that a model tells of itself, all others being the defaults."""
    how, mlp = model.preprocessing, model.mlp
    return Config(
        hidden=mlp.sizes[1:-1],
        activation=mlp.activation,
        norm=mlp.norm,
        residual=mlp.residual,
        ensemble=model.networks or 1,
        preprocess=how.kind,
        components=how.components,
        ridge=how.ridge,
        contrast=how.contrast,
        fit_rows=how.fit_rows,
        averaging=model.averaging,
        dtype=model.dtype,  # type: ignore[arg-type]  # one of the two, as the file was checked
    )


def _summary(path: Path) -> dict[str, Any]:
    """Return what ``summary.json`` holds; nothing if it isn't there."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
        raise ValueError("it holds no names and values")
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error


def _history(path: Path, model: Model) -> History:
    """Return the rows of ``history.csv``; none if it isn't there."""
    if not path.is_file():
        return History()
    columns = [name.replace("score", SCORE_OF[model.task]) for name in Row._fields]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        if header != columns:
            raise ValueError(f"its columns are {', '.join(header)}")
        rows = [
            Row(int(step), int(epoch), *map(float, values))
            for step, epoch, *values in lines
            if len(values) == len(columns) - 2
        ]
        if len(rows) != len(lines):
            raise ValueError("a line is cut short")
    except (OSError, ValueError, csv.Error) as error:
        raise _damaged(path, error) from error
    return History(rows)


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"{path} cannot be read ({reason}): delete it, and the rest of the run still loads")
