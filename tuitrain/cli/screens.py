"""What fingers do on the screen, for scripts: `export` (key x) and `logs` (key l)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tuitrain.cli.attach import AsciiOption
from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import RunArgument, RunsDirOption, find

MOST_CELLS = 1000


@explained
def export(
    run: RunArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(
            show_default="RUN/screens/screen-TIME.svg",
            help="The picture; .txt and .json are put beside it.",
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Columns and lines of the screen.")] = "120x40",
    tab: Annotated[int, typer.Option(min=1, max=5, help="Number of the tab.")] = 1,
    press: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="A key to press before the picture is made: `i` explains the worst check, `?` has "
            "all keys. May be given several times. Nothing is asked of the run.",
        ),
    ] = None,
    ascii_only: AsciiOption = False,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
) -> None:
    """Write a run's screen as SVG and text, and what it shows as JSON; no terminal is needed.

    Of a run that has ended it shows what was recorded. Prints the path of the picture.
    """
    from tuitrain.tui.export import UnknownKey
    from tuitrain.tui.export import export as write
    from tuitrain.tui.screenshot import new_path

    cells = _size(size)
    found = find(run, runs_dir)
    path = out if out is not None else new_path(found.folder.path)
    try:
        asyncio.run(
            write(
                found.folder.path,
                path,
                size=cells,
                tab=tab,
                keys=press or (),
                ascii_only=ascii_only,
                socket_path=found.socket_path,
            )
        )
    except UnknownKey as error:
        raise Refused(f"--press {error}") from error
    except TimeoutError:
        raise Refused(f"{found.folder.name} does not say anything; is it suspended?") from None
    except OSError as error:
        raise Refused(f"{error.filename} cannot be written: {error.strerror}") from error
    typer.echo(path)


@explained
def logs(
    run: RunArgument = None,
    source: Annotated[
        str,
        typer.Argument(
            metavar="[SOURCE]", help="`all`, `a*` (all actors), or a worker: supervisor, a0, …"
        ),
    ] = "all",
    words: Annotated[
        str, typer.Option("--filter", metavar="WORDS", help="Only lines with these words.")
    ] = "",
    runs_dir: RunsDirOption = DEFAULT_RUNS,
) -> None:
    """Print the newest lines of a run's logs, at most 64 KiB, and nothing that moves a cursor."""
    from tuitrain.tui.view import View
    from tuitrain.tui.widgets.logs import read, sources

    folder = find(run, runs_dir).folder
    found = sources(folder.path)
    chosen = next((one for one in found if one.name == source), None)
    if chosen is None:
        names = ", ".join(one.name for one in found) or "none"
        raise Refused(f"{folder.name} has no log {source!r}; it has: {names}")
    lines, note = read(chosen)
    if note:
        typer.echo(note, err=True)
    view = View(filter=words)
    for line in lines:
        if view.matches(line):
            typer.echo(line)


def _size(words: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in words.lower().split("x"))
    except ValueError:
        raise Refused(f"--size {words!r} is not WIDTHxHEIGHT, e.g. 120x40") from None
    if not (1 <= width <= MOST_CELLS and 1 <= height <= MOST_CELLS):
        raise Refused(f"--size {words} is not between 1x1 and {MOST_CELLS}x{MOST_CELLS} cells")
    return width, height
