"""Mirrored and shifted views of an image, over which an evaluation averages."""

from collections.abc import Iterator
from typing import Literal

from xpnet.data.pixels import check_features, checked, reflect
from xpnet.errors import InputError
from xpnet.typing import Array, Namespace

__all__ = ["Views", "check_views", "views"]

Views = Literal["none", "flip", "flip-shift"]


def check_views(kind: Views, image_shape: tuple[int, ...] | None, shift: int | None = None) -> None:
    """Refuse views that the data do not support; parameters and errors are those of `views`."""
    if kind not in ("none", "flip", "flip-shift"):
        raise InputError(f"there are no views {kind!r} of an image: give none, flip or flip-shift")
    if kind != "none":
        shift = _view_shift(image_shape) if shift is None else shift
        if kind == "flip-shift" and shift < 1:
            raise InputError(f"the views of an image are shifted by {shift} pixels: give 1 or more")
        checked(image_shape, shift if kind == "flip-shift" else 0, "averaging over views")


def views(
    xp: Namespace, kind: Views, images: Array, image_shape: tuple[int, ...] | None, shift: int | None = None
) -> Iterator[Array]:
    """Return an iterator over views of the same images, so that an evaluation can average over them.

    Parameters
    ----------
    xp
        Array API namespace of the images.
    kind
        ``"none"``: only the images themselves. ``"flip"``: also their mirror images. ``"flip-shift"``: both,
        unshifted and shifted in the eight directions, which makes 18 views.
    images
        ``(..., features)``.
    image_shape
        Height, width and channels, whose product is ``features``.
    shift
        Shift of ``"flip-shift"`` in pixels; by default 1/16 of the shorter side of the image, at least 1.

    Returns
    -------
    iterator of Array
        Each has the shape and dtype of ``images``; the first is ``images`` itself.

    Raises
    ------
    InputError
        The rows are not images or have another length, the shift is not smaller than the image, or ``kind``
        is unknown.
    """
    check_views(kind, image_shape, shift)
    if image_shape is not None:
        check_features(images, image_shape)
    steps = [(0, 0)]
    if kind == "flip-shift":
        by = _view_shift(image_shape) if shift is None else shift
        ways = (0, -by, by)
        steps = [(down, right) for down in ways for right in ways]
    mirrors = [False] if kind == "none" else [False, True]
    return (_view(xp, images, image_shape or (), mirror, *step) for step in steps for mirror in mirrors)


def _view_shift(image_shape: tuple[int, ...] | None) -> int:
    return max(1, min((image_shape or (1,))[:2]) // 16)


def _view(
    xp: Namespace, images: Array, image_shape: tuple[int, ...], mirror: bool, down: int, right: int
) -> Array:
    """Return all images, mirrored if asked for, then shifted: pixels are read further down and right."""
    if not (mirror or down or right):
        return images
    height, width, _ = image_shape
    device = getattr(images, "device", None)
    y = xp.arange(height, dtype=xp.int32, device=device)
    x = xp.arange(width, dtype=xp.int32, device=device)
    grid = xp.reshape(images, (-1, *image_shape))
    if down:
        grid = xp.take(grid, reflect(xp, y + down, height), axis=1)
    if mirror or right:
        columns = reflect(xp, (width - 1 - x if mirror else x) + right, width)
        grid = xp.take(grid, columns, axis=2)
    return xp.reshape(grid, images.shape)
