"""Folders of images: find the splits, the classes and their images."""

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from xpnet.datasets.image_files import shown
from xpnet.errors import InputError

__all__ = [
    "SUFFIXES",
    "Classes",
    "as_text",
    "find_splits",
    "has_val_folder",
    "is_image",
    "is_image_folder",
    "left_out",
    "list_images",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif")

Classes = dict[str, list[Path]]
"""The images of each class, by the name of its folder."""

_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_DEEPEST = 100  # maximum nesting of folders
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_FOLDER_EACH = "put the images of each class into a separate folder"


def is_image_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a folder that contains an image, at most three levels below.

    If so, `from_folder` can read it, or give the best advice on how to arrange it.
    """
    try:
        return _has_image(Path(path), 3)
    except (InputError, ValueError):  # a path with a null character
        return False


def has_val_folder(path: Path) -> bool:
    """Return whether a folder has a subfolder of validation images."""
    try:
        return "val" in _split_folders(path, lambda _: None)
    except InputError:  # reported when the folder is loaded
        return False


def find_splits(path: Path, note: Callable[[str], None], *, to_train: bool = True) -> dict[str, Classes]:
    """Return the images of each class in each existing split.

    Parameters
    ----------
    path
        A folder with one subfolder per class, or with ``train``, ``val`` and ``test``, which have these.
    note
        Called with a sentence about what is left out.
    to_train
        Whether there must be a ``"train"`` with at least two classes, and no other split may have more.

    Raises
    ------
    InputError
        The folder does not contain classes.
    """
    if not path.is_dir():
        raise InputError(f"{shown(path)} is not a folder: give one with a folder of images for each class")
    others: list[Path] = []
    folders = _split_folders(path, note, to_train)
    found = {
        split: classes
        for split, folder in folders.items()
        if (classes := _classes(folder, split, others, note)) is not None
    }
    if others:
        note(left_out(path, others))
    if not to_train:
        return found
    if len(found["train"]) < 2:
        _refuse_one_class(folders["train"], found["train"])
    for split in found.keys() - {"train"}:
        unknown = sorted(found[split].keys() - found["train"].keys())
        if unknown:
            raise InputError(
                f"{shown(folders[split])} has the class {unknown[0]!r}, for which {shown(folders['train'])} "
                "has no image: add some to train on, or remove it"
            )
    return found


def is_image(path: Path) -> bool:
    """Return whether a file has the name of an image or, without a suffix, starts like one."""
    if path.suffix:
        return path.suffix.lower() in SUFFIXES
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_STARTS)
    except OSError:
        return False


def visible(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the files in a folder, by name, except hidden ones.

    Raises
    ------
    InputError
        The folder cannot be read, or an image in it is a broken link.
    """
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = folder / entry.name
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if _holds(entry.is_dir):
                    folders.append(path)
                elif _holds(entry.is_file):
                    files.append(path)
                elif entry.is_symlink() and path.suffix.lower() in SUFFIXES:
                    raise InputError(f"{shown(path)} is a broken link: remove it")
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be read ({error.strerror}): give another folder") from error
    return folders, files


def left_out(folder: Path, others: Sequence[Path]) -> str:
    """Return a note about one or more files in a folder that are not images."""
    files = "1 file that is not" if len(others) == 1 else f"{len(others)} files that are not"
    return f"{shown(folder)}: left out {files} PNG or JPEG, the first {shown(others[0].relative_to(folder))}"


def list_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images in a folder and its subfolders, and the other files there.

    Links to folders are followed.

    Raises
    ------
    InputError
        As in `visible`, or a link leads back to one of its parent folders.
    """
    images: list[Path] = []
    others: list[Path] = []
    _collect(folder, frozenset(), images, others)
    return images, others


def _collect(folder: Path, above: frozenset[tuple[int, int]], images: list[Path], others: list[Path]) -> None:
    try:
        status = folder.stat()
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be read ({error.strerror}): remove it") from error
    identity = status.st_dev, status.st_ino  # zeros on some file systems, which have no links
    if (identity in above and status.st_ino) or len(above) >= _DEEPEST:
        raise InputError(f"{shown(folder)} is a link to a parent folder, or nested too deeply: remove it")
    folders, files = visible(folder)
    for path in files:
        (images if is_image(path) else others).append(path)
    for path in folders:
        _collect(path, above | {identity}, images, others)


def _holds(question: Callable[[], bool]) -> bool:
    """Return the answer to a question about a folder's entry; False for a link to itself."""
    try:
        return question()
    except OSError:
        return False


def _has_image(folder: Path, depth: int) -> bool:
    if not folder.is_dir():
        return False
    folders, files = visible(folder)
    return any(map(is_image, files)) or (depth > 0 and any(_has_image(path, depth - 1) for path in folders))


def _split_folders(path: Path, note: Callable[[str], None], to_train: bool = True) -> dict[str, Path]:
    """Return the folder of each split; if there are none, the whole folder is the training set."""
    folders, _ = visible(path)
    named: dict[str, list[Path]] = {}
    for folder in folders:
        if folder.name.lower() in _SPLITS:
            named.setdefault(_SPLITS[folder.name.lower()], []).append(folder)
    rest = [folder for folder in folders if folder.name.lower() not in _SPLITS]
    if not named or _is_class_of_trains(named, rest):
        _refuse_splits_of_classes(path, folders)
        _tell_of_likely_splits(folders, note)
        return {"train": path}
    for same in named.values():
        if len(same) > 1:
            names = " and ".join(repr(folder.name) for folder in same)
            raise InputError(f"{shown(path)}: {names} are the same split: keep one of them")
    if "train" not in named and to_train:
        (first, *_), *_ = named.values()
        raise InputError(f"{shown(path)} has {first.name!r} but no 'train': put the training classes there")
    for folder in rest:
        if list_images(folder)[0]:
            raise InputError(
                f"{shown(path)} has {folder.name!r} beside {next(iter(named.values()))[0].name!r}: "
                f"move all class folders into the latter"
            )
    if rest:
        note(f"{shown(path)}: left out {rest[0].name!r}, which has no images, beside the splits")
    return {split: named[split][0] for split in ("train", "val", "test") if split in named}


def _is_class_of_trains(named: dict[str, list[Path]], rest: list[Path]) -> bool:
    """Return whether a folder called train is a class, like cars and planes: it has images, not folders."""
    if not rest or named.keys() != {"train"} or len(named["train"]) > 1:
        return False
    folders, files = visible(named["train"][0])
    return not folders and any(map(is_image, files))


def _refuse_splits_of_classes(path: Path, folders: list[Path]) -> None:
    """Refuse a class with several splits in it, such as cat/train and cat/test: all would be trained on."""
    for folder in folders:
        splits = [inner.name for inner in visible(folder)[0] if inner.name.lower() in _SPLITS]
        if len({_SPLITS[name.lower()] for name in splits}) > 1:
            one, two = (shown(Path(name, folder.name)) for name in splits[:2])
            raise InputError(
                f"{shown(path)} has the class {folder.name!r} with {' and '.join(splits[:2])} in it: "
                f"rearrange the folders into {one} and {two}"
            )


def _tell_of_likely_splits(folders: list[Path], note: Callable[[str], None]) -> None:
    """Note if folders are read as classes but contain the same subfolders, like splits."""
    inner = [{folder.name for folder in visible(path)[0]} for path in islice(folders, 4)]
    if 2 <= len(folders) <= 3 and len(inner[0]) >= 2 and all(names == inner[0] for names in inner):
        names = " and ".join(repr(folder.name) for folder in folders[:2])
        note(f"{names} are read as classes: if they are splits, rename them train and test")


def _classes(folder: Path, split: str, others: list[Path], note: Callable[[str], None]) -> Classes | None:
    """Return the images of each class of a split that has any; None for a test set without classes."""
    folders, files = visible(folder)
    loose = [path for path in files if is_image(path)]
    others += [path for path in files if not is_image(path)]
    if loose and not folders:
        if split != "test":
            raise InputError(f"{shown(folder)} has images but no folders: {_FOLDER_EACH}")
        note(f"{shown(folder)} is left out: {_FOLDER_EACH} to test on them, or predict them")
        return None
    if loose:
        note(f"{shown(folder)}: left out images outside the class folders ({len(loose)}): {_FOLDER_EACH}")
    classes: Classes = {}
    empty = []
    for path in folders:
        images, no_images = list_images(path)
        others += no_images
        if images:
            name = as_text(path.name)
            if name in classes:
                raise InputError(f"{shown(folder)} has two folders called {name!r}: rename one")
            classes[name] = images
        else:
            empty.append(path.name)
    if not classes:
        raise InputError(f"there is no PNG or JPEG image in {shown(folder)}: {_FOLDER_EACH}")
    if empty:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        note(f"{shown(folder)}: left out {empty[0]!r}{more}, without a PNG or JPEG image")
    return classes


def as_text(name: str) -> str:
    """Return the name of a file with undecodable bytes escaped, so that it can be stored."""
    return name.encode("utf-8", "backslashreplace").decode()


def _refuse_one_class(folder: Path, classes: Classes) -> None:
    (name,) = classes
    inner = [path for path in visible(folder)[0] if as_text(path.name) == name]
    deeper = visible(inner[0])[0]
    fix = f"give {shown(inner[0])} if the classes are the folders in it" if deeper else "add another"
    raise InputError(f"{shown(folder)} has one class with images, {name!r}, and training needs two: {fix}")
