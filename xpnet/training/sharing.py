"""What the processes that train one network share out after an epoch, and see that they still agree."""

import zlib
from typing import Any

import numpy as np

from xpnet.device import Device, all_to_host
from xpnet.errors import DeviceError
from xpnet.typing import Params, Share

__all__ = ["check_equal", "share_of"]


def share_of(device: Device, rows: int) -> Share | None:
    """Return what this process scores of so many rows; None for all of them.

    That is where there is but one process, and of rows so few that there is not one for each.
    """
    team = device.team
    return None if team is None or rows < team.size else team.share(rows)


def check_equal(device: Device, params: Params, *decisions: Any) -> None:
    """See, after an epoch, that all processes have the same parameters and have decided the same.

    They have, unless machines compute the same differently: of the same sums, in another last digit.

    Raises
    ------
    DeviceError
        They differ: from here on each would train a network of its own.
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
