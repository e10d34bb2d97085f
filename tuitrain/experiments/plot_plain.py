"""The curves of a comparison as an SVG file, without matplotlib: plainer than `plot.py`'s.

One chart a task: interquartile means over runs with bootstrap bands. Also of use where a page wants
the charts alone.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from tuitrain.experiments.findings import Analysis
from tuitrain.experiments.plot import band, common_grid
from tuitrain.experiments.statistics import iqm
from tuitrain.experiments.svg import Chart, Series, document

_BOOTSTRAP_SEED = 20210830


def charts_of(analysis: Analysis) -> list[Chart]:
    """A chart for each task, a line for each arm."""
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    charts = []
    for task in analysis.tasks:
        lines = []
        for number, arm in enumerate(analysis.arms):
            curves = analysis.curves.get((task, arm), ())
            if not curves:
                continue
            steps, returns = common_grid(curves)
            middle = iqm(returns.T)
            line = list(zip(steps.tolist(), middle.tolist(), strict=True))
            around = []
            if len(curves) >= 2:
                below, above = band(returns, rng)
                around = list(zip(steps.tolist(), below.tolist(), above.tolist(), strict=True))
            count = "1 run" if len(curves) == 1 else f"{len(curves)} runs"
            lines.append(Series(f"{arm} ({count})", number, line, around))
        title = f"{task or 'greedy return'} (IQM of runs, 95 % interval)"
        charts.append(Chart(title, "environment steps", lines))
    return charts


def plain(analysis: Analysis) -> str:
    """The file's text."""
    style = files("tuitrain.experiments").joinpath("report.css").read_text(encoding="utf-8")
    return document(charts_of(analysis), style)
