"""How many of many things are done, on standard error: a bar where there is a terminal, else some lines."""

import sys
import threading
import time
from typing import Any, Self

from xpnet.reporting.live import Live, bar, can_move, time_left

__all__ = ["Count", "start"]


class Count:
    """Shows nothing; the base of what does. A context manager, for the time of the work.

    Parameters
    ----------
    what
        What is counted: ``"networks"``.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.done, self.total = 0.0, 0
        self._lock = threading.Lock()
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def expect(self, more: int) -> None:
        """Expect so many more."""
        self.total += more

    def add(self, part: float) -> None:
        """Note that so much more is done; of any thread."""
        with self._lock:
            self.done += part
            self.show()

    def show(self) -> None:
        """Show how far it is."""

    def left(self) -> str:
        """Return the time left; nothing where there is none to judge by."""
        if not 0 < self.done < self.total:
            return ""
        return time_left((time.perf_counter() - self._began) / self.done * (self.total - self.done))


class Lines(Count):
    """A line a second at most, and one at the end."""

    _written_at = -1.0

    def show(self) -> None:
        """Write a line if it is time to."""
        if time.perf_counter() - self._written_at >= 1:
            self._write()

    def __exit__(self, *_: object) -> None:
        self._write()

    def _write(self) -> None:
        sys.stderr.write(f"{self.done:.0f} of {self.total} {self.what}  {self.left()}".rstrip() + "\n")
        self._written_at = time.perf_counter()


class Bar(Live, Count):
    """A bar that moves; needs rich and a terminal."""

    def render(self) -> Any:
        """Return the bar."""
        return bar(self.done, self.total, f"{self.done:.0f}/{self.total} {self.what}", self.left())


def start(what: str, quiet: bool = False) -> Count:
    """Return the way to count that suits where standard error leads; parameters as for `Count`."""
    if quiet:
        return Count(what)
    return (Bar if can_move() else Lines)(what)
