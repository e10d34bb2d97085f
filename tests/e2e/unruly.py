"""Environments that misbehave, by `unruly.py:Unruly`, each in one way and in one worker.

Imported by workers as a file, so it must not need the repository on the path.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))

from tests.e2e.things import in_worker, running
from tests.envs import Chain


class Unruly(Chain):
    """A ``Chain`` that does `what` in a step of one worker, once all workers are up.

    Args:
        worker: the name of the worker it misbehaves in.
        what: name of a function of this file.
        where: `step`, `reset` (the first one) or `init`; only the first waits for the others.
        once: only the first time in a run, not in the worker's successors too.
    """

    def __init__(self, worker: str, what: str, where: str = "step", once: bool = False) -> None:
        super().__init__()
        self.once = once
        self.do: Callable[[], None] | None = globals()[what] if in_worker(worker) else None
        self.where = where
        self.left = 200
        self._now("init")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self._now("reset")
        return super().reset(seed=seed, options=options)

    def step(self, action: int):
        if self.do is not None and self.where == "step":
            time.sleep(0.001)  # or training may be over before all workers are up
        self.left -= 1
        if self.left == 0:
            self.left = 100
            if running():
                self._now("step")
        return super().step(action)

    def _now(self, where: str) -> None:
        do = self.do
        if do is None or self.where != where:
            return
        self.do = None
        if self.once:
            try:
                Path("it has been done").touch(exist_ok=False)
            except FileExistsError:
                return
        do()


# ---- that never return -------------------------------------------------------------------------


def sleep_for_ever() -> None:
    while True:
        time.sleep(3600)


def hold_the_interpreter() -> None:
    """In C, with the GIL held: no other thread of the process runs any more."""
    ctypes.PyDLL(None).sleep(3600)


def replace_every_handler_and_sleep() -> None:
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, lambda *_: None)
    sleep_for_ever()


def stop_holding_a_lock() -> None:
    """Stopped in the middle of a move under a write lock that everybody needs."""
    from tuitrain.replay.lock import _open_files

    (file,) = _open_files.values()
    with file.rwlock(0, "limiter", 1.0).write():
        os.kill(os.getpid(), signal.SIGSTOP)


def hang_holding_a_lock() -> None:
    from tuitrain.replay.lock import _open_files

    (file,) = _open_files.values()
    with file.rwlock(0, "limiter", 1.0).write():
        sleep_for_ever()


# ---- that end the process ----------------------------------------------------------------------


def exit_quietly() -> None:
    os._exit(0)


def system_exit() -> None:
    raise SystemExit(0)


def keyboard_interrupt() -> None:
    raise KeyboardInterrupt


def default_alarm() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    sleep_for_ever()


def close_descriptors() -> None:
    os.closerange(3, 1024)


def close_all_descriptors() -> None:
    os.closerange(0, 1024)


def grow() -> None:
    hoard = []
    while True:
        hoard.append(b"x" * 2**22)


# ---- that do no harm to anybody ----------------------------------------------------------------


def print_much() -> None:
    line = "garbage \x1b[31m\x00\x07" * 100
    for _ in range(2_000):
        print(line)
        sys.stderr.write(line + "\n")
        os.write(1, line.encode())
        os.write(2, b"\xff\xfe" * 500)
    for fd in (0, 1, 2):
        try:
            os.write(fd, b"to a descriptor")
        except OSError as error:
            print(error)
    print("stdin says", repr(sys.stdin.read()))


def leave_children() -> None:
    for own_session in (False, True):
        subprocess.Popen(["sleep", "86400"], start_new_session=own_session)
    for _ in range(2):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(86400)


def fork_and_go_on_in_both() -> None:
    """The child believes it is the worker."""
    os.fork()


def fork_and_fail_in_the_child() -> None:
    if os.fork() == 0:
        raise RuntimeError("the child's own trouble")


def take_the_signals() -> None:
    def ignore(number: int, frame: object) -> None:
        pass

    for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGCHLD", "SIGALRM"):
        signal.signal(getattr(signal, name), ignore)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


def take_the_process() -> None:
    """Working folder, umask, variables, limits, session."""
    os.chdir("/")
    os.umask(0o777)
    os.environ.clear()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    for leave in (os.setsid, lambda: os.setpgid(0, 0)):
        try:
            leave()
        except OSError as error:
            print(error)


def start_threads() -> None:
    for _ in range(20):
        threading.Thread(target=sleep_for_ever).start()


def everything_at_once() -> None:
    leave_children()
    fork_and_go_on_in_both()
    fork_and_fail_in_the_child()
    print_much()
    start_threads()
    take_the_signals()
    take_the_process()
