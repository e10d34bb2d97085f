"""Keys that change what is seen: tabs, freezing, explanations, help."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual import events

from tests.tui.fixtures import snapshot
from tests.tui.harness import seated
from tuitrain.tui.dialogs.check import CheckDialog
from tuitrain.tui.dialogs.help import HelpDialog
from tuitrain.tui.widgets.keys import LEFT, RIGHT


async def test_freeze_holds_the_view_with_a_banner() -> None:
    async with seated() as seat:
        await seat.press("space")
        seat.run.show(snapshot(steps=13_000_000))
        await seat.until(
            lambda: (seat.app.store.snapshot or snapshot()).steps == 13_000_000, "new data"
        )
        shown = await seat.text()
        assert "VIEW FROZEN" in shown
        assert "12.4M/50M steps" in shown
        await seat.press("space")
        shown = await seat.text()
        assert "13M/50M steps" in shown
        assert "VIEW FROZEN" not in shown


async def test_answers_are_seen_while_the_view_is_frozen(tmp_path: Path) -> None:
    async with seated(size=(80, 24), run_dir=tmp_path) as seat:
        await seat.press("f", "space")
        assert "VIEW FROZEN" in await seat.text(), "not what was said before"
        for key, said in (
            ("x", "▲ FROZEN   ✓ exported screens/screen-"),
            ("b", "▲ FROZEN   ● b does nothing here; ? lists all keys"),
            ("c", "▲ FROZEN   ◌ checkpoint … pending"),
        ):
            await seat.press(key)
            assert said in await seat.text()
        seat.run.answer(await seat.asked("checkpoint"), "disk is full", ok=False)
        await seat.shows("▲ FROZEN   ✖ checkpoint: disk is full")


async def test_worst_check_is_explained() -> None:
    async with seated() as seat:
        await seat.press("exclamation_mark")
        assert isinstance(seat.app.screen, CheckDialog)
        shown = await seat.text()
        assert "▲ WARN  policy lag a5" in shown
        assert "Give it a core of its own" in shown
        await seat.press("down")
        assert "● OK  replay ratio" in await seat.text()
        await seat.press("escape")
        assert not isinstance(seat.app.screen, CheckDialog)


async def test_help_has_two_pages() -> None:
    async with seated() as seat:
        await seat.press("question_mark")
        assert isinstance(seat.app.screen, HelpDialog)
        shown = await seat.text()
        for words in ("Leave", "Training", "Charts", "Screen", "write a checkpoint"):
            assert words in shown
        await seat.press("right")
        assert "behind: updates since the weights that a worker holds" in await seat.text()
        await seat.press("left")
        assert "write a checkpoint" in await seat.text()
        await seat.press("x")
        assert not isinstance(seat.app.screen, HelpDialog)


async def test_all_keys_are_explained_on_one_screen_of_80_by_24() -> None:
    async with seated(size=(80, 24)) as seat:
        await seat.press("question_mark")
        shown = await seat.shows("Lines")
        assert seat.app.screen.query_one("#dialog").max_scroll_y == 0
        for subject in (*LEFT, *RIGHT):
            for key, words in subject.keys:
                assert re.search(rf"{re.escape(key)} +{re.escape(words)}", shown), (key, words)


async def test_of_two_keys_that_come_together_the_first_closes_a_dialog() -> None:
    async with seated() as seat:
        await seat.press("question_mark")
        for _ in range(2):
            seat.app.screen.post_message(events.Key("z", "z"))
        await seat.press("1")
        assert not isinstance(seat.app.screen, HelpDialog)
        assert seat.app.is_running


async def test_help_scrolls_where_it_does_not_fit() -> None:
    async with seated(size=(60, 20)) as seat:
        await seat.press("question_mark")
        box = seat.app.screen.query_one("#dialog")
        assert box.max_scroll_y > 0
        await seat.press("pagedown", "pagedown", "down")
        assert box.scroll_y == box.max_scroll_y
        await seat.press("up")
        assert box.scroll_y == box.max_scroll_y - 1
        await seat.press("escape")
        assert not isinstance(seat.app.screen, HelpDialog)


@pytest.mark.parametrize(
    ("key", "words"),
    [("1", "Pipeline"), ("2", "Gradient norm"), ("3", "sampleable transitions"),
     ("4", "Time by phase"), ("5", "no logs in")],
)  # fmt: skip
async def test_tabs(key: str, words: str) -> None:
    async with seated() as seat:
        await seat.press("2" if key == "1" else "1", key)
        assert words in await seat.text()
