"""The note on curves that show single networks or views, while other scores are of averaged predictions."""

from collections.abc import Collection

from xpnet.data.views import Views
from xpnet.reporting.metrics import score_name

__all__ = ["note_on_curves"]

OF = {
    "flip": "each image and its mirror image (averaging flip)",
    "flip-shift": "each image, its mirror image and shifts of both (averaging flip-shift)",
}


def note_on_curves(score: str, averaging: Collection[Views], networks: int = 1) -> str:
    """Return a note on how the scores of the curves differ from the other scores; empty if they do not.

    A moving average of the weights needs no note: the curves use it, too.

    Parameters
    ----------
    score
        Name of the score: ``"accuracy"``, or ``"r2"``.
    averaging
        Views over which predictions are averaged, as in `Config`; the networks of a sweep may differ in them.
    networks
        Number of networks whose predictions are averaged.
    """
    kinds = set(averaging) - {"none"}
    views = ""
    if kinds:
        views = OF[kinds.pop()] if len(set(averaging)) == 1 else "views of each image where averaging is on"
    if networks > 1:
        alone = "each scored alone and on images as they are" if views else "each scored alone"
        over_views = f", and over {views}" if views else ""
        return (
            f"The curves are means over the {networks} networks, {alone}. Elsewhere, the "
            f"{score_name(score)} comes from predictions averaged over the networks{over_views}."
        )
    if not views:
        return ""
    return (
        f"The curves score each image as it is. Elsewhere, the validation and test {score_name(score)} comes "
        f"from predictions averaged over {views}."
    )
