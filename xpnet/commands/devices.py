"""Device flags of the commands that use a trained run, and a note on what ``--device auto`` chose."""

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
    """Do the work of a command with the number of threads in ``--threads``; return its exit status.

    Raises
    ------
    InputError
        The number of threads is invalid.
    """
    if given.threads is None:
        return work(given)
    try:
        threads = int(given.threads)
    except ValueError:
        raise InputError(f"--threads must be an integer, not {given.threads!r}") from None
    between(1, 10**4).check("--threads", threads)
    device = get_device(given.device, given.backend)  # first, so that PyTorch is imported and gets the limit
    if not given.quiet and (said := threads_note(threads, device.backend.split()[0])):
        complain("xpnet", f"note: {said}")
    with using_threads(threads):
        return work(given)


def tell_choice(name: str, given: Any) -> None:
    """Say which device ``--device auto`` chose, unless ``quiet`` is set.

    Parameters
    ----------
    name
        Name of the command.
    given
        Its settings, which have ``device``, ``backend`` and ``quiet``.
    """
    if given.device == "auto" and not given.quiet:
        complain(name, f"note: {choose(given.backend)}")
