"""Run folders: settings, history, summary, model, pictures and a report (`report`)."""

import contextlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xpnet.errors import InputError
from xpnet.files import replacing
from xpnet.nn.mlp import MLP
from xpnet.reporting import plots
from xpnet.runs.config import Config
from xpnet.runs.experiment import Experiment
from xpnet.runs.model_file import save_model
from xpnet.runs.report import of_pixels, report_of
from xpnet.training.history import SCORE_OF, Row, columns_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "EVALUATIONS",
    "EXPORTS",
    "FILES",
    "check_room",
    "claim",
    "curves_of",
    "refuse_sweep",
    "write",
    "write_settings",
]

FILES = (
    "config.json",
    "history.csv",
    "summary.json",
    "model.safetensors",
    "best.safetensors",
    "curves.png",
    "weights.png",
    "report.html",
)
"""Files of a run folder; ``best.safetensors`` and the two pictures may be missing."""

EVALUATIONS = ("confusion", "mistakes", "predicted")
"""Pictures that ``xpnet evaluate`` adds, each as ``NAME-SPLIT.png``."""

EXPORTS = ("model.onnx", "model-torch.safetensors")
"""Files that ``xpnet export`` adds by default."""


@contextlib.contextmanager
def claim(out: str | None, dataset: str) -> Iterator[Path]:
    """Create a run folder and check that files can be written there, before the work starts.

    Parameters
    ----------
    out
        The folder; an existing one is reused. By default a new one in ``runs``, named after the data set and
        the time.
    dataset
        As in `Config`.

    Yields
    ------
    Path
        The folder. If the work fails and leaves it empty, it is removed again.

    Raises
    ------
    InputError
        Files cannot be written there.
    """
    folder = Path(out or "runs")  # an empty name, as from an unset variable, counts as none
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
            with contextlib.suppress(OSError, ValueError):  # not empty, or never created
                path.rmdir()
        raise


def refuse_sweep(folder: Path) -> None:
    """Refuse the folder of a sweep: `xpnet.load` would load the run instead of the best network."""
    if (folder / "sweep.json").exists():
        raise InputError(
            f"{folder} holds a sweep, and a run there would hide its best network: give another folder"
        )


def check_room(folder: Path, mlp: MLP, config: Config) -> None:
    """Refuse a disk without room for the network: it would be lost at the end of training.

    Raises
    ------
    InputError
        There is less room than ``model.safetensors``, ``best.safetensors`` and the other files (1 MiB) take.
    """
    weights = config.ensemble * sum(ins * outs for ins, outs in pairwise(mlp.sizes))
    needed, free = 2 * weights * np.dtype(config.dtype).itemsize + 2**20, shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder} has {free / 2**20:.1f} MiB free, but the run takes {needed / 2**20:.1f} MiB or more: "
            "free some space there, or give another --out"
        )


def write(folder: Path, run: Experiment, pictures: bool, report: bytes | None = None) -> None:
    """Write the files of a run, each as a whole: an interruption leaves the old file or the new one.

    Parameters
    ----------
    folder
        An existing folder.
    run
        The run.
    pictures
        Whether to draw pictures, which needs matplotlib; the report does not.
    report
        The page, if there is one already; by default it is made from the run.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    config, model = run.config, run.model
    save_model(folder / "model.safetensors", model)
    if run.best is not None:
        save_model(folder / "best.safetensors", run.best)
    else:
        (folder / "best.safetensors").unlink(missing_ok=True)  # left by an earlier run
    write_settings(folder, config)
    lines = [",".join(columns_of(model.task))]
    lines += [_csv(row, config) for row in run.history.rows]
    _write_text(folder / "history.csv", "\n".join(lines) + "\n")

    drawn = {}
    if pictures and run.history.rows:
        drawn["curves.png"] = curves_of(run)
    if pictures and config.weights_image:
        drawn["weights.png"] = _png(plots.weights(of_pixels(model), model.image_shape))
    for name in ("curves.png", "weights.png"):
        if name in drawn:
            with replacing(folder / name) as temporary:
                temporary.write_bytes(drawn[name])
        else:
            (folder / name).unlink(missing_ok=True)  # left by an earlier run
    with replacing(folder / "report.html") as temporary:
        temporary.write_bytes(report_of(run).as_html() if report is None else report)
    # Last, because this file marks the run as done.
    _write_text(folder / "summary.json", json.dumps(run.summary, indent=2) + "\n")


def write_settings(folder: Path, config: Config) -> None:
    """Write ``config.json``, from which a run can be repeated or resumed."""
    settings = config.recorded()
    # So that the run can be repeated from any folder.
    if Path(config.dataset).suffix or Path(config.dataset).is_dir():
        settings["dataset"] = str(Path(config.dataset).resolve())
    for name in ("data_dir", "init_from"):
        if settings[name] is not None:
            settings[name] = str(Path(settings[name]).resolve())
    _write_text(folder / "config.json", json.dumps(settings, indent=2) + "\n")


def curves_of(run: Experiment) -> bytes:
    """Return the curves of a run as a PNG file."""
    return _png(plots.curves(run.history, run.rates, SCORE_OF[run.model.task]))


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _make_new(parent: Path, dataset: str) -> Path:
    """Create a new folder, even if two runs start in the same second."""
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
    """Return a row of the file, with values as short as their precision allows: 0.98, not 0.980000019."""
    precision = np.dtype(config.dtype).type
    measured = row.train_loss, row.train_score, row.val_loss, row.val_score
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
