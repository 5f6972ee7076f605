"""Measurements of an epoch, read back from the device at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.nn import penalty
from xpnet.nn.mlp import MLP
from xpnet.training.evaluation import evaluate
from xpnet.training.regime import Regime
from xpnet.training.sharing import share_of
from xpnet.typing import Array, Draws, Params

__all__ = ["Measured", "measure"]


class Measured(NamedTuple):
    """Measurements of an epoch on the host, ``(*nets,)`` each; NaN if something was not measured.

    Attributes
    ----------
    steps
        ``(steps, *nets)``: the loss of each step.
    finite
        ``(steps + 1, *nets)``: the same losses, and a last value that is finite if the network is sane after
        the last step.
    train_loss
        Mean loss over the training rows of the epoch.
    train_score
        Score of the last batch.
    val_loss, val_score
        Loss of the validation rows, including the penalty, and their score.
    unpenalised
        Loss of the validation rows without the penalty.
    scores
        ``(*nets, rows, outputs)``: the network's scores of the validation rows, if a monitor needs them.
    """

    steps: NDArray[Any]
    finite: NDArray[Any]
    train_loss: NDArray[Any]
    train_score: NDArray[Any]
    val_loss: NDArray[Any]
    val_score: NDArray[Any]
    unpenalised: NDArray[Any]
    scores: NDArray[Any] | None


def measure(
    device: Device,
    mlp: MLP,
    params: Params,
    feed: Feed,
    validation: Feed | None,
    regime: Regime,
    reg: Array | float,
    tables: Sequence[Draws],
    losses: Sequence[Array],
    takes_scores: bool = False,
) -> Measured:
    """Measure losses and scores at the end of an epoch.

    Parameters
    ----------
    device
        The device of the arrays; if there are several processes, each scores a share of the rows.
    mlp, params
        The network, or a stack.
    feed, validation
        Training rows, and validation rows or None.
    regime, reg
        Hyper-parameters, and the strength of the penalty.
    tables
        The draws of the epoch.
    losses
        Losses of the steps that were taken, in parts.
    takes_scores
        Whether to return the scores of the validation rows.
    """
    xp, done = device.xp, sum(part.shape[0] for part in losses)
    found = _last_batch(device, mlp, params, feed, regime, reg, tables, done)
    kept: list[Array] = []
    share = None if validation is None else share_of(device, validation.num_rows)
    if validation is not None:
        loss, score = evaluate(
            xp,
            mlp,
            params,
            validation.X,
            validation.y,
            0.0,
            regime.loss,
            validation.weight,
            kept if takes_scores else None,
            validation.prepare,
            validation.own,
            share,
        )
        found += (loss, loss + penalty.penalty(xp, mlp, params, reg), score)
    # The only transfer to the host in an epoch, except for scores that a monitor needs.
    measured = np.array(device.to_host(xp.concat([*losses, *(value[None, ...] for value in found)])))
    steps, after_last, finite = measured[:done], measured[done:], measured[: done + 1]
    unknown = np.full(finite.shape[1:], np.nan)
    train_score = after_last[1] if regime.scores_batch else unknown
    unpenalised, val_loss, val_score = after_last[-3:] if validation is not None else [unknown] * 3
    if validation is not None:  # after the last update, the validation loss must be finite, too
        finite[done] = np.where(np.isfinite(val_loss), finite[done], val_loss)
    scores = device.to_host(xp.concat(kept, axis=-2)) if kept else None
    if scores is not None and share is not None and device.team is not None:
        scores = device.team.joined(scores, axis=-2)
    train_loss = _mean(steps, tables)
    return Measured(steps, finite, train_loss, train_score, val_loss, val_score, unpenalised, scores)


def _last_batch(
    device: Device,
    mlp: MLP,
    params: Params,
    feed: Feed,
    regime: Regime,
    reg: Array | float,
    tables: Sequence[Draws],
    done: int,
) -> tuple[Array, ...]:
    """Return loss and score of the last batch, or a value that is finite if the weights are."""
    if not regime.scores_batch:
        xp, nets = device.xp, params["W1"].shape[:-2]
        return (sum(xp.sum(xp.reshape(value, (*nets, -1)), axis=-1) for value in params.values()),)
    first = tables[0]["index"].shape[0]
    table, i = (tables[0], done - 1) if done <= first else (tables[1], done - 1 - first)
    index = table["index"][i, ...]
    x, y = feed.rows(device.xp, index)
    share, weight = share_of(device, index.shape[-1]), feed.weights(device.xp, index)
    return evaluate(device.xp, mlp, params, x, y, reg, regime.loss, weight, share=share)


def _mean(losses: NDArray[Any], tables: Sequence[Draws]) -> NDArray[Any]:
    """Return the mean of the steps' losses over their rows, ``(*nets,)``."""
    # In memory order by step, as for a single network, because NumPy's order of summation depends on it.
    each = np.ascontiguousarray(np.moveaxis(losses, 0, -1))
    if len(losses) <= tables[0]["index"].shape[0]:  # the last batch, which may be smaller, was not reached
        return np.asarray(each.mean(axis=-1))
    full, last = (table["index"].shape[-1] for table in tables)
    each = each.astype(np.float64)
    total = full * each[..., :-1].sum(axis=-1) + last * each[..., -1]
    return np.asarray(total / (full * (len(losses) - 1) + last))
