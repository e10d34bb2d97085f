"""Asking a process of its own what may crash or hang; nothing of it reaches the terminal or stays.

Environments and networks are other people's code: they crash, hang, print and start processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from tuitrain.supervisor.crew.process import Exit, printable
from tuitrain.supervisor.house.marks import RUN_ID_VARIABLE, kill_marked

_TAIL_LINES = 20


class AsideError(Exception):
    """There is no answer; the message says what failed, with the end of what was printed."""


def ask(
    module: str,
    request: str,
    answered: Callable[[dict[str, Any]], bool],
    deadline_s: float | None,
    environment: dict[str, str] | None = None,
) -> None:
    """Run `python -P -m module FD`, give it one line on stdin, and read JSON lines from FD.

    ``{"stage": text}`` says what comes next, ``{"error": text, "traceback": text}`` that it failed.

    Args:
        answered: given every other line; true ends the asking.
        deadline_s: None is for as long as it takes.
        environment: variables laid over this process's own.

    Raises:
        AsideError: it failed, crashed, or took longer than `deadline_s` seconds.
    """
    mark = secrets.token_hex(4)
    read_fd, write_fd = os.pipe()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(write_fd)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(write_fd,),
            start_new_session=True,
            env={**os.environ, **(environment or {}), RUN_ID_VARIABLE: mark},
        )
        os.close(write_fd)
        stage = "starting Python"
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(request.encode() + b"\n")
                process.stdin.flush()
            for said in _lines(read_fd, deadline_s):
                if "error" in said:
                    raise AsideError(said["error"] + _indented(said.get("traceback", "")))
                if "stage" in said:
                    stage = said["stage"]
                elif answered(said):
                    return
            code = process.wait(timeout=5.0)
            raise AsideError(f"{stage} failed: its process ended: {Exit(code)}{_tail(output)}")
        except (TimeoutError, subprocess.TimeoutExpired):
            raise AsideError(
                f"{stage} has not come to an end within {deadline_s:g} s{_tail(output)}"
            ) from None
        finally:
            _end(process, mark)
            os.close(read_fd)


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Whatever has been started there ends with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    kill_marked(mark)


def _lines(fd: int, deadline_s: float | None) -> Iterator[dict[str, Any]]:
    """JSON lines until the end of the pipe. Raises ``TimeoutError`` at the deadline."""
    data, begun = b"", time.monotonic()
    while True:
        left = None if deadline_s is None else deadline_s - (time.monotonic() - begun)
        if (left is not None and left <= 0) or not select.select([fd], [], [], left)[0]:
            raise TimeoutError
        part = os.read(fd, 65_536)
        if not part:
            return
        *whole, data = (data + part).split(b"\n")
        for line in whole:
            yield json.loads(line)


def _tail(output: Any) -> str:
    output.seek(0)
    text = output.read()[-8_000:].decode(errors="replace")
    return _indented("\n".join(text.splitlines()[-_TAIL_LINES:]))


def _indented(text: str) -> str:
    return "".join(f"\n    {printable(line)}" for line in text.splitlines())
