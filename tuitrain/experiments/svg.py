"""Line charts as inline SVG text, for pages that must open without network or libraries. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 28, 34
_ROOM = 0.04
"""Of the range of y, above and below: no line is drawn on the frame."""
COLORS = 10
"""Classes `c0` … `c9` of the page's style; after them they repeat, dashed."""
PATTERNS = 6
"""Classes `d1` … `d5` of the page's style, ways to break a line; 0 is unbroken. They repeat."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        number: which of the page's colours.
        points: (x, y) in the order of x; all finite.
        band: (x, low, high) around it, or none.
        pattern: which way of breaking the line, for lines of one colour; 0 is unbroken.
    """

    label: str
    number: int
    points: Points
    band: Sequence[tuple[float, float, float]] = ()
    pattern: int = 0


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, with a title that names the unit of y.

    Attributes:
        x_range: from where to where x goes; None is as far as there are points.
        beside: lines of another chart whose range of y this one is to have too.
    """

    title: str
    x_label: str
    series: Sequence[Series]
    x_range: tuple[float, float] | None = None
    beside: Sequence[Series] = ()


def color_class(number: int) -> str:
    """The classes of a colour: `c3`, or `c3 dashed` the second time round."""
    return f"c{number % COLORS}" + (" dashed" if number >= COLORS else "")


def sample(pattern: int) -> str:
    """A piece of a line of that pattern, for the key of a page."""
    kind = f"line{_pattern_class(pattern)}"
    return f'<svg viewBox="0 0 40 8"><line class="{kind}" x1="0" y1="4" x2="40" y2="4"/></svg>'


def _pattern_class(pattern: int) -> str:
    return f" d{pattern % PATTERNS}" if pattern % PATTERNS else ""


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` round numbers within [low, high], steps 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        return [low]
    least = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least))
    for factor in (1, 2, 5, 10, 20):
        step = factor * power
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [n * step for n in range(first, last + 1)]
    return [low]  # pragma: no cover - twenty times a sixth of the range leaves two at most


def compact(value: float) -> str:
    """`12k`, `1.5M`, `0.03`: short enough for an axis."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}" if abs(value) > 1e-12 else "0"


def svg(chart: Chart) -> str:
    """The chart as an `<svg>` element; "" where it has no point."""
    drawn = [s for s in chart.series if s.points]
    if not drawn:
        return ""
    x_low, x_high = chart.x_range or _range([x for s in drawn for x, _ in s.points])
    both = [*drawn, *chart.beside]
    ys = [y for s in both for _, y in s.points]
    ys += [y for s in both for _, low, high in s.band for y in (low, high)]
    y_low, y_high = _range(ys)
    room = _ROOM * (y_high - y_low)
    y_low, y_high = y_low - room, y_high + room

    def at(x: float, y: float) -> str:
        left = _LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)
        top = HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM)
        return f"{left:.1f},{top:.1f}"

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">',
        f'<text class="title" x="{_LEFT}" y="16">{escape(chart.title)}</text>',
    ]
    for tick in nice_ticks(y_low, y_high):
        (x0, y0), (x1, _) = (p.split(",") for p in (at(x_low, tick), at(x_high, tick)))
        parts.append(f'<line class="grid" x1="{x0}" y1="{y0}" x2="{x1}" y2="{y0}"/>')
        parts.append(f'<text class="tick y" x="{_LEFT - 6}" y="{y0}">{compact(tick)}</text>')
    for tick in nice_ticks(x_low, x_high, 5):
        x0, y0 = at(tick, y_low).split(",")
        parts.append(f'<line class="grid" x1="{x0}" y1="{_TOP}" x2="{x0}" y2="{y0}"/>')
        parts.append(
            f'<text class="tick x" x="{x0}" y="{HEIGHT - _BOTTOM + 14}">{compact(tick)}</text>'
        )
    parts.append(
        f'<text class="tick x" x="{(WIDTH + _LEFT) / 2:.0f}" y="{HEIGHT - 5}">'
        f"{escape(chart.x_label)}</text>"
    )
    for series in drawn:
        if series.band:
            there = [at(x, high) for x, _, high in series.band]
            back = [at(x, low) for x, low, _ in reversed(series.band)]
            kind = color_class(series.number)
            parts.append(f'<polygon class="band {kind}" points="{" ".join(there + back)}"/>')
    for series in drawn:
        title = f"<title>{escape(series.label)}</title>"
        kind = color_class(series.number)
        if len(series.points) == 1:
            x, y = at(*series.points[0]).split(",")
            parts.append(f'<circle class="dot {kind}" cx="{x}" cy="{y}" r="3">{title}</circle>')
            continue
        line = " ".join(at(x, y) for x, y in series.points)
        kind += _pattern_class(series.pattern)
        parts.append(f'<polyline class="line {kind}" points="{line}">{title}</polyline>')
    return "\n".join([*parts, "</svg>"])


def document(charts: Sequence[Chart], style: str) -> str:
    """Charts below one another as an SVG file of their own, each with a key of its lines.

    Args:
        style: CSS with the classes of lines and colours.
    """
    parts, top = [], 0
    for chart in charts:
        if not (drawn := svg(chart)):
            continue
        place = f'x="0" y="{top}" width="{WIDTH}" height="{HEIGHT}"'
        parts.append(drawn.replace("<svg ", f"<svg {place} ", 1))
        top += HEIGHT
        for series in chart.series:
            parts.append(
                f'<rect class="dot {color_class(series.number)}" x="{_LEFT}" y="{top}" '
                'width="10" height="10"/>'
                f'<text x="{_LEFT + 16}" y="{top + 9}">{escape(series.label)}</text>'
            )
            top += 18
        top += 12
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}">'
    white = (
        "svg { background: white; color: black; color-scheme: light; } "
        f"svg svg {{ height: {HEIGHT}px; width: {WIDTH}px; }}"
    )
    return "\n".join([head, f"<style>{escape(style)}\n{white}</style>", *parts, "</svg>", ""])


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        room = abs(low) * 0.05 or 1.0
        return low - room, high + room
    return low, high
