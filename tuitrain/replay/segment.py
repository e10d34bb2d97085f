"""Named shared memory: the only module that creates, attaches and removes it.

A segment is a file in /dev/shm, mapped directly. ``multiprocessing.shared_memory`` is not used:
before Python 3.13 it also registers what is merely attached with the resource tracker, and a
second command that attached and exited then removed a live run's memory. Here whoever creates a
segment unlinks it, or the run's cleaner does by name; no tracker process ever hears of it.

Memory is reserved for real before use: a file in /dev/shm may be made longer than the memory
behind it, and the process then dies of SIGBUS at some later store. This module knows nothing of
what a segment holds.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import struct
from pathlib import Path
from typing import NoReturn

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
    """A mapped segment. Made by ``create`` and ``attach``, not directly.

    Attributes:
        name: its name, as ``attach`` takes it.
        buf: the payload, writable, 64-byte aligned, all zeros when created.
    """

    def __init__(self, name: str, mapping: mmap.mmap, nbytes: int) -> None:
        self.name = name
        self._mapping: mmap.mmap | None = mapping
        self.buf = memoryview(mapping)[HEADER_BYTES : HEADER_BYTES + nbytes]

    def close(self) -> None:
        """Give up the mapping; the segment itself stays until ``unlink``. May be called twice.

        Arrays made from ``buf`` stay usable: the memory is unmapped when the last one is gone.
        """
        if self._mapping is None:
            return
        mapping, self._mapping = self._mapping, None
        try:
            self.buf.release()
            mapping.close()
        except BufferError:
            pass  # arrays still look into it; the mapping goes with the last of them

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"segment {self.name!r} cannot be pickled (the copy would be a new, empty buffer): "
            "send its name, size and layout hash and call "
            "tuitrain.replay.segment.attach(name, nbytes, layout_hash) in the other process"
        )


def create(name: str, nbytes: int, layout_hash: bytes) -> Segment:
    """Make a segment with ``nbytes`` bytes of zeros, reserved for real.

    Args:
        name: letters, digits, ``._-``; no slash.
        nbytes: size of the payload.
        layout_hash: 32 bytes; ``attach`` must give the same.

    Raises:
        SegmentSpaceError: it does not fit in /dev/shm. Nothing is left behind.
        SegmentError: the name is taken.
    """
    path = _path(name)
    header = _header(nbytes, layout_hash)
    check_space(HEADER_BYTES + nbytes)
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise SegmentError(
            f"shared memory segment {name!r} exists already; if no run uses it, remove {path}"
        ) from None
    try:
        try:
            os.posix_fallocate(fd, 0, HEADER_BYTES + nbytes)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG):
                raise SegmentSpaceError(HEADER_BYTES + nbytes, free_bytes()) from None
            raise
        mapping = mmap.mmap(fd, HEADER_BYTES + nbytes)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(fd)
    # Last, so that nobody can attach to a segment whose memory is not reserved yet.
    mapping[:HEADER_BYTES] = header
    return Segment(name, mapping, nbytes)


def attach(name: str, nbytes: int, layout_hash: bytes) -> Segment:
    """Map a segment another process created.

    Raises:
        SegmentMissing: there is none of that name.
        SegmentMismatch: its magic, version, size or layout hash is not the expected one.
    """
    path = _path(name)
    expected = _header(nbytes, layout_hash)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise SegmentMissing(
            f"there is no shared memory segment {name!r}: its run has ended, or it was removed"
        ) from None
    try:
        found = os.pread(fd, HEADER_BYTES, 0)
        problem = _difference(expected, found, os.fstat(fd).st_size)
        if problem:
            raise SegmentMismatch(
                f"shared memory segment {name!r} is not what this process expects: {problem}; "
                "are all processes of the run started from the same code and config?"
            )
        mapping = mmap.mmap(fd, HEADER_BYTES + nbytes)
    finally:
        os.close(fd)
    return Segment(name, mapping, nbytes)


def unlink(name: str) -> bool:
    """Remove a segment by name; False if there was none. Existing mappings stay valid."""
    try:
        os.unlink(_path(name))
    except FileNotFoundError:
        return False
    return True


def list_names(prefix: str) -> list[str]:
    """Names of all segments that begin with ``prefix``, sorted."""
    try:
        return sorted(name for name in os.listdir(_FOLDER) if name.startswith(prefix))
    except FileNotFoundError:
        return []


def free_bytes() -> int | None:
    """Bytes free in /dev/shm, None if it does not exist."""
    try:
        status = os.statvfs(_FOLDER)
    except FileNotFoundError:
        return None
    return status.f_bavail * status.f_frsize


def check_space(needed_bytes: int) -> None:
    """Raise ``SegmentSpaceError`` if ``needed_bytes`` are certainly not free in /dev/shm.

    Called with the sum of a run's segments it fails before the first of them is created.
    """
    free = free_bytes()
    if free is not None and needed_bytes > free:
        raise SegmentSpaceError(needed_bytes, free)


def _path(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no segment name: 1 to 200 letters, digits, '.', '_', '-'")
    return _FOLDER / name


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
    if nbytes != want_nbytes or file_bytes != HEADER_BYTES + nbytes:
        return f"it holds {nbytes} bytes in a file of {file_bytes}, expected {want_nbytes}"
    if layout_hash != want_hash:
        return f"its layout hash is {layout_hash.hex()[:16]}…, expected {want_hash.hex()[:16]}…"
    return None


def _used_bytes() -> int:
    try:
        status = os.statvfs(_FOLDER)
    except FileNotFoundError:
        return 0
    return (status.f_blocks - status.f_bavail) * status.f_frsize


def _mib(nbytes: int) -> str:
    return f"{nbytes / _MIB:.1f} MiB"
