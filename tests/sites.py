"""Where runs are started from, and what they leave behind.

Every process started from a site carries its mark in the environment, so that what a run has left
is found even when it has left every process group and session.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import psutil

MARK = "TUITRAIN_TEST_PLACE"
DEADLINE_S = 60.0
POLL_S = 0.05
ALWAYS_THERE = {"tuitrain", ".lock"}
"""In a runtime directory that has been used, whoever lives."""

T = TypeVar("T")


class Stuck(AssertionError):
    """Something did not happen in time."""


def eventually(probe: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """What `probe` returns once that is true, asked again and again.

    Raises:
        Stuck: it was not before the deadline.
    """
    end = time.monotonic() + deadline_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise Stuck(f"not within {deadline_s:g} s: {what}; last seen: {value!r}")
        time.sleep(POLL_S)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that waits to be reaped has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def segments_of(run_id: str) -> list[str]:
    """Names of a run in shared memory."""
    return sorted(p.name for p in Path("/dev/shm").glob(f"tuitrain-{run_id}-*"))


class Site:
    """A folder, a runtime directory, and whatever is started with their environment.

    Args:
        root: empty folder; `runs/` appears in it.
        runtime: private folder for XDG_RUNTIME_DIR, short enough for a socket's path.
    """

    def __init__(self, root: Path, runtime: Path) -> None:
        self.root = root
        self.runtime = runtime
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TUITRAIN_")},
            "XDG_RUNTIME_DIR": str(runtime),
            MARK: str(root),
        }

    def processes(self) -> list[psutil.Process]:
        """Living processes that were started from here, by whomever."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                mine = process.environ().get(MARK) == str(self.root)
                if mine and process.pid != os.getpid() and not gone(process.pid):
                    found.append(process)
        return found

    def segments(self) -> Iterable[str]:
        """Names of this site's runs in shared memory."""
        raise NotImplementedError

    def left(self) -> list[str]:
        """Processes, segments and runtime files that are still there, in words."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                found.append(f"process {process.pid}: {' '.join(process.cmdline())[:200]}")
        found += [f"segment {name}" for name in self.segments()]
        found += [f"file {p}" for p in self.runtime.rglob("*") if p.name not in ALWAYS_THERE]
        return found

    def kill(self) -> None:
        """End every process at once."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def clear(self) -> None:
        """End every process, and remove what is in shared memory."""
        self.kill()
        for name in self.segments():
            (Path("/dev/shm") / name).unlink(missing_ok=True)
