"""Read PNG and JPEG files as a viewer shows them, for training and for prediction."""

import contextlib
import io
import math
import os
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.text import one_line, printable

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["MODES", "Look", "look_at", "need_pillow", "read_images", "read_into", "shown"]

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for each number of channels."""

_16_BITS = ("I", "I;16", "I;16B", "I;16L")  # "I" in Pillow before 11.3
_GREY = ("1", "L", "LA", *_16_BITS)
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)
_AT_ONCE = 2**16  # bytes
_CHUNK = 64  # files per task of a thread

_T = TypeVar("_T")
_Result = TypeVar("_Result")


class Look(NamedTuple):
    """The contents of an image file's header.

    Attributes
    ----------
    height, width
        Size as shown by a viewer, rotated as the file says.
    is_grey
        Whether it is stored without colour.
    """

    height: int
    width: int
    is_grey: bool


def need_pillow() -> None:
    """Raise InputError if Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as error:
        raise InputError('images need pillow: pip install "xpnet[cli]"') from error


def read_images(paths: Sequence[Path], image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Read images of any size and kind in the form that a model takes.

    The image is rotated as EXIF says. Transparent pixels become white, or black if all others are white
    (unless the model has four channels). Of 16-bit channels, the upper 8 bits are kept; of an animation, the
    first frame. The whole image is resized without cropping, so another aspect ratio is squeezed.

    Parameters
    ----------
    paths
        PNG and JPEG files.
    image_shape
        Height, width and channels (1, 3 or 4) of the result.

    Returns
    -------
    ndarray of uint8, shape (images, height * width * channels)

    Raises
    ------
    InputError
        A file cannot be read; the message names the first such file.
    """
    rows = np.empty((len(paths), math.prod(image_shape)), np.uint8)
    read_into(rows, paths, image_shape)
    return rows


def read_into(
    rows: NDArray[np.uint8], paths: Sequence[Path], image_shape: tuple[int, int, int]
) -> list[tuple[int, int]]:
    """Do what `read_images` does, into existing rows; return the height and width of each file."""

    def read(k: int) -> tuple[int, int]:
        return _read(paths[k], image_shape, rows[k])

    return _each(read, range(len(paths)))


def look_at(paths: Sequence[Path]) -> list[Look]:
    """Read the headers of files, without decoding pixels; raise InputError as `read_images` does."""
    return _each(_look, paths)


def shown(path: Path) -> str:
    """Return a path for a one-line message."""
    return printable(str(path))


def _each(function: Callable[[_T], _Result], items: Sequence[_T]) -> list[_Result]:
    """Call a function on each item, in threads if there are many, since Pillow releases Python's lock."""
    need_pillow()
    from PIL import Image

    def several(start: int) -> list[_Result]:
        return [function(item) for item in items[start : start + _CHUNK]]

    Image.preinit()  # here, because threads must not do it at the same time
    with warnings.catch_warnings():
        # Around all threads, which share the filters. Pillow warns of damaged EXIF, which does not matter,
        # and of large images, which are refused below.
        warnings.simplefilter("ignore")
        starts = range(0, len(items), _CHUNK)
        if len(starts) <= 1:
            return several(0)
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            # The first failure in file order is raised, and cancels tasks that have not started.
            return list(chain.from_iterable(pool.map(several, starts)))


def _look(path: Path) -> Look:
    try:
        with _opened(path) as image:
            width, height = image.size
            if _orientation(image) in _ON_ITS_SIDE:
                height, width = width, height
            return Look(height, width, image.mode in _GREY)
    except Exception as error:  # files from unknown sources may cause any error
        raise _unreadable(path, error) from error


def _read(path: Path, image_shape: tuple[int, int, int], row: NDArray[np.uint8]) -> tuple[int, int]:
    """Write the pixels of an image into a row; return its height and width."""
    from PIL import Image

    height, width, channels = image_shape
    try:
        with _opened(path) as image:
            orientation, (had_width, had_height) = _orientation(image), image.size
            # Decode a large JPEG at a reduced scale: this is much faster, and it is still averaged below.
            image.draft(None, (2 * max(height, width),) * 2)
            picture = _turned(_eight_bits(image, channels == 4), orientation)
            if picture.size != (width, height):
                picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
            if picture.mode != MODES[channels]:
                picture = picture.convert(MODES[channels])
            row[:] = np.frombuffer(picture.tobytes(), np.uint8)
    except Exception as error:
        raise _unreadable(path, error) from error
    return (had_width, had_height) if orientation in _ON_ITS_SIDE else (had_height, had_width)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator["Picture"]:
    """Yield the image in a file, with pixels not yet decoded; refuse images that are too large."""
    from PIL import Image

    with path.open("rb", buffering=0) as file:
        content = file.read(_AT_ONCE)
        file.seek(0)
        # For a small image, Pillow is a third faster with bytes than with a file.
        source = io.BytesIO(content) if len(content) < _AT_ONCE else io.BufferedReader(file)
        # No other format, whatever the file is called: Pillow reads some of them with external programs.
        with Image.open(source, formats=("PNG", "JPEG")) as image:
            width, height = image.size
            if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
                raise ValueError(f"{width} by {height} pixels are too many")
            yield image


def _orientation(image: "Picture") -> int:
    """Return the orientation in EXIF; the default if EXIF is damaged, as in viewers."""
    from PIL import Image

    try:
        exif = Image.Exif()
        if "exif" in image.info:
            exif.load(image.info["exif"])
        return int(exif.get(_ORIENTATION, 1))
    except Exception:
        return 1


def _turned(image: "Picture", orientation: int) -> "Picture":
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _eight_bits(image: "Picture", keep_alpha: bool) -> "Picture":
    """Return an image in L or RGB, with transparent pixels on white; or in RGBA to keep transparency."""
    from PIL import Image

    # How the file stores its pixels; Pillow forgets this when it reads them.
    tiles = getattr(image, "tile", None)
    stored = tiles[0][3] if tiles else None
    key = image.info.get("transparency")
    if image.mode in _16_BITS:
        pixels = np.asarray(image)
        grey = Image.fromarray((pixels >> 8).astype(np.uint8))
        if key is None:
            return grey.convert("RGBA") if keep_alpha else grey
        grey.putalpha(Image.fromarray(np.where(pixels == key, 0, 255).astype(np.uint8)))
        image = grey
    elif stored in ("L;2", "L;4") and isinstance(key, int):
        # Pillow scales the pixels to 8 bits, but not the value that stands for transparent.
        image.info["transparency"] = key * (85 if stored == "L;2" else 17)
    elif stored == "RGB;16B" and isinstance(key, tuple):
        image.info["transparency"] = tuple(part >> 8 for part in key)
    mode = "RGBA" if keep_alpha else "L" if image.mode in _GREY else "RGB"
    if not keep_alpha and (key is not None or image.mode in ("LA", "PA", "RGBA")):
        return _on_a_ground(image.convert("RGBA")).convert(mode)
    if image.mode == mode:  # converting would copy
        image.load()
        return image
    return image.convert(mode)


def _on_a_ground(image: "Picture") -> "Picture":
    """Return an RGBA image without transparency: on white, or on black if white would hide everything."""
    from PIL import Image

    picture = Image.new("RGBA", image.size, "white")
    picture.alpha_composite(image)
    if picture.getextrema() == ((255, 255),) * 4 and image.getbbox() is not None:
        picture = Image.new("RGBA", image.size, "black")
        picture.alpha_composite(image)
    return picture


def _unreadable(path: Path, error: Exception) -> InputError:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):  # its message names an object
        reason = "it is not a PNG or JPEG, or it is damaged"
    else:
        what = getattr(error, "strerror", None) or one_line(error) or type(error).__name__
        reason = printable(textwrap.shorten(what, 300, placeholder="…"))
    return InputError(f"{shown(path)} cannot be read ({reason}): save it again as PNG or JPEG, or remove it")
