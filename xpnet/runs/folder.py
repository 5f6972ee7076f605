"""Run folders: settings, history, summary, model, pictures and a report."""

import contextlib
import io
import json
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnet import __version__
from xpnet.data import transforms
from xpnet.errors import InputError
from xpnet.files import replacing
from xpnet.nn.mlp import MLP
from xpnet.reporting import plots
from xpnet.reporting.curves import best_row, curves
from xpnet.reporting.evaluated import Evaluated
from xpnet.reporting.page import text
from xpnet.reporting.png import png_of
from xpnet.reporting.report import Report, with_evaluation
from xpnet.runs.averaged import note_on_curves
from xpnet.runs.config import Config
from xpnet.runs.defaults import defaults_for
from xpnet.runs.experiment import Experiment
from xpnet.runs.labelled import is_lasting
from xpnet.runs.model_file import save_model
from xpnet.training.history import SCORE_OF, Row, columns_of
from xpnet.training.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "EVALUATIONS",
    "EXPORTS",
    "FILES",
    "TITLES",
    "add_evaluation",
    "charts_of",
    "check_room",
    "claim",
    "curves_of",
    "refuse_sweep",
    "report_of",
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

TITLES = {"val": "Validation", "test": "Test", "train": "Training rows"}
"""Names of the splits in the report."""

WEIGHTED = "Training and the scores above weight these rows; here every row counts the same."
"""A note in the report if rows have weights."""

REPORTED_UNITS = 100
"""Maximum number of units whose weights the report shows, to keep the page small enough to share."""

SHADES = 8
"""Brightness levels merged into one in pictures of weights: this is invisible, and halves their size."""


@contextlib.contextmanager
def claim(out: str | None, dataset: str) -> Iterator[Path]:
    """Create a run folder and check that files can be written there, before the work that fills it.

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
        raise InputError(f"{folder} holds a sweep, whose best the run would hide: give another folder")


def check_room(folder: Path, mlp: MLP, config: Config) -> None:
    """Refuse a disk without room for what is trained: it would be lost at the end.

    Raises
    ------
    InputError
        Less is free than ``model.safetensors`` and ``best.safetensors`` take, with a MiB for the other files.
    """
    weights = config.ensemble * sum(ins * outs for ins, outs in pairwise(mlp.sizes))
    needed, free = 2 * weights * np.dtype(config.dtype).itemsize + 2**20, shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder} has {free / 2**20:.1f} MiB free, but the run takes {needed / 2**20:.1f} MiB or more: "
            "free some space there, or give another --out"
        )


def write(folder: Path, run: Experiment, pictures: bool, report: bytes | None = None) -> None:
    """Write the files of a run. Each is replaced as a whole: an interruption leaves the old or the new.

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
        drawn["weights.png"] = _png(plots.weights(_of_pixels(model), model.image_shape))
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


def charts_of(run: Experiment) -> str:
    """Return the curves of a run as HTML charts, with what they show; empty without a history."""
    score, networks, best = SCORE_OF[run.model.task], run.model.networks or 1, run.best_rows
    if not best and networks == 1:  # a loaded run; with several networks, each had a different best epoch
        found = best_row(run.history, run.config.monitor, score)
        best = () if found is None else (found,)
    drawn = curves(
        run.history, score, schedule=run.rates, best=best, networks=networks, diverged_at=run.diverged_at
    )
    note = note_on_curves(score, {run.model.averaging}, networks)
    return f'<p class="faint">{text(note)}</p>{drawn}' if drawn and note else drawn


def report_of(run: Experiment) -> Report:
    """Return the content of the report of a run."""
    config, model = run.config, run.model
    known = {"test": run.tested, "val": run.validated}
    return Report(
        title=f"xpnet: {Path(config.dataset).name}",
        subtitle=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        summary=run.summary,
        settings=config.recorded(),
        defaults=defaults_for(Config, config.dataset),
        versions={
            "xpnet": __version__,
            "backend": run.summary.get("backend", "unknown"),
            "Python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        score=SCORE_OF[model.task],
        curves=charts_of(run),
        evaluated={
            split: Evaluated(
                TITLES[split],
                model.task,
                model.class_names,
                found.y,
                found.predicted,
                found.mistakes,
                notes=(WEIGHTED,) if found.weighted else (),
                among=_name_of(config.dataset) if found.numbered else "",
            )
            for split, found in known.items()
            if found is not None
        },
        weights=_weights_of(model),
        is_repeatable=is_lasting(config.dataset),
    )


def _name_of(dataset: str) -> str:
    """Return what the page calls the user's data: the file, if it is one."""
    return Path(dataset).name if is_lasting(dataset) else "the data"


def add_evaluation(
    folder: Path,
    run: Callable[[], Experiment],
    key: str,
    found: Evaluated,
    note: Callable[[str], None],
) -> Path | None:
    """Add an evaluation to the report in a folder.

    Parameters
    ----------
    folder
        Folder of the report.
    run
        The run, to write a new page if the existing one has no place for evaluations.
    key
        The evaluated split, or ``"other"`` for rows that do not belong to the run. An earlier evaluation of
        the same rows is replaced.
    found
        The evaluation.
    note
        Called with a sentence on where the old page is kept, if it has no place for evaluations.

    Returns
    -------
    Path or None
        The report; None if there is none.
    """
    file = folder / "report.html"
    if not file.is_file():
        return None
    page = with_evaluation(file.read_text(encoding="utf-8", errors="replace"), key, found)
    if page is None:
        page = with_evaluation(report_of(run()).as_html().decode(), key, found)
        numbered = (folder / f"report-{number}.html" for number in count(1))
        kept = next(path for path in numbered if not path.exists())
        file.rename(kept)
        note(f"{file} was damaged or not written by this version of xpnet: it is kept as {kept.name}")
    if page is not None:
        _write_text(file, page)
    return file


def _weights_of(model: Model) -> bytes | None:
    """Return the weights of the first units as images, in PNG format; None if rows are not images."""
    shape = model.image_shape
    # The preprocessing of a table is not a matrix, so its weights do not belong to pixels.
    if shape is None or shape[2] not in plots.CHANNELS or model.preprocessing.kind == "table":
        return None
    pixels = plots.tile(_of_pixels(model)[:, :REPORTED_UNITS].T, shape)
    return png_of(pixels // SHADES * SHADES)


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


def _of_pixels(model: Model) -> NDArray[Any]:
    """Return the weights of the first layer (of the first network) as weights of raw features."""
    how = replace(model.preprocessing, contrast=False)  # the part that cannot be folded into weights
    W, _ = transforms.fold(how, model.fitted, model.params["W1"], model.params["b1"])
    return W[0] if W.ndim == 3 else W


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
