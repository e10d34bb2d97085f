"""Which panels are where: the header, five tabs, the notice line, the keys.

Sizes and what is hidden on small terminals are the style sheet's (`tuitrain.tcss`).
"""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical, VerticalScroll

from tuitrain.tui.text import clip
from tuitrain.tui.view import READING, Draw, View
from tuitrain.tui.widgets.cause import draw_cause
from tuitrain.tui.widgets.charts import LEARNING, LOSS_TD, Q_VALUES, REPLAY, RETURN, Chart
from tuitrain.tui.widgets.checks import checks_title, draw_checks
from tuitrain.tui.widgets.header import draw_header
from tuitrain.tui.widgets.keys import draw_keys
from tuitrain.tui.widgets.logs import draw_log
from tuitrain.tui.widgets.messages import draw_events, draw_notice
from tuitrain.tui.widgets.panel import FittedPanel, Panel, SelectPanel
from tuitrain.tui.widgets.pipeline import draw_pipeline, pipeline_title
from tuitrain.tui.widgets.policies import draw_policy_table
from tuitrain.tui.widgets.processes import draw_process_details, draw_processes
from tuitrain.tui.widgets.replay import draw_policies
from tuitrain.tui.widgets.shards import draw_shards
from tuitrain.tui.widgets.told import draw_told


def _drawer(chart: Chart) -> Draw:
    """Draws the chart; numpy waits until there are curves, after the first picture."""

    def draw(view: View, width: int, height: int) -> list[Text]:
        if view.reading:
            words = clip(Text(READING.center(width).rstrip(), view.palette.dim, end=""), width)
            return [*[Text(end="")] * (height // 2), words]
        from tuitrain.tui.widgets.curves import drawer

        return drawer(chart)(view, width, height)

    return draw


def _draw_sight(view: View, width: int, height: int) -> list[Text]:
    from tuitrain.tui.widgets.sight import draw_sight

    return draw_sight(view, width, height)


class ChartPanel(Panel):
    """A chart with its title in the border."""

    def __init__(self, chart: Chart, **kwargs: Any) -> None:
        super().__init__(_drawer(chart), chart.title, **kwargs)
        self.chart = chart

    def show(self, view: View) -> None:
        """Draw this view, retitled."""
        super().show(view)
        if not view.reading:
            from tuitrain.tui.widgets.curves import chart_title

            self.retitle(chart_title(self.chart, view))


class PipelinePanel(Panel):
    """The pipeline with the bottleneck in its border."""

    def show(self, view: View) -> None:
        """Draw this view, retitled."""
        super().show(view)
        self.retitle(pipeline_title(view, self.content_size.width - 4))  # of the border


class ChecksPanel(Panel):
    """The checks, with how many are not known in the border."""

    def show(self, view: View) -> None:
        """Draw this view, retitled."""
        super().show(view)
        self.retitle(checks_title(view))


PAGE_LINES = 10
"""Of PgUp and PgDn."""


class ScrolledTab(VerticalScroll, can_focus=False):
    """A tab higher than the screen; the app hands it the keys that no focused panel takes."""

    def action_scroll_lines(self, lines: int) -> None:
        """Move the window over the tab, by a page at most less than what is shown."""
        page = max(1, self.size.height - 1)
        if abs(lines) <= PAGE_LINES:
            lines = max(-page, min(page, lines))
        self.scroll_to(y=self.scroll_y + lines, animate=False, immediate=True)

    @property
    def scrolled(self) -> float | None:
        """How far it is scrolled, 0 to 1; None where all of it is shown."""
        return self.scroll_y / self.max_scroll_y if self.max_scroll_y > 0 else None


def compose_screen() -> ComposeResult:
    """All panels; those of the tabs that are not shown too."""
    yield Panel(draw_header, id="header")
    with Container(id="tabs"):
        with Vertical(id="tab-1", classes="tab -shown"):
            yield PipelinePanel(draw_pipeline, "Pipeline", id="pipeline", classes="framed")
            with Horizontal(id="middle"):
                yield SelectPanel(draw_processes, "Processes", id="processes", classes="framed",
                            scrolls=True, sticky=1, filters=True)  # fmt: skip
                yield ChecksPanel(draw_checks, "Checks (worst first)", id="checks",
                                  classes="framed", scrolls=True, filters=True)  # fmt: skip
            yield FittedPanel(draw_cause, "Why it failed", most=6, id="cause", classes="framed")
            with Horizontal(id="charts"):
                yield ChartPanel(RETURN, id="chart-return", classes="framed")
                with Vertical(id="charts-right"):
                    yield ChartPanel(LOSS_TD, id="chart-loss", classes="framed")
                    yield ChartPanel(Q_VALUES, id="chart-q", classes="framed")
            yield Panel(draw_events, "Events", id="events", classes="framed",
                        scrolls=True, follow=True, filters=True)  # fmt: skip
        with ScrolledTab(id="tab-2", classes="tab"):
            yield FittedPanel(
                draw_policy_table, "Policies", filters=True, id="policy-table", classes="framed"
            )
            yield Panel(draw_told, "Told by environments", id="told", classes="framed",
                        scrolls=True)  # fmt: skip
            with Container(id="learning-grid"):
                for i, chart in enumerate(LEARNING):
                    yield ChartPanel(chart, id=f"learning-{i}", classes="framed")
        with Vertical(id="tab-3", classes="tab"):
            with Horizontal(id="replay"):
                yield Panel(draw_policies, "Replay", id="policies", classes="framed",
                            scrolls=True, sticky=1)  # fmt: skip
                yield Panel(_draw_sight, "What actor 0 sees", id="sight", classes="framed")
                with Vertical(id="replay-charts"):
                    for i, chart in enumerate(REPLAY):
                        yield ChartPanel(chart, id=f"replay-{i}", classes="framed")
            yield FittedPanel(draw_shards, "Shards", id="shards", classes="framed",
                              scrolls=True, sticky=2)  # fmt: skip
        with Vertical(id="tab-4", classes="tab"):
            yield SelectPanel(draw_processes, "Processes", id="process-table", classes="framed",
                        scrolls=True, sticky=1, filters=True)  # fmt: skip
            yield Panel(draw_process_details, "Time by phase, and what they wait for",
                        id="process-details", classes="framed", scrolls=True,
                        filters=True)  # fmt: skip
        with Vertical(id="tab-5", classes="tab"):
            yield Panel(draw_log, "Log", id="log", classes="framed", scrolls=True,
                        follow=True, filters=True, sticky=1)  # fmt: skip
    yield Panel(draw_notice, id="notice")
    yield Panel(draw_keys, id="keys")
