"""The folder that a run leaves: settings, history, summary, model and pictures."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np

from xpnet import plots
from xpnet.checkpoint import save_model
from xpnet.config import Config
from xpnet.datasets import Dataset
from xpnet.errors import InputError
from xpnet.experiment import Experiment
from xpnet.files import replacing
from xpnet.history import Row

__all__ = ["FILES", "claim", "write"]

FILES = (
    "config.json",
    "history.csv",
    "summary.json",
    "model.safetensors",
    "curves.png",
    "weights.png",
)
"""Names of the files of a run folder, of which the two pictures may be missing."""


@contextlib.contextmanager
def claim(out: str | None, dataset: str) -> Iterator[Path]:
    """Make a run folder, sure that files can be written there, before the work that fills it.

    Parameters
    ----------
    out
        The folder; an existing one is used again. By default a new one in ``runs``, named after the
        data set and the time.
    dataset
        As in `Config`.

    Yields
    ------
    Path
        The folder. If the work fails and has left nothing there, what was made is removed.

    Raises
    ------
    InputError
        Files cannot be written there.
    """
    folder = Path(out or "runs")  # an empty name, of an unset variable, is none
    made: list[Path] = []
    try:
        try:
            made = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            if not out:
                folder = _make_new(folder, dataset)
                made.insert(0, folder)
            tempfile.TemporaryFile(dir=folder).close()
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            reason = getattr(error, "strerror", None) or error
            if isinstance(error, FileExistsError):
                reason = "it is a file"
            raise InputError(f"{folder} cannot be written ({reason}): give another --out") from error
        for name in FILES:
            if (folder / name).is_dir():
                raise InputError(f"{folder / name} is a folder: remove it or give another --out")
        yield folder
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError, ValueError):  # not empty, or never made
                path.rmdir()
        raise


def write(folder: Path, experiment: Experiment, data: Dataset, pictures: bool) -> None:
    """Write the files of a run; each is whole or the one before, whenever this stops.

    Parameters
    ----------
    folder
        Where; exists.
    experiment, data
        The run and what it was trained on.
    pictures
        Whether to draw, which takes matplotlib.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    config = experiment.config
    save_model(
        folder / "model.safetensors",
        experiment.mlp,
        experiment.params,
        experiment.mean,
        data.class_names,
        data.image_shape,
    )
    settings = {f.name: getattr(config, f.name) for f in fields(config) if f.metadata.get("recorded", True)}
    # Repeating the run must find its data from any folder.
    if Path(config.dataset).suffix:
        settings["dataset"] = str(Path(config.dataset).resolve())
    if config.data_dir is not None:
        settings["data_dir"] = str(Path(config.data_dir).resolve())
    _write_text(folder / "config.json", json.dumps(settings, indent=2) + "\n")
    lines = [",".join(Row._fields)]
    lines += [_csv(row, config) for row in experiment.result.history.rows]
    _write_text(folder / "history.csv", "\n".join(lines) + "\n")
    _write_text(folder / "summary.json", json.dumps(experiment.summary, indent=2) + "\n")

    drawn = {}
    if pictures:
        drawn["curves.png"] = plots.curves(experiment.result.history)
    if pictures and config.weights_image:
        drawn["weights.png"] = plots.weights(experiment.params["W1"], data.image_shape)
    for name in ("curves.png", "weights.png"):
        if name in drawn:
            with replacing(folder / name) as temporary:
                drawn[name].savefig(temporary, format="png")
        else:
            (folder / name).unlink(missing_ok=True)  # of the run that was here before


def _make_new(parent: Path, dataset: str) -> Path:
    """Make a folder that wasn't there, also where two runs start in the same second."""
    name = f"{Path(dataset).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = parent / name, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            folder = parent / f"{name}-{number}"
        else:
            return folder


def _csv(row: Row, config: Config) -> str:
    """Return a row; what was measured is as short as its precision allows: 0.98, not 0.980000019."""
    precision = np.dtype(config.dtype).type
    measured = row.train_loss, row.train_accuracy, row.val_loss, row.val_accuracy
    values = (
        row.step,
        row.epoch,
        row.learning_rate,
        *(precision(value) for value in measured),
        round(row.seconds, 6),
    )
    return ",".join(map(str, values))


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
