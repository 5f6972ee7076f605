"""Train chunks on threads of this process, or on the workers of an executor."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeAlias

from xpnet import datasets
from xpnet.datasets import Dataset, Reading
from xpnet.device import Device, Options, cores, get_device
from xpnet.device.elsewhere import Stopped, Workers, answers_of, ask
from xpnet.errors import DeviceError, InputError
from xpnet.runs.config import Config
from xpnet.runs.preparation import Prepared
from xpnet.runs.starting import prepared_for
from xpnet.runs.subset import drawn_by
from xpnet.sweep.chunk import Outcome, Task, train_chunk
from xpnet.sweep.plan import Cut, choose_cut, choose_size
from xpnet.training.history import Row
from xpnet.values import shown
from xpnet.warn import carrying

__all__ = [
    "Here",
    "Named",
    "Preparations",
    "There",
    "check_executor",
    "load_of",
    "options_of",
    "size_on_worker",
    "source_of",
    "train_on_worker",
]

Named: TypeAlias = tuple[str, str | None, Reading]
"""Name and folder of a data set that each worker loads for itself, and how to read it."""

PREPARED = 2
"""Number of differently prepared data sets to keep: as many as two cores may work on at a time."""


class Preparations:
    """A data set, prepared on a device in the ways that the networks of a sweep need.

    Parameters
    ----------
    data, device
        The data set, and the target device.
    """

    def __init__(self, data: Dataset, device: Device) -> None:
        self.device = device
        self._data = data
        self._made: OrderedDict[tuple[object, ...], Prepared] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, config: Config) -> Prepared:
        """Return the data prepared for a network with these settings."""
        of_targets = config.standardize_target, config.loss, config.class_weight
        key = (config.preprocessing, config.augmentation, config.dtype, drawn_by(config), *of_targets)
        with self._lock:
            if key not in self._made:
                if len(self._made) == PREPARED:
                    self._made.popitem(last=False)
                self._made[key] = prepared_for(config, self._data, self.device)
            self._made.move_to_end(key)
            return self._made[key]


class Here:
    """Trains chunks in this process, on as many threads as their cut specifies."""

    def __init__(
        self,
        config: Config,
        data: Dataset,
        device: Device | str | None,
        max_nets: int | None,
        on_epoch: Callable[[Task, Row], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self._device = config.find_device() if device is None else get_device(device)
        self._prepared = Preparations(data, self._device)
        self._max_nets = max_nets
        self._on_epoch = on_epoch
        self._stop = stop

    def cut(self, configs: Sequence[Config], _among: int = 0, /) -> Cut:
        """Choose how to divide the networks of one shape."""
        return choose_cut(configs, self._prepared(configs[0]), self._device, self._max_nets)

    def train(self, work: Sequence[tuple[Cut, Sequence[Task]]]) -> Generator[Outcome, None, None]:
        """Train the tasks of each cut; yield the outcomes in the order in which they end."""
        tasks = [task for _, some in work for task in some]
        # Small groups share the cores, because each group alone would leave some idle.
        workers = max((cut.workers for cut, _ in work), default=1)
        if self._device.is_host and len(work) > 1:
            workers = cores()
        left = threading.Event()

        def stop() -> bool:
            return left.is_set() or self._stop()

        def train(task: Task) -> Outcome | None:
            return train_chunk(task, self._prepared(task.config), self._device, self._on_epoch, stop)

        with ThreadPoolExecutor(workers) as threads:
            try:
                # Do not keep a list of the futures: each holds networks.
                for future in as_completed([threads.submit(carrying(train), task) for task in tasks]):
                    outcome = future.result()
                    if outcome is not None:
                        yield outcome
            finally:
                # After an error or Ctrl-C, do not wait for the rest.
                left.set()
                threads.shutdown(wait=False, cancel_futures=True)


def check_executor(executor: object) -> None:
    """Refuse an object that is not an executor."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise InputError(f"executor must be a concurrent.futures.Executor or similar, not {shown(executor)}")


class There:
    """Trains chunks on the workers of an executor.

    An executor may have a ``should_stop``, a module-level function that its workers call before each step. If
    it returns true, they abandon the chunk.
    """

    def __init__(
        self,
        executor: Executor,
        config: Config,
        data: Dataset | None,
        device: Device | str | None,
        max_nets: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._executor = executor
        self._source = source_of(config, data)
        self._options = options_of(config, device)
        self._max_nets = max_nets
        self._stop = stop
        self._workers: Workers | None = None

    def cut(self, configs: Sequence[Config], among: int = 0, /) -> Cut | None:
        """Choose how to divide the networks of one shape, depending on the workers.

        Parameters
        ----------
        configs
            Their settings.
        among
            Number of networks of all shapes: these networks get the same share of the workers.

        Returns
        -------
        Cut or None
            None if the sweep should end.
        """
        if self._max_nets == 1:
            return Cut(1)
        try:
            with _losses_told():
                return self._asked(configs, among)
        except Stopped:
            return None

    def train(self, work: Sequence[tuple[Cut, Sequence[Task]]]) -> Generator[Outcome, None, None]:
        """Train the tasks of all cuts; yield the outcomes in the order in which they end."""
        waiting: set[Future[Outcome | None]] = set()
        try:
            with _losses_told():
                for _, tasks in work:
                    waiting.update(map(self._submit, tasks))
                while waiting and not self._stop():
                    ended, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
                    for future in ended:
                        outcome = future.result()
                        if outcome is not None:
                            yield outcome
        finally:
            for future in waiting:
                future.cancel()

    def _asked(self, configs: Sequence[Config], among: int) -> Cut:
        """Ask the workers about their resources, once; then ask one that has the data, for each shape."""
        self._workers = self._workers or ask(self._executor, self._options, self._stop)
        number, beside, memory = self._workers
        theirs = -(-number * len(configs) // max(among, len(configs)))
        most = min(self._max_nets or len(configs), -(-len(configs) // theirs))
        if most == 1:
            return Cut(1, theirs)
        of_worker = self._source, self._options, most, theirs, beside, memory
        future = self._executor.submit(size_on_worker, configs, *of_worker)
        (size,) = answers_of([future], self._stop)
        return Cut(size, theirs)

    def _submit(self, task: Task) -> "Future[Outcome | None]":
        should_stop = getattr(self._executor, "should_stop", None)
        return self._executor.submit(train_on_worker, task, self._source, self._options, should_stop)


@contextmanager
def _losses_told() -> Iterator[None]:
    """Turn the loss of workers into an error with one line that says what to do."""
    try:
        yield
    except (BrokenExecutor, CancelledError) as error:
        raise DeviceError(
            f"the workers were lost ({type(error).__name__}), perhaps because memory ran out: start them "
            "again and run the same sweep again, with smaller stacks if memory ran out"
        ) from error


def source_of(config: Config, data: Dataset | None) -> Dataset | Named:
    """Return the source of a worker's data: the data set itself, or the name in the settings."""
    return data or (config.dataset, config.data_dir, config.reading)


def options_of(config: Config, device: Device | str | None) -> Options:
    """Return the options of a worker's device: of the given one, or of that in the settings."""
    if device is None:
        return Options(config.device, config.backend, config.precision, config.compile)
    return device.options if isinstance(device, Device) else Options(device, "auto")


def train_on_worker(
    task: Task,
    source: Dataset | Named,
    options: Options,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome | None:
    """Train a chunk in a worker's process; return None if it was told to stop."""
    prepared = _on_worker(source, options)
    return train_chunk(task, prepared(task.config), prepared.device, should_stop=should_stop)


def size_on_worker(
    configs: Sequence[Config],
    source: Dataset | Named,
    options: Options,
    most: int,
    workers: int,
    beside: int,
    free: int,
) -> int:
    """Choose in a worker's process how many networks to stack; parameters as for `choose_size`."""
    prepared = _on_worker(source, options)
    return choose_size(configs, prepared(configs[0]), prepared.device, most, workers, beside, free)


def _on_worker(source: Dataset | Named, options: Options) -> Preparations:
    """Return the data in a worker's process, which loads named data and gets its device only once."""
    if isinstance(source, Dataset):
        return Preparations(source, get_device(*options))
    return _loaded(*source, options)


@lru_cache(maxsize=1)
def _loaded(name: str, data_dir: str | None, reading: Reading, options: Options) -> Preparations:
    return Preparations(datasets.load(name, data_dir, reading=reading), get_device(*options))


def load_of(config: Config) -> Dataset:
    """Return the data set named in the settings."""
    return datasets.load(config.dataset, config.data_dir, reading=config.reading)
