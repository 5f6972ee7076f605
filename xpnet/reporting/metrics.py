"""Metrics of predictions: precision and recall of classes and labels, errors of a regression."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.text import printable, shorten
from xpnet.training.measures import PerOutput, regression

__all__ = [
    "MOST_CLASSES",
    "PerClass",
    "PerOutput",
    "confusion",
    "confusion_text",
    "measures_text",
    "named",
    "per_class",
    "per_class_text",
    "per_label",
    "regression",
    "regression_text",
    "score_name",
    "shown",
]

MOST_CLASSES = 1000
"""Maximum number of classes for a confusion matrix: a million numbers."""

WIDEST = 20
"""Maximum number of classes whose confusion matrix fits into a terminal."""

LONGEST = 24
"""Maximum number of characters of a name in a table."""

_NAMES = {"r2": "R²", "rmse": "RMSE", "mae": "MAE", "roc_auc": "ROC AUC"}


class PerClass(NamedTuple):
    """Precision, recall and F1 of each class, as arrays ``(classes,)``.

    Attributes
    ----------
    precision
        Fraction of the rows predicted as the class that belong to it; NaN if there are none.
    recall
        Fraction of the rows of the class that were predicted as it; NaN if there are none.
    f1
        Harmonic mean of precision and recall; NaN if the class occurs neither in the rows nor in the
        predictions.
    support
        Number of rows of the class.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]

    def mean(self) -> dict[str, float]:
        """Return the mean of each measure over the classes that occur, NaN if none does.

        These are the classes that have rows or were predicted. As in scikit-learn's macro average with
        ``zero_division=0``, an undefined value counts as 0. Otherwise a network would score better if it
        never predicted its worst classes.
        """
        occur = ~np.isnan(self.f1)
        means = {}
        for name in ("precision", "recall", "f1"):
            of_each = np.nan_to_num(getattr(self, name)[occur])
            means[name] = float(of_each.mean()) if of_each.size else float("nan")
        return means

    def note(self) -> str:
        """Return a note for means that count an undefined value as 0; empty if there is none."""
        occur = ~np.isnan(self.f1)
        never = int((occur & np.isnan(self.precision)).sum())
        without = int((occur & np.isnan(self.recall)).sum())
        parts = [f"precision of classes never predicted ({never})"] if never else []
        parts += [f"recall of classes without rows ({without})"] if without else []
        return f"the mean counts as 0: {', '.join(parts)}" if parts else ""


def per_class(y: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int) -> PerClass:
    """Return precision, recall and F1 of each class.

    Parameters
    ----------
    y, predicted
        The class of each row ``(rows,)``, and the predicted one.
    num_classes
        Number of classes.
    """
    hits, support, taken = (
        np.bincount(classes, minlength=num_classes) for classes in (y[y == predicted], y, predicted)
    )
    return _per_class(hits, support, taken)


def per_label(y: NDArray[Any], predicted: NDArray[Any]) -> PerClass:
    """Return precision, recall and F1 of each label, for rows that may have several.

    Parameters
    ----------
    y, predicted
        0 or 1 for each label ``(rows, labels)``: true and predicted.
    """
    has, said = y > 0, predicted > 0
    return _per_class(*(of.sum(axis=0, dtype=np.int64) for of in (has & said, has, said)))


def _per_class(hits: NDArray[np.int64], support: NDArray[np.int64], taken: NDArray[np.int64]) -> PerClass:
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        return PerClass(hits / taken, hits / support, 2 * hits / (support + taken), support)


def confusion(y: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Return the confusion matrix ``(classes, classes)``: rows are true classes, columns predicted ones.

    Parameters
    ----------
    y, predicted, num_classes
        As for `per_class`.
    """
    pairs = np.bincount(y * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def per_class_text(found: PerClass, class_names: Sequence[str]) -> str:
    """Return the measures of each class and their means as lines of text, with a note if needed."""
    lines: list[tuple[str, ...]] = [("", "precision", "recall", "F1", "rows")]
    for name, *values, support in zip(_shortened(class_names), *found, strict=True):
        lines.append((name, *map(_percent, values), str(support)))
    lines.append(("mean", *map(_percent, found.mean().values()), str(found.support.sum())))
    return "\n".join([_aligned(lines), *filter(None, [found.note()])])


def regression_text(found: PerOutput, names: Sequence[str]) -> str:
    """Return the measures of each predicted number and their means as lines of text."""
    lines: list[tuple[str, ...]] = [("", "R²", "RMSE", "MAE")]
    rows = [*zip(*found, strict=True), tuple(found.mean().values())]
    for name, (r2, *errors) in zip([*_shortened(names), "mean"], rows, strict=True):
        lines.append((name, shown(r2, "r2"), *(f"{error:.5g}" for error in errors)))
    return _aligned(lines)


def confusion_text(counts: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """Return a confusion matrix as lines of text; for many classes, the most frequent mistakes."""
    names = _shortened(class_names)
    if len(names) <= WIDEST:
        heads = [shorten(name, 9) for name in names]
        rows = [("", *heads)] + [
            (name, *map(str, row)) for name, row in zip(names, counts.tolist(), strict=True)
        ]
        return _aligned(rows)
    mistakes = counts * ~np.eye(len(counts), dtype=bool)
    most = np.argsort(-mistakes, axis=None, kind="stable")[:WIDEST]
    pairs = [divmod(int(flat), len(counts)) for flat in most]
    return _aligned(
        [("class", "predicted", "rows")]
        + [
            (names[true], names[taken], str(counts[true, taken]))
            for true, taken in pairs
            if mistakes[true, taken]
        ]
    )


def measures_text(measures: Mapping[str, float]) -> str:
    """Return measures by name as one line: ``"log loss: 0.1234, ROC AUC: 0.9876"``."""
    return ", ".join(f"{score_name(name)}: {shown(value, name)}" for name, value in measures.items())


def named(value: float | None, score: str, digits: int = 2) -> str:
    """Return a score as `shown`, with its name unless it is an accuracy: a percentage needs no name."""
    text = shown(value, score, digits)
    return f"{score_name(score)} {text}" if score == "r2" else text


def score_name(score: str) -> str:
    """Return the display name of a score or measure: ``"R²"`` for ``"r2"``, and so on."""
    return _NAMES.get(score, score.replace("_", " "))


def shown(value: float | None, score: str = "accuracy", digits: int = 2) -> str:
    """Return a score as text: an accuracy in percent, any other as a number of the same precision.

    An undefined score is a dash.
    """
    if value is None or np.isnan(value):
        return "–"
    if "accuracy" in score:
        return f"{100 * value:.{digits}f} %"
    if score in ("rmse", "mae"):  # in whatever units
        return f"{value:.{digits + 3}g}"
    return f"{value:.{digits + 2}f}" if abs(value) < 1000 else f"{value:.{digits + 2}g}"


def _shortened(names: Sequence[str]) -> list[str]:
    return [shorten(printable(name), LONGEST) for name in names]


def _percent(value: Any) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f} %"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
