"""Sums over the GPUs of several processes, with NCCL, which CuPy wraps. Not yet run on a GPU."""

import socket
from typing import Any

from xpnet.device.team import Team
from xpnet.errors import DeviceError
from xpnet.text import one_line
from xpnet.typing import Array

__all__ = ["Nccl"]


class Nccl:
    """The GPUs of a team, one for each process.

    Parameters
    ----------
    cupy
        The module. The current GPU is the one of this process.
    team
        The processes; each of them must call this.

    Raises
    ------
    DeviceError
        NCCL is missing or cannot join these GPUs.
    """

    def __init__(self, cupy: Any, team: Team) -> None:
        with team.together():
            nccl = _import_nccl()
            gpu = socket.gethostname(), cupy.cuda.Device().pci_bus_id
        each = team.all_have(gpu)
        if len(set(each)) < len(each):
            twice = next(one for one in each if each.count(one) > 1)
            first, second = [rank for rank, one in enumerate(each) if one == twice][:2]
            raise DeviceError(
                f"processes {first} and {second} have the same GPU: start no more processes on a machine "
                "than it has GPUs, with --device cuda"
            )
        self._cupy, self._nccl = cupy, nccl
        self._types = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}
        number = team.first_has(nccl.get_unique_id() if team.is_first else None)
        try:
            self._comm = nccl.NcclCommunicator(team.size, number, team.rank)
        except nccl.NcclError as error:
            raise DeviceError(
                f"NCCL cannot join the GPUs ({one_line(error)}): set NCCL_DEBUG=WARN to see why, or use one "
                "process"
            ) from error

    def whole(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the sums of CuPy arrays over all processes; contiguous arrays are summed in place.

        The sums are queued on the current stream, as one operation.
        """
        stream = self._cupy.cuda.get_current_stream().ptr
        found = [self._cupy.ascontiguousarray(a).reshape(a.shape) for a in arrays]
        self._nccl.groupStart()
        for a in found:
            of_type = self._types[str(a.dtype)]
            self._comm.allReduce(a.data.ptr, a.data.ptr, a.size, of_type, self._nccl.NCCL_SUM, stream)
        self._nccl.groupEnd()
        return tuple(found)


def _import_nccl() -> Any:
    """Return CuPy's module for NCCL.

    Raises
    ------
    DeviceError
        The NCCL library is not installed: CuPy's wheels do not include it.
    """
    try:
        from cupy.cuda import nccl

        if nccl.available:
            return nccl
        reason = "it is not installed"
    except ImportError as error:
        reason = one_line(error)
    raise DeviceError(
        f"several GPUs are joined by NCCL, and CuPy finds none ({reason}): run "
        "`python -m cupyx.tools.install_library --library nccl --cuda 13.x`, or 12.x"
    )
