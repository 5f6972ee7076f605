"""Output files that the user names: check that they can be written, and write predictions part by part."""

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
    """Refuse an output that cannot be written, before the work starts.

    Raises
    ------
    InputError
        Its suffix is none of ``suffixes``, if there are any; it is a folder; or its own folder does not exist
        or cannot be written to.
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
    """Turn an `OSError` while ``path`` is written into an `InputError` that names the path and the flag."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be written ({reason}): give another {flag}") from error


class Content(NamedTuple):
    """What the output will hold.

    Attributes
    ----------
    what
        Classes, or 0 and 1 for each label; probabilities; or numbers.
    names
        Names of the classes, labels or numbers.
    is_flat
        Whether each row has one value, not one for each name.
    files
        Names of the image files, one for each row, for an ``.npz``.
    title
        Name of the column of predicted classes in a ``.csv``.
    kept
        Names of the first columns of a ``.csv``, which identify the rows.
    """

    what: Literal["labels", "probabilities", "numbers"]
    names: Sequence[str]
    is_flat: bool = False
    files: Sequence[str] | None = None
    title: str = "label"
    kept: Sequence[str] = ()

    @property
    def heads(self) -> Sequence[str]:
        """Names of the columns of predictions in a ``.csv``."""
        return [self.title] if self.is_flat and self.what == "labels" else self.names

    def no_rows(self) -> NDArray[Any]:
        """Return what is written if there are no rows."""
        dtype = {"labels": np.int64, "probabilities": np.float32, "numbers": np.float64}[self.what]
        return np.empty(0 if self.is_flat else (0, len(self.names)), dtype)


class Write(Protocol):
    """Writes a part of the predictions and, in a ``.csv``, the texts of each column in `Content.kept`."""

    def __call__(self, part: NDArray[Any], kept: Sequence[Sequence[str]] = (), /) -> None: ...


@contextmanager
def writing(path: Path, content: Content) -> Iterator[Write]:
    """Yield a function that writes a part of the predictions. The file exists once all are written.

    Parameters
    ----------
    path
        ``.npy``: one array. ``.npz``: the array under the name `Content.what`, ``class_names`` and, for
        images, ``files``. ``.csv``: one line for each row, with the names of classes.
    content
        What the file will hold.

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
        """Write the header. It is written again with the final number of rows; NumPy leaves room for that."""
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
    # A name may hold characters that UTF-8 cannot encode: these are written as escapes.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*content.kept, *content.heads])

        def write(part: NDArray[Any], kept: Sequence[Sequence[str]] = ()) -> None:
            # str of a float32 is as short as its precision allows, which tolist() would lose.
            columns = part[:, None] if content.is_flat else part
            rows = ([names[k]] for k in part) if by_name else (map(str, row) for row in columns)
            writer.writerows([*of_row, *row] for *of_row, row in zip(*kept, rows, strict=True))

        yield write
