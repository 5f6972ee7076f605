"""What ``xpnet evaluate`` finds, task by task: measures, tables for a terminal, and pictures."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device
from xpnet.reporting import metrics, plots
from xpnet.reporting.evaluated import Mistake
from xpnet.runs.mistakes import worst
from xpnet.training.measures import measured
from xpnet.training.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FINDINGS", "Findings", "plain"]


class Findings(NamedTuple):
    """What an evaluation found.

    Attributes
    ----------
    score
        The score, in words.
    measures
        All measures of the task by name, the score first.
    tables
        Tables for a terminal.
    summary
        Further results for JSON.
    predicted
        Predictions, as `Model.predict` returns them.
    mistakes
        The worst mistakes.
    drawn
        Pictures by name.
    """

    score: str
    measures: dict[str, float]
    tables: list[str]
    summary: dict[str, Any]
    predicted: NDArray[Any]
    mistakes: tuple[Mistake, ...] = ()
    drawn: dict[str, "Figure"] = {}  # noqa: RUF012 - nobody writes to it


def of_classes(
    model: Model, X: NDArray[Any], y: NDArray[np.int64], device: Device, rows: NDArray[np.int64] | None = None
) -> Findings:
    """Evaluate classes ``(rows,)``."""
    P, names = model.probabilities(X, device), model.class_names
    predicted = np.asarray(P.argmax(axis=1), np.int64)
    found = metrics.per_class(y, predicted, len(names))
    counts = metrics.confusion(y, predicted, len(names)) if len(names) <= metrics.MOST_CLASSES else None
    tables = [metrics.per_class_text(found, names)]
    if counts is not None:
        head = "true class (rows), predicted class (columns)" if len(names) <= metrics.WIDEST else "mistakes"
        tables.append(f"{head}\n{metrics.confusion_text(counts, names)}")
    measures = measured("classification", y, P)
    summary = {
        **_of_each("classes", found, names),
        "confusion": None if counts is None else counts.tolist(),
    }
    drawn = _draw(model, X, y, P, found, counts) if plots.available() else {}
    mistakes = worst(model, X, y, predicted, device, P, rows)
    score = f"accuracy: {metrics.shown(measures['accuracy'])}"
    return Findings(score, measures, tables, summary, predicted, mistakes, drawn)


def of_labels(
    model: Model,
    X: NDArray[Any],
    y: NDArray[np.uint8],
    device: Device,
    _rows: NDArray[np.int64] | None = None,
) -> Findings:
    """Evaluate labels ``(rows, labels)``, of which a row may have several."""
    P = model.probabilities(X, device)
    found = metrics.per_label(y, P > 0.5)
    measures = measured("multilabel", y, P)
    return Findings(
        f"all labels right: {metrics.shown(measures['accuracy'])}",
        measures,
        [metrics.per_class_text(found, model.class_names)],
        _of_each("labels", found, model.class_names),
        P > 0.5,
    )


def of_numbers(
    model: Model,
    X: NDArray[Any],
    y: NDArray[np.float64],
    device: Device,
    rows: NDArray[np.int64] | None = None,
) -> Findings:
    """Evaluate numbers ``(rows, outputs)``."""
    predicted = model.predict(X, device)
    found = metrics.regression(y, predicted)
    measures = found.mean()
    return Findings(
        f"R²: {metrics.shown(measures['r2'], 'r2')}",
        measures,
        [metrics.regression_text(found, model.class_names)],
        _of_each("outputs", found, model.class_names),
        predicted,
        worst(model, X, y, predicted, device, numbers=rows),
        {"predicted": plots.predictions(y, predicted, model.class_names)} if plots.available() else {},
    )


Find: TypeAlias = Callable[[Model, NDArray[Any], NDArray[Any], Device, NDArray[np.int64] | None], Findings]

FINDINGS: dict[str, Find] = {
    "classification": of_classes,
    "multilabel": of_labels,
    "regression": of_numbers,
}


def _of_each(what: str, found: metrics.PerClass | metrics.PerOutput, names: Sequence[str]) -> dict[str, Any]:
    """Return the measures of each class, label or number, and their means, for JSON."""
    each = [
        {"name": name, **{key: plain(value) for key, value in zip(found._fields, values, strict=True)}}
        for name, values in zip(names, zip(*found, strict=True), strict=True)
    ]
    return {"mean": {name: plain(value) for name, value in found.mean().items()}, what: each}


def plain(value: Any) -> float | int | None:
    """Return a number for JSON; None for NaN and infinity, which JSON lacks."""
    number: float | int = value.item() if isinstance(value, np.generic) else value
    return number if math.isfinite(number) else None


def _draw(
    model: Model,
    X: NDArray[Any],
    y: NDArray[np.int64],
    P: NDArray[Any],
    found: metrics.PerClass,
    counts: NDArray[np.int64] | None,
) -> dict[str, "Figure"]:
    drawn = {}
    if counts is not None:
        drawn["confusion"] = plots.confusion(counts, found, model.class_names)
    if model.image_shape is not None and model.image_shape[2] in plots.CHANNELS:
        predicted = P.argmax(axis=1)
        wrong = np.flatnonzero(predicted != y)
        surest = wrong[np.argsort(-P[wrong, predicted[wrong]], kind="stable")][: plots.MOST_MISTAKES]
        if surest.size:
            drawn["mistakes"] = plots.mistakes(
                X[surest], model.image_shape, y[surest], P[surest], model.class_names
            )
    return drawn
