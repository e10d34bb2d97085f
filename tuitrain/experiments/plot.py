"""The plot of a comparison, with matplotlib, which is an extra (`tuitrain[plots]`).

Curves are interquartile means over runs with bootstrap bands; beside them every run's score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuitrain.experiments.curves import Curve
from tuitrain.experiments.findings import MEASURES, Analysis
from tuitrain.experiments.statistics import Scores, iqm

HOW_TO_INSTALL = 'pip install "tuitrain[plots]"'
GRID_POINTS = 100
RESAMPLES = 1_000
TITLES = {"final": "final return", "area": "area under the curve"}
_BOOTSTRAP_SEED = 20210830


class NoMatplotlib(RuntimeError):
    """There is no matplotlib; the message says how to get it."""

    def __init__(self) -> None:
        super().__init__(f"plots of scores and PNG need matplotlib: {HOW_TO_INSTALL}")


def on_grid(curves: tuple[Curve, ...], low: float, high: float) -> tuple[Scores, Scores]:
    """Curves at common step counts, linearly interpolated.

    Returns:
        float64[P] steps and float64[runs, P] returns.
    """
    steps = np.linspace(low, high, GRID_POINTS)
    return steps, np.array([np.interp(steps, c.steps, c.returns) for c in curves])


def common_grid(curves: tuple[Curve, ...]) -> tuple[Scores, Scores]:
    """``on_grid`` over the steps that all curves have."""
    low = max(float(c.steps[0]) for c in curves)
    return on_grid(curves, low, min(float(c.steps[-1]) for c in curves))


def band(returns: Scores, rng: np.random.Generator) -> tuple[Scores, Scores]:
    """95 % bootstrap interval of the interquartile mean at each step, runs resampled whole.

    Args:
        returns: float64[runs, P].

    Returns:
        Two float64[P].
    """
    drawn = rng.integers(len(returns), size=(RESAMPLES, len(returns)))
    middles = np.array([iqm(column[drawn]) for column in returns.T])
    low, high = np.quantile(middles, [0.025, 0.975], axis=1)
    return low, high


def plot(analysis: Analysis, *paths: Path) -> None:
    """Write learning curves and intervals of every task, as SVG or PNG by each path's suffix.

    Raises:
        NoMatplotlib: it is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NoMatplotlib from None
    from matplotlib import rc_context

    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    rows = max(1, len(analysis.tasks))
    # No date and fixed ids: the same results give the same file.
    with rc_context({"svg.hashsalt": "tuitrain"}):
        figure = Figure(figsize=(11, 3.6 * rows), layout="constrained")
        axes = figure.subplots(rows, 3, squeeze=False, width_ratios=[2, 1, 1])
        colors = {arm: f"C{index % 10}" for index, arm in enumerate(analysis.arms)}
        for row, task in zip(axes, analysis.tasks, strict=False):
            _curves(row[0], analysis, task, colors, rng)
            for axis, measure in zip(row[1:], MEASURES, strict=True):
                _intervals(axis, analysis, task, measure, colors)
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            figure.savefig(path, dpi=150, metadata=metadata)


def _curves(
    axis: Any, analysis: Analysis, task: str, colors: dict[str, str], rng: np.random.Generator
) -> None:
    for arm in analysis.arms:
        curves = analysis.curves.get((task, arm), ())
        if not curves:
            continue
        steps, returns = common_grid(curves)
        axis.plot(steps, iqm(returns.T), color=colors[arm], label=f"{arm} ({len(curves)})")
        if len(curves) >= 2:
            below, above = band(returns, rng)
            axis.fill_between(steps, below, above, color=colors[arm], alpha=0.2, linewidth=0)
    axis.set(title=_short(task, 60) or "greedy return", xlabel="environment steps", ylabel="return")
    axis.grid(alpha=0.3)
    axis.legend(loc="best", frameon=False, title="IQM, 95 % interval (runs)")


def _intervals(
    axis: Any, analysis: Analysis, task: str, measure: str, colors: dict[str, str]
) -> None:
    shown = [s for s in analysis.summaries if (s.task, s.measure) == (task, measure)]
    for place, summary in enumerate(shown):
        color = colors[summary.arm]
        if summary.interval is not None:
            axis.plot(summary.interval, [place, place], color=color, linewidth=8, alpha=0.3)
        axis.plot(summary.iqm, place, "|", color=color, markersize=16, markeredgewidth=2)
        axis.plot(summary.scores, [place] * summary.n, ".", color=color, markersize=4)
    # Named once; the colours say which is which beside it.
    names = [_short(s.arm, 30) if measure == MEASURES[0] else "" for s in shown]
    axis.set_yticks(range(len(shown)), names)
    axis.set(ylim=(len(shown) - 0.5, -0.5), title=TITLES[measure])
    axis.grid(alpha=0.3, axis="x")


def _short(text: str, most: int) -> str:
    """The end of a name that is too long to be drawn: that is where paths and settings differ."""
    return text if len(text) <= most else "…" + text[1 - most :]
