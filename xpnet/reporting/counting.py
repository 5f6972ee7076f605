"""How many of many things are done, on standard error: a bar where there is a terminal, else some lines."""

import os
import sys
import threading
import time
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, Self

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
        seconds = (time.perf_counter() - self._began) / self.done * (self.total - self.done)
        return f"{timedelta(seconds=round(seconds))} left"


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


class Bar(Count):
    """A bar that moves; needs rich and a terminal."""

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        # Drawn by a thread of its own a few times a second: no step waits for a terminal.
        self._live: Any = Live(
            console=Console(stderr=True), get_renderable=self._render, refresh_per_second=5
        )
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _render(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        line = Table.grid(padding=(0, 2), expand=True)
        line.add_column(ratio=1)
        bar = ProgressBar(total=max(self.total, 1), completed=self.done)
        line.add_row(bar, f"{self.done:.0f}/{self.total} {self.what}", self.left())
        return line


def start(what: str, quiet: bool = False) -> Count:
    """Return the way to count that suits where standard error leads; parameters as for `Count`."""
    if quiet:
        return Count(what)
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return (Bar if is_terminal and find_spec("rich") is not None else Lines)(what)
