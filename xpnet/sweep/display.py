"""The state of a sweep while it runs: its phases, the best so far and the time left."""

import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.reporting.live import InNotebook, Live, Phase, Plain, Screen, bar, chosen, html_bar, time_left
from xpnet.reporting.metrics import named
from xpnet.runs.config import Config
from xpnet.sweep.chunk import Outcome, Task, merit
from xpnet.sweep.table import as_text, cells
from xpnet.text import html_table
from xpnet.training.history import Row

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Display", "start"]

ENDED = ("evaluating", "drawing", "writing")
"""Phases that a sweep reaches only if it was not interrupted: no network is left to train."""

SHOWN = 10
"""Number of networks in the live table."""


class Display(Screen):
    """Base of all displays; shows nothing. A context manager, from loading the data to the last file."""

    def __init__(self) -> None:
        super().__init__()
        self.configs: Sequence[Config] = ()
        self.score = "accuracy"
        self.total, self.rungs, self.is_complete = 0, 1, False
        self.rows: dict[int, dict[str, Any]] = {}
        self._done: dict[str, int] = {}
        self._lock = threading.Lock()
        self._began = 0.0

    def expect(self, configs: Sequence[Config], total: int, score: str = "accuracy", rungs: int = 1) -> None:
        """Announce the work ahead.

        Parameters
        ----------
        configs
            Settings of each network.
        total
            Steps to train, summed over the networks.
        score
            Name of the scores: ``"accuracy"`` or ``"r2"``.
        rungs
            Number of rungs of halving; 1 without it.
        """
        self.configs, self.total, self.score, self.rungs = configs, total, score, rungs
        self._began = time.perf_counter()

    def on_phase(self, phase: Phase) -> None:
        """Note that a phase begins."""
        self.is_complete = phase in ENDED
        super().on_phase(phase)

    def on_epoch(self, task: Task, row: Row) -> None:
        """Note the measurements of an epoch of a stack; called from the training threads."""
        train, val = np.atleast_1d(row.train_score), np.atleast_1d(row.val_score)
        begun = next(iter(task.before.values())).history.rows[-1].step if task.before else 0
        with self._lock:
            self._done[task.key] = (row.step - begun) * len(task.configs)
            for place, number in enumerate(task.configs):
                self.rows[number] = {
                    "network": number,
                    "train_score": float(train[place]),
                    "val_score": float(val[place]),
                    "status": f"step {row.step}",
                }

    def on_outcome(self, outcome: Outcome) -> None:
        """Note the result of a stack."""
        with self._lock:
            if outcome.key not in self._done:  # workers of an executor do not report epochs
                before = (self.rows.get(row["network"], {}).get("steps", 0) for row in outcome.rows)
                self._done[outcome.key] = sum(row["steps"] for row in outcome.rows) - sum(before)
            self.rows |= {row["network"]: row for row in outcome.rows}

    def on_recorded(self, rows: Iterable[dict[str, Any]]) -> None:
        """Note the results of an earlier call of the same sweep."""
        for row in rows:
            known = self.rows.get(row["network"], {}).get("steps", 0)
            self.total -= max(row["steps"] - known, 0)
            self.rows[row["network"]] = row

    def best(self, count: int) -> list[dict[str, Any]]:
        """Return the rows of the best networks so far."""
        with self._lock:
            rows = list(self.rows.values())
        return sorted(rows, key=merit, reverse=True)[:count]

    def leader(self) -> str:
        """Return the best network so far, as text."""
        (best,) = self.best(1)
        return f"network {best['network']}, val {named(best['val_score'], self.score)}"

    def steps(self) -> int:
        """Return the number of steps done, summed over the networks."""
        with self._lock:
            return sum(self._done.values())

    def counts(self) -> str:
        """Return the number of networks done, as text; with halving, those of the rung."""
        with self._lock:
            rows = [row for row in self.rows.values() if "steps" in row]
            keys = [*self._done, *(row.get("task", "") for row in rows)]
        if self.rungs == 1 or self.is_complete:
            return f"{len(rows)}/{len(self.configs)} networks"
        rung = max((key.partition("-")[0] for key in keys), key=_number, default="")
        done = sum(row.get("task", "").partition("-")[0] == rung for row in rows)
        return f"rung {_number(rung) + 1} of {self.rungs}, {done} networks"

    def left(self) -> str:
        """Return the training time left, as text; ``""`` if it is unknown."""
        done = self.steps()
        to_come = self.total - done
        if self.phase != "training" or not done or to_come <= 0:
            return ""
        return time_left((time.perf_counter() - self._began) * to_come / done)


def _number(rung: str) -> int:
    """Return the number of a rung: 1 for ``"rung1"``."""
    return int(rung.removeprefix("rung") or 0)


class Lines(Plain, Display):
    """A line when a stack ends, at most one per second, and one at the end of training."""

    _written_at = -1.0
    _has_news = False

    def on_outcome(self, outcome: Outcome) -> None:
        """Write a line if one is due."""
        super().on_outcome(outcome)
        self._has_news = True
        if time.perf_counter() - self._written_at >= 1:
            self._written_at = time.perf_counter()
            self._write_state(self.left())

    def on_phase(self, phase: Phase) -> None:
        """Write the last state once training is over."""
        if phase in ENDED:
            self.is_complete = True
            self._write_last()
        super().on_phase(phase)

    def __exit__(self, *why: object) -> None:
        self._write_last()
        super().__exit__(*why)

    def _write_last(self) -> None:
        if self._has_news:
            self._has_news = False
            self._write_state()

    def _write_state(self, left: str = "") -> None:
        state = ", ".join(filter(None, [self.counts(), left]))
        self.say(f"{state}; best{'' if self.is_complete else ' so far'}: {self.leader()}")


class Moving(Display):
    """The common part of terminals and notebooks."""

    def lasts(self) -> bool:
        """Return whether to keep the last state, which is so once something was trained."""
        return bool(self.rows)

    @property
    def shows_table(self) -> bool:
        """Whether to show the best networks so far, until the final table replaces them."""
        return bool(self.rows and self.phase)


class LiveTable(Live, Moving):
    """The best networks so far in a terminal, and a bar under them; needs rich."""

    def render(self) -> "RenderableType":
        """Return the table and the bar."""
        from rich.console import Group
        from rich.text import Text

        if not self.rows:
            return bar(0, None, label=self.phase)
        line = bar(self.steps(), self.total, self.counts(), self.left(), label=self.phase)
        if not self.shows_table:
            return line
        table = as_text(self.configs, self.best(SHOWN), self.score)
        return Group(Text(table, no_wrap=True, overflow="ellipsis"), line)


class Cell(InNotebook, Moving):
    """The best networks so far in a notebook, and a bar above them."""

    def on_epoch(self, task: Task, row: Row) -> None:
        """Show the measurements of an epoch, a few times a second."""
        super().on_epoch(task, row)
        self.show()

    def on_outcome(self, outcome: Outcome) -> None:
        """Show the result of a stack, a few times a second."""
        super().on_outcome(outcome)
        self.show()

    def text(self) -> str:
        """Return the numbers."""
        if not self.rows:
            return self.phase
        best = f"best{' so far' if self.phase else ''}: {self.leader()}"
        return "  ".join(filter(None, [self.phase, self.counts(), self.left(), best]))

    def html(self) -> str:
        """Return the bar and the table."""
        if not self.rows:
            return html_bar(0, None, label=self.phase)
        line = html_bar(self.steps(), self.total, self.counts(), self.left(), label=self.phase)
        if not self.shows_table:
            return line
        header, *rows = cells(self.configs, self.best(SHOWN), self.score)
        return line + html_table(header, rows)


def start(quiet: bool) -> Display:
    """Return the display that suits the terminal, notebook or file; one that shows nothing if ``quiet``."""
    return chosen(quiet, Display, Lines, LiveTable, Cell)()
