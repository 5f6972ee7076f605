"""``xpnet evaluate``: measure a trained run on a data set, class by class or number by number."""

import json
import logging
import os
import warnings
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xpnet.commands.console import complain, run_command, telling
from xpnet.commands.devices import add_device, on_threads, tell_choice
from xpnet.commands.findings import FINDINGS, Findings, plain
from xpnet.commands.flags import Parser, add_run
from xpnet.commands.outputs import refusing
from xpnet.commands.shades import add_shades, shades_of
from xpnet.device import get_device
from xpnet.errors import InputError
from xpnet.files import path_of, replacing
from xpnet.reporting import metrics, plots
from xpnet.reporting.evaluated import Evaluated
from xpnet.runs.folder import EVALUATIONS
from xpnet.runs.labelled import Labelled
from xpnet.runs.load import load
from xpnet.runs.report import TITLES, add_evaluation
from xpnet.runs.saved import SavedRun, open_run
from xpnet.text import printable
from xpnet.training.raw_rows import RowError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["main"]

NAME = "xpnet evaluate"


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate the run that the arguments name; return the exit status of `run_command`."""
    return run_command(NAME, lambda _: on_threads(_parse(argv), _evaluate))


def _parse(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(
        NAME,
        "Evaluate a trained run. Classification: accuracy, log loss, ROC AUC, precision and recall of "
        "each class or label, the confusion matrix and the most confident mistakes. Regression: R², "
        "errors, and predicted against true numbers.",
        "xpnet evaluate runs/mine",
        "xpnet evaluate runs/mine --dataset new.csv --json",
    )
    add_run(parser)
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="data to evaluate on, as for xpnet train; a file or folder is used whole (default: the "
        "data of the run)",
    )
    parser.add_argument(
        "--target",
        metavar="NAME",
        nargs="+",
        default=(),
        help="target column(s) of --dataset (default: as in the run)",
    )
    parser.add_argument(
        "--header",
        action=BooleanOptionalAction,
        help="whether the first line of a CSV file holds the column names (default: as in the run, "
        "else detected)",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder with the CIFAR-10 files")
    parser.add_argument(
        "--split",
        choices=("test", "val", "train"),
        help="split to evaluate (default: test if the run has one, else val; all rows of a --dataset file)",
    )
    add_shades(parser)
    add_device(parser)
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="existing folder for the pictures: confusion-SPLIT.png and mistakes-SPLIT.png, or "
        "predicted-SPLIT.png for a regression (default: the folder of the run, whose report.html then "
        "shows the results, too)",
    )
    parser.add_argument(
        "--json",
        action=BooleanOptionalAction,
        help="print the results as JSON, as the last line of standard output",
    )
    parser.add_argument(
        "--quiet", action=BooleanOptionalAction, help="print nothing but errors and the JSON of --json"
    )
    return parser.read(argv)


def _evaluate(given: Namespace) -> int:
    device = get_device(given.device, given.backend)
    tell_choice(NAME, given)
    run = open_run(given.run)
    folder = run.folder if given.out is None else path_of(given.out)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: make it or give another --out")

    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        complain(NAME, f"note: {text}")

    with telling(note):
        data = run.rows(
            None if given.dataset is None else os.fspath(path_of(given.dataset)),
            None if given.data_dir is None else os.fspath(path_of(given.data_dir)),
            given.split,
            target=tuple(given.target),
            header=given.header,
            shades=shades_of(run.model, given, Path(given.dataset or ""), note) if given.dataset else None,
            progress=not given.quiet,
            note=note,
        )
    split, X, y = data.split, data.X, data.y
    try:
        with telling(note):
            found = FINDINGS[run.model.task](run.model, X, y, device, data.numbers)
    except RowError as error:
        raise InputError(f"{run.path} and {data.name}: {error}") from error
    if not given.quiet:  # first, because writing the files may fail
        rows = f"all {len(y)} rows" if split == "all" else f"the {len(y)} {split} rows"
        print(f"{found.score} of {rows} of {printable(data.name)}")
        _, *others = found.measures.items()  # the line above has the first
        print(metrics.measures_text(dict(others)))
        for table in found.tables:
            print(f"\n{table}")
    written = _write(folder, split, found.drawn)
    told = written
    if given.out is None:
        told = [*written, *_report(run, data, found, given.dataset is None, notes, note)]
    if not given.quiet:
        if told:
            print(f"\nwritten to {' and '.join(printable(str(path)) for path in told)}")
        if run.model.task != "multilabel" and not plots.available():
            complain(NAME, f"note: no pictures without matplotlib: {plots.INSTALL}")
    if given.json:
        summary = {
            "rows": len(y),
            "split": split,
            "dataset": data.name,
            "device": device.name,
            **{name: plain(value) for name, value in found.measures.items()},
            **found.summary,
            "pictures": [str(path) for path in written],
        }
        print(json.dumps(summary))
    return 0


def _report(
    run: SavedRun,
    data: Labelled,
    found: Findings,
    is_own: bool,
    notes: Sequence[str],
    note: Callable[[str], None],
) -> list[Path]:
    """Add the results to the report of the run, if it has one; return its path in a list."""
    of_model = run.path.name == "model.safetensors"
    what = TITLES[data.split] if is_own else f"Measured on {Path(data.name).name}"
    if not is_own and data.split != "all":
        what += f", {data.split} rows"
    known = Evaluated(
        what if of_model else f"{what}, network {run.path.name}",
        run.model.task,
        run.model.class_names,
        data.y,
        found.predicted,
        found.mistakes,
        found.measures,
        tuple(notes),
        "" if data.numbers is None else Path(data.name).name,
    )
    file = run.folder / "report.html"
    with refusing(file, "--out"):
        written = add_evaluation(
            run.folder,
            lambda: load(run.path.parent),
            data.split if is_own and of_model else "other",
            known,
            note,
        )
    return [] if written is None else [written]


def _write(folder: Path, split: str, drawn: dict[str, "Figure"]) -> list[Path]:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # otherwise it prints about its font cache
    written = []
    for name in EVALUATIONS:
        path = folder / f"{name}-{split}.png"
        with refusing(path, "--out"):
            if name in drawn:
                with replacing(path) as temporary, warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Glyph")  # a name in letters that the font lacks
                    drawn[name].savefig(temporary, format="png")
                written.append(path)
            else:
                path.unlink(missing_ok=True)  # from an earlier evaluation, and outdated
    return written
