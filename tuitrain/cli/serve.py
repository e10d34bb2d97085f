"""`serve`: the terminal UI of a run in a browser, for those who have the printed address."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuitrain.cli.attach import AsciiOption, CompareOption, ReadOnlyOption, compared
from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import RunArgument, RunsDirOption, find

if TYPE_CHECKING:
    from tuitrain.tui.web.server import Pages

INSTALL = "pip install 'tuitrain[serve]'"
HERE = "127.0.0.1"


@explained
def serve(
    run: RunArgument = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. Others than this machine's own are not safe."),
    ] = HERE,
    read_only: ReadOnlyOption = False,
    compare: CompareOption = None,
    ascii_only: AsciiOption = False,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
) -> None:
    """Show the terminal UI of a run in a browser, until Ctrl-C. Training never depends on it.

    Prints an address with a random token; who opens any other is refused. From another machine:
    `ssh -L 8000:127.0.0.1:8000 HOST`, then the same address. Needs the extra `serve`.
    """
    folder = find(run, runs_dir).folder
    options = screen_options(
        read_only=read_only, ascii_only=ascii_only, compare=compared(compare, runs_dir)
    )
    try:
        from tuitrain.tui.web.server import Pages
    except ModuleNotFoundError as error:
        if str(error.name).startswith("tuitrain"):
            raise
        raise Refused(f"`serve` needs the package {error.name}: {INSTALL}") from error
    pages = Pages(f"tuitrain {folder.name}", lambda: [*screen_of(folder.path, runs_dir), *options])
    if warning := unsafe(host):
        typer.echo(warning, err=True)

    def ready(port: int) -> None:
        typer.echo(f"{folder.name}: {address(host, port, pages.token)}")
        typer.echo(f"{rights(read_only=read_only)}; Ctrl-C ends it, training goes on", err=True)

    try:
        asyncio.run(_serve(pages, host, port, ready))
    except OSError as error:
        raise Refused(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error


async def _serve(pages: Pages, host: str, port: int, ready: Callable[[int], None]) -> None:
    from tuitrain.tui.web.server import serve

    over = asyncio.Event()

    def stop() -> None:
        if over.is_set():
            pages.kill()
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await serve(pages, host, port, ready, over)


def screen_of(run_dir: Path, runs_dir: Path) -> list[str]:
    """The command that shows a run as it is now: live, or what it has recorded."""
    found = find(str(run_dir), runs_dir)
    command = [sys.executable, "-m", "tuitrain.tui.web.screen", str(run_dir)]
    command += ["--server", str(os.getpid())]
    if found.socket_path is not None:
        command += ["--socket", str(found.socket_path)]
    return command


def screen_options(*, read_only: bool, ascii_only: bool, compare: Path | None) -> list[str]:
    """The same for every page: what `serve` was given."""
    flags = {"--read-only": read_only, "--ascii": ascii_only}
    beside = [] if compare is None else ["--compare", str(compare)]
    return [flag for flag, given in flags.items() if given] + beside


def rights(*, read_only: bool) -> str:
    """What the address gives to anybody."""
    may = "only look at this run" if read_only else "do all that you can with this run"
    return f"whoever has this address can {may}"


def unsafe(host: str) -> str:
    """What to say loudly where others than this machine can connect; else nothing."""
    try:
        safe = ipaddress.ip_address(host).is_loopback
    except ValueError:
        safe = host == "localhost"
    if safe:
        return ""
    return (
        f"▲ WARNING: --host {host} lets other machines connect. Nothing is encrypted: whoever sees "
        "the traffic has the token, and can do what you can do. Safer: leave --host out, and use "
        "`ssh -L` from the other machine."
    )


def address(host: str, port: int, token: str) -> str:
    """What to open."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}/{token}/"
    name = socket.gethostname() if ip.is_unspecified else f"[{host}]" if ip.version == 6 else host
    return f"http://{name}:{port}/{token}/"
