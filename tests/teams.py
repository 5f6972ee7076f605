"""Several processes of one network, as threads of this one: MPI's calls by a barrier and a list."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xpnet.device import Device
from xpnet.device.team import Team

PATIENCE = 60.0
"""Seconds after which a call that others do not make fails, instead of waiting for ever."""


class World:
    """What the communicators of a team have in common."""

    def __init__(self, size, turn):
        self.size = size
        self.turn = turn
        self.barrier = threading.Barrier(size)
        self.given = [None] * size

    def wait(self):
        """Wait for all, out of turn."""
        self.turn.release()
        try:
            self.barrier.wait(PATIENCE)
        finally:
            self.turn.acquire()


class Comm:
    """The communicator of one thread, as mpi4py's for what a `Team` asks of it."""

    def __init__(self, world, rank):
        self.world, self.rank = world, rank

    def Get_rank(self):  # noqa: N802 - mpi4py's names
        return self.rank

    def Get_size(self):  # noqa: N802
        return self.world.size

    def allgather(self, value):
        self.world.given[self.rank] = value
        self.world.wait()
        found = list(self.world.given)
        self.world.wait()
        return found

    def bcast(self, value, root):
        return self.allgather(value)[root]

    def Ibarrier(self):  # noqa: N802
        return self

    def Test(self):  # noqa: N802 - of the barrier: whether all have come
        self.came = True
        return True

    def Allreduce(self, in_place, array):  # noqa: N802
        assert in_place is None
        assert array.flags.c_contiguous
        assert array.flags.writeable
        total = np.sum(np.stack(self.allgather(array.copy())), axis=0, dtype=array.dtype)
        array[...] = total


def in_processes(size, work, by_turns=False):
    """Return what ``work(team)`` returns in each of so many, which all run at the same time.

    ``by_turns`` they do so one at a time, each until it waits for the others.
    """
    world = World(size, threading.Semaphore(1 if by_turns else size))

    def run(rank):
        comm = Comm(world, rank)
        try:
            with world.turn:
                return work(Team(comm, comm, comm))
        except BaseException:
            world.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as threads:
        futures = [threads.submit(run, rank) for rank in range(size)]
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in errors:
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        return [future.result() for future in futures]


def on_devices(size, work):
    """Return what ``work(device)`` returns in each of so many processes on the CPU."""
    return in_processes(size, lambda team: work(Device().among(team)))
