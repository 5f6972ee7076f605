"""The state of a training run while it runs, on standard error."""

import sys
import time
from typing import TYPE_CHECKING, Self

from xpnet.reporting.live import Live, bar, can_move, time_left
from xpnet.reporting.metrics import named
from xpnet.training.history import History, Row

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Bar", "Lines", "Progress", "start"]


class Progress:
    """Shows nothing; the base of what does. A context manager, for the time of the training.

    Parameters
    ----------
    num_steps
        Number of updates.
    batch_size
        Rows in each.
    done
        Updates of an earlier process that this one goes on from.
    score
        What the scores are: ``"accuracy"``, or ``"r2"``.
    """

    def __init__(self, num_steps: int, batch_size: int, done: int = 0, score: str = "accuracy") -> None:
        self.num_steps = num_steps
        self.batch_size = batch_size
        self.steps = done
        self.score = score
        self._done = done
        self.row: Row | None = None
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_step(self) -> None:
        """Note that a step begins. Called for every step, so it does next to nothing."""
        if self.steps == self._done:
            self._began = time.perf_counter()
        # Of stacks that are trained beside each other another may go on when the one that was counted ends.
        self.steps = min(self.steps + 1, self.num_steps)

    def on_epoch(self, history: History) -> None:
        """Note what an epoch has measured."""
        self.row = history.rows[-1]

    def measured(self) -> str:
        """Return the figures of the last epoch, and the speed."""
        if self.steps == self._done:
            return "preparing the data"
        samples_per_second = (self.steps - self._done) * self.batch_size / self._elapsed()
        speed = f"{samples_per_second:,.0f} samples/s"
        if self.row is None:
            return speed
        train, val = (named(v, self.score, 1) for v in (self.row.train_score, self.row.val_score))
        return (
            f"loss {self.row.train_loss:.4g}  train {train}  val {val}  "
            f"rate {self.row.learning_rate:.3g}  {speed}"
        )

    def left(self) -> str:
        """Return the time left; nothing where there is none, or only the first step to judge by."""
        taken = self.steps - self._done
        if taken < 2 or self.steps == self.num_steps:
            return ""
        return time_left(self._elapsed() / taken * (self.num_steps - self.steps))

    def _elapsed(self) -> float:
        return max(time.perf_counter() - self._began, 1e-9)


class Lines(Progress):
    """A line after the first epoch, after the last, and between them about one a second."""

    _written: Row | None = None
    _written_at = -1.0

    def on_epoch(self, history: History) -> None:
        """Write a line if it is time to."""
        super().on_epoch(history)
        if time.perf_counter() - self._written_at >= 1:
            self._write(self.left())

    def __exit__(self, *_: object) -> None:
        if self.row is not None and self.row is not self._written:
            self.steps = self.row.step  # a step that was stopped before it began has been counted
            self._write()

    def _write(self, left: str = "") -> None:
        line = f"step {self.steps}/{self.num_steps}  {self.measured()}  {left}"
        sys.stderr.write(line.rstrip() + "\n")
        self._written, self._written_at = self.row, time.perf_counter()


class Bar(Live, Progress):
    """A bar that moves, with the figures under it; needs rich and a terminal."""

    def render(self) -> "RenderableType":
        """Return the bar and the figures."""
        from rich.console import Group
        from rich.text import Text

        line = bar(self.steps, self.num_steps, f"{self.steps}/{self.num_steps}", self.left())
        return Group(line, Text(self.measured(), no_wrap=True))


def start(
    num_steps: int, batch_size: int, quiet: bool = False, done: int = 0, score: str = "accuracy"
) -> Progress:
    """Return the way to show progress that suits where standard error leads.

    Parameters
    ----------
    num_steps, batch_size, done, score
        As for `Progress`.
    quiet
        Show nothing.
    """
    if quiet:
        return Progress(num_steps, batch_size, done, score)
    return (Bar if can_move() else Lines)(num_steps, batch_size, done, score)
