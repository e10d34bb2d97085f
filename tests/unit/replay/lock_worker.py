"""A process that takes and gives a lock as it is told, and one that starts many of those quickly.

Each thread of a worker listens to a socket of its own and says where it is after every command:
``outside``, ``inside``, or, if it goes step by step, ``asks WANT FIRST LENGTH`` before each request
of the table. There it does as the next command says:

- ``go``: make the request.
- ``late``: the deadline passes, then make the request.
- ``before``, ``after``: an exception comes up before or after the request.
- ``fork``: say how a child fares that is forked here and makes the request; ask again.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from fcntl import F_SETLK, fcntl
from types import SimpleNamespace
from typing import Any

from tests.unit.replay import lock_jobs
from tuitrain.replay import lock as lock_module
from tuitrain.replay.lock import LockFile, LockTimeout, LockUnusable, RWLock
from tuitrain.replay.turnstile import THREAD, Want

_WANT = {kind: want for want, kind in lock_module._KIND.items()}


class Broken(BaseException):
    """An exception of a signal handler."""


class ChildLeaves(BaseException):
    """Takes a forked child out of the block that its parent is in."""


class Channel:
    """Lines over a socket; the end of it ends the process."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._lines = self._socket.makefile("r", encoding="utf-8")

    def say(self, text: str) -> None:
        self._socket.sendall(f"{text}\n".encode())

    def hear(self) -> str:
        line = self._lines.readline()
        if not line:
            os._exit(0)
        return line.strip()


class Steps:
    """Stands before the kernel, the thread lock and the clock, and asks what to do each time."""

    def __init__(self) -> None:
        self.channels: dict[int, Channel] = {}
        self._thread_lock = threading.Lock()
        self._tell_parent: int | None = None  # in a forked child, the pipe
        self._own = threading.local()  # the clock of each thread

    def install(self, lock: RWLock) -> None:
        lock._thread = self
        clock = SimpleNamespace(sleep=lambda _s: None, monotonic=self._now_s)
        for name, stand_in in (("fcntl", self.fcntl), ("time", clock)):
            setattr(lock_module, name, stand_in)

    def fcntl(self, fd: int, command: int, packed: bytes) -> Any:
        if command != F_SETLK:
            return fcntl(fd, command, packed)
        kind, _, first, length, _ = lock_module._FLOCK.unpack(packed)
        what = self._ask(_WANT[kind], first, length)
        if what == "before":
            raise Broken
        answer: bytes | OSError
        try:
            answer = fcntl(fd, command, packed)
        except BlockingIOError as error:
            answer = error
        if what == "after":
            raise Broken
        if isinstance(answer, OSError):
            raise answer
        return answer

    def acquire(self, _blocking: bool = True, timeout: float = -1.0) -> bool:
        self._ask(Want.EXCLUSIVE, THREAD, 1)
        return self._thread_lock.acquire(False)

    def release(self) -> None:
        self._ask(Want.FREE, THREAD, 1)
        self._thread_lock.release()

    def _now_s(self) -> float:
        return getattr(self._own, "now_s", 0.0)

    def _ask(self, want: Want, first: int, length: int) -> str:
        if self._tell_parent is not None:
            return "go"
        channel = self.channels[threading.get_ident()]
        channel.say(f"asks {int(want)} {first} {length}")
        what = channel.hear()
        if what == "late":
            self._own.now_s = self._now_s() + 1.0
        if what == "fork":
            read_end, write_end = os.pipe()
            pid = os.fork()
            if pid == 0:
                self._tell_parent = write_end
                return "go"
            channel.say(_told(pid, read_end, write_end))
            return self._ask(want, first, length)
        return what

    def end_child(self, how: str) -> None:
        """In a child forked on the way in, tell its parent how it ended, and go."""
        if self._tell_parent is not None:
            os.write(self._tell_parent, how.encode())
            os._exit(0)


def _told(pid: int, read_end: int, write_end: int) -> str:
    """What a child writes to a pipe until it ends."""
    os.close(write_end)
    with os.fdopen(read_end) as said:
        text = said.read()
    os.waitpid(pid, 0)
    return text


def serve(channel: Channel, file: LockFile, lock: RWLock, steps: Steps) -> None:
    """Do as the channel says, for ever."""
    while True:
        command = channel.hear()
        try:
            if command.startswith("fork"):
                channel.say(_fork(command, channel, file, lock))
                continue
            if command.startswith("job "):
                lock_jobs.run(command.removeprefix("job "), lock)
                channel.say("done")
                continue
            with getattr(lock, command.removeprefix("enter "))():
                steps.end_child("inside")
                channel.say("inside")
                while (command := channel.hear()) != "leave":
                    if command == "spawn":
                        done = subprocess.run([sys.executable, "-c", ""], check=False)
                        channel.say(str(done.returncode))
                    else:
                        channel.say(_fork(command, channel, file, lock))
            channel.say("outside")
        except LockTimeout as error:
            channel.say(f"outside timeout {error.holder_pid}")
        except Broken:
            channel.say("outside broken")
        except LockUnusable as error:
            steps.end_child(str(error))
            raise
        except ChildLeaves:
            os._exit(0)


def _fork(command: str, channel: Channel, file: LockFile, lock: RWLock) -> str:
    """What a forked child says of its part of the lock."""
    read_end, write_end = os.pipe()
    inherited = lock._fd
    pid = os.fork()
    if pid == 0:
        os.write(write_end, _in_child(command, file, lock, inherited).encode())
        os.close(write_end)
        if command == "fork stay":
            channel.hear()
        raise ChildLeaves
    os.close(write_end)
    with os.fdopen(read_end) as said:
        text = said.read()
    if command != "fork stay":
        os.waitpid(pid, 0)
    return text


def _in_child(command: str, file: LockFile, lock: RWLock, inherited: int) -> str:
    match command:
        case "fork enter":
            try:
                with lock.read():
                    return "inside"
            except LockUnusable as error:
                return str(error)
        case "fork leave":
            return "leaves"
        case "fork stay":
            return "stays"
        case "fork close":
            file.close()
            return "closed"
        case "fork descriptor":
            try:
                os.fstat(inherited)
                return "open"
            except OSError as error:
                return errno.errorcode[error.errno or 0]
        case "fork open":
            try:
                with LockFile.open(file.path).rwlock(0, "thing", 0.05).write():
                    return "inside"
            except LockTimeout as error:
                return f"timeout {error.holder_pid}"
    raise AssertionError(command)


def work(path: str, deadline_s: float, by_steps: bool, fds: list[int]) -> None:
    """Be a worker: one thread per socket."""
    file = LockFile.open(path)
    lock = file.rwlock(0, "thing", deadline_s)
    steps = Steps()
    if by_steps:
        steps.install(lock)

    def thread(fd: int) -> None:
        steps.channels[threading.get_ident()] = channel = Channel(fd)
        serve(channel, file, lock, steps)

    for fd in fds[1:]:
        threading.Thread(target=thread, args=(fd,), daemon=True).start()
    thread(fds[0])


def start_workers(control: socket.socket) -> None:
    """Fork a worker for each message, with its sockets, and tell its pid."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, fds, _, _ = socket.recv_fds(control, 4096, 8)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            try:
                work(**json.loads(message), fds=fds)
            finally:
                os._exit(1)
        for fd in fds:
            os.close(fd)
        control.sendall(pid.to_bytes(8, "little"))


if __name__ == "__main__":
    start_workers(socket.socket(fileno=int(sys.argv[1])))
