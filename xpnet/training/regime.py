"""How networks are trained: what all of a stack have in common, and what may differ between them."""

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.data.batches import Sampling
from xpnet.training import schedules

__all__ = ["Hyper", "Monitor", "Regime"]

Monitor = Literal["val_accuracy", "val_loss"]


@dataclass(frozen=True)
class Hyper:
    """Hyper-parameters that may differ between the networks of a stack: floats, or one per network.

    Attributes
    ----------
    learning_rate
        The schedule's highest.
    learning_rate_decay
        Factor on the learning rate, see `xpnet.training.schedules`.
    reg
        Strength of the L2 penalty, see `xpnet.nn.backprop.penalty`.
    weight_decay, momentum, beta2, epsilon
        Of the solver, see `xpnet.nn.solvers.Rates`.
    clip_norm
        Longest gradient, over all parameters of a network; infinity for any.
    dropout, input_dropout
        Rates of the hidden layers and of the input.
    label_smoothing
        See `xpnet.nn.losses.smooth`.
    ema
        Decay of the moving average of the parameters that is evaluated in their place; 0 for none.
    """

    learning_rate: ArrayLike = 1e-3
    learning_rate_decay: ArrayLike = 0.95
    reg: ArrayLike = 0.0
    weight_decay: ArrayLike = 0.0
    momentum: ArrayLike = 0.9
    beta2: ArrayLike = 0.999
    epsilon: ArrayLike = 1e-8
    clip_norm: ArrayLike = float("inf")
    dropout: ArrayLike = 0.0
    input_dropout: ArrayLike = 0.0
    label_smoothing: ArrayLike = 0.0
    ema: ArrayLike = 0.0

    def __repr__(self) -> str:
        """Return the settings; of a stack each with its least and greatest value, as ``0.001…0.1``."""
        values = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        ends = {name: (value.min(), value.max()) for name, value in values.items()}
        shown = [f"{name}={a:g}" if a == b else f"{name}={a:g}…{b:g}" for name, (a, b) in ends.items()]
        return f"Hyper({', '.join(shown)})"

    def uses(self, name: str) -> bool:
        """Return whether a hyper-parameter does anything for any network."""
        return bool(np.any(np.asarray(getattr(self, name)) != (float("inf") if name == "clip_norm" else 0.0)))


@dataclass(frozen=True)
class Regime:
    """How a stack is trained, all its networks alike.

    Attributes
    ----------
    num_steps, batch_size, sampling
        Number of updates, and what they are made of (`xpnet.data.batches`).
    solver
        Name in `xpnet.nn.solvers.SOLVERS`.
    schedule, step_epochs, peak, warmup_steps
        See `xpnet.training.schedules.learning_rates`.
    loss
        Name in `xpnet.nn.losses.LOSSES`.
    mixup
        Both parameters of the beta distribution of each batch's share (`xpnet.data.feed.mix`); 0 for none.
    monitor
        What the best parameters are chosen by; None keeps none.
    patience, min_delta
        Stop after so many epochs in which ``monitor`` was not better by ``min_delta``, and return to the
        best parameters; None never stops.
    """

    num_steps: int
    batch_size: int
    sampling: Sampling = "replacement"
    solver: str = "sgd"
    schedule: str = "exponential"
    step_epochs: int = 30
    peak: float = 0.3
    warmup_steps: int = 0
    loss: str = "cross-entropy"
    mixup: float = 0.0
    monitor: Monitor | None = None
    patience: int | None = None
    min_delta: float = 0.0

    def learning_rates(
        self, hyper: Hyper, nets: tuple[int, ...], steps: ArrayLike, epochs: ArrayLike
    ) -> NDArray[np.float64]:
        """Return the learning rates of steps, given the epoch of each or of all: ``(steps, *nets)``."""
        return schedules.learning_rates(
            self.schedule,
            np.asarray(steps),
            num_steps=self.num_steps,
            epochs=epochs,
            learning_rate=np.broadcast_to(np.asarray(hyper.learning_rate), nets),
            decay=hyper.learning_rate_decay,
            step_epochs=self.step_epochs,
            peak=self.peak,
            warmup_steps=self.warmup_steps,
        )
