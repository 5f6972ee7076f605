"""Which rows make up the batches of an epoch, and where epochs end; drawn on the host on any device."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xpnet.typing import Random

__all__ = ["Sampling", "draw_batches", "epoch_ends"]

Sampling = Literal["replacement", "shuffle"]


def draw_batches(
    rng: Random | Sequence[Random], num_rows: int, batch_size: int, count: int, sampling: Sampling
) -> NDArray[np.int64]:
    """Draw the rows of an epoch's batches.

    Parameters
    ----------
    rng
        One source, or a sequence of them: one per network.
    num_rows
        Number of training rows.
    batch_size
        Rows in a batch.
    count
        Number of batches; with ``"shuffle"`` at most ``num_rows // batch_size``.
    sampling
        ``"replacement"`` draws every row independently, as ``rng.choice(num_rows, batch_size)`` batch by
        batch would. ``"shuffle"`` cuts a new permutation into batches; the rows of the last, incomplete
        batch are left out of this epoch.

    Returns
    -------
    ndarray
        ``(count, batch_size)``, or ``(count, networks, batch_size)``.
    """
    if isinstance(rng, Sequence):
        each = [draw_batches(one, num_rows, batch_size, count, sampling) for one in rng]
        return np.stack(each, axis=1)
    if sampling == "replacement":
        return rng.choice(num_rows, (count, batch_size))
    return rng.permutation(num_rows)[: count * batch_size].reshape(count, batch_size)


def epoch_ends(num_steps: int, steps_per_epoch: int, sampling: Sampling) -> list[int]:
    """Return the numbers of steps after which an epoch ends: it is evaluated, then the rate decays.

    With ``"shuffle"`` that is every ``steps_per_epoch`` steps. With ``"replacement"`` the original's
    convention holds: already after the first step, and every ``steps_per_epoch`` from there. The last
    step always ends an epoch.
    """
    first = 1 if sampling == "replacement" else steps_per_epoch
    return [*range(first, num_steps, steps_per_epoch), num_steps]
