"""A line chart in braille dots, drawn with numpy.

General plotting widgets took 176 to 700 ms a redraw and failed on infinities, so the live panels
have their own: every pixel column shows the minimum and maximum of the points that fall on it,
neighbouring columns are joined, and a value that is not finite breaks the line and is marked ✖.
This module is pure: arrays in, lines of text out. It knows nothing of runs or of textual.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuitrain.tui.text import clip
from tuitrain.tui.widgets.axes import (
    Axis,
    log_ticks,
    nice_ticks,
    power_of_ten,
    short_label,
    span_of,
    tick_labels,
    time_label,
    time_ticks,
)
from tuitrain.tui.widgets.legend import ASCII_MARK, entry, pack
from tuitrain.tui.widgets.raster import (
    Bools,
    Floats,
    Pattern,
    columns_of,
    raster,
    raster_band,
    within,
)

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
_LEGEND_ROWS = ((16, 3), (10, 2), (0, 1))
"""From so many lines of a chart on its legend may take so many."""


@dataclass(frozen=True)
class Band:
    """What lies behind a line: float64[n] each, what is not finite is left out."""

    x: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Line:
    """One series. ``x`` and ``y`` are float64[n]; any value may be NaN or infinite."""

    name: str
    x: Floats
    y: Floats
    style: str = ""
    pattern: Pattern = "solid"
    newest: float | None = None
    """For the legend; None means the last of ``y``."""
    newest_at: str = ""
    """Where that is, if it is not on the chart."""
    band: Band | None = None
    bold: bool = False
    """Whether its name stands out in the legend."""


@dataclass(frozen=True)
class Tick:
    """Something that happened at a place on the x axis: a vertical line under a glyph."""

    x: float
    glyph: str
    word: str


@dataclass(frozen=True)
class Look:
    """How a chart is drawn, whatever is on it."""

    x_unit: str = ""
    y_unit: str = ""
    log_y: bool = False
    """Values ≤ 0 are left out and counted in the legend."""
    time_x: bool = False
    ascii_only: bool = False
    dim: str = ""
    fail: str = ""
    head: str = ""
    """First words of the legend."""
    window: tuple[float, float] | None = None
    """The x range that is shown; None: all of it."""
    ticks: Sequence[Tick] = ()


@dataclass
class _Ready:
    """A line and its band as they are drawn: sorted, finite in x, log10 of y if that is asked."""

    x: Floats
    y: Floats
    hidden: int
    band: Band | None

    def cut(self, low: float, high: float) -> _Ready:
        """The part in a window of x."""
        x, y = within(self.x, self.y, low, high)
        band = self.band
        if band is not None:  # and one more at each side, so that it goes on to the edge
            start = max(0, int(np.searchsorted(band.x, low, "left")) - 1)
            end = int(np.searchsorted(band.x, high, "right")) + 1
            band = Band(band.x[start:end], band.low[start:end], band.high[start:end])
        return _Ready(x, y, self.hidden, band)

    def heights(self) -> list[Floats]:
        """All that the y axis must have room for."""
        return [self.y] if self.band is None else [self.y, self.band.low, self.band.high]


@dataclass
class _Canvas:
    """Characters and their styles, one cell each."""

    width: int
    height: int

    def __post_init__(self) -> None:
        self.code = np.full((self.height, self.width), ord(" "), dtype=np.uint32)
        self.pen = np.full((self.height, self.width), -1, dtype=np.int16)
        self._columns = np.arange(self.width)

    def put(
        self, dots: Bools, pen: int, mark: int, bits: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Draw dots: of braille if they are 2 × 4 a cell, else of ``mark``.

        Args:
            dots: bool[rows × 1 or 4, columns × 1 or 2].
            pen: Index of the style.
            mark: Code of the character where there is one dot a cell.
            bits: uint8[rows, columns], what is drawn already and stays seen; the dots are added.

        Returns:
            uint8[rows, columns], not 0 where there is a dot.
        """
        if dots.shape == self.code.shape:
            cells = dots.astype(np.uint8)
            self.code[dots] = mark
            if bits is not None:
                bits |= cells
        else:
            fine = dots.reshape(self.height, 4, self.width, 2)
            cells = (fine * _DOTS[None, :, None, :]).sum(axis=(1, 3), dtype=np.uint8)
            seen = cells
            if bits is not None:
                bits |= cells
                seen = bits
            here = cells > 0
            self.code[here] = 0x2800 + seen[here].astype(np.uint32)
        self.pen[cells > 0] = pen
        return cells

    def lines(self, styles: Sequence[str]) -> list[Text]:
        """Blanks are drawn with the pen before them, where that does not show: in few pieces."""
        seen = np.array([-1 if "reverse" in style else i for i, style in enumerate(styles)])
        out = []
        for row in range(self.height):
            text = self.code[row].tobytes().decode("utf-32-le")
            line = Text(text, end="")
            pen = self.pen[row]
            before = np.maximum.accumulate(np.where(pen < 0, 0, self._columns))
            pen = np.where((pen < 0) & (pen[before] >= 0), seen[pen[before]], pen)
            edges = [0, *(np.flatnonzero(np.diff(pen)) + 1).tolist(), self.width]
            for left, right in itertools.pairwise(edges):
                if right > left and pen[left] >= 0 and styles[pen[left]]:
                    line.stylize(styles[pen[left]], left, right)
            out.append(line)
        return out


def draw_chart(
    lines: Sequence[Line], width: int, height: int, look: Look | None = None
) -> list[Text]:
    """A chart of exactly ``height`` lines of at most ``width`` cells.

    First comes the legend (``head``, then pattern, name and newest value of each series), last
    the x axis. The first line is drawn in front. Works at any size: where there is no room for a
    plot, only the legend is drawn; where there is no room at all, nothing.
    """
    if width <= 0 or height <= 0:
        return []
    with np.errstate(all="ignore"):
        return _draw(lines, width, height, look or Look())


def _prepare(line: Line, log_y: bool) -> _Ready:
    n = min(line.x.size, line.y.size)
    x, y = np.asarray(line.x[:n], np.float64), np.asarray(line.y[:n], np.float64)
    keep = np.isfinite(x)
    hidden, band = 0, line.band
    if log_y:
        positive = ~(y <= 0)  # NaN and +inf stay, to be marked
        hidden = int(np.count_nonzero(~positive & keep))
        keep = keep & positive
        y = np.log10(np.where(positive, y, 1.0))
        if band is not None:
            band = _log_band(band)
    if not keep.all():
        x, y = x[keep], y[keep]
    if x.size > 1 and not (x[1:] >= x[:-1]).all():
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    return _Ready(x, y, hidden, band)


def _log_band(band: Band) -> Band:
    """Its logarithms; what is below all positive values begins at the lowest of them."""
    high = np.where(band.high > 0, band.high, np.nan)
    positive = np.append(band.low[band.low > 0], high[high > 0])
    floor = float(positive.min()) if positive.size else 1.0
    return Band(band.x, np.log10(np.where(band.low > 0, band.low, floor)), np.log10(high))


def _legend(
    lines: Sequence[Line], ready: Sequence[_Ready], width: int, rows: int, look: Look
) -> list[Text]:
    series = [Text(look.head, "bold", end="")] if look.head else []
    for line in lines:
        newest = line.newest
        if newest is None and line.y.size:
            newest = float(line.y[-1])
        unit = " ".join(words for words in (look.y_unit, line.newest_at) if words)
        series.append(entry(line.name, newest, line.style, line.pattern, unit,
                            ascii_only=look.ascii_only, dim=look.dim, bold=line.bold))  # fmt: skip
    notes = []
    if hidden := sum(r.hidden for r in ready):
        words = f"{hidden} value{'s' * (hidden != 1)} ≤ 0 not on log axis"
        notes.append(Text(words, look.dim, end=""))
    low, high = look.window or (-np.inf, np.inf)
    known = dict.fromkeys((t.glyph, t.word) for t in look.ticks if low <= t.x <= high)
    notes += [Text(f"{glyph} {word}", look.dim, end="") for glyph, word in known]
    # last: what has happened comes first where there is not room for all
    if any(r.band is not None and np.any(r.band.high > r.band.low) for r in ready):
        notes.append(Text(f"{'..' if look.ascii_only else '⠕⠕'} min–max", look.dim, end=""))
    return pack(series, notes, width, rows)


def _draw(lines: Sequence[Line], width: int, height: int, look: Look) -> list[Text]:
    ready = [_prepare(line, look.log_y) for line in lines]
    rows = next(rows for least, rows in _LEGEND_ROWS if height >= least)
    top = _legend(lines, ready, width, rows, look)
    if look.window is not None:
        ready = [r.cut(*look.window) for r in ready]
    plot_rows = height - 1 - len(top)
    x_axis = span_of([r.x for r in ready])
    if plot_rows < 2 or width < 12:  # on one line every curve would be flat
        return _fill(top, height)
    if x_axis is None:
        words = "no data yet" if look.window is None else "nothing measured here"
        middle = clip(Text(words.center(width).rstrip(), look.dim, end=""), width)
        return _fill([*top, *[Text(end="")] * (plot_rows // 2), middle], height)
    if look.window is not None:
        x_axis = Axis(*look.window)
    elif len(places := {float(x) for r in ready if r.x.size for x in r.x[[0, -1]]}) == 1:
        (only,) = places
        x_axis = span_of([np.array([0.0, only])]) if only else None
        x_axis = x_axis or Axis(0.0, 1.0)
    y_axis = span_of([y for r in ready for y in r.heights()], pad=0.04) or Axis(0.0, 1.0)
    most = max(2, plot_rows // 3)
    if look.log_y:
        ticks = log_ticks(y_axis.low, y_axis.high, most)
        labels = [short_label(power_of_ten(t)) for t in ticks]
    else:
        ticks = nice_ticks(y_axis.low, y_axis.high, most)
        labels = tick_labels(ticks)
    margin = min(max((len(s) for s in labels), default=0), width // 3)
    canvas = _Canvas(width - margin - 1, plot_rows)
    _plot(canvas, lines, ready, x_axis, y_axis, look)

    body = canvas.lines(
        [*(line.style for line in lines), look.fail or "bold", look.dim,
         *(f"dim {line.style}" for line in lines)]
    )  # fmt: skip
    named: dict[int, str] = {}
    for tick, label in zip(ticks, labels, strict=True):
        place = float(y_axis.place(np.array([tick]))[0])
        named.setdefault(round((1.0 - place) * (plot_rows - 1)), label)
    out = top
    for row, text in enumerate(body):
        label = named.get(row, "")[:margin]
        line = Text(end="")
        line.append(f"{label:>{margin}}{'┤' if label else '│'}", look.dim)
        line.append_text(text)
        out.append(line)
    out.append(_x_line(x_axis, margin, canvas.width, look.x_unit, look.time_x, look.dim))
    return _fill(out, height)


def _plot(
    canvas: _Canvas,
    lines: Sequence[Line],
    ready: Sequence[_Ready],
    x_axis: Axis,
    y_axis: Axis,
    look: Look,
) -> None:
    """Draw bands, then every series, the first on top, ticks where there is room, then the marks
    of what is not finite. Pens: the lines, what is not finite, ticks, the bands."""
    cols, rows = canvas.width, canvas.height
    fine_x, fine_y = (1, 1) if look.ascii_only else (2, 4)
    wide, high = cols * fine_x, rows * fine_y
    for index in range(len(lines) - 1, -1, -1):
        band = ready[index].band
        if band is not None:
            dots = raster_band(band.x, band.low, band.high, x_axis, y_axis, wide, high)
            canvas.put(dots, len(lines) + 2 + index, ord("."))
    bits = np.zeros((rows, cols), dtype=np.uint8)
    marked: list[tuple[int, int]] = []
    for index in range(len(lines) - 1, -1, -1):
        x, y, pattern = ready[index].x, ready[index].y, lines[index].pattern
        dots, marks = raster(x, y, x_axis, y_axis, wide, high, pattern)
        cells = canvas.put(dots, index, ord(ASCII_MARK[pattern]), bits)
        if np.count_nonzero(np.isfinite(y)) == 1 and not look.ascii_only:
            row, column = (int(v[0]) for v in np.nonzero(cells))
            canvas.code[row, column] = ord("●")
        for column in np.flatnonzero(marks).tolist():
            marked.append((0 if marks[column] > 0 else rows - 1, column // fine_x))
    _tick(canvas, look.ticks, x_axis, len(lines) + 1, bits)
    for row, column in marked:
        canvas.code[row, column] = ord("X" if look.ascii_only else "✖")
        canvas.pen[row, column] = len(lines)


def _tick(
    canvas: _Canvas, ticks: Sequence[Tick], x_axis: Axis, pen: int, drawn: NDArray[np.uint8]
) -> None:
    """A glyph at the top, and a line below it where no series is."""
    for tick in ticks:
        if not x_axis.low <= tick.x <= x_axis.high:
            continue
        column = int(columns_of(np.array([tick.x]), x_axis, canvas.width)[0])
        free = drawn[:, column] == 0
        canvas.code[free, column] = ord("┊")
        canvas.pen[free, column] = pen
        canvas.code[0, column] = ord(tick.glyph)
        canvas.pen[0, column] = pen


def _x_line(x_axis: Axis, margin: int, cols: int, unit: str, time_x: bool, dim: str) -> Text:
    """The x axis with its tick labels written into the line, and its unit at the end."""
    most = max(2, cols // 14)
    ticks = (time_ticks if time_x else nice_ticks)(x_axis.low, x_axis.high, most)
    write: Callable[[Sequence[float]], list[str]] = (
        (lambda values: [time_label(v) for v in values]) if time_x else tick_labels
    )
    cells = ["─"] * cols
    tail = f" {unit}" if unit and len(unit) + 2 < cols else ""
    room = cols - len(tail)
    used = -1
    for tick, label in zip(ticks, write(ticks), strict=True):
        at = round(float(x_axis.place(np.array([tick]))[0]) * (cols - 1))
        start = max(0, min(at - len(label) // 2, room - len(label)))
        if start <= used or abs(start + len(label) // 2 - at) > len(label):
            continue
        cells[start : start + len(label)] = label
        used = start + len(label)
    text = "".join(cells)[:room] + tail
    return Text(" " * margin + "└" + text, dim, end="")


def _fill(lines: list[Text], height: int) -> list[Text]:
    return (lines + [Text(end="")] * height)[:height]
