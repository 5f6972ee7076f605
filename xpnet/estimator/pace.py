"""How fast to go, and when to stop: scikit-learn's learning rates, and its patience."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.training import schedules
from xpnet.typing import State

__all__ = ["Pace", "Watch"]


@dataclass
class Watch:
    """How long a value that should rise has not risen by ``tol``."""

    tol: float
    best: float = -math.inf
    idle: int = 0

    def see(self, value: float) -> None:
        """Take the value of the next epoch."""
        self.idle = 0 if value >= self.best + self.tol else self.idle + 1
        if value > self.best:
            self.best = value


class Pace:
    """The learning rate of an estimator: from its parameters, and from what became of its epochs.

    Parameters
    ----------
    parameters
        Of the estimator.
    rate
        Where "adaptive" and "invscaling" go on from; ``learning_rate_init`` by default.
    """

    def __init__(self, parameters: dict[str, Any], rate: float | None = None) -> None:
        self._schedule = parameters["learning_rate"]
        self._first = float(parameters["learning_rate_init"])
        self._power = float(parameters["power_t"])
        self._max_iter = int(parameters["max_iter"])
        changes = parameters["solver"] == "sgd" and self._schedule in ("adaptive", "invscaling")
        self._changes = self._schedule if changes else None
        self.rate = self._first if rate is None or not changes else rate

    def of_steps(self, epoch: int, steps: int) -> NDArray[np.float64]:
        """Return the learning rate of each step of an epoch, ``(steps,)``."""
        if self._schedule not in ("cosine", "one-cycle"):
            return np.full(steps, self.rate)
        return schedules.learning_rates(
            self._schedule,
            np.arange(epoch * steps, (epoch + 1) * steps),
            num_steps=steps * self._max_iter,
            epochs=epoch,
            learning_rate=self._first,
        )

    def slows_down(self, state: State) -> bool:
        """Divide an adaptive rate by 5, if it is not very low already; return whether that was done."""
        if self._changes != "adaptive" or self.rate <= 1e-6:
            return False
        self._set(self.rate / 5.0, state)
        return True

    def after(self, rows: int, state: State) -> None:
        """Scale an inverse-scaling rate for what follows after so many rows."""
        if self._changes == "invscaling":
            self._set(self._first / (rows + 1) ** self._power, state)

    def _set(self, rate: float, state: State) -> None:
        # scikit-learn's velocity holds steps and that of `xpnet.nn.solvers` gradients. They mean the same for
        # one rate, and after a change if the gradients are divided by as much as the rate is multiplied.
        for name, velocity in state.get("velocity", {}).items():
            state["velocity"][name] = velocity * (self.rate / rate)
        self.rate = rate
