"""`TwoLayerNet`: the original two-layer network, a thin class over the modules below."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.data.feed import Feed
from xpnet.device import Device, all_to_host, get_device, to_numpy
from xpnet.errors import InputError
from xpnet.nn import backprop
from xpnet.nn.mlp import MLP, init
from xpnet.training import divergence
from xpnet.training.history import History
from xpnet.training.loop import fit
from xpnet.training.raw_rows import RowError, checked
from xpnet.training.regime import Hyper, Regime
from xpnet.training.step import initial_state
from xpnet.typing import Params, Random
from xpnet.values import COUNT, DEVIATION, NOT_NEGATIVE, Kind, Range, refuse_mask
from xpnet.warn import warn

__all__ = ["TwoLayerNet"]

VERBOSE_EVERY = 100

PART = 2**22
"""Number of values (hidden units or features) that are predicted at a time: 32 MB in float64."""


class TwoLayerNet:
    """Two-layer network (affine – ReLU – affine – softmax), trained by SGD with L2 regularisation.

    This is the class of the CIFAR-10 exercise, with its conventions: the same seed gives the same numbers.

    Parameters
    ----------
    input_size, hidden_size, output_size
        Numbers of features D, hidden units H and classes C.
    std
        Standard deviation of the initial weights.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:N"``, ``"mps"`` or ``"auto"``; or a device from `xpnet.get_device`.
    dtype
        ``"float32"`` or ``"float64"``. By default float64, but float32 for float32 data.
    rng
        Random source of the initial weights, then of the batches: a seed, a `numpy.random.Generator` or a
        `numpy.random.RandomState`; by default NumPy's global state, which ``numpy.random.seed`` sets.

    Attributes
    ----------
    params : dict
        ``W1`` (D, H), ``b1`` (H,), ``W2`` (H, C), ``b2`` (C,), on the device. They may be changed in place,
        as for a numerical gradient check, or replaced if arrays are read-only (JAX).

    Raises
    ------
    InputError
        If a size is below 1, ``std`` is negative, or the dtype is neither float32 nor float64.
    DeviceError
        If the device cannot be used.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        std: float = 1e-4,
        *,
        device: str | Device = "cpu",
        dtype: Any = None,
        rng: int | Random | None = None,
    ) -> None:
        self._mlp = MLP((input_size, hidden_size, output_size))
        std = _number("std", std, DEVIATION)
        self._device = get_device(device)
        self._follows_data = dtype is None
        try:
            self._dtype = np.dtype(dtype or np.float64).name
        except TypeError:
            self._dtype = str(dtype)
        if self._dtype not in ("float32", "float64"):
            raise InputError(f"dtype must be float32 or float64, not {self._dtype}")
        if rng is None:
            rng = np.random.mtrand._rand  # the state that numpy.random.seed sets
        elif not isinstance(rng, np.random.Generator | np.random.RandomState):
            try:
                rng = np.random.default_rng(rng)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"rng must be a seed, a numpy.random.Generator or a RandomState, not {rng!r}"
                ) from error
        self._rng = rng
        drawn = init(self._mlp, rng, std)
        self.params: Params = {k: self._device.put(v, self._dtype) for k, v in drawn.items()}

    def __repr__(self) -> str:
        sizes = ", ".join(map(str, self._mlp.sizes))
        return f"TwoLayerNet({sizes}, dtype={self._dtype}, device={self._device.name})"

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: parameters as NumPy arrays, which any machine can read."""
        host = {name: np.array(self._device.to_host(value)) for name, value in self.params.items()}
        state = self.__dict__ | {"params": host}
        if self._rng is np.random.mtrand._rand:  # a copy would not follow numpy.random.seed
            del state["_rng"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"_rng": np.random.mtrand._rand} | state)
        self.params = {name: self._device.put(value) for name, value in self.params.items()}

    def loss(
        self, X: ArrayLike, y: ArrayLike | None = None, reg: float = 0.0
    ) -> NDArray[Any] | tuple[float, dict[str, NDArray[Any]]]:
        """Return the scores or, with ``y``, the loss and its gradients.

        Parameters
        ----------
        X
            Rows ``(N, D)``.
        y
            Labels ``0 .. C - 1``, ``(N,)``.
        reg
            The loss includes ``0.5 * reg * (ΣW1² + ΣW2²)``.

        Returns
        -------
        scores : ndarray
            ``(N, C)``, when ``y`` is None.
        loss, grads : float, dict
            Otherwise; ``grads`` has the keys and shapes of ``params``, as NumPy arrays.

        Raises
        ------
        InputError
            Wrong shapes, labels out of range, or a row with a value that is NaN, infinite or too large.
        """
        device, reg = self._device, _number("reg", reg, NOT_NEGATIVE)
        with device.active():
            self._follow(X)
            x = self._put_rows(X)
            if y is None:
                return device.to_host(backprop.scores(device.xp, self._mlp, self.params, x))
            target = self._put_labels(y, x.shape[0])
            loss, grads = backprop.loss_and_grads(device.xp, self._mlp, self.params, x, target, reg)
            host = all_to_host(device, {"loss": loss} | grads)
            return float(host.pop("loss")), {name: np.array(grad) for name, grad in host.items()}

    def train(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_val: ArrayLike,
        y_val: ArrayLike,
        learning_rate: float = 1e-3,
        learning_rate_decay: float = 0.95,
        reg: float = 1e-5,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
    ) -> dict[str, list[float]]:
        """Train by SGD on batches drawn with replacement.

        An epoch is ``N // batch_size`` iterations, at least 1. After every iteration ``it`` with ``it % epoch
        == 0``, including the first, accuracies are measured and the learning rate decays.

        Parameters
        ----------
        X, y
            Training rows ``(N, D)`` and labels ``(N,)``.
        X_val, y_val
            Validation rows and labels.
        learning_rate, learning_rate_decay
            Learning rate, and the factor that it is multiplied by after each epoch.
        reg
            Strength of the regularisation, as for `loss`.
        num_iters
            Number of iterations.
        batch_size
            Rows per batch.
        verbose
            Whether to print the loss of every hundredth iteration.

        Returns
        -------
        dict
            ``loss_history`` (of each iteration), ``train_acc_history`` (of the current batch) and
            ``val_acc_history`` (of each epoch).

        Warns
        -----
        RuntimeWarning
            If the loss overflowed; training stopped there, and the parameters are those of the best epoch.

        Raises
        ------
        InputError
            Wrong shapes, labels or numbers out of range.
        """
        learning_rate = _number("learning_rate", learning_rate, NOT_NEGATIVE)
        learning_rate_decay = _number("learning_rate_decay", learning_rate_decay, NOT_NEGATIVE)
        reg = _number("reg", reg, NOT_NEGATIVE)
        batch_size = _number("batch_size", batch_size, COUNT, int)
        num_iters = _number("num_iters", num_iters, NOT_NEGATIVE, int)
        is_verbose = _is_set("verbose", verbose)
        printed = 0

        def print_losses(history: History) -> None:
            nonlocal printed
            for it in range(printed, len(history.losses), VERBOSE_EVERY):
                print(f"iteration {it} / {num_iters}: loss {float(history.losses[it]):f}")
                printed = it + VERBOSE_EVERY

        with self._device.active():
            self._follow(X)
            rows, rows_val = self._put_rows(X), self._put_rows(X_val, "X_val")
            # As in the original, training stops only if the loss is no longer finite.
            regime = Regime(num_iters, batch_size, explosion=np.inf)
            hyper = Hyper(learning_rate, learning_rate_decay, reg)
            params = self.params
            if self._device.donates:  # the user may hold these arrays
                params = divergence.copy(self._device, {"params": params})["params"]
            result = fit(
                self._mlp,
                initial_state(self._device, params, regime, hyper),
                Feed(rows, self._put_labels(y, rows.shape[0])),
                Feed(rows_val, self._put_labels(y_val, rows_val.shape[0], "y_val")),
                device=self._device,
                regime=regime,
                hyper=hyper,
                sources=lambda _stream, _epoch: self._rng,
                on_epoch=print_losses if is_verbose else None,
            )
        self.params = result.params
        if result.diverged_at:
            warn(
                f"the loss overflowed: training diverged at iteration {result.diverged_at - 1} and stopped; "
                "parameters from before that are kept: lower the learning rate",
                RuntimeWarning,
            )
        # The original does not measure accuracies after the last iteration unless an epoch ends there.
        epoch = max(rows.shape[0] // batch_size, 1)
        epochs = [row for row in result.history.rows if (row.step - 1) % epoch == 0]
        return {
            "loss_history": [float(loss) for loss in result.history.losses],
            "train_acc_history": [row.train_score for row in epochs],
            "val_acc_history": [row.val_score for row in epochs],
        }

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Predict the most probable class ``(N,)`` of each row of ``X`` ``(N, D)``.

        There is no warning about rows on a different scale from the training rows: as in the exercise, the
        class holds parameters only, and anyone may replace them.

        Raises
        ------
        InputError
            Wrong shapes, or a row with a value that is NaN, infinite or too large.
        """
        device = self._device
        with device.active():
            self._follow(X)
            x = self._put_rows(X)
            rows, step = x.shape[0], max(1, PART // max(self._mlp.sizes))
            parts = (x[start : min(start + step, rows), :] for start in range(0, rows, step))
            found = [backprop.predict(device.xp, self._mlp, self.params, part) for part in parts]
            return np.concatenate([device.to_host(part) for part in found])

    def _follow(self, X: ArrayLike) -> None:
        """Bring the parameters to the dtype of the rows, unless the user has chosen one."""
        if self._follows_data:
            self._dtype = "float32" if str(getattr(X, "dtype", "")).endswith("float32") else "float64"
            self.params = {k: self._device.put(v, self._dtype) for k, v in self.params.items()}

    def _put_rows(self, X: Any, name: str = "X") -> Any:
        refuse_mask(X, name)
        if hasattr(X, "toarray"):
            raise InputError(f"{name} is a sparse matrix: give {name}.toarray()")
        is_array = hasattr(X, "shape") and hasattr(X, "dtype")
        try:
            X = X if is_array else np.asarray(X)
        except (TypeError, ValueError) as error:  # rows of different lengths
            raise InputError(
                f"{name} is not an array: give rows of {self._mlp.sizes[0]} numbers each"
            ) from error
        shape = np.shape(X)
        if len(shape) != 2 or shape[1] != self._mlp.sizes[0] or not shape[0]:
            raise InputError(f"{name} has shape {shape}; it must be (rows, {self._mlp.sizes[0]})")
        if not is_array and X.dtype.kind == "O":  # a data frame, whose columns may be of several kinds
            try:
                X = np.asarray(X, self._dtype)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"{name} has missing values, or values that are not numbers: give real numbers"
                ) from error
        if str(X.dtype).startswith(("complex", "datetime", "object", "timedelta", "<U", "|S")):
            raise InputError(f"{name} holds {X.dtype}: give real numbers")
        with np.errstate(over="ignore"):  # infinite values are refused below
            rows = self._device.put(X, self._dtype)
        xp = self._device.xp
        if not np.isfinite(float(xp.min(rows)) + float(xp.max(rows))):
            try:
                checked(X, shape[1], self._dtype)
            except RowError as error:
                raise InputError(error.said(f"row {error.row} of {name}")) from error
        return rows

    def _put_labels(self, y: ArrayLike, rows: int, name: str = "y") -> Any:
        refuse_mask(y, name)
        try:
            labels = to_numpy(y)
        except ValueError as error:
            raise InputError(f"{name} is not an array: give one label for each row") from error
        classes = self._mlp.sizes[-1]
        if labels.shape != (rows,):
            raise InputError(
                f"{name} has shape {labels.shape}; it must be ({rows},), one label for each row of X"
            )
        if labels.dtype.kind not in "iu":
            is_whole = labels.dtype.kind in "bf" and np.array_equal(labels, np.floor(labels))
            fix = f"convert with {name}.astype(int)" if is_whole else f"number the {classes} classes from 0"
            raise InputError(f"labels must be integers, not {labels.dtype}: {fix}")
        bad = (labels < 0) | (labels >= classes)
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"label {labels[row]} in row {row} is outside 0 … {classes - 1}: "
                "number the classes from 0, or give the network more outputs"
            )
        return self._device.put(labels, "int64")


def _number(name: str, value: Any, allowed: Range, kind: type = float) -> Any:
    """Return an argument as a Python number; refuse it if it is not one, or out of range."""
    number = Kind.of(kind).take(name, value)
    allowed.check(name, number)
    return number


def _is_set(name: str, value: Any) -> bool:
    """Return a flag, which may be 0 or 1; refuse all else, such as the text "no", which is true in Python."""
    return bool(value) if isinstance(value, int) else bool(Kind(bool).take(name, value))
