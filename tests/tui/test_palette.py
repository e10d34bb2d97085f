"""The command palette: what it offers, shows and does."""

from __future__ import annotations

from tests.tui.harness import seated


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
