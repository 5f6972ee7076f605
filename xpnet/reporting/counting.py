"""A progress count: a bar in a terminal or a notebook, else a few lines."""

import threading
import time
from typing import Any

from xpnet.reporting.live import InNotebook, Live, Plain, Screen, bar, chosen, html_bar, time_left

__all__ = ["Count", "start"]


class Count(Screen):
    """Base class of progress counts; shows nothing. Use as a context manager around the work.

    Parameters
    ----------
    what
        What is counted: ``"networks"``.
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.done, self.total = 0.0, 0
        self._is_over = False
        self._lock = threading.Lock()
        self._began = time.perf_counter()

    def __exit__(self, *why: object) -> None:
        self._is_over = True
        super().__exit__(*why)

    def expect(self, more: int) -> None:
        """Increase the total."""
        self.total += more

    def add(self, part: float) -> None:
        """Count more as done; may be called from any thread."""
        with self._lock:
            self.done += part
            self.show()

    def show(self) -> None:
        """Show the current state."""

    def counts(self) -> str:
        """Return the number done and the total, as text."""
        return f"{self.done:.0f}/{self.total} {self.what}"

    def left(self) -> str:
        """Return the estimated time left; empty at the end, and if there is nothing to estimate it from."""
        if self._is_over or not 0 < self.done < self.total:
            return ""
        return time_left((time.perf_counter() - self._began) / self.done * (self.total - self.done))


class Lines(Plain, Count):
    """At most one line per second, and one at the end."""

    _written_at = -1.0

    def show(self) -> None:
        """Write a line if one is due."""
        if time.perf_counter() - self._written_at >= 1:
            self._say()

    def __exit__(self, *why: object) -> None:
        self._is_over = True
        self._say()
        super().__exit__(*why)

    def _say(self) -> None:
        self.say(f"{self.done:.0f} of {self.total} {self.what}  {self.left()}")
        self._written_at = time.perf_counter()


class Bar(Live, Count):
    """A bar in a terminal; needs rich."""

    def render(self) -> Any:
        """Return the bar."""
        return bar(self.done, self.total, self.counts(), self.left())


class Cell(InNotebook, Count):
    """A bar in a notebook."""

    def text(self) -> str:
        """Return the numbers."""
        return f"{self.counts()}  {self.left()}".rstrip()

    def html(self) -> str:
        """Return the bar."""
        return html_bar(self.done, self.total, self.counts(), self.left())


def start(what: str, quiet: bool = False) -> Count:
    """Return the kind of count that suits the output; parameters as for `Count`."""
    return chosen(quiet, Count, Lines, Bar, Cell)(what)
