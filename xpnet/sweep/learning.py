"""Learning curves of a sweep: scores against the number of training rows, as a picture."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.reporting import plots
from xpnet.reporting.metrics import score_name
from xpnet.runs.config import Config
from xpnet.sweep.chunk import worth
from xpnet.sweep.plots import described
from xpnet.sweep.table import SEEDS, varied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Line", "learning", "lines_of"]

MOST_LINES = 6
"""Maximum number of lines, one per setting; if there are more settings, one line shows the best at each
size."""

CLOSEST = 0.06
"""Minimum distance, as a fraction of the axis, between two numbers of rows for both to be labelled."""

GREY, BAND = "0.35", 0.2
"""Colour of the general entries in the legend, and opacity of the bands."""


class Line(NamedTuple):
    """One line of the picture.

    Attributes
    ----------
    label
        Its settings; empty if it is the only line.
    points
        The networks' table rows for each number of training rows, ascending: one network per seed.
    """

    label: str
    points: dict[int, list[Mapping[str, Any]]]

    def band(self, part: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean of a score at each number of rows, and its standard deviation over the seeds."""
        each = [np.array([row[part] for row in rows], np.float64) for rows in self.points.values()]
        return np.array([s.mean() for s in each]), np.array([s.std(ddof=len(s) > 1) for s in each])


def lines_of(
    configs: Sequence[Config], rows: Iterable[Mapping[str, Any]], num_rows: int | None = None
) -> list[Line]:
    """Return the lines of the learning curves, best first (at the most rows); none if the rows do not vary.

    Parameters
    ----------
    configs
        Settings by network.
    rows
        As in `xpnet.sweep.Sweep`. Networks that diverged are left out.
    num_rows
        Number of training rows, which applies to settings without ``train_rows``.
    """
    sizes: dict[int, list[Config]] = {}
    for config in configs:
        if count := config.train_rows or num_rows:
            sizes.setdefault(count, []).append(config)
    if len(sizes) < 2:
        return []
    # Settings chosen by the number of rows, such as the epochs, vary with it, and do not count separately.
    within = {name for of_size in sizes.values() for name in varied(of_size)} - {"train_rows", *SEEDS}
    names = [name for name in varied(configs) if name in within]
    found: dict[tuple[Any, ...], Line] = {}
    for row in rows:
        config = configs[row["network"]]
        count = config.train_rows or num_rows
        if count and row["status"] != "diverged":
            label = described(config, configs[0], names) if names else ""
            kind = tuple(getattr(config, name) for name in names)
            found.setdefault(kind, Line(label, {})).points.setdefault(count, []).append(row)
    lines = [line._replace(points=dict(sorted(line.points.items()))) for line in found.values()]
    if len(lines) > MOST_LINES:
        best = {
            count: max((line.points[count] for line in lines if count in line.points), key=_mean_worth)
            for count in sorted({count for line in lines for count in line.points})
        }
        return [Line(f"the best of {len(lines)} settings", best)]
    last = max((count for line in lines for count in line.points), default=0)
    return sorted(lines, key=lambda line: _mean_worth(line.points.get(last, ())), reverse=True)


def learning(
    configs: Sequence[Config],
    rows: Iterable[Mapping[str, Any]],
    score: str = "accuracy",
    num_rows: int | None = None,
) -> "Figure | None":
    """Plot validation and training scores against the number of training rows; None if that does not vary.

    Parameters
    ----------
    configs, rows, num_rows
        As for `lines_of`.
    score
        Name of the scores: ``"accuracy"`` or ``"r2"``.
    """
    lines = lines_of(configs, rows, num_rows)
    if not lines:
        return None
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=130, layout="constrained")
    axes, means = figure.subplots(), []
    colours: list[Any] = [(plots.VALIDATION, plots.TRAIN)]
    if len(lines) > 1:
        colours = [(colour, colour) for colour in colormaps["viridis"](np.linspace(0, 0.85, len(lines)))]
    for line, (of_validation, of_training) in zip(lines, colours, strict=True):
        counts = list(line.points)
        for part, colour, style, size in (("train", of_training, "--", 0.65), ("val", of_validation, "-", 1)):
            mean, deviation = line.band(f"{part}_score")
            means.append(mean)
            axes.plot(counts, mean, color=colour, linestyle=style, linewidth=1.5 * size, marker="o",
                      markersize=4 * size, clip_on=score == "r2")  # fmt: skip
            if deviation.any() and (part == "val" or len(lines) == 1):
                ends = mean - deviation, mean + deviation
                axes.fill_between(counts, *ends, color=colour, alpha=BAND, linewidth=0)
    _explain(axes, lines, colours)
    _number(axes, sorted({count for line in lines for count in line.points}))
    axes.set_ylabel(score_name(score))
    plots.limit_scores(axes, score, means)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _explain(axes: "Axes", lines: Sequence[Line], colours: Sequence[Any]) -> None:
    """Explain the lines and bands beside the picture."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    of_validation, of_training = (GREY, GREY) if len(lines) > 1 else colours[0]
    handles: list[Any] = [
        Line2D([], [], color=colour, marker="o", markersize=4, label=line.label)
        for line, (colour, _) in zip(lines, colours, strict=True)
        if len(lines) > 1
    ]
    handles.append(Line2D([], [], color=of_validation, label="validation"))
    handles.append(Line2D([], [], color=of_training, linestyle="--", label="training"))
    seeds = max(len(rows) for line in lines for rows in line.points.values())
    if seeds > 1:
        handles.append(
            Patch(color=GREY, alpha=BAND, linewidth=0, label=f"mean ± standard deviation of {seeds} seeds")
        )
    axes.legend(handles=handles, title=lines[0].label if len(lines) == 1 else None, frameon=False, fontsize=8,
                title_fontsize=8, alignment="left", loc="center left", bbox_to_anchor=(1.0, 0.5))  # fmt: skip


def _number(axes: "Axes", counts: Sequence[int]) -> None:
    """Label a logarithmic axis with numbers of rows, as many as there is room for."""
    axes.set_xscale("log")
    places = np.log(counts)
    least = CLOSEST * (places[-1] - places[0])
    shown = [len(counts) - 1]  # the last one always
    for k in reversed(range(len(counts) - 1)):
        if places[shown[-1]] - places[k] >= least:
            shown.append(k)
    axes.set_xticks([counts[k] for k in shown], [f"{counts[k]:,}" for k in shown])
    axes.minorticks_off()
    axes.set_xlabel("training rows")


def _mean_worth(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean `worth` of networks."""
    return sum(map(worth, rows)) / len(rows) if rows else -np.inf
