"""Recipes: settings that are known to work, as TOML files to print, copy and change.

May import: nothing but the ground.
"""

import difflib
from pathlib import Path

from xpnet.errors import InputError

__all__ = ["names", "path"]


def names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.toml"))


def path(name: str) -> Path:
    """Return the file of a recipe.

    Parameters
    ----------
    name
        One of `names`.

    Raises
    ------
    InputError
        There is no such recipe.
    """
    if name not in names():
        close = difflib.get_close_matches(str(name).lower(), names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"there is no recipe {name!r}: use {', '.join(names())}{hint}")
    return Path(__file__).with_name(f"{name}.toml")
