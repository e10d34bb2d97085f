"""Named shared memory: the only module that creates, maps and removes it.

The name is for people and cleaners. Processes of a run get the *descriptor* of whoever created a
segment (``adopt``), so a name that is lost meanwhile (logind removes a user's at logout) is no
loss; ``attach`` by name is for tools and tests.

The calls are those under ``multiprocessing.shared_memory``, which itself is of no use here: it has
no way in by descriptor, and before Python 3.13 it registers with the resource tracker what is
merely attached, so that a second command that attached and exited removed a live run's memory.
Whoever creates a segment unlinks it, or the run's cleaner does by name.

Memory is reserved for real before use: a file in /dev/shm may be made longer than the memory
behind it, and the process then dies of SIGBUS at some later store. This module knows nothing of
what a segment holds.
"""

from __future__ import annotations

import errno
import importlib
import mmap
import os
import re
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from tuitrain.disk import address_limit_bytes, file_limit_bytes, how_to_lift

_posixshmem: Any = importlib.import_module("_posixshmem")  # of Python's own; has no types
_FOLDER = Path("/dev/shm")
_MAGIC = b"TUITRAIN"
_FORMAT = 1
_HEADER = struct.Struct("<8sIIQ32s8x")
HEADER_BYTES = _HEADER.size
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_MIB = 1 << 20


class SegmentError(Exception):
    """Something about a shared memory segment is wrong; the text says what to do."""


class SegmentSpaceError(SegmentError):
    """The shared memory does not fit.

    Attributes:
        needed_bytes: what was asked for.
        free_bytes: what is free in /dev/shm, None if unknown.
    """

    def __init__(self, needed_bytes: int, free: int | None) -> None:
        self.needed_bytes = needed_bytes
        self.free_bytes = free
        size = -(-(needed_bytes + _used_bytes()) // _MIB)
        known = "an unknown amount is" if free is None else f"{_mib(free)} are"
        super().__init__(
            f"shared memory: {_mib(needed_bytes)} are needed and {known} free in {_FOLDER}; start "
            f"the container with at least `--shm-size={size}m` (Docker, Podman), enlarge it with "
            f"`mount -o remount,size={size}m {_FOLDER}`, or lower replay.capacity"
        )


class SegmentMissing(SegmentError, FileNotFoundError):
    """There is no segment of that name."""


class SegmentMismatch(SegmentError):
    """A segment of that name exists, but it is not the one that was expected."""


class Segment:
    """A mapped segment. Made by ``create``, ``adopt`` and ``attach``, not directly.

    Attributes:
        name: its name, as ``attach`` takes it.
        buf: the payload, writable, 64-byte aligned, all zeros when created.
    """

    def __init__(self, name: str, memory: mmap.mmap, nbytes: int, fd: int | None = None) -> None:
        self.name = name
        self._memory: mmap.mmap | None = memory
        self._fd = fd
        self.buf = memoryview(memory)[HEADER_BYTES : HEADER_BYTES + nbytes]

    def fileno(self) -> int:
        """The descriptor, for ``adopt`` in a process it is given to. Only the creator has it.

        Raises:
            SegmentError: the segment is closed, or was not created by this process.
        """
        if self._fd is None:
            raise SegmentError(f"segment {self.name!r}: only its creator holds the descriptor")
        return self._fd

    def close(self) -> None:
        """Give up mapping and descriptor; the name stays until ``unlink``. May be called twice.

        Arrays made from ``buf`` stay usable: the memory is unmapped when the last one is gone.
        """
        if self._memory is None:
            return
        memory, self._memory = self._memory, None
        self._let_go()
        with suppress(BufferError):  # arrays still look into it
            self.buf.release()
            memory.close()

    def _let_go(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def __del__(self) -> None:
        self._let_go()  # of the descriptor alone: `buf` may be in use

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"segment {self.name!r} cannot be pickled (the copy would be a new, empty buffer): "
            "give the other process its descriptor (tuitrain.workers.handles.Handle) and call "
            "segment.adopt(fd, name, nbytes, layout_hash) there, or by name "
            "segment.attach(name, nbytes, layout_hash)"
        )


def create(name: str, nbytes: int, layout_hash: bytes) -> Segment:
    """Make a segment with ``nbytes`` bytes of zeros, reserved for real.

    Args:
        name: letters, digits, ``._-``; no slash.
        nbytes: size of the payload.
        layout_hash: 32 bytes; ``adopt`` and ``attach`` must give the same.

    Raises:
        SegmentSpaceError: it does not fit in /dev/shm. Nothing is left behind.
        SegmentError: the name is taken, or a limit of this process or /dev/shm itself forbids it.
    """
    _check_name(name)
    header = _header(nbytes, layout_hash)
    whole = HEADER_BYTES + nbytes
    check_space(whole)
    try:
        fd = _open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    except FileExistsError:
        raise SegmentError(
            f"shared memory segment {name!r} exists already; if no run uses it, "
            "`tuitrain clean` removes it"
        ) from None
    except OSError as error:
        raise SegmentError(
            f"shared memory cannot be made in {_FOLDER}: {error.strerror}; it must be a writable "
            f"tmpfs (in a read-only container `--tmpfs {_FOLDER}`)"
        ) from error
    try:
        os.ftruncate(fd, whole)
        _reserve(fd, whole)
        memory = mmap.mmap(fd, whole)
    except OSError as error:
        os.close(fd)
        unlink(name)
        raise _space_error(error, whole) from None
    # Last, so that nobody can attach to a segment whose memory is not reserved yet.
    memory[:HEADER_BYTES] = header
    return Segment(name, memory, nbytes, fd)


def adopt(fd: int, name: str, nbytes: int, layout_hash: bytes) -> Segment:
    """Map a segment from its creator's descriptor, whatever has become of its name.

    Args:
        fd: belongs to this function: it is closed, also when it raises.
        name: what the segment is called in messages.

    Raises:
        SegmentMismatch: its magic, version, size or layout hash is not the expected one.
    """
    try:
        expected = _header(nbytes, layout_hash)
        file_bytes = os.fstat(fd).st_size
        problem: str | None = "it is empty"  # not sized yet, or never will be
        if file_bytes:
            memory = mmap.mmap(fd, file_bytes)  # keeps a descriptor of its own
            problem = _difference(expected, memory[:HEADER_BYTES], file_bytes)
    finally:
        os.close(fd)
    if problem:
        raise SegmentMismatch(
            f"shared memory segment {name!r} is not what this process expects: {problem}; "
            "are all processes of the run started from the same code and config?"
        )
    return Segment(name, memory, nbytes)


def attach(name: str, nbytes: int, layout_hash: bytes) -> Segment:
    """Map a segment another process created, by its name.

    Raises:
        SegmentMissing: there is none of that name.
        SegmentMismatch: its magic, version, size or layout hash is not the expected one.
    """
    _check_name(name)
    try:
        fd = _open(name, os.O_RDWR)
    except FileNotFoundError:
        raise SegmentMissing(
            f"there is no shared memory segment {name!r}: its run has ended, or it was removed"
        ) from None
    return adopt(fd, name, nbytes, layout_hash)


def unlink(name: str) -> bool:
    """Remove a segment by name; False if there was none. Existing mappings stay valid."""
    _check_name(name)
    try:
        _posixshmem.shm_unlink("/" + name)
    except FileNotFoundError:
        return False
    return True


def list_names(prefix: str) -> list[str]:
    """Names of all segments that begin with ``prefix``, sorted."""
    try:
        return sorted(name for name in os.listdir(_FOLDER) if name.startswith(prefix))
    except FileNotFoundError:
        return []


def are_listed() -> bool:
    """Whether ``list_names`` finds names here. Where not (macOS) none should be left."""
    return _FOLDER.is_dir()


def free_bytes() -> int | None:
    """Bytes free in /dev/shm, None if it does not exist."""
    try:
        status = os.statvfs(_FOLDER)
    except FileNotFoundError:
        return None
    return status.f_bavail * status.f_frsize


def total_bytes() -> int | None:
    """Size of /dev/shm, None if it does not exist."""
    try:
        status = os.statvfs(_FOLDER)
    except FileNotFoundError:
        return None
    return status.f_blocks * status.f_frsize


def check_space(needed_bytes: int) -> None:
    """Raise ``SegmentSpaceError`` if ``needed_bytes`` are certainly not free in /dev/shm.

    Called with the sum of a run's segments it fails before the first of them is created.
    """
    free = free_bytes()
    if free is not None and needed_bytes > free:
        raise SegmentSpaceError(needed_bytes, free)


def _open(name: str, flags: int) -> int:
    """A descriptor of the memory of that name, close-on-exec (as POSIX has it of shm_open)."""
    fd: int = _posixshmem.shm_open("/" + name, flags, 0o600)
    return fd


def _reserve(fd: int, nbytes: int) -> None:
    """Back every byte with memory now. Where there is no such call (macOS), at first use."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, nbytes)


def _space_error(error: OSError, nbytes: int) -> OSError | SegmentError:
    if error.errno == errno.EFBIG and (limit := file_limit_bytes()) is not None:
        return SegmentError(
            f"shared memory: {_mib(nbytes)} are needed in one piece, and a file may have "
            f"{_mib(limit)} at most: {how_to_lift('f', 'FSIZE')}"
        )
    if error.errno == errno.ENOMEM and (limit := address_limit_bytes()) is not None:
        return SegmentError(
            f"shared memory: {_mib(nbytes)} cannot be mapped, and a process may map {_mib(limit)} "
            f"in all: {how_to_lift('v', 'AS')}"
        )
    if error.errno in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG):
        return SegmentSpaceError(nbytes, free_bytes())
    return error


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no segment name: 1 to 200 letters, digits, '.', '_', '-'")


def _header(nbytes: int, layout_hash: bytes) -> bytes:
    if nbytes < 1:
        raise ValueError(f"a segment of {nbytes} bytes cannot be mapped")
    if len(layout_hash) != 32:
        raise ValueError(f"a layout hash has 32 bytes, this one {len(layout_hash)}")
    return _HEADER.pack(_MAGIC, _FORMAT, HEADER_BYTES, nbytes, layout_hash)


def _difference(expected: bytes, found: bytes, file_bytes: int) -> str | None:
    if len(found) < HEADER_BYTES:
        return f"it has {file_bytes} bytes, fewer than a header"
    magic, version, _, nbytes, layout_hash = _HEADER.unpack(found)
    want_magic, want_version, _, want_nbytes, want_hash = _HEADER.unpack(expected)
    if magic != want_magic:
        return f"it begins with {magic!r}, not {want_magic!r} (not a segment, or not ready yet)"
    if version != want_version:
        return f"its format is version {version}, expected {want_version}"
    if nbytes != want_nbytes or file_bytes < HEADER_BYTES + nbytes:  # macOS rounds sizes up
        return f"it holds {nbytes} bytes in a file of {file_bytes}, expected {want_nbytes}"
    shown = 8
    if layout_hash[:shown] != want_hash[:shown]:
        found_hash, wanted = layout_hash[:shown].hex(), want_hash[:shown].hex()
        return f"its layout hash is {found_hash}…, expected {wanted}…"
    for at, (have, want) in enumerate(zip(found, expected, strict=True)):
        if have != want:  # other layouts differ above: this is no layout but damage
            return f"byte {at} of its header is {have:#04x}, expected {want:#04x}"
    return None


def _used_bytes() -> int:
    try:
        status = os.statvfs(_FOLDER)
    except FileNotFoundError:
        return 0
    return (status.f_blocks - status.f_bavail) * status.f_frsize


def _mib(nbytes: int) -> str:
    return f"{nbytes / _MIB:.1f} MiB"
