"""Recipes: settings that are known to work, as TOML files to print, copy and change.

May import: nothing but the ground.
"""

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
        raise InputError(f"there is no recipe {name!r}: use {', '.join(names())}")
    return Path(__file__).with_name(f"{name}.toml")
