"""After each epoch: the fitted attributes of scores and losses, and the user's callbacks."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet.device import Device
from xpnet.training.history import History
from xpnet.training.result import Fit

__all__ = ["Callbacks", "Notes", "tell"]


def tell(number: int, loss: float) -> None:
    """Print the loss after an epoch, or a step of lbfgs, in scikit-learn's words."""
    print(f"Iteration {number}, loss = {loss:.8f}")


class Notes:
    """Records the measures of each epoch in scikit-learn's attributes."""

    def __init__(self, fitting: Any, rows: int, batch_size: int, per_epoch: int, validates: bool) -> None:
        self._fitting, self._validates = fitting, validates
        self._rows, self._batch_size, self._per_epoch = rows, batch_size, per_epoch
        self._seen = fitting.t_
        self._earlier = (fitting.history_.get("seconds") or [0.0])[-1]

    def on_epoch(self, history: History) -> None:
        """Record the latest epoch."""
        new = history.rows[-1]
        if self._fitting.ensemble > 1:
            new = History([new]).mean().rows[0]
        fitting, (epochs, steps) = self._fitting, divmod(new.step, self._per_epoch)
        fitting.n_iter_ = len(history.rows)
        fitting.t_ = self._seen + epochs * self._rows + steps * self._batch_size
        fitting.loss_ = new.train_loss
        fitting.loss_curve_.append(new.train_loss)
        measured = {"loss": new.train_loss, "learning_rate": new.learning_rate}
        if self._validates:
            score = new.val_score if math.isfinite(new.val_loss) else math.nan
            measured |= {"val_loss": new.val_loss, "val_score": score}
            fitting.validation_scores_ = [*(fitting.validation_scores_ or []), score]
        measured["seconds"] = self._earlier + new.seconds
        before = len(fitting.history_.get("loss", ()))
        for name in {**fitting.history_, **measured}:  # calls may be with or without validation rows
            values = fitting.history_.setdefault(name, [math.nan] * before)
            values.append(measured.get(name, math.nan))
        if fitting.verbose:
            tell(fitting.n_iter_, fitting.loss_)
            if self._validates:
                print(f"Validation score: {measured['val_score']:f}")


class Callbacks:
    """Calls the user's callbacks after an epoch, with the fitted attributes set."""

    def __init__(self, fitting: Any, device: Device, updates: int) -> None:
        each = fitting.callbacks
        self._each: list[Callable[[Any], Any]] = (
            [] if each is None else [each] if callable(each) else list(each)
        )
        self._fitting, self._device, self._updates = fitting, device, updates
        self.ended = self.interrupted = False

    def on_fit(self, result: Fit) -> bool:
        """Return whether a callback asks to stop."""
        # Set all attributes, so that the estimator can continue even if a callback raises an error.
        self._fitting._publish(self._device, result, self._updates + len(result.history.losses))
        try:
            answers = [callback(self._fitting) for callback in self._each]  # call all, even if one stops
        except KeyboardInterrupt:
            self.interrupted = True
            return True
        self.ended = any(isinstance(answer, bool | np.bool_) and bool(answer) for answer in answers)
        return self.ended
