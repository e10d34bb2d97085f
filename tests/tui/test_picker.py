"""Choosing one of several runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuitrain.cli.attach import offered, told_where
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


def run(name: str, lives: bool, folder: Path = Path("runs")) -> Found:
    path = folder.absolute() / name
    tenant = Tenant("id", str(path), name, 1, 0.0, "s") if lives else None
    return Found(RunFolder(path), tenant)


def test_it_is_asked_only_where_several_live() -> None:
    ended = [run(f"e{i}", False) for i in range(25)]
    here = Path("runs")
    assert offered([*ended, run("a", True)], here) == []
    names = [found.folder.name for found in offered([run("a", True), *ended, run("b", True)], here)]
    assert names[:3] == ["b", "a", "e24"]
    assert len(names) == 22


def test_runs_of_this_folder_come_first_and_others_say_where_they_are(tmp_path: Path) -> None:
    here, there = Path("runs"), tmp_path / "of another day" / "runs"
    runs = offered([run("x", True, here), run("x", True, there), run("x", True, tmp_path)], here)
    assert [found.folder.path.parent for found in runs] == [here.absolute(), tmp_path, there]
    told = [told_where(found, here) for found in runs]
    assert told == ["", f"in {tmp_path}", f"in {there}"]
    assert told_where(run("x", True, Path("mine/runs")), here) == "in mine/runs"
    assert told_where(run("x", True, Path.home() / "mine"), here) == "in ~/mine"

    entries = [Entry("x", "running", "5 steps", live=True, folder=where) for where in told]
    for width in (80, 200):
        rows = [line.plain for line in draw_picker(entries, 0, width, 9, DARK)][2:5]
        assert [row.index("● running") for row in rows] == [rows[0].index("● running")] * 3
        assert all(row.endswith("5 steps") for row in rows)
        assert "another day/runs" in rows[2]
        assert "another day" not in rows[0] + rows[1]
