"""Commands with a limit of time, for the stages of gpu.sh.

A command is interrupted at its limit, as by Ctrl-C, so that it may still say what it has, and killed with all
that it has started if that doesn't end it.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

GRACE = 12.0
"""Seconds between the interrupt and the end, unless told otherwise: what pytest and its workers may need."""

_running: set[int] = set()


@dataclass(frozen=True)
class Ended:
    """How a command ended: ``status`` is its exit status, negative for a signal."""

    status: int
    seconds: float
    late: bool
    output: str = ""

    def __str__(self) -> str:
        """Return it in some words."""
        how = (
            "took longer than it may" if self.late else "ok" if self.status == 0 else f"status {self.status}"
        )
        return f"{how}, {self.seconds:.0f} s"


def run(command: Sequence[str], seconds: float, *, keep: bool = False, grace: float | None = None) -> Ended:
    """Run a command for at most so many seconds, and keep what it prints or let it through."""
    began = time.monotonic()
    # A file: a pipe would stay open for as long as any process holds it that the command has left behind.
    with tempfile.TemporaryFile() as file:
        kept = {"stdout": file, "stderr": subprocess.STDOUT} if keep else {}
        process = subprocess.Popen(list(command), start_new_session=True, stdin=subprocess.DEVNULL, **kept)
        _running.add(process.pid)
        late = False
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            late = True
            _signal(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE if grace is None else grace)
        finally:
            _signal(process.pid, signal.SIGKILL)
            process.wait()
            _running.discard(process.pid)
        file.seek(0)
        output = file.read().decode(errors="replace")
    return Ended(process.returncode, time.monotonic() - began, late, output)


def listen() -> None:
    """Have what is running end with this process, and commands be interrupted as on a terminal.

    A process that was started in the background ignores Ctrl-C, and so would all that it starts.
    """
    signal.signal(signal.SIGINT, _end_all)
    signal.signal(signal.SIGTERM, _end_all)


def _end_all(number: int, _frame: FrameType | None) -> None:
    for group in list(_running):
        _signal(group, signal.SIGKILL)
    os._exit(128 + number)  # at once: other threads would begin the next command


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
