"""Errors a user can do something about become a message and an exit code, never a traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")

EXIT_NOT_DONE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class Refused(Exception):
    """A command cannot be carried out as given; the message says why."""


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Print known errors on stderr and exit with 2; with 130 where Ctrl-C was pressed."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from tuitrain.config.problems import ConfigError
        from tuitrain.config.runs import RunFolderError
        from tuitrain.supervisor.house.runtime import HouseError

        try:
            return command(*args, **kwargs)
        except (ConfigError, RunFolderError, HouseError, Refused) as error:
            typer.echo(f"tuitrain: {error}", err=True)
            raise typer.Exit(EXIT_USAGE) from None
        except KeyboardInterrupt:
            typer.echo("tuitrain: interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None

    return wrapped
