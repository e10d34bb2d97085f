"""What a case asks of a process: an order, a file in the run folder, taken once.

The harness writes ``faults/orders/NAME.json``; the process of that name looks there when it starts
and then every few hundredths of a second, and whoever takes the order first marks it as taken. When
a fault strikes, its process says so in ``faults/fired.jsonl``, just before.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType
from typing import Any

LOOK_S = 0.02
real_open, real_write, real_close = os.open, os.write, os.close


@dataclass(frozen=True)
class Order:
    """A fault, and the moment it is to strike at.

    Attributes:
        id: of the case and its attempt.
        worker: `supervisor`, or a worker's name.
        places: `module:Qualified.name` of functions; the fault strikes in one of them.
        at: at the so manieth line they run, or the so manieth call of `operation` made within.
        operation: `open`, `write`, …; "" for lines.
        fault: see ``triggers.strike``.
    """

    id: str
    worker: str
    places: tuple[str, ...]
    at: int
    fault: str
    operation: str = ""

    def write(self, folder: Path) -> None:
        """Put it where its process looks."""
        path = folder / "orders" / f"{self.worker}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)

    def mark(self, folder: Path, kind: str) -> Path:
        """A file that tells how far it is: `taken` by a process, `armed` in it."""
        return folder / "orders" / f"{self.id.replace('/', '~')}.{kind}"


def code_of(place: str) -> CodeType:
    """The code of `module:Qualified.name`.

    Raises:
        AttributeError, ImportError: there is no such function any more.
    """
    module, _, name = place.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    found = getattr(found, "fget", found)
    found = getattr(found, "__wrapped__", found)
    code: CodeType = found.__code__
    return code


class Watcher:
    """Looks for orders of one process, for as long as it lives.

    Args:
        folder: ``faults`` in the run folder.
        name: of this process.
        take: called with each order taken, here at first and later in a thread.
    """

    def __init__(self, folder: Path, name: str, take: Callable[[Order], None]) -> None:
        self._path = folder / "orders" / f"{name}.json"
        self._folder = folder
        self._take = take
        self._seen: tuple[int, int] | None = None
        self._look()
        threading.Thread(target=self._for_ever, name="fault orders", daemon=True).start()

    def _for_ever(self) -> None:
        while True:
            time.sleep(LOOK_S)
            self._look()

    def _look(self) -> None:
        try:
            status = os.stat(self._path)
            if (status.st_ino, status.st_mtime_ns) == self._seen:
                return
            self._seen = status.st_ino, status.st_mtime_ns
            fields = json.loads(_read(self._path))
        except (OSError, ValueError):
            return
        order = Order(**fields | {"places": tuple(fields["places"])})
        if make(order.mark(self._folder, "taken")):
            self._take(order)


def make(mark: Path) -> bool:
    """Make an empty file; False if it is there already."""
    try:
        real_close(real_open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def _read(path: Path) -> bytes:
    fd = real_open(path, os.O_RDONLY)
    try:
        return os.read(fd, 65_536)
    finally:
        real_close(fd)


def append(path: Path, line: dict[str, Any]) -> None:
    """One whole line at the end of a file, whatever happens to this process a moment later."""
    fd = real_open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        real_write(fd, json.dumps(line).encode() + b"\n")
    finally:
        real_close(fd)
