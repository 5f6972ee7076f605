"""Writing files so that whoever opens one finds all of it, or the one before."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["output_file", "output_path", "path_of", "replacing"]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; when that is done, the file there becomes ``path``.

    Whatever goes wrong before, a full disk or Ctrl-C, leaves ``path`` as it was and nothing beside.

    Parameters
    ----------
    path
        The file to make or to replace; its folder exists.

    Yields
    ------
    Path
        In the same folder, since only within a file system is a renaming atomic.

    Raises
    ------
    OSError
        The file cannot be written, or not be put in place.
    """
    # Not tempfile: its files are for nobody else to read, whatever the umask says.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # a renamed file without its content would be worse than none
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(path)  # which a full disk does not say
        raise


def path_of(name: str | os.PathLike[str]) -> Path:
    """Return a user's path, the home folder in the place of ``~``: a shell leaves it in ``--out=~/x``."""
    return Path(os.path.expanduser(os.fspath(name)))  # noqa: PTH111 - Path's raises where there is no such user


def output_path(path: Any) -> Path:
    """Return the path to write to that a user gave; complain of what is none."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path must be text or a pathlib.Path, not {shown(path)}: say where to write")
    return path_of(path)


def output_file(path: Any) -> Path:
    """Return the path of a file to write; complain if there is no such folder to write it to."""
    file = output_path(path)
    if file.is_dir() or not file.name:
        raise InputError(f"{file} is a folder: give the name of a file")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}: make it, or give another path")
    return file
