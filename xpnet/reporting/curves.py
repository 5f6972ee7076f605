"""The curves of a run or an estimator as charts."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.reporting.axes import Axis, finite, number
from xpnet.reporting.charts import BLUE, GREEN, ORANGE, Mark, Place, Series, chart
from xpnet.reporting.limits import best_of, least_score, until
from xpnet.reporting.metrics import score_name, shown
from xpnet.training.history import History, Row

__all__ = ["best_row", "curves", "score_axis"]

MOST_PLACES = 75
"""Maximum number of epochs whose values a chart shows: one every four pixels."""

MANY = 12
"""Minimum number of scores for an axis to leave out the first ones; the line then enters the chart from
below."""

SPAN = 1e6
"""Maximum ratio of the highest to the lowest loss on an axis."""

BLOWN_UP = 1e3
"""Highest loss on the axis of a diverged run, as a multiple of its first loss."""


def best_row(history: History, monitor: str, score: str) -> int | None:
    """Return the index of the best epoch (the first of several); None if the history does not show it.

    Parameters
    ----------
    history
        History of one network.
    monitor
        Measure that picks the best epoch, as in `Config`.
    score
        What the score is: ``"accuracy"``, or ``"r2"``.
    """
    if monitor in ("val_score", f"val_{score}"):
        values = [row.val_score for row in history.rows]
    elif monitor == "val_loss":
        values = [-row.val_loss for row in history.rows]
    else:
        return None
    known = {k: value for k, value in enumerate(values) if math.isfinite(value)}
    return max(known, key=known.__getitem__) if known else None


def curves(
    history: History,
    score: str = "accuracy",
    *,
    schedule: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
    best: Sequence[int] = (),
    networks: int = 1,
    diverged_at: int = 0,
    unit: str = "step",
) -> str:
    """Return charts of the loss, the score and the learning rate; ``""`` without an epoch.

    Parameters
    ----------
    history
        The measurements. Losses that are not finite are left out.
    score
        What the score is: ``"accuracy"``, or ``"r2"``.
    schedule
        Steps, from 1 to the last one planned, and the learning rate of each; by default those of the history.
        It is drawn up to the last step that was taken.
    best
        Index of the best epoch in the history, for each network.
    networks
        Number of networks; for several, the history holds their means.
    diverged_at
        The step at which training diverged; 0 if it did not.
    unit
        What the steps count: ``"step"`` or ``"epoch"``.
    """
    rows = history.rows
    if not rows:
        return ""
    if diverged_at:  # later measurements mean nothing
        rows = [row for row in rows if row.step < diverged_at] or rows[:1]
        history = History(rows, history.losses[:diverged_at])
    marks, alone = [], None
    if diverged_at:
        marks.append(Mark(diverged_at, f"diverged at step {diverged_at:,}"))
    elif best and len(rows) > 1:
        marks = _marks(rows, best)
        alone = best[0] if networks == 1 else None
    note = f"means over {networks} networks" if networks > 1 else ""
    last = max(rows[-1].step, diverged_at, 2)
    steps = Axis(1, last, label=unit, whole=True)
    charts = [_loss(history, steps, marks, alone, diverged_at, note)]
    if np.isfinite([value for row in rows for value in (row.train_score, row.val_score)]).any():
        charts.append(_score(rows, steps, score, marks, alone, note))
    if np.isfinite([row.learning_rate for row in rows]).any():
        charts.append(_rate(rows, schedule, steps))
    return f'<div class="xp-charts">{"".join(charts)}</div>'


def _marks(rows: Sequence[Row], best: Sequence[int]) -> list[Mark]:
    """Return a line at the best epoch of each network, with a label at the last one."""
    places = sorted(set(best))
    epochs = [rows[place].epoch for place in places]
    said = f"epoch {epochs[0]}" if len(epochs) == 1 else f"epochs {epochs[0]} to {epochs[-1]}"
    return [Mark(rows[place].step, f"best: {said}" if place == places[-1] else "") for place in places]


def _loss(
    history: History, steps: Axis, marks: Sequence[Mark], best: int | None, diverged_at: int, note: str
) -> str:
    rows = history.rows
    ends = np.array([row.step for row in rows])
    # Plot a mean in the middle of the range it was taken over.
    middles = (np.concatenate([[0], ends[:-1]]) + 1 + ends) / 2 if steps.label == "step" else ends
    each, means, of_validation = (
        finite(values)
        for values in (history.losses, [row.train_loss for row in rows], [row.val_loss for row in rows])
    )
    axis = _loss_axis(each, means, of_validation, diverged_at)
    series = [Series("train", middles, means), Series("validation", ends, of_validation, ORANGE)]
    if each.size:
        series.insert(0, Series("each step", np.arange(1, each.size + 1), each, BLUE, "faint"))
    places = [
        Place(
            row.step,
            _head(row, steps.label),
            [
                *([number(each[row.step - 1])] if each.size >= row.step else ["–"] * bool(each.size)),
                number(means[k]),
                number(of_validation[k]),
            ],
            [of_validation[k]],
        )
        for k, row in _some(rows, best)
    ]
    series, places = _without_empty(series, places)
    note = note if best is None else f"{number(of_validation[best])} at the best"
    return chart("Loss", series, steps, axis, marks=marks, places=places, note=note)


def _loss_axis(
    each: NDArray[np.float64],
    means: NDArray[np.float64],
    of_validation: NDArray[np.float64],
    diverged_at: int,
) -> Axis:
    """Return an axis for losses: logarithmic over more than a decade, and limited to a readable range."""
    known = np.concatenate([each, means, of_validation])
    known = known[np.isfinite(known)]
    positive = known[known > 0]
    if not positive.size:
        return Axis.over(known)
    most = float(np.median(positive)) * SPAN
    if diverged_at:
        first = np.concatenate([each, means])
        first = first[np.isfinite(first) & (first > 0)]
        most = float(first[0] if first.size else positive.min()) * BLOWN_UP
    high = min(float(positive.max()), most)
    least = max(float(positive.min()), high / SPAN)
    if high / least > 10 and known.min() >= 0:
        return Axis.over(positive, log=True, least=least, most=high)
    return Axis.over(known, most=high)


def _score(
    rows: Sequence[Row], steps: Axis, score: str, marks: Sequence[Mark], best: int | None, note: str
) -> str:
    ends = [row.step for row in rows]
    of_train, of_validation = (
        finite([getattr(row, name) for row in rows]) for name in ("train_score", "val_score")
    )
    series = [
        Series("train, last batch", ends, of_train, BLUE, "faint"),
        Series("validation", ends, of_validation, ORANGE),
    ]
    places = [
        Place(
            row.step,
            _head(row, steps.label),
            [shown(of_train[k], score), shown(of_validation[k], score)],
            [of_validation[k]],
        )
        for k, row in _some(rows, best)
    ]
    series, places = _without_empty(series, places)
    axis = score_axis([of_train, of_validation], score)
    note = note if best is None else f"{shown(of_validation[best], score)} at the best"
    return chart(_capital(score_name(score)), series, steps, axis, marks=marks, places=places, note=note)


def score_axis(lines: Sequence[ArrayLike], score: str, of_lines: bool = True) -> Axis:
    """Return an axis of scores, limited to their possible range, with numbers formatted for reading.

    The best value of each line is always on it.

    Parameters
    ----------
    lines
        Scores of each line.
    score
        Name of the score: ``"accuracy"`` or ``"r2"``.
    of_lines
        Whether a few low values may be below the axis. A line still enters from there, but a dot would be
        lost.
    """
    least, form = least_score(lines, score), None if score == "r2" else _percent
    known = np.concatenate([finite(line) for line in lines])
    known = known[np.isfinite(known)]
    # The first epochs may be that much worse that no others could be told apart.
    if of_lines and known.size >= MANY:
        top = known.max()
        usual = min([np.quantile(known, 0.1), *(best for best in map(best_of, lines) if math.isfinite(best))])
        if top - usual < 0.35 * (top - known.min()):
            least = max(least, float(usual - 0.5 * (top - usual)))
    return Axis.over(known, least=least, most=1.0, form=form)


def _percent(value: float) -> str:
    return f"{100 * value:.4g} %"


def _rate(
    rows: Sequence[Row], schedule: tuple[NDArray[np.int64], NDArray[np.float64]] | None, steps: Axis
) -> str:
    known = [row.step for row in rows], [row.learning_rate for row in rows]
    x, y = known if schedule is None else until(schedule, steps.high)
    highest = float(np.max(finite(y), initial=0.0, where=np.isfinite(finite(y))))
    axis = Axis(0.0, 1.08 * highest or 1.0)
    places = [
        Place(row.step, _head(row, steps.label), [number(row.learning_rate)], [row.learning_rate])
        for _, row in _some(rows, None)
    ]
    return chart("Learning rate", [Series("learning rate", x, y, GREEN, "plain")], steps, axis, places=places)


def _chosen(count: int, best: int | None) -> list[int]:
    """Return which of many epochs show their values; they always include the first, last and best."""
    some = set(np.linspace(0, count - 1, min(count, MOST_PLACES)).round().astype(int).tolist())
    return sorted(some | (set() if best is None else {best}))


def _some(rows: Sequence[Row], best: int | None) -> list[tuple[int, Row]]:
    return [(k, rows[k]) for k in _chosen(len(rows), best)]


def _without_empty(series: list[Series], places: list[Place]) -> tuple[list[Series], list[Place]]:
    """Return the series that have points: a run without validation rows has no validation line."""
    kept = [k for k, s in enumerate(series) if np.isfinite(np.asarray(s.y, np.float64)).any()]
    shown_at = [place._replace(values=[place.values[k] for k in kept]) for place in places]
    return [series[k] for k in kept], shown_at


def _head(row: Row, unit: str) -> str:
    return f"epoch {row.epoch}, step {row.step:,}" if unit == "step" else f"epoch {row.epoch}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
