"""Whether a run ends before its last step, because it was asked to stop or its time is up."""

import time
from collections.abc import Callable

from xpnet.device import Device

__all__ = ["Ending"]


class Ending:
    """The clock of a run, and the decision to end it early.

    Processes that train one network decide together, because one that stopped alone would leave the others
    waiting.

    Parameters
    ----------
    device
        The device of the run.
    max_time
        Time limit in seconds, including ``before``; None for no limit.
    should_stop
        Returns whether the run was asked to stop.
    before
        Seconds that a continued run had already taken.

    Attributes
    ----------
    interrupted, timed_out
        What has ended the run.
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
        """Seconds taken so far."""
        return time.perf_counter() - self._began

    @property
    def may_come(self) -> bool:
        """Whether anything can end the run between steps."""
        return self._should_stop is not None or self._max_time is not None

    def before_steps(self) -> bool:
        """Return whether to take no more steps. A run takes at least one, because it needs a loss."""
        self.interrupted = self._should_stop is not None and self._should_stop()
        self._has_begun, self.timed_out = True, self._has_begun and self._is_late()
        if self._team is not None:
            self.interrupted, self.timed_out = self._team.any(self.interrupted, self.timed_out)
        return self.interrupted or self.timed_out

    def after_epoch(self) -> bool:
        """Return whether the time is up at the end of an epoch."""
        late = self._is_late()
        late = late if self._team is None else self._team.any(late)[0]
        self.timed_out = self.timed_out or late
        return late

    def _is_late(self) -> bool:
        return self._max_time is not None and self.seconds >= self._max_time
