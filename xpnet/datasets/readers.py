"""Rows to predict, from a user's file or a folder of images, a part at a time."""

import contextlib
import csv
import io
import math
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import Columns
from xpnet.datasets.delimited import FEWEST_NUMBERED
from xpnet.datasets.frames import read_parts, read_table
from xpnet.datasets.image_files import MODES, need_pillow, read_into, shown
from xpnet.datasets.image_folders import SUFFIXES, as_text, is_image, list_images
from xpnet.datasets.reading import Note, silent
from xpnet.errors import InputError

__all__ = ["Rows", "load_array", "open_rows", "table_rows"]

KINDS = f"an .npy, .npz or .csv file, an image ({', '.join(SUFFIXES)}) or a folder of images"


@dataclass(frozen=True)
class Rows:
    """Raw rows of a model.

    Attributes
    ----------
    parts
        Called with how many rows to read at a time, gives them: ``(rows, features)`` each.
    names
        Of the files in their folder, where each row is an image.
    """

    parts: Callable[[int], Iterator[NDArray[Any]]]
    names: tuple[str, ...] | None = None


def open_rows(
    path: Path,
    num_features: int,
    image_shape: tuple[int, int, int] | None,
    white: float = 255.0,
    header: bool | None = None,
    note: Callable[[str], None] = warnings.warn,
) -> Rows:
    """Return the rows of an input; what is wrong with it is found here, or in reading its parts.

    Parameters
    ----------
    path
        ``.npy`` (mapped, not read into memory), ``.npz``, ``.csv``, an image, or a folder of images, those
        in folders below it included.
    num_features, image_shape
        Of the model.
    white
        What a white pixel of an image becomes.
    header
        Whether the first line of a ``.csv`` has names; None to guess.
    note
        Given a line, while parts are read, at the first image that is resized.

    Raises
    ------
    InputError
        The input cannot be used.
    """
    if path.is_dir():
        return _images(_list_images(path), path, num_features, image_shape, white, note)
    if not path.is_file():
        raise InputError(f"there is no {path}: give --input {KINDS}")
    suffix = path.suffix.lower()
    if is_image(path):
        return _images([path], path.parent, num_features, image_shape, white, note)
    if suffix == ".csv":
        return Rows(lambda count: _numbered(path, _csv_parts(path, num_features, count, header)))
    if suffix not in (".npy", ".npz"):
        raise InputError(f"{path} is nothing to predict: give --input {KINDS}")
    X = load_array(path)
    _check_shape(path, X, num_features, image_shape)

    def parts(count: int) -> Iterator[NDArray[Any]]:
        for start in range(0, len(X), count):
            part = X[start : start + count]
            # A part at a time: to reshape the whole could copy it.
            yield np.asarray(part.reshape(len(part), num_features), X.dtype.newbyteorder("="))

    return Rows(lambda count: _numbered(path, parts(count)))


def table_rows(path: Path, columns: Columns, header: bool | None, note: Note) -> Rows:
    """Return the rows of a table as the matrix of a model's columns, which are found by their names."""

    def parts(count: int) -> Iterator[NDArray[Any]]:
        frame = None
        for frame in read_parts(path, count, columns, header, note):
            yield columns.matrix(frame)
        if frame is None:  # of which no part was without a column
            columns.match(read_table(path, header, silent, columns, may_be_empty=True))

    return Rows(parts)


def load_array(path: Path) -> NDArray[Any]:
    """Return the array of an ``.npy`` or ``.npz`` file; never anything that needs code to be run."""
    fix = "save numbers with np.save(FILE, X) or np.savez(FILE, X=X)"
    try:
        # A shape whose product overflows is damage; NumPy would but warn of it.
        with np.errstate(over="raise"), contextlib.ExitStack() as stack:
            # Opened here: NumPy leaves a file open that turns out to be a damaged archive.
            file = stack.enter_context(path.open("rb"))
            is_array = file.read(6) == b"\x93NUMPY"
            if is_array:
                return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            file.seek(0)
            archive = stack.enter_context(np.load(file, allow_pickle=False))
            names = sorted(archive.files)
            if "X" in names or len(names) == 1:
                return np.asarray(archive["X" if "X" in names else names[0]])
    except MemoryError as error:  # also where a damaged file claims to hold more than it does
        raise InputError(
            f"{path} does not fit into memory, or is damaged: "
            "save its rows with np.save(FILE, X), which are read part by part"
        ) from error
    except Exception as error:
        # Reading what a stranger wrote, numpy, zipfile and zlib raise a dozen kinds of exception.
        reason = textwrap.shorten(str(error), 300, placeholder="…") or type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}): {fix}") from error
    there = ", ".join(map(ascii, names)) or "nothing"
    raise InputError(f"{path} has no X, only {there}: {fix}")


def _check_shape(
    path: Path, X: NDArray[Any], num_features: int, image_shape: tuple[int, int, int] | None
) -> None:
    if X.dtype.kind not in "biuf":
        raise InputError(f"{path} has dtype {X.dtype}: give real numbers, as X.astype(np.float32)")
    shapes: list[tuple[int, ...]] = [(num_features,)]
    if image_shape is not None:
        shapes.append(image_shape)
        shapes += [image_shape[:2]] if image_shape[2] == 1 else []
    if X.shape[1:] not in shapes or X.ndim < 2:
        wanted = " or ".join(f"(rows, {', '.join(map(str, shape))})" for shape in shapes)
        raise InputError(f"{path} has shape {X.shape} and the model takes {wanted}: reshape it")


def _numbered(path: Path, parts: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Pass parts on, unless a row has no finite numbers."""
    done = 0
    for part in parts:
        if part.dtype.kind == "f":
            finite = np.isfinite(part).all(axis=1)
            if not finite.all():
                raise InputError(
                    f"{path} holds NaN or infinity in row {done + int(finite.argmin())}: "
                    "drop such rows or replace the values"
                )
        done += len(part)
        yield part


def _csv_parts(path: Path, num_features: int, count: int, header: bool | None) -> Iterator[NDArray[Any]]:
    """Read numbers between commas, after a first line of names if there is one."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            is_heading = _is_heading(first, num_features) if header is None else header
            line, source = (2, file) if is_heading else (1, chain([first], file))
            while lines := list(islice(source, count)):
                text = [text for text in lines if text.strip()]
                if text:
                    yield _parse(path, line, lines, text, num_features)
                line += len(lines)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text ({error.reason}): save it as CSV in UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give another --input") from error


def _is_heading(line: str, num_features: int) -> bool:
    """Whether a line holds names of columns: no field is a number, or they are numbered in order.

    The latter is what pandas writes for columns without names. Of few columns it may well be data.
    """
    fields = _fields(line)
    if num_features >= FEWEST_NUMBERED and fields in (
        [str(k) for k in range(first, first + num_features)] for first in (0, 1)
    ):
        return True
    return bool(line.strip()) and all(_number(field) is None for field in fields)


def _fields(line: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line], skipinitialspace=True), [""])]
    except csv.Error:  # as of a field that is longer than any number
        return line.split(",")


def _parse(
    path: Path, first_line: int, lines: list[str], text: list[str], num_features: int
) -> NDArray[np.float64]:
    try:
        rows = np.loadtxt(io.StringIO("".join(text)), delimiter=",", ndmin=2, comments=None, quotechar='"')
        if rows.shape == (len(text), num_features):
            return rows
    except ValueError:
        pass  # the lines are looked at one by one, to name the first that is wrong
    for number, line in enumerate(lines, first_line):
        fields = _fields(line)
        bad = next((field for field in fields if _number(field) is None), None)
        if line.strip() and bad is not None:
            shown = ascii(bad if len(bad) < 40 else bad[:40] + "…")
            raise InputError(f"{path}, line {number}: {shown} is no number: separate numbers by commas")
        if line.strip() and len(fields) != num_features:
            raise InputError(
                f"{path}, line {number}: there are {len(fields)} numbers and the model takes {num_features}: "
                "keep the columns that it was trained on, no labels"
            )
    raise InputError(
        f"{path}, lines {first_line} to {first_line + len(lines) - 1}: write plain numbers there"
    )


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None


def _list_images(folder: Path) -> list[Path]:
    paths, _ = list_images(folder)
    if not paths:
        raise InputError(f"there is no image in {folder}: give files that end in {', '.join(SUFFIXES)}")
    return paths


def _images(
    paths: list[Path],
    folder: Path,
    num_features: int,
    image_shape: tuple[int, int, int] | None,
    white: float,
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
            yield pixels if white == 255 else pixels * np.float32(white / 255)

    return Rows(parts, tuple(as_text(path.relative_to(folder).as_posix()) for path in paths))
