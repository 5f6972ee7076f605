"""Two runs side by side: scores, time and settings, as lines of text."""

import time
from collections.abc import Mapping
from typing import Any

from xpnet.commands.tabulate import Column, as_lines, shortened
from xpnet.reporting.metrics import score_name, shown
from xpnet.runs.listing import Listed, differing
from xpnet.sweep.table import show
from xpnet.text import printable, width_of

__all__ = ["comparison"]

BETTER = "*"


def comparison(first: Listed, second: Listed, usual: Mapping[str, Any], width: int) -> list[str]:
    """Return the lines that compare two runs, or the best networks of sweeps.

    Parameters
    ----------
    first, second
        The two runs or sweeps.
    usual
        The default of every setting, for settings that a run of an earlier version lacks.
    width
        Width of a line.
    """
    runs = first, second
    rows: list[tuple[str, ...]] = []
    for part in ("test", "val", "train"):
        rows += _score(part, first, second)
    numbers = {"epochs": "d", "steps": "d", "seconds": ".2f"}
    for name, form in numbers.items():
        values = [getattr(run, name) for run in runs]
        if values != [None, None]:
            a, b = values
            difference = "" if None in values or a == b else f"{b - a:+{form}}"
            name += "" if name == "seconds" else " done"
            rows.append((name, *("" if v is None else f"{v:{form}}" for v in values), difference))
    rows.append(("status", *(_status(run) for run in runs), ""))
    rows.append(
        ("written", *(time.strftime("%Y-%m-%d %H:%M", time.localtime(run.written)) for run in runs), "")
    )
    for name in ("device", "backend", "dtype"):
        values = [str(run.summary.get(name, "")) for run in runs]
        if any(values):
            rows.append((name, *values, ""))
    rows.append(("dataset", *(run.dataset for run in runs), ""))
    settings = differing(runs, usual) if first.settings and second.settings else []
    rows += [("",) * 4] if settings else []  # a blank line
    for name in settings:
        values = [run.settings.get(name, usual.get(name)) for run in runs]
        rows.append((name, *map(show, values), ""))
    label, last = (max(width_of(row[k]) for row in rows) for k in (0, 3))
    room = max(12, (width - label - max(last, len("difference")) - 6) // 2)
    texts = [[shortened(printable(cell), room) for cell in row[1:3]] for row in rows]
    names = [shortened(printable(str(run.path)), room) for run in runs]
    table = as_lines(
        [
            Column("", [row[0] for row in rows]),
            *(Column(names[k], [pair[k] for pair in texts], is_one_line=True) for k in (0, 1)),
            Column("difference", [row[3] for row in rows], True),
        ]
    )
    remarks = _remarks(first, second, settings)
    if any(text.endswith(BETTER) for pair in texts for text in pair):
        remarks.insert(0, f"{BETTER} the better of the two")
    return [*table, "", *remarks] if remarks else table


def _score(part: str, first: Listed, second: Listed) -> list[tuple[str, str, str, str]]:
    """Return the row of a score, with the better value marked; empty if neither run has it."""
    a, b = getattr(first, part), getattr(second, part)
    if a is None and b is None:
        return []
    score = first.score or second.score
    name = f"{part} {score_name(score)}"
    if first.score and second.score and first.score != second.score:
        name = f"{part} score"
    texts = ["" if value is None else shown(value, run.score) for value, run in ((a, first), (b, second))]
    difference = ""
    if a is not None and b is not None and first.score == second.score:
        difference = f"{100 * (b - a):+.2f}" if "accuracy" in score else f"{b - a:+.4f}"
        if a != b and _same_data(first, second):
            texts[int(b > a)] += f" {BETTER}"
    return [(name, texts[0], texts[1], difference)]


def _status(run: Listed) -> str:
    return run.status if run.networks is None else f"{run.status}, best of {run.networks}"


def _same_data(first: Listed, second: Listed) -> bool:
    """Return whether the runs used the same rows, as far as is known."""
    known = first.summary.get("data"), second.summary.get("data")
    return known[0] == known[1] if None not in known else first.dataset == second.dataset


def _remarks(first: Listed, second: Listed, settings: list[str]) -> list[str]:
    lines = []
    if not _same_data(first, second):
        lines.append("The runs used different data, so their scores can't be compared.")
    if not (first.settings and second.settings):
        lines.append("The settings of one run are unknown: its config.json is missing or damaged.")
    elif not settings:
        lines.append("No setting differs.")
    return lines
