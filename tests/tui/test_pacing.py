"""How often the screen is drawn, and suspending it."""

from __future__ import annotations

import signal

import pytest
from textual import events

from tests.tui.harness import seated
from tuitrain.tui.pacing import PERIODS_S


async def test_no_redraw_happens_for_nobody() -> None:
    async with seated() as seat:
        seat.app.post_message(events.AppBlur())
        await seat.pilot.pause()
        drawn: list[int] = []
        seat.app.redraw = lambda: drawn.append(1)  # type: ignore[method-assign]
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
