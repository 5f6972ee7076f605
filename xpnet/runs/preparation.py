"""From a data set on the host to rows on the device, ready to train on; and whether settings fit the data."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data import augment, transforms
from xpnet.data.feed import Feed
from xpnet.datasets import Dataset
from xpnet.device import Device
from xpnet.runs.config import Config
from xpnet.typing import Array

__all__ = ["Prepared", "check", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A data set ready to train on, on the device, and the preprocessing that was fitted to it.

    Attributes
    ----------
    data
        The data set, on the host.
    feed
        Training rows.
    X_val, y_val
        Validation rows as the network takes them, and their labels.
    fitted
        What the preprocessing was fitted to be, on the host.
    apply
        The preprocessing on the device.
    """

    data: Dataset
    feed: Feed
    X_val: Array
    y_val: Array
    fitted: dict[str, NDArray[np.float64]]
    apply: Callable[[Array], Array]


def check(config: Config, data: Dataset) -> None:
    """Refuse settings that do not fit the data.

    Raises
    ------
    InputError
        A batch larger than the data, more components than features, images asked for where there are none.
    """
    config.num_steps(len(data.X_train))
    config.mlp(data.num_features, data.num_classes)
    augment.check(config.augmentation, data.image_shape)
    augment.check_views(config.averaging, data.image_shape)


def prepare(config: Config, data: Dataset, device: Device) -> Prepared:
    """Fit the preprocessing on the training rows and put the training and validation rows on the device.

    Rows to augment stay as they are and are prepared batch by batch, and so do bytes on devices that are
    better off with them (`Device.keeps_raw`), unless a product is to be made of each row; others are prepared
    here, once.

    Raises
    ------
    InputError
        A value is too large for the dtype; see also `xpnet.data.transforms.fit`.
    """
    how, dtype = config.preprocessing, config.dtype
    with device.active():
        fitted = transforms.fit(how, data.X_train, device, dtype)
        on_device = {name: device.put(value, dtype) for name, value in fitted.items()}
        apply = partial(transforms.apply, device.xp, how, on_device)
        y, y_val = device.put(data.y_train), device.put(data.y_val)
        X_val = transforms.apply_all(device, how, fitted, data.X_val, dtype)
        whole = data.X_train.dtype
        smaller = whole.kind in "iu" and whole.itemsize < np.dtype(dtype).itemsize
        if config.augmentation:
            fill = device.put(_mean_image(data)) if config.cutout else None
            feed = Feed(device.put(data.X_train), y, apply, config.augmentation, data.image_shape, fill)
        elif device.keeps_raw and smaller and "matrix" not in fitted:
            feed = Feed(device.put(data.X_train), y, apply)
        else:
            feed = Feed(transforms.apply_all(device, how, fitted, data.X_train, dtype), y)
    return Prepared(data, feed, X_val, y_val, fitted, apply)


def _mean_image(data: Dataset) -> NDArray[Any]:
    """The mean of the training rows in their own dtype."""
    mean = data.X_train.mean(axis=0, dtype=np.float64)
    return np.asarray(mean.round() if data.X_train.dtype.kind in "iu" else mean, data.X_train.dtype)
