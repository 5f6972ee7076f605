"""Draws the rows of the batches of an epoch, on the host for any device, and says where epochs end."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xpnet.typing import Random

__all__ = ["Sampling", "batches_per_epoch", "draw_batches", "epoch_ends", "in_blocks"]

Sampling = Literal["replacement", "shuffle", "all"]


def draw_batches(
    rng: Random,
    num_rows: int,
    batch_size: int,
    count: int,
    sampling: Sampling,
    filled: bool = False,
    blocks: NDArray[np.int64] | None = None,
    buffer: int = 0,
    dtype: type[np.signedinteger[Any]] = np.int64,
) -> list[NDArray[np.signedinteger[Any]]]:
    """Draw the rows of an epoch's batches.

    Parameters
    ----------
    rng
        Source of randomness on the host.
    num_rows
        Number of training rows.
    batch_size
        Rows in a batch.
    count
        Number of batches; but with ``"replacement"``, at most those of an epoch (`batches_per_epoch`).
    sampling
        ``"replacement"`` draws every row independently, as ``rng.choice(num_rows, batch_size)`` batch by
        batch would. The others cut a new permutation into batches: ``"shuffle"`` leaves the rows of the last,
        incomplete batch out of this epoch, and ``"all"`` makes a smaller batch of them.
    filled
        Whether ``"all"`` fills that batch instead, with as many of the epoch's first rows as it lacks.
    blocks
        How many rows after each other are read together, where a row alone costs a block: then the
        permutation is that of `in_blocks`, and ``"replacement"`` is not for such rows.
    buffer
        See `in_blocks`.
    dtype
        Of an order of all rows, which is as long as the data: int32 halves it.

    Returns
    -------
    list of ndarray
        One table of batches for each size that they have: ``(count, batch_size)`` and, where the last is
        smaller, ``(1, rest)``.
    """
    if sampling == "replacement":
        return [rng.choice(num_rows, (count, batch_size))]
    if blocks is not None:
        order = in_blocks(rng, blocks, buffer).astype(dtype, copy=False)
    elif dtype is np.int64:
        order = rng.permutation(num_rows)
    else:  # the same, which is not first made in int64
        order = np.arange(num_rows, dtype=dtype)
        rng.shuffle(order)
    order = order[: count * batch_size]
    if filled and sampling == "all" and batch_size <= num_rows:
        return [np.resize(order, (count, batch_size))]  # begins anew where the rows end
    full = len(order) // batch_size * batch_size
    tables = (order[:full].reshape(-1, batch_size), order[full:].reshape(1, -1))
    return [table for table in tables if table.size]


def in_blocks(rng: Random, blocks: NDArray[np.int64], buffer: int) -> NDArray[np.int64]:
    """Return an order of rows for which each block of them is read once: less than a permutation of all.

    Blocks come in a random order. As many as have ``buffer`` rows, and at least one, are read after each
    other, and the rows of these are shuffled. So rows of one block are near each other in every epoch: of a
    file that is sorted, as by its target, some batches have more of one kind than others.

    Parameters
    ----------
    rng
        Source of randomness on the host.
    blocks
        How many rows each has, in their order.
    buffer
        Rows that are shuffled together.
    """
    starts, order = np.cumsum(blocks) - blocks, np.empty(blocks.sum(), np.int64)
    begin = end = 0
    for block in rng.permutation(len(blocks)):
        first, end = end, end + int(blocks[block])
        order[first:end] = np.arange(starts[block], starts[block] + blocks[block])
        if end - begin >= buffer or end == len(order):
            rng.shuffle(order[begin:end])
            begin = end
    return order


def batches_per_epoch(num_rows: int, batch_size: int, sampling: Sampling) -> int:
    """Return the number of steps that count as a pass over the rows, at least 1."""
    return -(-num_rows // batch_size) if sampling == "all" else max(num_rows // batch_size, 1)


def epoch_ends(num_steps: int, steps_per_epoch: int, sampling: Sampling) -> list[int]:
    """Return the numbers of steps after which an epoch ends: it is evaluated, then the rate decays.

    That is every ``steps_per_epoch`` steps. With ``"replacement"`` the original's convention holds: already
    after the first step, and every ``steps_per_epoch`` from there. The last step always ends an epoch.
    """
    first = 1 if sampling == "replacement" else steps_per_epoch
    return [*range(first, num_steps, steps_per_epoch), num_steps]
