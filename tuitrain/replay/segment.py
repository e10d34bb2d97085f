"""Named shared memory: the only module that creates, attaches and removes it.

Built on ``multiprocessing.shared_memory``, but without its resource tracker: before Python 3.13
that also registers what is merely attached, and a second command that attached and exited then
removed a live run's memory. Here whoever creates a segment unlinks it, or the run's cleaner does
by name; no tracker process ever hears of it.

Memory is reserved for real before use: a file in /dev/shm may be made longer than the memory
behind it, and the process then dies of SIGBUS at some later store. This module knows nothing of
what a segment holds.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, NoReturn

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

    def __init__(self, memory: _Memory, nbytes: int) -> None:
        self.name = memory.name
        self._memory: _Memory | None = memory
        self.buf = memory.view[HEADER_BYTES : HEADER_BYTES + nbytes]

    def close(self) -> None:
        """Give up the mapping; the segment itself stays until ``unlink``. May be called twice.

        Arrays made from ``buf`` stay usable: the memory is unmapped when the last one is gone.
        """
        if self._memory is None:
            return
        memory, self._memory = self._memory, None
        with suppress(BufferError):  # arrays still look into it
            self.buf.release()
            memory.close()

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
    _check_name(name)
    header = _header(nbytes, layout_hash)
    check_space(HEADER_BYTES + nbytes)
    try:
        memory = _Memory.open(name, HEADER_BYTES + nbytes)
    except FileExistsError:
        raise SegmentError(
            f"shared memory segment {name!r} exists already; if no run uses it, "
            "`tuitrain clean` removes it"
        ) from None
    except OSError as error:
        raise _space_error(error, HEADER_BYTES + nbytes) from None
    try:
        _reserve(name, HEADER_BYTES + nbytes)
    except OSError as error:
        memory.close()
        unlink(name)
        raise _space_error(error, HEADER_BYTES + nbytes) from None
    # Last, so that nobody can attach to a segment whose memory is not reserved yet.
    memory.view[:HEADER_BYTES] = header
    return Segment(memory, nbytes)


def attach(name: str, nbytes: int, layout_hash: bytes) -> Segment:
    """Map a segment another process created.

    Raises:
        SegmentMissing: there is none of that name.
        SegmentMismatch: its magic, version, size or layout hash is not the expected one.
    """
    _check_name(name)
    expected = _header(nbytes, layout_hash)
    try:
        memory = _Memory.open(name)
    except FileNotFoundError:
        raise SegmentMissing(
            f"there is no shared memory segment {name!r}: its run has ended, or it was removed"
        ) from None
    except ValueError:  # it has no bytes yet, or never got any
        problem: str | None = "it is empty"
    else:
        problem = _difference(expected, bytes(memory.view[:HEADER_BYTES]), memory.size)
    if problem:
        raise SegmentMismatch(
            f"shared memory segment {name!r} is not what this process expects: {problem}; "
            "are all processes of the run started from the same code and config?"
        )
    return Segment(memory, nbytes)


def unlink(name: str) -> bool:
    """Remove a segment by name; False if there was none. Existing mappings stay valid."""
    _check_name(name)
    try:
        if _FOLDER.is_dir():  # by its file: also one that is empty, which cannot be mapped
            os.unlink(_FOLDER / name)
        else:
            memory = _Memory.open(name)
            memory.close()
            with _untracked():
                memory.unlink()
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


class _Memory(SharedMemory):
    """``SharedMemory`` that no resource tracker knows of, and that dies quietly."""

    @classmethod
    def open(cls, name: str, create_nbytes: int = 0) -> _Memory:
        """Attach, or create if a size is given."""
        arguments: dict[str, Any] = {"create": bool(create_nbytes), "size": create_nbytes}
        if sys.version_info >= (3, 13):
            return cls(name, track=False, **arguments)
        with _untracked():
            return cls(name, **arguments)

    @property
    def view(self) -> memoryview:
        """The bytes, as long as it is open."""
        assert self.buf is not None
        return self.buf

    def __del__(self) -> None:
        # Arrays that outlive it keep the mapping; the base class would complain on stderr.
        with suppress(BufferError, OSError):
            self.close()


_tracker_lock = threading.Lock()


@contextmanager
def _untracked() -> Iterator[None]:
    """Keep shared memory out of the resource tracker while inside (Python < 3.13)."""
    if sys.version_info >= (3, 13):
        yield
        return
    with _tracker_lock:
        honest = resource_tracker.register, resource_tracker.unregister

        def passing(function: Any) -> Any:
            # other threads may register semaphores meanwhile: those go through
            return lambda name, kind: None if kind == "shared_memory" else function(name, kind)

        resource_tracker.register, resource_tracker.unregister = map(passing, honest)
        try:
            yield
        finally:
            resource_tracker.register, resource_tracker.unregister = honest


def _reserve(name: str, nbytes: int) -> None:
    """Back every byte with memory now. Where there is no /dev/shm (macOS) there is no call."""
    if not (_FOLDER.is_dir() and hasattr(os, "posix_fallocate")):
        return
    fd = os.open(_FOLDER / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.posix_fallocate(fd, 0, nbytes)
    finally:
        os.close(fd)


def _space_error(error: OSError, nbytes: int) -> OSError | SegmentSpaceError:
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
