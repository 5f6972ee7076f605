"""A helper process that prints a last message if the main process is killed."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["witness"]

CODE = "import sys; lines = list(sys.stdin); sys.stderr.write(lines[-1].lstrip())"
"""The code of the helper: when its pipe closes, it prints the last line it received, if that is not empty."""


@contextlib.contextmanager
def witness() -> Iterator[Callable[[str], None]]:
    """Start a helper process that prints the last line it was given if this process is killed.

    Launchers kill all processes when one is lost, some of them at once, with a signal that cannot be handled.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # so that it is not killed with this process, or by Ctrl-C
    )
    pipe: Any = process.stdin

    def says(line: str) -> None:
        with contextlib.suppress(OSError):  # the helper itself was killed
            pipe.write(f"{line}\n".encode())
            pipe.flush()

    try:
        yield says
    finally:
        says("")  # nothing
        process.communicate()
