"""Messages in Python: they name flags, and this module adds the corresponding keywords."""

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
    named = sorted(f"{name}={'False' * no}" for name, no in found if name != "dataset")  # that is X
    if not named or "in Python" in message:
        return message
    return f"{message} (in Python {', '.join(named)})"


def warn_in_python(message: str) -> None:
    """Warn about something that a command would print as a note."""
    warn(in_python(message))


@contextmanager
def naming_keywords() -> Iterator[None]:
    """Add the keywords for flags to the messages of errors, and of Ctrl-C."""
    try:
        yield
    except (XpnetError, KeyboardInterrupt) as error:
        if len(error.args) == 1:
            error.args = (in_python(str(error)),)
        raise
