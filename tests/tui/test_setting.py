"""The screen's way to change a value while the run goes on."""

from __future__ import annotations

from pathlib import Path

from tests.tui.fixtures import snapshot
from tests.tui.harness import Seat, seated
from tuitrain.protocol import SettingView
from tuitrain.tui.dialogs.set import SetDialog

NOW = snapshot(
    settings=[
        SettingView(key="learner.lr", value=1e-4, given=5e-4, now="lr 2.3e-05"),
        SettingView(key="run.log_level", value="warning", given="warning"),
    ]
)


async def opened(seat: Seat) -> str:
    """The dialog, by its key."""
    await seat.press("S")
    return await seat.shows("Change while the run goes on")


async def test_it_shows_what_there_is_and_sets_what_is_typed() -> None:
    async with seated(NOW) as seat:
        shown = await opened(seat)
        assert "learner.lr     0.0001  now lr 2.3e-05  config.toml 0.0005" in shown
        assert "run.log_level  warning" in shown
        await seat.press(*"lr", "escape")
        assert seat.run.commands == []
        await opened(seat)
        for character in "learner.lr=1e-3 run.log_level=info":
            await seat.press({"=": "equals_sign", ".": "full_stop", " ": "space", "-": "minus",
                              "_": "underscore"}.get(character, character))  # fmt: skip
        await seat.press("enter")
        request = await seat.asked("set")
        assert request.args == {"values": ["learner.lr=1e-3", "run.log_level=info"]}
        assert not isinstance(seat.app.screen, SetDialog)


async def test_what_is_refused_can_be_mended() -> None:
    async with seated(NOW) as seat:
        await opened(seat)
        await seat.press(*"lr", "equals_sign", "2", "enter")
        seat.run.answer(await seat.asked("set"), "learner.lr = 2: must be below 1", ok=False)
        await seat.shows("✖ learner.lr = 2: must be below 1")
        assert isinstance(seat.app.screen, SetDialog)
        await seat.press("backspace", *"1e", "minus", "4", "enter")
        await seat.until(lambda: len(seat.run.commands) == 2, "the second request")
        request = await seat.asked("set")
        assert request.args == {"values": ["lr=1e-4"]}
        seat.run.answer(request, "learner.lr = 0.0001 (was 0.0005); 5 workers have it")
        await seat.shows("✓ set: learner.lr = 0.0001 (was 0.0005)")
        assert not isinstance(seat.app.screen, SetDialog)


async def test_it_is_ascii_where_all_is() -> None:
    async with seated(NOW, ascii_only=True) as seat:
        assert (await opened(seat)).isascii()
        await seat.press("escape", "question_mark")
        shown = await seat.shows("S        set a value while it runs")
        assert " < >      x: earlier, later" in shown


async def test_a_key_is_completed() -> None:
    async with seated(NOW) as seat:
        await opened(seat)
        await seat.press(*"learn", "right", *"2", "enter")
        request = await seat.asked("set")
        assert request.args == {"values": ["learner.lr=2"]}


async def test_nothing_typed_asks_nothing() -> None:
    async with seated(NOW) as seat:
        await opened(seat)
        await seat.press("enter")
        assert not isinstance(seat.app.screen, SetDialog)
        assert seat.run.commands == []


async def test_a_screen_that_only_looks_sets_nothing(tmp_path: Path) -> None:
    async with seated(NOW, run_dir=tmp_path, read_only=True) as seat:
        await seat.press("S")
        assert "this screen only looks (--read-only)" in await seat.text()
