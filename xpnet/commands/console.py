"""What all commands share: handling of signals, one-line errors, and exit statuses."""

import errno
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnet.errors import RowsWarning, XpnetError
from xpnet.training.interrupt import StopSignals

__all__ = ["USER_ERROR", "complain", "run_command", "telling"]

USER_ERROR = 2
"""Exit status for an error that the user can fix."""


def run_command(name: str, work: Callable[[StopSignals], int]) -> int:
    """Do the work of a command; turn errors and interruptions into one line and an exit status.

    Parameters
    ----------
    name
        Name of the command, with which the line begins.
    work
        Takes the signals to watch for, and returns the exit status.

    Returns
    -------
    int
        The status from ``work``; 2 for an error that the user can fix; 130 after Ctrl-C.
    """
    _write_any_text()
    with StopSignals() as signals:
        try:
            status = work(signals)
            sys.stdout.flush()  # here, where a broken pipe is handled
        except KeyboardInterrupt as stop:
            complain(name, str(stop) or "interrupted")
            return signals.exit_status
        except BrokenPipeError:
            # The reader of the output has ended, as `head` does. Writing what is still buffered
            # would fail again when Python exits.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere, stream.fileno())
            return 128 + getattr(signal, "SIGPIPE", 13)
        except MemoryError as error:
            reason = str(error) or "an array is too large"
            complain(name, f"error: out of memory ({reason}): use less data or smaller settings")
        except OSError as error:
            complain(name, f"error: {_explain(error)}")
        except XpnetError as error:
            complain(name, f"error: {error}")
        except RuntimeError as error:  # which Python raises for Ctrl-C while it creates a class
            if not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            complain(name, "interrupted")
            return signals.exit_status
        else:
            return status
        return USER_ERROR


def _write_any_text() -> None:
    r"""Write characters that the output's encoding lacks as ``\u2212``; a pipe on Windows has cp1252."""
    stream = sys.__stdout__
    lacks = ("strict", "surrogateescape")  # the latter in the locale C
    if sys.stdout is stream and isinstance(stream, io.TextIOWrapper) and stream.errors in lacks:
        stream.reconfigure(errors="backslashreplace")


def _explain(error: OSError) -> str:
    """Return what the system refused, and how to fix it."""
    reason = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{reason}: free some space there, or write elsewhere with --out"
    return f"{reason}: correct that, or give another file or folder"


def complain(name: str, message: str) -> None:
    """Write a message to standard error as one line, even if a path or a library put line breaks into it."""
    sys.stderr.write(f"{name}: {' '.join(message.splitlines())}\n")


@contextmanager
def telling(note: Callable[[str], None]) -> Iterator[None]:
    """Turn warnings that rows are unlike the training rows into notes, one of each kind for all parts."""
    seen: set[type[Warning]] = set()
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, RowsWarning):
            others(message, category, *place, **more)
        elif category not in seen:
            seen.add(category)
            note(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", RowsWarning)
        warnings.showwarning = show
        yield
