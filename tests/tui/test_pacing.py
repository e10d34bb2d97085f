"""How often the screen is drawn, and suspending it."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
from textual import events
from textual.strip import Strip

from tests.tui.harness import seated
from tuitrain.protocol import EventLine
from tuitrain.tui.actions.pacing import PERIODS_S
from tuitrain.tui.widgets.panel import Panel


async def test_no_redraw_happens_for_nobody() -> None:
    async with seated() as seat:
        seat.app.post_message(events.AppBlur())
        await seat.pilot.pause()
        drawn: list[int] = []
        seat.app.redraw = lambda: drawn.append(1)
        for _ in range(10):
            seat.app._tick()
        assert len(drawn) == 2
        del seat.app.redraw


async def test_plus_and_minus_change_the_pace_within_bounds() -> None:
    async with seated() as seat:
        await seat.press("plus")
        assert seat.app.redraw_s == 0.5
        assert "the screen is redrawn every 0.5 s" in await seat.text()
        await seat.press(*["minus"] * 9)
        assert seat.app.redraw_s == PERIODS_S[-1]
        await seat.press(*["plus"] * 9)
        assert seat.app.redraw_s == PERIODS_S[0]


async def test_ctrl_z_suspends_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    async with seated() as seat:
        assert seat.app._driver is not None
        monkeypatch.setattr(type(seat.app._driver), "can_suspend", True)
        monkeypatch.setattr("os.kill", lambda pid, number: sent.append(number))
        await seat.press("ctrl+z")
        monkeypatch.undo()
    assert sent == [signal.SIGTSTP]


async def test_lines_that_stay_are_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written to the terminal is what has changed, not whole panels once a second."""
    monkeypatch.setattr("tuitrain.tui.app.STALE_S", 1e9)
    drawn: list[tuple[str | None, int]] = []
    draw_line = Panel.render_line

    def render_line(panel: Panel, y: int) -> Strip:
        drawn.append((panel.id, y))
        return draw_line(panel, y)

    async with seated() as seat:
        await seat.settle()
        monkeypatch.setattr(Panel, "render_line", render_line)
        seat.app.store.add_event(EventLine(seq=7, time_s=0, level="info", source="x", text="new"))
        await seat.settle()
        assert ("events", 5) in drawn
        assert not {"chart-return", "processes", "pipeline"} & {name for name, _ in drawn}
        drawn.clear()
        await seat.pilot.resize_terminal(110, 40)
        await seat.settle()
        assert ("chart-return", 3) in drawn, "of another size all is drawn"


async def test_a_line_that_is_made_again_with_the_same_on_it_is_not_styled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with seated() as seat:
        await seat.settle()
        header = seat.app.screen.query_one("#header", Panel)
        styled: list[str] = []
        style = Panel._strip
        monkeypatch.setattr(
            Panel, "_strip", lambda self, line: styled.append(line.plain) or style(self, line)
        )
        header.show(header._current)
        assert not styled
        header.show(replace(header._current, ascii_only=True))
        assert len(styled) == 3


async def test_another_theme_is_on_every_line_at_once() -> None:
    async with seated() as seat:
        await seat.settle()
        header = seat.app.screen.query_one("#header", Panel)
        dark = header.render_line(0)
        seat.app.theme = "textual-light"
        await seat.settle()
        light = header.render_line(0)
        backgrounds = [[s.style.bgcolor for s in strip if s.style] for strip in (dark, light)]
        assert not set(backgrounds[0]) & set(backgrounds[1])
