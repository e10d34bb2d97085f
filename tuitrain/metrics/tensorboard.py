"""Measurements as TensorBoard event files, written here and not by a library.

torch.utils.tensorboard and tensorboardX import torch, which the supervisor must not, and they and
TensorBoard's own writer hand events to a thread that ends at the first failed write. The format is
small and does not change: a file of length-prefixed, checksummed protocol buffers
(tensorflow/core/util/event.proto and tensorflow/core/lib/io/record_writer.h). A record is one
write; one that was cut off is taken back, because readers go no further than a torn one.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tuitrain.metrics.rewind import Rewind
from tuitrain.metrics.sinks import Trouble

_NO_CURVES = frozenset({"kind", "policy", "actor", "steps", "time_s", "wall_s"})


class TensorBoardSink:
    """Writes the numbers of records as scalars over environment steps, a file per session.

    Tags are `kind/policy/field`, `env/policy/NAME` for what environments tell, `system/field` for
    the whole run. The points of several actors are on one curve. Of a run that goes back in steps
    TensorBoard forgets what lies after them.

    Args:
        folder: made if need be.
        started_s: unix time, for the file's name.
        on_failure: called with an explanation at the first record that could not be written, and
            again only after writing has worked in between.
        on_recovery: called when it works again, with how many records are missing.
    """

    def __init__(
        self,
        folder: Path,
        started_s: float,
        on_failure: Callable[[str], None] | None = None,
        on_recovery: Callable[[str], None] | None = None,
    ) -> None:
        # others look for these parts (W&B by host name and time)
        host = socket.gethostname()
        name = f"events.out.tfevents.{int(started_s):010d}.{host}.{os.getpid()}.0"
        self.path = folder / name
        self._trouble = Trouble(self.path, "records", on_failure, on_recovery)
        self._fd: int | None = None
        self._size = 0
        self._closed = self._torn = self._begun = False
        try:
            self._open()
        except OSError as error:
            self._trouble.began(error)
        self._version = version_event(started_s)

    @property
    def failures(self) -> int:
        """Records lost."""
        return self._trouble.lost

    def write(self, record: Mapping[str, Any]) -> bool:
        """Append one record; False if it was lost. Never raises."""
        if self._closed:
            self._trouble.lost += 1
            return False
        data = b""
        try:
            event = event_of(record)
            if event is None:
                return True
            data = frame(event)
            if not self._begun:
                data = frame(self._version) + data
            self._append(self._open() if self._fd is None else self._fd, data)
        except Exception as error:  # whatever it is, training goes on
            self._trouble.lost += 1
            self._trouble.began(error, len(data))
            return False
        self._begun = True
        self._trouble.over()
        return True

    def close(self) -> None:
        """Close the file. May be called twice. Never raises."""
        self._closed = True
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):  # some file systems tell only here what they have not written
                os.close(fd)

    def _open(self) -> int:
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size
        self._begun = self._size > 0
        return self._fd

    def _append(self, fd: int, data: bytes) -> None:
        """All of `data` or nothing. Raises ``OSError``."""
        if self._torn:
            os.ftruncate(fd, self._size)
        self._torn = True
        written = os.write(fd, data)
        if written < len(data):
            os.ftruncate(fd, self._size)
            self._torn = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False
        self._size += written


def event_of(record: Mapping[str, Any]) -> bytes | None:
    """The event that a record becomes; None where it holds nothing for a curve."""
    time_s = float(record.get("time_s") or 0.0)
    if (rewind := Rewind.of(record)) is not None:
        return restart_event(time_s, rewind.steps + 1)
    scalars = dict(scalars_of(record))
    return scalar_event(time_s, int(record.get("steps") or 0), scalars) if scalars else None


def scalars_of(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Tags and values of a record's numbers; what is missing (None) or no number has no tag."""
    kind, policy = str(record.get("kind")), record.get("policy")
    prefix = kind if policy is None else f"{kind}/{policy}"
    for name, value in record.items():
        if name in _NO_CURVES:
            continue
        tag = f"{prefix}/{name.removeprefix('metrics.') if kind == 'env' else name}"
        if isinstance(value, Mapping):
            for key, item in value.items():
                if _is_number(item):
                    yield f"{tag}/{key}", float(item)
        elif _is_number(value):
            yield tag, float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# ---- the format ------------------------------------------------------------------------------


def version_event(time_s: float) -> bytes:
    """An ``Event`` that says which format follows: the first of every file."""
    return _double(1, time_s) + _bytes(3, b"brain.Event:2")


def scalar_event(time_s: float, step: int, scalars: Mapping[str, float]) -> bytes:
    """An ``Event`` with a ``Summary`` of scalars."""
    values = b"".join(
        _bytes(1, _bytes(1, tag.encode(errors="replace")) + _float(2, value))
        for tag, value in scalars.items()
    )
    return _double(1, time_s) + _integer(2, step) + _bytes(5, values)


def restart_event(time_s: float, step: int) -> bytes:
    """An ``Event`` with a ``SessionLog`` that starts: points at `step` and after are purged."""
    return _double(1, time_s) + _integer(2, step) + _bytes(7, _integer(1, 1))


def frame(data: bytes) -> bytes:
    """One record of the file: length, its checksum, data, its checksum."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    value = crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli; RFC 3720, appendix B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def _crc_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE = tuple(_crc_entry(byte) for byte in range(256))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & 0xFFFFFFFFFFFFFFFF)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    try:
        packed = struct.pack("<f", value)
    except OverflowError:  # beyond float32
        packed = struct.pack("<f", float("inf") if value > 0 else float("-inf"))
    return _varint(field << 3 | 5) + packed
