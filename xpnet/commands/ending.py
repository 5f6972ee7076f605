"""What a command says after training: the scores, where the files are, and the next command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpnet.datasets import is_folder_of_rows, npy_folder
from xpnet.datasets.frames import is_text
from xpnet.reporting.metrics import named, score_name, shown
from xpnet.runs.labelled import is_file
from xpnet.runs.run import Run
from xpnet.text import for_shell
from xpnet.training import monitors
from xpnet.training.history import SCORE_OF
from xpnet.typing import Task

__all__ = ["best_epoch", "cost", "next_command", "scores"]

_NAMES = {"test": "test", "val": "validation", "train": "train"}


def scores(summary: Mapping[str, Any], task: Task) -> str:
    """Return the scores of a run, the most telling first: ``test accuracy 97.22 %, validation …``."""
    score = SCORE_OF[task]
    known = {part: summary[f"{part}_{score}"] for part in _NAMES}
    parts = [(_NAMES[part], value) for part, value in known.items() if not (part == "test" and value is None)]
    (first, value), *others = parts
    what = f"{score_name(score)}{' (all labels right)' if task == 'multilabel' else ''}"
    said = [f"{first} {what} {shown(value, score)}"]
    return ", ".join(said + [f"{part} {shown(value, score)}" for part, value in others])


def best_epoch(run: Run) -> str:
    """Return which epoch was the best and which is saved as the model; nothing where there is no choice."""
    config, rows = run.config, run.history.rows
    if run.best is None or run.diverged_at or len(rows) == 1 or rows[-1].epoch == 0:
        return ""  # no choice; or the error says what is kept
    monitor = config.monitor
    if run.validated is not None and monitors.undefined(monitor, run.model.task, run.validated.y):
        monitor = "val_loss"
    is_saved = config.patience is not None
    if len(run.best_rows) != 1:
        best = f"an ensemble of {config.ensemble} networks, each at its best epoch by {monitor}"
    else:
        row = rows[run.best_rows[0]]
        best = f"best epoch {row.epoch} of {rows[-1].epoch} by {monitor}"
        if row is rows[-1]:
            is_saved = True
        elif not is_saved:
            best += f" (val {named(row.val_score, SCORE_OF[run.model.task])})"
    if is_saved:
        return f"{best}, saved as model.safetensors"
    return f"{best}, in best.safetensors; model.safetensors is the last"


def cost(summary: Mapping[str, Any]) -> str:
    """Return how many steps a run took, how long, and by what."""
    by = f"{summary['device']} ({summary['backend']})"
    processes = f", {summary['processes']} processes" if "processes" in summary else ""
    early = ", stopped early" if summary["status"] == "stopped" else ""
    return f"{summary['steps']:,} steps in {summary['seconds']:.2f} s on {by}{processes}{early}"


def next_command(folder: Path, dataset: str) -> str:
    """Return the command that most want next, as a shell takes it.

    Of a known data set that is to measure the network; of data of one's own, to predict other rows.

    Parameters
    ----------
    folder
        Of a run or a sweep.
    dataset
        What it was trained on.
    """
    run = for_shell(folder)
    if not is_file(dataset):
        return f"xpnet evaluate {run}"
    return f"xpnet predict {run} --input {_like(Path(dataset))} --output predictions.csv"


def _like(path: Path) -> str:
    """Return a name for other rows of the kind that a data set has."""
    if path.is_dir():
        if not is_folder_of_rows(path):
            return "IMAGES"
        return "NEW.npy" if npy_folder.holds_arrays(path) else "NEW.parquet"
    return "NEW.csv" if is_text(path) else f"NEW{path.suffix}"
