"""Saved models: one safetensors file that holds the arrays and describes what they make up."""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet import network, transforms
from xpnet.device import Device, dtype_name, get_device, to_numpy
from xpnet.errors import InputError
from xpnet.files import replacing
from xpnet.network import MLP
from xpnet.typing import Params

__all__ = ["Model", "load_model", "save_model"]

FORMAT = 1
"""Version of what the description says; a reader refuses any other."""

SCORED_ROWS = 1000
"""Rows scored at once: what bounds the memory."""

_FIX = "give the model.safetensors of a run, or train again"
_DTYPES = {"float32": "F32", "float64": "F64"}  # in NumPy's words and in those of the file


@dataclass(frozen=True, eq=False)  # eq: comparing arrays gives arrays, not a truth value
class Model:
    """A trained network with its preprocessing: raw rows in, classes out.

    Parameters
    ----------
    mlp, params
        The network; arrays of any device.
    mean
        ``(features,)``, subtracted from each row.
    class_names
        The name of each class.
    image_shape
        Height, width and channels where a row is an image.
    """

    mlp: MLP
    params: Params
    mean: NDArray[np.float64]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None = None

    def scores(self, X: ArrayLike, device: str | Device = "cpu") -> NDArray[Any]:
        """Return the unnormalised log-probabilities ``(rows, classes)`` of raw rows.

        Parameters
        ----------
        X
            ``(rows, features)``, any real dtype, on any device.
        device
            Where to compute.

        Raises
        ------
        InputError
            ``X`` has another shape.
        DeviceError
            The device cannot be used.
        """
        X, device = to_numpy(X), get_device(device)
        if X.ndim != 2 or X.shape[1] != self.mlp.sizes[0]:
            raise InputError(f"X has shape {X.shape}: give (rows, {self.mlp.sizes[0]})")
        params = {name: device.put(value) for name, value in self.params.items()}
        dtype = dtype_name(params["W1"])
        mean = device.put(self.mean, dtype)
        parts = [np.empty((0, self.mlp.sizes[-1]), dtype)]
        with device.active():
            for start in range(0, len(X), SCORED_ROWS):
                rows = device.put(X[start : start + SCORED_ROWS])
                rows = transforms.subtract_mean(device.xp, rows, mean)
                parts.append(device.to_host(network.scores(device.xp, self.mlp, params, rows)))
        return np.concatenate(parts)

    def predict(self, X: ArrayLike, device: str | Device = "cpu") -> NDArray[np.int64]:
        """Return the most probable class ``(rows,)`` of raw rows; see `scores`."""
        return np.asarray(self.scores(X, device).argmax(axis=-1), np.int64)


class _Description(NamedTuple):
    """What a file says of itself, as JSON in its metadata."""

    format: int
    sizes: tuple[int, ...]
    dtype: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None
    crc32: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "_Description":
        """Return the description with these fields; any exception if they are something else."""
        image_shape = fields["image_shape"]
        if image_shape is not None:
            height, width, channels = image_shape
            image_shape = (int(height), int(width), int(channels))
        sizes = tuple(map(int, fields["sizes"]))
        names = tuple(map(str, fields["class_names"]))
        description = cls(FORMAT, sizes, fields["dtype"], names, image_shape, fields["crc32"])
        description.arrays()
        return description

    def arrays(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return dtype and shape of each array."""
        dtype = _DTYPES[self.dtype]
        shapes = {name: (dtype, shape) for name, shape in MLP(self.sizes).shapes.items()}
        return shapes | {"mean": (_DTYPES["float64"], self.sizes[:1])}


def save_model(
    path: Path,
    mlp: MLP,
    params: Mapping[str, NDArray[Any]],
    mean: NDArray[np.float64],
    class_names: tuple[str, ...],
    image_shape: tuple[int, int, int] | None = None,
) -> None:
    """Save a trained network for `load_model`, or for any reader of safetensors.

    Parameters
    ----------
    path
        The file to make or to replace.
    mlp, params, mean, class_names, image_shape
        As for `Model`; the arrays are NumPy's.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(value) for name, value in params.items()}
    arrays["mean"] = np.ascontiguousarray(mean)
    description = _Description(FORMAT, mlp.sizes, params["W1"].dtype.name, class_names, image_shape)
    description = description._replace(crc32=_checksum(description, arrays))
    # One entry: safetensors writes several in a new order each time, and the same model should be
    # the same file. To bytes first: its own writing raises no OSError on a full disk.
    content = save(arrays, {"xpnet": json.dumps(description._asdict())})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Load what `save_model` saved.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Model
        With NumPy arrays, wherever it was trained.

    Raises
    ------
    InputError
        There is no such file, it is damaged, or an array is not what its description says.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}: give the model.safetensors of a run")
    try:
        with safe_open(path, framework="np") as file:
            description = _read_description(path, file.metadata() or {})
            found = {
                name: (file.get_slice(name).get_dtype(), tuple(file.get_slice(name).get_shape()))
                for name in file.keys()  # noqa: SIM118 - not a dict: it cannot be iterated over
            }
            _compare(path, found, description.arrays())
            arrays = {name: file.get_tensor(name) for name in found}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error}): {_FIX}") from error
    if _checksum(description, arrays) != description.crc32:
        raise InputError(f"{path} is damaged, its checksum is wrong: {_FIX}")
    mean = arrays.pop("mean")
    mlp = MLP(description.sizes)
    return Model(mlp, arrays, mean, description.class_names, description.image_shape)


def _read_description(path: Path, metadata: Mapping[str, str]) -> _Description:
    if "xpnet" not in metadata:
        raise InputError(f"{path} was not written by xpnet: {_FIX}")
    try:
        fields = json.loads(metadata["xpnet"])
        version = fields["format"]
        if version == FORMAT:
            return _Description.of(fields)
    except Exception as error:  # text that anyone may have written can fail in any way
        raise InputError(f"{path} is damaged, its description makes no sense: {_FIX}") from error
    raise InputError(
        f"{path} has format {version!r} and this version of xpnet reads {FORMAT}: "
        "load it with the version that wrote it"
    )


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


def _checksum(description: _Description, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the CRC-32 of all else that is in a file."""
    crc = zlib.crc32(json.dumps(description._replace(crc32="")).encode())
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].data, crc)
    return f"{crc:08x}"
