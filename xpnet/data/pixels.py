"""Pixels of images in rows: checks of the shape, and the values beyond the edge and between pixels.

Rows hold images ``(height, width, channels)``, channels last. Beyond the edge, an image is mirrored about the
edge pixel, which is not repeated (NumPy's "reflect").
"""

from math import prod

from xpnet.errors import InputError
from xpnet.nn.composites import elementwise
from xpnet.typing import Array, Namespace

__all__ = ["ImageShape", "bilinear", "check_features", "checked", "reflect"]

ImageShape = tuple[int, int, int]
"""Height, width, channels."""


def checked(image_shape: tuple[int, ...] | None, shift: int, what: str) -> ImageShape:
    """Return the shape of the images; refuse rows that are not images, and a shift too large for them."""
    if image_shape is None or len(image_shape) != 3:
        raise InputError(
            f"{what} needs images, but these data have no height, width and channels: turn it off"
        )
    height, width, channels = image_shape
    if shift >= min(height, width):
        raise InputError(
            f"a shift of {shift} pixels is too large for images of {height}×{width}: "
            f"give at most {min(height, width) - 1}"
        )
    return height, width, channels


def check_features(images: Array, image_shape: tuple[int, ...]) -> None:
    """Refuse rows whose length does not match the shape of the image."""
    if images.shape[-1] != prod(image_shape):
        sides = "×".join(str(n) for n in image_shape)
        raise InputError(
            f"rows of {images.shape[-1]} features are not images of {sides}: give rows of {prod(image_shape)}"
        )


def reflect(xp: Namespace, i: Array, n: int) -> Array:
    """Return the position in 0 … n - 1 to which ``i`` is mirrored; it must be less than n beyond the edge."""
    i = xp.abs(i)
    return xp.minimum(i, 2 * (n - 1) - i)


def bilinear(
    xp: Namespace, pixels: Array, image: Array, at: tuple[Array, Array], size: tuple[int, int], dtype: object
) -> Array:
    """Return the values of images at points between their pixels, by bilinear interpolation.

    A point at the fraction ``f`` of the way from row ``a`` to row ``b`` has the value ``a + f (b - a)``. The
    values of ``a`` and ``b`` are interpolated between the columns in the same way.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    pixels
        ``(pixels, channels)`` of all images.
    image
        Number of each image, ``(*nets, batch, 1, 1)``.
    at
        The points, y and x in pixels: ``(*nets, batch, height, width)``.
    size
        Height and width.
    dtype
        Dtype of the result; values are rounded to an integer dtype.

    Returns
    -------
    Array
        ``(pixels, channels)``.
    """
    real = at[0].dtype
    (top, bottom, fy), (left, right, fx) = (_neighbours(xp, a, n) for a, n in zip(at, size, strict=True))
    # The fractions are repeated for every channel: NumPy computes on arrays of equal shape in one long loop,
    # whereas broadcasting would take a short loop over the channels of each pixel.
    channels = pixels.shape[1]
    fy, fx = (xp.reshape(xp.repeat(xp.reshape(f, (-1,)), channels), (-1, channels)) for f in (fy, fx))

    def between_columns(rows: Array) -> Array:
        indices = _numbers(xp, image, rows, left, right, *size)
        a, b = (xp.take(pixels, xp.reshape(index, (-1,)), axis=0) for index in indices)
        return _blended(xp, a, b, fx, real)

    return _rounded(xp, between_columns(top), between_columns(bottom), fy, dtype)


@elementwise
def _neighbours(xp: Namespace, position: Array, n: int) -> tuple[Array, Array, Array]:
    """Return the pixels on both sides of a position on a line of ``n``, and the fraction between them."""
    period = max(2 * (n - 1), 1)
    m = position - period * xp.floor(position / period)
    m = xp.maximum((n - 1) - xp.abs((n - 1) - m), 0.0)  # mirrored; rounding may give slightly less than 0
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
    """Return the value at this fraction between a and b, as floats."""
    a, b = xp.astype(a, real), xp.astype(b, real)
    b -= a
    b *= fraction
    b += a
    return b


@elementwise
def _rounded(xp: Namespace, a: Array, b: Array, fraction: Array, dtype: object) -> Array:
    """Return the value at this fraction between a and b, rounded if the dtype is an integer one."""
    real = b.dtype
    b -= a
    b *= fraction
    b += a
    if real != dtype:
        b = xp.round(b)
    return xp.astype(b, dtype)
