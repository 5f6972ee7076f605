"""Where a command computes: flags of those that take a trained run, and what ``--device auto`` came to."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any, get_args

from xpnet.commands.console import complain
from xpnet.commands.flags import Parser
from xpnet.device import Backend, choose, get_device, threads_note, using_threads
from xpnet.errors import InputError
from xpnet.values import between

__all__ = ["add_device", "on_threads", "tell_choice"]


def add_device(parser: Parser) -> None:
    """Add the flags."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N, mps or auto (default: cpu)")
    parser.add_argument(
        "--threads",
        metavar="N",
        help="CPU threads; by default as set in the environment, such as by OMP_NUM_THREADS",
    )
    parser.add_argument(
        "--backend", default="auto", choices=get_args(Backend), help="array library (default: auto)"
    )


def on_threads(given: Namespace, work: Callable[[Namespace], int]) -> int:
    """Do the work of a command with as many threads as its ``--threads`` says; return its exit status.

    Raises
    ------
    InputError
        No such number of threads.
    """
    if given.threads is None:
        return work(given)
    try:
        threads = int(given.threads)
    except ValueError:
        raise InputError(f"--threads must be an integer, not {given.threads!r}") from None
    between(1, 10**4).check("--threads", threads)
    device = get_device(given.device, given.backend)  # before, so that PyTorch is there to be told
    if not given.quiet and (said := threads_note(threads, device.backend.split()[0])):
        complain("xpnet", f"note: {said}")
    with using_threads(threads):
        return work(given)


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
