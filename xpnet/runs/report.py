"""The report of a run: the content of its page, and evaluations that are added later."""

import platform
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from xpnet import __version__
from xpnet.data import transforms
from xpnet.files import replacing
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
from xpnet.training.history import SCORE_OF
from xpnet.training.model import Model

__all__ = ["TITLES", "add_evaluation", "charts_of", "of_pixels", "report_of"]

TITLES = {"val": "Validation", "test": "Test", "train": "Training rows"}
"""Names of the splits in the report."""

WEIGHTED = "Training and the scores above use the weights of the rows; here every row counts the same."
"""A note in the report if rows have weights."""

REPORTED_UNITS = 100
"""Maximum number of units whose weights the report shows, to keep the page small enough to share."""

SHADES = 8
"""Brightness levels merged into one in pictures of weights. It cannot be seen, and halves the file size."""


def charts_of(run: Experiment) -> str:
    """Return the curves of a run as HTML charts, with a note if one is needed; empty without a history."""
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
    """Return the name of the data on the page: of their file or data set, else "the data"."""
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
        Called if a new page is written, with a sentence that says where the old one is kept.

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
        with replacing(file) as temporary:
            temporary.write_text(page, encoding="utf-8", newline="")
    return file


def _weights_of(model: Model) -> bytes | None:
    """Return the weights of the first units as images, in PNG format; None if rows are not images."""
    shape = model.image_shape
    # The preprocessing of a table is not a matrix, so its weights do not belong to pixels.
    if shape is None or shape[2] not in plots.CHANNELS or model.preprocessing.kind == "table":
        return None
    pixels = plots.tile(of_pixels(model)[:, :REPORTED_UNITS].T, shape)
    return png_of(pixels // SHADES * SHADES)


def of_pixels(model: Model) -> NDArray[Any]:
    """Return the weights of the first layer (of the first network) as weights of raw features."""
    how = replace(model.preprocessing, contrast=False)  # the part that cannot be folded into weights
    W, _ = transforms.fold(how, model.fitted, model.params["W1"], model.params["b1"])
    return W[0] if W.ndim == 3 else W
