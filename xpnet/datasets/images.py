"""Folders of images, with one subfolder per class."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets.base import Dataset
from xpnet.datasets.image_files import Look, look_at, need_pillow, read_images, read_into, shown
from xpnet.datasets.image_folders import Classes, find_splits, is_image_folder
from xpnet.errors import InputError
from xpnet.warn import warn

__all__ = ["from_folder", "is_image_folder", "read_images", "splits_of"]

_LARGEST = 64 * 64
"""Maximum number of pixels for which images of one size are not resized."""

_SIDE = 32
"""Height and width of resized images. Every pixel has a weight in each unit of the first layer, and 32 by 32
pixels in colour are already 3,072, as in CIFAR-10, on which the recipes were measured. Larger images mainly
add time and overfitting."""

_LONGEST_SIDE = 2**12
_ROWS = 2**10  # number of rows to check at a time


def from_folder(
    path: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    note: Callable[[str], None] = warn,
) -> Dataset:
    """Read a folder of PNG and JPEG images.

    Parameters
    ----------
    path : str or path-like
        A folder with one subfolder per class, named after the class, that holds its images, possibly in
        further subfolders. Or a folder with ``train`` and optionally ``val`` (``valid``, ``validation``) and
        ``test``, which hold the subfolders. Hidden files and files that are not images are skipped.
    size : int or (int, int), optional
        Height and width to resize all images to, or one number for both. By default, images of one size keep
        it up to 64 by 64 pixels; larger ones are fitted into 32 by 32, keeping their aspect ratio; images of
        several sizes become 32 by 32. Images are never cropped: another aspect ratio is squeezed.
    channels : {1, 3}, optional
        1 for grey, 3 for colour. By default colour, unless all images are grey.
    validation_fraction : float, default 0.1
        Fraction of the training images held out if there is no ``val``: at random, stratified by class, with
        at least one of each class of two or more images if the fraction is large enough, and never a whole
        class.
    seed : int, default 0
        Random seed of the held-out images.
    note : callable, by default a warning
        Called with a sentence about what was resized or left out.

    Returns
    -------
    Dataset
        X is ``uint8``, one image per row in height, width, channel order, as a viewer shows it: rotated as
        EXIF says, with transparent pixels white, the upper 8 of 16 bits, and the first frame of an animation.
        The rows of a split are sorted by class, then by file name. ``labels`` and ``class_names`` are the
        sorted names of the folders.

    Raises
    ------
    InputError
        If there are not two classes with images, or a file cannot be read. The message names it.
    """
    path = Path(path)
    _check(path, size, channels, validation_fraction, seed)
    need_pillow()
    splits = find_splits(path, note)
    if "val" not in splits:
        splits["train"], splits["val"] = _hold_out(path, splits["train"], validation_fraction, seed)
    names = tuple(sorted(splits["train"]))
    files: list[Path] = []
    y: list[int] = []
    rows: dict[str, slice] = {}
    for split in ("train", "val", "test"):
        start = len(files)
        for k, name in enumerate(names):
            of_class = splits.get(split, {}).get(name, [])
            files += of_class
            y += [k] * len(of_class)
        rows[split] = slice(start, len(files))
    X, image_shape = _read(path, files, size, channels, note)
    targets = np.array(y, np.int64)
    return Dataset(
        name=shown(path),
        X_train=X[rows["train"]],
        y_train=targets[rows["train"]],
        X_val=X[rows["val"]],
        y_val=targets[rows["val"]],
        X_test=X[rows["test"]] if "test" in splits else None,
        y_test=targets[rows["test"]] if "test" in splits else None,
        class_names=names,
        image_shape=image_shape,
        labels=names,
    )


def splits_of(
    path: Path, image_shape: tuple[int, int, int], note: Callable[[str], None]
) -> dict[str, tuple[NDArray[np.uint8], list[str]]]:
    """Return the images and the class names of each split in a folder.

    Parameters
    ----------
    path
        As for `from_folder`; one class and one image are enough, and no ``train`` is needed.
    image_shape
        Height, width and channels of the rows.
    note
        Called with a sentence about what was left out.

    Raises
    ------
    InputError
        The folder does not contain classes, or a file cannot be read.
    """
    splits = {}
    for split, classes in find_splits(path, note, to_train=False).items():
        files = [file for name in sorted(classes) for file in classes[name]]
        names = [name for name in sorted(classes) for _ in classes[name]]
        splits[split] = read_images(files, image_shape), names
    return splits


def _check(
    path: Path, size: int | tuple[int, int] | None, channels: int | None, fraction: float, seed: int
) -> None:
    """Raise InputError for settings that cannot be used, before anything is read."""
    name = shown(path)
    if size is not None and not all(map(_is_side, _pair(size))):
        raise InputError(
            f"{name}: size must be a height and a width from 1 to {_LONGEST_SIDE} pixels, not {size!r:.60}"
        )
    if channels not in (None, 1, 3):
        raise InputError(f"{name}: channels must be 1 for grey or 3 for colours, not {channels!r:.60}")
    if not 0 < fraction < 1:
        raise InputError(f"{name}: validation_fraction must be between 0 and 1, not {fraction}")
    if not 0 <= seed < 2**32:
        raise InputError(f"{name}: seed must be from 0 to 2**32 - 1, not {seed}")


def _pair(size: int | tuple[int, int]) -> tuple[Any, Any]:
    """Return a height and a width, from one number or two."""
    return (size[0], size[1]) if isinstance(size, tuple | list) and len(size) == 2 else (size, size)


def _is_side(side: Any) -> bool:
    is_whole = isinstance(side, int | np.integer) and not isinstance(side, bool)
    return is_whole and 1 <= side <= _LONGEST_SIDE


def _size(
    path: Path, size: int | tuple[int, int] | None, looks: list[Look], note: Callable[[str], None]
) -> tuple[int, int]:
    """Return the height and width that all images get."""
    if size is not None:
        height, width = _pair(size)
        return int(height), int(width)
    sizes = sorted({(look.height, look.width) for look in looks}, key=lambda size: (size[0] * size[1], size))
    (height, width), (most_height, most_width) = sizes[0], sizes[-1]
    if len(sizes) > 1:
        had = f"of {len(sizes)} sizes from {height} by {width} to {most_height} by {most_width}"
        height, width = _SIDE, _SIDE
    elif height * width <= _LARGEST:
        return height, width
    else:
        had = f"of {height} by {width}"
        scale = _SIDE / max(height, width)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
    note(
        f"{shown(path)}: images {had} pixels (height by width) are resized to {height} by {width}: "
        "give --size for another"
    )
    return height, width


def _read(
    path: Path,
    files: list[Path],
    size: int | tuple[int, int] | None,
    channels: int | None,
    note: Callable[[str], None],
) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """Return the rows of all files, and the shape of the images in them."""
    looks = look_at(files)
    stored_grey = all(look.is_grey for look in looks)
    height, width = _size(path, size, looks, note)
    depth = channels or (1 if stored_grey else 3)
    try:
        X = np.empty((len(files), height * width * depth), np.uint8)
    except (MemoryError, ValueError) as error:
        raise InputError(
            f"{shown(path)}: {len(files)} images of {height} by {width} pixels do not fit into memory: "
            "give a smaller --size"
        ) from error
    read_into(X, files, (height, width, depth))
    if channels is None and depth == 3 and _is_grey(X):  # although stored in colour
        return np.ascontiguousarray(X[:, ::3]), (height, width, 1)
    return X, (height, width, depth)


def _is_grey(X: NDArray[np.uint8]) -> bool:
    """Return whether rows with three channels are all grey."""
    parts: Iterable[NDArray[np.uint8]] = (X[start : start + _ROWS] for start in range(0, len(X), _ROWS))
    return all((part[:, ::3] == part[:, k::3]).all() for part in parts for k in (1, 2))


def _hold_out(path: Path, classes: Classes, fraction: float, seed: int) -> tuple[Classes, Classes]:
    """Return the training images and the held-out images of each class."""
    names = sorted(classes)
    sizes = np.array([len(classes[name]) for name in names])
    # RandomState, not Generator: NumPy promises that its stream never changes (NEP 19).
    rng = np.random.RandomState(seed)
    parts = _parts(sizes, fraction, rng)
    if not parts.any():
        raise InputError(
            f"{shown(path)} has one image per class, which leaves none for validation: add some, or a "
            f"folder 'val'"
        )
    kept: Classes = {}
    held: Classes = {}
    for name, size, part in zip(names, sizes, parts, strict=True):
        chosen = set(rng.permutation(size)[:part].tolist())
        kept[name] = [file for k, file in enumerate(classes[name]) if k not in chosen]
        held[name] = [file for k, file in enumerate(classes[name]) if k in chosen]
    return kept, held


def _parts(sizes: NDArray[np.int64], fraction: float, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Return how many images of each class to hold out: about its share, and the fraction of all in total."""
    most = sizes - 1
    total = min(int(most.sum()), max(1, int(sizes.sum() * fraction)))
    share = sizes * fraction
    several = np.flatnonzero(most)
    parts = np.zeros_like(sizes)
    if total < len(several):  # too few for one per class: take the largest, at random among equals
        shuffled = rng.permutation(several)
        parts[shuffled[np.argsort(-sizes[shuffled], kind="stable")[:total]]] = 1
        return parts
    parts[several] = np.clip(share[several].astype(np.int64), 1, most[several])
    while parts.sum() > total:
        parts[np.argmax(np.where(parts > 1, parts - share, -np.inf))] -= 1
    while parts.sum() < total:
        parts[np.argmax(np.where(parts < most, share - parts, -np.inf))] += 1
    return parts
