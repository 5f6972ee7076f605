"""The user's own table: columns of numbers, categories and dates, one or several of which are the target."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import Columns, likely_target, row_values, take_target, tell_of_floats
from xpnet.columns.tabular import Frame, as_array, as_frame, listed
from xpnet.datasets import parquet_rows
from xpnet.datasets.arrays import assemble, counted, refuse_name_of_weights
from xpnet.datasets.bar import Showing
from xpnet.datasets.base import Dataset
from xpnet.datasets.conversion import converted
from xpnet.datasets.frames import is_parquet, is_text, read_table
from xpnet.datasets.parquet_rows import Parts
from xpnet.datasets.readers import load_array
from xpnet.datasets.reading import Note, Reading, is_large, silent, stay_on_disk
from xpnet.errors import InputError
from xpnet.typing import Task
from xpnet.values import shown

__all__ = ["converted_if_large", "from_frame", "from_table", "tell_of_targets"]

MANY = 20
"""Integers are probably amounts, not classes, from this many distinct values on, and one in so many rows."""


def from_table(path: Path, reading: Reading, note: Note = silent, progress: Showing = False) -> Dataset:
    """Load a table from a file: CSV, TSV, Parquet or Arrow; or an array of columns 0, 1, 2 and so on.

    Parameters
    ----------
    path
        The file.
    reading
        The target columns, and other options.
    note
        Called with a sentence about what was guessed or left out.
    progress
        Show a bar on a terminal while a text file is converted.

    Raises
    ------
    InputError
        The file cannot be read, or does not make a data set.
    """
    large = converted_if_large(path, reading, note, progress)
    if large is not None:
        path, reading = large, replace(reading, header=None, rows_in="disk")
    if path.is_dir() or is_parquet(path):
        return from_frame(_of_parquet(path, reading, note), {}, str(path), reading, note)
    is_array = path.suffix.lower() == ".npy"
    if is_array and not path.is_file():
        raise InputError(f"there is no file {path}: check the path of the .npy file")
    if is_array:
        return from_frame(np.asarray(load_array(path)), {}, str(path), reading, note)
    frame = read_table(path, reading.header, note, said=reading.names)
    return from_frame(frame, {}, str(path), reading, note)


def from_frame(
    frame: Any, arrays: Mapping[str, Any], name: str, reading: Reading, note: Note = silent
) -> Dataset:
    """Make a data set from a table in memory.

    Parameters
    ----------
    frame
        Training rows: a pandas, polars or pyarrow data frame, a dict of columns, or an array of objects.
    arrays
        ``y``, unless it is among the columns, and other arguments of `xpnet.datasets.from_arrays`.
    name
        Name of the data in messages and summaries.
    reading
        The target columns, and other options.
    note
        Called with a sentence about what was guessed or left out.

    Raises
    ------
    InputError
        There is no target, or the columns do not make a data set.
    """
    given: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    frames, names = {"X": frame}, None
    frames |= {key: given.pop(key) for key in ("X_val", "X_test") if key in given}
    frames["X"] = as_frame(frame)
    if len(frames["X"]) == 1 and "X_val" not in frames:
        raise InputError(f"{name} has one row, which leaves none for validation: give at least two")
    of_rows = {what: getattr(reading, what) for what in ("group", "time") if getattr(reading, what)}
    if "y" not in given and not reading.target:
        likely = likely_target(frames["X"], {*of_rows.values(), *reading.ignore})
        if likely is None:
            raise InputError(f"{name}: which column is the target? Give its name: --target NAME")
        note(f"column {shown(likely)} is used as the target: give --target NAME for another")
        reading = replace(reading, target=(likely,))
    for what, column in of_rows.items():
        frames["X"].require([column], f"--{what}")
        if column in reading.target:
            raise InputError(f"{name}: --{what} {column} is the target: give another column")
    if set(reading.target) & set(reading.categorical):  # a categorical target means classes
        if reading.task not in (None, "classification"):
            raise InputError(f"{name}: --categorical names the target of a {reading.task}: leave it out")
        others = tuple(column for column in reading.categorical if column not in reading.target)
        reading = replace(reading, task="classification", categorical=others)
    if "y" in given and reading.target:
        raise InputError(f"{name}: the target is given twice, as y and as target: leave out one")
    if "y" not in given:
        kept: dict[str, NDArray[np.bool_]] = {}
        for key in frames:
            y = f"y{key[1:]}"
            classes, whole = reading.task == "classification", frames[key]
            frames[key], given[y], kept[key] = take_target(frames[key], reading.target, note, classes)
            if key == "X" and reading.task is None and len(reading.target) == 1:
                tell_of_floats(whole, reading.target[0], given[y], note)
        names = reading.target
        reading = replace(reading, task=_task_of_several(name, given["y"], reading))
        if "sample_weight" in given:
            refuse_name_of_weights(name, given["sample_weight"])
            weight = as_array(given["sample_weight"], f"{name}: sample_weight")
            # Another shape is refused later.
            given["sample_weight"] = weight[kept["X"]] if weight.shape == kept["X"].shape else weight
    given, _ = counted({**given, "X": frames["X"]}, name)
    frames["X"] = given.pop("X")
    if "X_val" in frames and of_rows:
        raise InputError(f"{name}: the validation rows are given: drop --{next(iter(of_rows))}")
    values = {what: row_values(frames["X"], column) for what, column in of_rows.items()}
    if "time" in values and values["time"].dtype.kind not in "iufM":
        raise InputError(
            f"{name}: --time {reading.time} holds no times: write dates as 2020-12-31, or numbers"
        )
    ignore = (*reading.ignore, *([reading.group] if reading.group else []))
    columns = Columns.infer(
        frames["X"],
        categorical=reading.categorical,
        numeric=reading.numeric,
        ignore=ignore,
        note=note,
        times=[reading.time] if reading.time else (),
    )
    for key, each in frames.items():
        rows = parquet_rows.stored(each, columns)
        given[key] = columns.matrix(each) if rows is None else rows
    if frames["X"].rows is not None:
        given["rows"] = given["rows"][frames["X"].rows] if "rows" in given else frames["X"].rows
    data = assemble(
        given,
        name,
        reading,
        own=("X",),
        columns=columns,
        output_names=names,
        groups=values.get("group"),
        times=values.get("time"),
        note=note,
    )
    if data.task == "classification":
        _tell_of_unseen(data, note)
    tell_of_targets(data, reading.task, note)
    return data


def converted_if_large(path: Path, reading: Reading, note: Note, progress: Showing = False) -> Path | None:
    """Return the Parquet file to which a large text table is converted; None for any other table.

    Parameters
    ----------
    path, reading, note, progress
        As for `from_table`.

    Raises
    ------
    InputError
        The text cannot be read, or the file cannot be written.
    """
    if not (is_text(path) and path.is_file()) or reading.rows_in == "memory":
        return None
    # In memory, a text table takes several times its size.
    size = (32 if path.suffix.lower() == ".gz" else 4) * path.stat().st_size
    if reading.rows_in == "auto" and not is_large(size):
        return None
    return converted(path, reading, note, progress)


def _of_parquet(path: Path, reading: Reading, note: Note) -> Frame:
    """Return the frame of one Parquet file or several, in memory or with columns read one by one."""
    parts = Parts(path)
    if stay_on_disk(str(path), 8 * parts.num_rows * len(parts.names), reading.rows_in, note):
        most = max(group.rows for group in parts.groups)
        together = parquet_rows.BUFFER // len(parts.names)
        if together < parts.num_rows:
            note(
                f"rows are shuffled by row groups, about {together:,} at a time: shuffle the table "
                f"first if it is sorted"
            )
        if 8 * most * len(parts.names) > parquet_rows.LARGE:
            few = parquet_rows.LARGE // (32 * len(parts.names))
            note(f"{path} has row groups of {most:,} rows: write it with {few:,} to save memory")
        return parquet_rows.frame_of(parts)
    return parts.whole()


def tell_of_targets(data: Dataset, task: Task | None, note: Note) -> None:
    """Tell of targets that are the same in every row, and of classes that are many for their rows.

    The latter are amounts, if they are whole numbers, or names.

    Parameters
    ----------
    data
        The data set.
    task
        The task that the user gave, if any.
    note
        Called with a sentence.
    """
    low, high = (of([of(y, axis=0) for y in (data.y_train, data.y_val)], axis=0) for of in (np.min, np.max))
    if (low == high).all():
        note("every row has the same target, so there is nothing to learn: give another target")
    if data.task != "classification":
        return
    rows, count = len(data.X_train) + len(data.X_val), data.num_classes
    are_whole = isinstance((data.labels or (0,))[0], int)
    are_whole &= data.class_names == tuple(map(str, data.labels or range(count)))  # classes without names
    if task is None and are_whole and count > max(MANY, rows / MANY):
        note(f"{count} classes in {rows:,} rows: use --task regression if these are numbers to predict")
    elif count > MANY and 2 * count > rows:
        note(f"{count} classes in {rows:,} rows, too few of each to learn from: give another target")


def _tell_of_unseen(data: Dataset, note: Note) -> None:
    """Note classes that only validation rows have, which cannot be predicted."""
    unseen = np.setdiff1d(data.y_val, data.y_train)
    if len(unseen):
        names = listed([data.class_names[k] for k in unseen])
        note(f"classes that only validation rows have: {names}; add training rows of each")


def _task_of_several(name: str, y: NDArray[Any], reading: Reading) -> Task | None:
    """Return the task of several target columns if it is clear: regression for integers beyond 0 and 1.

    Raises
    ------
    InputError
        A column is named twice, or several hold text.
    """
    if len(set(reading.target)) < len(reading.target):
        raise InputError(f"{name}: --target names a column twice: drop one")
    if reading.task is not None or y.ndim < 2 or y.shape[1] < 2:
        return reading.task
    if y.dtype.kind == "O":
        raise InputError(f"{name}: several --target columns must hold numbers: give one column, or numbers")
    return "regression" if y.dtype.kind in "iu" and not np.isin(y, (0, 1)).all() else None
