"""Private folders in which runs keep what must vanish with them, and who lives there.

A user has up to three runtime directories: `$XDG_RUNTIME_DIR/tuitrain`, the same of
`/run/user/UID` and `/tmp/tuitrain-UID`. A run is in the one that could be had when it started, or
when it last lost the one before (logind removes `/run/user/UID` at the last logout). So whoever
looks for runs looks into all of them, and trusts only what no other user can have prepared.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from tuitrain import regular
from tuitrain.disk import why

MAX_SOCKET_PATH_BYTES = 107
"""`sockaddr_un.sun_path` less its final zero (Linux)."""

LOCK_WITHIN_S = 5.0
LOCK_AGAIN_S = 0.05
"""How long who claims, releases or sweeps waits for another that does, and how often it looks."""

RUN_ID = re.compile(r"^[0-9a-f]{8}$")

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO)
"""Where nothing, or something else, is in a file's place. Other errors say nothing of it."""


class HouseError(RuntimeError):
    """The runtime directory cannot be used; the message says why and what to do."""


class RootLocked(HouseError):
    """Another process claims, releases or sweeps, and does not end it."""


def root() -> Path:
    """The runtime directory for what this process starts, made if need be.

    Raises:
        HouseError: it is a symbolic link, belongs to someone else or is open to others, or cannot
            be made.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    # one that is not absolute is to be ignored (XDG Base Directory Specification)
    if os.path.isabs(base) and os.path.isdir(base) and os.access(base, os.W_OK | os.X_OK):
        path = Path(base) / "tuitrain"
    else:
        path = _places()[-1]
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise HouseError(
            f"the runtime directory {path} cannot be made: {why(error, path.parent)}; set "
            "XDG_RUNTIME_DIR to a private folder of yours"
        ) from error
    check_private(path)
    return path


def roots() -> list[Path]:
    """Every runtime directory of this user that there is, `root()` first.

    Raises:
        HouseError: `root()` cannot be used. Others that are not private are left out.
    """
    found = [root()]
    for path in _places():
        with contextlib.suppress(OSError, HouseError):
            check_private(path)
            if not any(os.path.samefile(path, other) for other in found):
                found.append(path)
    return found


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


def check_socket_path(path: Path) -> None:
    """Raise ``HouseError`` if the kernel would refuse this path for a unix socket."""
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise HouseError(
            f"the socket path {path} has {length} bytes, more than the {MAX_SOCKET_PATH_BYTES} "
            "a unix socket may have; set XDG_RUNTIME_DIR to a shorter private folder"
        )


def is_alive(path: Path) -> bool:
    """Whether a supervisor holds the flock of this run folder.

    Raises:
        HouseError: it cannot be told, so nothing of it may be taken for a dead one's.
    """
    try:
        fd = regular.opener(str(path / "alive"), os.O_RDWR)
    except regular.NotRegular:
        return False
    except OSError as error:
        if error.errno in _NO_FILE:
            return False
        raise _unknown(path, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return True
        raise _unknown(path, error) from error
    finally:
        os.close(fd)
    return False


def _unknown(path: Path, error: OSError) -> HouseError:
    return HouseError(
        f"whether the run of {path} lives cannot be told: {error.strerror}; try again, or "
        "remove that folder if the run has ended"
    )


def run_folders(base: Path) -> list[Path]:
    """The folders of runs in one runtime directory, of the living and the dead."""
    with os.scandir(base) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if RUN_ID.match(entry.name) and entry.is_dir(follow_symlinks=False)
        )


@contextlib.contextmanager
def root_lock(base: Path, within_s: float | None = None) -> Iterator[None]:
    """One claim, release or sweep at a time: a folder being made is not yet alive.

    Args:
        within_s: how long another process is waited for, asleep; `LOCK_WITHIN_S` if not given.

    Raises:
        FileNotFoundError: the runtime directory is gone.
        RootLocked: another process holds it for longer.
        HouseError: its lock file cannot be opened.
    """
    path = base / ".lock"
    try:
        fd = regular.opener(str(path), os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise HouseError(
            f"the lock file {path} cannot be opened: {why(error, base)}; if there is something "
            "else in its place, remove it"
        ) from error
    try:
        left_s = LOCK_WITHIN_S if within_s is None else within_s
        while not _locks(fd):
            if left_s <= 0:
                raise RootLocked(_held_by(path, os.fstat(fd)))
            time.sleep(LOCK_AGAIN_S)
            left_s -= LOCK_AGAIN_S
        yield
    finally:
        os.close(fd)


def _locks(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held_by(path: Path, status: os.stat_result) -> str:
    """Who keeps others from a lock file, and what to do."""
    held = f"the lock file {path} is held by"
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError):  # no /proc, or not this
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()  # 1: FLOCK ADVISORY WRITE pid device:inode start end
            if len(fields) == 8 and fields[1] == "FLOCK" and fields[5] == device:
                pid = fields[4]
                return (
                    f"{held} process {pid}, probably another tuitrain that is stopped: let it go "
                    f"on (`kill -CONT {pid}`) or end it (`kill -KILL {pid}`)"
                )
    return f"{held} another process, probably a tuitrain that is stopped: let it go on, or end it"


def _places() -> tuple[Path, ...]:
    """Where a runtime directory can be whatever this process's environment says; the last can
    always be made."""
    uid = os.getuid()
    return Path(f"/run/user/{uid}/tuitrain"), Path(f"/tmp/tuitrain-{uid}")
