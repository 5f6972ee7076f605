"""Hyper-parameters: those common to all networks of a stack, and those that may differ."""

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.data.batches import Sampling
from xpnet.training import schedules

__all__ = ["Hyper", "Known", "Monitor", "Regime"]

Monitor = Literal[
    "val_score",
    "val_loss",
    "val_accuracy",
    "val_balanced_accuracy",
    "val_log_loss",
    "val_roc_auc",
    "val_r2",
    "val_rmse",
    "val_mae",
]
"""The score is the accuracy for classes and R² for numbers, see `xpnet.training.evaluation`; the loss
includes the penalty. `xpnet.training.monitors` lists the monitors of each task."""


@dataclass(frozen=True)
class Hyper:
    """Hyper-parameters that may differ between the networks of a stack: floats, or one per network.

    Attributes
    ----------
    learning_rate
        Highest learning rate of the schedule.
    learning_rate_decay
        Factor on the learning rate, see `xpnet.training.schedules`.
    reg
        Strength of the L2 penalty, see `xpnet.nn.penalty.penalty`.
    weight_decay, momentum, beta2, epsilon
        Rates of the solver, see `xpnet.nn.solvers.Rates`.
    clip_norm
        Maximum norm of a network's gradient; infinity for no clipping.
    dropout, input_dropout
        Dropout rates of the hidden layers and of the input.
    label_smoothing
        See `xpnet.nn.losses.smooth`.
    ema
        Decay of the moving average of the parameters, which is evaluated instead of them; 0 for none.
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
        """Return the values; for a stack the range of each, such as ``0.001…0.1``."""
        values = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        ends = {name: (value.min(), value.max()) for name, value in values.items()}
        shown = [f"{name}={a:g}" if a == b else f"{name}={a:g}…{b:g}" for name, (a, b) in ends.items()]
        return f"Hyper({', '.join(shown)})"

    def uses(self, name: str) -> bool:
        """Return whether a hyper-parameter has an effect for any network."""
        value, neutral = getattr(self, name), float("inf") if name == "clip_norm" else 0.0
        return value != neutral if isinstance(value, float) else bool(np.any(np.asarray(value) != neutral))


@dataclass(frozen=True)
class Regime:
    """Hyper-parameters common to all networks of a stack.

    Attributes
    ----------
    num_steps, batch_size, sampling
        Number of updates, and how their batches are drawn (`xpnet.data.batches`).
    solver
        Name in `xpnet.nn.solvers.SOLVERS`.
    schedule, step_epochs, peak, warmup_steps
        See `xpnet.training.schedules.learning_rates`.
    loss
        See `xpnet.nn.losses.find`.
    mixup
        Parameter (α and β) of the beta distribution of each batch's proportion (`xpnet.data.feed.mix`); 0 for
        none.
    monitor
        What chooses the best state: a `Monitor`, the name of a scikit-learn scorer, or a
        `xpnet.training.scorers.Scorer`; None keeps no best state.
    min_delta
        Smallest change of ``monitor`` that counts as an improvement.
    restores_best
        Whether a run ends with the best state, instead of the last.
    reg_per_row
        Whether the penalty of a batch is ``reg`` divided by its number of rows (with ``weighs_by_batch``, by
        the sum of their weights), like scikit-learn's ``alpha``. It is then not part of the validation loss.
    weighs_by_batch
        Whether the loss of a batch is divided by the sum of its weights, as in scikit-learn, and not by its
        number of rows. Weights then only count relative to others in the same batch.
    scores_batch
        Whether the last batch of each epoch is scored, for `xpnet.training.history.Row.train_score`.
    max_time
        Stop after this many seconds, but not before the first step; None for no limit.
    explosion
        A network has diverged if the mean loss of an epoch exceeds this many times both its first loss and
        the loss of zero scores, and its weights are large (`xpnet.training.divergence`). With infinity, it
        diverges only if a loss is not finite.
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
    monitor: Any = None
    min_delta: float = 0.0
    restores_best: bool = False
    reg_per_row: bool = False
    weighs_by_batch: bool = False
    scores_batch: bool = True
    max_time: float | None = None
    explosion: float = 1e6

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


class Known:
    """The schedule of a regime, known in advance; the default of `xpnet.training.loop.fit`.

    Parameters
    ----------
    regime, hyper
        Hyper-parameters of the networks.
    nets
        Leading axes of their parameters.
    """

    def __init__(self, regime: Regime, hyper: Hyper, nets: tuple[int, ...]) -> None:
        self._regime, self._hyper, self._nets = regime, hyper, nets

    def by_step(self, steps: range, epoch: int, _updates: int) -> dict[str, NDArray[np.float64]]:
        """Return the learning rate of each step of an epoch."""
        return {"rate": self._regime.learning_rates(self._hyper, self._nets, steps, epoch)}

    def carried(self) -> float:
        """Return 1: velocities do not change."""
        return 1.0
