"""The result of training."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from xpnet.device import Device
from xpnet.training import divergence
from xpnet.training.history import History
from xpnet.training.regime import Regime
from xpnet.training.step import trained
from xpnet.training.stopping import Best
from xpnet.typing import Params, State

__all__ = ["Fit", "finished"]


@dataclass(frozen=True)
class Fit:
    """What `xpnet.training.loop.fit` returns.

    Attributes
    ----------
    state
        Everything needed to continue training, on the device. For a diverged network, the state at the end of
        its best epoch; with ``restores_best``, the best state, whatever ended the run.
    history
        History of all steps done.
    diverged_at
        ``(*nets,)``: the first step, counted from 1, whose loss was not finite or far too large
        (`Regime.explosion`); 0 if there was none.
    interrupted
        Whether ``should_stop`` ended the run.
    stopped_at
        ``(*nets,)``: the step after which the stopping rule ended a network; 0 if none.
    best
        The best state by ``monitor``, if there are a monitor and validation rows.
    epoch
        In the argument of ``on_fit``: the epoch with which to continue.
    sane
        During training: the best state at the start of an epoch, which is kept if a network diverges.
    timed_out
        Whether ``regime.max_time`` ended the run.
    settled
        During training, without ``restores_best``: the final states of networks that the stopping rule has
        ended; None until there are any.
    whole
        If ``should_stop`` or ``max_time`` cut the run off: what ``on_fit`` got, or would have got, after the
        last whole epoch. None if there was none.
    """

    state: State = field(repr=False)
    history: History
    diverged_at: NDArray[np.int64]
    interrupted: bool
    stopped_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros((), np.int64))
    best: Best | None = None
    epoch: int = 0
    sane: divergence.Sane | None = field(default=None, repr=False)
    timed_out: bool = False
    settled: State | None = field(default=None, repr=False)
    whole: "Fit | None" = field(default=None, repr=False)

    @property
    def params(self) -> Params:
        """The trained parameters, or their moving average if there is one."""
        return trained(self.state)


def finished(device: Device, ended: Fit, regime: Regime) -> Fit:
    """Return the result of a run that has ended, with the final state of each network."""
    state, sane, settled = ended.state, ended.sane, ended.settled
    with device.active():
        if settled is not None:
            state = divergence.choose(device, ended.stopped_at > 0, settled, state)
        if sane is not None and (ended.diverged_at > 0).any():
            state = divergence.choose(device, ended.diverged_at > 0, sane.state, state)
    if regime.restores_best and ended.best is not None:
        state = ended.best.state
    return replace(ended, state=state, epoch=0, sane=None, settled=None)
