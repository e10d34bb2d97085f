"""A reader-writer lock between processes that no dead process can keep.

POSIX record locks on one file of the run: the kernel releases them when their holder dies,
however it dies. Each resource has two bytes of the file. The *gate* byte is taken exclusively by
everyone on entry and given up once the *data* byte is held, shared by readers and exclusively by
the writer. A waiting writer stands in the gate, so no new reader passes it and overlapping readers
cannot starve it. The steps are listed in ``turnstile``, which the tests model-check.

What record locks do not do by themselves, and what is done about it here:

- They belong to the process, not the thread: a thread lock stands before each resource.
- Closing *any* descriptor of the file drops all of the process's locks: a process has one, opened
  here or taken over from its creator; nothing else may open the file, not even to read or hash it.
  Nobody makes a lost file again: two files of one name would be two locks.
- A forked child does not inherit them but believes it has: the objects are poisoned in it.
- A blocking request cannot be given a deadline: requests do not block and are repeated. Time in
  which the waiting process did not run (it was stopped, or its container paused) does not count:
  the holder, paused with it, gets its chance first.
- An exception raised by a signal handler may come after any call. While a thread waits or moves
  through the gate everything is given back; right at ``__exit__`` nothing can be done in Python,
  and the lock stays with the process until it ends. So such handlers must not raise here.

Locks protect short moves of indices, never copies. Knows nothing of what it protects.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from fcntl import F_GETLK, F_RDLCK, F_SETLK, F_UNLCK, F_WRLCK, fcntl
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn

from tuitrain.replay import flock_layout
from tuitrain.replay.turnstile import BLAME, BYTES, READ, WRITE, Place, Request, Want
from tuitrain.replay.wait import LONGEST_LOOK_S, Wait

_FLOCK: Final = flock_layout.native()
_KIND: Final = {Want.FREE: F_UNLCK, Want.SHARED: F_RDLCK, Want.EXCLUSIVE: F_WRLCK}
_FIRST_SLEEP_S: Final = 20e-6
_LONGEST_SLEEP_S: Final = 1e-3
_CLOSED, _FORKED = -1, -2

_open_files: dict[tuple[int, int], LockFile] = {}
_registry_lock = threading.Lock()


class LockTimeout(Exception):
    """A lock was not to be had within its deadline.

    Attributes:
        resource: name of the resource.
        waited_s: how long was waited, not counting time in which this process did not run.
        holder_pid: the process that holds it, None if it could not be told.
    """

    def __init__(self, resource: str, waited_s: float, holder_pid: int | None) -> None:
        self.resource = resource
        self.waited_s = waited_s
        self.holder_pid = holder_pid
        who = "a holder that could not be identified"
        if holder_pid is not None:
            who = f"process {holder_pid}"
        who += ", which is stopped or stuck; ending that process frees the lock"
        if holder_pid == os.getpid():
            who = f"this process itself ({holder_pid}), in another thread or twice in this one"
        super().__init__(
            f"lock {resource!r} was not free within {waited_s:.2f} s: it is held by {who}"
        )


class LockUnusable(RuntimeError):
    """The lock file was closed, or this process is a fork of the one that opened it."""


@dataclass(frozen=True)
class LockStats:
    """Use of one lock by this process: counts, and seconds of the acquisitions that waited."""

    acquisitions: int
    waits: int
    waited_s: float
    worst_s: float


class LockFile:
    """The lock file of a run, open in this process. Made by ``create``, ``adopt`` or ``open``."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._locks: dict[int, RWLock] = {}
        status = os.fstat(fd)
        self._key = (status.st_dev, status.st_ino)

    @classmethod
    def create(cls, path: str | Path) -> LockFile:
        """Make the file (mode 0600) and open it. Raises ``FileExistsError`` if it exists."""
        path = Path(path)
        with _registry_lock:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            return cls._register(path, fd)

    @classmethod
    def adopt(cls, fd: int, path: str | Path) -> LockFile:
        """Take over a descriptor of the creator's, whatever has become of the file's name.

        Args:
            fd: belongs to this function: it is closed if it is of no use.
            path: what the file is called in messages.

        Raises:
            RuntimeError: this process has the file open already; its locks are dropped.
        """
        path = Path(path)
        with _registry_lock:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) in _open_files:
                os.close(fd)  # the harm is done: two descriptors, of which one must close first
                text = "is open in this process already, and has just lost its locks"
                raise RuntimeError(f"the lock file {path} {text}; pass the LockFile on instead")
            return cls._register(path, fd)

    @classmethod
    def open(cls, path: str | Path) -> LockFile:
        """Open a file made by ``create`` by its name; exactly once per process.

        Raises:
            RuntimeError: this process has it open already.
            FileNotFoundError: there is none.
        """
        path = Path(path)
        with _registry_lock:
            # Not by opening it: the close that would follow drops every lock this process holds.
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in _open_files:
                raise RuntimeError(
                    f"the lock file {path} is open in this process already; a second descriptor "
                    "would drop its locks when closed. Pass the LockFile on instead"
                )
            return cls._register(path, os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))

    @classmethod
    def _register(cls, path: Path, fd: int) -> LockFile:
        file = cls(path, fd)
        _open_files[file._key] = file
        return file

    def rwlock(self, resource: int, name: str, deadline_s: float) -> RWLock:
        """The lock of a resource; the same object however often it is asked for.

        Args:
            resource: number of the resource, the same in every process, from 0.
            name: what users read in messages.
            deadline_s: longest wait of an acquisition, in seconds.

        Raises:
            ValueError: the resource was given another name before.
        """
        if resource < 0 or deadline_s <= 0:
            raise ValueError(f"lock {name!r}: resource {resource}, deadline {deadline_s} s")
        with _registry_lock:
            lock = self._locks.get(resource)
            if lock is None:
                lock = self._locks[resource] = RWLock(self, resource, name, deadline_s)
            elif lock.name != name:
                raise ValueError(
                    f"resource {resource} of {self.path} is {lock.name!r}, not {name!r}"
                )
            return lock

    def fileno(self) -> int:
        """The descriptor, for ``adopt`` in a process that is being started.

        Raises:
            LockUnusable: it has been closed, or belongs to the process this one was forked from.
        """
        if self._fd < 0:
            raise LockUnusable(f"the lock file {self.path} is not open in this process")
        return self._fd

    def close(self) -> None:
        """Close the file, which releases every lock of this process. May be called twice.

        A thread that waits for a lock of it gets ``LockUnusable``.
        """
        with _registry_lock:
            fd, self._fd = self._fd, _CLOSED if self._fd != _FORKED else _FORKED
            for lock in self._locks.values():
                lock._fd = self._fd
            if fd >= 0:
                os.close(fd)
                _open_files.pop(self._key, None)

    def _poison(self) -> None:
        # The child's own descriptor: closing it drops no lock of the parent, and leaves nothing
        # through which a thread caught in mid-acquisition could take a lock as the child.
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
        self._fd = _FORKED
        for lock in self._locks.values():
            lock._fd = _FORKED

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a LockFile cannot be pickled: give its descriptor to a process that is being started "
            "(tuitrain.workers.handles.Handle) and call LockFile.adopt(fd, path), or by name "
            "LockFile.open(path), there"
        )


class RWLock:
    """Many readers or one writer on one resource. Made by ``LockFile.rwlock``.

    Threads of one process exclude each other, readers too. Not reentrant: a thread that asks
    again for what it holds gets ``LockTimeout`` naming its own process.
    """

    def __init__(self, file: LockFile, resource: int, name: str, deadline_s: float) -> None:
        self.name = name
        self.deadline_s = deadline_s
        self._fd = file._fd
        self._path = file.path
        self._thread = threading.Lock()
        self._waiting = False  # whether the thread that holds _thread waits for a process

        def request(of: Request | None) -> bytes:
            assert of is not None
            return _FLOCK.pack(
                _KIND[of.want], os.SEEK_SET, BYTES * resource + of.first, of.length, 0
            )

        self._take_gate = request(WRITE[Place.AT_GATE].request)
        self._free_gate = request(WRITE[Place.THROUGH].request)
        self._free_all = request(WRITE[Place.LEAVING].request)
        self._read = _Held(self, request(READ[Place.AT_DATA].request))
        self._write = _Held(self, request(WRITE[Place.AT_DATA].request))
        self._blame = tuple(request(of) for of in BLAME)
        self._acquisitions = 0
        self._waits = 0
        self._waited_s = 0.0
        self._worst_s = 0.0

    def read(self) -> _Held:
        """``with lock.read():`` hold it together with other readers."""
        return self._read

    def write(self) -> _Held:
        """``with lock.write():`` hold it alone."""
        return self._write

    def stats(self) -> LockStats:
        """What this process has seen so far."""
        return LockStats(self._acquisitions, self._waits, self._waited_s, self._worst_s)

    def _acquire(self, take_data: bytes) -> None:
        fd = self._fd
        if fd < 0:
            raise self._unusable()
        wait: Wait | None = None
        if not self._thread.acquire(False):
            wait = self._wait_for_thread()
        try:
            if not _set(fd, self._take_gate):
                wait = self._wait_for(self._take_gate, wait)
            if not _set(fd, take_data):
                wait = self._wait_for(take_data, wait)
            fcntl(fd, F_SETLK, self._free_gate)
        except BaseException as error:
            self._release()
            if isinstance(error, OSError) and self._fd < 0:  # closed while this was on its way
                raise self._unusable() from None
            raise
        self._acquisitions += 1
        if wait is not None:
            self._count(wait)

    def _release(self) -> None:
        try:
            if self._fd >= 0:  # else close() has released it, or it is the parent's
                fcntl(self._fd, F_SETLK, self._free_all)
        finally:
            self._thread.release()

    def _wait_for_thread(self) -> Wait:
        wait = Wait(self.deadline_s, time.monotonic)
        while not self._thread.acquire(timeout=min(self.deadline_s, LONGEST_LOOK_S)):
            if self._fd < 0:
                raise self._unusable()
            if wait.over():
                self._count(wait)
                # The thread that is in the way may itself wait for another process.
                pid = self._holder(self._fd) if self._waiting else os.getpid()
                raise LockTimeout(self.name, wait.waited_s, pid)
        if self._fd < 0:
            self._thread.release()
            raise self._unusable()
        return wait

    def _wait_for(self, request: bytes, wait: Wait | None) -> Wait:
        """Repeat a request that was refused until it is granted."""
        wait = wait or Wait(self.deadline_s, time.monotonic)
        sleep_s = _FIRST_SLEEP_S
        self._waiting = True
        try:
            while True:
                time.sleep(sleep_s)
                fd = self._fd
                if fd < 0:
                    raise self._unusable()
                if _set(fd, request):
                    return wait
                if wait.over():
                    self._count(wait)
                    raise LockTimeout(self.name, wait.waited_s, self._holder(fd))
                sleep_s = min(2 * sleep_s, _LONGEST_SLEEP_S)
        finally:
            self._waiting = False

    def _holder(self, fd: int) -> int | None:
        """The process to blame for a wait, None if it cannot be told."""
        for request in self._blame:
            pid = _blocker(fd, request)
            if pid is not None:
                return pid
        return None

    def _count(self, wait: Wait) -> None:
        wait.over()
        self._waits += 1
        self._waited_s += wait.waited_s
        self._worst_s = max(self._worst_s, wait.waited_s)

    def _unusable(self) -> LockUnusable:
        if self._fd == _FORKED:
            return LockUnusable(
                f"lock {self.name!r} was opened before this process was forked; record locks do "
                f"not pass to forked children. Start workers with spawn and open {self._path} there"
            )
        return LockUnusable(f"lock {self.name!r}: the lock file {self._path} has been closed")

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an RWLock cannot be pickled: send the lock file's path and resource number and call "
            "LockFile.open(path).rwlock(resource, name, deadline_s)"
        )


class _Held:
    """The context manager of one mode; stateless, so one object serves every acquisition."""

    __slots__ = ("_lock", "_take")

    def __init__(self, lock: RWLock, take: bytes) -> None:
        self._lock = lock
        self._take = take

    def __enter__(self) -> None:
        self._lock._acquire(self._take)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock._release()


def _set(fd: int, request: bytes) -> bool:
    try:
        fcntl(fd, F_SETLK, request)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _blocker(fd: int, request: bytes) -> int | None:
    """Pid of a process whose lock is in the way of ``request``; None if none is, or unknown."""
    kind, _, _, _, pid = _FLOCK.unpack(fcntl(fd, F_GETLK, request))
    return pid if kind != F_UNLCK and pid > 0 else None


def _poison_after_fork() -> None:
    global _registry_lock
    _registry_lock = threading.Lock()  # may have been held by another thread
    for file in _open_files.values():
        file._poison()
    _open_files.clear()


os.register_at_fork(after_in_child=_poison_after_fork)
