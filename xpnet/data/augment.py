"""Augmentation: random changes to images on the device, different for each row of a batch.

Flips, shifts and rotations determine where in the image each pixel is taken from; `xpnet.data.pixels` defines
the pixels beyond the edge and between pixels. So all three together are a single gather of whole pixels, or
four with a rotation, which blends the neighbours of each point. A cutout takes its pixels from another image.
"""

from dataclasses import dataclass
from math import pi, prod

from xpnet.data.pixels import bilinear, check_features, checked, reflect
from xpnet.errors import InputError
from xpnet.nn import noise
from xpnet.nn.composites import elementwise
from xpnet.typing import Array, Namespace, Share

__all__ = ["Augmentation", "augment", "check"]

DRAWS = 6
"""Random numbers per row. Each technique has its own, so that turning one on does not change the others."""


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of images, the same for all networks of a stack. It is false if nothing is turned on.

    Attributes
    ----------
    flip
        Whether to mirror images left to right with probability 1/2.
    shift
        Largest shift in pixels, in either direction along both axes; all integers are equally likely.
    rotation
        Largest rotation in degrees, in either direction about the centre, with bilinear interpolation.
    cutout
        Side in pixels of a square whose pixels are replaced. Its centre is uniformly random, and it is
        clipped at the edge. Source: DeVries and Taylor, https://arxiv.org/abs/1708.04552.

    Raises
    ------
    InputError
        A value is out of range.
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
    """Refuse an augmentation that does not suit the data.

    Parameters
    ----------
    how
        The augmentation; an empty one suits all data.
    image_shape
        Height, width and channels; None if the rows are not images.

    Raises
    ------
    InputError
        The rows are not images, or a shift or cutout is too large for them.
    """
    if how:
        height, width, _ = checked(image_shape, how.shift, "augmentation")
        if how.cutout > min(height, width):
            raise InputError(
                f"a cutout of side {how.cutout} covers images of {height}×{width}: "
                f"give at most {min(height, width)}"
            )


def augment(
    xp: Namespace,
    how: Augmentation,
    images: Array,
    image_shape: tuple[int, ...],
    key: Array,
    fill: Array | None = None,
    share: Share | None = None,
) -> Array:
    """Return augmented images; each has its own random draws.

    The draws of a row depend only on the key and on its position in the batch. With keys ``(*nets,)``, each
    network gets the same augmentation as on its own with its key, even from a batch that all share.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    how
        The augmentation.
    images
        ``(*nets, batch, features)``, or ``(batch, features)`` shared by all networks; uint8 or floating.
    image_shape
        Height, width and channels, whose product is ``features``.
    key
        ``(*nets,)``, int32, see `xpnet.nn.noise`; ``()`` changes the images of all networks in the same way.
    fill
        ``(features,)``, the image whose pixels fill a cutout, for example the mean; 0 by default.
    share
        Which rows of the batch these are; all by default.

    Returns
    -------
    Array
        ``(*nets, batch, features)`` of the same dtype; ``images`` itself if there is nothing to do.

    Raises
    ------
    InputError
        As in `check`; or the rows do not have the length of the image, or keys are not int32.
    """
    if not how:
        return images
    check(how, image_shape)
    check_features(images, image_shape)
    height, width, channels = image_shape
    # Tracers in compiled steps have no device, but then there is only one to choose from.
    device = getattr(images, "device", None)
    integral = xp.isdtype(images.dtype, "integral")
    real = xp.float32 if integral else images.dtype
    *nets, batch, features = images.shape

    # All coordinates have the axes (*nets, batch, height, width), with length 1 where they do not vary.
    before = 0 if share is None else share.begin * DRAWS
    drawn = noise.uniform(xp, key, (batch, DRAWS), real, before)[..., None, None]
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
        pixels = bilinear(xp, pixels, image, at, (height, width), images.dtype)
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
    """Return the number of the source pixel for each pixel of each image, flipped and shifted."""
    x = _mirrored(xp, x, to_flip, width) if flip else x
    y, x = y + _shift(xp, to_shift_y, shift), x + _shift(xp, to_shift_x, shift)
    return image * (height * width) + reflect(xp, y, height) * width + reflect(xp, x, width)


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
    """Return the source point for each pixel of each image, flipped, rotated and shifted."""
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
    """Return ``index`` with the numbers of the fill image's pixels, from ``fill`` on, inside the cutout."""
    top = _below(xp, to_cut_y, height) - side // 2
    left = _below(xp, to_cut_x, width) - side // 2
    rows, columns = (y >= top) & (y < top + side), (x >= left) & (x < left + side)
    return xp.where(rows & columns, fill + y * width + x, index)


def _mirrored(xp: Namespace, x: Array, u: Array, width: int) -> Array:
    """Return the columns, mirrored for half of the images."""
    return xp.where(u < 0.5, width - 1 - x, x)


def _shift(xp: Namespace, u: Array, largest: int) -> Array:
    return _below(xp, u, 2 * largest + 1) - largest


def _below(xp: Namespace, u: Array, n: int) -> Array:
    """Return integers uniform in 0 … n - 1, from numbers uniform in [0, 1)."""
    return xp.astype(xp.floor(u * n), xp.int32)
