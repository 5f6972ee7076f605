"""Preprocessing in exported models: as much of it as possible becomes part of the first layer.

For a table that is nothing: there, `first_layer` starts from the result of `xpnet.data.table.apply`.
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
    """The first layer, ``(contrast(x) - mean) W + b``, for a raw row or an encoded row of a table.

    Attributes
    ----------
    contrast
        Added to the variance of a row in contrast normalisation; None for none.
    mean
        Subtracted, ``(features,)``; None if it is 0. It is not folded into ``b``: if it is large relative to
        the deviation, the product in float32 would lose digits that the subtraction keeps.
    W, b
        ``(*nets, features, units)`` and ``(*nets, units)``, with the scale or matrix of the preprocessing.
    """

    contrast: float | None
    mean: NDArray[np.float64] | None
    W: NDArray[np.float64]
    b: NDArray[np.float64]


def first_layer(model: Model) -> FirstLayer:
    """Return the first layer of a model with its preprocessing, unless that is for a table.

    If the preprocessing is exact, its part in float64 comes before this layer: see `in_float64`.

    Raises
    ------
    InputError
        The part in float64 includes contrast normalisation.
    """
    if model.preprocessing.kind == "table":
        W, b = (np.asarray(to_numpy(model.params[name]), np.float64) for name in ("W1", "b1"))
        return FirstLayer(None, None, W, b)
    if model.preprocessing.exact:
        if model.preprocessing.contrast:
            raise InputError(
                "exported models have no layer for contrast normalisation in float64: train on X scaled to "
                "size 1, or without contrast"
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
    """Return what a row is reduced by and then multiplied by, in float64; None if there is no such part."""
    if not model.preprocessing.exact:
        return None
    mean = model.fitted["mean"]
    return mean, model.fitted.get("scale", np.ones_like(mean))


def view_columns(model: Model) -> NDArray[np.int64] | None:
    """Return which columns of a row make up each view ``(views, features)``; None without averaging."""
    if model.averaging == "none":
        return None
    columns = np.arange(model.num_features)[None]
    return np.concatenate(list(views(np, model.averaging, columns, model.image_shape)))
