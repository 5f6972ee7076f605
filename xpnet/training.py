"""Training: batches, the step, the loop over epochs, and the history it leaves.

Everything works on one network or on a stack of them (leading axes, see `xpnet.ops`); hyper-parameters
that vary by network are arrays over the networks.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet import network, ops, optimizers, schedules
from xpnet.batches import Sampling, draw_batches, epoch_ends
from xpnet.device import Device, dtype_name
from xpnet.errors import InputError
from xpnet.history import History, Row
from xpnet.network import MLP
from xpnet.typing import Array, Namespace, Params, Random

__all__ = ["Fit", "Hyper", "evaluate", "fit", "make_step"]

Step = Callable[[Params, Array, Array], tuple[Params, Array]]

EVALUATION_ROWS = 1000
"""Rows scored at once in an evaluation: what bounds its memory."""


@dataclass(frozen=True)
class Hyper:
    """Hyper-parameters that may differ between the networks of a stack: floats, or one per network.

    Attributes
    ----------
    learning_rate
        Of the first epoch.
    learning_rate_decay
        Factor on the learning rate from one epoch to the next.
    reg
        Strength of the L2 penalty, see `xpnet.network.penalty`.
    """

    learning_rate: ArrayLike = 1e-3
    learning_rate_decay: ArrayLike = 0.95
    reg: ArrayLike = 0.0


@dataclass(frozen=True)
class Fit:
    """What `fit` returns.

    Attributes
    ----------
    params
        Trained parameters, on the device. Of a network that diverged, the last whose loss was finite.
    history
        Of all steps that were done.
    diverged_at
        ``(*nets,)``: the step, from 1, whose loss was the first not to be finite; 0 if there was none.
    interrupted
        Whether ``should_stop`` ended the run.
    """

    params: Params
    history: History
    diverged_at: NDArray[np.int64]
    interrupted: bool


def make_step(xp: Namespace, mlp: MLP, X: Array, y: Array, reg: Array) -> Step:
    """Return the training step: gather a batch, forward, backward, update.

    The step is a pure function of arrays but for this: it consumes the parameters it is given. It reads
    nothing back to the host and takes every value that changes as an array, so that a device may
    queue, capture or compile it.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    mlp
        The network.
    X, y
        All training rows ``(rows, features)`` and their labels ``(rows,)``.
    reg
        ``(*nets,)``.

    Returns
    -------
    callable
        ``step(params, index, learning_rate)`` returns ``(params, loss)``. ``index`` holds the rows of the
        batch, ``(batch,)`` or ``(*nets, batch)``; ``learning_rate`` and ``loss`` are ``(*nets,)``. The
        loss is the regularised one, before the update.
    """

    def step(params: Params, index: Array, learning_rate: Array) -> tuple[Params, Array]:
        x, target = _take_rows(xp, X, index), _take_rows(xp, y, index)
        loss, pullback = network.loss(xp, mlp, params, x, target)
        loss = loss + network.penalty(xp, mlp, params, reg)
        scaled_grads = pullback(learning_rate)
        params = optimizers.sgd(params, scaled_grads, mlp.weights, learning_rate * reg)
        return params, loss

    return step


def fit(
    mlp: MLP,
    params: Params,
    X: Array,
    y: Array,
    X_val: Array | None,
    y_val: Array | None,
    *,
    device: Device,
    hyper: Hyper,
    num_steps: int,
    batch_size: int,
    sampling: Sampling,
    rng: Callable[[int], Random | Sequence[Random]],
    epochs: range | None = None,
    on_epoch: Callable[[History], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Fit:
    """Train one network, or a stack of them at once, by stochastic gradient descent.

    Parameters
    ----------
    mlp, params
        The network and its initial parameters on the device, which are consumed.
    X, y
        Training rows ``(rows, features)`` and labels ``(rows,)`` on the device.
    X_val, y_val
        Validation rows, evaluated once an epoch, or None.
    device
        Where the arrays are.
    hyper
        Hyper-parameters, floats or one per network.
    num_steps
        Number of updates.
    batch_size, sampling
        See `draw_batches` and `epoch_ends`.
    rng
        ``rng(epoch)`` returns the source of an epoch's batches, on the host: one, whose batches all
        networks share, or a sequence of one per network. Where it makes them anew from seed and epoch,
        a run can be taken up at any epoch.
    epochs
        The epochs to train, of those that ``num_steps`` make (`xpnet.batches.epoch_ends`); all by
        default.
    on_epoch
        Called with the history so far after each epoch.
    should_stop
        Asked before each step; once it returns True the run ends as if this were its last step.

    Returns
    -------
    Fit
        Parameters, history, and what became of the run. A network whose loss stops being finite is
        frozen at its last finite parameters; the run ends early when no other is left.

    Raises
    ------
    InputError
        Not as many sources of batches as networks.
    """
    xp = device.xp
    nets = tuple(params["W1"].shape[:-2])
    dtype = dtype_name(params["W1"])

    def per_network(value: ArrayLike) -> Array:
        return device.put(np.broadcast_to(np.asarray(value), nets), dtype)

    reg = per_network(hyper.reg)
    step = make_step(xp, mlp, X, y, reg)
    steps_per_epoch = max(X.shape[0] // batch_size, 1)
    history = History()
    diverged_at = np.zeros(nets, np.int64)
    last_finite: Params = {}
    interrupted = False
    ends = epoch_ends(num_steps, steps_per_epoch, sampling)
    began = time.perf_counter()

    with device.active():
        for epoch in range(len(ends)) if epochs is None else epochs:
            start = ends[epoch - 1] if epoch else 0
            sources = rng(epoch)
            batches = draw_batches(sources, X.shape[0], batch_size, ends[epoch] - start, sampling)
            if isinstance(sources, Sequence):
                if len(sources) != math.prod(nets):
                    raise InputError(f"{len(sources)} sources of batches for networks {nets}: give one each")
                batches = batches.reshape(-1, *nets, batch_size)
            indices = device.put(batches)
            rate = schedules.exponential(epoch, hyper.learning_rate, hyper.learning_rate_decay)
            learning_rate = per_network(rate)
            before = {name: xp.asarray(value, copy=True) for name, value in params.items()}

            params, losses, interrupted = _run(device, step, params, indices, learning_rate, should_stop)
            if not losses:
                break
            done = len(losses)

            batch = indices[done - 1, ...]
            x_batch, y_batch = _take_rows(xp, X, batch), _take_rows(xp, y, batch)
            after, train_accuracy = evaluate(xp, mlp, params, x_batch, y_batch, reg)
            val_loss = val_accuracy = after * float("nan")
            if X_val is not None:
                val_loss, val_accuracy = evaluate(xp, mlp, params, X_val, y_val, reg)
            # The one reading back of the epoch.
            measured = device.to_host(xp.stack([*losses, after, train_accuracy, val_loss, val_accuracy]))
            of_steps, (after, train_accuracy, val_loss, val_accuracy) = measured[:done], measured[done:]

            if X_val is not None:  # what follows the last update must be finite on both
                measured[done] = np.where(np.isfinite(val_loss), after, val_loss)
            first_bad = _first_bad(measured[: done + 1])
            new = (first_bad > 0) & (diverged_at == 0)
            if new.any():
                last_finite = _replay(
                    device, step, before, indices, learning_rate, np.where(new, first_bad, 0), last_finite
                )
                diverged_at[new] = start + first_bad[new]

            history.losses.extend(of_steps)
            history.rows.append(
                Row(
                    step=start + done,
                    epoch=(start + done) // steps_per_epoch,
                    learning_rate=_scalar(np.broadcast_to(rate, nets)),
                    train_loss=_scalar(of_steps.mean(axis=0)),
                    train_accuracy=_scalar(train_accuracy),
                    val_loss=_scalar(val_loss),
                    val_accuracy=_scalar(val_accuracy),
                    seconds=time.perf_counter() - began,
                )
            )
            if on_epoch is not None:
                on_epoch(history)
            if interrupted or diverged_at.all():
                break

        if last_finite:
            params = _choose(device, diverged_at > 0, last_finite, params)
    return Fit(params, history, diverged_at, interrupted)


def _run(
    device: Device,
    step: Step,
    params: Params,
    indices: Array,
    learning_rate: Array,
    should_stop: Callable[[], bool] | None,
) -> tuple[Params, list[Array], bool]:
    """Take the steps of an epoch; return parameters, the loss of each step, and whether to end here."""
    losses: list[Array] = []
    for i in range(indices.shape[0]):
        if should_stop is not None and should_stop():
            return params, losses, True
        params, loss = step(params, indices[i, ...], learning_rate)
        losses.append(loss)
        # Where looking costs nothing, a run in which nothing is left to save ends at once.
        if device.is_host and not np.isfinite(loss).any():
            break
    return params, losses, False


def evaluate(
    xp: Namespace, mlp: MLP, params: Params, X: Array, y: Array, reg: Array | float = 0.0
) -> tuple[Array, Array]:
    """Return the regularised loss and the accuracy on all rows of ``X``.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    mlp, params
        The network, or a stack.
    X, y
        ``(rows, features)`` and ``(rows,)``, or with leading axes ``*nets``.
    reg
        As for `xpnet.network.penalty`.

    Returns
    -------
    loss, accuracy : Array
        ``(*nets,)`` each; the accuracy is a fraction.
    """
    rows = y.shape[-1]
    loss: Array | float = 0.0
    correct: Array | float = 0.0
    for start in range(0, rows, EVALUATION_ROWS):
        part = slice(start, min(start + EVALUATION_ROWS, rows))
        scores, target = network.scores(xp, mlp, params, X[..., part, :]), y[..., part]
        mean_loss, _ = ops.softmax_cross_entropy(xp, scores, target)
        hits = xp.astype(xp.argmax(scores, axis=-1) == target, scores.dtype)
        loss = loss + mean_loss * (target.shape[-1] / rows)
        correct = correct + xp.sum(hits, axis=-1)
    return loss + network.penalty(xp, mlp, params, reg), correct / rows


def _take_rows(xp: Namespace, a: Array, index: Array) -> Array:
    """``a[index]`` for an index of any shape: the standard's `take` knows only one axis."""
    rows = xp.take(a, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(rows, (*index.shape, *a.shape[1:]))


def _first_bad(losses: NDArray[Any]) -> NDArray[np.int64]:
    """Position, from 1, of the first loss ``(steps, *nets)`` that is not finite; 0 where all are."""
    bad = ~np.isfinite(losses)
    return np.where(bad.any(axis=0), bad.argmax(axis=0) + 1, 0)


def _replay(
    device: Device,
    step: Step,
    params: Params,
    indices: Array,
    learning_rate: Array,
    first_bad: NDArray[np.int64],
    last_finite: Params,
) -> Params:
    """Repeat an epoch from its first parameters up to the last ones whose loss was finite.

    A step must not read its loss back, so a network has gone on with parameters that are not numbers by
    the time its epoch's losses are looked at. Repeating the same steps ends at the same parameters, to
    the bit where the device's products are deterministic, and costs nothing until a network diverges.

    ``first_bad`` holds the first bad step of each network from 1, or 0 for those to be left as they are
    in ``last_finite``.
    """
    done = 0
    for bad in np.unique(first_bad[first_bad > 0]):
        # The loss of step `bad` is bad: its parameters come from the update of step `bad - 1`, and the
        # last with a finite loss are those before that update.
        for i in range(done, max(int(bad) - 2, 0)):
            params, _ = step(params, indices[i, ...], learning_rate)
        done = max(int(bad) - 2, done)
        last_finite = _choose(device, first_bad == bad, params, last_finite or params)
    return last_finite


def _choose(device: Device, mask: NDArray[np.bool_], yes: Params, no: Params) -> Params:
    """Per network, the parameters of ``yes`` where ``mask`` is set, else those of ``no``: copies."""
    xp = device.xp
    chosen = {}
    for name, value in yes.items():
        inner = (1,) * (value.ndim - mask.ndim)
        chosen[name] = xp.where(device.put(mask.reshape(mask.shape + inner)), value, no[name])
    return chosen


def _scalar(value: NDArray[Any]) -> Any:
    """A stack's values as they are; one network's as a Python float."""
    return value if value.ndim else float(value)
