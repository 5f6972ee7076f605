"""A progress bar on standard error for downloads and conversions."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Bar", "Showing", "progress_bar"]

Showing: TypeAlias = bool | Callable[[], AbstractContextManager[None]]
"""Whether to show a bar; or a function that returns a context for it, which hides another display."""


@contextlib.contextmanager
def progress_bar(name: str, showing: Showing = True) -> Iterator["Bar | None"]:
    """Show a progress bar on standard error; none if that is not a terminal, or rich is missing."""
    try:
        from rich import progress
        from rich.console import Console
    except ImportError:
        yield None
        return
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        progress.TextColumn(name),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    room = showing() if callable(showing) else contextlib.nullcontext()
    with room, progress.Progress(*columns, console=Console(stderr=True)) as display:
        yield Bar(display)


class Bar:
    """A bar of rich with the attributes of a tqdm bar, which pooch expects."""

    def __init__(self, display: "Progress") -> None:
        self._display = display
        self._task = display.add_task("", total=None)

    @property
    def total(self) -> float | None:
        """Total number of bytes; None if the server does not say."""
        return self._display.tasks[0].total

    @total.setter
    def total(self, num_bytes: int) -> None:
        """Set the total."""
        # It is set at the start of every attempt, which starts with an empty bar.
        self._display.reset(self._task, total=num_bytes or None)

    def update(self, num_bytes: int) -> None:
        """Advance the bar."""
        self._display.advance(self._task, num_bytes)

    def reset(self) -> None:
        """Go back to the start, as pooch does before it fills the bar."""
        self._display.update(self._task, completed=0)

    def close(self) -> None:
        """Do nothing: `progress_bar` removes the bar."""
