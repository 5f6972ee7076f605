"""What is drawn again and again while something runs, on standard error: what all such displays share."""

import os
import sys
from abc import ABC, abstractmethod
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["Live", "bar", "can_move", "time_left"]


class Live(ABC):
    """A display that moves while a context lasts; needs rich and a terminal."""

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live as Drawn

        # Drawn by a thread of its own a few times a second: no step waits for a terminal.
        self._drawn: Any = Drawn(
            console=Console(stderr=True), get_renderable=self.render, refresh_per_second=5
        )
        self._drawn.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._drawn.stop()

    @abstractmethod
    def render(self) -> "RenderableType":
        """Return what is to be seen now; called by a thread of its own."""


def can_move() -> bool:
    """Return whether standard error leads to where a display can move, and rich is there to draw it."""
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return is_terminal and find_spec("rich") is not None


def bar(done: float, total: int, *words: str) -> "Table":
    """Return a bar as wide as the terminal, with words beside it."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    line = Table.grid(padding=(0, 2), expand=True)
    line.add_column(ratio=1)
    line.add_row(ProgressBar(total=max(total, 1), completed=done), *words)
    return line


def time_left(seconds: float) -> str:
    """Return how long it will take, in words: hours, minutes and seconds."""
    return f"{timedelta(seconds=round(seconds))} left"
