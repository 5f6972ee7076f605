"""The charts of a sweep's page: curves, and scores over each setting and the number of training rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xpnet.reporting.axes import Axis
from xpnet.reporting.charts import BLUE, GREEN, ORANGE, Place, Series, chart
from xpnet.reporting.curves import score_axis
from xpnet.reporting.limits import best_of
from xpnet.reporting.metrics import score_name, shown
from xpnet.reporting.page import text
from xpnet.runs.config import Config
from xpnet.sweep.field import in_order
from xpnet.sweep.influence import by_influence, is_number
from xpnet.sweep.learning import Line, lines_of
from xpnet.sweep.table import show, varied
from xpnet.text import shorten

__all__ = ["by_setting", "by_training_rows", "curves"]

MOST_CURVES, MOST_PLACES, MOST_SETTINGS, MOST_NAMES = 60, 75, 6, 8
"""Maximum numbers of curves, of places that show values, of settings with a chart, of words along an axis."""

LETTERS, MOST_TITLE = 44, 48
"""Maximum numbers of letters along an axis, and in the line of the title."""

GREY = "#8a94a0"
COLOURS = (BLUE, ORANGE, GREEN, "#a259b5", "#c8455b", "#8a7430")


def curves(rows: Sequence[Mapping[str, Any]], score: str) -> str:
    """Return a chart of the networks' validation scores, the best in colour; empty if no epoch was complete.

    Of many networks, only some have a line: evenly spread from the best to the worst. The range under the
    pointer is over all of them.

    Parameters
    ----------
    rows, score
        As in `xpnet.sweep.Sweep`.
    """
    known = [row for row in rows if len(row.get("curve", ())) > 0 and row["status"] != "diverged"]
    if not known:
        return ""
    of_each = [dict(map(tuple, row["curve"])) for row in known]
    best, others = of_each[0], of_each[1:]
    drawn = _spread(others, MOST_CURVES - 1)
    series = [
        Series("others" if k == len(drawn) - 1 else "", list(one), list(one.values()), GREY, "faint")
        for k, one in enumerate(drawn)
    ]
    name = f"best: network {known[0]['network']}"
    series.append(Series(name, list(best), list(best.values()), ORANGE, "line"))
    places = []
    for step in _spread(list(best)):
        at = [one[step] for one in others if step in one and math.isfinite(one[step])]
        span = [f"{shown(min(at), score, 1)} to {shown(max(at), score, 1)}" if at else "–"]
        of_best = shown(best[step], score)
        places.append(Place(step, f"step {step:,}", [*(span * bool(others)), of_best], [best[step]]))
    last = max(max(one) for one in of_each)
    # The first epoch looks alike for all networks and may be cut off, but the best value must be visible.
    later = [value for one in of_each for value in list(one.values())[len(one) > 3 :]]
    y = score_axis([[*later, best_of(list(best.values()))]], score)
    steps = Axis(1, max(last, 2), label="step", whole=True)
    title = f"Validation {score_name(score)}"
    note = f"{MOST_CURVES} of {len(of_each):,} drawn" if len(of_each) > MOST_CURVES else ""
    return chart(title, series, steps, y, places=places, note=note)


def by_setting(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str) -> str:
    """Return a chart of the validation score over each setting but the seed, the most influential first.

    Parameters
    ----------
    configs, rows, score
        As in `xpnet.sweep.Sweep`.
    """
    trained = [row for row in rows if row["status"] != "diverged" and math.isfinite(row["val_score"])]
    if not trained:
        return ""
    used = [configs[row["network"]] for row in trained]
    scores = [row["val_score"] for row in trained]
    y = score_axis([scores], score, of_lines=False)
    names = by_influence(configs, rows)
    drawn = "".join(_over(name, used, scores, score, y) for name in names[:MOST_SETTINGS])
    if not drawn:
        return ""
    note = (
        "Each dot is a network; the pointer shows the best score at a value. The most influential setting is "
        "first."
    )
    if len(names) > MOST_SETTINGS:
        note += f" These are {MOST_SETTINGS} of {len(names)}."
    return f'<p class="faint">{note}</p><div class="xp-charts">{drawn}</div>'


def _over(name: str, configs: Sequence[Config], scores: Sequence[float], score: str, y: Axis) -> str:
    """Return the chart of one setting; empty if all networks have the same value."""
    values = in_order(configs, name)
    if len(values) < 2:
        return ""
    of_each = [getattr(config, name) for config in configs]
    best: dict[Any, float] = {}
    for value, reached in zip(of_each, scores, strict=True):
        best[value] = max(reached, best.get(value, reached))
    style, label = "dots", name
    if len(values) > 2 and is_number(values):
        at = {value: float(value) for value in values}
        x = _of_numbers(list(at.values()), name, whole=all(isinstance(value, int) for value in values))
        style = "line" if varied(configs) == [name] else "dots"
    else:
        if len(values) > MOST_NAMES:
            label = f"{name}, the best {MOST_NAMES} of {len(values)} values"
            ranked = sorted(values, key=best.__getitem__, reverse=True)
            values = [value for value in values if value in ranked[:MOST_NAMES]]
        at = {value: float(k) for k, value in enumerate(values)}
        letters = LETTERS // len(values) - 1
        x = Axis.of_names([shorten(show(value) or "none", letters) for value in values], label)
    title = f"{_named(score)} by {name.replace('_', ' ')}"
    room = MOST_TITLE - len(title)
    places = [
        Place(at[value], shorten(show(value) or "none", room), [shown(best[value], score)], [best[value]])
        for value in _spread(values)
    ]
    # A dot below the axis would be invisible, so it moves up to the axis.
    points = sorted(
        (at[value], max(reached, y.low))
        for value, reached in zip(of_each, scores, strict=True)
        if value in at
    )
    across, down = [place for place, _ in points], [reached for _, reached in points]
    series = [Series("validation", across, down, ORANGE, style)]
    return chart(title, series, x, y, places=places)


def _of_numbers(values: Sequence[float], label: str, *, whole: bool) -> Axis:
    """Return an axis for a setting's values: logarithmic if they are spread over orders of magnitude."""
    low, middle, high = min(values), float(np.median(values)), max(values)
    log = low > 0 and high > 10 * low and middle < 0.3 * high
    return Axis.over(values, log=log, label=label, whole=whole)


def _named(score: str) -> str:
    name = score_name(score)
    return f"{name[:1].upper()}{name[1:]}"


def by_training_rows(
    configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str, num_rows: int | None
) -> str:
    """Return a chart of scores over the number of training rows; empty if that does not vary.

    Parameters
    ----------
    configs, rows, score
        As in `xpnet.sweep.Sweep`.
    num_rows
        Number of training rows.
    """
    lines = lines_of(configs, rows, num_rows)
    if not lines:
        return ""
    series, legend, means = [], [], []
    alone = len(lines) == 1
    for line, colour in zip(lines, COLOURS, strict=False):
        counts = list(line.points)
        for part, name, style in (("train", "training", "dashed"), ("val", "validation", "line")):
            mean, _ = line.band(f"{part}_score")
            means.append(mean)
            colour_of_part = {"train": BLUE, "val": ORANGE}[part] if alone else colour
            series.append(Series(name if alone else "", counts, mean, colour_of_part, style))
        if not alone:
            legend.append(f'<li><span style="color:{colour}">●</span> {text(line.label)}</li>')
    counts = sorted({count for line in lines for count in line.points})
    places = [_at_rows(lines, count, score) for count in counts]
    x = Axis.over(counts, log=True, label="training rows")
    y = score_axis(means, score, of_lines=False)
    drawn = chart(f"{_named(score)} by training rows", series, x, y, places=places)
    note = '<p class="faint">Solid: validation. Dashed: training. Means over the seeds.</p>'
    listed = f'<ul class="legend">{"".join(legend)}</ul>' if legend else ""
    return f'{note}{listed}<div class="xp-charts">{drawn}</div>'


def _at_rows(lines: Sequence[Line], count: int, score: str) -> Place:
    """Return what the chart shows at a number of rows: both scores of one line, or the best of several."""
    means = []
    for line in lines:
        if count in line.points:
            place = list(line.points).index(count)
            means.append([float(line.band(f"{part}_score")[0][place]) for part in ("train", "val")])
    of_train, of_validation = max(means, key=lambda both: both[1])
    if len(lines) == 1:
        both = [shown(of_train, score), shown(of_validation, score)]
        return Place(count, f"{count:,} rows", both, [of_train, of_validation])
    return Place(count, f"{count:,} rows: best {shown(of_validation, score)}", [], [of_validation])


def _spread(values: Sequence[Any], most: int = MOST_PLACES) -> list[Any]:
    """Return at most ``most`` of the values, evenly spread, with the first and the last."""
    at = np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int)
    return [values[k] for k in at.tolist()]
