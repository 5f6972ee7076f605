"""The values of black and white pixels in the rows of a model: ``--black`` and ``--white``."""

import math
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from xpnet.commands.flags import Parser
from xpnet.errors import InputError
from xpnet.runs.unlabelled import holds_images
from xpnet.training.model import Model

__all__ = ["add_shades", "shades_of"]


def add_shades(parser: Parser) -> None:
    """Add the flags."""
    parser.add_argument(
        "--white",
        metavar="X",
        type=float,
        help="value of white pixels in the training rows (default: 1, 16 or 255, inferred from their range)",
    )
    parser.add_argument(
        "--black",
        metavar="X",
        type=float,
        help=(
            "value of black pixels in the training rows (default: 0); if it is above --white, "
            "images are inverted"
        ),
    )


def shades_of(
    model: Model, given: Namespace, source: Path, note: Callable[[str], None]
) -> tuple[float, float] | None:
    """Return the values of black and white; None if there are no images to read.

    Parameters
    ----------
    model
        The model that will take the images as rows.
    given
        The flags.
    source
        The file or folder that the rows come from.
    note
        Called with a sentence if the model does not record the range of its training rows.

    Raises
    ------
    InputError
        A flag does not apply or is not a valid number, or the value of white cannot be inferred.
    """
    black, white = given.black or 0.0, given.white
    if not math.isfinite(black):
        raise InputError(f"--black must be a finite number, not {black}")
    if white is not None and not (math.isfinite(white) and white != black):
        raise InputError(f"--white must be a finite number other than black, {black:g}, not {white}")
    has_images = holds_images(source)
    for name in ("white", "black"):
        if getattr(given, name) is not None and not has_images:
            raise InputError(f"{source} is not an image: drop --{name}")
    if not has_images or model.image_shape is None:
        return None
    if white is None:
        if model.row_range is None:
            note(
                "the model does not record the range of its training rows, so white is taken as 255: "
                "give --white to change it"
            )
        white = 255.0 if model.row_range is None else model.row_range.white()
        if white == black:
            raise InputError(
                f"--black is {black:g}, the same as white: give --white, too, such as 0 to invert the images"
            )
    return black, white
