"""The course of a fit: epoch by epoch, until nothing improves; and the fitted attributes it leaves."""

import math
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.estimator import inputs, settings
from xpnet.estimator.epochs import Epochs
from xpnet.estimator.pace import Pace, Watch
from xpnet.nn import losses
from xpnet.nn.mlp import MLP
from xpnet.training import divergence
from xpnet.training.regime import Hyper, Regime
from xpnet.training.step import initial_state
from xpnet.typing import Params, State

__all__ = ["Fitting", "Validation"]

LOSS_OF = {"softmax": "cross-entropy", "logistic": "logistic", "identity": "squared-error"}
"""The loss, by what makes predictions of scores."""


class Validation(NamedTuple):
    """Rows that are not trained on, on the device where they are dense; the rest on the host."""

    X: Any
    target: NDArray[Any]
    weight: NDArray[np.float64] | None


class Fitting(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What `xpnet.estimator.base.Estimator` does once all is checked."""

    n_layers_: int
    n_outputs_: int
    out_activation_: str
    _rate: float
    _updates: int

    @abstractmethod
    def _score(self, scores: NDArray[Any], validation: Validation) -> float:
        """Return what `score` would, of these scores."""

    def _begin(self, mlp: MLP, dtype: str) -> None:
        """Draw the first weights as scikit-learn does, and begin what goes on from call to call.

        They are uniform within ``√(6 / (in + out))``, for the logistic function ``√(2 / (in + out))``
        (Glorot & Bengio 2010), and so are the biases; drawn in float64, so that a seed means the same in any
        dtype.
        """
        self.coefs_: list[NDArray[Any]] = []
        self.intercepts_: list[NDArray[Any]] = []
        for into, out in pairwise(mlp.sizes):
            bound = math.sqrt((2.0 if self.activation == "logistic" else 6.0) / (into + out))
            self.coefs_.append(self._random_state.uniform(-bound, bound, (into, out)).astype(dtype))
            self.intercepts_.append(self._random_state.uniform(-bound, bound, out).astype(dtype))
        self.t_, self.loss_ = 0, math.nan
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = None
        self.best_validation_score_: float | None = None
        self.best_loss_: float | None = None
        self.history_: dict[str, list[float]] = {}
        self._memory: dict[str, Params] | None = None

    def _train(
        self,
        device: Device,
        mlp: MLP,
        feed: Feed,
        order: NDArray[np.int64],
        batch_size: int,
        validation: Validation | None,
        incremental: bool,
    ) -> None:
        """Train on the rows ``order`` of the feed, and set the fitted attributes."""
        parameters = self.get_params(deep=False)
        regime = Regime(
            0, batch_size, solver=settings.solver_of(parameters), loss=LOSS_OF[self.out_activation_]
        )
        hyper = settings.hyper_of(parameters, self.alpha)
        state = self._state(device, regime, hyper, incremental)
        epochs = Epochs(device, mlp, feed, state, regime, hyper, self._updates)
        steps = epochs.count(len(order))
        goes_on = incremental and hasattr(self, "_watch")
        pace = Pace(parameters, self._rate if goes_on else None)
        if not goes_on:
            self._watch = Watch(self.tol)
            self._noise = np.random.default_rng(self._random_state.randint(2**31)) if self.dropout else None
        by_score = validation is not None and self.early_stopping
        if validation is None:  # not those of a call before
            self.validation_scores_ = self.best_validation_score_ = None
        best: State | None = None
        best_score, best_updates = -math.inf, 0
        earlier, began = (self.history_.get("seconds") or [0.0])[-1], time.perf_counter()

        def out_of_time() -> bool:
            return self.max_time is not None and time.perf_counter() - began >= self.max_time

        should_stop = None if self.max_time is None else out_of_time  # not asked in vain before each step
        self.n_iter_, ended, diverged = 0, incremental, False
        try:
            for epoch in range(1 if incremental else int(self.max_iter)):
                if self.shuffle:
                    order = order[self._random_state.permutation(len(order))]
                keys = None
                if self._noise is not None:
                    keys = self._noise.integers(-(2**31), 2**31, steps, dtype=np.int32)
                rates = pace.of_steps(epoch, steps)
                loss, taken = epochs.train(order, rates, keys, should_stop)
                self.n_iter_, self.t_, self.loss_ = epoch + 1, self.t_ + taken, loss
                self.loss_curve_.append(loss)
                measured, score = {"loss": loss, "learning_rate": float(rates[-1])}, math.nan
                if validation is not None:
                    val_loss, score = self._validate(device, mlp, epochs.state["params"], validation)
                    measured |= {"val_loss": val_loss, "val_score": score}
                    self.validation_scores_ = [*(self.validation_scores_ or []), score]
                    if score > best_score:
                        best, best_score = divergence.copy(device, epochs.state), score
                        best_updates = epochs.updates
                self._note(measured | {"seconds": earlier + time.perf_counter() - began})
                if not math.isfinite(loss):
                    diverged = True
                    break
                self._watch.see(score if by_score else -loss)
                ended |= self._call_back(device, epochs.state)
                pace.after(self.t_, epochs.state)
                if self._watch.idle > self.n_iter_no_change:
                    if pace.slows_down(epochs.state):
                        self._watch.idle = 0
                    else:
                        ended = True
                if ended or out_of_time():
                    ended = True
                    break
        except KeyboardInterrupt:
            ended = True
            warnings.warn("training was interrupted: the weights are those it had by then", stacklevel=4)
        if not epochs.settle() or diverged:
            ended = True
            warnings.warn(
                f"training diverged in epoch {self.n_iter_}, and the weights are those of before: lower "
                "learning_rate_init, or scale X, say by sklearn.preprocessing.StandardScaler",
                ConvergenceWarning,
                stacklevel=4,
            )
        if validation is not None:
            self.best_validation_score_ = best_score if best else None
        self.best_loss_ = None if by_score or math.isinf(self._watch.best) else -self._watch.best
        # Of the same epoch as the solver's memory, which adam corrects by them.
        self._updates, self._rate = best_updates if best else epochs.updates, pace.rate
        self._publish(device, best or epochs.state)
        if not ended and not math.isinf(self.n_iter_no_change):
            warnings.warn(
                f"the loss has not settled within max_iter={self.max_iter} epochs: raise max_iter, or set "
                "n_iter_no_change=float('inf') to train for so many on purpose",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _state(self, device: Device, regime: Regime, hyper: Hyper, goes_on: bool) -> State:
        """Return the parameters on the device, with the solver's memory where training goes on."""
        if not goes_on or self._memory is None:
            self._memory, self._updates = None, 0
        xp, dtype = device.xp, str(self.coefs_[0].dtype)

        def copied(arrays: Params) -> Params:
            return {name: xp.asarray(device.put(a, dtype), copy=True) for name, a in arrays.items()}

        state = initial_state(device, copied(self._params()), regime, hyper)
        memory = self._memory or {}
        # Not what another solver kept, if it was chosen only meanwhile.
        return state | {kind: copied(arrays) for kind, arrays in memory.items() if kind in state}

    def _params(self) -> Params:
        """The fitted parameters by their names in a network."""
        params: Params = {}
        for i, (W, b) in enumerate(zip(self.coefs_, self.intercepts_, strict=True), 1):
            params |= {f"W{i}": W, f"b{i}": b}
        return params

    def _publish(self, device: Device, state: State) -> None:
        """Set the fitted attributes that are arrays, as NumPy's."""
        on_host = {
            kind: {name: np.array(device.to_host(value)) for name, value in arrays.items()}
            for kind, arrays in state.items()
        }
        params = on_host.pop("params")
        self.coefs_ = [params[f"W{i}"] for i in range(1, self.n_layers_)]
        self.intercepts_ = [params[f"b{i}"] for i in range(1, self.n_layers_)]
        self._memory = on_host

    def _note(self, measured: dict[str, float]) -> None:
        """Write down an epoch."""
        before = len(self.history_.get("loss", ()))
        for name in {**self.history_, **measured}:  # validation rows may come and go with the calls
            values = self.history_.setdefault(name, [math.nan] * before)
            values.append(measured.get(name, math.nan))
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            if "val_score" in measured:
                print(f"Validation score: {measured['val_score']:f}")

    def _call_back(self, device: Device, state: State) -> bool:
        """Tell of an epoch; return whether someone asks to stop."""
        if self.callbacks is None:
            return False
        self._publish(device, divergence.copy(device, state))
        each: list[Callable[[Any], Any]] = (
            [self.callbacks] if callable(self.callbacks) else list(self.callbacks)
        )
        answers = [callback(self) for callback in each]  # all are told, whoever asks
        return any(isinstance(answer, bool | np.bool_) and bool(answer) for answer in answers)

    def _validate(
        self, device: Device, mlp: MLP, params: Params, validation: Validation
    ) -> tuple[float, float]:
        """Return the loss on the validation rows, without the penalty, and their score; NaN for infinity."""
        scores = inputs.scores(device, mlp, params, validation.X)
        loss = losses.find(LOSS_OF[self.out_activation_])
        value = float(loss(np, scores, validation.target, validation.weight)[0])
        return value, self._score(scores, validation) if math.isfinite(value) else math.nan
