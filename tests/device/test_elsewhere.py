"""What the workers of an executor say they have, and what is made of it."""

import os
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from xpnet.device import Options, elsewhere
from xpnet.device.elsewhere import Stopped, Told, Workers, answers_of, ask, count_workers, tell, versions
from xpnet.errors import DeviceError

GIB = 2**30


def worker(host="a", process=1, memory=8 * GIB, gpu=None, **others):
    """What a worker says of itself."""
    pool = (host,) if gpu is None else (host, "cuda:0", gpu)
    return Told((host, process, 1), memory, pool, versions() | others)


class Telling(Executor):
    """Its workers answer one after the other, as they are told to."""

    def __init__(self, *told, number=None):
        self._told, self.asked = told, 0
        if number is not None:
            self.num_workers = number

    def submit(self, _function, *_given):
        future, answer = Future(), self._told[self.asked % len(self._told)]
        self.asked += 1
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


@pytest.mark.parametrize(
    ("told", "number", "expected"),
    [
        pytest.param([worker()], 1, Workers(1, 1, 8 * GIB), id="one"),
        pytest.param([worker(process=k) for k in range(4)], 4, Workers(4, 4, 2 * GIB), id="one machine"),
        pytest.param([worker("a"), worker("b", memory=GIB)], 2, Workers(2, 1, GIB), id="the smallest"),
        pytest.param(
            [worker("a"), worker("b", 1, 12 * GIB), worker("b", 2, 12 * GIB)],
            3,
            Workers(3, 2, 6 * GIB),
            id="two on one of two machines",
        ),
        # Who answered for it may be on either machine.
        pytest.param(
            [worker("a"), worker("a"), worker("b")], 3, Workers(3, 2, 4 * GIB), id="one that is silent"
        ),
        pytest.param(
            [worker(process=k, gpu=str(k)) for k in range(2)], 2, Workers(2, 1, 8 * GIB), id="a GPU each"
        ),
        pytest.param(
            [worker(process=k, gpu="0") for k in range(2)], 2, Workers(2, 2, 4 * GIB), id="one GPU for both"
        ),
        pytest.param(
            [worker("a"), worker("b"), worker("c")], None, Workers(3, 1, 8 * GIB), id="nobody says how many"
        ),
    ],
)
def test_what_workers_tell_is_what_all_can_do_with(told, number, expected):
    executor = Telling(*told, number=number)
    assert ask(executor) == expected
    assert executor.asked == (number or elsewhere.GUESS)


def test_how_many_workers_there_are():
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(2) as processes:
        assert (count_workers(threads), count_workers(processes)) == (3, 2)
    assert count_workers(SimpleNamespace(num_workers=5)) == 5
    dask = SimpleNamespace(_client=SimpleNamespace(nthreads=lambda: {"tcp://a": 2, "tcp://b": 4}))
    assert count_workers(dask) == 6
    assert count_workers(SimpleNamespace()) is None
    assert count_workers(SimpleNamespace(num_workers="many", _max_workers=0)) is None


def test_threads_answer_each():
    with ThreadPoolExecutor(2) as threads:
        assert ask(threads)[:2] == (2, 2)
    (host, process, _), memory, pool, its = tell(Options())
    assert (process, pool, its) == (os.getpid(), (host,), versions())
    assert memory > 0


@pytest.mark.parametrize("error", [AttributeError("there is no 'tell'"), RuntimeError("Error\nthere")])
def test_a_worker_that_cannot_answer_is_one_line(error):
    with pytest.raises(DeviceError, match=r"a worker cannot report its .*: install xpnet ") as caught:
        ask(Telling(error, number=1))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [DeviceError("no GPU there: use --device cpu"), BrokenExecutor("lost")])
def test_what_has_a_line_of_its_own_is_left_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        ask(Telling(error, number=1))
    assert caught.value is error


def test_a_worker_of_another_version_is_one_line():
    with pytest.raises(DeviceError) as caught:
        ask(Telling(worker(), worker("b", 7, xpnet="99.0"), number=2))
    assert str(caught.value).startswith("the worker 7 on b has xpnet 99.0, but this process has xpnet ")
    assert str(caught.value).endswith(": install the same versions on both")


def test_who_stops_waits_for_no_answer():
    future = Future()
    with pytest.raises(Stopped):
        answers_of([future], lambda: True)
    assert future.cancelled()
