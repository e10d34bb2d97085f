"""Leaving the screen: what is asked, and that training goes on unless it is told to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.harness import seated
from tuitrain.tui.dialogs.leave import KillDialog, LeaveDialog


@pytest.mark.parametrize("key", ["q", "ctrl+q", "ctrl+c"])
async def test_leaving_asks_and_detaches_by_default(key: str) -> None:
    async with seated() as seat:
        await seat.press(key)
        assert isinstance(seat.app.screen, LeaveDialog)
        assert "▶  Detach" in await seat.text()
        await seat.press("enter")
        assert not seat.app.is_running or seat.app._exit
        assert seat.run.commands == []


async def test_leaving_can_be_cancelled() -> None:
    async with seated() as seat:
        await seat.press("q", "up", "enter")
        assert not isinstance(seat.app.screen, LeaveDialog)
        await seat.press("q", "escape")
        assert not isinstance(seat.app.screen, LeaveDialog)
        assert not seat.app._exit
        assert seat.run.commands == []


async def test_stop_and_checkpoint_leaves_when_it_is_done() -> None:
    async with seated() as seat:
        await seat.press("q", "down", "enter")
        request = await seat.asked("stop")
        assert "◌ stop … pending" in await seat.text()
        assert not seat.app._exit
        seat.run.answer(request, "stopped, checkpoint written")
        await seat.until(lambda: seat.app._exit, "the end of the screen")


async def test_a_single_letter_never_stops_the_run() -> None:
    async with seated() as seat:
        await seat.press("q", *"abcefghijklmnoprstuvwxyz")
        await seat.press("escape")
        assert "stop" not in seat.run.commands


async def test_d_detaches() -> None:
    async with seated() as seat:
        await seat.press("d")
        assert seat.app._exit
        assert seat.run.commands == []


async def test_kill_asks_for_the_name_and_then_kills() -> None:
    async with seated() as seat:
        await seat.press("q", "down", "down", "enter")
        assert isinstance(seat.app.screen, KillDialog)
        assert "Type its name and enter: breakout-rainbow-0412" in await seat.text()
        await seat.press(*"yes", "enter")
        assert "✖ that is not its name" in await seat.text()
        assert seat.run.commands == []
        await seat.press("ctrl+u", *"breakout", "minus", *"rainbow", "minus", *"0412", "enter")
        seat.run.answer(await seat.asked("kill"), "stopped")
        await seat.until(lambda: seat.app._exit, "the end of the screen")


async def test_kill_can_be_thought_better_of() -> None:
    async with seated() as seat:
        await seat.press("q", "down", "down", "enter", *"quit", "enter", "escape")
        assert not isinstance(seat.app.screen, KillDialog)
        assert seat.run.commands == []


async def test_a_screen_that_only_looks_asks_nothing_of_the_run(tmp_path: Path) -> None:
    async with seated(run_dir=tmp_path, read_only=True, size=(80, 24)) as seat:
        assert "READ-ONLY" in await seat.panel("keys")
        assert "pause" not in await seat.panel("keys")
        for key in "psce":
            await seat.press(key)
            assert "this screen only looks (--read-only)" in await seat.text()
        await seat.press("q")
        assert seat.app._exit, "nothing to ask"
        assert seat.run.commands == []
