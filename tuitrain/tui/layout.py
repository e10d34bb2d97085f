"""Which panels are where: the header, five tabs, the notice line, the keys.

Sizes and what is hidden on small terminals are the style sheet's (`tuitrain.tcss`).
"""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical

from tuitrain.tui.view import View
from tuitrain.tui.widgets.checks import draw_checks
from tuitrain.tui.widgets.curves import (
    LEARNING,
    LOSS_TD,
    Q_VALUES,
    REPLAY,
    RETURN,
    Chart,
    chart_title,
    draw_policies,
    drawer,
)
from tuitrain.tui.widgets.header import draw_header
from tuitrain.tui.widgets.keys import draw_keys
from tuitrain.tui.widgets.messages import draw_events, draw_log, draw_notice
from tuitrain.tui.widgets.panel import Panel
from tuitrain.tui.widgets.pipeline import draw_pipeline
from tuitrain.tui.widgets.processes import draw_process_details, draw_processes
from tuitrain.tui.widgets.told import draw_told


class ChartPanel(Panel):
    """A chart with its title in the border."""

    def __init__(self, chart: Chart, **kwargs: Any) -> None:
        super().__init__(drawer(chart), **kwargs)
        self.chart = chart

    def show(self, view: View) -> None:
        """Draw this view, retitled."""
        super().show(view)
        self.retitle(chart_title(self.chart, view))


def compose_screen() -> ComposeResult:
    """All panels; those of the tabs that are not shown too."""
    yield Panel(draw_header, id="header")
    with Container(id="tabs"):
        with Vertical(id="tab-1", classes="tab -shown"):
            yield Panel(draw_pipeline, "Pipeline", id="pipeline", classes="framed")
            with Horizontal(id="middle"):
                yield Panel(draw_processes, "Processes", id="processes", classes="framed",
                            scrolls=True, sticky=1)  # fmt: skip
                yield Panel(draw_checks, "Checks (worst first)", id="checks",
                            classes="framed", scrolls=True)  # fmt: skip
            with Horizontal(id="charts"):
                yield ChartPanel(RETURN, id="chart-return", classes="framed")
                with Vertical(id="charts-right"):
                    yield ChartPanel(LOSS_TD, id="chart-loss", classes="framed")
                    yield ChartPanel(Q_VALUES, id="chart-q", classes="framed")
            yield Panel(draw_events, "Events", id="events", classes="framed",
                        scrolls=True, follow=True)  # fmt: skip
        with Vertical(id="tab-2", classes="tab"):
            with Container(id="learning-grid"):
                for i, chart in enumerate(LEARNING):
                    yield ChartPanel(chart, id=f"learning-{i}",
                                     classes="framed" + (" spare" if i > 5 else ""))  # fmt: skip
            yield Panel(draw_told, "Told by environments", id="told", classes="framed",
                        scrolls=True)  # fmt: skip
        with Vertical(id="tab-3", classes="tab"):
            yield Panel(draw_policies, "Replay", id="policies", classes="framed",
                        scrolls=True, sticky=1)  # fmt: skip
            with Horizontal(id="replay-charts"):
                for i, chart in enumerate(REPLAY):
                    yield ChartPanel(chart, id=f"replay-{i}", classes="framed")
        with Vertical(id="tab-4", classes="tab"):
            yield Panel(draw_processes, "Processes", id="process-table", classes="framed",
                        scrolls=True, sticky=1)  # fmt: skip
            yield Panel(draw_process_details, "Time by phase, and what they wait for",
                        id="process-details", classes="framed", scrolls=True)  # fmt: skip
        with Vertical(id="tab-5", classes="tab"):
            yield Panel(draw_log, "Log", id="log", classes="framed", scrolls=True,
                        follow=True, sticky=1)  # fmt: skip
    yield Panel(draw_notice, id="notice")
    yield Panel(draw_keys, id="keys")
