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

    They raise `KeyboardInterrupt`, except for the first one within `listening`. That one only sets
    `received`, so that a loop that checks it can stop and keep its results. A signal just after another
    counts as the same one: the key may have been pressed twice, or a parent program may have passed the
    signal on.

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
        # Python handles signals in the main thread only. A signal that is ignored, like Ctrl-C in a job that
        # a script runs in the background, stays ignored.
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
        """The exit status that a shell reports for a process ended by this signal."""
        return 128 + (self.received or signal.SIGINT)
