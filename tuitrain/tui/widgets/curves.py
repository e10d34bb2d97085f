"""From what is known of a run to the lines of a chart: whose curves, which part, how drawn."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from rich.text import Text

from tuitrain.tui.curve import EMPTY, CurveView
from tuitrain.tui.marks import GLYPH, place
from tuitrain.tui.text import count, safe
from tuitrain.tui.view import Compared, Draw, View
from tuitrain.tui.widgets.axes import time_label
from tuitrain.tui.widgets.charts import MOST_POLICIES, Chart, Shown
from tuitrain.tui.widgets.line_chart import Band, Line, Look, Tick, draw_chart
from tuitrain.tui.widgets.raster import Pattern
from tuitrain.tui.widgets.smoothing import ordered, smoothed

_PATTERNS: tuple[Pattern, ...] = ("solid", "dash", "dot", "dashdot", "dashdots")
"""Not as many as there are colours, so that both together tell more curves apart."""
ROOMY = 60
"""Cells of a chart from which on its legend has room for more than the series."""
LONGER = 0.02
"""Share of this run's x axis by which another must go on to count as longer."""
X_UNITS = {"steps": "env steps", "updates": "updates", "wall_s": "time"}


def running_best(values: CurveView) -> CurveView:
    """The highest value so far at every point; what is not finite is passed over."""
    finite = np.where(np.isfinite(values.high), values.high, -np.inf)
    best = np.maximum.accumulate(finite)
    best = np.where(np.isfinite(best), best, np.nan)
    cut = slice(int(np.count_nonzero(np.isnan(best))), None)  # they all come first
    best = best[cut]
    return CurveView(values.steps[cut], values.updates[cut], values.wall_s[cut],
                     best, best, best, values.count[cut], np.zeros(best.size))  # fmt: skip


def is_log(chart: Chart, view: View) -> bool:
    """Whether the chart's y axis is logarithmic now."""
    return chart.log_y if view.charts.log_y is None else view.charts.log_y


def chart_title(chart: Chart, view: View) -> str:
    """Title for the border: what, of which policy, how much of it."""
    shown = shown_policies(view)
    label = view.policy_label()
    if len(shown) > 1:
        total = len(view.policies())
        many = f"all {total}" if len(shown) == total else f"{len(shown)} of {total}"
        label = f"{main_curve(chart, view).label}, {many} policies"
    whose = f" · {label}" if label else ""
    zoom = f" · x ×{2**view.charts.zoom}" if view.charts.zoom > 0 else ""
    return f"{chart.title}{' (log)' if is_log(chart, view) else ''}{whose}{zoom}"


def shown_policies(view: View) -> list[str]:
    """Those with a line of their own on every chart, the chosen one first."""
    chosen = view.policy_name()
    if not view.charts.all_policies:
        return [chosen]
    others = [name for name in view.policies() if name != chosen]
    return [chosen, *others[: MOST_POLICIES - 1]]


def main_curve(chart: Chart, view: View) -> Shown:
    """The curve that stands for the chart: its main one, or the first that anybody has."""
    candidates = (chart.curves[chart.main], *chart.curves)
    names = view.policies()
    for shown in candidates:
        if any((name, shown.kind, shown.field) in view.curves for name in names):
            return shown
    return candidates[0]


def drawer(chart: Chart) -> Draw:
    """The function that draws this chart."""

    def draw(view: View, width: int, height: int) -> list[Text]:
        shown, (part, cut) = shown_policies(view), _part(view)
        lines = _of_one(chart, view) if len(shown) == 1 else _of_many(chart, view, shown)
        if view.compared is not None:
            end = part[1] if part is not None and cut else np.inf
            lines.append(_of_other(chart, view, view.compared, end))
        look = Look(
            x_unit=X_UNITS[view.charts.x_axis] + (" →" if cut else ""),
            y_unit=chart.unit,
            log_y=is_log(chart, view),
            time_x=view.charts.x_axis == "wall_s",
            ascii_only=view.ascii_only,
            dim=view.palette.dim,
            fail=view.palette.fail,
            head=_head(chart, view, width),
            window=part,
            ticks=ticks(view),
        )
        return draw_chart(lines, width, height, look)

    return draw


def _of_one(chart: Chart, view: View) -> list[Line]:
    """All curves of the chosen policy, what was measured behind their means."""
    lines = []
    for i, shown in enumerate(chart.curves):
        curve = view.curve(shown.kind, shown.field)
        colour = view.palette.series[i % len(view.palette.series)]
        line = _line(shown, curve, view, shown.label, colour, _PATTERNS[i % len(_PATTERNS)])
        lines.append(line if shown.single else replace(line, band=_band(shown, curve, view)))
    return lines


def _of_many(chart: Chart, view: View, names: list[str]) -> list[Line]:
    """The main curve of every policy, each with a colour and pattern that stay its own."""
    shown, lines, places = main_curve(chart, view), [], view.policies()
    for name in names:
        i = places.index(name)
        curve = view.curve(shown.kind, shown.field, name)
        colour = view.palette.series[i % len(view.palette.series)]
        pattern = _PATTERNS[i % len(_PATTERNS)]
        line = _line(shown, curve, view, safe(name, 16), colour, pattern)
        lines.append(replace(line, bold=name == names[0]))
    return lines


def _of_other(chart: Chart, view: View, other: Compared, end: float) -> Line:
    """The main curve of the other run, which looks like none of this one's.

    Args:
        end: of what is shown.
    """
    shown = main_curve(chart, view)
    curve = other.of(view.policy_name()).get((shown.kind, shown.field), EMPTY)
    name = safe(other.name, 24) + (f" {shown.label}" if len(chart.curves) > 1 else "")
    line = _line(shown, curve, view, name, view.palette.dim, "faint")
    ends = line.x[np.isfinite(line.x)][-1:]
    if not ends.size or ends[0] <= end:
        return line
    write = time_label if view.charts.x_axis == "wall_s" else count
    return replace(line, newest_at=f"at {write(float(ends[0]))}")


def _line(
    shown: Shown, curve: CurveView, view: View, name: str, style: str, pattern: Pattern
) -> Line:
    if shown.best:
        curve = running_best(curve)
    x, curve = ordered(curve, view.charts.x_axis)
    y = curve.value
    if not shown.single:
        x, y = smoothed(x, curve)
    return Line(name, x, y, style, pattern, curve.newest)


def _band(shown: Shown, curve: CurveView, view: View) -> Band:
    """From the lowest to the highest of what was measured."""
    low = high = curve
    if shown.span is not None:
        lowest, highest = (view.curve(shown.kind, field) for field in shown.span)
        if lowest.value.size == highest.value.size == curve.value.size:
            low, high = lowest, highest
    x, both = ordered(replace(curve, low=low.low, high=high.high), view.charts.x_axis)
    return Band(x, both.low, both.high)


def x_range(view: View) -> tuple[float, float] | None:
    """From the first to the last place on the x axis of any curve of this run that may be shown."""
    names = set(shown_policies(view))
    return _ends([curve for key, curve in view.curves.items() if key[0] in names], view)


def _ends(curves: list[CurveView], view: View) -> tuple[float, float] | None:
    found = [curve.x(view.charts.x_axis) for curve in curves]
    found = [x[np.isfinite(x)] for x in found]
    ends = [(float(x.min()), float(x.max())) for x in found if x.size]
    if not ends:
        return None
    return min(low for low, _ in ends), max(high for _, high in ends)


def goes_on_to(view: View) -> float | None:
    """Where the other run ends on the x axis, if it goes on where this one ends."""
    own = x_range(view)
    if view.compared is None or own is None:
        return None
    other = _ends(list(view.compared.of(view.policy_name()).values()), view)
    if other is None or other[1] <= own[1] + LONGER * (own[1] - own[0]):
        return None
    return other[1]


def window(view: View) -> tuple[float, float] | None:
    """The part of the x axis that all charts show; None: each all of its own.

    Beside a run that goes on where this one ends it is this one's: else a young run would be a
    sliver beside an old one.
    """
    return _part(view)[0]


@lru_cache(maxsize=1)  # for all charts of a redraw
def _part(view: View) -> tuple[tuple[float, float] | None, bool]:
    """The same, and whether the other run goes on beyond it."""
    zoom = view.charts.zoom
    if zoom < 0 or (zoom == 0 and view.compared is None):
        return None, False
    own, beyond = x_range(view), goes_on_to(view)
    if own is None or not own[1] > own[0] or (zoom == 0 and beyond is None):
        return None, False
    low, high = own
    width = (high - low) / 2**zoom
    last = high if beyond is None else beyond
    end = high if view.charts.at is None else min(last, max(low + width, view.charts.at))
    return (end - width, end), beyond is not None and end < beyond


def ticks(view: View) -> list[Tick]:
    """What happened to the run, by where the chosen policy was then."""
    times = view.times.get(view.policy_name(), EMPTY)
    found = ((mark, place(mark, times, view.charts.x_axis)) for mark in view.marks)
    return [Tick(x, GLYPH[mark.kind], mark.kind) for mark, x in found if x is not None]


def _head(chart: Chart, view: View, width: int) -> str:
    """What a chart without a title shows: whose curves, or of all policies which one.

    The policy's name alone where there is little room; of one policy the title, where there is.
    """
    if not view.compact:
        return ""
    if len(view.policies()) < 2:
        return chart.title if width >= ROOMY else ""
    if view.charts.all_policies:
        return main_curve(chart, view).label
    return view.policy_label(12) if width >= ROOMY else safe(view.policy_name(), 8)
