"""A sweep on one page, ``report.html`` in its folder: a table that can be sorted, a heat map and curves."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.reporting.axes import Axis, number
from xpnet.reporting.charts import BLUE, GREEN, ORANGE, Place, Series, chart
from xpnet.reporting.curves import score_axis
from xpnet.reporting.metrics import score_name, shown
from xpnet.reporting.page import SORTING, page, scrolling, section, shade, text
from xpnet.reporting.report import settings_section
from xpnet.runs.config import Config
from xpnet.runs.defaults import defaults_for
from xpnet.runs.run import Run
from xpnet.sweep.learning import SEEDS, Line, lines_of
from xpnet.sweep.plots import field_of
from xpnet.sweep.table import cells, show, varied
from xpnet.text import for_shell

__all__ = ["curves", "page_of"]

MOST_ROWS, MOST_CURVES, MOST_PLACES, MOST_SETTINGS = 1000, 60, 75, 6
"""Networks in the table, and with a curve each; places that show values; settings with a chart each."""

GREY = "#8a94a0"
COLOURS = (BLUE, ORANGE, GREEN, "#a259b5", "#c8455b", "#8a7430")


def page_of(
    configs: Sequence[Config],
    rows: Sequence[Mapping[str, Any]],
    score: str,
    best: Run | None,
    *,
    num_rows: int | None = None,
    remedy: str = "",
    folder: Path | None = None,
) -> bytes:
    """Return the page.

    Parameters
    ----------
    configs, rows, score, best, remedy
        As in `xpnet.sweep.Sweep`.
    num_rows
        How many training rows there are.
    folder
        That of the sweep, where the page will be; None where it is somewhere else.
    """
    name = Path(configs[0].dataset).name
    return page(
        f"xpnet sweep: {name}",
        time.strftime("%Y-%m-%d %H:%M:%S %z"),
        _cards(configs, rows, score, best),
        "".join(_sections(configs, rows, score, best, num_rows, folder)),
        warning="" if best is not None else _warning(rows, remedy),
        script=SORTING,
    )


def _warning(rows: Sequence[Mapping[str, Any]], remedy: str) -> str:
    """Return why there is no best network: all have diverged, or the sweep was interrupted."""
    if rows and all(row["status"] == "diverged" for row in rows):
        return f"Every network diverged: {remedy}"
    return f"{remedy[:1].upper()}{remedy[1:]}"


def _cards(
    configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str, best: Run | None
) -> Iterable[tuple[str, str]]:
    if best is not None:
        for part, of in (("test", "test"), ("val", "validation")):
            if (value := best.summary.get(f"{part}_{score}")) is not None:
                yield f"{of} {score_name(score)} of the best", shown(value, score)
    yield "networks", f"{len(configs):,}"
    for status in ("stopped", "dropped", "diverged"):
        if count := sum(row["status"] == status for row in rows):
            yield status, f"{count:,}"
    yield "training of all", f"{sum(row['seconds'] for row in rows):,.2f} s"
    if best is not None:
        yield "device", best.summary["device"]


def _sections(
    configs: Sequence[Config],
    rows: Sequence[Mapping[str, Any]],
    score: str,
    best: Run | None,
    num_rows: int | None,
    folder: Path | None,
) -> Iterable[str]:
    if best is not None:
        yield section("Best network", _best(configs, rows, folder))
    learning = _learning(configs, rows, score, num_rows)
    heat = (
        "" if learning and set(varied(configs)) <= {"train_rows", *SEEDS} else _heat_map(configs, rows, score)
    )
    if heat:
        yield section("Heat map", heat)
    if drawn := curves(rows, score) + ("" if heat or learning else _by_setting(configs, rows, score)):
        yield section("Curves", f'<div class="xp-charts">{drawn}</div>')
    if learning:
        yield section("By number of training rows", learning)
    yield section("Networks", _table(configs, rows, score))
    names = varied(configs)
    common = {name: value for name, value in configs[0].recorded().items() if name not in names}
    yield settings_section(common, defaults_for(Config, configs[0].dataset), "All networks have these.")


def _best(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], folder: Path | None) -> str:
    """Return the settings of the best network, and what to do with it."""
    config = configs[rows[0]["network"]]
    items = "".join(
        f'<div class="changed"><dt>{text(name)}</dt><dd>{text(show(getattr(config, name)))}</dd></div>'
        for name in varied(configs)
    )
    html = f'<p>Network {rows[0]["network"]}:</p><dl class="settings">{items}</dl>'
    if folder is None:
        return html
    where = for_shell(folder)
    commands = (
        f"xpnet evaluate {where}",
        f"xpnet train --config {for_shell(folder / 'best' / 'config.json')} --ensemble 8",
    )
    told = "\n".join(map(text, commands))
    return (
        f'{html}<p>It has a report of its own, <a href="best/report.html">best/report.html</a>. To evaluate '
        f"it on other rows, or to train an ensemble with its settings:</p><pre><code>{told}</code></pre>"
    )


def _heat_map(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str) -> str:
    """Return the validation scores over the two settings that vary; nothing if it isn't two in a grid."""
    found = field_of(configs, rows)
    if found is None:
        return ""
    names, (down, across), values = found
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    first, second = (text(name.replace("_", " ")) for name in names)
    heads = "".join(f'<th scope="col">{text(show(value) or "none")}</th>' for value in across)
    body = []
    for value, of_row in zip(down, values.tolist(), strict=True):
        inner = "".join(_field(one, low, high, score) for one in of_row)
        body.append(f'<tr><th scope="row">{text(show(value) or "none")}</th>{inner}</tr>')
    caption = f"Validation {text(score_name(score))} by {first} (down) and {second} (across)"
    return scrolling(
        f'<table class="matrix heat"><caption>{caption}</caption><thead><tr><td></td>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _field(value: float, low: float, high: float, score: str) -> str:
    if not math.isfinite(value):
        return '<td class="zero">diverged</td>'
    share = (value - low) / (high - low) if high > low else 1.0
    weight = ";font-weight:700" if value == high else ""
    return f'<td style="{shade(0.1 + 0.9 * share)}{weight}">{text(shown(value, score, 1))}</td>'


def _by_setting(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str) -> str:
    """Return a chart of the validation score over each setting that varies and is a number."""
    trained = [row for row in rows if row["status"] != "diverged" and math.isfinite(row["val_score"])]
    y = score_axis([row["val_score"] for row in trained], score, of_lines=False)
    names = [name for name in varied(configs) if _is_number(configs, name)]
    charts = []
    for name in names[:MOST_SETTINGS]:
        points = sorted((float(getattr(configs[row["network"]], name)), row["val_score"]) for row in trained)
        xs = np.array([x for x, _ in points])
        if len(set(xs.tolist())) < 3:
            continue
        # Spread over orders of magnitude, not evenly.
        log = bool(xs.min() > 0 and xs.max() > 10 * xs.min() and np.median(xs) < 0.3 * xs.max())
        best = dict(points)  # of several at a place the highest, being the last
        some = _spread(sorted(best))
        places = [Place(x, f"{name} {number(x)}", [shown(best[x], score)], [best[x]]) for x in some]
        style = "line" if len(names) == 1 and len(best) == len(points) else "dots"
        series = [Series("validation", xs, [value for _, value in points], ORANGE, style)]
        x = Axis.over(xs, log=log, label=name)
        charts.append(chart(f"{_named(score)} by {name.replace('_', ' ')}", series, x, y, places=places))
    return "".join(charts)


def _named(score: str) -> str:
    name = score_name(score)
    return f"{name[:1].upper()}{name[1:]}"


def _is_number(configs: Sequence[Config], name: str) -> bool:
    values = [getattr(config, name) for config in configs]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _learning(
    configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str, num_rows: int | None
) -> str:
    """Return scores over the number of training rows; nothing if that doesn't vary."""
    lines = lines_of(configs, rows, num_rows)
    if not lines:
        return ""
    series, legend, all_scores = [], [], []
    alone = len(lines) == 1
    for line, colour in zip(lines, COLOURS, strict=False):
        counts = list(line.points)
        for part, name, style in (("train", "training", "dashed"), ("val", "validation", "line")):
            mean, _ = line.band(f"{part}_score")
            all_scores += mean.tolist()
            colour_of_part = {"train": BLUE, "val": ORANGE}[part] if alone else colour
            series.append(Series(name if alone else "", counts, mean, colour_of_part, style))
        if not alone:
            legend.append(f'<li><span style="color:{colour}">●</span> {text(line.label)}</li>')
    counts = sorted({count for line in lines for count in line.points})
    places = [_at_rows(lines, count, score) for count in counts]
    x = Axis.over(counts, log=True, label="training rows")
    y = score_axis(all_scores, score, of_lines=False)
    drawn = chart(f"{_named(score)} by training rows", series, x, y, places=places)
    note = '<p class="faint">Solid: validation. Dashed: training. Means over the seeds.</p>'
    listed = f'<ul class="legend">{"".join(legend)}</ul>' if legend else ""
    return f'{note}{listed}<div class="xp-charts">{drawn}</div>'


def _at_rows(lines: Sequence[Line], count: int, score: str) -> Place:
    """Return what is shown at a number of rows: of one line both its scores, of several the best."""
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


def curves(rows: Sequence[Mapping[str, Any]], score: str) -> str:
    """Return a chart of the validation score of the networks, the best in colour; nothing without an epoch.

    Parameters
    ----------
    rows, score
        As in `xpnet.sweep.Sweep`.
    """
    drawn = [
        row for row in rows[:MOST_CURVES] if len(row.get("curve", ())) > 0 and row["status"] != "diverged"
    ]
    if not drawn:
        return ""
    of_each = [dict(map(tuple, row["curve"])) for row in drawn]
    best, others = of_each[0], of_each[1:]
    network = drawn[0]["network"]
    name = f"best: network {network}"
    series = [
        Series("others" if k == len(others) - 1 else "", list(one), list(one.values()), GREY, "faint")
        for k, one in enumerate(others)
    ]
    series.append(Series(name, list(best), list(best.values()), ORANGE, "line"))
    places = []
    for step in _spread(list(best)):
        known = [one[step] for one in others if step in one and math.isfinite(one[step])]
        span = [f"{shown(min(known), score, 1)} to {shown(max(known), score, 1)}" if known else "–"]
        of_best = shown(best[step], score)
        places.append(Place(step, f"step {step:,}", [*(span * bool(others)), of_best], [best[step]]))
    last = max(max(one) for one in of_each)
    # The first epoch, which is like that of any network, need not be in the picture.
    later = [value for one in of_each for value in list(one.values())[len(one) > 3 :]]
    y = score_axis(later, score)
    steps = Axis(1, max(last, 2), label="step", whole=True)
    title = f"Validation {score_name(score)}"
    return chart(title, series, steps, y, places=places)


def _spread(values: Sequence[Any]) -> list[Any]:
    """Return some of many values, the ends among them."""
    at = np.linspace(0, len(values) - 1, min(len(values), MOST_PLACES)).round().astype(int)
    return [values[k] for k in at.tolist()]


def _table(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str) -> str:
    header, *lines = cells(configs, rows[:MOST_ROWS], score)
    heads = "".join(
        f'<th scope="col"{_first(name)}><button type="button" disabled>{text(name)}</button></th>'
        for name in ("rank", *header)
    )
    body = "".join(
        f"<tr{_of_first(rank)}>{''.join(map(_sorted_cell, (str(rank), *line)))}</tr>"
        for rank, line in enumerate(lines, 1)
    )
    more = f"; results.csv has all {len(rows):,}" if len(rows) > MOST_ROWS else ""
    note = f"Best first; click a heading to sort by it{more}."
    return f'<p class="faint">{note}</p>' + scrolling(
        f'<table class="sortable"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )


def _first(name: str) -> str:
    """Return that scores are first sorted downwards."""
    return ' data-first="down"' if name in ("train", "val") else ""


def _of_first(rank: int) -> str:
    return ' class="best"' if rank == 1 else ""


def _sorted_cell(content: str) -> str:
    """Return a cell with what it is sorted by, where that is another text."""
    key = content.removesuffix(" %")
    key = "" if content == "–" else key
    return f'<td data-v="{text(key)}">{text(content)}</td>' if key != content else f"<td>{text(content)}</td>"
