"""What can be done has one name: as a key, in the palette, in help and guide, and as a command.

Each list is derived from where it is made, and they are compared. What is asked of a run is a
command-line command of the same name, so that scripts can do what fingers can; what changes this
screen alone has none, and `tuitrain export --press` presses it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import typer
from textual import _wait

from tests.tui.fixtures import snapshot
from tests.tui.harness import Seat, seated
from tuitrain.cli.lazy import COMMANDS
from tuitrain.cli.main import app as cli
from tuitrain.protocol import Command, Reply, Request
from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.dialogs.leave import KillDialog
from tuitrain.tui.dialogs.set import SetDialog
from tuitrain.tui.dialogs.sure import SureDialog
from tuitrain.tui.widgets.keys import LEFT, RIGHT

ASKED = set(get_args(Command)) - {"subscribe", "status"}
"""What can be asked of a run; those two are what every screen lives on."""

FILES = {"logs", "export"}
"""What fingers do with a run's files."""

NAMELESS = {"↑", "↓", "PgUp", "PgDn", "ctrl+p"}
"""Keys that only move, and the palette's own."""

SHOWN = {"question_mark": "?", "exclamation_mark": "!", "left_square_bracket": "[",
         "right_square_bracket": "]", "plus": "+", "minus": "-", "slash": "/",
         "equals_sign": "=", "left_parenthesis": "(", "right_parenthesis": ")", "left": "←",
         "right": "→", "escape": "esc"}  # fmt: skip


def named() -> dict[str, str]:
    """What every key that has a name does, by what is printed on it."""
    return {
        SHOWN.get(key, key): binding.description
        for binding in TuitrainApp(Path(), None).own_bindings()
        if binding.description and not binding.system
        for key in binding.key.split(",")
    }


def guide() -> list[tuple[set[str], str]]:
    """Of every row in the guide's table of keys: the keys, and what is said for scripts."""
    text = (Path(__file__).parents[2] / "docs" / "guide" / "screen.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| `.*\|.*\|$", line)]
    return [
        (set(re.findall(r"`(\S+?)`", row[0].replace("`1`–`5`", "`1` `2` `3` `4` `5`"))), row[-1])
        for row in rows
    ]


async def answered(seat: Seat) -> None:
    """Answer a dialog that asks whether and what, as somebody who means it; close any other."""
    answers = {SureDialog: ["enter"], KillDialog: ["n", "enter"],
               SetDialog: ["x", "equals_sign", "1", "enter"]}  # fmt: skip
    for kind, keys in answers.items():
        if isinstance(seat.app.screen, kind):
            await seat.press(*keys)
    while len(seat.app.screen_stack) > 1:
        await seat.app.pop_screen()


async def test_what_is_asked_of_a_run_has_the_name_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything in the palette is done, to see what reaches the run."""
    monkeypatch.setattr(TuitrainApp, "exit", lambda *_: None)
    # a dialog may open some time after its key, and nothing tells that none will
    monkeypatch.setattr(_wait, "SLEEP_GRANULARITY", 1 / 20)
    asked: dict[str, str] = {}
    title = ""

    def answer(request: Request) -> Reply:
        asked.setdefault(request.command, title)
        return Reply(id=request.id, ok=True, message="done")

    async with seated(snapshot(name="n"), (80, 24), tmp_path) as seat:
        app, seat.run.on_request = seat.app, answer
        app.selected = "a0"
        for state in ("paused", "running"):
            seat.run.show(snapshot(name="n", state=state))
            await seat.shows(state.upper())
            for offer in app.get_system_commands(app.screen):
                title = offer.title
                if state == "running" or "unpause" in title:
                    offer.callback()
                    await seat.settle()
                    await answered(seat)
                    assert app.client is not None
                    await app.client.request("status")  # what was asked before it has arrived
    del asked["status"]
    assert set(asked) == ASKED, "what cannot be asked from the palette"
    unlike = {name: title for name, title in asked.items() if name not in re.split(r"\W", title)}
    assert not unlike, f"commands that the palette has under another name: {unlike}"


def test_what_is_asked_of_a_run_is_a_command() -> None:
    assert set(COMMANDS) >= ASKED | FILES


async def test_every_key_is_in_the_palette() -> None:
    async with seated() as seat:
        offered = {offer.title for offer in seat.app.get_system_commands(seat.app.screen)}
    assert set(named().values()) <= offered
    without = {name for name, *_ in TuitrainApp.WITHOUT_KEY} | {"theme"}
    assert offered - set(named().values()) == without


def test_the_help_has_every_key_and_no_other() -> None:
    told = {key for subject in (*LEFT, *RIGHT) for keys, _ in subject.keys
            for key in keys.replace("1-5", "1 2 3 4 5").replace("↑↓", "↑ ↓").split()}  # fmt: skip
    assert told - NAMELESS == set(named())


def test_the_guide_has_every_key_and_no_other() -> None:
    told = {key for keys, _ in guide() for key in keys}
    assert told - NAMELESS == set(named())


def test_the_guide_names_the_command_of_every_key_that_has_one() -> None:
    commands = typer.main.get_command(cli).commands
    told: set[str] = set()
    for _, scripts in guide():
        words = re.sub(r"tuitrain ", "", " ".join(re.findall(r"`(.+?)`", scripts))).split()
        named_here = [word for word in words if word.islower() and word.isalpha()]
        told |= set(named_here)
        options = {name for one in named_here for param in commands[one].params
                   for name in param.opts}  # fmt: skip
        assert {word for word in words if word.startswith("--")} <= options
    assert told >= ASKED | FILES
