"""How networks are trained: what all of a stack have in common, and what may differ between them."""

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
"""The score is the accuracy of classes and R² of numbers, see `xpnet.training.evaluation`; the loss has its
penalty. Which are for which task is said in `xpnet.training.monitors`."""


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
        Strength of the L2 penalty, see `xpnet.nn.penalty.penalty`.
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
        value, neutral = getattr(self, name), float("inf") if name == "clip_norm" else 0.0
        return value != neutral if isinstance(value, float) else bool(np.any(np.asarray(value) != neutral))


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
        See `xpnet.nn.losses.find`.
    mixup
        Both parameters of the beta distribution of each batch's share (`xpnet.data.feed.mix`); 0 for none.
    monitor
        What the best state is chosen by: a `Monitor`, the name of a scorer of scikit-learn, or a
        `xpnet.training.scorers.Scorer`; None keeps none.
    min_delta
        By how much ``monitor`` has to change to be better.
    restores_best
        Whether a run ends with the best state, instead of the last.
    reg_per_row
        Whether the penalty on a batch is ``reg`` divided by its rows (``weighs_by_batch``: by the sum of
        their weights): then it is scikit-learn's ``alpha``, and no part of what validation measures.
    weighs_by_batch
        Whether the loss of a batch is over the sum of its own weights, as scikit-learn has it, and not over
        its rows. Weights then count only against those of the same batch: of one row they do nothing.
    scores_batch
        Whether the last batch of each epoch is scored, for `xpnet.training.history.Row.train_score`.
    max_time
        Seconds after which training ends, though not before its first step; None for no limit.
    explosion
        A network has diverged if the mean loss of an epoch is so many times both its first loss and that of
        scores of 0, and its weights are large (`xpnet.training.divergence`); infinity: only once a loss is
        not finite.
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
    """A schedule that is known beforehand: that of a regime. What `xpnet.training.loop.fit` takes by default.

    Parameters
    ----------
    regime, hyper
        How networks are trained.
    nets
        Leading axes of their parameters.
    """

    def __init__(self, regime: Regime, hyper: Hyper, nets: tuple[int, ...]) -> None:
        self._regime, self._hyper, self._nets = regime, hyper, nets

    def by_step(self, steps: range, epoch: int, _updates: int) -> dict[str, NDArray[np.float64]]:
        """Return the learning rate of each step of an epoch."""
        return {"rate": self._regime.learning_rates(self._hyper, self._nets, steps, epoch)}

    def carried(self) -> float:
        """Return 1: velocities stay what they are."""
        return 1.0
