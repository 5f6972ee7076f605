"""``xpnet predict``: predict classes, labels, probabilities or numbers for new rows with a trained run."""

import contextlib
import json
import time
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.row_numbers import is_called_so
from xpnet.columns.tabular import Frame
from xpnet.commands.console import complain, run_command, telling
from xpnet.commands.devices import add_device, on_threads, tell_choice
from xpnet.commands.flags import Parser, add_run
from xpnet.commands.outputs import SUFFIXES, Content, check_output, writing
from xpnet.commands.shades import add_shades, shades_of
from xpnet.datasets.readers import Rows
from xpnet.device import Device, get_device
from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.runs.saved import SavedRun, open_run
from xpnet.runs.unlabelled import predictions, unlabelled_rows
from xpnet.text import printable
from xpnet.training.intervals import spread_of
from xpnet.training.model import Model
from xpnet.values import shown

__all__ = ["main"]

NAME = "xpnet predict"


def main(argv: Sequence[str] | None = None) -> int:
    """Predict the rows that the arguments name; return the exit status of `run_command`."""
    return run_command(NAME, lambda _: on_threads(_parse(argv), _predict))


def _parse(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(
        NAME,
        "Predict rows of a table, arrays or images with a trained run.",
        "xpnet predict runs/mine --input new.csv --output classes.csv",
        "xpnet predict runs/mine --input new.csv --output classes.csv --keep customer date",
        "xpnet predict runs/mine --input photos --output probabilities.npz --probabilities",
    )
    add_run(parser)
    parser.add_argument(
        "--input",
        metavar="PATH",
        required=True,
        help="a table with the columns that the run was trained on, in any order (.csv, .tsv, .parquet, "
        ".arrow); raw rows in a .npy file, or as X in an .npz file; a PNG or JPEG image, or a folder "
        "of them. Large files are processed in parts",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        required=True,
        help="file to write, with one row for each row of the input, in the same order: .csv (with class "
        "names, in a column named after the target column), .npy, or .npz (with the names of classes and "
        "images, too)",
    )
    parser.add_argument(
        "--keep",
        metavar="NAME",
        nargs="*",
        help="input columns to copy into a .csv output, before the predictions (default: columns whose names "
        "show that they identify rows, such as id, PassengerId or order_id; --keep without a name: none)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--labels",
        action="store_true",
        help=(
            "write the most probable class, 0 or 1 for each label, or the predicted numbers of a "
            "regression (default)"
        ),
    )
    what.add_argument(
        "--probabilities", action="store_true", help="write the probability of each class or label"
    )
    what.add_argument(
        "--interval",
        metavar="COVERAGE",
        type=float,
        help="add a prediction interval to each number of a regression: COVERAGE is the probability that the "
        "interval covers the true value, such as 0.9",
    )
    parser.add_argument(
        "--spread",
        action="store_true",
        help="add the standard deviation of each number or probability over the networks of an ensemble (0 "
        "for a single network)",
    )
    parser.add_argument(
        "--header",
        action=BooleanOptionalAction,
        help="whether the first line of a CSV file holds the column names (default: as in the run, else "
        "detected)",
    )
    add_shades(parser)
    add_device(parser)
    parser.add_argument(
        "--json",
        action=BooleanOptionalAction,
        help="print a summary as JSON, as the last line of standard output",
    )
    parser.add_argument(
        "--quiet", action=BooleanOptionalAction, help="print nothing but errors and the JSON of --json"
    )
    return parser.read(argv)


def _predict(given: Namespace) -> int:
    source, target = path_of(given.input), path_of(given.output)
    check_output(target, SUFFIXES)
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{target} is the input: give another --output")
    device = get_device(given.device, given.backend)
    tell_choice(NAME, given)
    run = open_run(given.run)
    model = run.model
    settings = _settings(run)
    targets = tuple(settings.get("target", ()))
    content = _content(model, given.probabilities, given.interval is not None, given.spread)
    if len(targets) == 1:
        content = content._replace(title=targets[0])
    if given.keep and target.suffix.lower() != ".csv":
        raise InputError(f"--keep needs an --output in .csv, not {target}: drop it, or write a .csv file")
    predict = model.probabilities if given.probabilities else model.predict
    if given.spread:
        predict = partial(_with_spread, model)
    if given.interval is not None:
        predict = partial(_with_interval, model, given.interval)

    def note(text: str) -> None:
        complain(NAME, f"note: {text}")

    rows = unlabelled_rows(
        model,
        source,
        header=given.header,
        of_run=settings.get("header"),
        shades=shades_of(model, given, source, note),
        note=note,
    )
    done, began = 0, time.perf_counter()
    with telling(note):
        parts = predictions(model, source, rows, lambda part: predict(part, device))
        first = list(islice(parts, 1))  # now the names of the columns are known
        kept = _kept(given.keep, rows, {*targets, *content.heads})
        content = content._replace(files=rows.names, kept=("file",) if rows.names else kept)
        with writing(target, content) as write:
            for part in chain(first, parts):
                write(part, _values(rows, kept, done, len(part)))
                done += len(part)
    if not done:
        note(f"{source} has no rows to predict: give at least one")
    seconds = time.perf_counter() - began
    if not given.quiet:
        rows_done = "1 row" if done == 1 else f"{done:,} rows"
        print(f"{content.what} of {rows_done} in {seconds:.2f} s on {device.name}: {printable(given.output)}")
    if given.json:
        print(json.dumps({"rows": done, "seconds": seconds, "device": device.name, "output": given.output}))
    return 0


def _settings(run: SavedRun) -> dict[str, Any]:
    """Return the settings of the run; empty if they are missing or damaged: the model may do without them."""
    with contextlib.suppress(InputError):
        return run.settings()
    return {}


def _kept(asked: Sequence[str] | None, rows: Rows, predicted: set[str]) -> tuple[str, ...]:
    """Return the input columns to write before the predictions: by default those that identify rows."""
    table = rows.table()
    if table is None:
        if asked:
            raise InputError("--keep needs a table with columns: drop it")
        return ()
    if asked is None:
        names = table.names if table.is_named else ()
        return tuple(name for name in names if is_called_so(name) and name not in predicted)
    table.require(asked, "--keep")
    for name in asked:
        if name in predicted:
            raise InputError(f"--keep {shown(name)} is also the name of a column of predictions: drop it")
    return tuple(dict.fromkeys(asked))


def _values(rows: Rows, kept: Sequence[str], done: int, count: int) -> list[Sequence[str]]:
    """Return what identifies the rows of the latest part: names of images, or columns of the table."""
    table = rows.table()
    if rows.names is not None:
        return [rows.names[done : done + count]]
    return [] if table is None else [_texts(table, name) for name in kept]


def _texts(table: Frame, name: str) -> list[str]:
    """Return a column as text, exactly as a text file has it; empty for a gap."""
    values = table.columns[name].to_list()
    return ["" if value is None or value != value else str(value) for value in values]


def _with_interval(model: Model, coverage: float, X: NDArray[Any], device: Device) -> NDArray[np.float64]:
    """Return each predicted number, then the ends of its interval."""
    shape = (len(X), len(model.class_names), -1)
    numbers = np.reshape(model.predict(X, device), shape)
    ends = np.reshape(model.predict_interval(X, coverage, device), shape)
    return np.concatenate([numbers, ends], axis=2).reshape(len(X), -1)


def _with_spread(model: Model, X: NDArray[Any], device: Device) -> NDArray[Any]:
    """Return each number or probability, then its standard deviation over the networks."""
    members = model.members(X, device)
    each = np.stack([members.mean(axis=0), spread_of(members)], axis=-1, dtype=members.dtype)
    return each.reshape(len(X), -1)


def _content(model: Model, probabilities: bool, interval: bool, spread: bool) -> Content:
    """Return what the output will hold."""
    names = model.class_names
    if spread:
        if interval:
            raise InputError("--interval and --spread cannot be combined: drop one of them")
        if model.task != "regression" and not probabilities:
            raise InputError(
                "--spread needs numbers or probabilities, not classes: give --probabilities, too"
            )
        names = tuple(f"{name}{end}" for name in names for end in ("", " spread"))
    if model.task == "regression":
        if probabilities:
            raise InputError("this run predicts numbers, which have no probabilities: drop --probabilities")
        if interval:
            return Content("numbers", [f"{name}{end}" for name in names for end in ("", " lower", " upper")])
        return Content("numbers", names, is_flat=len(names) == 1)
    if interval:
        raise InputError("--interval needs a regression: use --probabilities")
    if probabilities:
        return Content("probabilities", names)
    return Content("labels", names, is_flat=model.task == "classification")
