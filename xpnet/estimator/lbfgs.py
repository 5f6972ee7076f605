"""Training on all rows at once with SciPy's L-BFGS-B, as scikit-learn does."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.data.feed import Feed
from xpnet.data.host_rows import HostRows
from xpnet.device import Device, all_to_host
from xpnet.nn import backprop, losses
from xpnet.nn.mlp import MLP
from xpnet.typing import Params

__all__ = ["Minimum", "minimise"]


class Minimum(NamedTuple):
    """What `minimise` returns.

    Attributes
    ----------
    params
        Parameters on the host, in float64.
    loss
        Their loss.
    losses
        The loss after each step.
    problem
        Why it ended before convergence; empty if it converged.
    limit
        The parameter that was too low, if any.
    is_early
        Whether the solver itself ended early, not a user or the time limit.
    """

    params: Params
    loss: float
    losses: list[float]
    problem: str = ""
    limit: str = ""
    is_early: bool = False

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.losses)


class _EndedError(Exception):
    """The user or the time limit ends the search."""


class _Search:
    """The loss as a function of flat parameters, and a record of the steps, above all the last one."""

    def __init__(self, value: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]) -> None:
        self._value = value
        self._last: tuple[NDArray[np.float64], float] | None = None
        self.kept: tuple[NDArray[np.float64], float] | None = None
        self.losses: list[float] = []

    def evaluate(self, flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, gradient = self._value(flat)
        self._last = flat.copy(), loss
        if self.kept is None:  # the starting point
            self.kept = self._last
        return loss, gradient

    def on_step(self, flat: NDArray[np.float64]) -> None:
        # The last point that the line search evaluates becomes the step.
        if self._last is not None and np.isfinite(self._last[1]) and np.array_equal(self._last[0], flat):
            self.kept = self._last
        self.losses.append(self.kept[1] if self.kept is not None else float("nan"))


def minimise(
    device: Device,
    mlp: MLP,
    params: Params,
    feed: Feed,
    *,
    loss: str,
    dtype: str,
    reg: float,
    tol: float,
    max_iter: int,
    max_fun: int,
    max_time: float | None,
    should_stop: Callable[[], bool],
    on_step: Callable[[int, float], None] | None = None,
) -> Minimum:
    """Minimise the loss of one network on all rows.

    Parameters
    ----------
    device
        The device for the loss and its gradient. Call this inside `Device.active`.
    mlp, params
        The network, and initial float64 parameters on the host.
    feed
        The rows.
    loss, dtype
        Name of the loss in `xpnet.nn.losses`, and the dtype to compute it in.
    reg
        Strength of the penalty, divided by the number of rows or the sum of their weights.
    tol
        Largest gradient component at which it has converged.
    max_iter, max_fun, max_time
        Maximum number of steps, of evaluations of the loss, and of seconds; None for no limit.
    should_stop
        Called after each step; returns whether to stop.
    on_step
        Called with the number of each step, from 1, and the loss after it.
    """
    from scipy.optimize import minimize

    xp = device.xp
    rows = feed.X.shape[0]
    x = feed.X[:rows] if isinstance(feed.X, HostRows) else feed.X
    weights = rows if feed.weight is None else float(xp.sum(feed.weight))
    weight = None if feed.weight is None else losses.relative(xp, feed.weight)
    ends = np.cumsum([0, *(value.size for value in params.values())])

    def unpacked(flat: NDArray[np.float64]) -> Params:
        return {
            name: flat[ends[k] : ends[k + 1]].reshape(value.shape)
            for k, (name, value) in enumerate(params.items())
        }

    def value(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        on_device = {name: device.put(part, dtype) for name, part in unpacked(flat).items()}
        found, grads = backprop.loss_and_grads(xp, mlp, on_device, x, feed.y, reg / weights, loss, weight)
        host = all_to_host(device, {"loss": found} | grads)
        flat_grads = [np.ravel(np.asarray(host[name], np.float64)) for name in params]
        return float(host["loss"]), np.concatenate(flat_grads)

    search, began = _Search(value), time.perf_counter()

    def callback(flat: NDArray[np.float64]) -> None:
        search.on_step(flat)
        if on_step is not None:
            on_step(len(search.losses), search.losses[-1])
        if should_stop() or (max_time is not None and time.perf_counter() - began >= max_time):
            raise _EndedError

    start = np.concatenate([np.ravel(value) for value in params.values()])
    options = {"maxiter": max_iter, "maxfun": max_fun, "gtol": tol}
    problem, limit, is_early = "", "", False
    try:
        found: Any = minimize(
            search.evaluate, start, method="L-BFGS-B", jac=True, callback=callback, options=options
        )
    except _EndedError:
        problem = "was interrupted: the weights are those reached so far" if should_stop() else ""
    else:
        if np.isfinite(found.fun) and np.isfinite(found.x).all():
            search.kept = found.x, float(found.fun)
        if found.status != 0:
            message = found.message if isinstance(found.message, str) else found.message.decode()
            problem = f"has not converged after {len(search.losses)} steps ({message.strip().rstrip(': ')})"
            limit = "max_iter" if found.nit >= max_iter else "max_fun" if found.nfev >= max_fun else ""
            is_early = True
    flat, least = search.kept if search.kept is not None else (start, float("nan"))
    return Minimum(unpacked(flat.copy()), least, search.losses, problem, limit, is_early)
