"""Images changed at random on the device, each row of a batch in its own way; views to average over.

Rows hold images of ``(height, width, channels)``, channel last. A flip, a shift and a rotation say from
where in its image each pixel is taken; beyond the edge the image is mirrored about the edge pixel, which
is not repeated (NumPy's "reflect"). So all of them together are one gather of whole pixels, or four where
a rotation blends the neighbours of a point between pixels. A cutout takes its pixels from a further image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi, prod
from typing import Literal

from xpnet.errors import InputError
from xpnet.nn import noise
from xpnet.nn.composites import elementwise
from xpnet.typing import Array, Namespace

__all__ = ["Augmentation", "Views", "augment", "check", "check_views", "views"]

ImageShape = tuple[int, int, int]
"""Height, width, channels."""

Views = Literal["none", "flip", "flip-shift"]

DRAWS = 6
"""Random numbers per row. Each technique has its own, so that turning on one leaves the others the same."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to the images, the same for all networks of a stack. False if it is nothing.

    Attributes
    ----------
    flip
        Left and right exchanged with probability 1/2.
    shift
        Largest shift in pixels, each way and along both axes; all whole numbers are equally likely.
    rotation
        Largest rotation in degrees, each way, about the centre; bilinear.
    cutout
        Side in pixels of a square at a uniformly random centre whose pixels are replaced; what of it lies
        beyond the edge is cut off. Source: DeVries and Taylor, https://arxiv.org/abs/1708.04552.

    Raises
    ------
    InputError
        A strength out of range.
    """

    flip: bool = False
    shift: int = 0
    rotation: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise InputError(f"the shift of images is {self.shift} pixels: give 0 or more")
        if not 0 <= self.rotation <= 180:
            raise InputError(f"the rotation of images is {self.rotation} degrees: give 0 to 180")
        if self.cutout < 0:
            raise InputError(f"the cutout's side is {self.cutout} pixels: give 0 or more")

    def __bool__(self) -> bool:
        return bool(self.flip or self.shift or self.rotation or self.cutout)


def check(how: Augmentation, image_shape: tuple[int, ...] | None) -> None:
    """Refuse an augmentation that the data cannot have.

    Parameters
    ----------
    how
        One that does nothing suits all data.
    image_shape
        Height, width and channels; None if the rows are not images.

    Raises
    ------
    InputError
        Rows that are not images; a shift or a cutout larger than the image.
    """
    if how:
        height, width, _ = _checked(image_shape, how.shift, "augmentation")
        if how.cutout > min(height, width):
            raise InputError(
                f"a cutout of side {how.cutout} covers images of {height}×{width}: "
                f"give at most {min(height, width)}"
            )


def check_views(kind: Views, image_shape: tuple[int, ...] | None, shift: int | None = None) -> None:
    """Refuse views that the data cannot have; parameters and errors as in `views`."""
    if kind not in ("none", "flip", "flip-shift"):
        raise InputError(f"there are no views {kind!r} of an image: give none, flip or flip-shift")
    if kind != "none":
        shift = _view_shift(image_shape) if shift is None else shift
        if kind == "flip-shift" and shift < 1:
            raise InputError(f"the views of an image are shifted by {shift} pixels: give 1 or more")
        _checked(image_shape, shift if kind == "flip-shift" else 0, "averaging over views")


def augment(
    xp: Namespace,
    how: Augmentation,
    images: Array,
    image_shape: tuple[int, ...],
    key: Array,
    fill: Array | None = None,
) -> Array:
    """Return the images changed as ``how`` says, each by draws of its own.

    The draws of a row depend on the key and on its position in the batch only. With keys ``(*nets,)``
    each network gets what its key gives it alone, also from a batch that all share.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    how
        What is done.
    images
        ``(*nets, batch, features)``, or ``(batch, features)`` shared by all networks; uint8 or floating.
    image_shape
        Height, width and channels, whose product is ``features``.
    key
        ``(*nets,)``, int32, see `xpnet.nn.noise`; ``()`` changes the images of all networks alike.
    fill
        ``(features,)``, the image that shows where something is cut out, for example the mean; 0 by
        default.

    Returns
    -------
    Array
        ``(*nets, batch, features)`` of the same dtype; ``images`` itself if there is nothing to do.

    Raises
    ------
    InputError
        See `check`; rows of another length than the image's; keys that are not int32.
    """
    if not how:
        return images
    check(how, image_shape)
    _check_features(images, image_shape)
    height, width, channels = image_shape
    # Tracers of compiled steps have no device; there is only one to choose from then.
    device = getattr(images, "device", None)
    integral = xp.isdtype(images.dtype, "integral")
    real = xp.float32 if integral else images.dtype
    *nets, batch, features = images.shape

    # All coordinates have the axes (*nets, batch, height, width), of length 1 where they are all the same.
    drawn = noise.uniform(xp, key, (batch, DRAWS), real)[..., None, None]
    flip, down, right, turn, cut_y, cut_x = (drawn[..., i, :, :] for i in range(DRAWS))
    y = xp.arange(height, dtype=xp.int32, device=device)[:, None]
    x = xp.arange(width, dtype=xp.int32, device=device)[None, :]

    pixels = xp.reshape(images, (-1, channels))
    number = xp.arange(prod(nets) * batch, dtype=xp.int32, device=device)
    image = xp.reshape(number, (*nets, batch, 1, 1))
    if how.rotation:
        at = _turned(
            xp, y, x, flip, down, right, turn, height, width, how.flip, how.shift, how.rotation * pi / 180
        )
        pixels = _bilinear(xp, pixels, image, at, (height, width), images.dtype)
        number = xp.arange(pixels.shape[0], dtype=xp.int32, device=device)
        index = xp.reshape(number, at[0].shape)
    else:
        index = _moved(xp, y, x, flip, down, right, image, height, width, how.flip, how.shift)

    if how.cutout:
        if fill is None:
            fill = xp.zeros(features, dtype=images.dtype, device=device)
        elif integral:
            fill = xp.round(fill)
        index = _cut(xp, y, x, cut_y, cut_x, index, height, width, how.cutout, pixels.shape[0])
        of_fill = xp.reshape(xp.astype(fill, images.dtype), (-1, channels))
        pixels = xp.concat([pixels, of_fill], axis=0)

    if how.cutout or not how.rotation:
        pixels = xp.take(pixels, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(pixels, (*index.shape[:-2], features))


def views(
    xp: Namespace, kind: Views, images: Array, image_shape: tuple[int, ...] | None, shift: int | None = None
) -> Iterator[Array]:
    """Return views of the same images, one after the other, over which an evaluation can average.

    Parameters
    ----------
    xp
        Array API namespace of the images.
    kind
        ``"none"``: the images themselves. ``"flip"``: these and their mirror images. ``"flip-shift"``:
        both of them, each where it is and shifted to its eight neighbours, 18 in all.
    images
        ``(..., features)``.
    image_shape
        Height, width and channels, whose product is ``features``.
    shift
        Of ``"flip-shift"``, in pixels; by default a sixteenth of the image's shorter side, at least 1.

    Returns
    -------
    iterator of Array
        Each of the shape and dtype of ``images``; the first is ``images`` itself.

    Raises
    ------
    InputError
        Rows that are not images, or of another length; a shift that is not smaller than the image; an
        unknown ``kind``.
    """
    check_views(kind, image_shape, shift)
    if image_shape is not None:
        _check_features(images, image_shape)
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
    """Return all the images mirrored or not, then read so many pixels further down and right."""
    if not (mirror or down or right):
        return images
    height, width, _ = image_shape
    device = getattr(images, "device", None)
    y = xp.arange(height, dtype=xp.int32, device=device)
    x = xp.arange(width, dtype=xp.int32, device=device)
    grid = xp.reshape(images, (-1, *image_shape))
    if down:
        grid = xp.take(grid, _reflect(xp, y + down, height), axis=1)
    if mirror or right:
        columns = _reflect(xp, (width - 1 - x if mirror else x) + right, width)
        grid = xp.take(grid, columns, axis=2)
    return xp.reshape(grid, images.shape)


def _checked(image_shape: tuple[int, ...] | None, shift: int, what: str) -> ImageShape:
    """Return the shape of the images, or refuse rows that are none and a shift larger than they are."""
    if image_shape is None or len(image_shape) != 3:
        raise InputError(
            f"{what} is of images, and these data have no height, width and channels: turn it off"
        )
    height, width, channels = image_shape
    if shift >= min(height, width):
        raise InputError(
            f"a shift of {shift} pixels is too large for images of {height}×{width}: "
            f"give at most {min(height, width) - 1}"
        )
    return height, width, channels


def _check_features(images: Array, image_shape: tuple[int, ...]) -> None:
    """Refuse rows that are not as long as the image has values."""
    if images.shape[-1] != prod(image_shape):
        sides = "×".join(str(n) for n in image_shape)
        raise InputError(
            f"rows of {images.shape[-1]} features hold no images of {sides}: give rows of {prod(image_shape)}"
        )


@elementwise
def _moved(
    xp: Namespace,
    y: Array,
    x: Array,
    to_flip: Array,
    to_shift_y: Array,
    to_shift_x: Array,
    image: Array,
    height: int,
    width: int,
    flip: bool,
    shift: int,
) -> Array:
    """Return the number of the pixel that is to be seen at each place of each image, flipped and shifted."""
    x = _mirrored(xp, x, to_flip, width) if flip else x
    y, x = y + _shift(xp, to_shift_y, shift), x + _shift(xp, to_shift_x, shift)
    return image * (height * width) + _reflect(xp, y, height) * width + _reflect(xp, x, width)


@elementwise
def _turned(
    xp: Namespace,
    y: Array,
    x: Array,
    to_flip: Array,
    to_shift_y: Array,
    to_shift_x: Array,
    to_turn: Array,
    height: int,
    width: int,
    flip: bool,
    shift: int,
    largest: float,
) -> tuple[Array, Array]:
    """Return the point of its image that is to be seen at each place: flipped, turned and shifted."""
    x = _mirrored(xp, x, to_flip, width) if flip else x
    # The image turns clockwise, as y points down.
    angle = (2.0 * to_turn - 1.0) * largest
    dy, dx = (xp.astype(at, to_turn.dtype) for at in (y, x))
    dy, dx = dy - 0.5 * (height - 1), dx - 0.5 * (width - 1)
    cos, sin = xp.cos(angle), xp.sin(angle)
    down, right = (xp.astype(_shift(xp, u, shift), to_turn.dtype) for u in (to_shift_y, to_shift_x))
    source_y = dy * cos - dx * sin + (down + 0.5 * (height - 1))
    return source_y, dy * sin + dx * cos + (right + 0.5 * (width - 1))


@elementwise
def _cut(
    xp: Namespace,
    y: Array,
    x: Array,
    to_cut_y: Array,
    to_cut_x: Array,
    index: Array,
    height: int,
    width: int,
    side: int,
    fill: int,
) -> Array:
    """Return ``index`` with the filling's pixels, numbered from ``fill``, where something is cut out."""
    top = _below(xp, to_cut_y, height) - side // 2
    left = _below(xp, to_cut_x, width) - side // 2
    rows, columns = (y >= top) & (y < top + side), (x >= left) & (x < left + side)
    return xp.where(rows & columns, fill + y * width + x, index)


def _mirrored(xp: Namespace, x: Array, u: Array, width: int) -> Array:
    """Return the columns, from the other side for half of the images."""
    return xp.where(u < 0.5, width - 1 - x, x)


def _shift(xp: Namespace, u: Array, largest: int) -> Array:
    return _below(xp, u, 2 * largest + 1) - largest


def _below(xp: Namespace, u: Array, n: int) -> Array:
    """Return integers uniform in 0 … n - 1, of numbers uniform in [0, 1)."""
    return xp.astype(xp.floor(u * n), xp.int32)


def _reflect(xp: Namespace, i: Array, n: int) -> Array:
    """Return the position in 0 … n - 1 that ``i`` stands for, where it is less than n beyond the edge."""
    i = xp.abs(i)
    return xp.minimum(i, 2 * (n - 1) - i)


def _bilinear(
    xp: Namespace, pixels: Array, image: Array, at: tuple[Array, Array], size: tuple[int, int], dtype: object
) -> Array:
    """Return the images between their pixels, linear in y and in x.

    Between the rows ``a`` and ``b`` the value at the fraction ``f`` of the way is ``a + f (b - a)``, where
    ``a`` and ``b`` are the values between the columns, found the same way.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    pixels
        ``(pixels, channels)`` of all images.
    image
        Number of each image, ``(*nets, batch, 1, 1)``.
    at
        Where to look, y and x in pixels: ``(*nets, batch, height, width)``.
    size
        Height and width.
    dtype
        To return; an integer dtype gets rounded values.

    Returns
    -------
    Array
        ``(pixels, channels)``.
    """
    real = at[0].dtype
    (top, bottom, fy), (left, right, fx) = (_neighbours(xp, a, n) for a, n in zip(at, size, strict=True))
    # Each pixel's fractions are written out for all of its channels: of arrays that are alike in shape, NumPy
    # makes one long loop, where it would do the few channels of each pixel in a loop of their own.
    channels = pixels.shape[1]
    fy, fx = (xp.reshape(xp.repeat(xp.reshape(f, (-1,)), channels), (-1, channels)) for f in (fy, fx))

    def between_columns(rows: Array) -> Array:
        indices = _numbers(xp, image, rows, left, right, *size)
        a, b = (xp.take(pixels, xp.reshape(index, (-1,)), axis=0) for index in indices)
        return _blended(xp, a, b, fx, real)

    return _rounded(xp, between_columns(top), between_columns(bottom), fy, dtype)


@elementwise
def _neighbours(xp: Namespace, position: Array, n: int) -> tuple[Array, Array, Array]:
    """Return the pixels on both sides of a position on a line of ``n``, and how far between them it is."""
    period = max(2 * (n - 1), 1)
    m = position - period * xp.floor(position / period)
    m = xp.maximum((n - 1) - xp.abs((n - 1) - m), 0.0)  # the mirror; rounding may lead just below 0
    below = xp.floor(m)
    lower = xp.astype(below, xp.int32)
    return lower, xp.minimum(lower + 1, n - 1), m - below


@elementwise
def _numbers(
    _xp: Namespace, image: Array, row: Array, left: Array, right: Array, height: int, width: int
) -> tuple[Array, Array]:
    """Return the numbers of the pixels in two columns of a row."""
    start = image * (height * width) + row * width
    return start + left, start + right


@elementwise
def _blended(xp: Namespace, a: Array, b: Array, fraction: Array, real: object) -> Array:
    """Return what lies so far between a and b, as floats."""
    a, b = xp.astype(a, real), xp.astype(b, real)
    b -= a
    b *= fraction
    b += a
    return b


@elementwise
def _rounded(xp: Namespace, a: Array, b: Array, fraction: Array, dtype: object) -> Array:
    """Return what lies so far between a and b, rounded if the dtype is one of whole numbers."""
    real = b.dtype
    b -= a
    b *= fraction
    b += a
    if real != dtype:
        b = xp.round(b)
    return xp.astype(b, dtype)
