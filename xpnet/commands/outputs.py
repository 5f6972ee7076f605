"""Files of a user's choice: whether they can be written, and predictions into them, a part at a time."""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.files import replacing

__all__ = ["SUFFIXES", "check_output", "refusing", "writing"]

SUFFIXES = (".npy", ".npz", ".csv")


def check_output(path: Path, suffixes: Sequence[str] = ()) -> None:
    """Refuse an output that cannot be written, before the work that fills it.

    Raises
    ------
    InputError
        Its name ends in none of ``suffixes``, if there are any; it is a folder, or there is no such folder
        to write to.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{path} is no name to write to: end --output in {', '.join(suffixes)}")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give --output the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}: make it or give another --output")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent} cannot be written to: give another --output")


@contextmanager
def refusing(path: Path, flag: str = "--output") -> Iterator[None]:
    """Turn what the system says while ``path`` is written into an `InputError` that names it and the flag."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be written ({reason}): give another {flag}") from error


@contextmanager
def writing(
    path: Path, class_names: Sequence[str], labels: bool, names: Sequence[str] | None
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Give what writes a part of the predictions; the file is there once all are written.

    Parameters
    ----------
    path
        ``.npy``: one array. ``.npz``: that as ``labels`` or ``probabilities``, with ``class_names`` and,
        of images, ``files``. ``.csv``: a row each, labels by the name of their class.
    class_names
        The name of each class.
    labels
        Whether classes ``(rows,)`` will be written, int64; else probabilities ``(rows, classes)``.
    names
        Of the images, which begin the lines of a ``.csv``.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    kind = {".npy": _npy, ".npz": _npz, ".csv": _csv}[path.suffix.lower()]
    with refusing(path), replacing(path) as temporary, kind(temporary, class_names, labels, names) as write:
        yield write


@contextmanager
def _npy(
    path: Path, class_names: Sequence[str], labels: bool, _names: Sequence[str] | None
) -> Iterator[Callable[[NDArray[Any]], None]]:
    written, dtype = 0, np.dtype(np.int64 if labels else np.float32)

    def head() -> None:
        """How many rows there are is known at the end; NumPy leaves room for any number of them."""
        file.seek(0)
        shape = (written,) if labels else (written, len(class_names))
        description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, description)

    def write(part: NDArray[Any]) -> None:
        nonlocal written, dtype
        if not written:
            dtype = part.dtype
            head()
        file.write(np.ascontiguousarray(part).data)
        written += len(part)

    with path.open("wb") as file:
        head()
        yield write
        head()


@contextmanager
def _npz(
    path: Path, class_names: Sequence[str], labels: bool, names: Sequence[str] | None
) -> Iterator[Callable[[NDArray[Any]], None]]:
    parts: list[NDArray[Any]] = [
        np.empty(0, np.int64) if labels else np.empty((0, len(class_names)), np.float32)
    ]
    yield parts.append
    arrays: dict[str, Any] = {"labels" if labels else "probabilities": np.concatenate(parts[1:] or parts)}
    arrays["class_names"] = np.array(class_names, np.str_)
    if names is not None:
        arrays["files"] = np.array(names, np.str_)
    with path.open("wb") as file:  # np.savez would add .npz to a name
        np.savez(file, **arrays)


@contextmanager
def _csv(
    path: Path, class_names: Sequence[str], labels: bool, names: Sequence[str] | None
) -> Iterator[Callable[[NDArray[Any]], None]]:
    files = iter(names or ())
    # A name may be no text: what cannot be encoded is written out.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(["file"] if names else []), *(["label"] if labels else class_names)])

        def write(part: NDArray[Any]) -> None:
            # str of a float32 is as short as its precision allows, which tolist() would lose.
            rows = ([class_names[k]] for k in part) if labels else (map(str, row) for row in part)
            writer.writerows([*([next(files)] if names else []), *row] for row in rows)

        yield write
