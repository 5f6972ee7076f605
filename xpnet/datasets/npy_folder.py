"""A user's own arrays, from a folder of ``.npy`` files, whose rows may stay on the disk."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.datasets.arrays import assemble, image_shape_of, suits_images
from xpnet.datasets.base import Dataset
from xpnet.datasets.keys import KNOWN, check_keys
from xpnet.datasets.npy_rows import NpyRows
from xpnet.datasets.npz import class_names_of, refuse_missing, splits_in
from xpnet.datasets.readers import load_array
from xpnet.datasets.reading import Note, Reading, silent, stay_on_disk
from xpnet.datasets.targets import labelled

__all__ = ["from_npy_folder", "has_val_rows", "holds_arrays", "holds_images", "splits_of"]


def holds_arrays(path: Path) -> bool:
    """Return whether a folder is one of arrays: ``X.npy`` and others."""
    return (path / "X.npy").is_file()


def from_npy_folder(path: Path, reading: Reading | None = None, note: Note = silent) -> Dataset:
    """Load arrays that ``np.save(FOLDER / "X.npy", X)`` and others saved, or leave the rows on the disk.

    Parameters
    ----------
    path
        A folder with ``X.npy`` and ``y.npy`` and, if wanted, what else `xpnet.datasets.npz.from_npz` takes.
    reading
        What y holds, which rows to hold out, and where rows are kept.
    note
        Told which files are not read, and of rows that stay on the disk.

    Returns
    -------
    Dataset
        As of an ``.npz`` file of the same arrays, to the bit. Rows that stay on the disk are a `Stored`.

    Raises
    ------
    InputError
        A file is damaged or missing, or an array cannot be used.
    """
    reading = reading or Reading()
    arrays = _read(path, note)
    rows = [name for name in arrays if name[0] == "X"]
    if not stay_on_disk(str(path), sum(arrays[name].nbytes for name in rows), reading.rows_in, note):
        arrays |= {name: load_array(path / f"{name}.npy", mapped=False) for name in rows}
    names = class_names_of(path, arrays.pop("class_names", None))
    given = labelled(arrays, str(path), note, reading.task)
    return assemble(given, str(path), reading, tuple(given), class_names=names, note=note)


def splits_of(
    path: Path, note: Note
) -> tuple[dict[str, tuple[NDArray[Any], Any]], tuple[str, ...] | None, bool]:
    """Return the same as `xpnet.datasets.npz.splits_of`, of a folder."""
    arrays = _read(path, note)
    rows = {name: np.asarray(load_array(path / f"{name}.npy")) for name in arrays if name[0] == "X"}
    return splits_in(path, arrays | rows, note)


def _read(path: Path, note: Note) -> dict[str, Any]:
    """Return what a folder holds by its names: rows on the disk, all else in memory."""
    names = sorted(file.stem for file in path.glob("*.npy"))
    check_keys(str(path), names, note)
    refuse_missing(str(path), set(names) & set(KNOWN), names)
    files = {name: path / f"{name}.npy" for name in KNOWN if name in names}
    return {
        name: NpyRows(file) if name[0] == "X" else load_array(file, mapped=False)
        for name, file in files.items()
    }


def holds_images(path: Path) -> bool:
    """Return whether the samples of ``X.npy`` look like images, without reading them."""
    try:
        return suits_images(image_shape_of(load_array(path / "X.npy").shape))
    except Exception:  # whatever is wrong with the file is told when it is loaded
        return False


def has_val_rows(path: Path) -> bool:
    """Return whether there are rows to validate on."""
    return (path / "X_val.npy").is_file()
