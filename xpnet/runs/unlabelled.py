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
"""Numbers of the input that are worked at a time: 16 MB in float32."""


def holds_images(path: Path) -> bool:
    """Return whether a path is that of an image, or of a folder that is not one of rows."""
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
    """Return the rows of a file or a folder of images, to be read a part at a time.

    Parameters
    ----------
    model
        The model, which has the columns.
    path
        Anything that `xpnet.datasets.readers.open_rows` takes.
    header
        Whether the first line of a text file holds the column names; None: as in the run, else detected.
    of_run
        The same as the run was told of its own table, if it was.
    shades
        For images, the values of black and white in the rows of the model; by default judged by their range.
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
        Predicts rows of the model: the method of a model, or a function that calls some.

    Raises
    ------
    InputError
        If a row cannot be read or predicted. The message names it as the file does: by its line, in text.
    """
    done = 0
    for part in rows.parts(max(1, PART // model.num_features)):
        try:
            found = predict(part)
        except RowError as error:
            raise InputError(f"{path}: {error.said(rows.where(done + error.row), rows.columns())}") from error
        yield found
        done += len(part)
