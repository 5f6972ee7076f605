"""The processes that train one network together: what MPI does for them.

Each takes its share of the rows of every batch; gradients are sums over all. That is `Team.whole`, in the
place of the maths' composite of that name, and the only thing that a step asks of the others. What decides
on how training goes on is agreed on by all, as one that stopped alone would leave the others waiting.
"""

from typing import Any, TypeVar

import numpy as np

from xpnet.typing import Array, Share

__all__ = ["Team"]

IN_PLACE = None
"""What mpi4py takes for MPI_IN_PLACE."""

PACKED = 2**14
"""Entries up to which arrays are copied into one, to be summed by one call. Larger ones are summed where they
are: on one machine the copies would take half as long again as the sum."""

Value = TypeVar("Value")


class Team:
    """The processes that train one network, of which this is one.

    Parameters
    ----------
    comm
        Communicator of all of them, mpi4py's or one that does the same.
    local
        Of those on this machine.

    Attributes
    ----------
    rank, size
        The number of this process, from 0, and how many there are.
    local_rank, local_size
        The same of those on this machine.
    """

    def __init__(self, comm: Any, local: Any) -> None:
        self.comm = comm
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
                self.comm.Allreduce(IN_PLACE, a)
        for places in small.values():
            packed = np.concatenate([found[i].reshape(-1) for i in places])
            self.comm.Allreduce(IN_PLACE, packed)
            begin = 0
            for i in places:
                end = begin + found[i].size
                found[i] = packed[begin:end].reshape(found[i].shape)
                begin = end
        return tuple(found)

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return of each flag whether it is set in one of the processes."""
        counts = np.array(flags, np.int32)
        self.comm.Allreduce(IN_PLACE, counts)
        return tuple(bool(count) for count in counts)

    def all_have(self, value: Value) -> list[Value]:
        """Return what each process has, in their order."""
        return list(self.comm.allgather(value))

    def first_has(self, value: Value) -> Value:
        """Return what the first process has; the others may give anything."""
        found: Value = self.comm.bcast(value, root=0)
        return found

    def joined(self, array: Any, axis: int) -> Any:
        """Return the NumPy arrays of all processes, one after the other along an axis."""
        return np.concatenate(self.all_have(array), axis=axis)
