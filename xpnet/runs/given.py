"""From the arguments of a Python call to settings and a data set."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xpnet import recipes
from xpnet.columns.tabular import as_array, is_frame
from xpnet.data.likeness import other_order, other_scale
from xpnet.datasets import Dataset
from xpnet.datasets.arrays import assemble, image_shape_of, suits_images
from xpnet.datasets.npy_rows import NpyRows
from xpnet.datasets.reading import OF_COLUMNS, Reading, refuse_unused, stay_on_disk
from xpnet.datasets.tables import from_frame, tell_of_targets
from xpnet.datasets.targets import labelled
from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.reporting.live import in_notebook
from xpnet.runs.config import Config
from xpnet.runs.defaults import usual_recipe
from xpnet.runs.keywords import warn_in_python
from xpnet.runs.ranges import check_fraction
from xpnet.runs.settings import read_file, yielding
from xpnet.runs.starting import inherited
from xpnet.values import shown
from xpnet.warn import warn

__all__ = ["ARRAYS", "what_is_given"]

ARRAYS = ("X_val", "y_val", "X_test", "y_test", "sample_weight")
"""Keywords of `xpnet.fit` that are not settings but parts of the data set."""


def what_is_given(
    X: Any,
    y: ArrayLike | None,
    arrays: Mapping[str, Any],
    recipe: str | None,
    file: Path | None,
    settings: Mapping[str, Any],
    swept: Mapping[str, Any] | None = None,
) -> tuple[Config, Dataset | None]:
    """Return the settings and the data set of a Python call; the data set is None if the settings name it.

    Parameters
    ----------
    X, y, recipe, settings
        As for `xpnet.fit`.
    arrays
        The other arrays of `xpnet.fit` by name.
    file
        File with the settings of a run to resume.
    swept
        For a sweep, the settings that vary, each with a tuple of its values. Recipes then do not ask for
        ensembles, or for anything that contradicts one of the values.

    Raises
    ------
    InputError
        The arrays do not make a data set; a data set or a name is given together with arrays, or is for
        another task; or a setting is invalid.
    """
    name = "data"
    if isinstance(X, Dataset | str | os.PathLike):
        name = X.name if isinstance(X, Dataset) else os.fspath(path_of(X))
        if beside := [of for of, array in {"y": y, **arrays}.items() if array is not None]:
            raise InputError(
                f"{name!r:.60} contains its own targets and weights: drop {beside[0]}, or give X as rows"
            )
    elif isinstance(X, list | tuple) and not is_frame(X):
        if y is None and len(X) == 2 and hasattr(X[0], "shape"):
            raise InputError("X is a pair of arrays: give X and y separately, as in xpnet.fit(*pair)")
        X = as_array(X, "X")
    elif X is None:
        raise InputError(
            "X is missing: give rows or the name of a data set; a resumed run needs the same data as before"
        )
    is_path = isinstance(X, str | os.PathLike)
    taken_over: tuple[Mapping[str, Any], bool] = ({}, False)
    if file is None:
        data_of_its_own = {"dataset": name} if is_path else {}
        taken_over = inherited({**settings, **data_of_its_own}, recipe is None, arrays=not is_path)
    if recipe is None and file is None and not taken_over[1]:
        recipe = usual_recipe({"dataset": name})
        if recipe is not None and not is_path:
            shape = (
                X.image_shape
                if isinstance(X, Dataset)
                else image_shape_of(() if is_frame(X) else np.shape(X))
            )
            recipe = "images" if suits_images(shape) else "table"
    layers: list[Any] = [{"quiet": not in_notebook()}]
    if recipe is not None:
        said = {**settings, **(swept or {})}
        layers.append(yielding(read_file(recipes.path(recipe), Config), said, Config, several=swept or ()))
    layers += [taken_over[0]]
    layers += [] if swept is None else [{"ensemble": 1, "bagging": False}]
    layers += [file] if file is not None else []
    # Even if a recipe or other settings name another data set.
    if str(settings.get("dataset", name)) != name:
        raise InputError(f"X is {name}, but dataset is {shown(settings['dataset'])}: leave out dataset")
    config = Config.of(*layers, **{**settings, "dataset": name})
    check_fraction(settings, name, isinstance(X, Dataset) or arrays["X_val"] is not None)
    if is_path:
        return config, None
    reading = config.reading
    if isinstance(X, Dataset):
        refuse_unused(name, reading)
        if config.task not in (None, X.task):
            raise InputError(f"{name!r:.60} is for {X.task}, not {shown(config.task)}: leave out the task")
        return config, X
    is_table = is_frame(X) or any(getattr(reading, said) for said in OF_COLUMNS)  # an array's are 0, 1, 2, …
    of_files = ["rows_in"] if _is_mapped(X) and not is_table else []
    refuse_unused(name, reading, *OF_COLUMNS, *of_files)
    if y is None and not is_table:
        raise InputError("X is an array without targets: give y, too")
    given = {key: array for key, array in {"X": X, "y": y, **arrays}.items() if array is not None}
    if not is_table:
        given |= _on_disk(given, name, reading)
    for note in (
        other_order(X, {"y": y, "sample_weight": arrays["sample_weight"]}),
        other_order(arrays["X_val"], {"y_val": arrays["y_val"]}, "X_val"),
        other_order(arrays["X_test"], {"y_test": arrays["y_test"]}, "X_test"),
    ):
        if note:
            warn(note)
    if y is not None:
        given = labelled(given, name, warn_in_python, config.task)
    if is_table:
        data = from_frame(given.pop("X"), given, name, reading, warn_in_python)
    else:
        data = assemble(given, name, reading, note=warn_in_python)
        tell_of_targets(data, config.task, warn_in_python)
    if arrays["X_val"] is not None and (note := other_scale(data.X_train, data.X_val)):
        warn(note)
    return config, data


def _is_mapped(X: Any) -> bool:
    """Return whether an array is memory-mapped from a file; a copy of one has the same type, but no file."""
    return isinstance(X, np.memmap) and X.filename is not None


def _on_disk(given: Mapping[str, Any], name: str, reading: Reading) -> dict[str, Any]:
    """Return memory-mapped arrays as rows on disk, if the settings say so."""
    mapped = {key: X for key, X in given.items() if key[0] == "X" and _is_mapped(X)}
    # Arrays that are not in a file in this form stay in memory, unless the settings forbid it.
    of_files = all(X.flags.c_contiguous and X.mode != "c" for X in mapped.values())
    if "X" not in mapped or not (of_files or reading.rows_in == "disk"):
        return {}
    size = sum(X.nbytes for X in mapped.values())
    if not stay_on_disk(name, size, reading.rows_in, warn_in_python):
        return {}
    return {key: NpyRows(f"{name}: {key}", X) for key, X in mapped.items()}
