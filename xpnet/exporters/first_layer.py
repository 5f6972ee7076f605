"""Preprocessing as other libraries do it: as much of it as can be is part of the first layer.

Of a table nothing can be: `first_layer` takes up where `xpnet.data.table.apply` ends.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.data import transforms
from xpnet.data.views import views
from xpnet.device import to_numpy
from xpnet.errors import InputError
from xpnet.training.model import Model

__all__ = ["FirstLayer", "first_layer", "in_float64", "view_columns"]


class FirstLayer(NamedTuple):
    """What comes of a raw row, or of what a row of a table was made into: ``(contrast(x) - mean) W + b``.

    Attributes
    ----------
    contrast
        Added to the variance of a row in contrast normalisation; None for none.
    mean
        Subtracted, ``(features,)``; None if it is 0. Not a part of ``b``: where it is large against the
        deviation, float32 would lose in the product what the subtraction keeps.
    W, b
        ``(*nets, features, units)`` and ``(*nets, units)``, scale or matrix of the preprocessing included.
    """

    contrast: float | None
    mean: NDArray[np.float64] | None
    W: NDArray[np.float64]
    b: NDArray[np.float64]


def first_layer(model: Model) -> FirstLayer:
    """Return the first layer of a model with its preprocessing, unless that is of a table.

    Of an exact one, what is done in float64 comes before: `in_float64`.

    Raises
    ------
    InputError
        That is contrast normalisation.
    """
    if model.preprocessing.kind == "table":
        W, b = (np.asarray(to_numpy(model.params[name]), np.float64) for name in ("W1", "b1"))
        return FirstLayer(None, None, W, b)
    if model.preprocessing.exact:
        if model.preprocessing.contrast:
            raise InputError(
                "the rows are normalised in float64, for which exported models have no layer: train on X "
                "scaled to size 1, or without contrast"
            )
        fitted = {name: value for name, value in model.fitted.items() if name != "scale"}
        fitted["mean"] = np.zeros_like(fitted["mean"])
        how = replace(model.preprocessing, exact=False)
        W, b = transforms.fold(how, fitted, to_numpy(model.params["W1"]), to_numpy(model.params["b1"]))
        return FirstLayer(None, None, W, b)
    mean = model.fitted["mean"]
    linear = model.fitted | {"mean": np.zeros_like(mean)}
    how = replace(model.preprocessing, contrast=False)
    W, b = transforms.fold(how, linear, to_numpy(model.params["W1"]), to_numpy(model.params["b1"]))
    contrast = float(model.fitted["contrast"][0]) if model.preprocessing.contrast else None
    return FirstLayer(contrast, mean if mean.any() else None, W, b)


def in_float64(model: Model) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return what is subtracted from a row, and then multiplied by, in float64; None where nothing is."""
    if not model.preprocessing.exact:
        return None
    mean = model.fitted["mean"]
    return mean, model.fitted.get("scale", np.ones_like(mean))


def view_columns(model: Model) -> NDArray[np.int64] | None:
    """Return which columns of a row make up each view ``(views, features)``; None for the row alone."""
    if model.averaging == "none":
        return None
    columns = np.arange(model.num_features)[None]
    return np.concatenate(list(views(np, model.averaging, columns, model.image_shape)))
