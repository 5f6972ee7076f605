"""Cards: how a notebook shows an object, with its scores and curves, in light and dark themes."""

from collections.abc import Iterable

from xpnet.reporting.charts import STYLE
from xpnet.reporting.page import text

__all__ = ["card"]

LOOKS = (
    ".xp-card{max-width:1100px;margin:.3em 0;line-height:1.4}"
    ".xp-card .t{font-size:1.1em;font-weight:600}"
    ".xp-card .s{opacity:.75}"
    ".xp-card .v{display:flex;flex-wrap:wrap;gap:.5em 2em;margin:.5em 0 .8em}"
    ".xp-card .v span{opacity:.75;font-size:.9em}"
    ".xp-card .v b{display:block;font-size:1.25em;font-weight:600}"
    ".xp-card summary{cursor:pointer;opacity:.75}.xp-card .o{overflow-x:auto;margin:.6em 0}"
)


def card(
    title: str,
    status: str,
    values: Iterable[tuple[str, str]],
    body: str = "",
    details: str = "",
) -> str:
    """Return a card as HTML that takes the colours of the notebook around it.

    Parameters
    ----------
    title, status
        Name of the object, and its status.
    values
        Main figures: names and values.
    body
        HTML: charts, or a table.
    details
        Text that is shown when the reader unfolds it.
    """
    figures = "".join(f"<div><b>{text(value)}</b><span>{text(name)}</span></div>" for name, value in values)
    lines = "\n".join(map(text, details.split("\n")))
    more = f"<details><summary>Details</summary><pre>{lines}</pre></details>" if details else ""
    return (
        f'<div class="xp-card"><style>{LOOKS}{STYLE}</style><div><span class="t">{text(title)}</span> '
        f'<span class="s">{text(status)}</span></div><div class="v">{figures}</div>{body}{more}</div>'
    )
