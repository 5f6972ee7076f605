"""`Model`: a trained network with its preprocessing, which predicts from raw rows on any device."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.columns.columns import Columns, numbers
from xpnet.columns.tabular import is_frame
from xpnet.data import transforms
from xpnet.data.preprocessing import Preprocessing
from xpnet.data.views import Views, views
from xpnet.datasets import stored
from xpnet.device import Device, dtype_name, get_device, to_numpy
from xpnet.errors import GapWarning, InputError, RangeWarning
from xpnet.nn.mlp import MLP
from xpnet.training import scoring
from xpnet.training.intervals import Calibration, calibrate, interval, spread_of
from xpnet.training.outputs import Link, check_outputs
from xpnet.training.raw_rows import RowError, checked, checked_targets
from xpnet.training.row_range import RowRange
from xpnet.training.scale import Scale
from xpnet.typing import Array, Params, Task
from xpnet.warn import warn

__all__ = ["Model"]

PART = 2**24
"""Number of raw values converted to dense and moved to the device at a time: 64 MB in float32."""


@dataclass(frozen=True, eq=False, repr=False)  # eq: comparing arrays gives arrays, not a truth value
class Model:
    """A trained network, or an ensemble of them, with its preprocessing.

    Parameters
    ----------
    mlp, params
        The network, with parameters on any device. A leading axis of the parameters is an ensemble, whose
        predictions are averaged.
    preprocessing, fitted
        The preprocessing of raw rows, and its fitted float64 arrays.
    class_names
        Names of the classes, labels or outputs.
    image_shape
        Height, width and channels if the rows are images.
    averaging
        Views of an image over which predictions are averaged, see `xpnet.data.views.views`.
    task
        The task. A classifier has one output per class, or a single one for the second of two classes.
    labels
        Labels of the classes: ints, strings, bools or floats; None for the class numbers themselves.
    target
        Standardisation of the targets of a regression; None if they were not standardised.
    calibration
        Errors of a regression on its validation rows, for `predict_interval`; None if unknown.
    link
        In regression, what the scores of the network are: the numbers (``"identity"``) or their logarithms
        (``"log"``, for the loss poisson).
    columns
        The columns of the training table. Rows may then be frames, whose columns are matched by name, or the
        matrix that `Columns.matrix` returns, with NaN for gaps.
    row_range
        Ranges of the training rows, with which other rows are compared; None if unknown.

    Raises
    ------
    InputError
        If names, labels or target do not fit the outputs of the network.
    """

    mlp: MLP
    params: Params
    preprocessing: Preprocessing
    fitted: dict[str, NDArray[np.float64]]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None = None
    averaging: Views = "none"
    task: Task = "classification"
    labels: tuple[Any, ...] | None = None
    target: Scale | None = None
    calibration: Calibration | None = None
    columns: Columns | None = None
    row_range: RowRange | None = None
    link: Link = "identity"

    def __post_init__(self) -> None:
        check_outputs(self.mlp, self.task, self.class_names, self.labels, self.target is not None, self.link)
        shape = self.mlp.sizes[-1:]
        if self.target is not None and any(np.shape(array) != shape for array in self.target):
            raise InputError(
                f"mean and scale of the target must have shape {shape}: give one for each output"
            )
        if self.row_range is not None and len(self.row_range.low) != self.num_features:
            raise InputError(
                f"row_range must have shape ({self.num_features},): give one range for each feature"
            )

    def __repr__(self) -> str:
        how, outputs = self.preprocessing, len(self.class_names)
        what = {"classification": "classes", "multilabel": "labels", "regression": "outputs"}[self.task]
        sizes, residual = "–".join(map(str, self.mlp.sizes)), ", residual" if self.mlp.residual else ""
        kept = "" if how.components is None else f", {how.components} components"
        of_views = "" if self.averaging == "none" else f", views {self.averaging}"
        averaged = f"\n averaged: networks {self.networks or 1}{of_views}"
        return (
            f"<Model: {self.task}, {self.num_features} features, {outputs} {what}\n"
            f" network {sizes}, {self.mlp.activation}, norm {self.mlp.norm}{residual}, {self.dtype}\n"
            f" preprocessing {how.kind}{kept}{', contrast' if how.contrast else ''}"
            f"{averaged if self.is_averaged else ''}>"
        )

    def __getstate__(self) -> dict[str, Any]:
        # A copy must also load on machines without the device.
        return vars(self) | {"params": {name: to_numpy(value) for name, value in self.params.items()}}

    @property
    def num_features(self) -> int:
        """Length of a raw row."""
        return len(self.fitted["mean"])

    @property
    def networks(self) -> int | None:
        """Number of networks in an ensemble; None for one network."""
        W = self.params["W1"]
        return None if W.ndim == 2 else int(W.shape[0])

    def checksum(self) -> str:
        """Return the CRC-32 of parameters and preprocessing."""
        crc = 0
        for name, value in sorted([*self.params.items(), *self.fitted.items()]):
            crc = zlib.crc32(np.ascontiguousarray(to_numpy(value)).data, zlib.crc32(name.encode(), crc))
        return f"{crc:08x}"

    @property
    def dtype(self) -> str:
        """Name of the dtype of parameters and computation."""
        return dtype_name(self.params["W1"])

    @property
    def is_averaged(self) -> bool:
        """Whether predictions are means, over networks or views."""
        return self.networks is not None or self.averaging != "none"

    @property
    def output(self) -> str:
        """Name in `xpnet.nn.losses.OUTPUTS` of the function that turns scores into predictions."""
        if self.task == "regression":
            return "exp" if self.link == "log" else "identity"
        one_of_two = self.mlp.sizes[-1] < len(self.class_names)
        # The softmax of a single output is 1, which is right for a network with a single class.
        return "logistic" if self.task == "multilabel" or one_of_two else "softmax"

    def scores(self, X: ArrayLike, device: str | Device = "cpu") -> NDArray[Any]:
        """Return the scores ``(rows, outputs)`` of raw rows; `output` turns them into probabilities.

        For a single network without averaging, they are its outputs; scores of classes are determined up to a
        constant per row. For averaged probabilities P, they are ``log P``, or ``log P - log(1 - P)`` for
        independent outputs. In regression, they are the predicted numbers, in float64.

        Parameters
        ----------
        X
            ``(rows, features)``, any real dtype, on any device; or a SciPy sparse matrix.
        device
            Where to compute.

        Raises
        ------
        InputError
            If ``X`` has another shape or dtype, or a row has values that are not finite or too large
            (`RowError`).
        DeviceError
            If the device cannot be used.

        Warns
        -----
        RangeWarning
            If values are far outside the range of the training rows.
        GapWarning
            If a named column has a gap, but had none in the training rows.
        """
        rows = self._checked(X)
        activates = self.is_averaged or self.task == "regression"
        P = self._predictions(rows, device, self.output if activates else "identity")
        if self.task == "regression":
            P = np.asarray(P, np.float64)  # float32 would lose deviations that are small relative to the mean
            return P if self.target is None else self.target.undo(P)
        if self.is_averaged:
            with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity
                P = np.log(P)
                if self.output == "logistic":
                    P -= np.log(self._predictions(rows, device, "not-logistic"))
        return P

    def probabilities(self, X: ArrayLike, device: str | Device = "cpu") -> NDArray[Any]:
        """Return the probabilities ``(rows, classes)``, or ``(rows, labels)``, of raw rows; see `scores`.

        Raises
        ------
        InputError
            As for `scores`, or if it is a regression.
        """
        if self.task == "regression":
            raise InputError("a regression has no probabilities: use predict")
        return self._of_two(self._predictions(self._checked(X), device, self.output))

    def members(self, X: ArrayLike, device: str | Device = "cpu") -> NDArray[Any]:
        """Return the prediction of each network, ``(networks, rows, …)``; parameters as for `scores`.

        They are probabilities of classes or labels, or in regression numbers ``(networks, rows, outputs)`` in
        float64. A single network counts as an ensemble of one.
        """
        if self.task == "regression":
            numbers = self._numbers(X, device)
            return numbers if self.target is None else self.target.undo(numbers)
        return self._of_two(self._predictions(self._checked(X), device, self.output, averages=False))

    def calibrated(
        self,
        X: ArrayLike,
        y: NDArray[np.float64],
        device: str | Device = "cpu",
        weight: NDArray[np.float64] | None = None,
    ) -> "Model":
        """Return the same regression with its errors on validation rows, for `predict_interval`.

        Parameters
        ----------
        X, y, device, weight
            As for `score`.
        """
        members = self._numbers(X, device)
        y = y if self.target is None else self.target.apply(y)
        with np.errstate(all="ignore"):  # the output of a diverged network may overflow when squared
            found = calibrate(y, members.mean(axis=0), spread_of(members), weight)
        known = all(np.isfinite(array).all() for array in found)
        return replace(self, calibration=found if known else None)

    def predict_interval(
        self, X: ArrayLike, coverage: float = 0.9, device: str | Device = "cpu"
    ) -> NDArray[np.float64]:
        """Return a prediction interval for each number of a regression.

        It is ``mean ± q · √(spread² + s²)``, see `xpnet.training.intervals`.

        Parameters
        ----------
        X, device
            As for `scores`.
        coverage
            Probability that an interval covers the true value.

        Returns
        -------
        ndarray
            Lower and upper ends: ``(rows, 2)`` for one output, ``(rows, outputs, 2)`` for several.

        Raises
        ------
        InputError
            As for `scores`; also if it is not a regression, was not calibrated, or the coverage is invalid.
        """
        if self.task != "regression":
            raise InputError(f"intervals need a regression, not a {self.task}: use predict_proba")
        if self.calibration is None:
            raise InputError(
                "the model does not hold the errors on its validation rows, which intervals need: train it "
                "again"
            )
        members = self._numbers(X, device)
        ends = interval(self.calibration, members.mean(axis=0), spread_of(members), coverage)
        if self.link == "log":  # the numbers are 0 or more
            ends = np.maximum(ends, 0.0)
        if self.target is not None:
            ends = np.stack([self.target.undo(end) for end in np.moveaxis(ends, -1, 0)], axis=-1)
        return ends.squeeze(axis=1) if ends.shape[1] == 1 else ends

    def predict(self, X: ArrayLike, device: str | Device = "cpu", members: bool = False) -> NDArray[Any]:
        """Predict from raw rows; see `scores`.

        Parameters
        ----------
        X, device
            As for `scores`.
        members
            Return the prediction of each network, as the first axis.

        Returns
        -------
        ndarray
            Number of the most probable class ``(rows,)``, int64; 0 or 1 for each label ``(rows, labels)``,
            int64; or float64 numbers ``(rows,)`` for one output, ``(rows, outputs)`` for several.
        """
        if members:
            found = self.members(X, device)
            if self.task == "regression":
                return found.squeeze(axis=-1) if found.shape[-1] == 1 else found
            return np.asarray(found > 0.5 if self.task == "multilabel" else found.argmax(axis=-1), np.int64)
        if isinstance(X, stored.Stored):  # the scores of many rows and classes may not fit in memory
            return np.concatenate([self.predict(part, device) for part in X.parts()])
        scores = self.scores(X, device)
        if self.task == "regression":
            return scores.squeeze(axis=1) if scores.shape[1] == 1 else scores
        if self.output == "softmax":
            return np.asarray(scores.argmax(axis=-1), np.int64)
        yes = np.asarray(scores > 0, np.int64)
        return yes if self.task == "multilabel" else yes.squeeze(axis=1)

    def predict_labels(
        self, X: ArrayLike, device: str | Device = "cpu", members: bool = False
    ) -> NDArray[Any]:
        """Predict as `predict` does, but return labels of classes instead of numbers."""
        found = self.predict(X, device, members)
        if self.labels is None or self.task != "classification":
            return found
        strings = sum(isinstance(label, str) for label in self.labels)
        # NumPy would convert numbers next to strings to strings.
        dtype = object if 0 < strings < len(self.labels) else None
        chosen: NDArray[Any] = np.asarray(self.labels, dtype)[found]
        return chosen

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike,
        device: str | Device = "cpu",
        weight: NDArray[np.float64] | None = None,
    ) -> float:
        """Return the accuracy (of several labels: the fraction of rows with all labels right), or R².

        Parameters
        ----------
        X, device
            As for `scores`.
        y
            Targets as in a data set: class numbers ``(rows,)``; 0 and 1 ``(rows, labels)``; or numbers
            ``(rows, outputs)``. `Run.evaluate` takes labels by name.
        weight
            Weights of the rows ``(rows,)``; None for all the same.

        Raises
        ------
        InputError
            As for `scores`; also if there are no rows, or ``y`` has another length or invalid targets.
        """
        rows, device = self._checked(X), get_device(device)
        y = checked_targets(y, self.task, len(self.class_names), rows.shape[0])
        if self.target is not None:  # this does not change R²
            y = self.target.apply(y)
        with device.active():
            found = self._parts(rows, device, self.output)
            return float(scoring.score(device, found, y, self.output, weight))

    def fold(self) -> "Model":
        """Return an equivalent model with the preprocessing folded into the first layer.

        Raises
        ------
        InputError
            If the preprocessing is not affine.
        """
        W, b = (np.asarray(to_numpy(self.params[name]), np.float64) for name in ("W1", "b1"))
        W, b = transforms.fold(self.preprocessing, self.fitted, W, b)
        return replace(
            self,
            mlp=replace(self.mlp, sizes=(self.num_features, *self.mlp.sizes[1:])),
            params={**self.params, "W1": W.astype(self.dtype), "b1": b.astype(self.dtype)},
            preprocessing=Preprocessing("none"),
            fitted={"mean": np.zeros(self.num_features)},
        )

    def _of_two(self, P: NDArray[Any]) -> NDArray[Any]:
        """Return the probabilities of both classes if a single output holds that of the second."""
        one_of_two = P.shape[-1] < len(self.class_names)
        return np.concatenate([1.0 - P, P], axis=-1) if one_of_two else P

    def _numbers(self, X: ArrayLike, device: str | Device) -> NDArray[np.float64]:
        """Return the standardised predictions of a regression's networks, ``(networks, rows, outputs)``."""
        return np.asarray(
            self._predictions(self._checked(X), device, self.output, averages=False), np.float64
        )

    def _checked(self, X: Any) -> Any:
        """Return raw rows as an array on the host, or a sparse matrix, after all checks; warn of odd ones."""
        if self.columns is not None and is_frame(X):
            X = self.columns.matrix(X)
        elif is_frame(X) and not isinstance(X, np.ndarray):
            # Training rows were an array: columns named 0, 1, 2, … go by name, others by position.
            X = numbers(self.num_features).matrix(X)
        known, columns, how = self.row_range, self.columns, self.preprocessing
        is_named = columns is not None and columns.is_named
        gaps: bool | NDArray[np.bool_] = how.kind == "table"
        if gaps and known is not None and not is_named:
            gaps = known.gaps
        rows = checked(X, self.num_features, self.dtype, how.most, gaps=gaps)
        if known is not None and isinstance(rows, np.ndarray):
            far = known.far(rows, columns, self.image_shape is not None)
            if far is not None:
                warn(far, RangeWarning)
            lacking = known.new_gaps(rows, columns) if columns is not None and is_named else None
            if lacking is not None:
                warn(lacking, GapWarning)
        return rows

    def _predictions(
        self, rows: Any, device: str | Device, output: str, averages: bool = True
    ) -> NDArray[Any]:
        """Return predictions, ``output`` applied to the scores, averaged, on the host: ``(rows, outputs)``.

        The rows must have been checked. Without ``averages``, the result is ``(networks, rows, outputs)``.
        """
        device = get_device(device)
        nets = () if averages else (self.networks or 1,)
        found, done = [np.empty((*nets, 0, self.mlp.sizes[-1]), self.dtype)], 0
        with device.active():
            for of_part in self._parts(rows, device, output, averages):
                P = np.reshape(device.to_host(of_part), (*nets, -1, self.mlp.sizes[-1]))
                finite = np.isfinite(P).all(axis=(*range(len(nets)), -1))
                if not finite.all():
                    raise RowError(
                        done + int(finite.argmin()),
                        f"is predicted as NaN, because its values are too large for {self.dtype}: "
                        f"divide them as "
                        "the training rows were, or train again with a lower learning rate",
                    )
                found.append(P)
                done += P.shape[-2]
        return np.concatenate(found, axis=-2)

    def _parts(self, rows: Any, device: Device, output: str, averages: bool = True) -> Iterator[Array]:
        """Yield the same predictions part by part, on the device."""
        params = {name: device.put(to_numpy(value)) for name, value in self.params.items()}
        fitted = {name: device.put(value, self.dtype) for name, value in self.fitted.items()}
        prepare = partial(transforms.apply, device.xp, self.preprocessing, fitted)
        of_views = partial(views, device.xp, self.averaging, image_shape=self.image_shape)
        most = stored.PART if isinstance(rows, stored.Stored) else PART
        step = max(1, most // self.num_features)
        for start in range(0, rows.shape[0], step):
            part = rows[start : start + step]
            part = part.toarray() if hasattr(part, "toarray") else part
            part = transforms.for_device(self.preprocessing, self.fitted, part, self.dtype)
            if part.dtype.kind == "f":  # not every device supports the dtype of the rows
                part = part.astype(self.dtype, copy=False)
            for P in scoring.predictions(device, self.mlp, params, part, prepare, of_views, output):
                yield P if self.networks is None or not averages else device.xp.mean(P, axis=0)
