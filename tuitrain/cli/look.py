"""Looking at an environment before there is a run: a process of its own, and nothing left of it.

Environments crash, hang, print and start processes; none of that may reach the terminal or stay.
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
from collections.abc import Iterator
from typing import Any

from tuitrain.cli.errors import Refused
from tuitrain.config.schema import EnvConfig
from tuitrain.config.starter import Seen, SeenPolicy
from tuitrain.supervisor.house import RUN_ID_VARIABLE, kill_marked
from tuitrain.supervisor.process import Exit, printable

DEADLINE_S = 120.0
"""As long as a worker may take to start (`supervisor.startup_deadline_s`)."""

_TAIL_LINES = 20


def look_at(config: EnvConfig, deadline_s: float = DEADLINE_S) -> Seen:
    """Build, reset and step an environment in a process of its own.

    Raises:
        Refused: it cannot be built, is not supported, crashed, or took longer than `deadline_s`.
    """
    mark = secrets.token_hex(4)
    read_fd, write_fd = os.pipe()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tuitrain.workers.look", str(write_fd)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(write_fd,),
            start_new_session=True,
            env={**os.environ, RUN_ID_VARIABLE: mark},
        )
        os.close(write_fd)
        stage = "starting Python"
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(config.model_dump_json().encode() + b"\n")
                process.stdin.flush()
            for said in _lines(read_fd, time.monotonic() + deadline_s):
                if "seen" in said:
                    return _seen(config, said["seen"])
                if "error" in said:
                    raise Refused(said["error"] + _indented(said.get("traceback", "")))
                stage = said["stage"]
            code = process.wait(timeout=5.0)
            raise Refused(f"{stage} failed: its process ended: {Exit(code)}{_tail(output)}")
        except (TimeoutError, subprocess.TimeoutExpired):
            raise Refused(
                f"{stage} has not come to an end within {deadline_s:g} s{_tail(output)}"
            ) from None
        finally:
            _end(process, mark)
            os.close(read_fd)


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Whatever the environment has started ends with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    kill_marked(mark)


def _lines(fd: int, deadline: float) -> Iterator[dict[str, Any]]:
    """JSON lines until the end of the pipe. Raises ``TimeoutError`` at the deadline."""
    data = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise TimeoutError
        part = os.read(fd, 65_536)
        if not part:
            return
        *whole, data = (data + part).split(b"\n")
        for line in whole:
            yield json.loads(line)


def _seen(config: EnvConfig, data: dict[str, Any]) -> Seen:
    policies = {
        name: SeenPolicy(
            shape=tuple(policy["shape"]),
            dtype=policy["dtype"],
            high=policy["high"],
            n_actions=policy["n_actions"],
            agents=tuple(policy["agents"]),
            masked=policy["masked"],
            layout=tuple(policy["layout"]),
        )
        for name, policy in data.pop("policies").items()
    }
    return Seen(config.id, policies, config.kwargs, **data)


def _tail(output: Any) -> str:
    output.seek(0)
    text = output.read()[-8_000:].decode(errors="replace")
    return _indented("\n".join(text.splitlines()[-_TAIL_LINES:]))


def _indented(text: str) -> str:
    return "".join(f"\n    {printable(line)}" for line in text.splitlines())
