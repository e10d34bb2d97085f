"""Memory: what the machine and its control group have left, and whether the kernel has killed.

Linux tells of it in files; where they are missing nothing is known, and nothing is said.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tuitrain.supervisor.crew.cgroup import own_folder, read_cgroup

SCARCE = 0.05
"""Warned of below this share of what there is, and again only after it has been twice that."""

FRESH_S = 5.0
"""So long after the kernel has killed somebody, a SIGKILL is taken for that."""

MIB = 2**20
_PROC = Path("/proc")


@dataclass(frozen=True)
class Left:
    """Memory in bytes of what binds first: the machine or a control group."""

    free: int
    total: int
    of: str

    @property
    def share(self) -> float:
        """What is free of the whole."""
        return self.free / self.total if self.total else 1.0


def left() -> Left:
    """What binds first."""
    machine = psutil.virtual_memory()
    found = [Left(machine.available, machine.total, "the machine")]
    group = read_cgroup(_text(_PROC / "self/cgroup"))
    if group.memory_limit_bytes is not None and group.memory_used_bytes is not None:
        limit = group.memory_limit_bytes
        found.append(Left(max(0, limit - group.memory_used_bytes), limit, "its control group"))
    return min(found, key=lambda one: one.share)


class MemoryTooSmall(Exception):
    """The shared memory of a run cannot fit; the text says what to do."""


def check_room(
    needed: int,
    membership: str | None = None,
    root: Path = Path("/sys/fs/cgroup"),
    meminfo: Path = _PROC / "meminfo",
) -> None:
    """Refuse shared memory that is larger than what is left, swap included.

    To reserve it takes it at once: the kernel would kill, instead of any call failing. Nothing is
    refused where Linux's files do not tell.

    Args:
        needed: bytes.
        membership: text of `/proc/self/cgroup`.
        root: where control groups are mounted.

    Raises:
        MemoryTooSmall: see there.
    """
    told = re.findall(r"^(\w+):\s+(\d+) kB$", _text(meminfo), re.MULTILINE)
    sizes = {key: int(kib) * 1024 for key, kib in told}
    if "MemAvailable" not in sizes:
        return
    found = [("the machine", sizes["MemAvailable"])]
    group = read_cgroup(_text(_PROC / "self/cgroup") if membership is None else membership, root)
    if group.memory_limit_bytes is not None and group.memory_used_bytes is not None:
        limit = group.memory_limit_bytes
        whose = f"its control group (limit {limit // MIB:,} MiB)"
        found.append((whose, max(0, limit - group.memory_used_bytes)))
    whose, free = min(found, key=lambda one: one[1])
    free += sizes.get("SwapFree", 0)
    if needed > free:
        raise MemoryTooSmall(
            f"memory: the run's shared memory (its replay, most of all) needs {needed // MIB:,} "
            f"MiB, and {whose} has {free // MIB:,} MiB left: the kernel would kill it. Lower "
            "replay.capacity, or make room (containers: a larger `--memory`)"
        )


class Scarcity:
    """Notices that memory runs out, once each time."""

    def __init__(self) -> None:
        self._told = False

    def judge(self, now: Left, sizes: Mapping[str, int]) -> str | None:
        """A warning that names who holds most, if it is due.

        Args:
            sizes: bytes of each worker's own.
        """
        if now.share >= 2 * SCARCE:
            self._told = False
        if now.share >= SCARCE or self._told:
            return None
        self._told = True
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
        names = ", ".join(f"{name} {size // MIB:,} MiB" for name, size in largest)
        return (
            f"memory runs out: {now.of} has {now.free // MIB:,} of {now.total // MIB:,} MiB left; "
            f"largest: {names}. The kernel kills when there is none. Fewer actors, a smaller "
            "replay.capacity, or supervisor.worker_memory_limit_mib for a leak in one of them"
        )


class Kills:
    """The kernel's own count of processes it has killed for want of memory.

    Args:
        membership: text of `/proc/self/cgroup`.
        root: where control groups are mounted.
    """

    def __init__(
        self,
        membership: str | None = None,
        root: Path = Path("/sys/fs/cgroup"),
        vmstat: Path = _PROC / "vmstat",
    ) -> None:
        told = _text(_PROC / "self/cgroup") if membership is None else membership
        own = own_folder(told, "", root), own_folder(told, "memory", root)
        names = "memory.events", "memory.oom_control"
        self._files = [folder / name for folder, name in zip(own, names, strict=True) if folder]
        self._vmstat = [vmstat]
        self._seen: deque[tuple[float, int, int]] = deque()

    def look(self, now: float) -> int:
        """Count, every now and then: a kill counts as fresh for `FRESH_S`.

        Returns:
            How many processes have been killed in the control group since the last look.
        """
        in_group, anywhere = self._count(self._files), self._count(self._vmstat)
        new = 0
        if self._seen:  # what is less could not be read
            _, before, before_anywhere = self._seen[-1]
            in_group, anywhere = max(in_group, before), max(anywhere, before_anywhere)
            new = in_group - before
        self._seen.append((now, in_group, anywhere))
        while len(self._seen) > 1 and self._seen[1][0] <= now - FRESH_S:
            self._seen.popleft()
        return new

    def why(self) -> str | None:
        """Why a process has been killed just now, if the kernel has killed one."""
        if not self._seen:
            return None
        _, in_group, anywhere = self._seen[0]
        if self._count(self._files) > in_group:
            return "out of memory: the kernel has just killed in its control group"
        if self._count(self._vmstat) > anywhere:
            return "most likely out of memory: the kernel has just killed some process for it"
        return None

    @staticmethod
    def _count(files: Iterable[Path]) -> int:
        total = 0
        for file in files:
            for line in _text(file).splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill" and value.isdigit():
                    total += int(value)
        return total


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
