"""scikit-learn's learning rates that react to each epoch, and its stopping rule."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.training.regime import Hyper, Regime
from xpnet.training.stopping import Epoch

__all__ = ["Pace", "Settled"]


class Pace:
    """The `xpnet.training.schedules.Schedule` of an estimator; it continues across calls of ``partial_fit``.

    Parameters
    ----------
    kind
        ``"adaptive"`` or ``"invscaling"``; if empty, the rate is that of the regime.
    first, power
        Initial learning rate; with ``"invscaling"``, the rate is ``first / (t + 1)^power`` after ``t`` rows.
    """

    def __init__(self, kind: str, first: float, power: float) -> None:
        self._kind, self._first, self._power = kind, first, power
        self._begun = False
        self._rate: Any = first
        self._carried: Any = 1.0  # divisor of the rates since the last epoch

    def begin(self, regime: Regime, hyper: Hyper, nets: tuple[int, ...], rows: int, seen: int) -> None:
        """Start a call with a number of rows per epoch, after a number of rows seen in earlier calls."""
        self._regime, self._hyper, self._nets, self._rows, self._seen = regime, hyper, nets, rows, seen

    def by_step(self, steps: range, epoch: int, updates: int) -> dict[str, NDArray[np.float64]]:
        """Return the learning rates of an epoch's steps and, for adam, the epsilons."""
        if self._kind == "invscaling" and self._begun:
            self._set(self._first / (self._seen + epoch * self._rows + 1) ** self._power)
        self._begun = True
        shape = (len(steps), *self._nets)
        if self._kind:
            found = {"rate": np.full(shape, self._rate, np.float64)}
        elif self._regime.schedule == "constant" and not self._regime.warmup_steps:
            found = {"rate": np.full(shape, self._hyper.learning_rate, np.float64)}
        else:
            found = {"rate": self._regime.learning_rates(self._hyper, self._nets, steps, epoch)}
        if self._regime.solver in ("adam", "adamw"):
            # scikit-learn adds epsilon to the root of an average that is too low at first, by this factor.
            beta2, epsilon = (float(np.asarray(getattr(self._hyper, name))) for name in ("beta2", "epsilon"))
            counts = np.arange(updates + 1, updates + len(steps) + 1)
            found["epsilon"] = epsilon / np.sqrt(1.0 - beta2**counts)
        return found

    def carried(self) -> Any:
        """Return the factor that converts the solver's velocity to the units of a new rate.

        scikit-learn's velocity holds steps, while that of `xpnet.nn.solvers` holds gradients. For a constant
        rate, they are equivalent. When the rate changes by a factor, the velocity must be divided by it.
        """
        carried, self._carried = self._carried, 1.0
        return carried

    def slow_down(self, networks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Divide adaptive rates by 5 unless they are already very low; return which were divided."""
        if self._kind != "adaptive":
            return np.zeros_like(networks)
        slower = networks & (self._rate > 1e-6)
        self._set(np.where(slower, self._rate / 5.0, self._rate))
        return np.asarray(slower)

    def _set(self, rate: Any) -> None:
        self._carried = self._carried * (self._rate / rate)
        self._rate = rate


class Settled:
    """The `xpnet.training.stopping.Stopping` rule of scikit-learn.

    A network stops when its value has not risen by ``tol`` for more than ``patience`` epochs and its learning
    rate cannot be lowered any more.

    Parameters
    ----------
    tol, patience
        See above.
    monitor
        The monitor on the validation rows, which gives the value; None for the negated training loss.
    pace
        The schedule, which is slowed down before a network stops.
    """

    def __init__(self, tol: float, patience: float, monitor: str | None, pace: Pace) -> None:
        self._tol, self._patience, self.monitor, self._pace = tol, patience, monitor, pace
        self.best: Any = -math.inf
        self.idle: Any = 0

    def ends(self, epoch: Epoch) -> NDArray[np.bool_]:
        """Return the networks that have converged."""
        value = np.asarray(-epoch.train_loss if self.monitor is None else epoch.value, np.float64)
        self.idle = (self.idle + 1) * ~(value >= self.best + self._tol)  # NaN has not risen
        self.best = np.fmax(self.best, value)
        tired = np.asarray(self.idle > self._patience)
        if not tired.any():
            return tired
        slower = self._pace.slow_down(tired)
        self.idle = self.idle * ~slower
        return tired & ~slower
