"""A program in a terminal that nobody looks at: what it writes is counted and searched."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

import psutil

_CONTROL = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[P\]][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")
_READ_BYTES = 65_536
_KEPT_BYTES = 262_144
END_S = 10.0


class Terminal:
    """A program on a pseudoterminal, from its start on.

    Args:
        command: The program and its arguments.
        columns: Width in cells.
        rows: Height in lines.
        env: Its environment.
    """

    def __init__(
        self, command: Sequence[str], columns: int, rows: int, env: Mapping[str, str]
    ) -> None:
        self._master, slave = pty.openpty()
        self._name = os.ttyname(slave)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._seen = b""
        self.started = time.perf_counter()
        self.process = psutil.Popen(
            list(command), stdin=slave, stdout=slave, stderr=slave, env=dict(env),
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """End it, in good order if it will."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.terminate()
        ends = time.perf_counter() + END_S
        while self.process.poll() is None and time.perf_counter() < ends:
            self.read(0.1)  # or it could not write its last words
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def press(self, keys: bytes) -> float:
        """Send keys; returns when (``time.perf_counter``)."""
        now = time.perf_counter()
        os.write(self._master, keys)
        return now

    def read(self, seconds: float) -> int:
        """Read what it writes for so long; returns how many bytes that was."""
        count, ends = 0, time.perf_counter() + seconds
        while (left := ends - time.perf_counter()) > 0:
            count += self._read_some(left)
        return count

    def wait_for(self, words: str, deadline_s: float) -> float:
        """Read until it has written these words since the last call; returns when.

        Raises:
            TimeoutError: it has not, within ``deadline_s``.
        """
        ends = time.perf_counter() + deadline_s
        while words.encode() not in _CONTROL.sub(b"", self._seen):
            left = ends - time.perf_counter()
            if left <= 0 or self.process.poll() is not None:
                shown = _CONTROL.sub(b" ", self._seen)[-2000:].decode(errors="replace")
                raise TimeoutError(f"{words!r} was not written; the last was: {shown}")
            self._read_some(left)
        now = time.perf_counter()
        self._seen = b""
        return now

    def fill(self) -> bool:
        """Write past the program until there is no room: its next write waits until we read.

        Returns:
            Whether there was room.
        """
        theirs = os.open(self._name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        room = False
        with contextlib.suppress(BlockingIOError):
            while os.write(theirs, b" " * 1024):
                room = True
        os.close(theirs)
        return room

    def cpu_s(self) -> float:
        """Processor seconds it has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss_mib(self) -> float:
        """Memory it has in use."""
        return float(self.process.memory_info().rss) / 2**20

    def _read_some(self, seconds: float) -> int:
        if not select.select([self._master], [], [], seconds)[0]:
            return 0
        try:
            some = os.read(self._master, _READ_BYTES)
        except OSError:  # its end of the terminal is closed
            time.sleep(min(seconds, 0.05))
            return 0
        self._seen = (self._seen + some)[-_KEPT_BYTES:]
        return len(some)


def cost(terminal: Terminal, seconds: float) -> tuple[float, float]:
    """Share of one core, and bytes per second written, over so long."""
    cpu, began = terminal.cpu_s(), time.perf_counter()
    count = terminal.read(seconds)
    took = time.perf_counter() - began
    return (terminal.cpu_s() - cpu) / took, count / took


def run(command: Sequence[str], env: Mapping[str, str]) -> None:
    """A command to its end.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is printed.
    """
    done = subprocess.run(list(command), env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr)
        done.check_returncode()
