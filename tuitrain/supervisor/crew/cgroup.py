"""The limits of the control groups a process is in: versions 1 and 2, its own and all above it.

A container sees its own group as the root, or the path of a group whose folder is not there; both
are read as far as they exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_UNLIMITED = 2**60
"""Version 1 writes "no limit" as a number near 2**63."""


@dataclass(frozen=True)
class Cgroup:
    """What a container or service may use; None is without limit."""

    cpu_cores: float | None = None
    memory_limit_bytes: int | None = None
    memory_used_bytes: int | None = None
    pids_limit: int | None = None
    pids_used: int | None = None


def read_cgroup(membership: str, root: Path = Path("/sys/fs/cgroup")) -> Cgroup:
    """The tightest limits.

    Args:
        membership: text of `/proc/self/cgroup`.
        root: where the file systems are mounted.
    """
    cores: list[float] = []
    memory: list[tuple[int, int | None]] = []
    pids: list[tuple[int, int | None]] = []
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",") if controllers else []
        if not names:
            for folder in _folders(root, path):
                cores += _quota(_text(folder / "cpu.max"))
                memory += _limit(folder, "memory.max", "memory.current")
                pids += _limit(folder, "pids.max", "pids.current")
        if "cpu" in names:
            for folder in _folders(_mounted(root, controllers, "cpu"), path):
                quota = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
                cores += _quota(" ".join(quota))
        if "memory" in names:
            for folder in _folders(_mounted(root, controllers, "memory"), path):
                memory += _limit(folder, "memory.limit_in_bytes", "memory.usage_in_bytes")
        if "pids" in names:
            for folder in _folders(_mounted(root, controllers, "pids"), path):
                pids += _limit(folder, "pids.max", "pids.current")
    memory_limit, memory_used = min(memory, key=_left, default=(None, None))
    pids_limit, pids_used = min(pids, key=_left, default=(None, None))
    return Cgroup(
        cpu_cores=min(cores, default=None),
        memory_limit_bytes=memory_limit,
        memory_used_bytes=memory_used,
        pids_limit=pids_limit,
        pids_used=pids_used,
    )


def own_folder(
    membership: str, controller: str, root: Path = Path("/sys/fs/cgroup")
) -> Path | None:
    """Where a controller (version 1) or all of them (version 2: "") keep this process's group."""
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            mount = _mounted(root, controllers, controller) if controller else root
            return next(_folders(mount, path), None)
    return None


def _left(pair: tuple[int, int | None]) -> int:
    limit, used = pair
    return limit - (used or 0)


def _mounted(root: Path, controllers: str, name: str) -> Path:
    both = root / controllers
    return both if both.is_dir() else root / name


def _folders(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it, as far as they are there."""
    parts = PurePosixPath(path).parts[1:]
    for length in range(len(parts), -1, -1):
        folder = mount.joinpath(*parts[:length])
        if folder.is_dir():
            yield folder


def _quota(text: str) -> list[float]:
    """Cores, from "quota period" in microseconds."""
    with suppress(ValueError):
        quota, period = map(int, text.split())
        if quota > 0 and period > 0:
            return [quota / period]
    return []


def _limit(folder: Path, limit: str, used: str) -> list[tuple[int, int | None]]:
    with suppress(ValueError):
        if (bound := int(_text(folder / limit))) < _UNLIMITED:
            now = _text(folder / used)
            return [(bound, _less_cache(folder, int(now)) if now.isdigit() else None)]
    return []


def _less_cache(folder: Path, used: int) -> int:
    """Without pages of files that the kernel drops when memory is needed."""
    for line in _text(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key in ("inactive_file", "total_inactive_file"):
            return max(0, used - int(value))
    return used


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
