"""Starting a supervisor that outlives this command, and waiting until its run is up.

It gets a session of its own, so that closing the terminal does not reach it; stdin is /dev/null,
its output goes to `logs/supervisor.log`, and a pipe tells this process when the run is up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import typer

from tuitrain.cli.errors import EXIT_INTERRUPTED, EXIT_TERMINATED, EXIT_USAGE
from tuitrain.config.runs import RunFolder
from tuitrain.supervisor.crew.process import printable
from tuitrain.supervisor.ready import command_line
from tuitrain.supervisor.stop_signals import held_back


def start_detached(
    folder: RunFolder, tell: Callable[[str], None], folder_fd: int | None = None
) -> int:
    """Start a supervisor and return its pid once the run is up.

    Args:
        tell: shown what is being done meanwhile.
        folder_fd: by which this process holds the folder, see
            `supervisor/house/folder_lock.py`; closed.

    Raises:
        RunFolderError: `logs/supervisor.log` cannot be opened.
        typer.Exit: the run did not come up (the reason has been printed), with the supervisor's
            exit code; 130 after Ctrl-C and 143 after SIGTERM, which stop the supervisor.
    """
    log_path = folder.logs / "supervisor.log"
    read_fd, write_fd = os.pipe()
    held = [] if folder_fd is None else [folder_fd]
    told = [text for fd in held for text in ("--folder-fd", str(fd))]
    problem = "the supervisor ended without a word"
    process: subprocess.Popen[bytes] | None = None
    before = signal.signal(signal.SIGTERM, _on_terminate)
    try:
        with folder.open_supervisor_log() as log, held_back():
            process = subprocess.Popen(
                command_line(folder.path, "--headless", "--ready-fd", str(write_fd), *told),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_fd, *held),
                start_new_session=True,
            )
            for fd in (write_fd, *held):
                os.close(fd)
        for said in _lines(read_fd):
            if said["event"] == "progress":
                tell(said["text"])
            elif said["event"] == "warning":
                typer.echo(f"warning: {printable(said['text'])}", err=True)
            elif said["event"] == "ready":
                return process.pid
            else:
                problem = said["text"]
        code = process.wait()
    except (KeyboardInterrupt, _Terminated) as error:
        if process is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it has been told, and is waited for
            process.terminate()
            process.wait()
        typer.echo("tuitrain: interrupted: the run was stopped", err=True)
        asked = isinstance(error, KeyboardInterrupt)
        raise typer.Exit(EXIT_INTERRUPTED if asked else EXIT_TERMINATED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(read_fd)
    typer.echo(f"tuitrain: {printable(problem)}", err=True)
    _show_cause(folder)
    typer.echo(f"see {log_path}", err=True)
    raise typer.Exit(code if code > 0 else EXIT_USAGE)


class _Terminated(BaseException):
    """SIGTERM has come."""


def _on_terminate(number: int, frame: object) -> None:
    raise _Terminated


def _show_cause(folder: RunFolder) -> None:
    """The traceback, or last log lines, of what went wrong, from the events of this start."""
    from tuitrain.metrics.sinks import read_jsonl

    for event in reversed(list(read_jsonl(folder.events_jsonl, last=50))):
        data = event.get("data") or {}
        trace = data.get("traceback")  # "" where the message says all
        if event.get("level") == "error" and (trace is not None or data.get("log")):
            for line in data["log"] if trace is None else trace.splitlines():
                typer.echo(f"    {printable(line)}", err=True)
            return


def _lines(fd: int) -> Iterator[dict[str, Any]]:
    with open(fd, "rb", closefd=False) as file:
        for line in file:
            yield json.loads(line)
