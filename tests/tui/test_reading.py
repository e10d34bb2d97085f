"""Filtering, finding and copying lines, and choosing a process."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.tui.fixtures import processes, several, snapshot, write_run
from tests.tui.harness import Seat, seated
from tuitrain.tui.dialogs.filter import FilterDialog


def copies(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the terminal's clipboard from now on."""
    taken: list[str] = []
    driver = seat.app._driver
    assert driver is not None

    def write(data: str) -> None:
        if data.startswith("\x1b]52;c;"):
            taken.append(base64.b64decode(data[7:-1]).decode())

    monkeypatch.setattr(driver, "write", write)
    return taken


async def test_a_filter_leaves_lines_out_while_it_is_typed() -> None:
    async with seated() as seat:
        await seat.press("slash", *"Eval")
        assert isinstance(seat.app.screen, FilterDialog)
        shown = await seat.panel("events")
        assert "v94000: return" in shown
        assert len(shown.splitlines()) == 1
        await seat.press("enter")
        assert "only lines with 'Eval'" in await seat.panel("notice")
        await seat.press("slash", *"x", "escape")
        assert "v94000: return" in await seat.panel("events"), "as it was before"
        await seat.press("slash", "ctrl+u", "enter")
        assert len((await seat.panel("events")).splitlines()) > 4
        assert "only lines" not in await seat.panel("notice")
        await seat.press("slash", *"Eval", "enter", "escape")
        assert len((await seat.panel("events")).splitlines()) > 4


async def test_letters_typed_into_a_filter_do_nothing_else() -> None:
    async with seated() as seat:
        await seat.press("slash", *"qdpsce/nNlfyYx?", "enter")
        assert not seat.app._exit
        assert seat.run.commands == []
        assert "none of 8 events has 'qdpsce/nNlfyYx?'" in await seat.panel("events")


async def test_every_table_has_a_filter_of_its_own() -> None:
    async with seated(several(12)) as seat:
        seat.app.screen.query_one("#processes").focus()
        await seat.press("slash", *"a3", "enter")
        rows = (await seat.panel("processes")).splitlines()
        assert [row.split()[0] for row in rows] == ["role", "a3"]
        seat.app.screen.query_one("#checks").focus()
        await seat.press("slash", *"lag", "enter")
        assert len((await seat.panel("checks")).splitlines()) == 2
        await seat.press("4", "slash", *"eval", "enter")
        assert (await seat.panel("process-details")).startswith("eval")
        assert "a3" in await seat.panel("process-table")
        await seat.press("2", "slash", *"agent_1", "enter")
        table = await seat.panel("policy-table")
        assert [row.split()[0] for row in table.splitlines()[1:]] == [
            "agent_1", "agent_10", "agent_11",
        ]  # fmt: skip
        await seat.press("3", "slash")
        assert "no lines to filter here" in await seat.text()


async def test_n_and_N_go_through_what_matches(tmp_path: Path) -> None:
    write_run(tmp_path)
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("5", "n")
        assert "no filter here: / sets one" in await seat.text()
        await seat.press("slash", *"line 1", "enter", "N")
        assert "match 333 of 333" in await seat.text(), "from the newest on backwards"
        assert "only lines with 'line 1'" in await seat.panel("notice"), "whatever else is said"
        assert (await seat.panel("log")).endswith("supervisor line 199")
        await seat.press("n")
        assert "match 1 of 333" in await seat.text()
        assert (await seat.panel("log")).splitlines()[1].endswith("line 1")
        await seat.press("N", "N")
        assert "match 332 of 333" in await seat.text()
        await seat.press("slash", *"nowhere", "enter", "n")
        assert "nothing matches" in await seat.text()


async def test_y_copies_the_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)
    long = f"EnvError: {'environment ' * 30}at last"
    with (tmp_path / "logs" / "supervisor.log").open("a") as file:
        file.write(f"{long}\n")
    async with seated(run_dir=tmp_path, size=(80, 24)) as seat:
        await seat.press("5", "right_square_bracket")
        taken = copies(seat, monkeypatch)
        await seat.press("y")
        assert taken == [long], "although it is wrapped"
        with (tmp_path / "logs" / "supervisor.log").open("a") as file:
            file.write("".join(f"EnvError: {'environment ' * 30}at the end of {i}\n" for i in "ab"))
        await seat.press("slash", *"EnvError", "enter", "N", "y")
        assert taken[-1].endswith("at the end of b"), "although three begin in the same way"
        await seat.press("slash", *"line 7", "enter", "n", "y")
        assert taken[-1] == "12:00:07 supervisor line 7"


async def test_Y_copies_all_of_a_panel_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path)
    for log in (tmp_path / "logs").iterdir():
        log.write_text(f"{'y' * 99}\n" * 1000)
    async with seated(snapshot(processes=processes(40)), run_dir=tmp_path) as seat:
        taken = copies(seat, monkeypatch)
        seat.app.screen.query_one("#processes").focus()
        await seat.press("Y")
        assert [row.split()[0] for row in taken[0].splitlines()[:3]] == ["role", "learner", "a0"]
        assert len(taken[0].splitlines()) == 43, "also those that are not shown"
        await seat.press("5", "Y")
        assert 49_000 < len(taken[1].encode()) <= 50_000


async def test_a_process_is_chosen_and_stays_in_sight() -> None:
    async with seated(snapshot(processes=processes(40)), size=(120, 40)) as seat:
        table = seat.app.screen.query_one("#processes")
        table.focus()
        await seat.press("down")
        assert "▸learner" in await seat.panel("processes")
        for _ in range(3):
            await seat.press("pagedown")
            assert "▸a" in await seat.panel("processes")
        await seat.press("end")
        assert "▸eval" in await seat.panel("processes")
        await seat.press("up")
        assert seat.app.selected == "a39"
        await seat.press("home")
        assert "▸learner" in await seat.panel("processes")


async def test_events_are_wrapped_where_they_have_the_tab_for_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = "compared 5 workers: " + "; ".join(f"a{i} has version {i}" for i in range(8)) + " in all"
    async with seated(size=(80, 24)) as seat:
        seat.app.note(said)
        assert (await seat.panel("events")).splitlines()[-1].endswith("…")
        seat.app.screen.query_one("#events").focus()
        await seat.press("z")
        rows = (await seat.panel("events")).splitlines()
        assert "…" not in "".join(rows)
        assert rows[-1].endswith("a7 has version 7 in all")
        assert " ".join(row[len("00:00:00 · supervisor ") :] for row in rows[-3:]) == said
        taken = copies(seat, monkeypatch)
        await seat.press("y")
        assert taken[0].endswith(f"you        {said}"), "copied whole"
        await seat.press("z")
        assert (await seat.panel("events")).splitlines()[-1].endswith("…")
