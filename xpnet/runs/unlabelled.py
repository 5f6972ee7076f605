"""Rows to predict, from a file that the user names: for ``xpnet predict`` and for `Run.predict`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from xpnet.columns.columns import numbers
from xpnet.datasets import is_folder_of_rows
from xpnet.datasets.delimited import looks_otherwise
from xpnet.datasets.frames import is_text
from xpnet.datasets.image_folders import is_image
from xpnet.datasets.readers import Rows, open_rows
from xpnet.datasets.reading import Note, silent
from xpnet.errors import InputError
from xpnet.training.model import Model
from xpnet.training.raw_rows import RowError

__all__ = ["holds_images", "predictions", "unlabelled_rows"]

PART = 2**22
"""Number of input values that are predicted at a time: 16 MB in float32."""


def holds_images(path: Path) -> bool:
    """Return whether a path is an image, or a folder that does not hold files of rows."""
    return is_image(path) or (path.is_dir() and not is_folder_of_rows(path))


def unlabelled_rows(
    model: Model,
    path: Path,
    *,
    header: bool | None = None,
    of_run: bool | None = None,
    shades: tuple[float, float] | None = None,
    note: Note = silent,
) -> Rows:
    """Open the rows of a file or a folder of images, to read them part by part.

    Parameters
    ----------
    model
        The model. It knows the columns of its table.
    path
        Anything that `xpnet.datasets.readers.open_rows` takes.
    header
        Whether the first line of a text file holds the column names; by default as in the run, else detected.
    of_run
        The setting ``header`` of the run; None if it was not given.
    shades
        For images, the values of black and white pixels in the training rows; by default inferred from the
        range of these rows.
    note
        Called with a sentence about what was guessed or left out.

    Raises
    ------
    InputError
        If the file cannot be used.
    """
    if header is not None and not is_text(path):
        raise InputError(f"{path} is not a text file: drop --{'' if header else 'no-'}header")
    if shades is None and model.row_range is not None and model.image_shape and holds_images(path):
        shades = 0.0, model.row_range.white()
    if header is None and of_run is not None and is_text(path) and path.is_file():
        header = of_run
        columns = model.columns or numbers(model.num_features)
        if unlike := looks_otherwise(path, header, columns):
            note(unlike)
    return open_rows(
        path,
        model.num_features,
        model.image_shape,
        columns=model.columns,
        header=header,
        shades=shades,
        note=note,
    )


def predictions(
    model: Model, path: Path, rows: Rows, predict: Callable[[NDArray[Any]], NDArray[Any]]
) -> Iterator[NDArray[Any]]:
    """Predict rows part by part, so that a file may be larger than memory.

    Parameters
    ----------
    model
        The model.
    path, rows
        The file, and what `unlabelled_rows` returned for it.
    predict
        Function that predicts a part of the rows, such as a method of the model.

    Raises
    ------
    InputError
        If a row cannot be read or predicted. The message says where it is in the file: in text, by its line.
    """
    done = 0
    for part in rows.parts(max(1, PART // model.num_features)):
        try:
            found = predict(part)
        except RowError as error:
            raise InputError(f"{path}: {error.said(rows.where(done + error.row), rows.columns())}") from error
        yield found
        done += len(part)
