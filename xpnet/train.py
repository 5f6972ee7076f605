"""``python -m xpnet.train``: train a network and leave a run folder; the command itself is in `commands`."""

import sys

from xpnet.commands.train import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
