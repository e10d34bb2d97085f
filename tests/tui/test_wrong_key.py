"""A key that means nothing says so."""

from __future__ import annotations

import pytest

from tests.tui.harness import seated


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("b", "● b does nothing here; ? lists all keys"),
        ("P", "P does nothing here, p is: pause or unpause; ? lists all keys"),
        ("r", "r does nothing here, R is: restart the chosen process; ? lists all keys"),
        ("h", "h does nothing here, ? is: help; ? lists all keys"),
        ("f5", "f5 does nothing here; ? lists all keys"),
    ],
)
async def test_it_says_so_and_what_may_have_been_meant(key: str, words: str) -> None:
    async with seated() as seat:
        await seat.press(key)
        assert words in await seat.text()
        assert seat.run.commands == []


async def test_over_a_dialog_it_says_how_to_close_that() -> None:
    async with seated() as seat:
        await seat.press("i", "b")
        assert "b does nothing here; esc closes what is open" in await seat.text()


async def test_keys_that_mean_something_and_typing_are_none() -> None:
    async with seated() as seat:
        await seat.press("g", "up", "tab", "2", "slash", "b", "h", "escape")
        await seat.press("S", "b", "escape")
        assert seat.app.wrong_keys == ()
