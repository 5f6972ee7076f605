"""The state of a sweep while it runs, on standard error: the best so far and the time left."""

import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from xpnet.reporting.live import Live, can_move, time_left
from xpnet.reporting.metrics import named
from xpnet.runs.config import Config
from xpnet.sweep.chunk import Outcome, Task, merit
from xpnet.sweep.table import as_text
from xpnet.training.history import Row

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Display", "start"]

SHOWN = 10
"""Networks in the live table."""


class Display:
    """Shows nothing; the base of what does. A context manager, for the time of the sweep.

    Parameters
    ----------
    configs
        Settings of each network.
    total
        Steps to train, summed over the networks.
    score
        What the scores are: ``"accuracy"``, or ``"r2"``.
    """

    def __init__(self, configs: Sequence[Config], total: int, score: str = "accuracy") -> None:
        self.configs = configs
        self.score = score
        self.total = total
        self.rows: dict[int, dict[str, Any]] = {}
        self.ended = 0
        self._done: dict[str, int] = {}
        self._lock = threading.Lock()
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_epoch(self, task: Task, row: Row) -> None:
        """Note what an epoch of a stack has measured; called from the threads that train."""
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
        """Note what became of a stack."""
        with self._lock:
            self.ended += 1
            if outcome.key not in self._done:  # an executor's workers tell of no epochs
                before = (self.rows.get(row["network"], {}).get("steps", 0) for row in outcome.rows)
                self._done[outcome.key] = sum(row["steps"] for row in outcome.rows) - sum(before)
            self.rows |= {row["network"]: row for row in outcome.rows}

    def on_recorded(self, rows: Iterable[dict[str, Any]]) -> None:
        """Note what an earlier call of the same sweep has done."""
        for row in rows:
            known = self.rows.get(row["network"], {}).get("steps", 0)
            self.total -= max(row["steps"] - known, 0)
            self.rows[row["network"]] = row

    def best(self, count: int) -> list[dict[str, Any]]:
        """Return the rows of the best networks so far."""
        with self._lock:
            rows = list(self.rows.values())
        return sorted(rows, key=merit, reverse=True)[:count]

    def state(self) -> str:
        """Return how much is done and how long the rest will take."""
        with self._lock:
            done = sum(self._done.values())
        text = f"{len(self.rows)}/{len(self.configs)} networks begun, {self.ended} stacks done"
        if not done:
            return text
        seconds = (time.perf_counter() - self._began) * max(self.total - done, 0) / done
        return f"{text}, {time_left(seconds)}"


class Lines(Display):
    """A line as each stack ends, at most one a second."""

    _written_at = -1.0

    def on_outcome(self, outcome: Outcome) -> None:
        """Write a line if it is time to."""
        super().on_outcome(outcome)
        if time.perf_counter() - self._written_at >= 1:
            self._written_at = time.perf_counter()
            best = self.best(1)[0]
            val = named(best["val_score"], self.score)
            sys.stderr.write(f"{self.state()}; best so far: network {best['network']}, val {val}\n")


class LiveTable(Live, Display):
    """A table that moves: the best networks so far; needs rich and a terminal."""

    def render(self) -> "RenderableType":
        """Return the table."""
        from rich.text import Text

        table = as_text(self.configs, self.best(SHOWN), self.score)
        return Text(f"{table}\n{self.state()}", no_wrap=True)


def start(configs: Sequence[Config], total: int, quiet: bool, score: str = "accuracy") -> Display:
    """Return the way to show a sweep that suits where standard error leads."""
    if quiet:
        return Display(configs, total, score)
    return (LiveTable if can_move() else Lines)(configs, total, score)
