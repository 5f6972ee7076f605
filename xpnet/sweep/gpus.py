"""A sweep on several GPUs of this machine, with one process per GPU, each taking the next chunk when free."""

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any

from xpnet.datasets import Dataset
from xpnet.device import Options, gpu_names, is_several
from xpnet.errors import DeviceError, InputError
from xpnet.runs.config import Config
from xpnet.sweep.chunk import Outcome, Task
from xpnet.sweep.plan import Cut
from xpnet.sweep.workers import Named, There
from xpnet.text import one_line
from xpnet.warn import carrying, warn

__all__ = ["OnGpus", "names_of", "started"]

DEVICE = "cuda"
"""Name of the only GPU that each process sees."""

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that selects the GPUs visible to a process."""

PATIENCE = 5.0
"""Seconds within which a process must end by itself."""

START = "import sys; sys.path[:] = {path!r}; from xpnet.sweep.station import main; main()"
"""Code of a process. Unlike `multiprocessing`, it does not import the user's script again."""


class Process:
    """A process that sees one GPU, given its name; without a name, it sees all."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name or "that looks for GPUs"
        seen = {} if name is None else {VISIBLE: _visible(int(name.partition(":")[2]))}
        self._process = subprocess.Popen(
            [sys.executable, "-c", START.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **seen},
            start_new_session=True,  # so that it does not get Ctrl-C
        )
        self._calls: Any = self._process.stdin
        self._answers: Any = self._process.stdout

    def call(self, name: str, *given: Any) -> Any:
        """Call a method of `xpnet.sweep.station.Station` in the process; return or raise what it does.

        Raises
        ------
        DeviceError
            The process has ended.
        InputError
            An argument cannot be pickled here or unpickled there.
        """
        try:
            try:
                pickle.dump((name, given), self._calls)
            except (pickle.PicklingError, AttributeError, TypeError) as error:  # pickle raises any of these
                raise InputError(
                    f"an object cannot be sent to the process of a GPU ({one_line(error)}): put its class "
                    "into a module that can be imported, or use one GPU"
                ) from error
            self._calls.flush()
            value, failure, said = pickle.load(self._answers)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise DeviceError(
                f"the process {self._name} was lost, perhaps because memory ran out: run the same sweep "
                "again, with a smaller --max-nets if memory ran out"
            ) from error
        for category, message in said:
            warn(message, category)
        if failure is not None:
            raise failure
        return value

    def end(self) -> None:
        """End the process, whatever it is doing."""
        with contextlib.suppress(OSError):  # it has already ended
            self._calls.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()


class OnGpus(There):
    """Trains chunks on several GPUs.

    Parameters
    ----------
    names
        Names of the GPUs.
    source
        The data set, or the name of the one that each process loads for itself.
    options
        Options of each process; its device is the GPU that it sees.
    max_nets, stop
        As for `xpnet.sweep.run`.
    """

    def __init__(
        self,
        names: Sequence[str],
        source: Dataset | Named,
        options: Options,
        max_nets: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._max_nets, self._stop = max_nets, stop
        self._processes: list[Process] = []
        self._idle: SimpleQueue[Process] = SimpleQueue()
        self._threads = ThreadPoolExecutor(len(names))
        try:
            for name in names:
                self._processes.append(Process(name))
                self._idle.put(self._processes[-1])
            self._of_each("begin", source, options)
        except BaseException:
            self.end()
            raise

    def cut(self, configs: Sequence[Config], _among: int = 0, /) -> Cut:
        """Choose how to divide networks of one shape, for the GPU with the least free memory."""
        most = min(*self._of_each("fit", configs), self._max_nets or len(configs), len(configs))
        return Cut(most, len(self._processes))

    def end(self) -> None:
        """End all processes, even if ending one of them fails."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with contextlib.ExitStack() as stack:
            for process in self._processes:
                stack.callback(process.end)

    def _of_each(self, name: str, *given: Any) -> list[Any]:
        """Call the same method in all processes at the same time."""
        call = carrying(lambda process: process.call(name, *given))
        return list(self._threads.map(call, self._processes))

    def _submit(self, task: Task) -> "Future[Outcome | None]":
        return self._threads.submit(carrying(self._train), task)

    def _train(self, task: Task) -> Outcome | None:
        process = self._idle.get()  # never waits: there are as many processes as threads
        try:
            outcome: Outcome | None = process.call("train", task)
        finally:
            self._idle.put(process)
        return outcome


def names_of(options: Options, executor: object) -> tuple[str, ...]:
    """Return the names of the GPUs if a device stands for several, else none.

    Raises
    ------
    InputError
        There is an executor, too.
    DeviceError
        The library finds no GPU, or not the named ones.
    """
    if not is_several(options.device):
        return ()
    if executor is not None:
        raise InputError(
            f"a worker of an executor or a scheduler takes one GPU, not {options.device}: use --device cuda"
        )
    return gpu_names(options.device, lambda: _count(options._replace(device=DEVICE)))


@cache
def _count(options: Options) -> int:
    """Count the GPUs in a separate process, because a library may claim every GPU that it finds."""
    process = Process()
    try:
        return int(process.call("count", options))
    finally:
        process.end()


@contextmanager
def started(
    names: Sequence[str],
    source: Dataset | Named,
    options: Options,
    max_nets: int | None,
    stop: Callable[[], bool],
) -> Iterator[OnGpus]:
    """Yield an `OnGpus`, and end its processes afterwards; parameters are those of `OnGpus`."""
    gpus = OnGpus(names, source, options._replace(device=DEVICE), max_nets, stop)
    try:
        yield gpus
    finally:
        gpus.end()


def _visible(number: int) -> str:
    """Return the value of `VISIBLE` that shows a process one of this process's GPUs."""
    shown = os.environ.get(VISIBLE)
    return str(number) if shown is None else shown.split(",")[number].strip()
