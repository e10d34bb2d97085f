"""Keys that ask the run for something: what reaches it, and what the screen says of the answer."""

from __future__ import annotations

import pytest

from tests.tui.fixtures import paused
from tests.tui.harness import seated
from tuitrain.tui.view import Notice, View
from tuitrain.tui.widgets.messages import draw_notice


@pytest.mark.parametrize(
    ("key", "command"),
    [("p", "pause"), ("s", "resync"), ("c", "checkpoint"), ("e", "evaluate")],
)
async def test_keys_command_the_run_and_show_the_answer(key: str, command: str) -> None:
    async with seated() as seat:
        await seat.press(key)
        request = await seat.asked(command)
        assert f"◌ {command} … pending" in await seat.text()
        await seat.press(key)
        assert seat.run.commands == [command], "not asked twice"
        seat.run.answer(request, "all 10 acknowledged in 0.4 s")
        await seat.shows(f"✓ {command}: all 10 acknowledged in 0.4 s")


async def test_unpause() -> None:
    async with seated(paused()) as seat:
        await seat.press("p")
        await seat.asked("unpause")


async def test_a_refusal_is_shown() -> None:
    async with seated() as seat:
        await seat.press("c")
        seat.run.answer(await seat.asked("checkpoint"), "disk is full", ok=False)
        await seat.shows("✖ checkpoint: disk is full")


async def test_what_the_run_answers_is_told_once() -> None:
    """It is among the run's own events; and no word is doubled."""
    async with seated() as seat:
        for key, text, ok, shown in (
            ("p", "paused: 5 of 5 workers hold", True, "✓ paused: 5 of 5 workers hold"),
            ("s", "compared 5 workers", True, "✓ resync: compared 5 workers"),
            ("c", "no checkpoint: disk is full", False, "✖ checkpoint: no checkpoint: disk is"),
        ):
            events = len(seat.app.store.events)
            await seat.press(key)
            (asked,) = seat.app.pending
            seat.run.answer(await seat.asked(asked), text, ok=ok)
            await seat.shows(shown)
            assert len(seat.app.store.events) == events


async def test_a_command_whose_run_goes_away() -> None:
    async with seated() as seat:
        await seat.press("c")
        await seat.asked("checkpoint")
        await seat.run.stop()
        await seat.shows("✖ checkpoint: the connection to the run was lost before it answered")


async def test_of_a_long_answer_whole_clauses_are_shown_and_where_the_rest_is() -> None:
    said = (
        "compared 6 workers: equal versions are equal bytes; default v990 in learner, v989 in "
        "5 workers; who holds an older one takes newer ones in its own time"
    )
    async with seated(size=(80, 24)) as seat:
        await seat.press("s")
        seat.run.answer(await seat.asked("resync"), said)
        await seat.shows(
            "✓ resync: compared 6 workers: equal versions are equal bytes; more: Events\n"
        )


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, "✓ set: learner.lr = 0.0005 (was 0.001; until now lr 0.000793 …); more: Events"),
        (100, "(was 0.001; until now lr 0.000793, which its linear …); more: Events"),
        (150, "which its linear schedule makes about 0.00039); 4 workers have it; more: Events"),
        (24, "✓ set …; more: Events"),
    ],
)
def test_a_long_clause_is_cut_at_a_word_and_its_bracket_closed(width: int, shown: str) -> None:
    said = (
        "set: learner.lr = 0.0005 (was 0.001; until now lr 0.000793, which its linear schedule "
        "makes about 0.00039); 4 workers have it; from now on the run is not reproducible"
    )
    (line,) = draw_notice(View(notice=Notice(said, "ok")), width, 1)
    assert line.plain.endswith(shown)
    assert line.cell_len <= width
