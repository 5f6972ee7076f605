"""Data sets: from files to NumPy arrays on the host.

`load` takes a name as the commands do: of a built-in data set, or the path of a table, an ``.npz`` file or a
folder of images. `from_arrays` takes arrays, and ``tables.from_frame`` data frames. All return a `Dataset`,
whose arrays are checked. ``frames`` reads table files and ``images`` folders; ``reading`` holds the user's
options, and ``readers`` reads rows to predict.

May import: columns, device.
"""

import os
from pathlib import Path
from typing import Literal

from xpnet.datasets import images, npy_folder, npz, parquet_rows, tables
from xpnet.datasets.arrays import from_arrays
from xpnet.datasets.bar import Showing
from xpnet.datasets.base import Dataset
from xpnet.datasets.cifar import cifar10
from xpnet.datasets.frames import is_parquet, is_table, is_text
from xpnet.datasets.image_folders import has_val_folder
from xpnet.datasets.npz import from_npz
from xpnet.datasets.reading import OF_COLUMNS, Note, Reading, refuse_unused, silent
from xpnet.datasets.uci import digits
from xpnet.errors import InputError

__all__ = [
    "Dataset",
    "Reading",
    "cifar10",
    "digits",
    "from_arrays",
    "from_npz",
    "has_validation",
    "is_folder_of_rows",
    "kind_of",
    "load",
]

KNOWN = ("digits", "cifar10")
"""Names of the data sets that xpnet knows."""

KINDS = (
    "table (.csv, .tsv, .parquet, .arrow), an .npz file with X and y, a folder with X.npy and y.npy, or a "
    "folder of images"
)


def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    progress: Showing = False,
    reading: Reading | None = None,
    note: Note = silent,
) -> Dataset:
    """Load a data set by name, or from a file or folder by path.

    Parameters
    ----------
    name : str or path-like
        ``"digits"``, ``"cifar10"``, or a path: a table (CSV, TSV, Parquet, Arrow), an ``.npz`` file, a folder
        with ``X.npy`` and ``y.npy``, or a folder with one subfolder of images per class.
    data_dir : str or path-like, optional
        Folder to search first for the CIFAR-10 files (see `cifar10`).
    progress : bool or callable, default False
        Whether to show a progress bar during downloads and conversions, if standard error is a terminal. A
        callable returns the context to show it in, for callers that have a display of their own.
    reading : Reading, optional
        The target, and other options for the user's own data.
    note : callable, optional
        Called with a sentence about what was guessed or left out.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If there is no such data set, or its files cannot be used.
    """
    name = os.path.expanduser(os.fspath(name))  # noqa: PTH111 - not all names are paths
    reading = reading or Reading()
    path, is_known = Path(name), name in KNOWN
    is_folder = bool(name) and path.is_dir() and not is_known  # the path of no name is the current folder
    if is_folder and not any(path.iterdir()):
        raise InputError(f"{path} is an empty folder: give a {KINDS}")
    if is_folder and npy_folder.holds_arrays(path):
        refuse_unused(name, reading, "rows_in")
        data = npy_folder.from_npy_folder(path, reading, note)
        tables.tell_of_targets(data, reading.task, note)
        return data
    if is_folder and parquet_rows.holds_parts(path):
        refuse_unused(name, reading, *OF_COLUMNS, "rows_in")
        return tables.from_table(path, reading, note)
    if is_folder and npy_folder.lacks_rows(path):
        raise InputError(f"{path} has y.npy but no X.npy: save the rows there with np.save")
    if (is_known or is_folder) and reading.task not in (None, "classification"):
        raise InputError(f"{name} is for classification, not {reading.task!r}: leave out the task")
    if is_known:
        refuse_unused(name, reading)
        return digits() if name == "digits" else cifar10(data_dir, progress=progress)
    if path.suffix.lower() == ".npz":
        refuse_unused(name, reading)
        data = from_npz(path, reading, note)
        tables.tell_of_targets(data, reading.task, note)
        return data
    if is_folder:
        refuse_unused(name, reading, "size")
        return images.from_folder(
            path,
            size=reading.size,
            channels=reading.channels,
            validation_fraction=reading.validation_fraction,
            seed=reading.seed,
            note=note,
        )
    if is_table(path) or path.suffix.lower() == ".npy":
        refuse_unused(name, reading, *OF_COLUMNS, *(["header"] if is_text(path) else []), *_may_stay(path))
        return tables.from_table(path, reading, note, progress)
    if path.suffix or path.is_file():
        raise InputError(f"{path} is not a data set: give a {KINDS}")
    raise InputError(f"unknown dataset {name!r}: use digits, cifar10, or the path of a {KINDS}")


def _may_stay(path: Path) -> list[str]:
    """Return the options that apply to where the rows of a table are kept."""
    return ["rows_in"] if is_parquet(path) or is_text(path) else []


def kind_of(name: str | os.PathLike[str]) -> Literal["digits", "cifar10", "images", "table"]:
    """Return what a name stands for, without loading it; ``"table"`` if it is not clear."""
    name = os.fspath(name)
    if name in KNOWN:
        return "digits" if name == "digits" else "cifar10"
    path = Path(name)
    if name and path.is_dir():
        has_images = not is_folder_of_rows(path) or npy_folder.holds_images(path)
    else:
        has_images = path.suffix.lower() == ".npz" and npz.holds_images(path)
    return "images" if has_images else "table"


def is_folder_of_rows(name: str | os.PathLike[str]) -> bool:
    """Return whether a name is the path of a folder of ``.npy`` or Parquet files."""
    path = Path(name)
    is_folder = bool(os.fspath(name)) and path.is_dir() and os.fspath(name) not in KNOWN
    return is_folder and (npy_folder.holds_arrays(path) or parquet_rows.holds_parts(path))


def has_validation(name: str | os.PathLike[str]) -> bool:
    """Return whether the named data have validation rows; false if it is not clear."""
    path = Path(name)
    if os.fspath(name) in KNOWN:
        return True
    if path.is_dir():
        return npy_folder.has_val_rows(path) if npy_folder.holds_arrays(path) else has_val_folder(path)
    return path.suffix.lower() == ".npz" and npz.has_val_rows(path)
