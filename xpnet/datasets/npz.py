"""The user's own arrays from an ``.npz`` file."""

import os
import textwrap
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.tabular import as_array
from xpnet.datasets.arrays import as_rows, assemble, image_shape_of, suits_images
from xpnet.datasets.base import Dataset
from xpnet.datasets.keys import KNOWN, check_keys
from xpnet.datasets.reading import Note, Reading, silent
from xpnet.datasets.targets import labelled
from xpnet.errors import InputError


def from_npz(path: str | os.PathLike[str], reading: Reading | None = None, note: Note = silent) -> Dataset:
    """Load arrays that ``np.savez(path, X=X, y=y)`` saved.

    Parameters
    ----------
    path : str or path-like
        An ``.npz`` file with ``X`` and ``y`` and, optionally, ``X_val`` and ``y_val``, ``X_test``
        and ``y_test``, ``sample_weight``, and ``class_names`` for classes numbered from 0. They may be
        anything that `from_arrays` takes, except objects. Other keys are ignored, unless they look like
        misspelt ones.
    reading : Reading, optional
        The task, if y does not show it, and which rows to hold out.
    note : callable, optional
        Called with a sentence about keys that are not read, about rows left out because they have no target,
        and about floats that may be classes.

    Returns
    -------
    Dataset
        Without ``X_val``, a tenth of the rows of X (at least one) is held out for validation: the same rows
        whatever the seed of a run. Without ``X_test``, there is no test set.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, a key is missing, or an array cannot be used.
    """
    path = Path(path)
    arrays, reading = _read(path, note), reading or Reading()
    names = class_names_of(path, arrays.pop("class_names", None))
    given = labelled(arrays, str(path), note, reading.task)
    return assemble(given, str(path), reading, own=tuple(given), class_names=names, note=note)


def splits_of(
    path: Path, note: Note
) -> tuple[dict[str, tuple[NDArray[Any], Any]], tuple[str, ...] | None, bool]:
    """Return the rows and targets of ``train`` (X and y), ``val`` and ``test`` in a file.

    Parameters
    ----------
    path, note
        As for `from_npz`.

    Returns
    -------
    splits, class_names, has_weights
        ``X`` has one row per sample, and y is as stored; the names of the classes, if the file has them; and
        whether it has row weights.

    Raises
    ------
    InputError
        As for `from_npz`, except that the values of y are not checked.
    """
    return splits_in(path, _read(path, note), note)


def splits_in(
    path: Path, arrays: dict[str, Any], note: Note
) -> tuple[dict[str, tuple[NDArray[Any], Any]], tuple[str, ...] | None, bool]:
    """Return the same for the arrays of a file, given by name."""
    names = class_names_of(path, arrays.pop("class_names", None))
    given = labelled(arrays, str(path), note)
    splits = {}
    for split, end in {"train": "", "val": "_val", "test": "_test"}.items():
        if f"X{end}" in given:
            what = f"{path}: X{end}"
            X = as_rows(what, as_array(given[f"X{end}"], what))
            if len(X) != len(given[f"y{end}"]):
                raise InputError(
                    f"{what} has {len(X)} rows and y{end} {len(given[f'y{end}'])}: give each one"
                )
            splits[split] = X, given[f"y{end}"]
    return splits, names, "sample_weight" in given


def class_names_of(path: Path, names: NDArray[Any] | None) -> tuple[str, ...] | None:
    """Return the class names in an array."""
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise InputError(f"{path}: class_names is not a list of text: save np.array([...], str)")
    return None if names is None else tuple(map(str, names))


def _read(path: Path, note: Note) -> dict[str, NDArray[Any]]:
    """Read the arrays named in `KNOWN` that exist, and check that the required ones do."""
    if not path.is_file():
        raise InputError(f"there is no file {path}: check the path of the .npz file")
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise zipfile.BadZipFile("not a zip archive, or truncated")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                keys = sorted(archive.files)
                arrays = {key: np.asarray(archive[key]) for key in KNOWN if key in keys}
    except Exception as error:
        # For files from unknown sources, numpy, zipfile and zlib raise a dozen kinds of exceptions.
        reason = textwrap.shorten(str(error), 300, placeholder="…") or type(error).__name__
        raise InputError(
            f"{path} cannot be read ({reason}): save number arrays with np.savez(FILE, X=X, y=y)"
        ) from error

    check_keys(str(path), keys, note)
    refuse_missing(str(path), arrays.keys(), keys)
    return arrays


def refuse_missing(name: str, known: Collection[str], keys: Collection[str]) -> None:
    """Refuse a file without the required arrays; ``known`` are those that are read, ``keys`` all of them."""
    missing = {"X", "y"} - set(known)
    for key in set(known) - {"sample_weight", "class_names"}:
        missing |= {key.replace("X", "y"), key.replace("y", "X")} - set(known)
    if missing:
        there = ", ".join(map(ascii, keys)) or "nothing"
        raise InputError(
            f"{name} has no {' and no '.join(sorted(missing))}, only {there}: "
            "save X and y, and optionally X_val and y_val, X_test and y_test"
        )


def holds_images(path: Path) -> bool:
    """Return whether the samples of ``X`` look like images, without reading them."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("X.npy") as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            return suits_images(image_shape_of(read(file)[0]))
    except Exception:  # errors are reported when the file is loaded
        return False


def has_val_rows(path: Path) -> bool:
    """Return whether there are validation rows, without reading them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "X_val.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):  # as above
        return False
