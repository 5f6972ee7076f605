"""Rows to predict, read from a file or a folder of images, part by part."""

import contextlib
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import Columns, numbers
from xpnet.columns.tabular import Frame
from xpnet.datasets.frames import KINDS as TABLES
from xpnet.datasets.frames import is_table, read_parts, read_table
from xpnet.datasets.image_files import MODES, need_pillow, read_into, shown
from xpnet.datasets.image_folders import SUFFIXES, as_text, is_image, left_out, list_images
from xpnet.datasets.parquet_rows import holds_parts, parts_in
from xpnet.datasets.reading import silent
from xpnet.errors import InputError
from xpnet.warn import warn

__all__ = ["Rows", "load_array", "of_file", "open_rows", "shaded"]

KINDS = f"an .npy or .npz file, a table ({TABLES}), an image ({', '.join(SUFFIXES)}) or a folder of images"


PLAIN = {
    "pickle": "it holds no array of numbers",  # NumPy's advice is to run what may be a stranger's code
    "mmap length": "it is cut short",
}
"""Replacements for messages of NumPy that contain these words."""


def _by_number(row: int) -> str:
    return f"row {row}"


def _no_table() -> None:
    return None


@dataclass(frozen=True)
class Rows:
    """Raw rows for a model.

    Attributes
    ----------
    parts
        Function that takes the number of rows per part, and yields the parts, ``(rows, features)`` each.
    names
        File names within their folder, if each row is an image.
    where
        Function from the number of a row in the latest part to its name in messages: its line in a text file.
    columns
        Called after the first part, gives the names that the features have in the file; none in arrays.
    table
        Called after a part, gives it as its table has it, with all columns; None where there is no table. Of
        a table without rows, it gives the columns once the parts have ended.
    """

    parts: Callable[[int], Iterator[NDArray[Any]]]
    names: tuple[str, ...] | None = None
    where: Callable[[int], str] = _by_number
    columns: Callable[[], Sequence[str]] = tuple
    table: Callable[[], Frame | None] = _no_table


def open_rows(
    path: Path,
    num_features: int,
    image_shape: tuple[int, int, int] | None,
    *,
    columns: Columns | None = None,
    header: bool | None = None,
    shades: tuple[float, float] | None = None,
    note: Callable[[str], None] = warn,
) -> Rows:
    """Return the rows of an input; errors are raised here, or while its parts are read.

    Parameters
    ----------
    path
        ``.npy`` (memory-mapped), ``.npz``, a table, an image, or a folder of images, including its
        subfolders.
    num_features, image_shape
        Those of the model.
    columns
        Columns of the model, to match those of a table; by default numbers, matched by position.
    header
        Whether the first line of a text table holds names; None to detect it.
    shades
        Values of black and white pixels; by default 0 and 255.
    note
        Called with a sentence about files in a folder that are not images; while parts are read, also about
        what was guessed, and at the first image that is resized.

    Raises
    ------
    InputError
        The input cannot be used.
    """
    if path.is_dir() and holds_parts(path):
        return _of_table(path, numbers(num_features) if columns is None else columns, header, note)
    if path.is_dir():
        return _images(_list_images(path, note), path, num_features, image_shape, shades, note)
    if not path.is_file():
        raise InputError(f"there is no {path}: give {KINDS}")
    suffix = path.suffix.lower()
    if is_image(path):
        return _images([path], path.parent, num_features, image_shape, shades, note)
    if is_table(path):
        return _of_table(path, numbers(num_features) if columns is None else columns, header, note)
    if suffix not in (".npy", ".npz"):
        raise InputError(f"{path} cannot be predicted: give {KINDS}")
    X = load_array(path)
    _check_shape(path, X, num_features, image_shape)

    def parts(count: int) -> Iterator[NDArray[Any]]:
        for start in range(0, len(X), count):
            part = X[start : start + count]
            # Part by part, because reshaping the whole array could copy it.
            yield np.asarray(part.reshape(len(part), num_features), X.dtype.newbyteorder("="))

    return Rows(parts)


def _of_table(path: Path, columns: Columns, header: bool | None, note: Callable[[str], None]) -> Rows:
    """Return the rows of a table as a matrix in the form of a model's columns."""
    latest: list[Frame] = []

    def parts(count: int) -> Iterator[NDArray[Any]]:
        begin = 0
        for file in parts_in(path) if path.is_dir() else [path]:
            for frame in read_parts(file, count, columns, header, note):
                latest[:] = [replace(frame, first_row=begin + frame.first_row)]
                with of_file(file):
                    X = columns.matrix(frame)
                yield X
            begin = latest[0].first_row + len(latest[0]) if latest else 0
        if not latest:  # of which no part was without a column
            latest[:] = [read_table(path, header, silent, columns, may_be_empty=True)]
            with of_file(path):
                columns.match(latest[0])

    def where(row: int) -> str:
        return latest[0].where(row - latest[0].first_row)

    def names() -> list[str]:
        name_of = columns.match(latest[0])
        return [name_of[column.origin] for column in columns.columns]

    return Rows(parts, where=where, columns=names, table=lambda: latest[0] if latest else None)


@contextlib.contextmanager
def of_file(path: Path) -> Iterator[None]:
    """Put the name of the file in front of errors about its columns."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise error if text.startswith(str(path)) else InputError(f"{path}: {text}") from error


def load_array(path: Path, mapped: bool = True) -> NDArray[Any]:
    """Return the array in an ``.npy`` or ``.npz`` file; never run code from the file.

    An ``.npy`` file is memory-mapped if ``mapped``, else read into memory.
    """
    fix = "save numbers with np.save(FILE, X) or np.savez(FILE, X=X)"
    try:
        # A shape whose product overflows means damage; NumPy would only warn.
        with np.errstate(over="raise"), contextlib.ExitStack() as stack:
            # Opened here, because NumPy does not close a file that turns out to be a damaged archive.
            file = stack.enter_context(path.open("rb"))
            is_array = file.read(6) == b"\x93NUMPY"
            if is_array:
                mode: Literal["r"] | None = "r" if mapped else None
                array: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
                return array
            file.seek(0)
            archive = stack.enter_context(np.load(file, allow_pickle=False))
            names = sorted(archive.files)
            if "X" in names or len(names) == 1:
                return np.asarray(archive["X" if "X" in names else names[0]])
    except MemoryError as error:  # also if a damaged file claims to hold more than it does
        raise InputError(
            f"{path} does not fit into memory, or is damaged: "
            "save its rows with np.save(FILE, X), to be read part by part"
        ) from error
    except Exception as error:
        # For files from unknown sources, numpy, zipfile and zlib raise a dozen kinds of exceptions.
        reason = textwrap.shorten(str(error), 300, placeholder="…") or type(error).__name__
        reason = next((ours for theirs, ours in PLAIN.items() if theirs in reason), reason)
        raise InputError(f"{path} cannot be read ({reason}): {fix}") from error
    there = ", ".join(map(ascii, names)) or "nothing"
    raise InputError(f"{path} has no X, only {there}: {fix}")


def _check_shape(
    path: Path, X: NDArray[Any], num_features: int, image_shape: tuple[int, int, int] | None
) -> None:
    if X.dtype.kind not in "biuf":
        raise InputError(f"{path} has dtype {X.dtype}: give real numbers")
    shapes: list[tuple[int, ...]] = [(num_features,)]
    if image_shape is not None:
        shapes.append(image_shape)
        shapes += [image_shape[:2]] if image_shape[2] == 1 else []
    if X.shape[1:] not in shapes or X.ndim < 2:
        wanted = " or ".join(f"(rows, {', '.join(map(str, shape))})" for shape in shapes)
        raise InputError(f"{path} has shape {X.shape} and the model takes {wanted}: reshape it")


def shaded(pixels: NDArray[np.uint8], black: float, white: float) -> NDArray[Any]:
    """Return pixels rescaled to other values of black and white; unchanged if these are 0 and 255."""
    if (black, white) == (0, 255):
        return pixels
    if (black, white) == (255, 0):
        return 255 - pixels
    scaled: NDArray[np.float32] = pixels * np.float32((white - black) / 255)
    return scaled if black == 0 else scaled + np.float32(black)


def _list_images(folder: Path, note: Callable[[str], None]) -> list[Path]:
    paths, others = list_images(folder)
    if not paths:
        raise InputError(f"there is no image in {folder}: give files that end in {', '.join(SUFFIXES)}")
    if others:
        note(left_out(folder, others))
    return paths


def _images(
    paths: list[Path],
    folder: Path,
    num_features: int,
    image_shape: tuple[int, int, int] | None,
    shades: tuple[float, float] | None,
    note: Callable[[str], None],
) -> Rows:
    if image_shape is None or image_shape[2] not in MODES:
        raise InputError(
            f"the model was not trained on images that a file can hold: give rows of {num_features} numbers"
        )
    need_pillow()
    height, width, _ = image_shape

    def parts(count: int) -> Iterator[NDArray[Any]]:
        noted = False
        for start in range(0, len(paths), count):
            some = paths[start : start + count]
            pixels = np.empty((len(some), math.prod(image_shape)), np.uint8)
            sizes = read_into(pixels, some, image_shape)
            others = (k for k, size in enumerate(sizes) if size != (height, width))
            if not noted and (k := next(others, None)) is not None:
                noted = True
                had_height, had_width = sizes[k]
                note(
                    f"{shown(some[k])} is {had_height} by {had_width} pixels (height by width) and the model "
                    f"takes {height} by {width}: images of other sizes are resized"
                )
            yield pixels if shades is None else shaded(pixels, *shades)

    return Rows(parts, tuple(as_text(path.relative_to(folder).as_posix()) for path in paths))
