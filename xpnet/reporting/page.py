"""Self-contained HTML pages: what the reports of a run and of a sweep have in common.

All text is escaped here, and pictures are embedded. The page's content security policy allows a browser to
load nothing, and to run only the script whose checksum it names.
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
"""Script that sorts a table of the class ``sortable`` when a button in its header is pressed."""


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
        Texts at the top.
    cards
        Main figures: names and values.
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
    # A path may contain bytes that are not text.
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
    """Return HTML in a box that scrolls sideways if it is wider than the page; also by keyboard."""
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
        Columns that hold words, not numbers.
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
    """Return a table cell that contains a text."""
    return f'<td class="text">{text(content)}</td>' if is_text else f"<td>{text(content)}</td>"


def shade(strength: float) -> str:
    """Return the style of a cell: the closer the strength is to 1, the bluer."""
    colour = ";color:#fff" if strength > 0.75 else ""
    return f"background:rgba(var(--blue),{strength:.3f}){colour}"


def terms(items: Iterable[tuple[str, str, bool]]) -> str:
    """Return a list of names and values, with changed ones in bold."""
    kinds = {True: "changed", False: "same"}
    inner = "".join(
        f'<div class="{kinds[changed]}"><dt>{text(name)}</dt><dd>{text(value)}</dd></div>'
        for name, value, changed in items
    )
    return f'<dl class="settings">{inner}</dl>'


def text(content: str) -> str:
    """Return text escaped for HTML, with control characters written out."""
    return escape(printable(content))
