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
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuitrain.tui.text import clip, number
from tuitrain.tui.widgets.axes import (
    LIMIT,
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

Pattern = Literal["solid", "dash", "dot", "dashdot"]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
_SAMPLE: dict[Pattern, str] = {"solid": "──", "dash": "╌╌", "dot": "┈┈", "dashdot": "┄─"}
_ASCII_MARK: dict[Pattern, str] = {"solid": "*", "dash": "+", "dot": "o", "dashdot": "x"}
_PERIOD: dict[Pattern, tuple[bool, ...]] = {
    "solid": (True,),
    "dash": (True, True, True, True, False, False),
    "dot": (True, False, False),
    "dashdot": (True, True, True, True, False, False, True, False, False),
}


@dataclass(frozen=True)
class Line:
    """One series. ``x`` and ``y`` are float64[n]; any value may be NaN or infinite."""

    name: str
    x: Floats
    y: Floats
    style: str = ""
    pattern: Pattern = "solid"


def raster(
    x: Floats, y: Floats, x_axis: Axis, y_axis: Axis, width: int, height: int, pattern: Pattern
) -> tuple[Bools, NDArray[np.int8]]:
    """Draw one series on ``width`` × ``height`` pixels.

    Args:
        x: float64[n], sorted and finite.
        y: float64[n]; what is not finite breaks the line.

    Returns:
        dots bool[height, width], and marks int8[width]: 1 where a value was +inf, -1 where it was
        -inf or NaN, else 0.
    """
    dots = np.zeros((height, width), dtype=bool)
    marks = np.zeros(width, dtype=np.int8)
    if x.size == 0 or width <= 0 or height <= 0:
        return dots, marks
    column = np.clip(np.rint(x_axis.place(x) * (width - 1)), 0, width - 1).astype(np.int64)
    good = np.isfinite(y)
    if not good.all():
        bad = ~good
        marks[column[bad]] = -1
        marks[column[np.isposinf(y)]] = 1
    piece = np.cumsum(~good)[good]
    column = column[good]
    if column.size == 0:
        return dots, marks
    place = np.clip(y_axis.place(np.clip(y[good], -LIMIT, LIMIT)), 0.0, 1.0)
    row = np.rint((1.0 - place) * (height - 1)).astype(np.int64)

    starts = np.flatnonzero(np.diff(column, prepend=-1))
    ends = np.append(starts[1:], column.size) - 1
    at = column[starts]
    top = np.full(width, height, dtype=np.int64)
    bottom = np.full(width, -1, dtype=np.int64)
    top[at] = np.minimum.reduceat(row, starts)
    bottom[at] = np.maximum.reduceat(row, starts)
    shown = np.zeros(width, dtype=bool)
    shown[at] = True
    sparse = at.size * 4 < width

    joined = piece[starts[1:]] == piece[ends[:-1]]
    left, right = at[:-1][joined], at[1:][joined]
    first, last = row[ends[:-1]][joined], row[starts[1:]][joined]
    # The row at which each line enters and leaves the step from a column to the next.
    here = np.full(width, -1, dtype=np.int64)
    there = np.full(width, -1, dtype=np.int64)
    near = right == left + 1
    here[left[near]], there[left[near]] = first[near], last[near]
    for a, b, start, end in zip(
        left[~near], right[~near], first[~near], last[~near], strict=True
    ):  # at most one turn per two pixel columns
        path = np.rint(np.linspace(start, end, b - a + 1)).astype(np.int64)
        here[a:b], there[a:b] = path[:-1], path[1:]
    step = np.flatnonzero(here >= 0)
    here, there = here[step], there[step]
    half = (here + there) // 2
    far = np.where(there < here, half + 1, half)
    top[step] = np.minimum(top[step], np.minimum(here, far))
    bottom[step] = np.maximum(bottom[step], np.maximum(here, far))
    close = np.where(there > here, half + 1, half)
    step = step + 1
    top[step] = np.minimum(top[step], np.minimum(there, close))
    bottom[step] = np.maximum(bottom[step], np.maximum(there, close))
    rows = np.arange(height)[:, None]
    dots = (rows >= top) & (rows <= bottom)
    period = _PERIOD[pattern]
    pen = np.resize(np.array(period, dtype=bool), width)
    if sparse:
        pen |= shown  # a point of a sparse series is never hidden by its pattern
    else:
        lonely = shown & (top == bottom)
        lonely &= ~np.roll(shown, 1) & ~np.roll(shown, -1)
        pen |= lonely
    return dots & pen, marks


@dataclass
class _Canvas:
    """Characters and their styles, one cell each."""

    width: int
    height: int

    def __post_init__(self) -> None:
        self.code = np.full((self.height, self.width), ord(" "), dtype=np.uint32)
        self.pen = np.full((self.height, self.width), -1, dtype=np.int16)

    def lines(self, styles: Sequence[str]) -> list[Text]:
        out = []
        for row in range(self.height):
            text = self.code[row].tobytes().decode("utf-32-le")
            line = Text(text, end="")
            pen = self.pen[row]
            edges = [0, *(np.flatnonzero(np.diff(pen)) + 1).tolist(), self.width]
            for left, right in itertools.pairwise(edges):
                if right > left and pen[left] >= 0 and styles[pen[left]]:
                    line.stylize(styles[pen[left]], left, right)
            out.append(line)
        return out


def draw_chart(
    lines: Sequence[Line],
    width: int,
    height: int,
    *,
    x_unit: str = "",
    y_unit: str = "",
    log_y: bool = False,
    time_x: bool = False,
    ascii_only: bool = False,
    dim: str = "",
    fail: str = "",
    head: str = "",
) -> list[Text]:
    """A chart of exactly ``height`` lines of at most ``width`` cells.

    The first line is the legend (``head``, then pattern, name and newest value of each series),
    the last the x axis.
    With ``log_y`` values ≤ 0 are left out and counted in the legend. Works at any size: where
    there is no room for a plot, only the legend is drawn; where there is no room at all, nothing.
    """
    if width <= 0 or height <= 0:
        return []
    with np.errstate(all="ignore"):
        return _draw(
            lines, width, height, x_unit, y_unit, log_y, time_x, ascii_only, dim, fail, head
        )


def _prepare(line: Line, log_y: bool) -> tuple[Floats, Floats, int]:
    n = min(line.x.size, line.y.size)
    x, y = np.asarray(line.x[:n], np.float64), np.asarray(line.y[:n], np.float64)
    keep = np.isfinite(x)
    hidden = 0
    if log_y:
        positive = ~(y <= 0)  # NaN and +inf stay, to be marked
        hidden = int(np.count_nonzero(~positive & keep))
        keep = keep & positive
        y = np.log10(np.where(positive, y, 1.0))
    if not keep.all():
        x, y = x[keep], y[keep]
    if x.size > 1 and not (x[1:] >= x[:-1]).all():
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    return x, y, hidden


def legend(
    lines: Sequence[Line], width: int, hidden: int, y_unit: str, ascii_only: bool, dim: str,
    head: str = "",
) -> Text:  # fmt: skip
    """Pattern, name and newest value of every series; how many values a log axis hides."""
    out = Text(head, "bold", end="") if head else Text(end="")
    for line in lines:
        if out:
            out.append("  ")
        sample = _ASCII_MARK[line.pattern] if ascii_only else _SAMPLE[line.pattern]
        out.append(sample + " ", line.style)
        out.append(line.name)
        newest = number(float(line.y[-1])) if line.y.size else "n/a"
        out.append(f" {newest}", line.style if line.y.size else dim)
        if y_unit and line.y.size:
            out.append(f" {y_unit}", dim)
    if hidden:
        out.append(f"  {hidden} value{'s' * (hidden != 1)} ≤ 0 not on log axis", dim)
    return clip(out, width)


def _draw(
    lines: Sequence[Line],
    width: int,
    height: int,
    x_unit: str,
    y_unit: str,
    log_y: bool,
    time_x: bool,
    ascii_only: bool,
    dim: str,
    fail: str,
    head: str,
) -> list[Text]:
    ready = [_prepare(line, log_y) for line in lines]
    hidden = sum(h for _, _, h in ready)
    top = legend(lines, width, hidden, y_unit, ascii_only, dim, head)
    plot_rows = height - 2
    x_axis = span_of([x for x, _, _ in ready])
    if x_axis is not None and not any(x.size and x[-1] > x[0] for x, _, _ in ready):
        only = next(float(x[0]) for x, _, _ in ready if x.size)
        x_axis = Axis(min(0.0, only), max(0.0, only)) if only else Axis(0.0, 1.0)
    if plot_rows < 1 or width < 12:
        return _fill([top], height)
    if x_axis is None:
        middle = Text(end="")
        middle.append("no data yet".center(width).rstrip(), dim)
        return _fill([top, *[Text(end="")] * (plot_rows // 2), middle], height)
    y_axis = span_of([y for _, y, _ in ready], pad=0.04) or Axis(0.0, 1.0)
    most = max(2, plot_rows // 3) if plot_rows > 1 else 1
    if log_y:
        ticks = log_ticks(y_axis.low, y_axis.high, most)
        labels = [short_label(power_of_ten(t)) for t in ticks]
    else:
        ticks = nice_ticks(y_axis.low, y_axis.high, most)
        labels = tick_labels(ticks)
    margin = min(max((len(s) for s in labels), default=0), width // 3)
    cols = width - margin - 1
    canvas = _Canvas(cols, plot_rows)
    _plot(canvas, lines, ready, x_axis, y_axis, ascii_only)

    styles = [*(line.style for line in lines), fail or "bold"]
    body = canvas.lines(styles)
    named: dict[int, str] = {}
    for tick, label in zip(ticks, labels, strict=True):
        place = float(y_axis.place(np.array([tick]))[0])
        named.setdefault(round((1.0 - place) * (plot_rows - 1)), label)
    out = [top]
    for row, text in enumerate(body):
        label = named.get(row, "")[:margin]
        line = Text(end="")
        line.append(f"{label:>{margin}}{'┤' if label else '│'}", dim)
        line.append_text(text)
        out.append(line)
    out.append(_x_line(x_axis, margin, cols, x_unit, time_x, dim))
    return _fill(out, height)


def _plot(
    canvas: _Canvas,
    lines: Sequence[Line],
    ready: Sequence[tuple[Floats, Floats, int]],
    x_axis: Axis,
    y_axis: Axis,
    ascii_only: bool,
) -> None:
    """Draw every series, the first on top, then the marks of what is not finite."""
    cols, rows = canvas.width, canvas.height
    fine_x, fine_y = (1, 1) if ascii_only else (2, 4)
    bits = np.zeros((rows, cols), dtype=np.uint8)
    marked: list[tuple[int, int]] = []
    for index in range(len(lines) - 1, -1, -1):
        x, y, _ = ready[index]
        dots, marks = raster(
            x, y, x_axis, y_axis, cols * fine_x, rows * fine_y, lines[index].pattern
        )
        if ascii_only:
            canvas.code[dots] = ord(_ASCII_MARK[lines[index].pattern])
            canvas.pen[dots] = index
        else:
            cells = (dots.reshape(rows, 4, cols, 2) * _DOTS[None, :, None, :]).sum(
                axis=(1, 3), dtype=np.uint8
            )
            bits |= cells
            canvas.pen[cells > 0] = index
            canvas.code[bits > 0] = 0x2800 + bits[bits > 0].astype(np.uint32)
            if np.count_nonzero(np.isfinite(y)) == 1:
                row, column = (int(v[0]) for v in np.nonzero(cells))
                canvas.code[row, column] = ord("●")
        for column in np.flatnonzero(marks).tolist():
            marked.append((0 if marks[column] > 0 else rows - 1, column // fine_x))
    for row, column in marked:
        canvas.code[row, column] = ord("X" if ascii_only else "✖")
        canvas.pen[row, column] = len(lines)


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
