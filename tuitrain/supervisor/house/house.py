"""Where a live run keeps what must vanish with it: a private folder with socket and lock files.

A runtime directory (`runtime.py`) holds one folder per run, named by its run id: `sock` (control
socket), `lock` (the workers' record locks), `alive` (held with flock by the supervisor for as long
as it lives) and `run.json`. Whether a run lives is asked of the kernel by that flock, so a reused
pid cannot fool it and a SIGKILLed supervisor is dead at once.

A house can be lost under its run, at a logout; the run does not need it, those who look for it do,
and `claim_again` gives it another. Knows nothing of workers or of the event loop.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuitrain import regular
from tuitrain.disk import why
from tuitrain.supervisor.house.leftovers import Swept, remove_dead
from tuitrain.supervisor.house.runtime import (
    RUN_ID,
    HouseError,
    check_socket_path,
    is_alive,
    root,
    root_lock,
    roots,
    run_folders,
)

_NO_ANSWER = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
"""Errors that tell nothing of a file, and pass."""


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


class House:
    """The folder of one run, claimed by its supervisor until `release`."""

    def __init__(self, path: Path, run_dir: Path, name: str) -> None:
        self.path = path
        self._run_dir = run_dir
        self._name = name
        self._alive_fd: int | None = None
        self._told = b""  # in run.json

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
            HouseError: the runtime directory is not private, the socket path is too long, whether
                another supervisor holds it cannot be told, or the folder cannot be made (then
                nothing of it is left).
            ValueError: `run_id` is not 8 hex digits.
        """
        if not RUN_ID.match(run_id):
            raise ValueError(f"a run id is 8 hex digits, not {run_id!r}")
        base = root()
        house = cls(base / run_id, run_dir, name)
        check_socket_path(house.socket_path)
        with root_lock(base):
            if house.path.exists():
                if is_alive(house.path):
                    raise AlreadyRunning(f"run {name} ({run_id}) is already running")
                remove_dead(house.path, Swept(), dry_run=False)
            try:
                house._move_in()
            except OSError as error:
                raise HouseError(
                    f"the run's runtime folder {house.path} cannot be made: {why(error, base)}; "
                    "make room there, or set XDG_RUNTIME_DIR to another private folder"
                ) from error
        return house

    def stands(self) -> bool:
        """Whether others still find the run by it. A few looks at a file system in memory."""
        assert self._alive_fd is not None
        try:
            found, mine = os.stat(self.path / "alive"), os.fstat(self._alive_fd)
            listens = stat.S_ISSOCK(os.lstat(self.socket_path).st_mode)
            told = regular.read(self.path / "run.json")
        except OSError as error:
            return error.errno in _NO_ANSWER
        return os.path.samestat(found, mine) and listens and told == self._told

    def claim_again(self) -> None:
        """Take a new folder where a runtime directory can be had now; the old one is lost.

        Nothing is swept: whatever carries the run's id is the run's own. The workers have their
        lock file and memory by descriptor and need nothing of it.

        Waits for nobody: the run's supervisor has others to look after.

        Raises:
            HouseError: no runtime directory can be used.
            RootLocked: another process claims or sweeps just now.
            OSError: the folder cannot be made.
        """
        base = root()
        path = base / self.run_id
        check_socket_path(path / "sock")
        with root_lock(base, within_s=0.0):
            shutil.rmtree(path, ignore_errors=True)  # half of the old one
            self.path = path
            self._move_in()

    def _move_in(self) -> None:
        """Make the folder, whole or not at all."""
        os.mkdir(self.path, 0o700)
        try:
            fd = os.open(self.path / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._introduce()
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        if self._alive_fd is not None:
            os.close(self._alive_fd)
        self._alive_fd = fd

    def _introduce(self) -> None:
        fields = {
            "schema_version": 1,
            "run_id": self.run_id,
            "run_dir": str(self._run_dir),
            "name": self._name,
            "pid": os.getpid(),
            "started_s": time.time(),
            "socket_path": str(self.socket_path),
        }
        self._told = json.dumps(fields).encode()
        with open(self.path / "run.json", "wb", opener=regular.opener) as file:
            file.write(self._told)

    def release(self, *, keep: bool = False) -> bool:
        """Remove the folder, as far as it is still there, and let go of it. May be called twice.

        Args:
            keep: leave the folder, by which who sweeps finds what else is left.

        Returns:
            Whether the folder is gone.
        """
        if self._alive_fd is None:
            return not self.path.exists()
        fd, self._alive_fd = self._alive_fd, None
        try:
            if not keep:
                with contextlib.ExitStack() as stack:
                    # Without the lock, too: who holds the run folder keeps others from claiming.
                    with contextlib.suppress(OSError, HouseError):
                        stack.enter_context(root_lock(self.path.parent))
                    shutil.rmtree(self.path, ignore_errors=True)
            return not self.path.exists()
        finally:
            os.close(fd)


def tenants() -> list[Tenant]:
    """The living runs of this user, oldest first.

    Raises:
        HouseError: the runtime directory cannot be used, or whether a run lives cannot be told.
    """
    found: dict[str, Tenant] = {}
    for base in roots():
        with contextlib.suppress(FileNotFoundError):  # a logout has just removed it
            for path in run_folders(base):
                if path.name not in found and (tenant := _tenant(path)) is not None:
                    found[path.name] = tenant
    return sorted(found.values(), key=lambda tenant: tenant.started_s)


def _tenant(path: Path) -> Tenant | None:
    if not is_alive(path):
        return None
    try:
        data: dict[str, Any] = json.loads(regular.read(path / "run.json"))
        return Tenant(
            run_id=path.name,
            run_dir=data["run_dir"],
            name=data["name"],
            pid=data["pid"],
            started_s=data["started_s"],
            socket_path=data["socket_path"],
        )
    except (OSError, ValueError, KeyError):
        return None  # it has just ended, or is only being claimed
