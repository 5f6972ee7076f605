"""A process that has the last word where the one beside it is killed."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["witness"]

CODE = "import sys; lines = list(sys.stdin); sys.stderr.write(lines[-1].lstrip())"
"""What it runs: when its pipe ends, it says the last line that came, if that is not empty."""


@contextlib.contextmanager
def witness() -> Iterator[Callable[[str], None]]:
    """Have a process beside this one that says the last line that it was given, should this one be killed.

    Launchers kill all processes when one is lost, some at once and without a signal that could be handled.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # it is not killed with this one, nor by Ctrl-C
    )
    pipe: Any = process.stdin

    def says(line: str) -> None:
        with contextlib.suppress(OSError):  # it was killed itself
            pipe.write(f"{line}\n".encode())
            pipe.flush()

    try:
        yield says
    finally:
        says("")  # nothing
        process.communicate()
