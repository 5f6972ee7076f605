"""Processes that train one network share the evaluation after an epoch, and check that they still agree."""

import zlib
from typing import Any

import numpy as np

from xpnet.device import Device, all_to_host
from xpnet.errors import DeviceError
from xpnet.typing import Params, Share

__all__ = ["check_equal", "share_of"]


def share_of(device: Device, rows: int) -> Share | None:
    """Return this process's share of so many rows to score; None for all of them.

    It is None if there is only one process, or if there are fewer rows than processes.
    """
    team = device.team
    return None if team is None or rows < team.size else team.share(rows)


def check_equal(device: Device, params: Params, *decisions: Any) -> None:
    """Check, after an epoch, that all processes have the same parameters and have made the same decisions.

    They can differ only if the machines round differently.

    Raises
    ------
    DeviceError
        They differ, so that each process would train a different network from here on.
    """
    if device.team is None:
        return
    crc = 0
    for name, value in sorted(all_to_host(device, params).items()):
        crc = zlib.crc32(np.ascontiguousarray(value).data, zlib.crc32(name.encode(), crc))
    for value in decisions:
        crc = zlib.crc32(np.ascontiguousarray(value).data, crc)
    if len(set(device.team.all_have(crc))) > 1:
        raise DeviceError(
            "the processes no longer have the same parameters, as different machines may round "
            "differently: use identical machines with the same version of NumPy"
        )
