"""A saved run, as commands open it: its model, and the data to evaluate it on."""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xpnet import datasets
from xpnet.datasets import Dataset
from xpnet.datasets.reading import Note, silent
from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.runs.checkpoints import NAME as CHECKPOINT
from xpnet.runs.checkpoints import has_checkpoint
from xpnet.runs.config import Config
from xpnet.runs.labelled import UNWEIGHTED, Labelled, class_numbers, is_file, is_lasting, labelled_rows
from xpnet.runs.model_file import load_model
from xpnet.runs.names import to_resume
from xpnet.runs.settings import read_file
from xpnet.runs.subset import subset_of
from xpnet.training.model import Model
from xpnet.values import shown

__all__ = ["UNKNOWN", "SavedRun", "damaged", "open_run", "renumbered", "summary_in"]

UNKNOWN = "unknown"
"""The data set of a run whose settings are missing."""


@dataclass(frozen=True)
class SavedRun:
    """A trained model and the folder that it is in.

    Attributes
    ----------
    folder
        Folder of the run's files, if the model is in it.
    path
        File of the model.
    model
        The model in the file.
    """

    folder: Path
    path: Path
    model: Model

    def settings(self) -> dict[str, Any]:
        """Return the settings in the ``config.json`` beside the model; none if it is missing.

        Raises
        ------
        InputError
            If it is damaged.
        """
        path = self.folder / "config.json"
        return read_file(path, Config) if path.is_file() else {}

    def rows(
        self,
        name: str | None,
        data_dir: str | None,
        split: str | None,
        *,
        target: Sequence[str] = (),
        header: bool | None = None,
        shades: tuple[float, float] | None = None,
        progress: bool = False,
        note: Note = silent,
    ) -> Labelled:
        """Load rows to evaluate the model on: a split of the run's data, or a named file.

        Parameters
        ----------
        name, data_dir, progress, note
            As for `xpnet.datasets.load`; None for the data of the run.
        split
            ``"train"``, ``"val"`` or ``"test"``; by default test if there are such rows, else val. A named
            file is evaluated as a whole, unless it has several splits and one of them is requested.
        target
            Target columns of a table; by default those of the run.
        header
            Whether the first line of a named text file holds the column names; None to detect it.
        shades
            For a folder of images, the values of black and white in the rows of the model.

        Raises
        ------
        InputError
            There is no such data set, it cannot be used, or it does not fit this model.
        """
        if name is not None and is_file(name):
            config = Config.of({"dataset": UNKNOWN})
            with contextlib.suppress(InputError):  # damaged settings: the file may not need them
                config = Config.of({"dataset": UNKNOWN}, self.settings())
            return labelled_rows(
                self.model,
                config,
                Path(name),
                split,
                target=target,
                header=header,
                trained_on=self._trained_on(),
                shades=shades,
                note=note,
            )
        for what, value in {"target": target or None, "header": header}.items():
            if value is not None:
                raise InputError(f"--{what} applies to a table given with --dataset: drop it")
        data = self.dataset(name, data_dir, progress, note)
        split = split or ("val" if data.X_test is None else "test")
        X, y = getattr(data, f"X_{split}"), getattr(data, f"y_{split}")
        if X is None:
            raise InputError(f"{data.name} has no test rows: use --split val")
        if getattr(data, f"weight_{split}", None) is not None:
            note(UNWEIGHTED.format(data.name))
        # Of rows on the disk they may be int8, and who measures multiplies them.
        y = y.astype("int64") if data.task == "classification" else y
        return Labelled(data.name, split, X, y, data.held_out if split == "val" else None)

    def _trained_on(self) -> str | None:
        """Return the checksum of the data of the run, if it is known."""
        with contextlib.suppress(InputError):  # a damaged summary must not prevent anything else
            return summary_in(self.folder / "summary.json").get("data")
        return None

    def dataset(self, name: str | None, data_dir: str | None, progress: bool, note: Note = silent) -> Dataset:
        """Load the named data set, or else that of the run, and check that it fits the model.

        Parameters
        ----------
        name, data_dir, progress, note
            As for `xpnet.datasets.load`; None for those of the run.

        Raises
        ------
        InputError
            There is none, it cannot be used, or it does not fit this model.
        """
        task, own = self.model.task, name is None
        settings: Mapping[str, Any] = {}
        if own:
            try:
                settings = self.settings()
            except InputError as error:
                raise InputError(f"{error}; or give the data set with --dataset") from error
            name, data_dir = settings.get("dataset"), data_dir or settings.get("data_dir")
        if name is None:
            raise InputError(f"there is no config.json beside {self.path}: give the data set with --dataset")
        if own and not is_lasting(name):
            raise InputError(
                f"{self.path.parent} was trained on data given in Python, which runs do not keep: give "
                "rows with --dataset"
            )
        config = Config.of(settings)
        reading = config.reading
        if Path(name).suffix or datasets.is_folder_of_rows(
            name
        ):  # the targets of a file may not tell, for example integers in a regression
            reading = replace(reading, task=task)
        is_folder = Path(name).is_dir() and not datasets.is_folder_of_rows(name)
        if self.model.image_shape is not None and is_folder:
            height, width, channels = self.model.image_shape
            reading = replace(reading, size=(height, width), channels=channels)
        data = datasets.load(name, data_dir, progress, reading, note)
        if data.task != task:
            raise InputError(
                f"{data.name} is for {data.task}, but the model is for {task}: give --dataset a file like "
                "the training data"
            )
        if own and (config.train_rows or 0) <= len(data.X_train):  # else it has changed
            data = subset_of(config, data)
        if own and data.columns != self.model.columns:
            raise InputError(f"{data.name} has changed since the run: give rows to evaluate with --dataset")
        if own and self._trained_on() not in (None, data.checksum()):
            note(f"{data.name} has changed since the run: the rows evaluated may include training rows")
        features, outputs = self.model.num_features, len(self.model.class_names)
        what = "classes" if task == "classification" else "outputs"
        for has, takes, kind in (
            (data.num_features, features, "features"),
            (data.num_outputs, outputs, what),
        ):
            # Data that have changed since may have fewer classes.
            if has > takes or (has < takes and kind != "classes"):
                raise InputError(
                    f"{data.name} has {has} {kind}, but the model has {takes}: give --dataset a file like "
                    "the training data"
                )
        return renumbered(data, self.model)


def renumbered(data: Dataset, model: Model) -> Dataset:
    """Return data with the class numbers of a model, in case the classes are in another order.

    Raises
    ------
    InputError
        A label is not a class of the model.
    """
    if data.task != "classification" or data.class_names == model.class_names:
        return data
    labels = range(data.num_classes) if data.labels is None else data.labels
    number = class_numbers(model, list(labels), data.name, None if data.labels else data.class_names)
    return replace(
        data,
        y_train=number[data.y_train],
        y_val=number[data.y_val],
        y_test=None if data.y_test is None else number[data.y_test],
        class_names=model.class_names,
        labels=model.labels,
    )


def open_run(path: str | os.PathLike[str]) -> SavedRun:
    """Load the model of a run.

    Parameters
    ----------
    path
        Run folder, folder of a sweep (for the run in its ``best``), or model file.

    Raises
    ------
    InputError
        There is no model, or it is damaged.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a run is loaded from a path, not from {shown(path)}: give its folder")
    given = path_of(path)
    if not (given / "model.safetensors").exists() and (given / "best").is_dir():
        given /= "best"
    file = given / "model.safetensors" if given.is_dir() else given
    if CHECKPOINT.fullmatch(given.name) and given.is_file():
        raise InputError(
            f"{given} is a checkpoint, not a model: resume its run with {to_resume(given.parent)}"
        )
    if given.is_dir() and not file.exists() and has_checkpoint(given):
        raise InputError(
            f"the run in {given} was interrupted and has a checkpoint, but no model yet: finish it "
            f"with {to_resume(given)}"
        )
    return SavedRun(file.parent, file, load_model(file))


def summary_in(path: Path) -> dict[str, Any]:
    """Return the content of ``summary.json``; empty if it does not exist."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"status": str, "device": str, "backend": str, "steps": int, "seconds": float}
        if all(isinstance(found[name], kind) for name, kind in kinds.items()):
            return dict(found)
        raise ValueError("a value in it has the wrong type")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> InputError:
    """Return the error for a file of a run that cannot be read."""
    reason = " ".join(str(error).split())[:200]
    return InputError(f"{path} cannot be read ({reason}): delete it; the rest of the run still loads")
