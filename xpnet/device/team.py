"""The processes that train one network together, and their communication by MPI.

Each process takes its share of the rows of every batch, and gradients are summed over all processes. This sum
is `Team.whole`, which replaces the composite of the same name; a step needs no other communication. All
processes agree on every decision about how training continues, since one that stopped alone would leave the
others waiting.
"""

import contextlib
import os
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from xpnet.device.threads import quota
from xpnet.errors import XpnetError
from xpnet.text import one_line
from xpnet.typing import Array, Share

__all__ = ["Team"]

IN_PLACE = None
"""mpi4py accepts None for MPI_IN_PLACE."""

PACKED = 2**14
"""Maximum number of entries in an array that is copied into one array with others, to be summed by one call.
Larger arrays are summed in place: on one machine, the copies would take half as long as the sum itself."""

PATIENCE = 3.0
"""If all processes fail within so many seconds, they count as failing together, as for invalid settings."""

Value = TypeVar("Value")


class Team:
    """The processes that train one network, including this one.

    Parameters
    ----------
    comm
        Communicator of all processes, from mpi4py or compatible with it.
    local
        Communicator of the processes on this machine.
    failures
        A second communicator of all processes, for those that have failed while others may still be running.

    Attributes
    ----------
    rank, size
        The number of this process, from 0, and the number of processes.
    local_rank, local_size
        The same among the processes on this machine.
    """

    def __init__(self, comm: Any, local: Any, failures: Any) -> None:
        self._comm, self._local, self._failures = comm, local, failures
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self.local_rank, self.local_size = int(local.Get_rank()), int(local.Get_size())

    def __repr__(self) -> str:
        return f"<process {self.rank} of {self.size}>"

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def share(self, rows: int) -> Share:
        """Return this process's share of the rows of a batch; the shares differ by at most one row."""
        begin, end = (rows * rank // self.size for rank in (self.rank, self.rank + 1))
        part = (end - begin) / rows
        begin = min(begin, rows - 1)
        return Share(begin, max(end, begin + 1), rows, part)

    def whole(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the sums of NumPy arrays over all processes, bit for bit the same in each; consumes them."""
        found: list[Any] = [np.ascontiguousarray(a).reshape(np.shape(a)) for a in arrays]
        small: dict[Any, list[int]] = {}
        for i, a in enumerate(found):
            if a.size <= PACKED:
                small.setdefault(a.dtype, []).append(i)
            else:
                self._comm.Allreduce(IN_PLACE, a)
        for places in small.values():
            packed = np.concatenate([found[i].reshape(-1) for i in places])
            self._comm.Allreduce(IN_PLACE, packed)
            begin = 0
            for i in places:
                end = begin + found[i].size
                found[i] = packed[begin:end].reshape(found[i].shape)
                begin = end
        return tuple(found)

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return, for each flag, whether it is set in any process."""
        counts = np.array(flags, np.int32)
        self._comm.Allreduce(IN_PLACE, counts)
        return tuple(bool(count) for count in counts)

    def all_have(self, value: Value) -> list[Value]:
        """Return the values of all processes, by rank."""
        return list(self._comm.allgather(value))

    def first_has(self, value: Value) -> Value:
        """Return the value of the first process; the values of the others are ignored."""
        found: Value = self._comm.bcast(value, root=0)
        return found

    def joined(self, array: Any, axis: int) -> Any:
        """Return the NumPy arrays of all processes, concatenated along an axis."""
        return np.concatenate(self.all_have(array), axis=axis)

    def cores(self) -> int:
        """Return the number of this machine's cores per process, within those that the launcher assigned.

        All processes must call this.
        """
        if not hasattr(os, "sched_getaffinity"):
            return max(1, (os.cpu_count() or 1) // self.local_size)
        mine = os.sched_getaffinity(0)
        there = len(set().union(*self._local.allgather(mine)))
        return max(1, min(len(mine), int(min(there, quota())) // self.local_size))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make all processes raise an error if one does. Do not communicate inside this context."""
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
        others = [error for error in self.all_have(None if failure is None else _sendable(failure)) if error]
        if failure is not None:
            raise failure
        if others:
            raise others[0]

    def first_makes(self, make: Callable[[], Value]) -> Value:
        """Return what ``make`` returns in the first process. If it raises, all raise. All must call this."""
        made: Any = None
        with self.together():
            if self.is_first:
                made = make()
        found: Value = self.first_has(made)
        return found

    def all_failed(self) -> bool:
        """Return, in a process that has failed, whether all others fail soon, too.

        If not, they may be waiting for this process, where no message reaches them; then only `abort` helps.
        """
        try:
            request, limit = self._failures.Ibarrier(), time.monotonic() + PATIENCE
            while not request.Test():
                if time.monotonic() > limit:
                    return False
                time.sleep(0.01)
        except RuntimeError:  # from mpi4py, for example if a process was lost
            return False
        return True

    def abort(self, status: int) -> None:
        """End all processes with this exit status."""
        self._comm.Abort(status)


def _sendable(error: BaseException) -> BaseException:
    """Return an error that can be pickled and sent to other processes."""
    with contextlib.suppress(Exception):
        sent = pickle.loads(pickle.dumps(error))
        if type(sent) is type(error):
            return error
    kind = XpnetError if isinstance(error, XpnetError) else RuntimeError
    return kind(f"{type(error).__name__}: {one_line(error)}")
