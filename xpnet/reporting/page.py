"""A page that asks for nothing beside itself: what the report of a run and that of a sweep have in common.

It is put together from texts that are escaped here, and from pictures within it. Its own policy tells a
browser to load nothing from anywhere, and to run no script but the one whose checksum it names.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

from xpnet.reporting.charts import STYLE
from xpnet.text import printable

__all__ = ["SORTING", "cell", "page", "picture", "scrolling", "section", "shade", "table", "terms", "text"]

_HERE = Path(__file__).parent

SORTING = (_HERE / "sort.js").read_text(encoding="utf-8")
"""The script that sorts a table of the class ``sortable`` as the button in a head is pressed."""


def page(
    title: str,
    subtitle: str,
    cards: Iterable[tuple[str, str]],
    body: str,
    *,
    warning: str = "",
    script: str = "",
) -> bytes:
    """Return a page.

    Parameters
    ----------
    title, subtitle, warning
        Texts on top.
    cards
        What stands out: names and values.
    body
        HTML.
    script
        The one script that may run.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    filled = Template((_HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=text(title),
        subtitle=text(subtitle),
        warning=f'<p class="warning">{text(warning)}</p>' if warning else "",
        cards="".join(f"<div><b>{text(value)}</b>{text(name)}</div>" for name, value in cards),
        body=body,
        charts=STYLE,
        policy=f"; script-src 'sha256-{digest}'" if script else "",
        script=f"<script>{script}</script>" if script else "",
    )
    # A path may hold what is no text.
    return filled.encode("utf-8", "xmlcharrefreplace")


def section(title: str, body: str) -> str:
    """Return a part of the page with a heading; the body is HTML."""
    return f"<section><h2>{text(title)}</h2>{body}</section>\n"


def picture(png: bytes, description: str, kind: str = "") -> str:
    """Return a PNG file as a part of the page."""
    data = base64.b64encode(png).decode("ascii")
    of_kind = f' class="{kind}"' if kind else ""
    return f'<img{of_kind} alt="{text(description)}" src="data:image/png;base64,{data}">'


def scrolling(html: str) -> str:
    """Return what may be wider than the page, so that it scrolls by itself; it can be reached by keys."""
    return f'<div class="scroll" tabindex="0">{html}</div>'


def table(
    caption: str, heads: Sequence[str], rows: Iterable[str], foot: str = "", *, of_text: Sequence[int] = ()
) -> str:
    """Return a table.

    Parameters
    ----------
    caption, heads
        Texts.
    rows, foot
        HTML of ``<tr>`` elements.
    of_text
        The columns whose head is above words, not numbers.
    """
    cells = ""
    for k, head in enumerate(heads):
        kind = ' class="text"' if k in of_text else ""
        cells += f'<th scope="col"{kind}>{text(head)}</th>' if head else "<td></td>"
    return (
        f"<table><caption>{text(caption)}</caption><thead><tr>{cells}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody>{f'<tfoot>{foot}</tfoot>' if foot else ''}</table>"
    )


def cell(content: str, is_text: bool = False) -> str:
    """Return a cell of a table with a text in it."""
    return f'<td class="text">{text(content)}</td>' if is_text else f"<td>{text(content)}</td>"


def shade(strength: float) -> str:
    """Return the style of a cell that is the bluer the nearer to 1 the strength is."""
    colour = ";color:#fff" if strength > 0.75 else ""
    return f"background:rgba(var(--blue),{strength:.3f}){colour}"


def terms(items: Iterable[tuple[str, str, bool]]) -> str:
    """Return a list of names and values, those that were changed in bold."""
    kinds = {True: "changed", False: "same"}
    inner = "".join(
        f'<div class="{kinds[changed]}"><dt>{text(name)}</dt><dd>{text(value)}</dd></div>'
        for name, value, changed in items
    )
    return f'<dl class="settings">{inner}</dl>'


def text(content: str) -> str:
    """Return text as HTML shows it, control characters written out."""
    return escape(printable(content))
