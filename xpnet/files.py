"""Writes files atomically: a reader finds either the complete new file or the old one."""

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
    """Yield a temporary path to write to; when the block ends, that file becomes ``path``.

    If anything goes wrong before that, such as a full disk or Ctrl-C, ``path`` stays as it was, and no
    temporary file is left behind.

    Parameters
    ----------
    path
        The file to make or to replace; its folder exists.

    Yields
    ------
    Path
        The temporary path, in the same folder: renaming is atomic only within one file system.

    Raises
    ------
    OSError
        The file cannot be written or renamed.
    """
    # Not tempfile: only their owner can read its files, whatever the umask.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # a renamed file without its content would be worse than no file
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(path)  # the error of a full disk names no file
        raise


def path_of(name: str | os.PathLike[str]) -> Path:
    """Return a user's path with ``~`` expanded: a shell does not expand it in ``--out=~/x``."""
    return Path(os.path.expanduser(os.fspath(name)))  # noqa: PTH111 - Path's raises where there is no such user


def output_path(path: Any) -> Path:
    """Return the user's path to write to; raise InputError if it is not a path."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path must be text or a pathlib.Path, not {shown(path)}: say where to write")
    return path_of(path)


def output_file(path: Any) -> Path:
    """Return the path of a file to write; raise InputError if it is a folder, or if its folder is missing."""
    file = output_path(path)
    if file.is_dir() or not file.name:
        raise InputError(f"{file} is a folder: give the name of a file")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}: make it, or give another path")
    return file
