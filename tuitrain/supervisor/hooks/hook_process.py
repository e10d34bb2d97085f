"""One running command of `[hooks]`, as the supervisor sees it: started, and told of at its end.

The work is the guard's (``hook_guard.py``). Starting it is one spawn and a small write to a pipe;
after that the supervisor only reads a line when it comes. Whatever becomes of guard and command,
the end of the guard's pipe is noticed, its process group is killed and the guard is reaped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuitrain.supervisor.crew.process import Exit
from tuitrain.supervisor.hooks import hook_guard
from tuitrain.supervisor.hooks.hook_guard import Task

LATEST_S = hook_guard.TERMINATE_S + 5.0
"""A guard that is so much later than its command's timeout is itself ended."""

MAX_TOLD_BYTES = 16_000


class HookProcess:
    """A guard and its command.

    Args:
        task: what is run.
        on_end: called once, when all of it is gone, with what went wrong in words, or None.

    Raises:
        OSError: no process could be started.
    """

    def __init__(self, task: Task, on_end: Callable[[str | None], None]) -> None:
        self.ended = asyncio.Event()
        self._on_end = on_end
        self._timeout_s = task["timeout_s"]
        self._told = b""
        self._given_up = ""
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(hook_guard.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=task["environment"],
            start_new_session=True,
        )
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        self._fd = self._guard.stdout.fileno()
        self._lifeline = self._guard.stdin.fileno()
        os.set_blocking(self._fd, False)
        os.set_blocking(self._lifeline, False)
        loop = asyncio.get_running_loop()
        self._left = memoryview(json.dumps(task).encode() + b"\n")
        self._feed()
        loop.add_reader(self._fd, self._read)
        self._late = loop.call_later(task["timeout_s"] + LATEST_S, self._too_late)

    @property
    def pid(self) -> int:
        """Of the guard, which is also the process group's."""
        return self._guard.pid

    def kill(self, why: str) -> None:
        """End guard and command at once; `on_end` is told `why`."""
        if not self.ended.is_set():
            self._given_up = self._given_up or why
            self._kill_group()

    def _too_late(self) -> None:
        self._read()  # if this process was stopped, the guard may have answered long ago
        if not self._told:
            self.kill("its guard did not answer")

    def _feed(self) -> None:
        """Write the task; what does not fit the pipe follows when the guard has read."""
        loop = asyncio.get_running_loop()
        try:
            self._left = self._left[os.write(self._lifeline, self._left) :]
        except BlockingIOError:
            pass
        except OSError:  # it has died already, which its other pipe tells
            self._left = self._left[:0]
        if self._left:
            loop.add_writer(self._lifeline, self._feed)
        else:
            loop.remove_writer(self._lifeline)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, MAX_TOLD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and len(self._told) < MAX_TOLD_BYTES:
            self._told += data
            return
        self._over()

    def _over(self) -> None:
        """The guard has ended (nobody else holds its pipe). It is reaped last, so that its group
        can be killed under a number that is still its own."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._lifeline)
        self._late.cancel()
        self._kill_group()
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._guard.wait()
        self.ended.set()
        self._on_end(self._given_up or trouble(self._told, self._timeout_s))

    def _kill_group(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._guard.pid, signal.SIGKILL)


def trouble(told: bytes, timeout_s: float) -> str | None:
    """What went wrong, in words; None if nothing did.

    Args:
        told: the guard's line, or whatever came instead.
    """
    try:
        said: dict[str, Any] = json.loads(told)
        code, log_error = said["code"], said["log_error"]
        if said["error"]:
            what = str(said["error"])
        elif said["timed_out"]:
            what = f"took longer than {timeout_s:g} s (hooks.timeout_s) and was ended"
        elif code:
            what = str(Exit(code)) + (" (command not found)" if code == 127 else "")
        else:
            what = ""
    except (ValueError, TypeError, KeyError):
        return "its guard was killed"
    log = f"cannot write its log: {log_error}" if log_error else ""
    return "; ".join(part for part in (what, log) if part) or None
