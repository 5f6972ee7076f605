"""Text for a terminal or a page."""

import html
import os
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["call", "for_shell", "html_table", "name_of", "one_line", "printable", "shorten", "width_of"]


def printable(name: str) -> str:
    """Return a name with control characters and invalid text escaped."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: a wide letter two, a mark on a letter none."""
    if text.isascii():
        return len(text)
    # In some file names an accent stands after its letter, and a syllable of Korean as its parts.
    signs = unicodedata.normalize("NFC", text)
    marks = ("Mn", "Me")
    return sum(
        1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in signs
        if unicodedata.category(sign) not in marks
    )


def shorten(text: str, width: int = 300) -> str:
    """Return text cut to at most ``width`` characters; a cut one ends in an ellipsis."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def name_of(path: str | os.PathLike[str]) -> str:
    """Return a path as printable text, even if its bytes are not valid text."""
    return os.fsencode(path).decode(errors="replace")


def for_shell(path: str | os.PathLike[str]) -> str:
    """Return a path quoted for a shell, such that no command takes it for a flag."""
    name = name_of(path)
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split())


def call(name: str, given: Mapping[str, Any], width: int = 100, most: int = 10) -> str:
    """Return the call that makes an object, in Python: ``Name(a=1, b='x')``.

    Parameters
    ----------
    name, given
        The function or class, and its keyword arguments.
    width
        Maximum length of a line, if ``most`` lines are enough; otherwise lines are longer.
    most
        Maximum number of lines.
    """
    words = [f"{key}={value!r}" for key, value in given.items()]
    words = [f"{word}," for word in words[:-1]] + words[-1:]
    while True:
        lines = [f"{name}("]
        for word in words:
            if len(lines[-1]) + len(word) < width or lines[-1].endswith("("):
                lines[-1] += word if lines[-1].endswith("(") else f" {word}"
            else:
                lines.append(f"    {word}")
        if len(lines) <= most:
            return "\n".join(lines) + ")"
        width += width // 4


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an HTML table for a notebook. Cells are text, and are escaped."""
    lines = [f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in header)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"
