"""The process for one GPU: calls arrive on standard input, and results leave on standard output.

`xpnet.sweep.gpus` starts it. It is not a thread, because only one Python thread at a time can launch work on
a GPU, and because a library may take memory on every GPU that its process sees.
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
    """The methods that can be called in the process of a GPU."""

    _prepared: Preparations

    def count(self, options: Options) -> int:
        """Return the number of GPUs that the library sees; raise an error if it can use none."""
        return count_gpus(get_device(*options).options.backend)

    def begin(self, source: Dataset | Named, options: Options) -> None:
        """Receive the data, once for all chunks."""
        if not isinstance(source, Dataset):
            name, folder, reading = source
            source = datasets.load(name, folder, reading=reading)
        self._prepared = Preparations(source, get_device(*options))

    def fit(self, configs: Sequence[Config]) -> int:
        """Return how many networks of one shape fit into memory at a time, besides the data."""
        prepared = self._prepared(configs[0])
        device, task = self._prepared.device, prepared.data.task
        return fits_in_memory(prepared.mlp(configs[0]), configs, device.free_memory(), task)

    def train(self, task: Task) -> Outcome | None:
        """Train a chunk."""
        return train_chunk(task, self._prepared(task.config), self._prepared.device)

    def refuse(self, error: BaseException) -> None:
        """Raise an error for a call that cannot be unpickled here, such as one with a class of a script."""
        if isinstance(error, MemoryError):
            raise error
        raise InputError(
            f"the process of a GPU cannot load an object ({one_line(error)}): put its class into a module "
            "that can be imported, or use one GPU"
        )


def main() -> None:
    """Answer calls until standard input ends: the parent process is gone, or needs no more answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles Ctrl-C, on Windows too
    # Output printed by libraries must not mix with the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    calls: SimpleQueue[tuple[str, tuple[Any, ...]]] = SimpleQueue()

    def listen() -> None:
        try:
            while True:
                calls.put(pickle.load(sys.stdin.buffer))
        except EOFError:
            pass
        except BaseException as error:  # the user's classes may raise anything
            calls.put(("refuse", (error,)))
            with contextlib.suppress(OSError):
                while sys.stdin.buffer.read(2**16):  # the parent may still be writing
                    pass
        os._exit(0)  # even in the middle of a chunk

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
        except BrokenPipeError:  # the parent is gone
            os._exit(0)


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent; unexpected errors include their traceback as text."""
    if not isinstance(error, XpnetError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # pickling an error may fail in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
