"""Messages at the doors in Python: they name flags, and here the keywords that these are in Python."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from xpnet.errors import XpnetError
from xpnet.warn import warn

__all__ = ["in_python", "naming_keywords", "warn_in_python"]

_FLAG = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")


def in_python(message: str) -> str:
    """Return a message with the keywords for its flags: ``--target NAME (in Python target=)``."""
    found = {(name.replace("-", "_"), bool(no)) for no, name in _FLAG.findall(message)}
    named = sorted(f"{name}={'False' * no}" for name, no in found if name != "dataset")  # which is X
    if not named or "in Python" in message:
        return message
    return f"{message} (in Python {', '.join(named)})"


def warn_in_python(message: str) -> None:
    """Warn of what a command would make a note of."""
    warn(in_python(message))


@contextmanager
def naming_keywords() -> Iterator[None]:
    """Have errors, and what Ctrl-C left, name the keywords for the flags in their messages."""
    try:
        yield
    except (XpnetError, KeyboardInterrupt) as error:
        if len(error.args) == 1:
            error.args = (in_python(str(error)),)
        raise
