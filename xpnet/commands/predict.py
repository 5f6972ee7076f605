"""``xpnet predict``: classes, labels, probabilities or numbers of new rows, by a trained run."""

import contextlib
import json
import time
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import numbers
from xpnet.commands.console import complain, run_command, telling
from xpnet.commands.devices import add_device, on_threads, tell_choice
from xpnet.commands.flags import Parser, add_run
from xpnet.commands.outputs import SUFFIXES, Content, check_output, writing
from xpnet.commands.shades import add_shades, shades_of
from xpnet.datasets.delimited import looks_otherwise
from xpnet.datasets.frames import is_text
from xpnet.datasets.readers import open_rows
from xpnet.device import Device, get_device
from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.runs.saved import SavedRun, open_run
from xpnet.text import printable
from xpnet.training.intervals import spread_of
from xpnet.training.model import Model
from xpnet.training.raw_rows import RowError

__all__ = ["main"]

NAME = "xpnet predict"

PART = 2**22
"""Numbers of the input that are worked at a time: 16 MB in float32."""


def main(argv: Sequence[str] | None = None) -> int:
    """Predict the rows that the arguments name; return the exit status of `run_command`."""
    return run_command(NAME, lambda _: on_threads(_parse(argv), _predict))


def _parse(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(
        NAME,
        "Predict rows of a table, arrays or images with a trained run.",
        "xpnet predict runs/mine --input new.csv --output classes.csv",
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
        help="file to write: .npy, .npz (with the names of classes and images) or .csv (classes by name)",
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
        help="write each number of a regression with a prediction interval that covers the true value with "
        "this probability, such as 0.9",
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
    content = _content(model, given.probabilities, given.interval is not None, given.spread)
    predict = model.probabilities if given.probabilities else model.predict
    if given.spread:
        predict = partial(_with_spread, model)
    if given.interval is not None:
        predict = partial(_with_interval, model, given.interval)

    def note(text: str) -> None:
        complain(NAME, f"note: {text}")

    if given.header is not None and not is_text(source):
        raise InputError(f"{source} is not a text file: drop --{'' if given.header else 'no-'}header")
    header = given.header
    if header is None and is_text(source) and source.is_file():
        header = _of_run(run)
        columns = model.columns or numbers(model.num_features)
        if header is not None and (unlike := looks_otherwise(source, header, columns)):
            note(unlike)
    rows = open_rows(
        source,
        model.num_features,
        model.image_shape,
        columns=model.columns,
        header=header,
        shades=shades_of(model, given, source, note),
        note=note,
    )
    done, began = 0, time.perf_counter()
    with writing(target, content._replace(files=rows.names)) as write, telling(note):
        for part in rows.parts(max(1, PART // model.num_features)):
            try:
                write(predict(part, device))
            except RowError as error:
                said = error.said(rows.where(done + error.row), rows.columns())
                raise InputError(f"{source}: {said}") from error
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


def _of_run(run: SavedRun) -> bool | None:
    """Return what the run was told of the first line of its own table; None if nothing."""
    with contextlib.suppress(InputError):  # settings that are damaged: the model may do without
        return run.settings().get("header")
    return None


def _with_interval(model: Model, coverage: float, X: NDArray[Any], device: Device) -> NDArray[np.float64]:
    """Return each predicted number, then the ends of its interval."""
    shape = (len(X), len(model.class_names), -1)
    numbers = np.reshape(model.predict(X, device), shape)
    ends = np.reshape(model.predict_interval(X, coverage, device), shape)
    return np.concatenate([numbers, ends], axis=2).reshape(len(X), -1)


def _with_spread(model: Model, X: NDArray[Any], device: Device) -> NDArray[Any]:
    """Return each number or probability, then how far the networks are from each other."""
    members = model.members(X, device)
    each = np.stack([members.mean(axis=0), spread_of(members)], axis=-1, dtype=members.dtype)
    return each.reshape(len(X), -1)


def _content(model: Model, probabilities: bool, interval: bool, spread: bool) -> Content:
    """Return what will be written."""
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
