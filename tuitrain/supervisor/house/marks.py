"""Marks in the environment of a run's processes, by which whatever they have started is found.

Three variables that are inherited by everything an environment starts, in whatever process group or
session it is: the run's id, which supervisor's start it belongs to, and which start of a worker.
What has cleared its environment *and* left its process group is not found, by nobody.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # only who must look for processes waits for it
    import psutil

RUN_ID_VARIABLE = "TUITRAIN_RUN_ID"
SUPERVISOR_VARIABLE = "TUITRAIN_SUPERVISOR"
WORKER_VARIABLE = "TUITRAIN_WORKER"
_VARIABLES = (RUN_ID_VARIABLE, SUPERVISOR_VARIABLE, WORKER_VARIABLE)
_STARTS = itertools.count()

_PASSES = 50
"""What forks while it is being looked for is looked for again, so often at most."""

_PASS_S = 0.01


def marks(run_id: str) -> dict[str, str]:
    """The variables of what this process starts for a run."""
    return {RUN_ID_VARIABLE: run_id, SUPERVISOR_VARIABLE: supervisor_mark(run_id)}


def supervisor_mark(run_id: str) -> str:
    """`PID:BIRTH:RUN_ID` of this process as a supervisor; unlike its pid never used again."""
    return f"{os.getpid()}:{_birth(os.getpid())}:{run_id}"


def worker_mark(name: str) -> str:
    """`PID:BIRTH:NAME:START` of one start of a worker by this process; never used again."""
    return f"{os.getpid()}:{_birth(os.getpid())}:{name}:{next(_STARTS)}"


@contextlib.contextmanager
def marked_as(mark: str) -> Iterator[None]:
    """What is started meanwhile carries this worker's mark."""
    os.environ[WORKER_VARIABLE] = mark
    try:
        yield
    finally:
        del os.environ[WORKER_VARIABLE]


def unmarked(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for what is not the run's, and stays when that ends."""
    return {key: value for key, value in environment.items() if key not in _VARIABLES}


def kill_marked(run_id: str, *, dry_run: bool = False) -> list[int]:
    """SIGKILL every process of this user that carries `run_id`; returns their pids."""
    return [one.process.pid for one in _kill(RUN_ID_VARIABLE, [run_id], dry_run=dry_run)]


def kill_of(mark: str) -> list[int]:
    """SIGKILL every process that carries this supervisor's mark; returns their pids."""
    return [one.process.pid for one in _kill(SUPERVISOR_VARIABLE, [mark])]


def kill_of_workers(groups: Mapping[str, int]) -> dict[str, list[str]]:
    """SIGKILL every process that carries one of these workers' marks.

    Args:
        groups: by mark, the worker's process group, which has been killed already.

    Returns:
        By mark, each process outside that group as `NAME PID`.
    """
    found: dict[str, list[str]] = {}
    for one in _kill(WORKER_VARIABLE, groups):
        if one.group != groups[one.value]:
            found.setdefault(one.value, []).append(f"{one.name} {one.process.pid}")
    return found


def is_supervised(run_id: str) -> bool:
    """Whether a process that carries `run_id` has a living supervisor."""
    return any(
        _lives(one.process.environ().get(SUPERVISOR_VARIABLE, ""))
        for one in _carriers(RUN_ID_VARIABLE, [run_id])
    )


@dataclass(frozen=True)
class _Carrier:
    """A process as it was when it was found."""

    process: psutil.Process
    value: str
    name: str
    group: int


def _kill(variable: str, values: Collection[str], *, dry_run: bool = False) -> list[_Carrier]:
    import psutil

    killed: dict[int, _Carrier] = {}
    for _ in range(1 if dry_run else _PASSES):
        new = [one for one in _carriers(variable, values) if one.process.pid not in killed]
        for one in new:
            killed[one.process.pid] = one
            with contextlib.suppress(psutil.Error):
                if not dry_run:
                    one.process.send_signal(signal.SIGKILL)
        if dry_run or not new:
            break
        time.sleep(_PASS_S)
    return list(killed.values())


def _carriers(variable: str, values: Collection[str]) -> Iterator[_Carrier]:
    """Processes of this user, other than this one, with such a variable. About 50 µs each."""
    import psutil

    uid = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.uids().real != uid:
                continue
            value = process.environ().get(variable)
            if value is None or value not in values:
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                yield _Carrier(process, value, process.name(), os.getpgid(process.pid))


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
    import psutil

    try:  # macOS: seconds since 1970, to the microsecond
        return str(int(psutil.Process(pid).create_time() * 1e6))
    except psutil.Error:
        return None
