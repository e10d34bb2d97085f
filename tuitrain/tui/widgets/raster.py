"""Series on a grid of pixels: lines with patterns, bands, and what lies in a window of x. Pure."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tuitrain.tui.widgets.axes import LIMIT, Axis

Pattern = Literal["solid", "dash", "dot", "dashdot", "dashdots", "faint"]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_PERIOD: dict[Pattern, tuple[bool, ...]] = {
    "solid": (True,),
    "dash": (True, True, True, True, False, False),
    "dot": (True, False, False),
    "dashdot": (True, True, True, True, False, False, True, False, False),
    "dashdots": (
        True,
        True,
        True,
        True,
        False,
        False,
        True,
        False,
        False,
        True,
        False,
        False,
    ),
    "faint": (True, True, False, False, False),
}


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
    column = columns_of(x, x_axis, width)
    good = np.isfinite(y)
    if not good.all():
        bad = ~good
        marks[column[bad]] = -1
        marks[column[np.isposinf(y)]] = 1
    piece = np.cumsum(~good)[good]
    column = column[good]
    if column.size == 0:
        return dots, marks
    row = rows_of(y[good], y_axis, height)

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


def columns_of(x: Floats, x_axis: Axis, width: int) -> NDArray[np.int64]:
    """The pixel column of every x, int64[n]; what lies outside the axis is put at its edge."""
    place = np.clip(np.rint(x_axis.place(x) * (width - 1)), 0, width - 1)
    return place.astype(np.int64)


def rows_of(y: Floats, y_axis: Axis, height: int) -> NDArray[np.int64]:
    """The pixel row of every finite y, int64[n], 0 at the top."""
    place = np.clip(y_axis.place(np.clip(y, -LIMIT, LIMIT)), 0.0, 1.0)
    return np.rint((1.0 - place) * (height - 1)).astype(np.int64)


def raster_band(
    x: Floats, low: Floats, high: Floats, x_axis: Axis, y_axis: Axis, width: int, height: int
) -> Bools:
    """The area from the lowest ``low`` to the highest ``high`` of every column, sparsely dotted.

    Args:
        x: float64[n], sorted and finite.
        low: float64[n].
        high: float64[n]. Where either is not finite there is no band.

    Returns:
        dots bool[height, width], a quarter of the area.
    """
    dots = np.zeros((height, width), dtype=bool)
    good = np.isfinite(low) & np.isfinite(high)
    if width <= 0 or height <= 0 or not good.any():
        return dots
    column = columns_of(x, x_axis, width)
    gap = np.zeros(width, dtype=bool)
    gap[column[~good]] = True
    column = column[good]
    gap[column] = False
    first = np.flatnonzero(np.diff(column, prepend=-1))
    at = column[first]
    top = np.minimum.reduceat(rows_of(high[good], y_axis, height), first)
    bottom = np.maximum.reduceat(rows_of(low[good], y_axis, height), first)
    between = np.arange(at[0], at[-1] + 1)
    rows = np.arange(height)[:, None]
    inside = (rows >= np.interp(between, at, top)) & (rows <= np.interp(between, at, bottom))
    dots[:, between] = inside & (rows % 2 == 0) & (between % 2 == 0)
    dots[:, gap] = False
    return dots


def within(x: Floats, y: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """The part of a line with x in [low, high], cut where it crosses the edges.

    Args:
        x: float64[n], sorted and finite.
        y: float64[n].
    """
    start, end = int(np.searchsorted(x, low, "left")), int(np.searchsorted(x, high, "right"))
    xs, ys = [x[start:end]], [y[start:end]]
    for edge, after in ((low, start), (high, end)):
        if not 0 < after < x.size or x[after - 1] == edge or x[after] == edge:
            continue
        pair = np.clip(y[after - 1 : after + 1], -LIMIT, LIMIT)
        if np.isfinite(y[after - 1 : after + 1]).all():
            value = np.interp([edge], x[after - 1 : after + 1], pair)
            place = 0 if edge == low else len(xs)
            xs.insert(place, np.array([edge]))
            ys.insert(place, value)
    return np.concatenate(xs), np.concatenate(ys)
