"""``xpnet recipe``: print a recipe, to read, or to change and give to ``--config``."""

from collections.abc import Sequence

from xpnet import recipes
from xpnet.commands.console import run_command
from xpnet.commands.flags import Parser

__all__ = ["main"]

NAME = "xpnet recipe"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the recipe that the arguments name, or all names; return the exit status of `run_command`."""
    return run_command(NAME, lambda _: _print(argv))


def _print(argv: Sequence[str] | None) -> int:
    parser = Parser(
        NAME,
        "Print a recipe: settings in TOML, for --config once changed.",
        "xpnet recipe",
        "xpnet recipe deep > mine.toml",
    )
    parser.add_argument("name", nargs="?", help=f"one of {', '.join(recipes.names())}; else all are listed")
    name = parser.read(argv).name
    if name is None:
        print("\n".join(recipes.names()))
    else:
        print(recipes.path(name).read_text(encoding="utf-8"), end="")
    return 0
