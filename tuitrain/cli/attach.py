"""`attach`: the terminal UI of a run; which one is asked where more than one lives."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import RUN_DEFAULT, Found, RunsDirOption, every, find
from tuitrain.cli.runs import print_summary, row_of
from tuitrain.config.places import runs_dir as default_runs_dir
from tuitrain.config.runs import RunFolder

ANSWER_S = 1.0
"""Longest wait for each living run to say how far it is, before there is something to see."""
MOST_ENDED = 20
"""So many runs that have ended, the newest, are offered beside those that live."""

ReadOnlyOption = Annotated[
    bool, typer.Option("--read-only", help="Only look: no key asks anything of the run.")
]

AsciiOption = Annotated[
    bool,
    typer.Option("--ascii", help="Draw with ASCII characters alone, as with TUITRAIN_ASCII=1."),
]

CompareOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Draw this run's curves beside, fainter; key = chooses another, or none.",
    ),
]


@explained
def attach(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            show_default=f"{RUN_DEFAULT}, or a choice where more than one lives",
            help="`latest`, a run's name, its run id while it runs, or its folder.",
        ),
    ] = None,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    read_only: ReadOnlyOption = False,
    compare: CompareOption = None,
    ascii_only: AsciiOption = False,
) -> None:
    """Open the terminal UI of a run. An ended run shows its recorded metrics.

    Leaving the UI (d) never stops training. Any number of terminals may look at the same run.
    """
    found = find(run, runs_dir)
    other = compared(compare, runs_dir)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused("`attach` needs a terminal; `tuitrain status` prints one look without one")
    several = offered(every(runs_dir), runs_dir) if run is None else []
    if several:
        chosen = _ask_for(several, runs_dir, ascii_only)
        if chosen is None:
            return
        found = several[chosen]
    raise typer.Exit(show(found, read_only=read_only, ascii_only=ascii_only, compare=other))


def compared(run: str | None, runs_dir: Path) -> Path | None:
    """The folder of the run that `--compare` names, if it names one.

    Raises:
        RunFolderError: there is no such run.
    """
    return None if run is None else find(run, runs_dir).folder.path


def show(
    found: Found,
    *,
    read_only: bool = False,
    ascii_only: bool = False,
    compare: Path | None = None,
) -> int:
    """Run the terminal UI until the user leaves it; then say how to come back."""
    from tuitrain.tui.terminal import show_run

    code = show_run(
        found.folder.path,
        found.socket_path,
        read_only=read_only,
        ascii_only=ascii_only,
        compare=compare,
    )
    again = find(str(found.folder.path), DEFAULT_RUNS)
    if again.tenant is not None:
        typer.echo(how_to_return(again.folder))
    else:
        summary = again.folder.read_summary()
        if summary is not None:
            print_summary(summary)
    return code


def how_to_return(folder: RunFolder, now: str = "goes on") -> str:
    """What to type after leaving a run that goes on, or has been started without being looked at.

    Its name, or its folder where the name would not be looked for or means another run.
    """
    home = folder.path.parent.resolve() == default_runs_dir().resolve()
    run = folder.name if home else shlex.quote(str(folder.path))
    return (
        f"{folder.name} {now}.  `tuitrain attach {run}` shows it again, "
        f"`tuitrain stop {run}` stops it with a checkpoint."
    )


def offered(runs: list[Found], runs_dir: Path) -> list[Found]:
    """What to choose from where more than one run lives: first those of this folder that live,
    then those that live elsewhere, then those that have ended; of each the newest first."""
    living = [found for found in reversed(runs) if found.tenant is not None]
    if len(living) < 2:
        return []
    here = [found for found in living if _is_of(found, runs_dir)]
    elsewhere = [found for found in living if found not in here]
    ended = [found for found in reversed(runs) if found.tenant is None]
    return [*here, *elsewhere, *ended[:MOST_ENDED]]


def _is_of(found: Found, runs_dir: Path) -> bool:
    return found.folder.path.parent.resolve() == runs_dir.resolve()


def told_where(found: Found, runs_dir: Path) -> str:
    """The folder of a run that is not of this one: by that two of one name are told apart."""
    if _is_of(found, runs_dir):
        return ""
    folder = found.folder.path.parent
    for near, sign in ((Path.cwd(), "."), (Path.home(), "~")):
        if folder.is_relative_to(near):
            return f"in {Path(sign) / folder.relative_to(near)}"
    return f"in {folder}"


def _ask_for(several: list[Found], runs_dir: Path, ascii_only: bool) -> int | None:
    """The number of the run that the user chooses, or None."""
    from tuitrain.tui.picker import Entry
    from tuitrain.tui.terminal import pick
    from tuitrain.tui.text import count, number

    entries = []
    for found in several:
        row = row_of(found, ANSWER_S)
        words = f"{count(row['steps'])}/{count(row['total_steps'])} steps"
        if row["eval_best"] is not None:
            words += f"  best eval {number(row['eval_best'])}"
        where = told_where(found, runs_dir)
        entries.append(Entry(found.folder.name, row["state"], words, row["live"], where))
    return pick(entries, ascii_only=ascii_only)
