"""Pictures of a run: curves, weights of the first layer as images, and mistakes or residuals.

All are matplotlib figures made without pyplot: they open no window, need no display, and do not touch the
caller's own plots. Matplotlib is imported only where it is used, because that takes longer than training on
the digits.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.errors import InputError
from xpnet.reporting.limits import least_score, until
from xpnet.reporting.metrics import PerClass, score_name
from xpnet.text import printable, shorten
from xpnet.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "CHANNELS",
    "INSTALL",
    "MOST_MISTAKES",
    "MOST_OUTPUTS",
    "MOST_POINTS",
    "as_images",
    "available",
    "check_images",
    "confusion",
    "curves",
    "limit_scores",
    "mistakes",
    "predictions",
    "score_formatter",
    "tile",
    "weights",
]

INSTALL = 'pip install "xpnet[cli]"'
"""Command that installs matplotlib."""

CHANNELS = (1, 3, 4)
"""Numbers of channels of images that can be shown."""

MOST_MISTAKES = 25
"""Maximum number of images in a picture of mistakes."""

MOST_POINTS, MOST_OUTPUTS = 5000, 4
"""Maximum numbers of rows and outputs in a picture of predicted numbers: more would be unreadable and
slow."""

MOST_NUMBERED = 40  # classes up to which the cells of a confusion matrix hold their numbers
LONGEST = 22  # name of a class, in characters

TRAIN, VALIDATION = "tab:blue", "tab:orange"
PADDING = 1  # pixels between the images of a grid
WIDTH = 900  # minimum width of a picture of weights, in pixels


def available() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def curves(
    history: History,
    schedule: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
    score: str = "accuracy",
) -> "Figure":
    """Draw the loss, the score and the learning rate of one network against the steps.

    Parameters
    ----------
    history
        At least one row. Losses that are not finite (of a diverged run) are left out.
    schedule
        Steps, from 1 to the last one planned, and the learning rate of each; by default those of the history.
        It is drawn up to the last step that was taken.
    score
        What the score is: ``"accuracy"``, or ``"r2"``.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if schedule is None:
        known = [(row.step, row.learning_rate) for row in history.rows]
        schedule = np.array([step for step, _ in known]), np.array([rate for _, rate in known])
    steps = history.rows[-1].step
    figure = Figure(figsize=(11, 5.2), dpi=130, layout="constrained")
    panels = figure.subplot_mosaic([["loss", "score"], ["rate", "score"]], height_ratios=[3, 1])
    _draw_loss(panels["loss"], history)
    _draw_score(panels["score"], history, score)
    panels["rate"].plot(*until(schedule, steps), color="tab:green", label="learning rate")
    panels["rate"].set_ylim(bottom=0)
    panels["rate"].set_ylabel("learning rate")
    for axes in panels.values():
        last = max(steps, 2)  # two, so that one step has an axis with a length
        axes.set_xlim(1 - 0.02 * (last - 1), last + 0.02 * (last - 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


def _draw_loss(axes: "Axes", history: History) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    ends = np.array([row.step for row in history.rows])
    # Plot a mean in the middle of the range it was taken over.
    middles = (np.concatenate([[0], ends[:-1]]) + 1 + ends) / 2
    steps = np.arange(1, len(history.losses) + 1)
    losses = _finite(history.losses)
    style = _style(history)
    axes.plot(steps, losses, color=TRAIN, alpha=0.3, linewidth=0.8, label="train, each step")
    means = _finite([row.train_loss for row in history.rows])
    axes.plot(middles, means, color=TRAIN, label="train, mean of an epoch", **style)
    of_validation = _finite([row.val_loss for row in history.rows])
    axes.plot(ends, of_validation, color=VALIDATION, label="validation", **style)
    positive = losses[losses > 0]
    ratio = positive.max() / positive.min() if positive.size else 1.0
    if ratio > 10:
        axes.set_yscale("log")
        if ratio < 1000:  # powers of ten alone would be too few ticks
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("loss")


def _draw_score(axes: "Axes", history: History, score: str) -> None:
    ends = [row.step for row in history.rows]
    style = _style(history)
    of_train = _finite([row.train_score for row in history.rows])
    of_validation = _finite([row.val_score for row in history.rows])
    axes.plot(ends, of_train, color=TRAIN, alpha=0.5, label="train, last batch", **style)
    axes.plot(ends, of_validation, color=VALIDATION, label="validation", **style)
    limit_scores(axes, score, [of_train, of_validation])
    axes.set_ylabel(score_name(score))


def limit_scores(axes: "Axes", score: str, lines: Iterable[ArrayLike]) -> None:
    """Limit an axis to the possible range of a score, and format its numbers for reading.

    Parameters
    ----------
    axes
        What is drawn.
    score, lines
        As for `xpnet.reporting.limits.least_score`.
    """
    bottom, top = axes.get_ylim()
    least = least_score(lines, score)
    if top > least:
        axes.set_ylim(max(bottom, least), min(top, 1.0))  # not up to 102 %
    axes.yaxis.set_major_formatter(score_formatter(score))


def score_formatter(score: str) -> Callable[[float, Any], str]:
    """Return the formatter of scores along an axis."""
    return (lambda value, _: f"{value:g}") if score == "r2" else (lambda value, _: f"{100 * value:g} %")


def _style(history: History) -> dict[str, Any]:
    """Return the style of lines: with dots if they are few, as a single point would make no line."""
    return {"marker": "o", "markersize": 3.5} if len(history.rows) <= 40 else {}


def _finite(values: Any) -> NDArray[np.float64]:
    """Return the values in float64, with NaN (a gap in the line) for those that cannot be drawn."""
    array = np.asarray(values, np.float64)
    return np.where(np.abs(array) < 1e30, array, np.nan)


def weights(W: NDArray[Any], image_shape: tuple[int, int, int] | None, width: int = WIDTH) -> "Figure":
    """Draw the input weights of each unit of the first layer as an image.

    Parameters
    ----------
    W
        ``(features, units)``.
    image_shape
        Height, width and channels of an input row.
    width
        Minimum width of the picture in pixels.

    Raises
    ------
    InputError
        The rows are not images.
    """
    from matplotlib.figure import Figure

    pixels = tile(W.T, check_images(image_shape))
    zoom = math.ceil(width / pixels.shape[1])
    pixels = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
    # A picture without axes, at one image pixel per screen pixel.
    dpi = 100
    figure = Figure(figsize=(pixels.shape[1] / dpi, pixels.shape[0] / dpi), dpi=dpi)
    figure.figimage(pixels)
    return figure


def check_images(image_shape: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Return the shape of an image that can be shown.

    Raises
    ------
    InputError
        There is no such shape.
    """
    if image_shape is None:
        raise InputError(
            "the weights cannot be shown as images, because the rows of this data set are not images: "
            "leave out "
            "--weights-image, or save X of the .npz file as (rows, height, width[, channels])"
        )
    if image_shape[2] not in CHANNELS:
        raise InputError(
            f"images of {image_shape[2]} channels cannot be shown, only 1, 3 or 4: leave out --weights-image"
        )
    return image_shape


def tile(rows: NDArray[Any], image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return images in a square grid, each scaled to full contrast.

    Parameters
    ----------
    rows
        ``(images, features)``.
    image_shape
        Height, width and channels of a row: 1 for grey, 3 for colour, 4 for colour and opacity (which is
        ignored).

    Returns
    -------
    ndarray
        ``(height, width, 3)`` of the whole grid, black where there is no image.
    """
    bytes_ = _stretched(_images(rows, image_shape), axis=(1, 2, 3))
    height, width = image_shape[0] + PADDING, image_shape[1] + PADDING
    across = math.ceil(math.sqrt(len(bytes_)))
    down = math.ceil(len(bytes_) / across)
    grid = np.zeros((down * height + PADDING, across * width + PADDING, 3), np.uint8)
    for i, image in enumerate(bytes_):
        top, left = i // across * height + PADDING, i % across * width + PADDING
        grid[top : top + image_shape[0], left : left + image_shape[1]] = image
    return grid


def as_images(rows: NDArray[Any], image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return rows ``(images, features)`` as images ``(images, height, width, 1 or 3)``, of one contrast."""
    return _stretched(_images(rows, image_shape), axis=None)


def _images(rows: NDArray[Any], image_shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return rows as images ``(images, height, width, 1 or 3)``, without an opacity."""
    images = rows.reshape(-1, *image_shape)[..., :3].astype(np.float64)
    return np.nan_to_num(images, posinf=0.0, neginf=0.0)


def _stretched(images: NDArray[np.float64], axis: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """Return images with the values over the axes, all by default, stretched to 0 to 255."""
    low = images.min(axis=axis, keepdims=True)
    span = images.max(axis=axis, keepdims=True) - low
    return np.asarray(np.rint(255 * (images - low) / np.where(span > 0, span, 1)), np.uint8)


def confusion(counts: NDArray[np.int64], found: PerClass, class_names: Sequence[str]) -> "Figure":
    """Draw a confusion matrix, and beside it precision, recall and F1 of each class.

    Parameters
    ----------
    counts
        From `xpnet.reporting.metrics.confusion`.
    found
        From `metrics.per_class`. With more than `MOST_NUMBERED` classes, the numbers are left out.
    class_names
        The name of each class.
    """
    from matplotlib.figure import Figure

    num_classes = len(counts)
    numbered = num_classes <= MOST_NUMBERED
    side = 0.42 * min(max(num_classes, 3), MOST_NUMBERED)
    figure = Figure(figsize=(side + (5.4 if numbered else 2.5), side + 1.6), dpi=130, layout="constrained")
    if numbered:
        matrix, table = figure.subplots(1, 2, width_ratios=[max(num_classes, 3), 7])
        _draw_per_class(table, found)
    else:
        matrix = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    matrix.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    matrix.set_xlabel("predicted class")
    matrix.set_ylabel("true class")
    if numbered:
        # Escaped, because a $ in a name would start mathematics.
        names = [_shortened(name) for name in class_names]
        turned = max(map(len, names)) > 3
        ticks = np.arange(num_classes)
        matrix.set_xticks(ticks, names, rotation=45 if turned else 0, parse_math=False)
        if turned:
            for label in matrix.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        matrix.set_yticks(ticks, names, parse_math=False)
        for i, j in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[i, j] > 0.5 else "black"
            matrix.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=8)
    return figure


def _draw_per_class(axes: "Axes", found: PerClass) -> None:
    """Draw the measures as a table whose rows are those of the matrix beside it."""
    num_classes = len(found.support)
    measures = np.stack([found.precision, found.recall, found.f1], axis=1)
    # Unknown values are empty cells; the last column has no colour.
    cells = np.concatenate([measures, np.full((num_classes, 1), np.nan)], axis=1)
    axes.imshow(cells, cmap="Greens", vmin=0, vmax=2.5, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(4), ["precision", "recall", "F1", "rows"])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    for i, row in enumerate(measures):
        shown = ["–" if np.isnan(value) else f"{100 * value:.1f} %" for value in row]
        for j, text in enumerate([*shown, str(found.support[i])]):
            axes.text(j, i, text, ha="center", va="center", fontsize=8)


def mistakes(
    rows: NDArray[Any],
    image_shape: tuple[int, int, int],
    y: NDArray[np.int64],
    P: NDArray[Any],
    class_names: Sequence[str],
) -> "Figure":
    """Draw images with their class, the predicted class and its probability.

    Parameters
    ----------
    rows
        At least one image, at most `MOST_MISTAKES`, ``(images, features)``; all are scaled to the same
        contrast.
    image_shape
        Height, width and channels, of which there are 1, 3 or 4.
    y, P
        Classes ``(images,)`` and probabilities ``(images, classes)``.
    class_names
        The name of each class.
    """
    from matplotlib.figure import Figure

    across = min(len(rows), 5)
    down = math.ceil(len(rows) / across)
    figure = Figure(figsize=(2.1 * max(across, 2), 2.3 * down), dpi=130, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    images = as_images(rows, image_shape)
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    for axes, image, true, of_classes in zip(panels, images, y, P, strict=False):
        taken = int(of_classes.argmax())
        axes.imshow(image, interpolation="nearest")
        title = f"{_shortened(class_names[true])}\npredicted {_shortened(class_names[taken])}"
        axes.set_title(f"{title}, {100 * of_classes[taken]:.0f} %", fontsize=8, parse_math=False)
    return figure


def predictions(y: NDArray[Any], predicted: NDArray[Any], names: Sequence[str]) -> "Figure":
    """Draw predicted against true numbers, and the residuals beside them; one row per output.

    Parameters
    ----------
    y, predicted
        Numbers ``(rows, outputs)``, at least one row; predictions of one output may be ``(rows,)``. Of many
        rows, a fixed random sample is drawn; of many outputs, the first ones.
    names
        The name of each output.
    """
    from matplotlib.figure import Figure

    (rows, outputs), notes = y.shape, []
    true, found = _finite(y), _finite(np.reshape(predicted, y.shape))
    if rows > MOST_POINTS:
        some = np.random.default_rng(0).choice(rows, MOST_POINTS, replace=False)
        true, found = true[some], found[some]
        notes.append(f"{MOST_POINTS:,} of {rows:,} rows, drawn at random")
    if outputs > MOST_OUTPUTS:
        notes.append(f"the first {MOST_OUTPUTS} of {outputs} outputs")
    drawn = min(outputs, MOST_OUTPUTS)
    figure = Figure(figsize=(9, 4.2 * drawn), dpi=130, layout="constrained")
    if notes:
        figure.suptitle("; ".join(notes), fontsize=9)
    style: dict[str, Any] = {"s": 9, "alpha": 0.35 if len(true) > 200 else 0.8, "linewidths": 0}
    for k, (scatter, residuals) in enumerate(figure.subplots(drawn, 2, squeeze=False)):
        scatter.scatter(true[:, k], found[:, k], color=TRAIN, **style)
        residuals.scatter(found[:, k], true[:, k] - found[:, k], color=TRAIN, **style)
        # Correct predictions are on these lines, which do not affect the limits of the axes.
        scatter.axline((0, 0), slope=1, color="black", linewidth=0.8)
        residuals.axhline(0, color="black", linewidth=0.8)
        both = np.stack([true[:, k], found[:, k]])
        if np.isfinite(both).any():
            low, high = np.nanmin(both), np.nanmax(both)
            margin = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
            scatter.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
        scatter.set(xlabel="true", ylabel="predicted")
        scatter.set_title(_shortened(names[k]), fontsize=10, parse_math=False)
        residuals.set(xlabel="predicted", ylabel="true − predicted")
        for axes in (scatter, residuals):
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
    return figure


def _shortened(name: str) -> str:
    return shorten(printable(name), LONGEST)
