"""Networks whose loss stops being finite: where it happened, and the last state that was finite.

A step must not read its loss back, so a network has gone on with parameters that are not numbers by the
time its epoch's losses are looked at. Repeating the same steps from the epoch's first state ends at the same
parameters, to the bit where the device's products are deterministic, and costs nothing until then.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device
from xpnet.typing import EpochAdvance, State

__all__ = ["choose", "copy", "first_bad", "replay"]


def copy(device: Device, state: State) -> State:
    """Return a state that training can consume without the other."""
    return {
        kind: {name: device.xp.asarray(value, copy=True) for name, value in arrays.items()}
        for kind, arrays in state.items()
    }


def first_bad(losses: NDArray[Any]) -> NDArray[np.int64]:
    """Return the position, from 1, of the first loss ``(steps, *nets)`` not finite; 0 where all are."""
    bad = ~np.isfinite(losses)
    if not bad.any():
        return np.zeros(losses.shape[1:], np.int64)
    return np.where(bad.any(axis=0), bad.argmax(axis=0) + 1, 0)


def replay(
    device: Device,
    advance: EpochAdvance,
    state: State,
    bad: NDArray[np.int64],
    last_finite: State,
) -> State:
    """Repeat an epoch from its first state up to the last one whose loss was finite.

    Parameters
    ----------
    device, advance
        Where the epoch's steps are taken, and how.
    state
        With which the epoch began; consumed.
    bad
        The first bad step of each network, from 1; 0 for those to be left as they are in ``last_finite``.
    last_finite
        Of the networks that diverged before; empty if none did.
    """
    done = 0
    for at in np.unique(bad[bad > 0]):
        # The loss of step `at` is bad: its parameters come from the update of step `at - 1`, and the last
        # with a finite loss are those before that update.
        before = max(int(at) - 2, done)
        if before > done:
            state, _ = advance(state, done, before)
        done = before
        last_finite = choose(device, bad == at, state, last_finite or state)
    return last_finite


def choose(device: Device, mask: NDArray[np.bool_], yes: State, no: State) -> State:
    """Per network, the state of ``yes`` where ``mask`` is set, else that of ``no``: copies."""
    xp = device.xp
    on_device = {n: device.put(mask.reshape(mask.shape + (1,) * n)) for n in (1, 2)}
    return {
        kind: {
            name: xp.where(on_device[value.ndim - mask.ndim], value, no[kind][name])
            for name, value in arrays.items()
        }
        for kind, arrays in yes.items()
    }
