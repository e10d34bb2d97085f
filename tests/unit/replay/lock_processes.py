"""Real processes that hold and wait for a lock as a test tells them; see ``lock_worker``."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tuitrain.replay import lock as lock_module
from tuitrain.replay.lock import LockFile, RWLock
from tuitrain.replay.turnstile import READ, Place, Table

LONG_S = 60.0
SHORT_S = 0.05
ROOT = Path(__file__).parents[3]


class Channel:
    """The other end of a worker's thread."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._got = b""

    def say(self, command: str) -> None:
        self._socket.sendall(f"{command}\n".encode())

    def hear(self) -> str:
        """The next line; fails if there is none for long."""
        while b"\n" not in self._got:
            more = self._socket.recv(4096)
            assert more, "the worker is gone"
            self._got += more
        line, _, self._got = self._got.partition(b"\n")
        return line.decode()

    def do(self, command: str) -> str:
        self.say(command)
        return self.hear()

    def go_to(self, place: Place, table: Table) -> None:
        """Take steps, all of them granted, until about to do what is done at a place."""
        if place is Place.OUTSIDE:
            return
        now = self.do("enter read" if table is READ else "enter write")
        for _ in Place:
            if now == where(table, place):
                return
            now = self.do("leave" if now == "inside" else "go")
        raise AssertionError(f"never came to {place.name}")


def where(table: Table, place: Place) -> str:
    """What a worker that goes step by step says at a place."""
    request = table[place].request
    if request is None:
        return place.name.lower()
    return f"asks {int(request.want)} {request.first} {request.length}"


class Worker:
    """A process with one or more threads, each with a channel."""

    def __init__(self, pid: int, ends: list[socket.socket]) -> None:
        self.pid = pid
        self.channels = [Channel(end) for end in ends]
        self._resources = ExitStack()
        for end in ends:
            self._resources.enter_context(end)
        self._pidfd = os.pidfd_open(pid)
        self._resources.callback(os.close, self._pidfd)
        self._resources.callback(self.kill)

    def do(self, command: str) -> str:
        return self.channels[0].do(command)

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has taken everything back."""
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return
        death = select.poll()
        death.register(self._pidfd, select.POLLIN)
        assert death.poll(1000 * LONG_S), "it does not die"

    def stop(self) -> None:
        """SIGSTOP, and wait until it has stopped."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGSTOP)
        stat = Path(f"/proc/{self.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def wake(self) -> None:
        signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)

    def close(self) -> None:
        """Kill it, and give back what this end holds. May be called twice."""
        self._resources.close()


class Workers:
    """Starts workers by forking them from a process that has imported what they need."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.unit.replay.lock_worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
            )
        self._control.settimeout(LONG_S)
        self._workers: list[Worker] = []

    def start(
        self, path: Path, deadline_s: float = LONG_S, *, by_steps: bool = False, threads: int = 1
    ) -> Worker:
        """A worker with the lock file open, outside."""
        with ExitStack() as theirs:
            ours = []
            fds = []
            for _ in range(threads):
                one, other = socket.socketpair()
                one.settimeout(LONG_S)
                ours.append(one)
                fds.append(theirs.enter_context(other).fileno())
            message = {"path": str(path), "deadline_s": deadline_s, "by_steps": by_steps}
            socket.send_fds(self._control, [json.dumps(message).encode()], fds)
            pid = int.from_bytes(self._control.recv(8), "little")
        self._workers.append(Worker(pid, ours))
        return self._workers[-1]

    def end_all(self) -> None:
        """Kill every worker there is."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def close(self) -> None:
        self.end_all()
        self._control.close()
        self._process.wait(LONG_S)


class Start:
    """Starts processes that use the test's lock file."""

    def __init__(self, workers: Workers, path: Path) -> None:
        self._workers = workers
        self._path = path

    def __call__(self, *args: float, by_steps: bool = False, threads: int = 1) -> Worker:
        return self._workers.start(self._path, *args, by_steps=by_steps, threads=threads)


def mine(file: LockFile, deadline_s: float = SHORT_S) -> RWLock:
    """The lock the workers use, in this process."""
    return file.rwlock(0, "thing", deadline_s)


def use(lock: RWLock, mode: str) -> None:
    with getattr(lock, mode)():
        pass


def until(condition: Callable[[], bool]) -> None:
    """Look again until it holds."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def in_the_gate(lock: RWLock) -> int | None:
    """The other process that holds the gate."""
    return lock_module._blocker(lock._fd, lock._take_gate)
