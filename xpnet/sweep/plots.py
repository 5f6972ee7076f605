"""Pictures of a sweep: a heat map of two settings, and the curves of all networks."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.reporting import plots
from xpnet.reporting.limits import least_score
from xpnet.reporting.metrics import score_name, shown
from xpnet.runs.config import Config
from xpnet.sweep.field import field_of
from xpnet.sweep.table import show, varied

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curves", "described", "heatmap"]

LABELLED = 12
"""Number of curves in the legend: the best ones."""


def heatmap(
    configs: Sequence[Config], rows: Sequence[Mapping[str, Any]], score: str = "accuracy"
) -> "Figure | None":
    """Draw the validation score over two settings, see `field_of`; None if no two make a grid.

    Parameters
    ----------
    configs
        Settings by network.
    rows
        As in `xpnet.sweep.Sweep`. Where every network diverged or none was trained, the cell is white.
    score
        Name of the scores: ``"accuracy"`` or ``"r2"``.
    """
    found = field_of(configs, rows)
    if found is None:
        return None
    from matplotlib.figure import Figure

    names, axis, values = found.names, found.values, found.scores
    figure = Figure(
        figsize=(2.2 + 0.9 * len(axis[1]), 1.6 + 0.6 * len(axis[0])), dpi=130, layout="constrained"
    )
    axes = figure.subplots()
    coloured = np.maximum(values, least_score([values.ravel()], score))
    image = axes.imshow(coloured, cmap="viridis", aspect="auto")
    middle = np.mean(image.get_clim()) if np.isfinite(values).any() else 0.0
    for i, j in np.ndindex(values.shape):
        finite = np.isfinite(values[i, j])
        text = "diverged" if found.trained[i, j] else "–"
        text = shown(float(values[i, j]), score, 1) if finite else text
        colour = "white" if finite and values[i, j] < middle else "black"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(axis[1])), [show(v) for v in axis[1]])
    axes.set_yticks(range(len(axis[0])), [show(v) for v in axis[0]])
    axes.set_xlabel(names[1].replace("_", " "))
    axes.set_ylabel(names[0].replace("_", " "))
    if found.note:
        axes.set_title(found.note, fontsize=8, wrap=True)
    bar = figure.colorbar(image, ax=axes, label=f"validation {score_name(score)}")
    bar.ax.yaxis.set_major_formatter(plots.score_formatter(score))
    return figure


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
    # A network that has nothing to show need not be seen: the best of all is.
    plots.limit_scores(axes, score, [[value for row in rows for _, value in row["curve"]]])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def described(config: Config, first: Config, names: Sequence[str]) -> str:
    """Return a short description of a network; of many settings, only those that differ from the first."""
    if len(names) > 4:
        names = [n for n in names if getattr(config, n) != getattr(first, n)]
    settings = ", ".join(f"{n.replace('_', ' ')} {show(getattr(config, n))}" for n in names)
    return textwrap.shorten(settings, 60, placeholder=" …") or "the first network"
