"""The worst mistakes of a network, as a report shows them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device
from xpnet.reporting.evaluated import Mistake
from xpnet.reporting.metrics import shown
from xpnet.reporting.plots import CHANNELS, as_images
from xpnet.reporting.png import png_of
from xpnet.training.model import Model

__all__ = ["worst"]

MOST = 12
"""Maximum number of mistakes that are shown."""

AT_ONCE = 2000
"""Number of wrong rows that are in memory at a time."""

MOST_COLUMNS = 6
"""Maximum number of columns of a table whose values are shown."""

SIDE = 64
"""Maximum side of an image in pixels; larger images are shown reduced."""


def worst(
    model: Model,
    X: Any,
    y: NDArray[Any],
    predicted: NDArray[Any],
    device: str | Device = "cpu",
    P: NDArray[Any] | None = None,
    numbers: NDArray[Any] | None = None,
) -> tuple[Mistake, ...]:
    """Return the most confident mistakes; for a regression, the largest errors; for several labels, none.

    Parameters
    ----------
    model
        The network.
    X
        Raw rows, in memory or on the disk.
    y, predicted
        True values, and the predictions of `Model.predict`.
    device
        Where to compute.
    P
        Probabilities of all rows, if they are known.
    numbers
        Number to show for each row; by default its index in ``X``.
    """
    if model.task == "classification":
        wrong = np.flatnonzero(predicted != y)
        if not len(wrong):
            return ()
        if P is None:
            parts = [wrong[start : start + AT_ONCE] for start in range(0, len(wrong), AT_ONCE)]
            of_parts = [
                _sureness(model.probabilities(_rows(X, part), device), predicted[part]) for part in parts
            ]
            sure = np.concatenate(of_parts)
        else:
            sure = _sureness(P[wrong], predicted[wrong])
        order = np.argsort(-sure, kind="stable")[:MOST]
        chosen = wrong[order]
        names = model.class_names
        said = [(names[y[k]], names[predicted[k]]) for k in chosen]
        how = [f"{100 * part:.1f} %" for part in sure[order].tolist()]
    elif model.task == "regression" and len(y):
        found = np.reshape(predicted, y.shape)
        with np.errstate(all="ignore"):
            off = np.abs(y - found)
            scale = y.std(axis=0)
            size = np.nan_to_num((off / np.where(scale > 0, scale, 1.0)).max(axis=1))
        chosen = np.argsort(-size, kind="stable")[:MOST]
        said = [(_numbers(y[k]), _numbers(found[k])) for k in chosen]
        how = [_numbers(off[k]) for k in chosen]
    else:
        return ()
    rows = _rows(X, chosen)
    images = _pictures(model, rows)
    return tuple(
        Mistake(
            int(row if numbers is None else numbers[row]),
            *said[place],
            how[place],
            None if images is None else images[place],
            {} if model.columns is None else model.columns.said(rows[place], MOST_COLUMNS),
        )
        for place, row in enumerate(chosen)
    )


def _sureness(P: NDArray[Any], predicted: NDArray[Any]) -> NDArray[Any]:
    """Return the probability ``(rows,)`` of each row's predicted class."""
    return np.asarray(np.take_along_axis(P, predicted[:, None], axis=1)[:, 0])


def _rows(X: Any, index: NDArray[Any]) -> NDArray[Any]:
    rows = X[index]
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows)


def _pictures(model: Model, rows: NDArray[Any]) -> list[bytes] | None:
    """Return rows as PNG files; None if they are not images, or cannot be shown."""
    shape = model.image_shape
    if shape is None or shape[2] not in CHANNELS or model.columns is not None:
        return None
    every = -(-max(shape[:2]) // SIDE)
    return [png_of(image[::every, ::every]) for image in as_images(rows, shape)]


def _numbers(values: NDArray[Any]) -> str:
    return ", ".join(shown(value, "rmse") for value in np.atleast_1d(values).tolist())
