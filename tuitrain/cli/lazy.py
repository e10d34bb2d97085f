"""All commands by name; the one that is called is imported and built, the others wait for `--help`.

Typer builds every command's options from its function's signature, which for thirty of them takes
as long as a screen takes to be drawn.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "new": "new:new",
    "doctor": "doctor:doctor",
    "launch": "launch:launch",
    "resume": "launch:resume",
    "attach": "attach:attach",
    "serve": "serve:serve",
    "ls": "runs:ls",
    "status": "runs:status",
    "diagnose": "diagnose:diagnose",
    "pause": "commands:pause",
    "unpause": "commands:unpause",
    "resync": "commands:resync",
    "checkpoint": "commands:checkpoint",
    "evaluate": "commands:evaluate",
    "set": "commands:set_values",
    "restart": "commands:restart",
    "stacks": "commands:stacks",
    "see": "see:see",
    "stop": "commands:stop",
    "kill": "commands:kill",
    "eval": "evaluate:evaluate",
    "compare": "compare:compare",
    "report": "report:report",
    "logs": "screens:logs",
    "export": "screens:export",
    "clean": "runs:clean",
    "config": "config_cmd:app",
}
"""Module of this package and what is in it, a function or a group, in the order of `--help`."""


@cache
def built(name: str) -> Any:
    """The command of this name, as typer makes it."""
    module, _, attribute = COMMANDS[name].partition(":")
    found = getattr(importlib.import_module(f"tuitrain.cli.{module}"), attribute)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
        group: Any = typer.main.get_command(alone)
        return group.commands[name]
    alone.command(name)(found)
    return typer.main.get_command(alone)


class _Built(Mapping[str, Any]):
    """What a group asks for its commands; names cost nothing."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        return built(name)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class LazyGroup(TyperGroup):
    """The `tuitrain` command."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Built()

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in order."""
        return list(COMMANDS)
