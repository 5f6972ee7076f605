"""Charts as SVG, for a page or a notebook, in light and dark themes.

Text and axes take the colour of the text around them. A chart shows values under the pointer. This needs no
script, only the few CSS rules in `STYLE`, once per page.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.reporting.axes import Axis
from xpnet.text import printable

__all__ = ["BLUE", "GREEN", "ORANGE", "STYLE", "Mark", "Place", "Series", "chart", "thinned"]

BLUE, ORANGE, GREEN = "#3d85c6", "#d9711f", "#2f9e62"
"""Colours of lines, each with enough contrast on white and on black."""

MOST_POINTS = 600
"""Maximum number of points of a line: more than there are pixels would only make the page larger."""

STYLE = (
    ".xp-charts{display:grid;gap:1rem 1.5rem;"
    "grid-template-columns:repeat(auto-fill,minmax(min(310px,100%),1fr))}"
    ".xp-chart{display:block;width:100%;max-width:540px;height:auto}"
    ".xp-at text{fill:currentColor;pointer-events:none}.xp-at .h{text-anchor:end}"
    ".xp-at path{stroke:currentColor;stroke-opacity:.4;pointer-events:none}"
    ".xp-at .d{stroke-width:6;stroke-linecap:round;stroke-opacity:1}"
    ".xp-at g:hover *{visibility:visible}.xp-at:hover~.xp-names{visibility:hidden}"
)
"""CSS that shows the values under the pointer, and puts charts side by side if there is room."""

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 348, 62, 210  # of the plot
FONT = 'font-family="system-ui,-apple-system,Segoe UI,DejaVu Sans,sans-serif" font-size="12"'
LETTER = 6.5  # average width of a letter
DOTTED = 40  # maximum number of points for a line to have dots


class Series(NamedTuple):
    """One line of a chart, or its dots.

    Attributes
    ----------
    name
        Name in the legend; empty for no entry.
    x, y
        Its points; values that are not finite leave a gap.
    colour
        Colour of the line.
    style
        ``"line"``, with dots if they are few; ``"faint"``, ``"dashed"`` or ``"plain"``, without dots; or
        ``"dots"`` only.
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    colour: str = BLUE
    style: str = "line"


class Mark(NamedTuple):
    """A vertical line, with an optional label on top."""

    x: float
    label: str


class Place(NamedTuple):
    """What a chart shows for one position of the pointer.

    Attributes
    ----------
    x
        Position; it covers the range half-way to its neighbours.
    head
        Heading, such as ``"epoch 3, step 75"``.
    values
        A text for each series in the legend.
    at
        Values of ``y`` that are marked by a dot at ``x``.
    """

    x: float
    head: str
    values: Sequence[str]
    at: Sequence[float] = ()


def thinned(
    x: ArrayLike, y: ArrayLike, most: int = MOST_POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return fewer points of a line that looks the same: the lowest and the highest of each stretch."""
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(ys) <= most:
        return xs, ys
    kept: list[int] = []
    for part in np.array_split(np.arange(len(ys)), most // 2):
        known = part[np.isfinite(ys[part])]
        ends = (known[ys[known].argmin()], known[ys[known].argmax()]) if known.size else (part[0],)
        kept += sorted({int(end) for end in ends})
    return xs[kept], ys[kept]


def chart(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    marks: Sequence[Mark] = (),
    places: Sequence[Place] = (),
    note: str = "",
    lines: Sequence[tuple[float, float, float, float]] = (),
) -> str:
    """Return a chart as an SVG element.

    Parameters
    ----------
    title
        What the vertical axis shows.
    series
        Lines, drawn in this order: later ones lie on top.
    x, y
        The axes.
    marks
        Vertical lines.
    places
        Positions with values to show, from left to right.
    note
        Text at the right of the title, shown while the pointer is elsewhere.
    lines
        Straight lines for comparison, each from ``x, y`` to ``x, y``.
    """
    named = [s for s in series if s.name]
    spots = _spots(named, places)
    body = [
        f'<text x="8" y="16" font-weight="600" font-size="13">{_text(title)}</text>',
        *_grid(x, y),
        # Lines are clipped at the axes, with room for half a dot.
        _window(),
        *(_straight(line, x, y) for line in lines),
        *(text for s in series for text in _drawn(s, x, y)),
        "</svg>",
        *(text for mark in marks for text in _marked(mark, x)),
        *(_swatch(s, spot) for s, spot in zip(named, spots, strict=True)),
        *_under_pointer(places, spots, x, y),
        _names(note, named, spots),
    ]
    label = _text(f"{title}: {note}" if note else title)
    return (
        f'<svg class="xp-chart" width="{WIDTH}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{label}" fill="currentColor" {FONT}>{"".join(body)}</svg>'
    )


def _window() -> str:
    left, top, width, height = LEFT, TOP - 4, RIGHT - LEFT, BOTTOM - TOP + 8
    box = f'x="{left}" y="{top}" width="{width}" height="{height}"'
    return f'<svg {box} viewBox="{left} {top} {width} {height}">'


def _names(note: str, named: Sequence[Series], spots: Sequence[float]) -> str:
    """Return the text shown while the pointer is elsewhere."""
    at_right = f'<text x="{RIGHT}" y="16" text-anchor="end" fill-opacity=".75">{_text(note)}</text>'
    names = "".join(_at(s.name, spot) for s, spot in zip(named, spots, strict=True))
    return f'<g class="xp-names">{at_right}{names}</g>'


def _grid(x: Axis, y: Axis) -> Iterator[str]:
    """Yield the grid lines, the numbers along the axes, and the label of the horizontal axis."""
    ticks = y.ticks()
    heights = _down(y, ticks)
    lines = "".join(f"M{LEFT} {_short(at)}H{RIGHT}" for at in heights)
    yield f'<path d="{lines}" stroke="currentColor" stroke-opacity=".15"/>'
    yield f'<path d="M{LEFT} {BOTTOM}H{RIGHT}" stroke="currentColor" stroke-opacity=".5"/>'
    yield '<g text-anchor="end" fill-opacity=".75">'
    for tick, at in zip(ticks, heights, strict=True):
        yield f'<text x="{LEFT - 6}" y="{_short(at + 4)}">{_text(y.write(tick))}</text>'
    yield '</g><g text-anchor="middle" fill-opacity=".75">'
    across = x.ticks()
    for tick, at in zip(across, _across(x, across), strict=True):
        written = x.write(tick)
        middle = min(at, WIDTH - LETTER * len(written) / 2 - 2)  # the last one may be long
        yield f'<text x="{_short(middle)}" y="{BOTTOM + 17}">{_text(written)}</text>'
    yield f'<text x="{(LEFT + RIGHT) // 2}" y="{BOTTOM + 35}">{_text(x.label)}</text></g>'


def _drawn(series: Series, x: Axis, y: Axis) -> Iterator[str]:
    """Yield a line, with dots if they are few, because a single point would be invisible as a line."""
    xs, ys = (np.asarray(v, np.float64) for v in (series.x, series.y))
    few = np.isfinite(ys).sum() <= DOTTED
    if series.style != "dots":
        xs, ys = thinned(xs, ys)
    parts, points, line = [], [], False
    for across, down, known in zip(
        _across(x, xs), _down(y, ys), np.isfinite(xs) & np.isfinite(ys), strict=True
    ):
        if known:
            parts.append(f"{'L' if line else 'M'}{_short(across)} {_short(down)}")
            points.append(f"M{_short(across)} {_short(down)}h0")
        line = bool(known)
    common = f'fill="none" stroke="{series.colour}" stroke-linecap="round"'
    if series.style != "dots" and len(parts) > 1:
        looks = {
            "faint": 'stroke-width="1" stroke-opacity=".5"',
            "dashed": 'stroke-width="1.5" stroke-dasharray="4 4"',
        }.get(series.style, 'stroke-width="2"')
        yield f'<path d="{"".join(parts)}" {common} stroke-linejoin="round" {looks}/>'
    if series.style == "dots" or (few and series.style == "line") or len(parts) == 1:
        many = len(points) > 200
        size, strength = (4, ".45") if many else (5.5, "1")
        yield f'<path d="{"".join(points)}" {common} stroke-width="{size}" stroke-opacity="{strength}"/>'


def _straight(line: tuple[float, float, float, float], x: Axis, y: Axis) -> str:
    (x0, x1), (y0, y1) = _across(x, line[::2]), _down(y, line[1::2])
    ends = f"M{_short(x0)} {_short(y0)}L{_short(x1)} {_short(y1)}"
    return f'<path d="{ends}" stroke="currentColor" stroke-opacity=".5"/>'


def _marked(mark: Mark, x: Axis) -> Iterator[str]:
    (at,) = _across(x, [mark.x])
    yield (
        f'<path d="M{_short(at)} {TOP}V{BOTTOM}" stroke="currentColor" stroke-opacity=".6" '
        'stroke-dasharray="3 3"/>'
    )
    if not mark.label:
        return
    half = LETTER * len(mark.label) / 2
    middle = min(max(at, half + 4), WIDTH - half - 4)
    yield f'<text x="{_short(middle)}" y="{TOP - 5}" text-anchor="middle">{_text(mark.label)}</text>'


def _spots(named: Sequence[Series], places: Sequence[Place]) -> list[float]:
    """Return where the legend entries start; values are shown in their place."""
    spots, at = [], 8.0
    for k, series in enumerate(named):
        spots.append(at)
        widest = max([len(series.name), *(len(place.values[k]) for place in places)])
        at += 24 + LETTER * widest + 12
    return spots


def _swatch(series: Series, spot: float) -> str:
    dashes = ' stroke-dasharray="4 4"' if series.style == "dashed" else ""
    faint = ' stroke-opacity=".45"' if series.style == "faint" else ""
    return (
        f'<path d="M{_short(spot)} 33h16" stroke="{series.colour}" stroke-width="3" '
        f'stroke-linecap="round"{dashes}{faint}/>'
    )


def _under_pointer(places: Sequence[Place], spots: Sequence[float], x: Axis, y: Axis) -> Iterator[str]:
    """Yield what appears when the pointer is at each place: a line, dots and values."""
    if not places:
        return
    at = _across(x, [place.x for place in places])
    between = [LEFT - 8, *((at[1:] + at[:-1]) / 2), WIDTH]
    yield '<g class="xp-at" fill="none" visibility="hidden" pointer-events="all">'
    for k, place in enumerate(places):
        left, right = between[k], between[k + 1]
        seen = [value for value in place.at if y.low <= value <= y.high]
        dots = "".join(f"M{_short(at[k])} {_short(down)}h0" for down in _down(y, seen))
        yield (
            f'<g><rect x="{_short(left)}" y="{TOP}" width="{_short(right - left)}" height="{BOTTOM - TOP}"/>'
            f'<path d="M{_short(at[k])} {TOP}V{BOTTOM}"/>'
            + (f'<path class="d" d="{dots}"/>' if dots else "")
            + f'<text class="h" x="{RIGHT}" y="16">{_text(place.head)}</text>'
            + "".join(_at(value, spot) for value, spot in zip(place.values, spots, strict=True))
            + "</g>"
        )
    yield "</g>"


def _at(text: str, spot: float) -> str:
    return f'<text x="{_short(spot + 22)}" y="37">{_text(text)}</text>'


def _across(x: Axis, values: ArrayLike) -> NDArray[np.float64]:
    return LEFT + 4 + (RIGHT - LEFT - 8) * x.parts(values)


def _down(y: Axis, values: ArrayLike) -> NDArray[np.float64]:
    return BOTTOM - (BOTTOM - TOP) * y.parts(values)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(text: str) -> str:
    return escape(printable(text))
