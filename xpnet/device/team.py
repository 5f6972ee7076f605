"""The processes that train one network together: what MPI does for them.

Each takes its share of the rows of every batch; gradients are sums over all. That is `Team.whole`, in the
place of the maths' composite of that name, and the only thing that a step asks of the others. What decides
on how training goes on is agreed on by all, as one that stopped alone would leave the others waiting.
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
"""What mpi4py takes for MPI_IN_PLACE."""

PACKED = 2**14
"""Entries up to which arrays are copied into one, to be summed by one call. Larger ones are summed where they
are: on one machine the copies would take half as long again as the sum."""

PATIENCE = 3.0
"""Seconds in which all have to fail for it to be one failure of all, as of settings that cannot be used."""

Value = TypeVar("Value")


class Team:
    """The processes that train one network, of which this is one.

    Parameters
    ----------
    comm
        Communicator of all of them, mpi4py's or one that does the same.
    local
        Of those on this machine.
    failures
        Another of all of them, for those that have failed while others may be at work.

    Attributes
    ----------
    rank, size
        The number of this process, from 0, and how many there are.
    local_rank, local_size
        The same of those on this machine.
    """

    def __init__(self, comm: Any, local: Any, failures: Any) -> None:
        self._comm, self._local, self._failures = comm, local, failures
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self.local_rank, self.local_size = int(local.Get_rank()), int(local.Get_size())

    def __repr__(self) -> str:
        return f"<process {self.rank} of {self.size}>"

    @property
    def is_first(self) -> bool:
        """Whether it is this process that writes and prints."""
        return self.rank == 0

    def share(self, rows: int) -> Share:
        """Return what this process has of the rows of a batch: as many as others, or one more."""
        begin, end = (rows * rank // self.size for rank in (self.rank, self.rank + 1))
        part = (end - begin) / rows
        begin = min(begin, rows - 1)
        return Share(begin, max(end, begin + 1), rows, part)

    def whole(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the sums of NumPy's arrays over all processes, the same to the bit in each; consumed."""
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
        """Return of each flag whether it is set in one of the processes."""
        counts = np.array(flags, np.int32)
        self._comm.Allreduce(IN_PLACE, counts)
        return tuple(bool(count) for count in counts)

    def all_have(self, value: Value) -> list[Value]:
        """Return what each process has, in their order."""
        return list(self._comm.allgather(value))

    def first_has(self, value: Value) -> Value:
        """Return what the first process has; the others may give anything."""
        found: Value = self._comm.bcast(value, root=0)
        return found

    def joined(self, array: Any, axis: int) -> Any:
        """Return the NumPy arrays of all processes, one after the other along an axis."""
        return np.concatenate(self.all_have(array), axis=axis)

    def cores(self) -> int:
        """Return how many of this machine's cores each process has: a launcher may have bound it to some.

        Called by all.
        """
        if not hasattr(os, "sched_getaffinity"):
            return max(1, (os.cpu_count() or 1) // self.local_size)
        mine = os.sched_getaffinity(0)
        there = len(set().union(*self._local.allgather(mine)))
        return max(1, min(len(mine), int(min(there, quota())) // self.local_size))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Let nobody go on unless all do: what one raises, all raise. For what computes nothing together."""
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
        """Return what the first process makes; what it raises, all raise. Called by all."""
        made: Any = None
        with self.together():
            if self.is_first:
                made = make()
        found: Value = self.first_has(made)
        return found

    def all_failed(self) -> bool:
        """Return, in a process that has failed, whether the others fail too, and soon.

        The others may be waiting for this one, where nothing would reach them: then there is only `abort`.
        """
        try:
            request, limit = self._failures.Ibarrier(), time.monotonic() + PATIENCE
            while not request.Test():
                if time.monotonic() > limit:
                    return False
                time.sleep(0.01)
        except RuntimeError:  # mpi4py's, as where a process was lost
            return False
        return True

    def abort(self, status: int) -> None:
        """End all processes, with the exit status."""
        self._comm.Abort(status)


def _sendable(error: BaseException) -> BaseException:
    """Return an error as it can be sent to other processes."""
    with contextlib.suppress(Exception):
        sent = pickle.loads(pickle.dumps(error))
        if type(sent) is type(error):
            return error
    kind = XpnetError if isinstance(error, XpnetError) else RuntimeError
    return kind(f"{type(error).__name__}: {one_line(error)}")
