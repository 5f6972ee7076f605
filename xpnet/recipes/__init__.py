"""Recipes: settings that are known to work, as TOML files to print, copy and change.

May import: nothing but the ground.
"""

import difflib
from pathlib import Path
from typing import NamedTuple

from xpnet.errors import InputError

__all__ = ["About", "about", "names", "path"]


class About(NamedTuple):
    """What a recipe says about itself, in comments at its head.

    Attributes
    ----------
    purpose
        What it is for.
    measured
        What it reached, and in what time; empty if that has not been measured.
    """

    purpose: str
    measured: str


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


def about(name: str) -> About:
    """Return what a recipe says about itself.

    Parameters
    ----------
    name
        One of `names`.

    Raises
    ------
    InputError
        There is no such recipe.
    """
    said = {}
    for line in path(name).read_text(encoding="utf-8").splitlines():
        label, colon, text = line.removeprefix("# ").partition(": ")
        if not (line.startswith("# ") and colon):
            break
        said[label] = text
    return About(said["For"], said.get("Measured", ""))
