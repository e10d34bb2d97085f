"""What dead supervisors have left: found and removed by the next command, or by their guard.

Dead is whose `alive` file nobody holds; but a folder can be lost under a living run, so before
anything is removed two others are asked: the lock of the run's own folder, and the processes that
carry the run's id, whose supervisor may live. A segment without a folder in any runtime directory
is never touched by `sweep`; `orphans` looks whether a process has mapped it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tuitrain import regular
from tuitrain.replay import segment
from tuitrain.supervisor.house.marks import is_supervised, kill_marked
from tuitrain.supervisor.house.runtime import HouseError, is_alive, root_lock, roots, run_folders


@dataclass
class Swept:
    """What `sweep` removed, or would remove."""

    run_ids: list[str] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.run_ids or self.segments or self.files or self.pids)


def sweep(*, dry_run: bool = False) -> Swept:
    """Remove segments, folders and processes of runs whose supervisor is dead.

    Called at the start of every command, so that nothing a SIGKILLed supervisor left stays longer
    than until then. Costs a directory listing when there is nothing to do.

    Raises:
        HouseError: the runtime directory cannot be used.
    """
    swept = Swept()
    for base in roots():
        with contextlib.suppress(FileNotFoundError):  # a logout has just removed it
            if not run_folders(base):
                continue
            with root_lock(base):
                for path in run_folders(base):
                    if not (_may_live(path) or _lives_elsewhere(path) or is_supervised(path.name)):
                        remove_dead(path, swept, dry_run=dry_run)
    return swept


def remove_dead(path: Path, swept: Swept, *, dry_run: bool) -> None:
    """Remove what belongs to the run of this folder, and the folder. Call under `root_lock`."""
    run_id = path.name
    swept.run_ids.append(run_id)
    swept.pids += kill_marked(run_id, dry_run=dry_run)
    for name in segment.list_names(f"tuitrain-{run_id}-"):
        swept.segments.append(name)
        if not dry_run:
            segment.unlink(name)
    swept.files += sorted(str(path / entry) for entry in os.listdir(path))
    if not dry_run:
        shutil.rmtree(path, ignore_errors=True)


def orphans(*, dry_run: bool = False) -> list[str]:
    """Remove segments of this user that have no run folder and that no process has mapped.

    For when the runtime directory itself was lost together with the run. Looks into every process
    of this user, so it is only done when asked for. A run in another container that shares
    /dev/shm but not the process table would not be seen.
    """
    known = {path.name for base in roots() for path in run_folders(base)}
    pattern = re.compile(r"^tuitrain-([0-9a-f]{8})-")
    names = [
        name
        for name in segment.list_names("tuitrain-")
        if (found := pattern.match(name)) and found[1] not in known and _is_mine(name)
    ]
    if not names:
        return []
    import psutil

    mapped: set[str] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{process.pid}/maps").read_text(errors="replace")
            mapped.update(name for name in names if name in text)
    lost = [name for name in names if name not in mapped]
    if not dry_run:
        for name in lost:
            segment.unlink(name)
    return lost


def _may_live(path: Path) -> bool:
    """Whether a supervisor holds this folder, or nobody can tell."""
    try:
        return is_alive(path)
    except HouseError:
        return True


def _lives_elsewhere(path: Path) -> bool:
    """Whether the run of this dead folder lives in another: resumed there, or gone there itself.

    It has the same run id there, so what carries that id is not left over.
    """
    try:
        return is_held(json.loads(regular.read(path / "run.json"))["run_dir"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_held(run_dir: str | Path) -> bool:
    """Whether a supervisor, or who prepares for one, holds this run folder, whatever its name.

    Raises:
        OSError: it cannot be opened.
    """
    fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(fd)
    return False


def _is_mine(segment_name: str) -> bool:
    try:
        return os.lstat(f"/dev/shm/{segment_name}").st_uid == os.getuid()
    except OSError:
        return False
