"""Every key is in the palette and in the help; what it asks of a run has a command's name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from tests.tui.harness import seated
from tuitrain.cli.main import app as cli
from tuitrain.protocol import Command
from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.widgets.keys import LEFT, RIGHT

SHOWN = {"question_mark": "?", "exclamation_mark": "!", "left_square_bracket": "[",
         "right_square_bracket": "]", "plus": "+", "minus": "-", "slash": "/",
         "equals_sign": "=", "left_parenthesis": "(", "right_parenthesis": ")", "left": "←",
         "right": "→", "escape": "esc"}  # fmt: skip


def keys_of(app: TuitrainApp) -> dict[str, str]:
    """Description of every key that has one, by what is printed on it."""
    return {
        SHOWN.get(key, key): binding.description
        for binding in app.own_bindings()
        if binding.description and not binding.system
        for key in binding.key.split(",")
    }


async def test_every_action_is_in_the_palette() -> None:
    async with seated() as seat:
        offered = {c.title for c in seat.app.get_system_commands(seat.app.screen)}
        assert set(keys_of(seat.app).values()) <= offered
        assert {"stop and checkpoint", "kill", "theme"} <= offered


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


def test_every_key_is_in_the_help() -> None:
    explained = {
        key
        for subject in (*LEFT, *RIGHT)
        for keys, _ in subject.keys
        for key in keys.replace("1-5", "1 2 3 4 5").split()
    }
    missing = set(keys_of(TuitrainApp(Path(), None))) - explained
    assert not missing, f"keys without help: {missing}"


def test_every_key_is_in_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "screen.md").read_text()
    explained = set(re.findall(r"`([^`\s]+)`", guide)) | set("12345")
    missing = set(keys_of(TuitrainApp(Path(), None))) - explained
    assert not missing, f"keys that docs/guide/screen.md does not name: {missing}"


def test_what_is_asked_of_a_run_is_a_command_of_the_same_name() -> None:
    """So that scripts can do what fingers can."""
    commands = {command.name for command in cli.registered_commands}
    asked = (set(get_args(Command)) - {"subscribe"}) | {"logs", "export"}
    assert asked <= commands, f"no command-line command for {asked - commands}"
    for binding in TuitrainApp(Path(), None).own_bindings():
        if named := re.fullmatch(r"command\('(\w+)'\)", binding.action):
            assert named[1] in asked
