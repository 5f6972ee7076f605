"""Whether a run ends before its last step: somebody asks for it, or its time is over."""

import time
from collections.abc import Callable

from xpnet.device import Device

__all__ = ["Ending"]


class Ending:
    """The clock of a run, and who may end it.

    Processes that train one network together decide together: one that ended alone would leave the others
    waiting.

    Parameters
    ----------
    device
        Where it is trained.
    max_time
        Seconds that it has, those before included; None for as many as it takes.
    should_stop
        Whether somebody asks for its end.
    before
        Seconds that it has had before this call, where it goes on.

    Attributes
    ----------
    interrupted, timed_out
        What has ended it.
    """

    def __init__(
        self,
        device: Device,
        max_time: float | None,
        should_stop: Callable[[], bool] | None,
        before: float = 0.0,
    ) -> None:
        self.interrupted = self.timed_out = False
        self._team, self._max_time, self._should_stop = device.team, max_time, should_stop
        self._began = time.perf_counter() - before
        self._has_begun = False

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self._began

    @property
    def may_come(self) -> bool:
        """Whether there is anything to look at between steps."""
        return self._should_stop is not None or self._max_time is not None

    def before_steps(self) -> bool:
        """Return whether no more steps are to be taken; a run has one at least, or it would have no loss."""
        self.interrupted = self._should_stop is not None and self._should_stop()
        self._has_begun, self.timed_out = True, self._has_begun and self._is_late()
        if self._team is not None:
            self.interrupted, self.timed_out = self._team.any(self.interrupted, self.timed_out)
        return self.interrupted or self.timed_out

    def after_epoch(self) -> bool:
        """Return whether the time is over as an epoch ends."""
        late = self._is_late()
        late = late if self._team is None else self._team.any(late)[0]
        self.timed_out = self.timed_out or late
        return late

    def _is_late(self) -> bool:
        return self._max_time is not None and self.seconds >= self._max_time
