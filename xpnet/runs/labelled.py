"""Rows with targets to evaluate a network on, from a file that the user names."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet import datasets
from xpnet.columns.columns import numbers, take_target
from xpnet.columns.tabular import as_frame
from xpnet.datasets import KNOWN, images, npy_folder, npz
from xpnet.datasets.delimited import looks_otherwise
from xpnet.datasets.frames import is_table, is_text, read_table
from xpnet.datasets.parquet_rows import Parts, holds_parts
from xpnet.datasets.readers import load_array, of_file, shaded
from xpnet.datasets.reading import Note, silent
from xpnet.datasets.targets import as_targets, encode_targets, find_labels
from xpnet.errors import InputError
from xpnet.runs.config import Config
from xpnet.runs.names import flag
from xpnet.runs.subset import subset_of
from xpnet.training.model import Model

__all__ = ["Labelled", "class_numbers", "is_file", "is_lasting", "labelled_rows"]


UNWEIGHTED = "{} has sample_weight, which training and its summary use; here every row counts the same"
"""Why two scores of the same rows differ."""


class Labelled(NamedTuple):
    """Rows to evaluate a model on, and their targets.

    Attributes
    ----------
    name
        Name of the data.
    split
        Which split they are; ``"all"`` for a whole file.
    X, y
        Raw rows, and targets as a data set of the model's has them.
    numbers
        Number of each row in the file, from 0; None if it has no such rows, or they are not known.
    """

    name: str
    split: str
    X: NDArray[Any]
    y: NDArray[Any]
    numbers: NDArray[np.int64] | None = None


def is_file(name: str) -> bool:
    """Return whether a name is the path of a file or folder, not the name of a built-in data set."""
    return name not in KNOWN and (bool(Path(name).suffix) or Path(name).is_dir())


def is_lasting(name: str) -> bool:
    """Return whether a run's data can be loaded again by their name; what was given in Python can't."""
    return name in KNOWN or is_file(name) or Path(name).is_absolute()


def labelled_rows(
    model: Model,
    config: Config,
    path: Path,
    split: str | None = None,
    *,
    target: Sequence[str] = (),
    header: bool | None = None,
    trained_on: str | None = None,
    shades: tuple[float, float] | None = None,
    note: Note = silent,
) -> Labelled:
    """Return the rows of a file or folder to evaluate a model on: all, or one split.

    Parameters
    ----------
    model
        The model, which has the columns and classes.
    config
        Its settings, including how its own data were read.
    path
        A table, an ``.npz`` file, or a folder of images.
    split
        ``"train"`` (X and y of an ``.npz`` file), ``"val"`` or ``"test"``, if there are several.
    target
        Target columns of a table; by default those of the run.
    header
        Whether the first line of a text file holds the column names; None: as in the run, else detected.
    trained_on
        The checksum of the run's data, if known.
    shades
        For images, the values of black and white in the rows of the model; by default judged by their range.
    note
        Called with a sentence about what was guessed or left out, or if training rows are among the rows.

    Raises
    ------
    InputError
        If the file cannot be used, lacks the split, or does not fit the model.
    """
    if is_table(path) or path.suffix.lower() == ".npy" or _is_folder_of_parts(path):
        if split is not None:
            raise InputError(f"{path} is a table, which has no splits: drop --split")
        found = _of_table(model, config, path, target, header, note)
    else:
        for name, value in {"target": target or None, "header": header}.items():
            if value is not None:
                raise InputError(f"{path} is not a table: drop --{name}")
        found = _of_splits(model, path, split, shades, note)
    if found.split in ("all", "train") and _are_those_of(found, path, config, trained_on):
        note(f"{path} holds the data of the run: the rows evaluated include those it was trained on")
    return found


def _is_folder_of_parts(path: Path) -> bool:
    return path.is_dir() and holds_parts(path) and not npy_folder.holds_arrays(path)


def _of_table(
    model: Model, config: Config, path: Path, target: Sequence[str], header: bool | None, note: Note
) -> Labelled:
    """Return all rows of a table that has the columns of the model."""
    columns = numbers(model.num_features) if model.columns is None else model.columns
    target = tuple(target) or config.target
    if not target:
        raise InputError(f"which column of {path} is the target? Give {flag('target')} NAME")
    if path.suffix.lower() == ".npy":
        if not path.is_file():
            raise InputError(f"there is no file {path}: check the path of the .npy file")
        frame = as_frame(np.asarray(load_array(path)))
    elif path.is_dir():
        frame = Parts(path).whole()
    else:
        if header is None and config.header is not None and is_text(path) and path.is_file():
            header = config.header
            if unlike := looks_otherwise(path, header, columns):
                note(unlike)
        frame = read_table(path, header, note, columns, said=target)
    labels = model.labels if model.task == "classification" else None
    with of_file(path):
        frame, y, kept = take_target(frame, target, note, labels or model.task == "classification")
        X = columns.matrix(frame)
    if model.task == "classification" and labels is None:
        y = class_numbers(model, y, str(path))
    else:
        y = encode_targets(y, model.task, labels, len(model.class_names), f"{path}: {target[0]}")
    return Labelled(str(path), "all", X, y, np.flatnonzero(kept))


def _of_splits(
    model: Model, path: Path, split: str | None, shades: tuple[float, float] | None, note: Note
) -> Labelled:
    """Return the rows of a file or a folder that may have several splits."""
    splits: dict[str, tuple[NDArray[Any], Any]] = {}
    names, has_weights = None, False
    if path.suffix.lower() == ".npz":
        splits, names, has_weights = npz.splits_of(path, note)
    elif path.is_dir() and npy_folder.holds_arrays(path):
        splits, names, has_weights = npy_folder.splits_of(path, note)
    elif path.is_dir():
        if model.task != "classification":
            raise InputError(f"{path} is for classification, but the model is for {model.task}: give numbers")
        if model.image_shape is None:
            raise InputError(
                f"{path} has images, but the model takes rows of {model.num_features} "
                f"numbers: give a file of such rows"
            )
        if shades is None and model.row_range is not None:
            shades = 0.0, model.row_range.white()
        splits |= images.splits_of(path, model.image_shape, note)
        splits = {of: (shaded(X, *(shades or (0.0, 255.0))), y) for of, (X, y) in splits.items()}
    else:
        raise InputError(f"{path} is not a data set: give a {datasets.KINDS}")
    if split is not None and (split not in splits or len(splits) == 1):
        there = f"only {', '.join(splits)}" if len(splits) > 1 else "only one set of rows"
        raise InputError(f"{path} has no {split} rows, {there}: drop --split or give another")
    chosen = splits if split is None else {split: splits[split]}
    if has_weights:
        note(UNWEIGHTED.format(path))
    for X, _ in chosen.values():
        if X.shape[1] != model.num_features:
            raise InputError(
                f"{path} has {X.shape[1]} features, but the model takes {model.num_features}: give "
                "--dataset a file like the training data"
            )
    ys = [_targets(model, y, f"{path}", names) for _, y in chosen.values()]
    X = (
        next(iter(chosen.values()))[0]
        if len(chosen) == 1
        else np.concatenate([X for X, _ in chosen.values()])
    )
    return Labelled(str(path), split or "all", X, ys[0] if len(ys) == 1 else np.concatenate(ys))


def _targets(model: Model, y: Any, what: str, names: Sequence[str] | None) -> NDArray[Any]:
    if model.task == "classification":
        return class_numbers(model, y, what, names)
    return encode_targets(y, model.task, None, len(model.class_names), f"{what}: y")


def class_numbers(
    model: Model, y: Any, what: str, class_names: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Return the class numbers of rows in a model, which may have more classes than occur here.

    Parameters
    ----------
    model
        The model with the classes.
    y
        Labels in a file, or class numbers.
    what
        The name of the file in messages.
    class_names
        The names of numbered classes, if the file has them.

    Raises
    ------
    InputError
        A label is not a class of the model.
    """
    y = as_targets(y, f"{what}: y")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(f"{what}: y has shape {y.shape}: give one label for each row")
    labels, known = find_labels({f"{what}: y": y}), model.class_names
    if class_names is not None and any(label not in range(len(class_names)) for label in labels):
        raise InputError(
            f"{what}: y must hold numbers from 0 to {len(class_names) - 1}: correct class_names or y"
        )
    names = [str(label) if class_names is None else class_names[label] for label in labels]
    fits = [name in known for name in names]
    by_name = any(fits)
    # Without labels, the classes are 0, 1, …, possibly with names, as in CIFAR-10. Text labels have no
    # numbers: their alphabetical order does not say what a file means by 0.
    if not by_name and model.labels is None:
        fits = [type(label) is int and 0 <= label < len(known) for label in labels]
    if not all(fits):
        raise InputError(
            f"{what} has the label {labels[fits.index(False)]!r:.60}, which is not a class of the model: "
            "give --dataset a file like the training data"
        )
    number = {
        label: known.index(name) if by_name else int(label) for label, name in zip(labels, names, strict=True)
    }
    return np.fromiter((number[label] for label in y.tolist()), np.int64, len(y))


def _are_those_of(found: Labelled, path: Path, config: Config, trained_on: str | None) -> bool:
    """Return whether a file holds the data of the run, judged by their checksum, wherever the file is."""
    if trained_on is None or len(found.y) < 2:
        return False
    if path.is_dir() and not (Path(config.dataset).is_dir() and path.samefile(config.dataset)):
        return False  # copies of many images are rare, and checking would take long
    with contextlib.suppress(InputError):
        data = datasets.load(path, reading=config.reading, note=silent)
        return subset_of(config, data).checksum() == trained_on
    return False
