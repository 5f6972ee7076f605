"""Progress of a training run: its phases, and the results of its epochs."""

import time
from typing import TYPE_CHECKING

from xpnet.reporting.live import InNotebook, Live, Phase, Plain, Screen, bar, chosen, html_bar, time_left
from xpnet.reporting.metrics import named
from xpnet.training.history import History, Row

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Bar", "Cell", "Lines", "Progress", "Shown", "start"]


class Progress(Screen):
    """Base class of progress displays; shows nothing. A context manager for a whole run."""

    def __init__(self) -> None:
        super().__init__()
        self.num_steps = self.batch_size = self.steps = self._done = 0
        self.score = "accuracy"
        self.row: Row | None = None

    def expect(self, num_steps: int, batch_size: int, done: int = 0, score: str = "accuracy") -> None:
        """Announce the training to come.

        Parameters
        ----------
        num_steps
            Number of updates.
        batch_size
            Rows in each.
        done
            Updates already done, if the run is resumed.
        score
            What the scores are: ``"accuracy"``, or ``"r2"``.
        """
        self.num_steps, self.batch_size, self.score = num_steps, batch_size, score
        self.steps = self._done = done

    def on_step(self) -> None:
        """Note that a step begins. Called for every step, so it must be fast."""
        # If several stacks train at once, another may continue after the one being counted has ended.
        self.steps = min(self.steps + 1, self.num_steps)

    def on_epoch(self, history: History) -> None:
        """Note the measurements of an epoch."""
        self.row = history.rows[-1]

    def lasts(self) -> bool:
        """Return whether the last state stays visible: it does once training has begun."""
        return self.has_begun

    @property
    def has_begun(self) -> bool:
        """Whether a step has begun."""
        return self.steps > self._done


class Shown(Progress):
    """Base class of the visible displays: the figures that they show.

    The figures are those at the end of the last step or epoch, so the speed does not drop during a long step
    or after the last one.
    """

    _began = 0.0
    _is_over = False
    _mark = (0, 0.0)  # number of steps done, and when the last one ended

    def on_step(self) -> None:
        """Note that a step begins, and that the ones before have ended."""
        now = time.perf_counter()
        if self.steps == self._done:
            self._began = now
        self._mark = (self.steps - self._done, now)
        super().on_step()

    def on_epoch(self, history: History) -> None:
        """Note the measurements of an epoch, and that its steps have ended."""
        super().on_epoch(history)
        self._mark = (self.steps - self._done, time.perf_counter())

    def on_phase(self, phase: Phase) -> None:
        """Note that a phase begins: with those after training, the last step is known."""
        if phase not in ("loading", "preprocessing", "training"):
            self._settle()
        super().on_phase(phase)

    def __exit__(self, *why: object) -> None:
        self._settle()
        super().__exit__(*why)

    def _settle(self) -> None:
        """Take the step of the last epoch for the last: one that was counted may never have begun."""
        self._is_over = True
        if self.row is not None:
            self.steps = self.row.step

    @property
    def ended_early(self) -> bool:
        """Whether training is over before its last step."""
        return self._is_over and self.steps < self.num_steps

    def counts(self, steps: int | None = None) -> str:
        """Return how many of the steps have begun, or a number of them, and whether no more will."""
        steps = self.steps if steps is None else steps
        return f"{steps}/{self.num_steps}{', ended early' if self.ended_early else ''}"

    def measured(self) -> str:
        """Return the results of the last epoch, and the speed; empty during the first step."""
        parts = []
        if self.row is not None:
            train, val = (named(v, self.score, 1) for v in (self.row.train_score, self.row.val_score))
            rate = f"rate {self.row.learning_rate:.3g}"
            parts = [f"loss {self.row.train_loss:.4g}", f"batch {train}", f"val {val}", rate]
        steps, at = self._mark
        if steps:
            parts.append(f"{steps * self.batch_size / max(at - self._began, 1e-9):,.0f} samples/s")
        return "  ".join(parts)

    def left(self) -> str:
        """Return the estimated time left; empty during the first step."""
        steps, at = self._mark
        to_come = self.num_steps - self._done - steps
        if self.phase != "training" or steps < 2 or not to_come:
            return ""
        return time_left(max((at - self._began) / steps * to_come - (time.perf_counter() - at), 0.0))


class Lines(Plain, Shown):
    """A line after the first and the last epoch, and about one per second between them."""

    _written: tuple[Row, bool] | None = None  # the last row, and whether it was said that it ended early
    _written_at = -1.0

    def on_epoch(self, history: History) -> None:
        """Write a line if one is due."""
        super().on_epoch(history)
        if time.perf_counter() - self._written_at >= 1:
            self._write_row(self.left())

    def _settle(self) -> None:
        """Write the line about the last epoch, too."""
        super()._settle()
        if self.row is not None and self._written != (self.row, self.ended_early):
            self._write_row()

    def _write_row(self, left: str = "") -> None:
        if self.row is None:
            return
        # The step of the row: of stacks beside each other one may be ahead of the epoch that all have ended.
        self.say(f"step {self.counts(self.row.step)}  {self.measured()}  {left}")
        self._written, self._written_at = (self.row, self.ended_early), time.perf_counter()


class Bar(Live, Shown):
    """A bar in a terminal, with the figures under it; needs rich."""

    def render(self) -> "RenderableType":
        """Return the bar and the figures."""
        from rich.console import Group
        from rich.text import Text

        if not self.has_begun:
            return bar(0, None, label=self.phase)
        line = bar(self.steps, self.num_steps, self.counts(), self.left(), label=self.phase)
        return Group(line, Text(self.measured(), no_wrap=True, overflow="ellipsis"))


class Cell(InNotebook, Shown):
    """A bar in a notebook, with the figures under it."""

    def on_step(self) -> None:
        """Note that a step begins, and show it a few times a second."""
        super().on_step()
        self.show()

    def on_epoch(self, history: History) -> None:
        """Show the measurements of an epoch, a few times a second."""
        super().on_epoch(history)
        self.show()

    def text(self) -> str:
        """Return the steps and the figures."""
        steps = f"step {self.counts()}" if self.has_begun else ""
        return "  ".join(filter(None, [self.phase, steps, self.measured(), self.left()]))

    def html(self) -> str:
        """Return the bar and the figures."""
        if not self.has_begun:
            return html_bar(0, None, label=self.phase)
        line = html_bar(self.steps, self.num_steps, self.counts(), self.left(), label=self.phase)
        return f'{line}<div style="white-space: pre-wrap">{self.measured()}</div>'


def start(quiet: bool = False) -> Progress:
    """Return the display that suits the output; one that shows nothing if quiet."""
    return chosen(quiet, Progress, Lines, Bar, Cell)()
