"""The command palette: what it offers, shows and does."""

from __future__ import annotations

import pytest

from tests.tui.harness import seated
from tuitrain.tui.palette import has_words


async def test_the_palette_acts() -> None:
    async with seated() as seat:
        (offer,) = (
            c for c in seat.app.get_system_commands(seat.app.screen) if c.title == "checkpoint"
        )
        offer.callback()
        await seat.asked("checkpoint")


async def test_the_palette_shows_what_it_finds() -> None:
    async with seated(size=(80, 24)) as seat:
        await seat.press("ctrl+p", *"resy")
        await seat.shows("key s")
        await seat.press("enter")
        await seat.asked("resync")


async def test_the_palette_in_ascii() -> None:
    async with seated(size=(80, 24), ascii_only=True) as seat:
        await seat.press("ctrl+p")
        assert (await seat.shows("key 3")).isascii()
        await seat.press(*"ki")
        assert (await seat.shows("kill")).isascii()


@pytest.mark.parametrize("query", ["learning rate", "lr", "change", "Epsilon"])
async def test_the_palette_finds_by_what_is_said_of_an_action(query: str) -> None:
    async with seated(size=(80, 24)) as seat:
        await seat.press("ctrl+p", *("space" if c == " " else c for c in query))
        await seat.shows("key S: change learning rate (lr), epsilon")
        await seat.press("enter")
        await seat.shows("Change while the run goes on")


def test_words_of_a_query_begin_words() -> None:
    assert has_words("RATE learn", "change learning rate (lr)")
    assert has_words("lr", "change learning rate (lr)")
    assert not has_words("lr", "zoom x: later")
    assert not has_words("ate", "learning rate")
