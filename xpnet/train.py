"""``python -m xpnet.train``: train a network and leave a run folder; the command itself is in `commands`."""

import sys
from collections.abc import Sequence

from xpnet.__main__ import main as command

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``xpnet train`` with the arguments, by default those of the process; return its exit status."""
    return command(["train", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
