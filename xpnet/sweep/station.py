"""The process of one GPU: calls come in on standard input, what becomes of them goes out.

`xpnet.sweep.gpus` starts it. It is no thread, because Python lets one thread at a time ask anything of a GPU,
and because a library may take memory of every GPU that its process sees.
"""

import contextlib
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

from xpnet import datasets
from xpnet.datasets import Dataset
from xpnet.device import Options, count_gpus, get_device
from xpnet.errors import InputError, XpnetError
from xpnet.runs.config import Config
from xpnet.sweep.chunk import Outcome, Task, train_chunk
from xpnet.sweep.plan import fits_in_memory
from xpnet.sweep.workers import Named, Preparations
from xpnet.text import one_line

__all__ = ["Station", "main"]


class Station:
    """What a process of a GPU can be asked for, by the name of the method."""

    _prepared: Preparations

    def count(self, options: Options) -> int:
        """Return how many GPUs the library sees; complain where it can use none."""
        return count_gpus(get_device(*options).options.backend)

    def begin(self, source: Dataset | Named, options: Options) -> None:
        """Take the data, once for all chunks."""
        if not isinstance(source, Dataset):
            name, folder, reading = source
            source = datasets.load(name, folder, reading=reading)
        self._prepared = Preparations(source, get_device(*options))

    def fit(self, configs: Sequence[Config]) -> int:
        """Return how many networks of one shape fit the memory at a time, beside the data."""
        prepared = self._prepared(configs[0])
        device, task = self._prepared.device, prepared.data.task
        return fits_in_memory(prepared.mlp(configs[0]), configs, device.free_memory(), task)

    def train(self, task: Task) -> Outcome | None:
        """Train a chunk."""
        return train_chunk(task, self._prepared(task.config), self._prepared.device)

    def refuse(self, error: BaseException) -> None:
        """Complain of a call that cannot be read here, such as one with a class of the user's script."""
        if isinstance(error, MemoryError):
            raise error
        raise InputError(
            f"the process of a GPU cannot load an object ({one_line(error)}): put its class into a module "
            "that can be imported, or use one GPU"
        )


def main() -> None:
    """Answer calls until there are no more: standard input ends when who asks is gone, or wants no answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks, on Windows too
    # What libraries print must not get in between.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    calls: SimpleQueue[tuple[str, tuple[Any, ...]]] = SimpleQueue()

    def listen() -> None:
        try:
            while True:
                calls.put(pickle.load(sys.stdin.buffer))
        except EOFError:
            pass
        except BaseException as error:  # of the user's classes, which may raise anything
            calls.put(("refuse", (error,)))
            with contextlib.suppress(OSError):
                while sys.stdin.buffer.read(2**16):  # who asks may still be writing
                    pass
        os._exit(0)  # in the midst of a chunk, too

    threading.Thread(target=listen, daemon=True).start()
    station = Station()
    while True:
        name, given = calls.get()
        value, failure = None, None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                value = getattr(station, name)(*given)
            except Exception as error:
                failure = _portable(error)
        said = [(warning.category, str(warning.message)) for warning in caught]
        try:
            pickle.dump((value, failure, said), answers)
            answers.flush()
        except BrokenPipeError:  # who asks is gone
            os._exit(0)


def _portable(error: Exception) -> Exception:
    """Return an error that arrives; what a user cannot mend has with it where it was raised."""
    if not isinstance(error, XpnetError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # as many kinds as there are ways to make an error
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
