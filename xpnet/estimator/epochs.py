"""Epochs as scikit-learn has them: every row once, in batches of which the last may be smaller."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xpnet.data.feed import Feed
from xpnet.device import Device, dtype_name
from xpnet.nn.mlp import MLP
from xpnet.training import divergence
from xpnet.training.regime import Hyper, Regime
from xpnet.training.step import make_advance, take_steps
from xpnet.typing import Advance, Array, Draws, State

__all__ = ["Epochs"]


class Epochs:
    """A network in training, an epoch at a time.

    `xpnet.training.loop.fit` trains by the same steps, too, but in batches of one size and by a schedule
    that is known beforehand. Here an epoch takes every row, the learning rate of the next may
    depend on the last, and training goes on from call to call on data of other sizes.

    Parameters
    ----------
    device, mlp, feed
        The network and its training rows, on the device.
    state
        `xpnet.training.step.initial_state`, or what came of epochs before; consumed.
    regime, hyper
        How to train. ``hyper.reg`` is scikit-learn's ``alpha``: the penalty on a batch is
        ``alpha / 2 / rows · ΣW²``, with the sum of their weights for ``rows`` where rows have weights.
    updates
        Number of steps that came before.

    Attributes
    ----------
    state, updates
        After the epochs so far.
    """

    def __init__(
        self, device: Device, mlp: MLP, feed: Feed, state: State, regime: Regime, hyper: Hyper, updates: int
    ) -> None:
        self.state = state
        self.updates = updates
        self._before = state
        self._device, self._mlp, self._feed, self._regime, self._hyper = device, mlp, feed, regime, hyper
        self._dtype = dtype_name(state["params"]["W1"])
        self._ways: dict[int, Advance] = {}

    def count(self, rows: int) -> int:
        """Return the number of steps in an epoch of so many rows."""
        return -(-rows // self._regime.batch_size)

    def train(
        self,
        order: NDArray[np.int64],
        rates: NDArray[np.float64],
        keys: NDArray[np.int32] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> tuple[float, int]:
        """Train an epoch.

        Parameters
        ----------
        order
            The rows, in the order in which they are taken.
        rates
            Learning rate of each step, ``(steps,)``.
        keys
            Of the noise of each step, where there is dropout.
        should_stop
            Asked before each step but the first; once it returns True the epoch ends.

        Returns
        -------
        loss : float
            Mean over the rows, each batch's before its update. Not finite where training diverged: the
            state is then that of the beginning of the epoch.
        rows : int
            How many were taken.
        """
        device, xp, size = self._device, self._device.xp, self._regime.batch_size
        self._before = divergence.copy(device, self.state)
        draws, index = self._draws(rates, keys), device.put(order)
        full, rest = divmod(len(order), size)
        losses: list[Array] = []
        taken: list[int] = []

        asked = False  # an epoch has a step at least, or there would be no loss

        def stop() -> bool:
            nonlocal asked
            first, asked = not asked, True
            return not first and should_stop is not None and should_stop()

        # The batches of one size, then the last, which may be smaller.
        for rows, begin, end in ((size, 0, full), (rest, full, full + 1)):
            if rows == 0 or begin == end:
                continue
            batches = xp.reshape(index[begin * size : begin * size + (end - begin) * rows], (-1, rows))
            table = {"index": batches, **{name: values[begin:end, ...] for name, values in draws.items()}}
            self.state, parts, stopped = take_steps(
                device, self._advance(rows), self.state, table, end - begin, stop
            )
            losses += parts
            taken += [rows] * sum(part.shape[0] for part in parts)
            if stopped or len(taken) < end:
                break
        self.updates += len(taken)
        mean = float(np.average(device.to_host(xp.concat(losses)), weights=taken))
        if not math.isfinite(mean):
            self.state = self._before
        return mean, sum(taken)

    def settle(self) -> bool:
        """Return whether the parameters are finite; go back to the beginning of the epoch if not."""
        xp = self._device.xp
        try:
            finite = all(bool(xp.all(xp.isfinite(value))) for value in self.state["params"].values())
        except (RuntimeError, ValueError):
            if not self._device.donates:
                raise
            finite = False  # Ctrl-C met steps that had consumed the state and not yet returned the new one
        if not finite:
            self.state = self._before
        return finite

    def _draws(self, rates: NDArray[np.float64], keys: NDArray[np.int32] | None) -> Draws:
        """Put on the device what changes from step to step, but for the rows."""
        device, dtype = self._device, self._dtype
        counts = np.arange(self.updates + 1, self.updates + len(rates) + 1)
        draws = {"rate": device.put(rates, dtype), "count": device.put(counts, dtype)}
        if keys is not None:
            draws["dropout"] = device.put(keys)
        if self._regime.solver in ("adam", "adamw"):
            # scikit-learn adds epsilon to the root of an average that is too low at first, by this factor.
            beta2, epsilon = (float(np.asarray(getattr(self._hyper, name))) for name in ("beta2", "epsilon"))
            draws["epsilon"] = device.put(epsilon / np.sqrt(1.0 - beta2**counts), dtype)
        return draws

    def _advance(self, rows: int) -> Advance:
        """Return what takes steps in batches of so many rows."""
        if rows not in self._ways:
            alpha = float(np.asarray(self._hyper.reg))
            hyper = replace(self._hyper, reg=alpha / rows if self._feed.weight is None else alpha)
            params = self.state["params"]
            self._ways[rows] = make_advance(self._device, self._mlp, self._feed, self._regime, hyper, params)
        return self._ways[rows]
