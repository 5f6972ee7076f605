"""A run on one page: ``report.html``, which asks for nothing beside itself.

The page is put together from texts that are escaped here, and from pictures within it. Its own policy tells
a browser to load nothing from anywhere.
"""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.reporting import metrics
from xpnet.text import printable

__all__ = ["Report"]

MOST_CLASSES = 30
"""Classes up to which the confusion matrix is shown; and of more, how many rows of the table."""

WARNINGS = {
    "diverged": "The loss overflowed: these are the last finite parameters.",
    "interrupted": "The run was interrupted: this is what was trained so far.",
}


@dataclass(frozen=True)
class Report:
    """What the page shows.

    Parameters
    ----------
    title, subtitle
        What the run is called, and when it was.
    summary
        As in ``summary.json``.
    settings, defaults
        Those of the run, and what they are where nobody sets them.
    versions
        Of what it was made with, by name.
    score
        What the summary's scores are: ``"accuracy"``, or ``"r2"``.
    class_names
        The name of each class.
    y, predicted
        Classes of the validation rows ``(rows,)``, and what they were taken for; None for no such section.
    outputs
        How far the predicted numbers of the validation rows are off; None for no such section.
    pictures
        PNG files by name: ``"curves"``, ``"predictions"``, ``"weights"``; what is missing is left out.
    """

    title: str
    subtitle: str
    summary: Mapping[str, Any]
    settings: Mapping[str, Any]
    defaults: Mapping[str, Any]
    versions: Mapping[str, str]
    score: str = "accuracy"
    class_names: Sequence[str] = ()
    y: NDArray[np.int64] | None = field(default=None, repr=False)
    predicted: NDArray[np.int64] | None = field(default=None, repr=False)
    outputs: metrics.PerOutput | None = field(default=None, repr=False)
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def as_html(self) -> bytes:
        """Return the page."""
        status = self.summary.get("status", "")
        warning = WARNINGS.get(status, "")
        text = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8")).substitute(
            title=_text(self.title),
            subtitle=_text(self.subtitle),
            warning=f'<p class="warning">{_text(warning)}</p>' if warning else "",
            cards="".join(f"<div><b>{_text(value)}</b>{_text(name)}</div>" for name, value in self._cards()),
            sections="".join(self._sections()),
            settings=_terms(
                (name, _shown(value), value != self.defaults.get(name))
                for name, value in self.settings.items()
            ),
            versions=_terms((name, value, False) for name, value in self.versions.items()),
        )
        # A path may hold what is no text.
        return text.encode("utf-8", "xmlcharrefreplace")

    def _cards(self) -> Iterable[tuple[str, str]]:
        for name, of in (("test", "test"), ("val", "validation"), ("train", "training")):
            key = f"{name}_{self.score}"
            value = self.summary.get(key)
            if value is not None or (name == "val" and key in self.summary):  # undefined: a dash
                yield f"{of} {metrics.score_name(self.score)}", metrics.shown(value, self.score)
        for name, form in (("steps", "{:,}"), ("seconds", "{:,.2f} s")):
            if name in self.summary:
                yield name if name == "steps" else "preparing and training", form.format(self.summary[name])
        if "device" in self.summary:
            yield "device", self.summary["device"]

    def _sections(self) -> Iterable[str]:
        if "curves" in self.pictures:
            description = f"Loss, {metrics.score_name(self.score)} and learning rate"
            yield _section("Curves", _picture(self.pictures["curves"], description))
        if self.y is not None and self.predicted is not None:
            tables = [_per_class(self.y, self.predicted, self.class_names)]
            if len(self.class_names) <= MOST_CLASSES:
                tables.insert(0, _confusion(self.y, self.predicted, self.class_names))
            body = "".join(f'<div class="scroll">{table}</div>' for table in tables)
            yield _section("Validation", f'<div class="pair">{body}</div>')
        if self.outputs is not None:
            picture = ""
            if "predictions" in self.pictures:
                picture = _picture(self.pictures["predictions"], "Predicted against true numbers")
            table = _per_output(self.outputs, self.class_names)
            yield _section("Validation", f'<div class="scroll">{table}</div>{picture}')
        if "weights" in self.pictures:
            picture = _picture(self.pictures["weights"], "Weights as images")
            text = "What each unit looks for, each image in its own contrast."
            yield _section("Weights of the first layer", f'<p class="faint">{text}</p>{picture}')


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{body}</section>\n"


def _picture(png: bytes, description: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{_text(description)}" src="data:image/png;base64,{data}">'


def _confusion(y: NDArray[np.int64], predicted: NDArray[np.int64], class_names: Sequence[str]) -> str:
    counts = metrics.confusion(y, predicted, len(class_names))
    heads = "".join(f"<th>{_text(name)}</th>" for name in class_names)
    rows = []
    for name, row in zip(class_names, counts.tolist(), strict=True):
        cells = "".join(_cell(count, sum(row)) for count in row)
        rows.append(f"<tr><th>{_text(name)}</th>{cells}</tr>")
    return (
        '<table class="matrix"><caption>Rows of each class (down) by what they were taken for (across)'
        f"</caption><thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(count: int, of: int) -> str:
    if not count:
        return '<td class="zero">·</td>'
    share = count / of
    colour = ";color:#fff" if share > 0.55 else ""
    return f'<td style="background:rgba(var(--blue),{share:.3f}){colour}">{count}</td>'


def _per_class(y: NDArray[np.int64], predicted: NDArray[np.int64], class_names: Sequence[str]) -> str:
    found = metrics.per_class(y, predicted, len(class_names))
    order = np.arange(len(class_names))
    caption = "What each class is worth"
    if len(order) > MOST_CLASSES:  # the worst of them, those without a measure last
        order = np.argsort(np.where(np.isnan(found.f1), 2, found.f1), kind="stable")[:MOST_CLASSES]
        caption = f"The {MOST_CLASSES} classes with the lowest F1"
    rows = []
    for k in order.tolist():
        values = (found.precision[k], found.recall[k], found.f1[k])
        cells = "".join(f"<td>{_percent(value)}</td>" for value in values)
        rows.append(f"<tr><th>{_text(class_names[k])}</th>{cells}<td>{found.support[k]}</td></tr>")
    means = "".join(f"<td>{_percent(value)}</td>" for value in found.mean().values())
    note = f'<p class="faint">{_text(found.note())}</p>' if found.note() else ""
    return (
        f"<table><caption>{caption}</caption><thead><tr><th></th><th>precision</th><th>recall</th><th>F1</th>"
        f"<th>rows</th></tr></thead><tbody>{''.join(rows)}</tbody>"
        f"<tfoot><tr><th>mean</th>{means}<td>{found.support.sum()}</td></tr></tfoot></table>{note}"
    )


def _per_output(found: metrics.PerOutput, names: Sequence[str]) -> str:
    def row(name: str, values: Iterable[float]) -> str:
        shown = (metrics.shown(value, of) for of, value in zip(found._fields, values, strict=True))
        return f"<tr><th>{_text(name)}</th>{''.join(f'<td>{text}</td>' for text in shown)}</tr>"

    rows = [row(name, values) for name, *values in zip(names, *found, strict=True)][:MOST_CLASSES]
    caption = "How far each number is off"
    if len(names) > MOST_CLASSES:
        caption += f", the first {MOST_CLASSES} of {len(names)}"
    return (
        f"<table><caption>{caption}</caption><thead><tr><th></th><th>R²</th><th>RMSE</th><th>MAE</th></tr>"
        f"</thead><tbody>{''.join(rows)}</tbody><tfoot>{row('mean', found.mean().values())}</tfoot></table>"
    )


def _terms(items: Iterable[tuple[str, str, bool]]) -> str:
    kinds = {True: "changed", False: "same"}
    return "".join(
        f'<div class="{kinds[changed]}"><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>'
        for name, value, changed in items
    )


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _text(text: str) -> str:
    """Return text as HTML shows it, control characters written out."""
    return escape(printable(text))
