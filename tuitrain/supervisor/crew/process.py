"""One worker process: started, listened to, and reaped with the truth about how it ended.

Watched by a pidfd, because multiprocessing's sentinel is a pipe that a grandchild can hold open.
At its end the control pipe is read to the last message first (that is where a traceback comes),
then its process group is killed (an environment's own children), then it is reaped.

Knows nothing of runs, commands or clients; what it hears it passes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tuitrain import regular
from tuitrain.workers import messages
from tuitrain.workers.child import UNTOLD
from tuitrain.workers.messages import FromWorker, ToWorker

MAX_MESSAGES_PER_WAKE = 64
"""Read at most this many before other events of the loop get their turn."""

LOG_TAIL_BYTES = 8_000
LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class Exit:
    """How a process ended: `code` ≥ 0 is an exit code, < 0 the signal that killed it."""

    code: int

    @property
    def ok(self) -> bool:
        """Whether it ended by itself and without an error."""
        return self.code == 0

    def __str__(self) -> str:
        if self.code == UNTOLD:
            return (
                f"exit code {self.code} (it could not tell why, its pipe to the supervisor was "
                "closed: does its environment close descriptors that it has not opened?)"
            )
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = f"signal {-self.code}"
        return f"killed by {name}{_SIGNAL_HINTS.get(name, '')}"


_SIGNAL_HINTS = {
    "SIGKILL": " (out of memory, or killed by hand; `dmesg` tells which)",
    "SIGBUS": " (shared memory is full or was removed)",
    "SIGSEGV": " (a crash in native code; the stack is in its log)",
    "SIGABRT": " (native code has given up; it may have said why in its log)",
    "SIGALRM": " (a timer that its environment has set)",
    "SIGXCPU": " (over its limit of CPU time)",
}


class WorkerProcess:
    """A started process with its control pipe.

    Args:
        name: the worker's name.
        log_path: the file its output goes to.
        on_message: called for every message, in order.
        on_exit: called once, after the last message, when the process has been reaped.
        on_garbage: called with an explanation when it sent something unreadable.
    """

    def __init__(
        self,
        name: str,
        log_path: Path,
        on_message: Callable[[FromWorker], None],
        on_exit: Callable[[Exit], None],
        on_garbage: Callable[[str], None],
    ) -> None:
        self.name = name
        self.log_path = log_path
        self.exit: Exit | None = None
        self._on_message = on_message
        self._on_exit = on_exit
        self._on_garbage = on_garbage
        self.pid: int | None = None
        """The process id, also after the end."""
        self._process: BaseProcess | None = None
        self._control: Connection | None = None
        self._pidfd: int | None = None
        self._polled = False
        self._watched_fd: int | None = None
        self.ended = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Started and not yet reaped."""
        return self._process is not None and self.exit is None

    def start(self, target: Callable[[Any], None], args: Any, control: Connection) -> None:
        """Spawn `target(args)`; `control` is the supervisor's end of its pipe.

        SIGINT is blocked meanwhile, so that Ctrl-C on the terminal cannot hit the child before it
        ignores it; the child is born with the signal blocked, in the supervisor it is delayed.
        """
        process = multiprocessing.get_context("spawn").Process(
            target=target, args=(args,), name=self.name
        )
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        self._process = process
        self._control = control
        loop = asyncio.get_running_loop()
        loop.add_reader(control.fileno(), self._read)
        self.pid = process.pid
        assert process.pid is not None
        try:
            self._pidfd = self._watched_fd = os.pidfd_open(process.pid)
        except (AttributeError, OSError):  # not Linux, or a sandbox without pidfd
            self._watched_fd, self._polled = process.sentinel, True
        loop.add_reader(self._watched_fd, self._on_end)

    def send(self, message: ToWorker) -> bool:
        """Send a command without ever blocking. False: the pipe is gone or nobody empties it."""
        if self._control is None or self.exit is not None:
            return False
        poll = select.poll()
        poll.register(self._control.fileno(), select.POLLOUT)
        if not any(event & select.POLLOUT for _, event in poll.poll(0)):
            return False
        try:
            self._control.send_bytes(messages.encode(message))
        except OSError:
            return False
        return True

    def terminate(self) -> None:
        """SIGTERM to the process."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the process and, if it leads one, its process group. Also works stopped."""
        self._kill_group()
        self._signal(signal.SIGKILL)

    def check(self) -> None:
        """Notice the end without the watcher: the fallback where there is no pidfd."""
        if self._polled and self._process is not None and self._process.exitcode is not None:
            self._on_end()

    def last_log_lines(self) -> list[str]:
        """The end of its log, without control characters."""
        try:
            with open(self.log_path, "rb", opener=regular.opener) as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        lines = [printable(line) for line in text.splitlines() if line.strip()]
        # A crash in native code ends in its stack, whose first lines say where: they are kept, and
        # what was printed before.
        marks = [n for n, line in enumerate(lines[-100:], max(0, len(lines) - 100))
                 if line.startswith(("Fatal Python error", "Current thread"))]  # fmt: skip
        if len(marks) >= 2:
            fatal, stack = marks[-2:]
            before = lines[max(0, fatal - 4) : fatal + 1]
            return before + lines[stack:][: LOG_TAIL_LINES - len(before)]
        return lines[-LOG_TAIL_LINES:]

    def _signal(self, number: signal.Signals) -> None:
        # Not reaped yet, so the pid cannot have been given to another process.
        if self.alive and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _kill_group(self) -> None:
        if self.alive and self.pid is not None:
            with contextlib.suppress(OSError):
                if os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, signal.SIGKILL)

    def _read(self) -> None:
        for _ in range(MAX_MESSAGES_PER_WAKE):
            if not self._read_one():
                return

    def _read_one(self) -> bool:
        """Pass on one message; False when there is none."""
        if self._control is None:
            return False
        try:
            # Messages are one small write each, so what can be polled can be read to its end.
            if not self._control.poll(0):
                return False
            data = self._control.recv_bytes(messages.MAX_MESSAGE_BYTES)
        except (EOFError, OSError):
            self._close_control()
            return False
        try:
            message = messages.decode_from_worker(data)
        except ValidationError as error:
            self._on_garbage(f"{error.error_count()} problems in {data[:200]!r}")
            return True
        self._on_message(message)
        return True

    def _close_control(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None

    def _on_end(self) -> None:
        if self.exit is not None or self._process is None:
            return
        while self._read_one():
            pass
        self._kill_group()
        code = self._process.exitcode  # reaps; never waits, a zombie answers at once
        if self._polled:
            self._unwatch()  # a sentinel can be readable before the process is: `check` asks again
        if code is None:
            return
        self._unwatch()
        self._close_control()
        self._process.close()
        self._process = None
        self.exit = Exit(code)
        self.ended.set()
        self._on_exit(self.exit)

    def _unwatch(self) -> None:
        if self._watched_fd is None:
            return
        asyncio.get_running_loop().remove_reader(self._watched_fd)
        self._watched_fd = None
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def printable(text: str) -> str:
    """`text` with every control character replaced, so that it can be shown on a terminal."""
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in text)
