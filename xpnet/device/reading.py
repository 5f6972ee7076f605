"""Read many arrays back at once: each transfer waits for the device, so many small ones would be slow."""

import math
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xpnet.device.arrays import dtype_name
from xpnet.device.base import Device
from xpnet.typing import Array

__all__ = ["all_to_host"]

JOINED = 16 * 2**20
"""Maximum size in bytes of an array that is concatenated with others on the device to be read together.
Transferring a larger array takes longer than the wait, and there may be no room on the device for a copy."""

Key = TypeVar("Key", bound=Hashable)


def all_to_host(device: Device, arrays: Mapping[Key, Array]) -> dict[Key, NDArray[Any]]:
    """Return arrays as `Device.to_host` does, but read many in one transfer; do not write to them.

    Arrays that are already on the host stay as they are.
    """
    xp = device.xp
    together: dict[str, list[Key]] = {}
    found: dict[Key, NDArray[Any]] = {}
    for key, array in arrays.items():
        if isinstance(array, np.ndarray):
            found[key] = array
        if device.is_host or key in found:
            continue
        name = dtype_name(array)
        if math.prod(array.shape) * np.dtype(name).itemsize <= JOINED:
            together.setdefault(name, []).append(key)
    for keys in together.values():
        if len(keys) == 1:
            continue
        with device.active():
            flat = device.to_host(xp.concat([xp.reshape(arrays[key], (-1,)) for key in keys]))
        ends = np.cumsum([math.prod(arrays[key].shape) for key in keys])
        parts = np.split(flat, ends[:-1])
        found |= {key: part.reshape(arrays[key].shape) for key, part in zip(keys, parts, strict=True)}
    return {key: found[key] if key in found else device.to_host(array) for key, array in arrays.items()}
