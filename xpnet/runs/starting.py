"""Warm starts: a run that starts from the network and preprocessing of another (``--init-from``)."""

import os
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import Columns
from xpnet.columns.tabular import flag as column_flag
from xpnet.columns.tabular import listed
from xpnet.data.preprocessing import Preprocessing
from xpnet.datasets import Dataset, kind_of
from xpnet.datasets.frames import is_table
from xpnet.datasets.reading import SETTINGS
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.runs.config import Config
from xpnet.runs.load import settings_of
from xpnet.runs.names import flag
from xpnet.runs.preparation import Prepared, prepare
from xpnet.runs.saved import open_run, renumbered
from xpnet.runs.settings import kinds_of
from xpnet.training.first_rows import unlike_the_first
from xpnet.training.model import Model
from xpnet.values import shown

__all__ = ["begin_with", "inherited", "model_of", "prepared_for", "unlike_its_rows"]

NETWORK = ("hidden", "activation", "norm", "residual", "ensemble", "preprocess")
"""Settings that must be the same for the weights to fit."""

DETAILS = tuple(f.name for f in fields(Preprocessing) if f.name in kinds_of(Config))
"""Settings of the preprocessing, which is taken over as fitted; they need not be given."""

OF_MACHINES = ("device", "backend", "precision", "compile")

OF_FILES = ("checkpoint_every", "tensorboard", "weights_image")
"""Settings for files that a run writes besides its network."""


def inherited(
    given: Mapping[str, Any], whole: bool = True, several: Collection[str] = (), arrays: bool = False
) -> tuple[dict[str, Any], bool]:
    """Return the settings that a run inherits from the one it starts from, and whether these are all.

    Parameters
    ----------
    given
        Settings from the user and from files.
    whole
        Whether to inherit all settings of the other run, if they are known, or only those of its network.
    several
        As for `xpnet.runs.settings.layered`.
    arrays
        Whether the data are given as arrays or frames, not by name.

    Raises
    ------
    InputError
        There is no such run.
    """
    path = given.get("init_from")
    if not isinstance(path, str | os.PathLike):  # if it is not None, `Config` says what is wrong
        return {}, False
    run = open_run(path)
    model, of_network = run.model, settings_of(run.model)
    values = {name: getattr(of_network, name) for name in (*NETWORK, *DETAILS, "averaging", "dtype")}
    own = run.settings() if whole else {}
    if own:
        left_out = {*OF_MACHINES, *OF_FILES, *SETTINGS, "dataset", "data_dir", "train_rows", "init_from"}
        values = {name: value for name, value in own.items() if name not in left_out} | values
        data = given.get("dataset")
        if data is None and not arrays:
            of_data = ("dataset", "data_dir", "train_rows", *SETTINGS)
            values |= {name: own[name] for name in of_data if name in own}
        elif arrays or Path(str(data)).suffix:
            values["task"] = model.task
        if data is not None and not arrays and _are_alike(str(data), own.get("dataset", "")):
            values |= {name: own[name] for name in SETTINGS if name in own}
    return {name: (value,) if name in several else value for name, value in values.items()}, bool(own)


def _are_alike(data: str, other: str) -> bool:
    """Return whether the settings for one data set also apply to another."""
    if is_table(Path(data)) or is_table(Path(other)):
        return is_table(Path(data)) and is_table(Path(other))
    return Path(data).is_dir() and kind_of(other) == "images"


def model_of(config: Config) -> Model | None:
    """Return the model from which a run with these settings starts; None for none."""
    return None if config.init_from is None else open_run(config.init_from).model


def begin_with(model: Model, config: Config, data: Dataset) -> tuple[Config, Dataset]:
    """Return settings and data adapted to the network of a model.

    Columns get its order and category codes, and classes get its numbers.

    Raises
    ------
    InputError
        They do not fit the model; the message names what does not.
    """
    source, of_network = config.init_from, settings_of(model)
    for name in NETWORK + DETAILS:
        ours, theirs = getattr(config, name), getattr(of_network, name)
        usual = Config.__dataclass_fields__[name].default
        unsaid = name in DETAILS and (ours == usual or (name == "components" and not ours))
        if ours != theirs and not unsaid:
            words = theirs if not isinstance(theirs, tuple) else " ".join(map(str, theirs))
            if name == "ensemble" and theirs > 1:
                words = f"{words}, which a sweep does not take"
            raise InputError(
                f"{flag(name)} is {shown(ours)}, but {shown(theirs)} in {source}, which --init-from names: "
                f"give {flag(name)} {words}, or another --init-from"
            )
    config = replace(config, **{name: getattr(of_network, name) for name in DETAILS})
    if data.task != model.task:
        raise InputError(
            f"{data.name} is for {data.task}, but {source} is for {model.task}: start from another run"
        )
    data = _of_its_columns(data, model, source)
    if data.num_features != model.num_features or (data.image_shape or ()) != (model.image_shape or ()):
        theirs, ours = (each.image_shape or f"{each.num_features} features" for each in (model, data))
        raise InputError(
            f"{data.name} has rows of {ours}, but {source} was trained on {theirs}: give such rows"
        )
    if data.task == "classification":
        data = renumbered(data, model)
    elif data.num_outputs != len(model.class_names):
        raise InputError(
            f"{data.name} has {data.num_outputs} targets, but {source} predicts {len(model.class_names)}: "
            f"give {listed(model.class_names)}"
        )
    if config.mlp(model.preprocessing.output_features(data.num_features), model.mlp.sizes[-1]) != model.mlp:
        raise InputError(f"{source} was not trained by xpnet train or xpnet.fit: start from a run that was")
    return config, replace(data, class_names=model.class_names, labels=model.labels)


def unlike_its_rows(model: Model, data: Dataset) -> str:
    """Return a message if training rows vary in features that the model's preprocessing ignores."""
    known, columns = model.row_range, data.columns
    if known is None or model.preprocessing.contrast:
        return ""
    names = [str(k) if columns is None else columns.columns[k].name for k in range(data.num_features)]
    return unlike_the_first(model.fitted, known, data.X_train, names)


def prepared_for(config: Config, data: Dataset, device: Device) -> Prepared:
    """Return data ready for training, with the preprocessing of the model from which to start."""
    model = model_of(config)
    if model is not None:
        config, data = begin_with(model, config, data)
    return prepare(config, data, device, model)


def _of_its_columns(data: Dataset, model: Model, source: str | None) -> Dataset:
    """Return a table with the columns of a model."""
    now, then = data.columns, model.columns
    if now == then:
        return data
    if now is None or then is None:
        has = "is an array" if now is None else "is a table"
        raise InputError(
            f"{data.name} {has}, but {source} was trained on {'an array' if then is None else 'a table'}: "
            "give rows like those"
        )
    ours, theirs = ({column.name: column for column in columns.columns} for columns in (now, then))
    missing, unknown = [n for n in theirs if n not in ours], [n for n in ours if n not in theirs]
    if missing:
        raise InputError(f"{data.name} lacks columns that {source} was trained on: give {listed(missing)}")
    if unknown:
        raise InputError(
            f"{data.name} has columns that {source} was not trained on, {listed(unknown)}: "
            f"leave them out, for example with {column_flag('ignore', unknown[0])}"
        )
    for name, column in theirs.items():
        if (ours[name].kind, ours[name].part) != (column.kind, column.part):
            option = "categorical" if column.kind == "category" else "numeric"
            raise InputError(
                f"column {shown(name)} of {data.name} is a {ours[name].kind}, but a {column.kind} in "
                f"{source}: give {column_flag(option, name)}"
            )

    def recoded(X: NDArray[Any]) -> NDArray[Any]:
        return _recoded(X, now, then)

    X_test = None if data.X_test is None else recoded(data.X_test)
    return replace(
        data, X_train=recoded(data.X_train), X_val=recoded(data.X_val), X_test=X_test, columns=then
    )


def _recoded(X: NDArray[Any], now: Columns, then: Columns) -> NDArray[Any]:
    """Return rows in the order and with the codes of other columns of the same names."""
    place = {column.name: k for k, column in enumerate(now.columns)}
    made = np.empty_like(X)
    for k, column in enumerate(then.columns):
        values = X[:, place[column.name]]
        if column.kind == "category":
            code = {text: number for number, text in enumerate(column.categories)}
            # The last entry is for -1, which was not a category before either; NaN, for gaps, stays NaN.
            codes = np.array(
                [*(code.get(text, -1) for text in now.columns[place[column.name]].categories), -1], X.dtype
            )
            known = np.nan_to_num(values, nan=-1).astype(np.int64)
            values = np.where(np.isnan(values), values, codes[known])
        made[:, k] = values
    return made
