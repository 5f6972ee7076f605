"""What MPI does for the processes of one network, here as threads."""

import os
import threading

import numpy as np
import pytest
from teams import in_processes

from xpnet import InputError
from xpnet.device import Team, team
from xpnet.errors import XpnetError


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_arrays_large_and_small(size, dtype):
    """Of a number, of none, of what lies transposed; in the dtype that each has."""

    def work(mine):
        rng = np.random.default_rng(mine.rank)
        large = rng.standard_normal((150, team.PACKED // 100)).astype(dtype)
        arrays = [large, large[:2, :3].T, np.float64(mine.rank), np.zeros((0, 2), dtype), large[0], large.T]
        return [np.array(a) for a in arrays], mine.whole(*(np.array(a, order="K") for a in arrays))

    results = in_processes(size, work)
    for i, first in enumerate(results[0][1]):
        expected = sum(given[i].astype(np.float64) for given, _ in results)
        assert first.shape == expected.shape
        assert first.dtype == results[0][0][i].dtype
        np.testing.assert_allclose(first, expected, rtol=0, atol=1e-5 if first.dtype == np.float32 else 1e-12)
        for _, other in results:
            np.testing.assert_array_equal(other[i], first)


def test_what_is_kept_of_a_sum_stays():
    """As a loss does, until the end of the run."""

    def work(mine):
        (kept,) = mine.whole(np.ones(3))
        mine.whole(np.full(3, 5.0))
        return kept.tolist()

    assert in_processes(2, work) == [[2.0] * 3] * 2


def test_flags_and_values():
    def work(mine):
        assert mine.any(mine.rank == 1, False) == (True, False)
        assert mine.all_have(mine.rank) == [0, 1, 2]
        assert mine.first_has(mine.rank) == 0
        np.testing.assert_array_equal(
            mine.joined(np.full((2, 1), mine.rank), axis=0)[:, 0], [0, 0, 1, 1, 2, 2]
        )
        assert repr(mine) == f"<process {mine.rank} of 3>"
        return mine.is_first

    assert in_processes(3, work) == [True, False, False]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not tell")
def test_cores_are_shared_unless_a_launcher_has_done_so(monkeypatch):
    cores_of = {0: {0, 1, 2, 3, 4}, 1: {0, 1, 2, 3, 4}}
    ranks = threading.local()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: cores_of[ranks.mine])

    def work(mine):
        ranks.mine = mine.rank
        return mine.cores()

    assert in_processes(2, work) == [2, 2]
    cores_of.update({0: {0, 1, 2}, 1: {3}})  # bound
    assert in_processes(2, work) == [2, 1]
    cores_of.update({0: {0}, 1: {0}})  # more processes than cores
    assert in_processes(2, work) == [1, 1]
    cores_of.update({0: set(range(64)), 1: set(range(64))})
    monkeypatch.setattr(team, "quota", lambda: 6.0)  # of the container in which both are
    assert in_processes(2, work) == [3, 3]
    monkeypatch.setattr(team, "quota", lambda: 0.5)
    assert in_processes(2, work) == [1, 1]


class Barrier:
    """One that the others come to after so many questions; None: never. Or MPI fails."""

    def __init__(self, after, error=None):
        self.after, self.error = after, error

    def Ibarrier(self):  # noqa: N802 - mpi4py's names
        if self.error:
            raise self.error
        return self

    def Test(self):  # noqa: N802
        if self.after is None:
            return False
        self.after -= 1
        return self.after < 0


@pytest.mark.parametrize(
    ("barrier", "expected"),
    [
        (Barrier(0), True),
        (Barrier(3), True),
        (Barrier(None), False),
        (Barrier(0, RuntimeError("lost")), False),
    ],
)
def test_whether_all_have_failed(monkeypatch, barrier, expected):
    monkeypatch.setattr(team, "PATIENCE", 0.1)

    def work(mine):
        return Team(mine._comm, mine._local, barrier).all_failed()

    assert in_processes(1, work) == [expected]


def fail(mine, error):
    """Fail in the second process."""
    with mine.together():
        if mine.rank == 1:
            raise error


@pytest.mark.parametrize(
    "error", [InputError("no"), KeyError("k"), KeyboardInterrupt("stop"), XpnetError("x")]
)
def test_what_one_raises_before_training_all_raise(error):
    def work(mine):
        with pytest.raises(type(error)) as caught:
            fail(mine, error)
        assert str(caught.value) == str(error)
        return mine.first_makes(lambda: [mine.rank])

    assert in_processes(3, work) == [[0]] * 3


def test_an_error_that_cannot_be_sent_is_told():
    class OwnError(InputError):
        pass

    def work(mine):
        with pytest.raises(XpnetError) as caught:
            fail(mine, OwnError("no such thing"))
        return str(caught.value)

    assert in_processes(2, work) == ["OwnError: no such thing", "no such thing"]
