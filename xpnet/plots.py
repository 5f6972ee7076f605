"""Pictures of a run: its curves, and the first layer's weights as images.

Both are matplotlib figures made without pyplot, so that no window, no display and no state of the
caller's own plots comes into it. Matplotlib is imported where it is used: it takes longer than
training on the digits.
"""

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError
from xpnet.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["INSTALL", "available", "check_images", "curves", "tile", "weights"]

INSTALL = 'pip install "xpnet[cli]"'
"""The command that brings matplotlib."""

TRAIN, VALIDATION = "tab:blue", "tab:orange"
PADDING = 1  # pixels between the images of a tile
WIDTH = 900  # of a picture of weights, at least, in pixels


def available() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def curves(history: History) -> "Figure":
    """Draw the loss and the accuracy of one network against the steps.

    Parameters
    ----------
    history
        At least one row. Losses that are not finite, of a run that diverged, are left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_loss(left, history)
    _draw_accuracy(right, history)
    for axes in (left, right):
        last = max(len(history.losses), 2)  # two, so that one step has an axis with a length
        axes.set_xlim(1 - 0.02 * (last - 1), last + 0.02 * (last - 1))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


def _draw_loss(axes: "Axes", history: History) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    ends = np.array([row.step for row in history.rows])
    # A mean belongs in the middle of what it is the mean of.
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


def _draw_accuracy(axes: "Axes", history: History) -> None:
    ends = [row.step for row in history.rows]
    style = _style(history)
    of_train = _finite([row.train_accuracy for row in history.rows])
    of_validation = _finite([row.val_accuracy for row in history.rows])
    axes.plot(ends, of_train, color=TRAIN, alpha=0.5, label="train, last batch", **style)
    axes.plot(ends, of_validation, color=VALIDATION, label="validation", **style)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_ylabel("accuracy")
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, -0.02), min(top, 1.02))


def _style(history: History) -> dict[str, Any]:
    """Dots on the lines as long as they are few: a single epoch is a dot and no line."""
    return {"marker": "o", "markersize": 3.5} if len(history.rows) <= 40 else {}


def _finite(values: Any) -> NDArray[np.float64]:
    """Return the values in float64 with NaN, where a line has a gap, for what cannot be drawn."""
    array = np.asarray(values, np.float64)
    return np.where(np.abs(array) < 1e30, array, np.nan)


def weights(W: NDArray[Any], image_shape: tuple[int, int, int] | None) -> "Figure":
    """Draw the weights of each unit of a first layer as the image that it looks for.

    Parameters
    ----------
    W
        ``(features, units)``.
    image_shape
        Height, width and channels of the rows that the layer sees.

    Raises
    ------
    InputError
        The rows are no images.
    """
    from matplotlib.figure import Figure

    pixels = tile(W.T, check_images(image_shape))
    zoom = math.ceil(WIDTH / pixels.shape[1])
    pixels = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
    # A picture without axes, in which a pixel is a pixel.
    dpi = 100
    figure = Figure(figsize=(pixels.shape[1] / dpi, pixels.shape[0] / dpi), dpi=dpi)
    figure.figimage(pixels)
    return figure


def check_images(image_shape: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Return the shape of an image that can be shown.

    Raises
    ------
    InputError
        There is none.
    """
    if image_shape is None:
        raise InputError(
            "the weights make no image, since the rows of this data set are none: leave out "
            "--weights-image, or save X of the .npz file as (rows, height, width[, channels])"
        )
    if image_shape[2] not in (1, 3, 4):
        raise InputError(
            f"images of {image_shape[2]} channels cannot be shown, only 1, 3 or 4: leave out --weights-image"
        )
    return image_shape


def tile(rows: NDArray[Any], image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return images side by side in a square grid, each stretched to its own full contrast.

    Parameters
    ----------
    rows
        ``(images, features)``.
    image_shape
        Height, width and channels of a row: 1 for grey, 3 for colour, 4 for colour and an opacity,
        which weights have no use for.

    Returns
    -------
    ndarray
        ``(height, width, 3)`` of the whole grid, black where there is no image.
    """
    images = rows.reshape(-1, *image_shape)[..., :3].astype(np.float64)
    images = np.nan_to_num(images, posinf=0.0, neginf=0.0)
    low = images.min(axis=(1, 2, 3), keepdims=True)
    span = images.max(axis=(1, 2, 3), keepdims=True) - low
    bytes_ = np.rint(255 * (images - low) / np.where(span > 0, span, 1)).astype(np.uint8)

    height, width = image_shape[0] + PADDING, image_shape[1] + PADDING
    across = math.ceil(math.sqrt(len(images)))
    down = math.ceil(len(images) / across)
    grid = np.zeros((down * height + PADDING, across * width + PADDING, 3), np.uint8)
    for i, image in enumerate(bytes_):
        top, left = i // across * height + PADDING, i % across * width + PADDING
        grid[top : top + image_shape[0], left : left + image_shape[1]] = image
    return grid
