"""Marks in the environment of a run's processes, by which whatever they have started is found.

Two variables that are inherited by everything an environment starts, in whatever process group or
session it is: the run's id, and which supervisor's start it belongs to. What has cleared its
environment *and* left its process group is not found, by nobody.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

RUN_ID_VARIABLE = "TUITRAIN_RUN_ID"
SUPERVISOR_VARIABLE = "TUITRAIN_SUPERVISOR"
_VARIABLES = (RUN_ID_VARIABLE, SUPERVISOR_VARIABLE)

_PASSES = 50
"""What forks while it is being looked for is looked for again, so often at most."""

_PASS_S = 0.01


def marks(run_id: str) -> dict[str, str]:
    """The variables of what this process starts for a run."""
    return {RUN_ID_VARIABLE: run_id, SUPERVISOR_VARIABLE: supervisor_mark(run_id)}


def supervisor_mark(run_id: str) -> str:
    """`PID:BIRTH:RUN_ID` of this process as a supervisor; unlike its pid never used again."""
    return f"{os.getpid()}:{_birth(os.getpid())}:{run_id}"


def unmarked(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for what is not the run's, and stays when that ends."""
    return {key: value for key, value in environment.items() if key not in _VARIABLES}


def kill_marked(run_id: str, *, dry_run: bool = False) -> list[int]:
    """SIGKILL every process of this user that carries `run_id`; returns their pids."""
    return _kill(RUN_ID_VARIABLE, run_id, dry_run=dry_run)


def kill_of(mark: str) -> list[int]:
    """SIGKILL every process that carries this supervisor's mark; returns their pids."""
    return _kill(SUPERVISOR_VARIABLE, mark, dry_run=False)


def is_supervised(run_id: str) -> bool:
    """Whether a process that carries `run_id` has a living supervisor."""
    return any(
        _lives(process.environ().get(SUPERVISOR_VARIABLE, ""))
        for process in _carriers(RUN_ID_VARIABLE, run_id)
    )


def _kill(variable: str, value: str, *, dry_run: bool) -> list[int]:
    killed: list[int] = []
    for _ in range(1 if dry_run else _PASSES):
        new = [p for p in _carriers(variable, value) if p.pid not in killed]
        for process in new:
            killed.append(process.pid)
            with contextlib.suppress(psutil.Error):
                if not dry_run:
                    process.send_signal(signal.SIGKILL)
        if dry_run or not new:
            break
        time.sleep(_PASS_S)
    return killed


def _carriers(variable: str, value: str) -> Iterator[psutil.Process]:
    """Processes of this user, other than this one, with such a variable. About 50 µs each."""
    uid = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.uids().real != uid:
                continue
            if process.environ().get(variable) != value:
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _lives(mark: str) -> bool:
    pid, _, rest = mark.partition(":")
    return pid.isdecimal() and _birth(int(pid)) == rest.partition(":")[0]


def _birth(pid: int) -> str | None:
    """When the process was started, in clock ticks since the boot; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:  # macOS: seconds since 1970, to the microsecond
        return str(int(psutil.Process(pid).create_time() * 1e6))
    except psutil.Error:
        return None
