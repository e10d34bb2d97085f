"""Every check on the screen, with the fault that it is there for."""

from __future__ import annotations

from tests.tui.fixtures import snapshot
from tests.tui.harness import seated
from tests.unit.diagnosis.faults import FAULTS
from tests.unit.diagnosis.healthy import change, healthy
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import BY_ID, CHECKS, all_checks
from tuitrain.protocol import CheckView
from tuitrain.tui.dialogs.check import CheckDialog
from tuitrain.tui.view import View, worst_first
from tuitrain.tui.widgets.checks import draw_checks
from tuitrain.tui.widgets.header import draw_header
from tuitrain.tui.widgets.panel import Panel

LIMITS = ChecksConfig()
MARKS = {"fail": ("✖", "FAIL"), "warn": ("▲", "WARN")}


def test_every_check_that_finds_its_fault_is_shown_first_and_explained() -> None:
    for check, path, value, state, said in FAULTS:
        now = change(path, value)
        now.checks = all_checks(now, LIMITS)
        (row,) = [row for row in now.checks if row.id == check]
        glyph, word = MARKS[state]
        view = View(snapshot=now, link="live")
        health = draw_header(view, 120, 3)[1].plain
        for words in (f"{glyph} 1 {word}", f"worst: {row.name}"):
            assert words in health
        first, second = draw_checks(view, 60, 20)[1:3]
        assert first.plain.startswith(f"{glyph} {row.name}"), "the worst one is the first"
        assert second.plain.startswith("● ")

        explained = CheckDialog(view, worst_first(now.checks)).text().plain
        for words in (
            f"{glyph} {word}  {row.name}",
            f"measured  {row.value}",
            f"limit     {row.limit}",
            row.advice,
            BY_ID[check].why,
        ):
            assert words in explained
        assert said in row.advice + row.value


async def test_the_worst_check_is_seen_and_explained_by_its_key() -> None:
    """Some of them, one after the other: how each is drawn is tried above."""
    well = healthy()
    well.checks = all_checks(well, LIMITS)
    async with seated(well) as seat:
        assert f"● {len(CHECKS)} OK" in (await seat.text()).splitlines()[1]
        panel = seat.app.screen.query_one("#checks", Panel)
        for check, path, value, state, _ in FAULTS[::20]:
            now = change(path, value)
            now.checks = all_checks(now, LIMITS)
            (row,) = [row for row in now.checks if row.id == check]
            glyph, word = MARKS[state]
            seat.run.show(now)
            shown = await seat.shows(f"{glyph} {row.name}")
            assert f"worst: {row.name}" in shown.splitlines()[1]
            assert panel.lines()[1].plain.startswith(f"{glyph} {row.name}")

            await seat.press("i")
            await seat.shows(f"{glyph} {word}  {row.name}")
            assert isinstance(seat.app.screen, CheckDialog)
            assert row.advice in seat.app.screen.text().plain
            await seat.press("escape")


async def test_what_is_well_and_what_was_not_measured_is_explained_too() -> None:
    now = change("lost_lines", None)
    now.checks = [row for row in all_checks(now, LIMITS) if row.id in ("spec", "lost_lines")]
    async with seated(now) as seat:
        await seat.press("i")
        told = await seat.shows("● OK  spec hash")
        assert f"What should be: {BY_ID['spec'].why[:40]}" in told
        assert "Nothing to do." in await seat.text()
        await seat.press("down")
        assert "All that was measured is in" in await seat.shows("○ NOT MEASURED  lost lines")
        assert "There is nothing to judge yet." in await seat.text()


def a_check(name: str, value: str, limit: str) -> CheckView:
    return CheckView(id=name, name=name, value=value, limit=limit, state="ok")


def test_what_a_value_leaves_of_its_row_is_its_limits_and_the_other_way_round() -> None:
    checks = [
        a_check("spec hash", "4 of 4", "all equal"),
        a_check("warm-up", "2000/2000", "no update before"),
        a_check("max |Q|", "p = 2.7e-241 of all", "≤ 9"),
        a_check("exploration", "0.04 at the end", "< 0.5 at the end"),
    ]
    view = View(snapshot=snapshot(checks=checks))
    lines = [line.plain for line in draw_checks(view, 39, 20)]
    assert lines == [
        "check                     value limit",
        "● spec hash            4 of 4 all equal",
        "● warm-up     2000/2000 no update befo…",
        "● max |Q|     p = 2.7e-241 of all ≤ 9",
        "● exploration 0.04 at the end < 0.5 at…",
    ]
    wide = [line.plain for line in draw_checks(view, 80, 20)]
    assert wide[1].index("all") == wide[3].index("≤"), "where there is room they are columns"
    for width in range(81):
        assert all(line.cell_len <= width for line in draw_checks(view, width, 20))


async def test_how_many_were_not_measured_is_said_where_they_are_not_seen() -> None:
    async with seated() as seat:
        panel = seat.app.screen.query_one("#checks", Panel)
        assert panel.border_title == "Checks (worst first; 1 n/a, last)"
        seat.run.show(snapshot(checks=[a_check("spec hash", "equal", "equal")]))
        await seat.until(
            lambda: panel.border_title == "Checks (worst first)", "a title without them"
        )
