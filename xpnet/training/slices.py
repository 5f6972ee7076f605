"""Select the results of some networks of a stack, or of a single one."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device
from xpnet.training.divergence import Sane
from xpnet.training.history import History, Row
from xpnet.training.result import Fit
from xpnet.training.stopping import Best
from xpnet.typing import State

__all__ = ["of_networks"]


def of_networks(device: Device, whole: Fit, networks: NDArray[np.int64], alone: bool = False) -> Fit:
    """Return the results of some networks of a stack; with ``alone``, of one network, without its axis."""
    xp = device.xp
    index: Any = int(networks[0]) if alone else networks
    with device.active():
        on_device = None if alone else device.put(networks)

        def of_state(state: State) -> State:
            return {
                kind: {
                    name: xp.asarray(a[index, ...], copy=True) if alone else xp.take(a, on_device, axis=0)
                    for name, a in arrays.items()
                }
                for kind, arrays in state.items()
            }

        best, sane = whole.best, whole.sane
        return replace(
            whole,
            state=of_state(whole.state),
            history=_of_history(whole.history, index),
            diverged_at=np.asarray(whole.diverged_at[index]),
            stopped_at=np.asarray(whole.stopped_at[index]),
            best=None
            if best is None
            else Best(of_state(best.state), np.asarray(best.value[index]), np.asarray(best.epoch[index])),
            sane=None if sane is None else Sane(of_state(sane.state), np.asarray(sane.value[index])),
            settled=None if whole.settled is None else of_state(whole.settled),
            whole=None,
        )


def _of_history(history: History, index: Any) -> History:
    """Return the history of some networks of a stack, or of a single one."""
    alone = isinstance(index, int)

    def of(value: Any) -> Any:
        if not isinstance(value, np.ndarray) or not value.ndim:
            return value
        return float(value[index]) if alone else value[index]

    losses = list(np.stack(history.losses)[:, index]) if history.losses else []
    return History([Row._make(map(of, row)) for row in history.rows], losses)
