"""Which curves belong on which chart, and the per-policy table of the Buffer tab."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.text import Text

from tuitrain.protocol import PolicyView
from tuitrain.tui.store import CurveView
from tuitrain.tui.text import NA, Column, age, bar, clip, count, number, percent, rate, safe, table
from tuitrain.tui.view import Draw, View
from tuitrain.tui.widgets.line_chart import Line, Pattern, draw_chart

_PATTERNS: tuple[Pattern, ...] = ("solid", "dash", "dot", "dashdot")
ROOMY = 60
"""Cells of a chart from which on its legend has room for more than the series."""
X_UNITS = {"steps": "env steps", "updates": "updates", "wall_s": "time"}


@dataclass(frozen=True)
class Shown:
    """One curve of a chart: a field of a record kind."""

    label: str
    kind: str
    field: str
    best: bool = False
    """Show the running maximum instead of the values."""


@dataclass(frozen=True)
class Chart:
    """A chart of the screen."""

    title: str
    curves: tuple[Shown, ...]
    unit: str = ""
    log_y: bool = False


RETURN = Chart(
    "Return",
    (
        Shown("train", "train", "return_mean"),
        Shown("eval", "eval", "return_mean"),
        Shown("best", "eval", "return_mean", best=True),
    ),
)
LOSS_TD = Chart(
    "Loss, |TD| p95",
    (Shown("loss", "learner", "loss"), Shown("|TD| p95", "learner", "td_p95")),
    log_y=True,
)
Q_VALUES = Chart(
    "Q", (Shown("Q mean", "learner", "q_mean"), Shown("max |Q|", "learner", "q_max_abs"))
)
LEARNING: tuple[Chart, ...] = (
    RETURN,
    Chart("Loss", (Shown("loss", "learner", "loss"),), log_y=True),
    Q_VALUES,
    Chart(
        "TD error",
        (Shown("|TD| mean", "learner", "td_abs_mean"), Shown("|TD| p95", "learner", "td_p95")),
        log_y=True,
    ),
    Chart("Gradient norm", (Shown("grad norm", "learner", "grad_norm"),), log_y=True),
    Chart("Learning rate", (Shown("lr", "learner", "lr"),)),
    Chart(
        "Episode length",
        (Shown("train", "train", "length_mean"), Shown("eval", "eval", "length_mean")),
        unit="st",
    ),
    Chart("Exploration", (Shown("ε", "train", "epsilon"),)),
)
REPLAY: tuple[Chart, ...] = (
    Chart("Age of sampled rows", (Shown("age p95", "learner", "sample_age_p95"),), unit="tr"),
    Chart(
        "Policy lag of sampled rows",
        (
            Shown("p50", "learner", "lag_updates_p50"),
            Shown("p95", "learner", "lag_updates_p95"),
        ),
        unit="u",
    ),
)


def running_best(values: CurveView) -> CurveView:
    """The highest value so far at every point; what is not finite is passed over."""
    if not values.value.size:
        return values
    finite = np.where(np.isfinite(values.value), values.value, -np.inf)
    best = np.maximum.accumulate(finite)
    best = np.where(np.isfinite(best), best, np.nan)
    first = int(np.argmax(np.isfinite(best))) if np.isfinite(best).any() else best.size
    cut = slice(first, None)
    return CurveView(values.steps[cut], values.updates[cut], values.wall_s[cut], best[cut])


def is_log(chart: Chart, view: View) -> bool:
    """Whether the chart's y axis is logarithmic now."""
    return chart.log_y if view.charts.log_y is None else view.charts.log_y


def chart_title(chart: Chart, view: View) -> str:
    """Title for the border: what, of which policy, over what."""
    label = view.policy_label()
    whose = f" · {label}" if label else ""
    return f"{chart.title}{' (log)' if is_log(chart, view) else ''}{whose}"


def drawer(chart: Chart) -> Draw:
    """The function that draws this chart."""

    def draw(view: View, width: int, height: int) -> list[Text]:
        lines = []
        for i, shown in enumerate(chart.curves):
            curve = view.curve(shown.kind, shown.field)
            if shown.best:
                curve = running_best(curve)
            lines.append(
                Line(
                    shown.label,
                    curve.x(view.charts.x_axis),
                    curve.value,
                    view.palette.series[i % len(view.palette.series)],
                    _PATTERNS[i % len(_PATTERNS)],
                )
            )
        return draw_chart(
            lines,
            width,
            height,
            x_unit=X_UNITS[view.charts.x_axis],
            y_unit=chart.unit,
            log_y=is_log(chart, view),
            time_x=view.charts.x_axis == "wall_s",
            ascii_only=view.ascii_only,
            dim=view.palette.dim,
            fail=view.palette.fail,
            head=_whose(view, width),
        )

    return draw


def _whose(view: View, width: int) -> str:
    """The policy of a chart without a title; its name alone where there is little room."""
    if not view.compact or len(view.policies()) < 2:
        return ""
    return view.policy_label(12) if width >= ROOMY else safe(view.policy_name(), 8)


def draw_policies(view: View, width: int, height: int) -> list[Text]:
    """One column per policy, one quantity a line."""
    palette = view.palette
    if view.snapshot is None or not view.snapshot.policies:
        return [clip(Text(f"replay {NA}", palette.dim, end=""), width)]
    policies = view.snapshot.policies
    chosen = view.policy_name()  # where there is no room for all, this one stays
    columns = [Column("", right=False)]
    columns += [
        Column(safe(p.name, 20), rank=0 if p.name == chosen else i + 1)
        for i, p in enumerate(policies)
    ]
    quantities = [_quantities(p) for p in policies]
    rows: list[list[Text | str]] = []
    for i, (label, _) in enumerate(quantities[0]):
        rows.append([Text(label, palette.dim, end=""), *(q[i][1] for q in quantities)])
    return table(columns, rows, width, palette.accent)


def _quantities(policy: PolicyView) -> list[tuple[str, str]]:
    held = policy.sampleable
    share = held / policy.capacity if held is not None and policy.capacity else None
    published = age(policy.published_age_s)
    lag50, lag95 = count(policy.lag_updates_p50), count(policy.lag_updates_p95)
    return [
        ("fill", f"{bar(share, 10)} {percent(share)}"),
        ("sampleable transitions", f"{count(held)} tr"if held is not None else NA),
        ("capacity", f"{count(policy.capacity)} tr" if policy.capacity else NA),
        ("committed transitions", f"{count(policy.transitions)} tr"),
        ("learning starts at", f"{count(policy.learning_starts)} tr"),
        ("updates", f"{count(policy.updates)} u"),
        ("update rate", rate(policy.updates_per_s, "u/s")),
        ("updates/transition asked for", number(policy.ratio_target)),
        ("updates/transition achieved", number(policy.ratio_achieved)),
        ("age of sampled rows p95", f"{count(policy.sample_age_p95)} tr"
         if policy.sample_age_p95 is not None else NA),
        ("policy lag p50 / p95", f"{lag50} / {lag95} u"),
        ("rows that begin no transition", count(policy.window_rejects)),
        ("weights version", f"v{policy.version}"),
        ("published", f"{published} ago" if published != NA else NA),
    ]  # fmt: skip
