"""A sweep on one page, ``report.html`` in its folder: a table that can be sorted, a heat map and charts."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.reporting.limits import least_score
from xpnet.reporting.metrics import score_name, shown
from xpnet.reporting.page import SORTING, page, scrolling, section, shade, text
from xpnet.reporting.report import settings_section
from xpnet.runs.averaged import note_on_curves
from xpnet.runs.config import Config
from xpnet.runs.defaults import defaults_for
from xpnet.runs.run import Run
from xpnet.sweep.charts import by_setting, by_training_rows, curves
from xpnet.sweep.field import Field, field_of
from xpnet.sweep.table import SEEDS, cells, show, varied
from xpnet.text import for_shell

__all__ = ["page_of"]

MOST_ROWS = 1000
"""Maximum number of networks in the table."""


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
        Number of training rows.
    folder
        The sweep's folder, if the page will be there; None if it will be somewhere else.
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
    names = varied(configs)
    learning = by_training_rows(configs, rows, score, num_rows)
    field = None if learning and set(names) <= {"train_rows", *SEEDS} else field_of(configs, rows)
    if field is not None:
        yield section("Heat map", _heat_map(field, score))
    if drawn := curves(rows, score):
        note = note_on_curves(score, {config.averaging for config in configs})
        said = f'<p class="faint">{text(note)}</p>' if note else ""
        yield section("Curves", f'{said}<div class="xp-charts">{drawn}</div>')
    if learning:
        yield section("By number of training rows", learning)
    # Where the heat map shows each network, and of no seeds, charts would tell nothing new.
    elif (field is None or field.over or set(field.names) & set(SEEDS)) and (
        drawn := by_setting(configs, rows, score)
    ):
        yield section("By setting", drawn)
    yield section("Networks", _table(configs, rows, score))
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


def _heat_map(field: Field, score: str) -> str:
    known = field.scores[np.isfinite(field.scores)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    low = max(low, least_score([known], score))
    first, second = (text(name.replace("_", " ")) for name in field.names)
    down, across = ([text(show(value) or "none") for value in values] for values in field.values)
    heads = "".join(f'<th scope="col">{value}</th>' for value in across)
    body = []
    for value, scores, trained in zip(down, field.scores.tolist(), field.trained.tolist(), strict=True):
        inner = "".join(map(_cell_of(low, high, score), scores, trained))
        body.append(f'<tr><th scope="row">{value}</th>{inner}</tr>')
    caption = f"Validation {text(score_name(score))} by {first} (down) and {second} (across)"
    caption += f"; {text(field.note)}" if field.note else ""
    return scrolling(
        f'<table class="matrix heat"><caption>{caption}</caption><thead><tr><td></td>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _cell_of(low: float, high: float, score: str) -> Callable[[float, bool], str]:
    """Return what writes a cell of a heat map whose scores are in this range."""

    def written(value: float, trained: bool) -> str:
        if not math.isfinite(value):
            return f'<td class="zero">{"diverged" if trained else "–"}</td>'
        share = max(value - low, 0.0) / (high - low) if high > low else 1.0
        weight = ";font-weight:700" if value == high else ""
        return f'<td style="{shade(0.1 + 0.9 * share)}{weight}">{text(shown(value, score, 1))}</td>'

    return written


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
    """Return the attribute by which scores are first sorted in descending order."""
    return ' data-first="down"' if name in ("train", "val") else ""


def _of_first(rank: int) -> str:
    return ' class="best"' if rank == 1 else ""


def _sorted_cell(content: str) -> str:
    """Return a cell, with its sort key if that differs from its text."""
    key = content.removesuffix(" %")
    key = "" if content == "–" else key
    return f'<td data-v="{text(key)}">{text(content)}</td>' if key != content else f"<td>{text(content)}</td>"
