"""A trained network with its preprocessing: raw rows in, classes out, on any device."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.data import transforms
from xpnet.data.augment import Views, views
from xpnet.data.transforms import Preprocessing
from xpnet.device import Device, dtype_name, get_device, to_numpy
from xpnet.errors import InputError
from xpnet.nn import backprop
from xpnet.nn.mlp import MLP
from xpnet.training.evaluation import EVALUATION_ROWS, hits, probabilities
from xpnet.typing import Array, Params

__all__ = ["Model"]


@dataclass(frozen=True, eq=False)  # eq: comparing arrays gives arrays, not a truth value
class Model:
    """A trained network, or an ensemble of them, with its preprocessing.

    Parameters
    ----------
    mlp, params
        The network; arrays of any device. A leading axis of the parameters is an ensemble, whose
        probabilities are averaged.
    preprocessing, fitted
        What is done to raw rows, and the float64 arrays that it was fitted to be.
    class_names
        The name of each class.
    image_shape
        Height, width and channels where a row is an image.
    averaging
        The views of an image over which probabilities are averaged, see `xpnet.data.augment.views`.
    """

    mlp: MLP
    params: Params
    preprocessing: Preprocessing
    fitted: dict[str, NDArray[np.float64]]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None = None
    averaging: Views = "none"

    @property
    def num_features(self) -> int:
        """Length of a raw row."""
        return len(self.fitted["mean"])

    @property
    def networks(self) -> int | None:
        """Number of networks in an ensemble; None for one network."""
        W = self.params["W1"]
        return None if W.ndim == 2 else int(W.shape[0])

    def scores(self, X: ArrayLike, device: str | Device = "cpu") -> NDArray[Any]:
        """Return the log-probabilities ``(rows, classes)`` of raw rows.

        Those of one network without averaging are its scores, which are not normalised: each row is right
        but for a number that is the same for all classes.

        Parameters
        ----------
        X
            ``(rows, features)``, any real dtype, on any device.
        device
            Where to compute.

        Raises
        ------
        InputError
            ``X`` has another shape.
        DeviceError
            The device cannot be used.
        """
        if self.networks is not None or self.averaging != "none":
            P = self.probabilities(X, device)
            with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity
                return np.asarray(np.log(P), P.dtype)
        rows, device = self._checked(X), get_device(device)
        params, prepare = self._on(device)
        parts = [np.empty((0, self.mlp.sizes[-1]), dtype_name(params["W1"]))]
        with device.active():
            for start in range(0, len(rows), EVALUATION_ROWS):
                x = prepare(device.put(rows[start : start + EVALUATION_ROWS]))
                parts.append(device.to_host(backprop.scores(device.xp, self.mlp, params, x)))
        return np.concatenate(parts)

    def probabilities(self, X: ArrayLike, device: str | Device = "cpu") -> NDArray[Any]:
        """Return the probabilities ``(rows, classes)`` of raw rows; see `scores`."""
        X, device = self._checked(X), get_device(device)
        dtype = dtype_name(self.params["W1"])
        with device.active():
            parts = [device.to_host(P) for P in self._probabilities(X, device)]
        return np.concatenate([np.empty((0, self.mlp.sizes[-1]), dtype), *parts])

    def predict(self, X: ArrayLike, device: str | Device = "cpu") -> NDArray[np.int64]:
        """Return the most probable class ``(rows,)`` of raw rows; see `scores`."""
        return np.asarray(self.scores(X, device).argmax(axis=-1), np.int64)

    def accuracy(self, X: ArrayLike, y: NDArray[Any], device: str | Device = "cpu") -> float:
        """Return the part of raw rows whose most probable class is their label; see `scores`.

        Raises
        ------
        InputError
            No rows, or not as many labels.
        """
        rows, device = self._checked(X), get_device(device)
        if y.shape != (len(rows),) or not len(rows):
            raise InputError(f"{len(rows)} rows and labels of shape {y.shape}: give each of some rows one")
        with device.active():
            return int(device.to_host(hits(device, self._probabilities(rows, device), y))) / len(rows)

    def fold(self) -> "Model":
        """Return the same model without preprocessing, which becomes part of the first layer.

        Raises
        ------
        InputError
            The preprocessing is not affine.
        """
        W, b = (np.asarray(to_numpy(self.params[name]), np.float64) for name in ("W1", "b1"))
        W, b = transforms.fold(self.preprocessing, self.fitted, W, b)
        dtype = dtype_name(self.params["W1"])
        return replace(
            self,
            mlp=replace(self.mlp, sizes=(self.num_features, *self.mlp.sizes[1:])),
            params={**self.params, "W1": W.astype(dtype), "b1": b.astype(dtype)},
            preprocessing=Preprocessing("none"),
            fitted={"mean": np.zeros(self.num_features)},
        )

    def _probabilities(self, X: Any, device: Device) -> Iterator[Array]:
        params, prepare = self._on(device)
        of_views = partial(views, device.xp, self.averaging, image_shape=self.image_shape)
        for P in probabilities(device, self.mlp, params, X, prepare, of_views):
            yield P if self.networks is None else device.xp.mean(P, axis=0)

    def _on(self, device: Device) -> tuple[Params, partial[Array]]:
        """Return parameters and preprocessing on a device."""
        params = {name: device.put(to_numpy(value)) for name, value in self.params.items()}
        fitted = {name: device.put(value, dtype_name(params["W1"])) for name, value in self.fitted.items()}
        return params, partial(transforms.apply, device.xp, self.preprocessing, fitted)

    def _checked(self, X: ArrayLike) -> Any:
        X = to_numpy(X)
        if X.ndim != 2 or X.shape[1] != self.num_features:
            raise InputError(f"X has shape {X.shape}: give (rows, {self.num_features})")
        return X
