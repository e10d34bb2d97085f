"""Where a live run keeps what must vanish with it: a private folder with socket and lock files.

`$XDG_RUNTIME_DIR/tuitrain` (else `/tmp/tuitrain-UID`) holds one folder per run, named by its run
id: `sock` (control socket), `lock` (the workers' record locks), `alive` (held with flock by the
supervisor for as long as it lives) and `run.json`. Whether a run lives is asked of the kernel by
that flock, so a reused pid cannot fool it and a SIGKILLed supervisor is dead at once.

`sweep` removes what dead supervisors left: their segments, their folders and any process that
still carries their run id. A segment without a folder here is never touched by it: the folder may
be another runtime directory's, and the run may live.

Knows nothing of workers or of the event loop.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

RUN_ID_VARIABLE = "TUITRAIN_RUN_ID"
"""Set in every worker's environment, inherited by whatever an environment starts."""

MAX_SOCKET_PATH_BYTES = 107
"""`sockaddr_un.sun_path` less its final zero (Linux)."""

_RUN_ID = re.compile(r"^[0-9a-f]{8}$")


class HouseError(RuntimeError):
    """The runtime directory cannot be used; the message says why and what to do."""


class AlreadyRunning(HouseError):
    """The run has a living supervisor."""


@dataclass(frozen=True)
class Tenant:
    """A living run, as its `run.json` describes it."""

    run_id: str
    run_dir: str
    name: str
    pid: int
    started_s: float
    socket_path: str


@dataclass
class Swept:
    """What `sweep` removed, or would remove."""

    run_ids: list[str] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.run_ids or self.segments or self.files or self.pids)


def root() -> Path:
    """The runtime directory of this user, made if need be.

    Raises:
        HouseError: it is a symbolic link, belongs to someone else or is open to others.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and os.path.isdir(base) and os.access(base, os.W_OK | os.X_OK):
        path = Path(base) / "tuitrain"
    else:
        path = Path(f"/tmp/tuitrain-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    check_private(path)
    return path


def check_private(path: Path) -> None:
    """Refuse a folder that another user could have prepared or could look into.

    Raises:
        HouseError: not a folder, a symbolic link, another owner, or mode not 0700.
    """
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a folder"
        raise HouseError(f"{path} is {what}; remove it, tuitrain needs a private folder there")
    if status.st_uid != os.getuid():
        raise HouseError(
            f"{path} belongs to user {status.st_uid}, not to you ({os.getuid()}); "
            "set XDG_RUNTIME_DIR to a private folder of yours"
        )
    if status.st_mode & 0o077:
        raise HouseError(f"{path} is open to other users; run `chmod 700 {path}`")


class House:
    """The folder of one run, claimed by its supervisor until `release`."""

    def __init__(self, path: Path, alive_fd: int) -> None:
        self.path = path
        self._alive_fd: int | None = alive_fd

    @property
    def run_id(self) -> str:
        """8 hex digits."""
        return self.path.name

    @property
    def socket_path(self) -> Path:
        """Where the control socket listens."""
        return self.path / "sock"

    @property
    def lock_path(self) -> Path:
        """The workers' lock file."""
        return self.path / "lock"

    @classmethod
    def claim(cls, run_id: str, run_dir: Path, name: str) -> House:
        """Take the folder of `run_id`, sweeping what a dead predecessor left in it.

        Raises:
            AlreadyRunning: another supervisor holds it.
            HouseError: the runtime directory is not private, or the socket path is too long.
            ValueError: `run_id` is not 8 hex digits.
        """
        if not _RUN_ID.match(run_id):
            raise ValueError(f"a run id is 8 hex digits, not {run_id!r}")
        base = root()
        path = base / run_id
        check_socket_path(path / "sock")
        with _root_lock(base):
            if path.exists():
                if is_alive(path):
                    raise AlreadyRunning(f"run {name} ({run_id}) is already running")
                _remove_dead(path, Swept(), dry_run=False)
            os.mkdir(path, 0o700)
            fd = os.open(path / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            house = cls(path, fd)
            house._describe(run_dir, name)
        return house

    def _describe(self, run_dir: Path, name: str) -> None:
        text = json.dumps(
            {
                "schema_version": 1,
                "run_id": self.run_id,
                "run_dir": str(run_dir),
                "name": name,
                "pid": os.getpid(),
                "started_s": time.time(),
                "socket_path": str(self.socket_path),
            }
        )
        (self.path / "run.json").write_text(text)

    def release(self) -> None:
        """Remove the folder and let go of it. May be called twice."""
        if self._alive_fd is None:
            return
        with _root_lock(self.path.parent):
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._alive_fd)
            self._alive_fd = None


def check_socket_path(path: Path) -> None:
    """Raise ``HouseError`` if the kernel would refuse this path for a unix socket."""
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise HouseError(
            f"the socket path {path} has {length} bytes, more than the {MAX_SOCKET_PATH_BYTES} "
            "a unix socket may have; set XDG_RUNTIME_DIR to a shorter private folder"
        )


def is_alive(path: Path) -> bool:
    """Whether a supervisor holds the flock of this run folder."""
    try:
        fd = os.open(path / "alive", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return True
        raise
    finally:
        os.close(fd)
    return False


def tenants() -> list[Tenant]:
    """The living runs of this user, oldest first."""
    found = []
    for path in _run_folders(root()):
        if not is_alive(path):
            continue
        try:
            data: dict[str, Any] = json.loads((path / "run.json").read_text())
            found.append(
                Tenant(
                    run_id=path.name,
                    run_dir=data["run_dir"],
                    name=data["name"],
                    pid=data["pid"],
                    started_s=data["started_s"],
                    socket_path=data["socket_path"],
                )
            )
        except (OSError, ValueError, KeyError):
            continue  # it has just ended, or is only being claimed
    return sorted(found, key=lambda tenant: tenant.started_s)


def sweep(*, dry_run: bool = False) -> Swept:
    """Remove segments, folders and processes of runs whose supervisor is dead.

    Called at the start of every command, so that nothing a SIGKILLed supervisor left stays longer
    than until then. Costs a directory listing when there is nothing to do.
    """
    base = root()
    swept = Swept()
    folders = _run_folders(base)
    if not folders:
        return swept
    with _root_lock(base):
        for path in _run_folders(base):
            if not is_alive(path) and not _lives_elsewhere(path):
                _remove_dead(path, swept, dry_run=dry_run)
    return swept


def _lives_elsewhere(path: Path) -> bool:
    """Whether the run of this dead folder has been resumed with another runtime directory.

    It has the same run id there, so what carries that id is not left over.
    """
    try:
        run_dir = json.loads((path / "run.json").read_text())["run_dir"]
        fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(fd)
    return False


def kill_marked(run_id: str, *, dry_run: bool = False) -> list[int]:
    """SIGKILL every process of this user that carries `run_id` in its environment.

    Finds what an environment started and left behind, in whatever process group or session it is.
    """
    killed = []
    uid = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.uids().real != uid:
                continue
            if process.environ().get(RUN_ID_VARIABLE) != run_id:
                continue
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if not dry_run:
                process.send_signal(signal.SIGKILL)
            killed.append(process.pid)
    return killed


def _remove_dead(path: Path, swept: Swept, *, dry_run: bool) -> None:
    from tuitrain.replay import segment

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


def _run_folders(base: Path) -> list[Path]:
    with os.scandir(base) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if _RUN_ID.match(entry.name) and entry.is_dir(follow_symlinks=False)
        )


@contextlib.contextmanager
def _root_lock(base: Path) -> Iterator[None]:
    """One claim, release or sweep at a time: a folder being made is not yet alive."""
    fd = os.open(base / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def orphans(*, dry_run: bool = False) -> list[str]:
    """Remove segments of this user that have no run folder here and that no process has mapped.

    For when the runtime directory itself was lost, e.g. removed at logout. Looks into every
    process of this user, so it is only done when asked for. A run in another container that
    shares /dev/shm but not the process table would not be seen.
    """
    from tuitrain.replay import segment

    known = {path.name for path in _run_folders(root())}
    pattern = re.compile(r"^tuitrain-([0-9a-f]{8})-")
    names = [
        name
        for name in segment.list_names("tuitrain-")
        if (found := pattern.match(name)) and found[1] not in known and _is_mine(name)
    ]
    if not names:
        return []
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


def _is_mine(segment_name: str) -> bool:
    try:
        return os.lstat(f"/dev/shm/{segment_name}").st_uid == os.getuid()
    except OSError:
        return False
