"""Choosing one of several runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuitrain.cli.attach import offered
from tuitrain.cli.find import Found
from tuitrain.config.runs import RunFolder
from tuitrain.supervisor.house.house import Tenant
from tuitrain.tui.picker import Entry, PickerApp, draw_picker
from tuitrain.tui.screenshot import screen_text
from tuitrain.tui.text import DARK

ENTRIES = [Entry(f"run-{i:04d}", "running" if i < 2 else "finished", "5 steps", i < 2)
           for i in range(30)]  # fmt: skip


@pytest.mark.parametrize("chosen", [0, 7, 29])
def test_the_chosen_run_is_seen_at_every_size(chosen: int) -> None:
    for width in (200, 80, 20, 2, 1, 0):
        for height in (50, 24, 6, 5, 4, 1, 0):
            lines = draw_picker(ENTRIES, chosen, width, height, DARK)
            assert len(lines) <= height
            assert all(line.cell_len <= width for line in lines)
            if width >= 20 and height:
                assert any(line.plain.startswith(f"▸ run-{chosen:04d}") for line in lines)


async def test_arrows_and_enter_choose() -> None:
    app = PickerApp(ENTRIES)
    async with app.run_test(size=(80, 24)) as pilot:
        shown = screen_text(app)
        assert "Which run? 2 live, 28 have ended" in shown
        assert "▸ run-0000  ● running" in shown
        assert "  run-0002  ✓ finished" in shown
        await pilot.press("down", "down", "up", "enter")
    assert app.return_value == 1


@pytest.mark.parametrize("key", ["q", "escape", "ctrl+c"])
async def test_it_can_be_left(key: str) -> None:
    app = PickerApp(ENTRIES, ascii_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        assert screen_text(app).isascii()
        await pilot.press(key)
    assert app.return_value is None


def test_it_is_asked_only_where_several_live() -> None:
    def run(name: str, lives: bool) -> Found:
        tenant = Tenant("id", name, name, 1, 0.0, "s") if lives else None
        return Found(RunFolder(Path(name)), tenant)

    ended = [run(f"e{i}", False) for i in range(25)]
    assert offered([*ended, run("a", True)]) == []
    names = [found.folder.name for found in offered([run("a", True), *ended, run("b", True)])]
    assert names[:3] == ["b", "a", "e24"]
    assert len(names) == 22
