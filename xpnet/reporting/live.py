"""Live displays of running work: updated in place in a terminal or a notebook, lines elsewhere."""

import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = [
    "InNotebook",
    "Live",
    "Phase",
    "Plain",
    "Screen",
    "bar",
    "chosen",
    "html_bar",
    "in_notebook",
    "time_left",
]

Phase = Literal["loading", "preprocessing", "training", "evaluating", "drawing", "writing"]
"""Phases of a run."""

LASTING = 3.0
"""Seconds after which a line names the current phase; short runs do not need it."""

REFRESHED = 0.2
"""Seconds between two updates of a display."""


class Screen:
    """Base class of displays; shows nothing. Use as a context manager around the work.

    Attributes
    ----------
    phase
        Current phase; empty before the first and after the last.
    """

    def __init__(self) -> None:
        self.phase: Phase | Literal[""] = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.phase = ""

    def on_phase(self, phase: Phase) -> None:
        """Note that a phase begins."""
        self.phase = phase

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the display while others print or show a bar of their own."""
        yield

    def lasts(self) -> bool:
        """Return whether the last state stays visible."""
        return True


class Plain(Screen):
    """Lines on standard error, for phases that take a while."""

    _timer: threading.Timer | None = None
    _writing = threading.Lock()  # a timer's thread writes, too: its line must not come after a later one

    def on_phase(self, phase: Phase) -> None:
        """Name the phase if it takes a while."""
        super().on_phase(phase)
        self._cancel()
        self._timer = threading.Timer(LASTING, self._name, (phase,))
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *why: object) -> None:
        self._cancel()
        super().__exit__(*why)

    def say(self, line: str) -> None:
        """Write a line; it replaces the line about the phase."""
        with self._writing:
            self._cancel()
            self._write(line)

    def _name(self, phase: Phase) -> None:
        """Write which phase it is, unless something else was written meanwhile."""
        with self._writing:
            if self._timer is not None and phase == self.phase:
                self._write(f"{phase} …")

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write(self, line: str) -> None:
        sys.stderr.write(line.rstrip() + "\n")


class Live(Screen, ABC):
    """A display in a terminal; needs rich."""

    _drawn: Any = None

    def __enter__(self) -> Self:
        super().__enter__()
        self._start()
        return self

    def __exit__(self, *why: object) -> None:
        super().__exit__(*why)
        self._stop(clear=not self.lasts())

    def on_phase(self, phase: Phase) -> None:
        """Show the phase at once, however short it is."""
        super().on_phase(phase)
        if self._drawn is not None:
            self._drawn.refresh()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the display while others print."""
        self._stop(clear=True)
        yield
        self._start()

    @abstractmethod
    def render(self) -> "RenderableType":
        """Return the current content; called from a thread of the display."""

    def _start(self) -> None:
        from rich.console import Console
        from rich.constrain import Constrain
        from rich.live import Live as Drawn

        console = Console(stderr=True)
        # Two columns stay free for the ^C that a terminal echoes, which would otherwise wrap and shift the
        # display. A separate thread draws it a few times a second, so that no step waits for the terminal.
        self._drawn = Drawn(
            console=console,
            get_renderable=lambda: Constrain(self.render(), console.width - 2),
            refresh_per_second=1 / REFRESHED,
            redirect_stdout=sys.stdout.isatty(),  # output to a file or a pipe must arrive there
        )
        try:
            self._drawn.start(refresh=True)
        except BaseException:  # for example Ctrl-C: restore the cursor
            self._stop(clear=True)
            raise

    def _stop(self, clear: bool) -> None:
        if self._drawn is not None:
            self._drawn.transient = clear
            self._drawn.stop()
            self._drawn = None


class InNotebook(Screen, ABC):
    """A display in a notebook, under the running cell; one line of text remains at the end.

    It needs no widgets: each output of the cell replaces the one before, so a saved notebook keeps only the
    last.
    """

    _handle: Any = None
    _shown_at = 0.0

    def __enter__(self) -> Self:
        from IPython.display import display

        super().__enter__()
        self._handle = display(self._state(), raw=True, display_id=True)
        return self

    def __exit__(self, *why: object) -> None:
        super().__exit__(*why)
        self._handle.update({"text/plain": self.text() if self.lasts() else ""}, raw=True)
        self._handle = None

    def on_phase(self, phase: Phase) -> None:
        """Show the phase at once, however short it is."""
        super().on_phase(phase)
        self.show(at_once=True)

    def show(self, at_once: bool = False) -> None:
        """Show the state, unless the last update was very recent; may be called from any thread."""
        # Not in a separate thread, whose output a kernel may assign to another cell.
        if self._handle is not None and (at_once or time.perf_counter() - self._shown_at >= REFRESHED):
            self._shown_at = time.perf_counter()
            self._handle.update(self._state(), raw=True)

    @abstractmethod
    def text(self) -> str:
        """Return the state as a line of text."""

    @abstractmethod
    def html(self) -> str:
        """Return the state as HTML."""

    def _state(self) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": self.html()}


S = TypeVar("S", bound=Screen)


def chosen(quiet: bool, nothing: type[S], plain: type[S], terminal: type[S], notebook: type[S]) -> type[S]:
    """Return the display, of four, that suits the destination of standard error."""
    if quiet:
        return nothing
    if in_notebook():
        return notebook
    can_move = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and find_spec("rich") is not None
    return terminal if can_move else plain


def in_notebook() -> bool:
    """Return whether this runs in the kernel of a notebook."""
    find_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return find_shell is not None and getattr(find_shell(), "kernel", None) is not None


def bar(done: float, total: int | None, *words: str, label: str = "") -> "Table":
    """Return a bar as wide as the terminal, between a label and a text; it pulses if the total is unknown."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    line = Table.grid(padding=(0, 2), expand=True)
    if label:
        line.add_column(
            no_wrap=True, min_width=len("preprocessing")
        )  # the longest: the bar stays in its place
    line.add_column(ratio=1)
    for _ in words:
        line.add_column(no_wrap=True)
    drawn = ProgressBar(total=None if total is None else max(total, 1), completed=done)
    line.add_row(*([label] if label else []), drawn, *words)
    return line


def html_bar(done: float, total: int | None, *words: str, label: str = "") -> str:
    """Return the same bar for a notebook."""
    at = "" if total is None else f' value="{done:g}" max="{max(total, 1)}"'
    name = f'<span style="display: inline-block; width: 7em">{escape(label)}</span>' if label else ""
    parts = [name, f'<progress style="width: 20em"{at}></progress>', *map(escape, words)]
    return f"<div>{' &ensp;'.join(filter(None, parts))}</div>"


def time_left(seconds: float) -> str:
    """Return a duration as text: hours, minutes and seconds."""
    return f"{timedelta(seconds=round(seconds))} left"
