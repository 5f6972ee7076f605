"""Process-wide settings that several users may change temporarily, at the same time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Shared"]


class Shared:
    """A process-wide setting: the first user saves its old value, and the last restores it.

    Ctrl-C may come between any two operations. So the old value stays saved until it has been restored, and
    leaving twice has the same effect as leaving once.
    """

    def __init__(self) -> None:
        # Reentrant: a signal, or a generator being collected, may interrupt the thread that holds the lock.
        self._lock = threading.RLock()
        self._users: set[object] = set()
        self._restore: Callable[[], Any] | None = None

    @contextmanager
    def using(self, note: Callable[[], Callable[[], Any]], make: Callable[[], Any]) -> Iterator[None]:
        """Apply the setting inside this context.

        Parameters
        ----------
        note
            Called for the first user. It changes nothing, and returns a function that restores the setting.
        make
            Called for every user, after ``note``, to apply the setting.
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
        except BaseException:  # perhaps Ctrl-C while leaving
            self._leave(user)
            raise

    def _leave(self, user: object) -> None:
        with self._lock:
            self._users.discard(user)
            if not self._users and self._restore is not None:
                self._restore()
                self._restore = None
