"""Rows to predict, from a user's file or a folder of images, a part at a time."""

import contextlib
import csv
import io
import math
import shlex
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError

__all__ = ["Rows", "open_rows"]

IMAGES = (".png", ".jpg", ".jpeg")
KINDS = f"an .npy, .npz or .csv file, an image ({', '.join(IMAGES)}) or a folder of images"
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's name for pixels of so many channels."""

FEWEST_NUMBERED = 4
"""Columns from which a first line 0, 1, 2, … is a heading."""


@dataclass(frozen=True)
class Rows:
    """Raw rows of a model.

    Attributes
    ----------
    parts
        Called with how many rows to read at a time, gives them: ``(rows, features)`` each.
    names
        Of the files, where each row is an image.
    """

    parts: Callable[[int], Iterator[NDArray[Any]]]
    names: tuple[str, ...] | None = None


def open_rows(
    path: Path, num_features: int, image_shape: tuple[int, int, int] | None, white: float = 255.0
) -> Rows:
    """Return the rows of an input; what is wrong with it is found here, or in reading its parts.

    Parameters
    ----------
    path
        ``.npy`` (mapped, not read into memory), ``.npz``, ``.csv``, an image, or a folder of images.
    num_features, image_shape
        Of the model.
    white
        What a white pixel of an image becomes.

    Raises
    ------
    InputError
        The input cannot be used.
    """
    if path.is_dir():
        return _images(_list_images(path), num_features, image_shape, white)
    if not path.is_file():
        raise InputError(f"there is no {path}: give --input {KINDS}")
    suffix = path.suffix.lower()
    if suffix in IMAGES:
        return _images([path], num_features, image_shape, white)
    if suffix == ".csv":
        return Rows(lambda count: _numbered(path, _csv_parts(path, num_features, count)))
    if suffix not in (".npy", ".npz"):
        raise InputError(f"{path} is nothing to predict: give --input {KINDS}")
    X = _load(path)
    _check_shape(path, X, num_features, image_shape)

    def parts(count: int) -> Iterator[NDArray[Any]]:
        for start in range(0, len(X), count):
            part = X[start : start + count]
            # A part at a time: to reshape the whole could copy it.
            yield np.asarray(part.reshape(len(part), num_features), X.dtype.newbyteorder("="))

    return Rows(lambda count: _numbered(path, parts(count)))


def _load(path: Path) -> NDArray[Any]:
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


def _csv_parts(path: Path, num_features: int, count: int) -> Iterator[NDArray[Any]]:
    """Read numbers between commas, after a first line of names if there is one."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            is_heading = _is_heading(first, num_features)
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
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES and path.is_file())
    if not paths:
        raise InputError(f"there is no image in {folder}: give files that end in {', '.join(IMAGES)}")
    return paths


def _images(
    paths: list[Path], num_features: int, image_shape: tuple[int, int, int] | None, white: float
) -> Rows:
    if image_shape is None or image_shape[2] not in MODES:
        raise InputError(
            f"the model was not trained on images that a file can hold: give rows of {num_features} numbers"
        )
    try:
        import PIL.Image  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as error:
        raise InputError('images need pillow: pip install "xpnet[cli]"') from error

    def parts(count: int) -> Iterator[NDArray[Any]]:
        for start in range(0, len(paths), count):
            pixels = np.stack([_read_image(path, image_shape) for path in paths[start : start + count]])
            yield pixels if white == 255 else pixels * np.float32(white / 255)

    return Rows(parts, tuple(path.name for path in paths))


def _read_image(path: Path, image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the pixels of an image as a row."""
    from PIL import Image

    height, width, channels = image_shape
    try:
        with warnings.catch_warnings():
            # That an image is as large as a decompression bomb is a warning below some size.
            warnings.simplefilter("error")
            # No other format, whatever the file is called: some of them are read by other programs.
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                size = image.size
                if size == (width, height) and image.mode[0] not in "IF":
                    pixels = np.asarray(image.convert(MODES[channels]), np.uint8)
                    return pixels.reshape(math.prod(image_shape))
    except Exception as error:  # as with any file from anywhere
        reason = textwrap.shorten(str(error), 300, placeholder="…") or type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}): save it again as PNG or JPEG") from error
    if size != (width, height):
        raise InputError(
            f"{path} is {size[0]} by {size[1]} pixels and the model takes {width} by {height}: resize it, "
            f"for example magick mogrify -resize '{width}x{height}!' {shlex.quote(path.name)}"
        )
    raise InputError(f"{path} has more than 8 bits a pixel and channel: save it with 8")
