"""The ``xpnet`` command: one subcommand for each job."""

import importlib
import sys
from argparse import REMAINDER
from collections.abc import Sequence

from xpnet import __version__
from xpnet.commands import COMMANDS
from xpnet.commands.console import run_command
from xpnet.runs.names import did_you_mean

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand that the arguments name.

    Parameters
    ----------
    argv
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: that of the subcommand, 2 if there is no such.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    status = run_command("xpnet", lambda _: _dispatch(words))
    if status and words[:1] == ["train"] and "--alone" not in words:
        from xpnet.runs.processes import leave  # here, as it takes a while

        leave(status)
    return status


def _dispatch(arguments: Sequence[str]) -> int:
    from xpnet.commands.flags import Parser  # here, where Ctrl-C is seen to: it takes a while

    width = max(map(len, COMMANDS))
    parser = Parser(
        "xpnet",
        "Fully-connected neural networks on a CPU or a GPU.",
        "xpnet train --hidden 100 100 --out runs/first",
        "xpnet evaluate runs/first",
        epilog="commands, each with its own --help:\n"
        + "\n".join(f"  {name:{width}}  {help}" for name, (_, help) in COMMANDS.items()),
    )
    parser.add_argument("--version", action="version", version=f"xpnet {__version__}")
    parser.add_argument("command", help="one of the commands below")
    parser.add_argument("arguments", nargs=REMAINDER, help="arguments of the command")
    if not arguments:
        parser.error(f"give a command: {', '.join(COMMANDS)}")
    given = parser.parse_args(arguments)
    if given.command not in COMMANDS:
        hint = did_you_mean(given.command, COMMANDS) or f": use {', '.join(COMMANDS)}"
        parser.error(f"unknown command {given.command!r}{hint}")
    module, _ = COMMANDS[given.command]
    return int(importlib.import_module(module).main(given.arguments))


if __name__ == "__main__":
    sys.exit(main())
