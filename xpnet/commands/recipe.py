"""``xpnet recipe``: list the recipes, or print one, to read, or to change and give to ``--config``."""

import shutil
import textwrap
from collections.abc import Sequence

from xpnet import recipes
from xpnet.commands.console import run_command
from xpnet.commands.flags import Parser

__all__ = ["main"]

NAME = "xpnet recipe"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the recipe that the arguments name, or list all; return the exit status of `run_command`."""
    return run_command(NAME, lambda _: _print(argv))


def _print(argv: Sequence[str] | None) -> int:
    parser = Parser(
        NAME,
        "List the recipes (settings known to work), or print one as TOML, to change it and give it to "
        "--config.",
        "xpnet recipe",
        "xpnet recipe deep > mine.toml",
    )
    parser.add_argument(
        "name", nargs="?", help=f"recipe to print: {', '.join(recipes.names())}; without one, all are listed"
    )
    name = parser.read(argv).name
    if name is None:
        print("\n".join(_listed()))
    else:
        print(recipes.path(name).read_text(encoding="utf-8"), end="")
    return 0


def _listed() -> list[str]:
    """Return the lines that say what each recipe is for and what it reached."""
    indent = max(map(len, recipes.names())) + 2
    width = max(indent + 20, shutil.get_terminal_size().columns)
    lines = []
    for name in recipes.names():
        beside = name.ljust(indent)
        for text in filter(None, recipes.about(name)):
            lines += textwrap.wrap(text, width, initial_indent=beside, subsequent_indent=" " * indent)
            beside = " " * indent
    return lines
