"""Files of a user's choice: whether they can be written, and predictions into them, a part at a time."""

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.files import replacing

__all__ = ["SUFFIXES", "Content", "check_output", "refusing", "writing"]

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
        raise InputError(f"{path} has an unknown file type: end --output in {', '.join(suffixes)}")
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


class Content(NamedTuple):
    """What will be written.

    Attributes
    ----------
    what
        Classes, or 0 and 1 for each label; probabilities; or numbers.
    names
        Of the classes, labels or numbers.
    is_flat
        Whether each row has one value, not one for each name.
    files
        Names of the images that the rows are, for an ``.npz``.
    title
        What a ``.csv`` calls the column of the class of each row.
    kept
        Names of the columns that tell which row each line of a ``.csv`` is of, and begin it.
    """

    what: Literal["labels", "probabilities", "numbers"]
    names: Sequence[str]
    is_flat: bool = False
    files: Sequence[str] | None = None
    title: str = "label"
    kept: Sequence[str] = ()

    @property
    def heads(self) -> Sequence[str]:
        """What a ``.csv`` calls the columns of predictions."""
        return [self.title] if self.is_flat and self.what == "labels" else self.names

    def no_rows(self) -> NDArray[Any]:
        """Return what is written where there are no rows."""
        dtype = {"labels": np.int64, "probabilities": np.float32, "numbers": np.float64}[self.what]
        return np.empty(0 if self.is_flat else (0, len(self.names)), dtype)


class Write(Protocol):
    """Writes a part of the predictions, and of a ``.csv`` the texts in each column of `Content.kept`."""

    def __call__(self, part: NDArray[Any], kept: Sequence[Sequence[str]] = (), /) -> None: ...


@contextmanager
def writing(path: Path, content: Content) -> Iterator[Write]:
    """Give what writes a part of the predictions; the file is there once all are written.

    Parameters
    ----------
    path
        ``.npy``: one array. ``.npz``: that by what it is, with ``class_names`` and, of images, ``files``.
        ``.csv``: a row each, classes by their names.
    content
        What it will be.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    kind = {".npy": _npy, ".npz": _npz, ".csv": _csv}[path.suffix.lower()]
    with refusing(path), replacing(path) as temporary, kind(temporary, content) as write:
        yield write


@contextmanager
def _npy(path: Path, content: Content) -> Iterator[Write]:
    written, like = 0, content.no_rows()

    def head() -> None:
        """How many rows there are is known at the end; NumPy leaves room for any number of them."""
        file.seek(0)
        shape, descr = (written, *like.shape[1:]), np.lib.format.dtype_to_descr(like.dtype)
        description = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, description)

    def write(part: NDArray[Any], _kept: Sequence[Sequence[str]] = ()) -> None:
        nonlocal written, like
        if not written:
            like = part
            head()
        file.write(np.ascontiguousarray(part).data)
        written += len(part)

    with path.open("wb") as file:
        head()
        yield write
        head()


@contextmanager
def _npz(path: Path, content: Content) -> Iterator[Write]:
    parts: list[NDArray[Any]] = []

    def write(part: NDArray[Any], _kept: Sequence[Sequence[str]] = ()) -> None:
        parts.append(part)

    yield write
    arrays: dict[str, Any] = {content.what: np.concatenate(parts or [content.no_rows()])}
    arrays["class_names"] = np.array(content.names, np.str_)
    if content.files is not None:
        arrays["files"] = np.array(content.files, np.str_)
    with path.open("wb") as file:  # np.savez would add .npz to a name
        np.savez(file, **arrays)


@contextmanager
def _csv(path: Path, content: Content) -> Iterator[Write]:
    names, by_name = content.names, content.is_flat and content.what == "labels"
    # A name may be no text: what cannot be encoded is written out.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*content.kept, *content.heads])

        def write(part: NDArray[Any], kept: Sequence[Sequence[str]] = ()) -> None:
            # str of a float32 is as short as its precision allows, which tolist() would lose.
            columns = part[:, None] if content.is_flat else part
            rows = ([names[k]] for k in part) if by_name else (map(str, row) for row in columns)
            writer.writerows([*of_row, *row] for *of_row, row in zip(*kept, rows, strict=True))

        yield write
