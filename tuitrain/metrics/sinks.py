"""Writing and reading JSON lines that survive crashes and never stop training.

A line is one write of one whole line, so a killed writer leaves at most one torn line at the end,
which the next writer closes off and every reader skips. A disk that is full costs lines, which are
counted and reported once, and nothing else; when there is room again, writing goes on. Where
another program has moved or replaced the file, a new one is begun; a folder that is moved takes its
files along.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tuitrain import regular
from tuitrain.disk import why
from tuitrain.metrics.rewind import Rewind, is_number

_TAIL_BYTES = 65_536
"""So much of the end is read for the newest steps; a record every few seconds has them."""


class JsonlSink:
    """Appends JSON lines to a file.

    Args:
        path: created with mode 0600 if it does not exist.
        on_failure: called with an explanation at the first line that could not be written, and
            again only after writing has worked in between.
        on_recovery: called when it works again, with how many lines are missing.
    """

    def __init__(
        self,
        path: Path,
        on_failure: Callable[[str], None] | None = None,
        on_recovery: Callable[[str], None] | None = None,
    ) -> None:
        self.path = path
        self._trouble = Trouble(path, "lines", on_failure, on_recovery)
        self._on_failure = on_failure
        self._fd: int | None = None
        self._folder_fd: int | None = None
        self._file: os.stat_result | None = None
        self._closed = self._torn = False
        try:
            self._open()
        except OSError as error:
            self._trouble.began(error)

    @property
    def failures(self) -> int:
        """Lines lost."""
        return self._trouble.lost

    def write(self, line: Mapping[str, Any]) -> bool:
        """Append one line; False if it was lost. Never raises."""
        if self._closed:
            self._trouble.lost += 1
            return False
        data = b""
        try:
            fd = self._open() if self._fd is None or self._is_gone() else self._fd
            data = to_json(line).encode() + b"\n"
            if self._torn:
                data = b"\n" + data
            left = data
            while left:  # what is cut off says why in its second part
                left = left[os.write(fd, left) :]
                self._torn = bool(left)
        except Exception as error:  # whatever it is, training goes on
            self._trouble.lost += 1
            self._trouble.began(error, len(data))
            return False
        self._trouble.over()
        return True

    def _open(self) -> int:
        """Open the file, and see whether its last line is whole."""
        if self._folder_fd is None:
            self._folder_fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        # O_NONBLOCK: a pipe in its place is not waited for
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(self.path.name, flags, 0o600, dir_fd=self._folder_fd)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise regular.NotRegular(errno.EINVAL, "it is not a regular file", str(self.path))
            self._torn = found.st_size > 0 and os.pread(fd, 1, found.st_size - 1) != b"\n"
        except OSError:
            os.close(fd)
            raise
        again, self._fd, self._file = self._file is not None, fd, found
        if again and self._on_failure is not None:
            self._on_failure(
                f"{self.path} was moved or replaced by another program: lines before this one are "
                "where it has gone"
            )
        return fd

    def _is_gone(self) -> bool:
        """Whether the file that was opened has lost its name; then it is closed."""
        assert self._file is not None
        assert self._fd is not None
        with suppress(OSError):
            if os.path.samestat(os.stat(self.path.name, dir_fd=self._folder_fd), self._file):
                return False
        fd, self._fd = self._fd, None
        os.close(fd)
        return True

    def close(self) -> None:
        """Close the file. May be called twice. Never raises."""
        self._closed = True
        for fd in (self._fd, self._folder_fd):
            if fd is not None:
                with suppress(OSError):  # some file systems tell only here what is not written
                    os.close(fd)
        self._fd = self._folder_fd = None


class Trouble:
    """What goes wrong with a file: counted, told once, and told again when it is over.

    Args:
        what: is lost, e.g. "lines".
    """

    def __init__(
        self,
        path: Path,
        what: str,
        on_failure: Callable[[str], None] | None,
        on_recovery: Callable[[str], None] | None,
    ) -> None:
        self.lost = 0
        self._path = path
        self._what = what
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._lost_before: int | None = None  # while there is trouble, what was lost until then

    def began(self, error: Exception, needed_bytes: int | None = None) -> None:
        """Something could not be written; the caller has counted it."""
        told = self._lost_before is not None
        if told:
            return
        self._lost_before = max(0, self.lost - 1)
        if self._on_failure is not None:
            reason = repr(error)
            if isinstance(error, OSError):
                reason = why(error, self._path.parent, needed_bytes)
            self._on_failure(f"cannot write {self._path}: {reason}; training goes on")

    def over(self) -> None:
        """Something has been written."""
        before, self._lost_before = self._lost_before, None
        if before is not None and self._on_recovery is not None:
            lost = self.lost - before
            self._on_recovery(f"{self._path} is written again: {lost:,} {self._what} are missing")


class RecordHistory:
    """Records kept for clients that come later: bounded, and spread over the whole run.

    Per series (kind, policy, actor) at most `limit` records are kept; when one is full, every
    second is dropped and from then on only every second (fourth, …) new one is kept. The newest of
    each series is always there. Evaluations are few, so they get four times the room. A rewind
    removes what it makes void.
    """

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._series: dict[tuple[str, str, str], _Series] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep a record."""
        if (rewind := Rewind.of(record)) is not None:
            for kept in self._series.values():
                kept.drop(rewind)
        kind = str(record.get("kind", ""))
        key = kind, str(record.get("policy", "")), str(record.get("actor", ""))
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(self._limit * (4 if kind == "eval" else 1))
        series.add(dict(record))

    def all(self) -> list[dict[str, Any]]:
        """Everything kept, in the order of time."""
        kept = [record for series in self._series.values() for record in series.all()]
        return sorted(kept, key=lambda record: record.get("time_s", 0.0))


class _Series:
    def __init__(self, limit: int) -> None:
        self._limit = max(2, limit)
        self._stride = 1
        self._count = 0
        self._kept: list[dict[str, Any]] = []
        self._newest: dict[str, Any] | None = None

    def add(self, record: dict[str, Any]) -> None:
        self._newest = record
        if self._count % self._stride == 0:
            self._kept.append(record)
            if len(self._kept) >= self._limit:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._count += 1

    def drop(self, rewind: Rewind) -> None:
        self._kept = [record for record in self.all() if not rewind.voids(record)]
        self._newest = self._kept[-1] if self._kept else None

    def all(self) -> list[dict[str, Any]]:
        if self._newest is None or (self._kept and self._kept[-1] is self._newest):
            return self._kept
        return [*self._kept, self._newest]


def to_json(value: Mapping[str, Any]) -> str:
    """Strict JSON on one line: NaN and infinities become null, unknown objects their text."""
    return json.dumps(_finite(value), allow_nan=False, default=str, separators=(",", ":"))


def read_jsonl(path: Path, last: int | None = None) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; torn lines are skipped.

    A file that is missing or cannot be read has none.

    Args:
        last: only the last so many.
    """
    try:
        with open(path, "rb", opener=regular.opener) as file:
            if last is None:
                yield from _parsed(file)
            else:
                yield from deque(_parsed(file), maxlen=last)
    except OSError:
        return


def last_steps(path: Path) -> int | None:
    """Environment steps of the newest record that counts them; only the file's end is read.

    None if there is no such record, or the file cannot be read.
    """
    try:
        with open(path, "rb", opener=regular.opener) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            records = list(_parsed(file))  # the first line may be cut off, the last be torn
    except OSError:
        return None
    found = (record.get("steps") for record in reversed(records))
    return next((int(steps) for steps in found if is_number(steps)), None)


@dataclass(frozen=True)
class JsonLines:
    """The objects of a JSON-lines file, read anew each time they are gone through."""

    path: Path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return read_jsonl(self.path)


def _parsed(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    while line := file.readline(regular.MOST_BYTES):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
