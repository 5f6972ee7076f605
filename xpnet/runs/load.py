"""`xpnet.load`: load saved runs."""

import csv
import os
from pathlib import Path

from xpnet.runs.config import Config
from xpnet.runs.experiment import Experiment
from xpnet.runs.model_file import load_model
from xpnet.runs.run import Run, as_run
from xpnet.runs.saved import UNKNOWN, damaged, open_run, summary_in
from xpnet.training.history import History, Row, columns_of
from xpnet.training.model import Model

__all__ = ["load", "settings_of"]


def load(path: str | os.PathLike[str]) -> Run:
    """Load a trained network that a command or `Run.save` wrote.

    Parameters
    ----------
    path
        A run folder; the folder of a sweep, for its best network; or a model file (``.safetensors``).

    Returns
    -------
    Run
        A run from a single model file has no history, and its settings are those recorded in the model, or
        else defaults. The same holds for files missing from a folder. Losses of single steps are not saved.

    Raises
    ------
    InputError
        If there is no such run, or one of its files is damaged.

    Examples
    --------
    >>> import xpnet
    >>> run = xpnet.fit("digits", epochs=5, out="runs/digits")
    >>> xpnet.load("runs/digits").summary == run.summary
    True
    """
    saved = open_run(path)
    folder, model = saved.folder, saved.model
    if saved.path.name not in ("model.safetensors", "best.safetensors"):  # not in a run folder
        return as_run(Experiment(settings_of(model), model, History(), {}), None)
    settings = saved.settings()
    best = folder / "best.safetensors"
    return as_run(
        Experiment(
            Config.of({"dataset": UNKNOWN}, settings) if settings else settings_of(model),
            model,
            _history(folder / "history.csv", model),
            summary_in(folder / "summary.json"),
            load_model(best) if best.is_file() else None,
        ),
        folder,
    )


def settings_of(model: Model) -> Config:
    """Return the settings recorded in a model, with defaults for all others."""
    how, mlp = model.preprocessing, model.mlp
    return Config(
        dataset=UNKNOWN,
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
        bins=how.bins,
        averaging=model.averaging,
        loss="poisson" if model.link == "log" else "auto",
        standardize_target=model.task != "regression" or model.target is not None,
        dtype=model.dtype,  # type: ignore[arg-type]  # checked when the file was read
    )


def _history(path: Path, model: Model) -> History:
    """Return the rows of ``history.csv``, or none if the file is missing."""
    if not path.is_file():
        return History()
    columns = columns_of(model.task)
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
        raise damaged(path, error) from error
    return History(rows)
