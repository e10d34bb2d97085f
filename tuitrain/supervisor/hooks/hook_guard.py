"""Runs one command of `[hooks]` and stays with it: a program of its own, of the standard library.

Everything that could take time or fail on behalf of a command happens in here and not in the
supervisor: starting it, reading what it prints, writing that to a log, waiting, and ending it with
all that it has started. Guard and command share a process group, which the guard leads; what shall
stay leaves the group, and is waited for a moment if it is still about to (``setsid ... &``).

stdin: one JSON line with the fields of ``Task``, then nothing; its end means that the supervisor is
gone or wants no more of it, and is the end of the whole group. stdout: one JSON line, ``Told``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Any, TypedDict

KEPT_BYTES = 64 * 1024
"""Of what one command prints, so much goes into the log."""

LOG_BYTES = 1024 * 1024
"""A log longer than this is put aside as `.1`, in place of the one before."""

TERMINATE_S = 2.0
"""Between SIGTERM and SIGKILL of a command that takes too long."""

LEAVE_S = 2.0
"""How long those that a command has left get to leave its process group, as `setsid` does."""

LEAVE_LOOK_MS = 20

READ_BYTES = 65_536
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Task(TypedDict):
    """What is run. `text` is written to the command's stdin, as far as it fits a pipe."""

    argv: list[str]
    environment: dict[str, str]
    folder: str
    text: str
    title: str
    timeout_s: float
    nice: int
    log_path: str


class Told(TypedDict):
    """How it went: an exit code (negative: the signal), a timeout, or why there was no start."""

    code: int | None
    timed_out: bool
    error: str
    printed_bytes: int
    log_error: str
    duration_s: float


class Log:
    """The file that output goes to; no trouble with it is the command's."""

    def __init__(self, path: str) -> None:
        self.error = ""
        self.printed_bytes = 0
        self._fd: int | None = None
        try:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_size > LOG_BYTES:
                    os.replace(path, path + ".1")
            # a pipe without a reader is an error, not a wait; a link may lead out of the run folder
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            flags |= os.O_NONBLOCK | os.O_NOFOLLOW
            self._fd = os.open(path, flags, 0o600)
        except OSError as error:
            self._failed(error)

    def output(self, data: bytes) -> None:
        """Keep what was printed, up to the limit."""
        kept = data[: max(0, KEPT_BYTES - self.printed_bytes)]
        self.printed_bytes += len(data)
        if kept:
            self.write(kept)

    def write(self, data: bytes) -> None:
        """Append; after a failure nothing more is tried."""
        while data and self._fd is not None and not self.error:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError as error:
                self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.error = self.error or str(error.strerror)


def main() -> None:
    """Read the task, run it, tell how it went, and end the group, this process included."""
    signal.signal(signal.SIGTERM, _ignore)  # not SIG_IGN, which the command would inherit
    task: Task = json.loads(_first_line())
    log = Log(task["log_path"])
    log.write(f"---- {_now()} {task['title']}\n".encode(errors="replace"))
    told = _run(task, log)
    log.write(_last_words(task["title"], told, log).encode(errors="replace"))
    told["printed_bytes"], told["log_error"] = log.printed_bytes, log.error
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(told).encode() + b"\n")
    if not told["timed_out"]:
        _let_leave()
    _end_group()


def _run(task: Task, log: Log) -> Told:
    started = time.monotonic()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    told: Told = {
        "code": None,
        "timed_out": False,
        "error": "",
        "printed_bytes": 0,
        "log_error": "",
        "duration_s": 0.0,
    }
    try:
        command = subprocess.Popen(
            task["argv"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=task["folder"],
            env=task["environment"],
            preexec_fn=lambda: _as_a_guest(task["nice"]),
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        told["error"] = f"{task['argv'][0]}: {getattr(error, 'strerror', None) or error}"
        return told
    _feed(command, task["text"])
    told["timed_out"] = _stay(command, log, started + task["timeout_s"])
    told["code"] = command.wait()
    told["duration_s"] = round(time.monotonic() - started, 3)
    return told


def _feed(command: subprocess.Popen[bytes], text: str) -> None:
    """One write that cannot block; who does not read it misses it."""
    assert command.stdin is not None
    os.set_blocking(command.stdin.fileno(), False)
    with contextlib.suppress(OSError):
        os.write(command.stdin.fileno(), text.encode(errors="replace"))
    with contextlib.suppress(OSError):
        command.stdin.close()


def _stay(command: subprocess.Popen[bytes], log: Log, deadline: float) -> bool:
    """Read what the command prints until it has ended. Returns whether it had to be ended.

    Its own end counts, not that of the pipe, which processes that it has left may hold open.
    """
    assert command.stdout is not None
    output = command.stdout.fileno()
    os.set_blocking(output, False)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _ignore)
    poll = select.poll()
    for fd in (0, output, woken):
        poll.register(fd, select.POLLIN)
    timed_out = False
    while command.poll() is None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            if timed_out:
                command.kill()
                left_s = TERMINATE_S
            else:
                os.killpg(0, signal.SIGTERM)
                timed_out, deadline = True, time.monotonic() + TERMINATE_S
                continue
        for fd, _ in poll.poll(left_s * 1000 + 1):
            if fd == 0:
                _end_group()
            elif fd == woken:
                os.read(woken, 4096)
            elif (data := _read(output)) == b"":
                poll.unregister(output)
            elif data:
                log.output(data)
    signal.set_wakeup_fd(-1)
    while log.printed_bytes < KEPT_BYTES and (data := _read(output)):
        log.output(data)
    return timed_out


def _let_leave() -> None:
    """Wait until nobody else is in the group, or for so long, or until the supervisor is gone.

    What the command has left is the guard's child, as the guard is its reaper (Linux). Elsewhere
    nothing is seen of it, and nothing waited for.
    """
    poll = select.poll()
    poll.register(0, select.POLLIN)
    deadline = time.monotonic() + LEAVE_S
    while time.monotonic() < deadline:
        try:
            ended, _ = os.waitpid(0, os.WNOHANG)  # 0: of those in this group
        except ChildProcessError:
            return
        if not ended and poll.poll(LEAVE_LOOK_MS):
            return


def _read(fd: int) -> bytes | None:
    """What is there; None if nothing is, nothing at all if nothing will come."""
    try:
        return os.read(fd, READ_BYTES)
    except BlockingIOError:
        return None


def _as_a_guest(nice: int) -> None:
    """In the command's process, before it begins: it dies with its guard, and yields to others."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.nice(nice)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _first_line() -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        part = os.read(0, READ_BYTES)
        if not part:
            _end_group()
        data += part
    return data


def _last_words(title: str, told: Told, log: Log) -> str:
    left_out = log.printed_bytes - KEPT_BYTES
    cut = f"\n---- {title}: {left_out:,} more bytes were printed" if left_out > 0 else ""
    how = told["error"] or f"code {told['code']} after {told['duration_s']:.1f} s"
    late = "took too long, " if told["timed_out"] else ""
    return f"{cut}\n---- {_now()} {title}: {late}{how}\n"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")


def _ignore(number: int, frame: FrameType | None) -> Any:
    """A handler that does nothing; unlike SIG_IGN it is not inherited."""


def _end_group() -> None:
    """SIGKILL to everybody in this process group, this process included."""
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
