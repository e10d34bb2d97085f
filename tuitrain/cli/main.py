"""The `tuitrain` command: puts the groups together and maps errors to exit codes.

Each group lives in its own file, which is imported when one of its commands is called (`lazy.py`),
and imports what is heavy (torch, textual) only when it is used. Nothing imports this package.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

import typer

from tuitrain.cli.errors import explained
from tuitrain.cli.lazy import LazyGroup

HELP = """
Train DQN-family agents with parallel actors, and watch it in the terminal.

\b
A first run:
    tuitrain launch configs/cartpole.toml

\b
A config for your own environment, to start from:
    tuitrain new my_env.py:make

\b
Whether this machine and that config go together:
    tuitrain doctor my_env.toml

\b
`launch` opens the terminal UI; leaving that (d) never stops training. Then:
    tuitrain ls                 which runs there are
    tuitrain attach             the terminal UI again
    tuitrain serve              the same in a browser
    tuitrain status             one look, without the UI
    tuitrain diagnose           what is wrong with it, and what to change
    tuitrain set RUN learner.lr=1e-4   change a value while it runs
    tuitrain stop               stop with a checkpoint
    tuitrain resume             go on from that checkpoint
    tuitrain logs               what its processes have printed
    tuitrain eval --episodes 50 play it greedily
    tuitrain compare --help     arms over seeds: equivalent, different or inconclusive
    tuitrain report             a page of its curves, checks and events

RUN is `latest`, a run's name (cartpole-0003, or cartpole for the newest of them; the beginning of a
name where no other begins so), its run id while it runs, or the path of its folder. Without it, the
only run that runs is meant, else the latest; by `resume`, `eval` and `report` always the latest.

Exit codes: 0 done, finished, or stopped by you; 1 a command was not carried out; 2 wrong config or
usage; 3 a worker or the run failed; 130 interrupted (Ctrl-C); 143 SIGTERM while a run started.
"""

app = typer.Typer(
    cls=LazyGroup,
    help=HELP,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(asked: bool) -> None:
    """Called while the options are read: nothing else is needed, not even a command."""
    if asked:
        import tuitrain

        typer.echo(tuitrain.__version__)
        raise typer.Exit


@app.callback()
@explained
def before_every_command(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and leave.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None:
    """Remove what dead runs left, whatever the command."""
    if context.invoked_subcommand not in ("clean", "config"):
        _sweep()


def _sweep() -> None:
    from tuitrain.supervisor.house.leftovers import sweep
    from tuitrain.supervisor.house.runtime import HouseError, RootLocked

    # A runtime folder that cannot be used is reported by the commands that need it.
    with contextlib.suppress(HouseError):
        try:
            swept = sweep()
        except RootLocked as error:
            typer.echo(f"tuitrain: what dead runs have left stays for now: {error}", err=True)
            return
        if swept:
            typer.echo(
                f"tuitrain: removed what dead runs had left ({len(swept.segments)} shared-memory "
                f"segments, {len(swept.files)} files, {len(swept.pids)} processes)",
                err=True,
            )


def main() -> None:
    """Entry point of the `tuitrain` script."""
    if sys.platform == "win32":
        print(
            "tuitrain needs Linux or macOS: it is built on POSIX record locks, unix sockets and "
            "process groups. On Windows it runs inside WSL 2.",
            file=sys.stderr,
        )
        sys.exit(2)
    _open_streams()
    try:
        os.getcwd()
    except FileNotFoundError:
        print("tuitrain: the working folder does not exist any more; cd elsewhere", file=sys.stderr)
        sys.exit(2)
    app()


def _open_streams() -> None:
    """Open what cron or a daemon has closed: the next pipe would take a standard stream's place."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number: this one
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115  # as long as we live


if __name__ == "__main__":
    main()
