"""Text for a terminal or a page."""

__all__ = ["one_line", "printable"]


def printable(name: str) -> str:
    """Return a name with what a terminal would act upon, and what is no text, written out."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)


def one_line(error: BaseException) -> str:
    """Return what an error says in one line."""
    return " ".join(str(error).split())
