"""`see`: one look at what actor 0 of a running run sees, for scripts and fingers."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from tuitrain.cli.attach import AsciiOption
from tuitrain.cli.commands import DEFAULT_RUNS, JsonOption, living
from tuitrain.cli.errors import EXIT_NOT_DONE, explained
from tuitrain.cli.find import RunArgument, RunsDirOption


@explained
def see(
    run: RunArgument = None,
    policy: Annotated[str, typer.Option(show_default="the first", help="Whose observation.")] = "",
    ascii_only: AsciiOption = False,
    as_json: JsonOption = False,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
) -> None:
    """Draw what actor 0 sees now: of an image or a grid world, 48 by 48 pixels at most.

    Without a terminal, or with NO_COLOR, it is drawn in ASCII.
    """
    from rich.console import Console

    from tuitrain.cli.client import BlockingClient
    from tuitrain.tui.widgets.sight import paint, paint_ascii, unpack

    found = living(run, runs_dir)
    assert found.socket_path is not None
    with BlockingClient(found.socket_path, name=found.folder.name) as client:
        reply = client.ask("see", policy=policy)
    pixels = unpack(reply.result) if reply.ok else None
    if as_json:
        typer.echo(json.dumps(reply.model_dump(mode="json")))
    elif pixels is not None:
        console = Console()
        plain = ascii_only or console.no_color or not sys.stdout.isatty()
        draw = paint_ascii if plain else paint
        for line in draw(pixels, console.width, max(8, console.height - 2)):
            console.print(line, no_wrap=True, crop=True)
    typer.echo(f"{found.folder.name}: {reply.message}", err=True)
    if pixels is None:
        raise typer.Exit(EXIT_NOT_DONE)
