"""Settings of the whole process that are wanted for a while, by several users at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Shared"]


class Shared:
    """A setting of the process: the first user notes what it was, the last brings that back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._restore: Callable[[], Any] | None = None

    @contextmanager
    def using(self, note: Callable[[], Callable[[], Any]], make: Callable[[], Any]) -> Iterator[None]:
        """Have the setting made.

        Parameters
        ----------
        note
            Called for the first user: returns what brings the setting back.
        make
            Called for every user, after that.
        """
        with self._lock:
            if self._users == 0:
                self._restore = note()
            make()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self._restore is not None:
                    self._restore()
