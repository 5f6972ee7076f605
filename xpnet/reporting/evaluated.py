"""A section of the report for evaluated rows: confused classes, scores, and the worst mistakes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.reporting import metrics
from xpnet.reporting.page import cell, picture, scrolling, section, shade, table, text
from xpnet.reporting.scatter import predictions
from xpnet.text import shorten
from xpnet.typing import Task

__all__ = ["MOST_CLASSES", "MOST_PAIRS", "Evaluated", "Mistake", "as_section"]

MOST_CLASSES = 30
"""Maximum number of classes for which the confusion matrix is shown; also the rows of the table for more."""

LONGEST = 40
"""Maximum length of the name of a class."""

MOST_PAIRS = 8
"""Maximum number of confused pairs of classes that are listed."""


@dataclass(frozen=True)
class Mistake:
    """A row that the network predicted wrongly, or with a large error.

    Attributes
    ----------
    row
        Number of the row, from 0: see `Evaluated.among`.
    true, said
        True value, and prediction.
    how
        Confidence of the network, or the size of its error.
    image
        The row as a PNG file, if it is an image.
    values
        Some of its values by column name, if it is a row of a table.
    """

    row: int
    true: str
    said: str
    how: str
    image: bytes | None = field(default=None, repr=False)
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """Evaluated rows: targets and predictions.

    Attributes
    ----------
    title
        Title of the section: ``"Validation"``, ``"Test"``.
    task
        The task, as in `Config`.
    names
        Names of the classes, labels or numbers.
    y, predicted
        True and predicted values: classes ``(rows,)``; or 0 and 1 for labels, or numbers, ``(rows,
        outputs)``.
    mistakes
        The worst ones, if they are known.
    measures
        Measures over all rows, by name.
    notes
        What a reader has to know about these figures.
    among
        Name of the file or data in which the rows of the mistakes are numbered; empty if they are numbered
        among the evaluated rows.
    """

    title: str
    task: Task
    names: Sequence[str]
    y: NDArray[Any] = field(repr=False)
    predicted: NDArray[Any] = field(repr=False)
    mistakes: Sequence[Mistake] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    among: str = ""


def as_section(found: Evaluated) -> str:
    """Return the section of a report."""
    rows = len(found.y)
    said = f"{rows:,} row{'s' * (rows != 1)}"
    if found.measures:
        said += f"; {metrics.measures_text(found.measures)}"
    found = replace(found, names=[shorten(name, LONGEST) for name in found.names])
    if found.task == "classification":
        found = replace(found, mistakes=[_shortened(mistake) for mistake in found.mistakes])
    notes = "".join(f"<p>Note: {text(note)}</p>" for note in found.notes)
    return section(found.title, f'<p class="faint">{text(said)}</p>{notes}{_BODIES[found.task](found)}')


def _of_classes(found: Evaluated) -> str:
    y, predicted = (np.asarray(classes, np.int64) for classes in (found.y, found.predicted))
    names = found.names
    parts = []
    if len(names) <= MOST_CLASSES:
        parts.append(scrolling(_matrix(y, predicted, names)))
    parts.append(scrolling(_per_class(metrics.per_class(y, predicted, len(names)), names, "class")))
    if pairs := _confused(y, predicted, names):
        parts.append(scrolling(pairs))
    return f'<div class="pair">{"".join(parts)}</div>{_mistakes(found)}'


def _of_labels(found: Evaluated) -> str:
    return scrolling(_per_class(metrics.per_label(found.y, found.predicted), found.names, "label"))


def _of_numbers(found: Evaluated) -> str:
    predicted = np.reshape(found.predicted, found.y.shape)
    measures = metrics.regression(found.y, predicted)
    drawn = predictions(found.y, predicted, found.names) if len(found.y) else ""
    return f"{scrolling(_per_output(measures, found.names))}{drawn}{_mistakes(found)}"


_BODIES = {"classification": _of_classes, "multilabel": _of_labels, "regression": _of_numbers}


def _matrix(y: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]) -> str:
    counts = metrics.confusion(y, predicted, len(names))
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in names)
    rows = []
    for name, row in zip(names, counts.tolist(), strict=True):
        cells = "".join(_cell(count, sum(row)) for count in row)
        rows.append(f'<tr><th scope="row">{text(name)}</th>{cells}</tr>')
    return (
        '<table class="matrix"><caption>True class (rows), predicted class (columns)'
        f"</caption><thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(count: int, of: int) -> str:
    if not count:
        return '<td class="zero">·</td>'
    return f'<td style="{shade(0.15 + 0.85 * count / of)}">{count}</td>'  # even a small count is visible


def _confused(y: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]) -> str:
    """Return the pairs of classes that are confused most often; empty if there are none."""
    wrong = y != predicted
    pairs, counts = np.unique(np.stack([y[wrong], predicted[wrong]]), axis=1, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
    support = np.bincount(y, minlength=len(names))
    rows = [
        f"<tr>{cell(names[true], True)}{cell(names[said], True)}{cell(f'{count:,}')}"
        f"{cell(f'{100 * count / support[true]:.1f} %')}</tr>"
        for true, said, count in zip(*pairs[:, most].tolist(), counts[most].tolist(), strict=True)
    ]
    if not rows:
        return ""
    heads = ("class", "predicted", "rows", "of the class")
    return table("Most confused", heads, rows, of_text=(0, 1))


def _per_class(found: metrics.PerClass, names: Sequence[str], what: str) -> str:
    order = np.arange(len(names))
    caption = f"Scores by {what}"
    if len(order) > MOST_CLASSES:  # the worst classes; those without an F1 last
        order = np.argsort(np.where(np.isnan(found.f1), 2, found.f1), kind="stable")[:MOST_CLASSES]
        several = "classes" if what == "class" else "labels"
        caption = f"The {MOST_CLASSES} {several} with the lowest F1"
    rows = [
        _row(
            names[k],
            [*map(_percent, (found.precision[k], found.recall[k], found.f1[k])), f"{found.support[k]:,}"],
        )
        for k in order.tolist()
    ]
    mean = _row("mean", [*map(_percent, found.mean().values()), f"{found.support.sum():,}"])
    note = f'<p class="faint">{text(found.note())}</p>' if found.note() else ""
    return table(caption, ("", "precision", "recall", "F1", "rows"), rows, mean) + note


def _per_output(found: metrics.PerOutput, names: Sequence[str]) -> str:
    def row(name: str, values: Iterable[float]) -> str:
        return _row(name, [metrics.shown(value, of) for of, value in zip(found._fields, values, strict=True)])

    rows = [row(name, values) for name, *values in zip(names, *found, strict=True)][:MOST_CLASSES]
    caption = "Errors"
    if len(names) > MOST_CLASSES:
        caption += f", the first {MOST_CLASSES} of {len(names)}"
    mean = row("mean", found.mean().values()) if len(names) > 1 else ""
    return table(caption, ("", "R²", "RMSE", "MAE"), rows, mean)


def _mistakes(found: Evaluated) -> str:
    """Return the worst mistakes: images with their classes, or rows of a table."""
    if not found.mistakes:
        return ""
    of_numbers = found.task == "regression"
    title = "Largest errors" if of_numbers else "Most confident mistakes"
    if all(mistake.image is not None for mistake in found.mistakes):
        figures = "".join(_figure(mistake) for mistake in found.mistakes)
        return f'<h3>{title}</h3><div class="mistakes">{figures}</div>'
    columns = list(found.mistakes[0].values)
    heads = ("row", "true", "predicted", "error" if of_numbers else "probability", *columns)
    lines = [
        (f"{mistake.row:,}", mistake.true, mistake.said, mistake.how, *mistake.values.values())
        for mistake in found.mistakes
    ]
    of_text = [k for k in range(len(heads)) if k in (1, 2) and not of_numbers]
    of_text += [k for k in range(4, len(heads)) if not all(_is_number(line[k]) for line in lines)]
    rows = [
        f"<tr>{''.join(cell(value, k in of_text) for k, value in enumerate(line))}</tr>" for line in lines
    ]
    caption = f"Rows of {shorten(found.among, LONGEST) or 'this part of the data'}, counted from 0"
    return f"<h3>{title}</h3>{scrolling(table(caption, heads, rows, of_text=of_text))}"


def _shortened(mistake: Mistake) -> Mistake:
    """Return a mistake with its class names shortened as elsewhere on the page."""
    return replace(mistake, true=shorten(mistake.true, LONGEST), said=shorten(mistake.said, LONGEST))


def _is_number(value: str) -> bool:
    try:
        float(value.replace("–", "0"))
    except ValueError:
        return False
    return True


def _figure(mistake: Mistake) -> str:
    said = f"predicted {mistake.said}, {mistake.how}"
    image = picture(mistake.image or b"", f"row {mistake.row}")
    return f"<figure>{image}<figcaption><b>{text(mistake.true)}</b><br>{text(said)}</figcaption></figure>"


def _row(name: str, values: Iterable[str]) -> str:
    return f'<tr><th scope="row">{text(name)}</th>{"".join(map(cell, values))}</tr>'


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"
