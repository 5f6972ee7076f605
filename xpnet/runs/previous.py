"""Training again into the folder of a run: the files of the previous run are moved aside first."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from xpnet.errors import InputError
from xpnet.runs.checkpoints import NAME as CHECKPOINT
from xpnet.runs.folder import EVALUATIONS, EXPORTS, FILES
from xpnet.runs.names import flag

__all__ = ["discard", "forget_evaluations", "make_room", "set_aside"]

EVALUATION = re.compile(rf"({'|'.join(EVALUATIONS)})-(train|val|test|new)\.png")
EVENTS = re.compile(r"events\.out\.tfevents\..*")
UNFINISHED = re.compile(r"\.(.+)\.[0-9a-f]{8}")
"""Name of the partial file that a killed process leaves, see `xpnet.files.replacing`."""


def set_aside(folder: Path, force: bool) -> Path | None:
    """Move the files of a run to ``previous-1`` in its folder, or to the first free name of this kind.

    Either all files are moved or none: if one fails, the others are moved back. Files that no run writes
    stay.

    Parameters
    ----------
    folder
        The folder, which need not contain a run.
    force
        Whether to remove the files instead.

    Returns
    -------
    Path or None
        Where they are now; None if there was no run, or they were removed.

    Raises
    ------
    InputError
        They cannot be moved.
    """
    files = [path for path in folder.iterdir() if _is_of_run(path.name) and path.is_file()]
    if not any(path.name in FILES or CHECKPOINT.fullmatch(path.name) for path in files):
        return None
    place = _move(folder, files, force)
    if not force:
        return place
    shutil.rmtree(place, ignore_errors=True)
    return None


def discard(folder: Path, paths: Iterable[Path]) -> None:
    """Remove files and folders from a folder: all or, if something goes wrong, none."""
    shutil.rmtree(_move(folder, [path for path in paths if path.exists()], hidden=True), ignore_errors=True)


def _move(folder: Path, paths: Iterable[Path], hidden: bool) -> Path:
    """Move files in a folder to a new subfolder: all of them or none."""
    place, moved = None, []
    try:
        place = _make(folder, hidden)
        for path in paths:
            moved.append(path)
            path.replace(place / path.name)
    except BaseException as error:
        for path in moved:
            with contextlib.suppress(OSError):  # the last one may not have been moved
                (place or folder).joinpath(path.name).replace(path)
        if place is not None:
            with contextlib.suppress(OSError):
                place.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise InputError(
                f"the files in {folder} cannot be moved aside ({reason}): give another --out"
            ) from error
        raise
    return place


def make_room(folder: Path, force: bool, note: Callable[[str], None]) -> None:
    """Move the run in a folder aside, or delete it, and note what was done."""
    place = set_aside(folder, force)
    if place is not None:
        note(f"the previous run in {folder} was moved to {place}; {flag('force')} deletes it instead")


def forget_evaluations(folder: Path) -> None:
    """Remove the files that ``xpnet evaluate`` and ``export`` added to a run that is now trained further."""
    for path in folder.iterdir():
        if EVALUATION.fullmatch(path.name) or path.name in EXPORTS:
            with contextlib.suppress(OSError):
                path.unlink()


def _is_of_run(name: str) -> bool:
    """Return whether a run, or a command that works on a run, writes a file of this name."""
    if unfinished := UNFINISHED.fullmatch(name):
        name = unfinished[1]
    return name in (*FILES, *EXPORTS) or any(
        pattern.fullmatch(name) for pattern in (EVALUATION, CHECKPOINT, EVENTS)
    )


def _make(folder: Path, hidden: bool) -> Path:
    """Create a new folder."""
    number = 1
    while True:
        place = folder / (f".previous.{os.urandom(4).hex()}" if hidden else f"previous-{number}")
        try:
            place.mkdir()
        except FileExistsError:
            number += 1
        else:
            return place
