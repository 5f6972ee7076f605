"""Settings of the whole process that are wanted for a while, by several users at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Shared"]


class Shared:
    """A setting of the process: the first user notes what it was, the last brings that back.

    Ctrl-C may come between any two operations. So what is noted stays noted until it has been brought back,
    and leaving twice is the same as leaving once.
    """

    def __init__(self) -> None:
        # The one thread may come back in the midst of it: by a signal, or where a generator is collected.
        self._lock = threading.RLock()
        self._users: set[object] = set()
        self._restore: Callable[[], Any] | None = None

    @contextmanager
    def using(self, note: Callable[[], Callable[[], Any]], make: Callable[[], Any]) -> Iterator[None]:
        """Have the setting made.

        Parameters
        ----------
        note
            Called for the first user: returns what brings the setting back. It changes nothing.
        make
            Called for every user, after that.
        """
        user = object()
        try:
            try:
                with self._lock:
                    self._users.add(user)
                    if self._restore is None:
                        self._restore = note()
                    make()
                yield
            finally:
                self._leave(user)
        except BaseException:  # it may be Ctrl-C in the midst of leaving
            self._leave(user)
            raise

    def _leave(self, user: object) -> None:
        with self._lock:
            self._users.discard(user)
            if not self._users and self._restore is not None:
                self._restore()
                self._restore = None
