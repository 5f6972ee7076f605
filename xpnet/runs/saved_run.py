"""A run folder, or a saved model, as the commands take it that use what was trained."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xpnet import datasets
from xpnet.datasets import Dataset
from xpnet.errors import InputError
from xpnet.runs.config import Config
from xpnet.runs.model_file import load_model
from xpnet.runs.settings import read_file
from xpnet.training.model import Model

__all__ = ["SavedRun", "open_run"]


@dataclass(frozen=True)
class SavedRun:
    """A trained model and the folder that it is in.

    Attributes
    ----------
    folder
        With the files of the run, if the model is still among them.
    path
        File of the model.
    model
        What it holds.
    """

    folder: Path
    path: Path
    model: Model

    def settings(self) -> dict[str, Any]:
        """Return the settings in the ``config.json`` beside the model; none if it isn't there.

        Raises
        ------
        InputError
            It is damaged.
        """
        path = self.folder / "config.json"
        return read_file(path, Config) if path.is_file() else {}

    def dataset(self, name: str | None, data_dir: str | None, progress: bool) -> Dataset:
        """Load the data set that is named, or else that of the run, and see that it fits the model.

        Parameters
        ----------
        name, data_dir, progress
            As for `xpnet.datasets.load`; None for those of the run.

        Raises
        ------
        InputError
            There is none, it cannot be used, or it is not one for this model.
        """
        if name is None:
            try:
                settings = self.settings()
            except InputError as error:
                raise InputError(f"{error}; or name the data set with --dataset") from error
            name, data_dir = settings.get("dataset"), data_dir or settings.get("data_dir")
        if name is None:
            raise InputError(f"there is no config.json beside {self.path}: name the data set with --dataset")
        task, names = self.model.task, self.model.class_names
        # Of a file the targets alone may not tell, as of whole numbers to predict.
        data = datasets.load(name, data_dir, progress=progress, task=task if Path(name).suffix else None)
        if data.task != task:
            raise InputError(
                f"{data.name} is for {data.task} and the model for {task}: "
                "give --dataset one like that which it was trained on"
            )
        for what, has, takes in (
            ("features", data.num_features, self.model.num_features),
            (
                "classes" if task == "classification" else "outputs",
                data.num_outputs,
                len(self.model.class_names),
            ),
        ):
            # A file of a user's own may hold rows of the first classes only.
            if has > takes or (has < takes and what != "classes"):
                raise InputError(
                    f"{data.name} has {has} {what} and the model {takes}: "
                    "give --dataset one like that which it was trained on"
                )
        return _renumbered(data, names)


def _renumbered(data: Dataset, class_names: tuple[str, ...]) -> Dataset:
    """Return data with the class numbers of a model, which may know more classes than the data have.

    Raises
    ------
    InputError
        A label is no class of the model.
    """
    if data.task != "classification":
        return data
    labels = range(data.num_classes) if data.labels is None else data.labels
    fits = [name in class_names for name in data.class_names]
    by_name = any(fits)
    if not by_name:  # of a model whose classes have names of their own, a file may hold the numbers
        fits = [isinstance(label, int) and 0 <= label < len(class_names) for label in labels]
    if not all(fits):
        raise InputError(
            f"{data.name} has the label {labels[fits.index(False)]!r:.60}, which is no class of the "
            "model: give --dataset one like that which it was trained on"
        )
    numbers = [class_names.index(name) for name in data.class_names] if by_name else list(labels)
    if numbers == list(range(len(numbers))):
        return data
    number = np.array(numbers, np.int64)
    return replace(
        data,
        y_train=number[data.y_train],
        y_val=number[data.y_val],
        y_test=None if data.y_test is None else number[data.y_test],
        class_names=class_names,
        labels=None,
    )


def open_run(path: str) -> SavedRun:
    """Load the model of a run.

    Parameters
    ----------
    path
        Run folder, folder of a sweep (for the run in its ``best``), or model file.

    Raises
    ------
    InputError
        There is none, or it is damaged.
    """
    given = Path(path)
    if not (given / "model.safetensors").exists() and (given / "best").is_dir():
        given /= "best"
    file = given / "model.safetensors" if given.is_dir() else given
    return SavedRun(file.parent, file, load_model(file))
