"""Saved models: one safetensors file with the arrays and their description."""

import json
import os
import reprlib
import textwrap
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.columns import Columns
from xpnet.data.preprocessing import Preprocessing
from xpnet.data.views import Views, check_views
from xpnet.device import dtype_name, to_numpy
from xpnet.errors import InputError
from xpnet.files import replacing
from xpnet.nn.mlp import MLP
from xpnet.training.intervals import Calibration
from xpnet.training.model import Model
from xpnet.training.outputs import Link, check_outputs
from xpnet.training.row_range import RowRange
from xpnet.training.scale import Scale
from xpnet.typing import Task

__all__ = ["load_model", "save_model"]

FORMAT = 5
"""Version of the description."""

BEFORE: dict[int, dict[str, Any]] = {
    2: {"task": "classification", "labels": None, "has_target": False},
    3: {"columns": None, "ratios": 0},
    4: {"row_range": None, "link": "identity"},
}
"""Values that each earlier version implied, without recording them."""

PREFIX = "preprocessing."
"""Prefix of the arrays of the fitted preprocessing."""

TARGET = "target."
"""Prefix of the mean and scale of the targets."""

CALIBRATION = "calibration."
"""Prefix of the errors of a regression on its validation rows."""

RANGE = "range."
"""Prefix of the lowest and highest value of each feature in the training rows."""

_FIX = "give the model.safetensors of a run, or train again"
_DTYPES = {"float32": "F32", "float64": "F64"}  # NumPy's names, and those in the file


class _Description(NamedTuple):
    """The description of the model, stored as JSON in the metadata of the file."""

    format: int
    mlp: MLP
    networks: int | None
    dtype: str
    num_features: int
    preprocessing: Preprocessing
    averaging: Views
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None
    task: Task
    labels: tuple[Any, ...] | None
    has_target: bool
    columns: Columns | None
    ratios: int
    row_range: dict[str, Any] | None
    link: Link
    crc32: str = ""

    @classmethod
    def of_model(cls, model: Model) -> "_Description":
        """Describe a model."""
        known = model.row_range
        return cls(
            FORMAT,
            model.mlp,
            model.networks,
            dtype_name(model.params["W1"]),
            model.num_features,
            model.preprocessing,
            model.averaging,
            model.class_names,
            model.image_shape,
            model.task,
            None if model.labels is None else tuple(map(_plain, model.labels)),
            model.target is not None,
            model.columns,
            0 if model.calibration is None else len(model.calibration.ratio),
            None if known is None else {"kind": known.kind, "gaps": np.flatnonzero(known.gaps).tolist()},
            model.link,
        )

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> "_Description":
        """Return the description with these fields; any exception if they are something else."""
        image_shape = found["image_shape"]
        if image_shape is not None:
            height, width, channels = image_shape
            image_shape = (int(height), int(width), int(channels))
        check_views(found["averaging"], image_shape)
        of_mlp = found["mlp"] | {"sizes": tuple(map(int, found["mlp"]["sizes"]))}
        description = cls(
            FORMAT,
            MLP(**of_mlp),
            None if found["networks"] is None else int(found["networks"]),
            found["dtype"],
            int(found["num_features"]),
            _preprocessing(found["preprocessing"], int(found["num_features"])),
            found["averaging"],
            tuple(map(str, found["class_names"])),
            image_shape,
            found["task"],
            None if found["labels"] is None else tuple(map(_plain, found["labels"])),
            bool(found["has_target"]),
            None if found["columns"] is None else Columns.from_json(found["columns"]),
            int(found["ratios"]),
            _row_range(found["row_range"], int(found["num_features"])),
            found["link"],
            found["crc32"],
        )
        check_outputs(
            description.mlp,
            description.task,
            description.class_names,
            description.labels,
            description.has_target,
            description.link,
        )
        if description.preprocessing.output_features(description.num_features) != description.mlp.sizes[0]:
            raise ValueError("the preprocessing does not fit the network")
        columns = description.columns
        if columns is not None and len(columns.columns) != description.num_features:
            raise ValueError("the columns do not fit the preprocessing")
        description.arrays()
        return description

    def as_dict(self) -> dict[str, Any]:
        """Return the description as plain data for JSON."""
        return self._asdict() | {
            "mlp": asdict(self.mlp),
            "preprocessing": asdict(self.preprocessing),
            "columns": None if self.columns is None else self.columns.as_json(),
        }

    def arrays(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return dtype and shape of each array."""
        nets = () if self.networks is None else (self.networks,)
        dtype = _DTYPES[self.dtype]
        params = {name: (dtype, (*nets, *shape)) for name, shape in self.mlp.shapes.items()}
        fitted = self.preprocessing.shapes(self.num_features)
        exact = {f"{PREFIX}{name}": shape for name, shape in fitted.items()}
        if self.has_target:
            exact |= {f"{TARGET}{name}": self.mlp.sizes[-1:] for name in Scale._fields}
        if self.ratios:
            exact[f"{CALIBRATION}noise"] = self.mlp.sizes[-1:]
            exact[f"{CALIBRATION}ratio"] = (self.ratios, *self.mlp.sizes[-1:])
        if self.row_range is not None:
            exact |= {f"{RANGE}{name}": (self.num_features,) for name in ("low", "high")}
        return params | {name: (_DTYPES["float64"], shape) for name, shape in exact.items()}


def save_model(path: Path, model: Model) -> None:
    """Save a model for `load_model`, or for any reader of safetensors.

    Parameters
    ----------
    path
        File to create or replace.
    model
        The model.

    Raises
    ------
    InputError
        A label is not an int, string, bool or float.
    OSError
        The file cannot be written.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(to_numpy(value)) for name, value in model.params.items()}
    arrays |= {f"{PREFIX}{name}": np.ascontiguousarray(value) for name, value in model.fitted.items()}
    if model.target is not None:
        for name, value in model.target._asdict().items():
            arrays[f"{TARGET}{name}"] = np.ascontiguousarray(value, np.float64)
    if model.calibration is not None:
        for name, value in model.calibration._asdict().items():
            arrays[f"{CALIBRATION}{name}"] = np.ascontiguousarray(value, np.float64)
    if model.row_range is not None:
        arrays |= {f"{RANGE}low": model.row_range.low, f"{RANGE}high": model.row_range.high}
    described = _Description.of_model(model).as_dict()
    described["crc32"] = _checksum(described, arrays)
    # A single entry, because safetensors writes several in a different order each time, and the same model
    # should give the same file. To bytes first, because its own writing does not raise OSError on a full
    # disk.
    content = save(arrays, {"xpnet": json.dumps(described)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Load a model that `save_model` saved.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Model
        The model, with NumPy arrays, whatever device it was trained on.

    Raises
    ------
    InputError
        The file is missing or damaged, or an array does not match the description.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}: give the model.safetensors of a run")
    try:
        with safe_open(path, framework="np") as file:
            described, description = _read_description(path, file.metadata() or {})
            found = {
                name: (file.get_slice(name).get_dtype(), tuple(file.get_slice(name).get_shape()))
                for name in file.keys()  # noqa: SIM118 - not a dict: it cannot be iterated over
            }
            _compare(path, found, description.arrays())
            arrays = {name: file.get_tensor(name) for name in found}
    except (SafetensorError, OSError) as error:
        reason = textwrap.shorten(str(error), 300, placeholder="…")
        raise InputError(f"{path} cannot be read ({reason}): {_FIX}") from error
    if _checksum(described, arrays) != description.crc32:
        raise InputError(f"{path} is damaged (its checksum is wrong): {_FIX}")
    target = {name: arrays.pop(f"{TARGET}{name}") for name in Scale._fields if description.has_target}
    of_errors = Calibration._fields if description.ratios else ()
    calibration = {name: arrays.pop(f"{CALIBRATION}{name}") for name in of_errors}
    row_range = None
    if description.row_range is not None:
        gaps = np.isin(np.arange(description.num_features), description.row_range["gaps"])
        low, high = arrays.pop(f"{RANGE}low"), arrays.pop(f"{RANGE}high")
        row_range = RowRange(low, high, gaps, description.row_range["kind"])
    return Model(
        description.mlp,
        {name: value for name, value in arrays.items() if not name.startswith(PREFIX)},
        description.preprocessing,
        {name.removeprefix(PREFIX): value for name, value in arrays.items() if name.startswith(PREFIX)},
        description.class_names,
        description.image_shape,
        description.averaging,
        description.task,
        description.labels,
        Scale(**target) if target else None,
        Calibration(**calibration) if calibration else None,
        description.columns,
        row_range,
        description.link,
    )


def _read_description(path: Path, metadata: Mapping[str, str]) -> tuple[dict[str, Any], _Description]:
    """Return the description as stored in the file, for the checksum, and in parsed form."""
    if "xpnet" not in metadata:
        raise InputError(f"{path} was not written by xpnet: {_FIX}")
    try:
        found = json.loads(metadata["xpnet"])
        version = found["format"]
        if version == FORMAT or version in BEFORE:
            unsaid = {
                name: value
                for at, values in BEFORE.items()
                if at >= version
                for name, value in values.items()
            }
            return found, _Description.of_json(unsaid | found)
    except Exception as error:  # text that anyone may have written can fail in any way
        raise InputError(f"{path} is damaged (its description makes no sense): {_FIX}") from error
    raise InputError(
        f"{path} has format {reprlib.repr(version)}, but this version of xpnet reads 2 to {FORMAT}: "
        f"load it with the version that wrote it"
    )


def _preprocessing(found: Mapping[str, Any], num_features: int) -> Preprocessing:
    """Return the preprocessing with these fields; any exception if they are something else."""
    fields: dict[str, Any] = {
        name: tuple(map(int, value)) if isinstance(value, list) else value for name, value in found.items()
    }
    how = Preprocessing(**fields)
    of_table = how.kind == "table"
    if (how.sizes is not None) != of_table or (
        of_table and (len(how.sizes or ()) != 3 or min(how.sizes or (0,)) < 0)
    ):
        raise ValueError("the preprocessing does not have the sizes of a table")
    if how.categories is not None and len(how.categories) != num_features:
        raise ValueError("the preprocessing does not fit the columns")
    return how


def _row_range(found: Any, num_features: int) -> dict[str, Any] | None:
    """Return the description of the training rows; any exception if it is invalid."""
    if found is None:
        return None
    kind, gaps = found["kind"], [int(place) for place in found["gaps"]]
    if kind not in ("b", "u", "i", "f") or not all(0 <= place < num_features for place in gaps):
        raise ValueError("there are no such training rows")
    return {"kind": kind, "gaps": gaps}


def _compare(
    path: Path,
    found: Mapping[str, tuple[str, tuple[int, ...]]],
    expected: Mapping[str, tuple[str, tuple[int, ...]]],
) -> None:
    """Check that the arrays of a file have the names, dtypes and shapes that they should."""
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            is_there, should_be = (
                "no array" if array is None else f"{array[0]} {array[1]}"
                for array in (found.get(name), expected.get(name))
            )
            raise InputError(f"{path}: {name} is {is_there} and should be {should_be}: {_FIX}")


def _checksum(described: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the CRC-32 of everything else in a file."""
    crc = zlib.crc32(json.dumps({**described, "crc32": ""}).encode())
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].data, crc)
    return f"{crc:08x}"


def _plain(label: Any) -> Any:
    """Return a label as plain data for JSON."""
    label = label.item() if isinstance(label, np.generic) else label
    if not isinstance(label, int | str | bool | float):
        raise InputError(f"a label is of type {type(label).__name__}: use ints, strings, bools or floats")
    return label
