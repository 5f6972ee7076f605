"""The user's own arrays from a folder of ``.npy`` files, whose rows may stay on disk."""

from collections.abc import Mapping
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
from xpnet.datasets.stored import PART
from xpnet.datasets.targets import labelled, smallest_for
from xpnet.errors import InputError

__all__ = ["from_npy_folder", "has_val_rows", "holds_arrays", "holds_images", "lacks_rows", "splits_of"]


def holds_arrays(path: Path) -> bool:
    """Return whether a folder holds arrays: ``X.npy`` and others."""
    return (path / "X.npy").is_file()


def lacks_rows(path: Path) -> bool:
    """Return whether a folder seems to hold arrays, but lacks ``X.npy``."""
    has_images = any(each.is_dir() and each.name != "X.npy" for each in path.iterdir())
    return (path / "y.npy").exists() and not holds_arrays(path) and not has_images


def from_npy_folder(path: Path, reading: Reading | None = None, note: Note = silent) -> Dataset:
    """Load arrays saved as ``np.save(FOLDER / "X.npy", X)`` and so on, or leave the rows on disk.

    Parameters
    ----------
    path
        A folder with ``X.npy`` and ``y.npy``, and optionally other arrays of `xpnet.datasets.npz.from_npz`.
    reading
        The task, which rows to hold out, and where rows are kept.
    note
        Called with a sentence about files that are not read, and about rows that stay on disk.

    Returns
    -------
    Dataset
        Bit for bit the same as for an ``.npz`` file of the same arrays. Rows that stay on disk are a
        `Stored`.

    Raises
    ------
    InputError
        A file is damaged or missing, or an array cannot be used.
    """
    reading = reading or Reading()
    files = _files(path, note)
    rows = {name: file for name, file in files.items() if name[0] == "X"}
    arrays: dict[str, Any] = {name: _in_memory(file) for name, file in files.items() if name not in rows}
    on_disk = {name: NpyRows(file) for name, file in rows.items()} if _may_stay(rows, reading) else {}
    if stay_on_disk(str(path), sum(X.nbytes for X in on_disk.values()), reading.rows_in, note):
        arrays |= on_disk
    else:
        arrays |= {name: load_array(file, mapped=False) for name, file in rows.items()}
    names = class_names_of(path, arrays.pop("class_names", None))
    given = labelled(arrays, str(path), note, reading.task)
    return assemble(given, str(path), reading, tuple(given), class_names=names, note=note)


def splits_of(
    path: Path, note: Note
) -> tuple[dict[str, tuple[NDArray[Any], Any]], tuple[str, ...] | None, bool]:
    """Return the same as `xpnet.datasets.npz.splits_of`, for a folder."""
    files = _files(path, note)
    arrays = {name: np.asarray(load_array(file, mapped=name[0] == "X")) for name, file in files.items()}
    return splits_in(path, arrays, note)


def _files(path: Path, note: Note) -> dict[str, Path]:
    """Return the files of a folder by the names of their arrays."""
    names = sorted(file.stem for file in path.glob("*.npy"))
    check_keys(str(path), names, note)
    refuse_missing(str(path), set(names) & set(KNOWN), names)
    return {name: path / f"{name}.npy" for name in KNOWN if name in names}


def _may_stay(rows: Mapping[str, Path], reading: Reading) -> bool:
    """Return whether rows may stay on disk; not if they are stored by column, unless this is requested."""
    if reading.rows_in != "auto":
        return reading.rows_in == "disk"
    return all(load_array(file).flags.c_contiguous for file in rows.values())


def _in_memory(file: Path) -> NDArray[Any]:
    """Return an array; integers, such as classes, get the smallest dtype that holds them."""
    array = load_array(file)
    if not isinstance(array, np.memmap) or array.dtype.kind != "i" or array.ndim != 1 or not len(array):
        return load_array(file, mapped=False)
    # Not through the memory map, because pages that were read would count as memory.
    with file.open("rb") as numbers:
        numbers.seek(array.offset)
        parts = [_shortened(np.fromfile(numbers, array.dtype, PART)) for _ in range(0, len(array), PART)]
    if sum(map(len, parts)) != len(array):
        raise InputError(f"{file} was truncated while it was read: write it again, and start again")
    return np.concatenate(parts)


def _shortened(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return integers in the smallest dtype that holds them."""
    return numbers.astype(smallest_for(numbers.min(initial=0), numbers.max(initial=0)))


def holds_images(path: Path) -> bool:
    """Return whether the samples of ``X.npy`` look like images, without reading them."""
    try:
        return suits_images(image_shape_of(load_array(path / "X.npy").shape))
    except Exception:  # errors are reported when the file is loaded
        return False


def has_val_rows(path: Path) -> bool:
    """Return whether there are validation rows."""
    return (path / "X_val.npy").is_file()
