"""Warnings for users: they name the line of the user's code that called xpnet, from whatever depth."""

import sys
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import Any, NamedTuple, TypeVar

__all__ = ["carrying", "warn"]

BETWEEN = frozenset(
    {"xpnet", "sklearn", "joblib", "threading", "concurrent", "contextlib", "contextvars", "functools"}
)
"""Packages whose lines are never meant: this one, and those that may stand between it and its user."""

T = TypeVar("T")


class _Place(NamedTuple):
    """A line of the user's, and the names of its module."""

    filename: str
    line: int
    names: dict[str, Any]


_CALLER: ContextVar[_Place | None] = ContextVar("_CALLER", default=None)
"""In a thread of a pool: the user's line that the pool works for."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn as `warnings.warn` does, but of the user's line: the nearest one outside `BETWEEN`.

    Python 3.12 could leave out files by their prefix; until then the frames are read.
    """
    filename, line, names = _place(sys._getframe(1))
    module = names.get("__name__") or "<string>"
    warnings.warn_explicit(
        message, category, filename, line, module, names.setdefault("__warningregistry__", {})
    )


def carrying(work: Callable[..., T]) -> Callable[..., T]:
    """Return work for another thread, in which warnings name the line that they would name here."""
    place = _place(sys._getframe(1))

    def run(*given: Any) -> T:
        before = _CALLER.set(place)
        try:
            return work(*given)
        finally:
            _CALLER.reset(before)

    return run


def _place(frame: FrameType) -> _Place:
    """Return the user's line; without one, as in a process of a worker, the outermost line."""
    at: FrameType | None = frame
    while at is not None:
        frame = at
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in BETWEEN:
            break
        at = frame.f_back
    else:
        if (carried := _CALLER.get()) is not None:
            return carried
    return _Place(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
