"""Draw the rows of an epoch's batches, on the host for every device, and determine where epochs end."""

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
        Number of batches; except with ``"replacement"``, at most one epoch of them (`batches_per_epoch`).
    sampling
        ``"replacement"`` draws every row independently, like ``rng.choice(num_rows, batch_size)`` for each
        batch. The others split a new permutation into batches: ``"shuffle"`` drops the last, incomplete batch
        of the epoch, and ``"all"`` keeps it as a smaller batch.
    filled
        Whether ``"all"`` instead fills the last batch up with the first rows of the epoch.
    blocks
        Sizes of the blocks of rows, if rows can only be read a block at a time. The permutation is then that
        of `in_blocks`. Not for ``"replacement"``.
    buffer
        See `in_blocks`.
    dtype
        Dtype of the permutation, which is as long as the data; int32 halves its memory.

    Returns
    -------
    list of ndarray
        One table of batches for each batch size: ``(count, batch_size)`` and, if the last batch is smaller,
        ``(1, rest)``.
    """
    if sampling == "replacement":
        return [rng.choice(num_rows, (count, batch_size))]
    if blocks is not None:
        order = in_blocks(rng, blocks, buffer).astype(dtype, copy=False)
    elif dtype is np.int64:
        order = rng.permutation(num_rows)
    else:  # the same permutation, without an int64 copy
        order = np.arange(num_rows, dtype=dtype)
        rng.shuffle(order)
    order = order[: count * batch_size]
    if filled and sampling == "all" and batch_size <= num_rows:
        return [np.resize(order, (count, batch_size))]  # repeats from the first row
    full = len(order) // batch_size * batch_size
    tables = (order[:full].reshape(-1, batch_size), order[full:].reshape(1, -1))
    return [table for table in tables if table.size]


def in_blocks(rng: Random, blocks: NDArray[np.int64], buffer: int) -> NDArray[np.int64]:
    """Return an order of rows that needs each block only once: less random than a full permutation.

    Blocks are read in a random order, until they have ``buffer`` rows together, and then these rows are
    shuffled. So the rows of a block are close together in every epoch. If a file is sorted, for example by
    the target, some batches have more rows of one kind than others.

    Parameters
    ----------
    rng
        Source of randomness on the host.
    blocks
        Number of rows in each block, in file order.
    buffer
        Number of rows to shuffle together.
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
    """Return the number of steps in one pass over the rows, at least 1."""
    return -(-num_rows // batch_size) if sampling == "all" else max(num_rows // batch_size, 1)


def epoch_ends(num_steps: int, steps_per_epoch: int, sampling: Sampling) -> list[int]:
    """Return the step numbers after which an epoch ends: the network is evaluated, then the rate decays.

    An epoch ends every ``steps_per_epoch`` steps. ``"replacement"`` keeps the convention of the original
    exercise: an epoch ends after the first step, and every ``steps_per_epoch`` steps from there. The last
    step always ends an epoch.
    """
    first = 1 if sampling == "replacement" else steps_per_epoch
    return [*range(first, num_steps, steps_per_epoch), num_steps]
