"""Ctrl-C during training: the loop stops after a step and keeps its result."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["StopSignals"]

ONE_PRESS = 0.5
"""Seconds within which signals count as one."""


class StopSignals:
    """Ctrl-C, and SIGTERM for a command, while something runs.

    They raise `KeyboardInterrupt`, but for the first one within `listening`: that only sets
    `received`, so that a loop which looks at it can end with what it has. One that comes at once after
    another is the same: a key that was pressed twice, or passed on by a program in between.

    Parameters
    ----------
    numbers
        The signals; both by default.

    Attributes
    ----------
    received
        Number of the last signal, or None.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self.received: signal.Signals | None = None
        self._listening = False
        self._last = -math.inf
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        # Python leaves signals to its main thread. One that is ignored, as Ctrl-C is by what a
        # script runs in the background, stays so.
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers or (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Let the first signal only set `received`."""
        self._listening = True
        try:
            yield
        finally:
            self._listening = False

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        before, self._last = self._last, time.monotonic()
        if self._last - before < ONE_PRESS:
            return
        is_first, self.received = self.received is None, signal.Signals(number)
        if not (self._listening and is_first):
            raise KeyboardInterrupt

    @property
    def exit_status(self) -> int:
        """What a shell reports of a process that such a signal ended."""
        return 128 + (self.received or signal.SIGINT)
