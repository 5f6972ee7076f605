"""Pictures of a sweep: a heat map where two settings vary, and the curves of all networks."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnet.reporting import plots
from xpnet.reporting.metrics import score_name, shown
from xpnet.runs.config import Config
from xpnet.sweep.table import show, varied

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curves", "described", "field_of", "heatmap"]

LABELLED = 12
"""Number of curves in the legend: the best ones."""


def heatmap(
    configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str = "accuracy"
) -> "Figure | None":
    """Plot the validation score over the two settings that vary; None unless two settings form a grid.

    Parameters
    ----------
    configs
        Settings by network.
    rows
        As in `xpnet.sweep.Sweep`. Networks that diverged leave a white field.
    score
        Name of the scores: ``"accuracy"`` or ``"r2"``.
    """
    found = field_of(configs, rows)
    if found is None:
        return None
    from matplotlib.figure import Figure

    names, axis, values = found
    figure = Figure(
        figsize=(2.2 + 0.9 * len(axis[1]), 1.6 + 0.6 * len(axis[0])), dpi=130, layout="constrained"
    )
    axes = figure.subplots()
    image = axes.imshow(np.maximum(values, plots.LEAST_R2), cmap="viridis", aspect="auto")
    middle = np.mean(image.get_clim()) if np.isfinite(values).any() else 0.0
    for i, j in np.ndindex(values.shape):
        finite = np.isfinite(values[i, j])
        text = shown(float(values[i, j]), score, 1) if finite else "diverged"
        colour = "white" if finite and values[i, j] < middle else "black"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(axis[1])), [show(v) for v in axis[1]])
    axes.set_yticks(range(len(axis[0])), [show(v) for v in axis[0]])
    axes.set_xlabel(names[1].replace("_", " "))
    axes.set_ylabel(names[0].replace("_", " "))
    bar = figure.colorbar(image, ax=axes, label=f"validation {score_name(score)}")
    bar.ax.yaxis.set_major_formatter(plots.score_formatter(score))
    return figure


def field_of(
    configs: Sequence[Config], rows: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[list[Any]], NDArray[np.float64]] | None:
    """Return the two settings that vary, the values of each, and the scores of all pairs.

    None unless two settings form a grid; scores are NaN for networks that diverged or were not trained.
    """
    names = varied(configs)
    if len(names) != 2:
        return None
    axis = [sorted({getattr(c, name) for c in configs}, key=_order) for name in names]
    fields = {tuple(getattr(c, name) for name in names) for c in configs}
    if not len(fields) == len(configs) == len(axis[0]) * len(axis[1]):
        return None
    values = np.full((len(axis[0]), len(axis[1])), np.nan)
    for row in rows:
        if row["status"] != "diverged":
            place = [a.index(getattr(configs[row["network"]], n)) for a, n in zip(axis, names, strict=True)]
            values[tuple(place)] = row["val_score"]
    return names, axis, values


def curves(configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str = "accuracy") -> "Figure":
    """Plot the validation score of every network against the steps, the best in colour.

    Parameters
    ----------
    configs, rows, score
        As for `heatmap`; rows best first.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    names = varied(configs)
    figure = Figure(figsize=(10, 5), dpi=130, layout="constrained")
    axes = figure.subplots()
    colours = colormaps["viridis"](np.linspace(0, 0.92, min(len(rows), LABELLED)))
    # From worst to best, so that the best are on top; the legend is then reversed.
    for rank in reversed(range(len(rows))):
        row = rows[rank]
        steps, scores = np.array(row["curve"], np.float64).reshape(-1, 2).T
        style: dict[str, Any] = {"color": "0.8", "linewidth": 0.7}
        if rank < LABELLED:
            settings = described(configs[row["network"]], configs[0], names)
            label = f"{shown(row['val_score'], score, 1)}  {settings}"
            style = {"color": colours[rank], "linewidth": 1.3, "label": label}
        axes.plot(steps, scores, **style)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=7, loc="center left",
                bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    axes.set_xlabel("step")
    axes.set_ylabel(f"validation {score_name(score)}")
    plots.limit_scores(axes, score)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def described(config: Config, first: Config, names: Sequence[str]) -> str:
    """Return a short description of a network; of many settings, only those that differ from the first."""
    if len(names) > 4:
        names = [n for n in names if getattr(config, n) != getattr(first, n)]
    settings = ", ".join(f"{n.replace('_', ' ')} {show(getattr(config, n))}" for n in names)
    return textwrap.shorten(settings, 60, placeholder=" …") or "the first network"


def _order(value: Any) -> tuple[bool, Any]:
    """Sort None, which a setting may be, before everything else."""
    return (value is not None, value if value is not None else 0)
