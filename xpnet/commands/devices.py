"""Where a command computes: flags of those that take a trained run, and what ``--device auto`` came to."""

from typing import Any, get_args

from xpnet.commands.console import complain
from xpnet.commands.flags import Parser
from xpnet.device import Backend, choose

__all__ = ["add_device", "tell_choice"]


def add_device(parser: Parser) -> None:
    """Add the flags."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N, mps or auto (default: cpu)")
    parser.add_argument(
        "--backend", default="auto", choices=get_args(Backend), help="array library (default: auto)"
    )


def tell_choice(name: str, given: Any) -> None:
    """Say what device was chosen where that was left open, unless all is to be quiet.

    Parameters
    ----------
    name
        Of the command.
    given
        Its settings, which have ``device``, ``backend`` and ``quiet``.
    """
    if given.device == "auto" and not given.quiet:
        complain(name, f"note: {choose(given.backend)}")
