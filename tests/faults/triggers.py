"""Faults inside a process: at the Nth line of a function, or at the Nth system call made within.

``install`` is called first thing in a process, ``ensure`` between any two of its acts. Once an
order has come a trace function sees every call of its main thread, and `os`, `open` and `mmap`
count; until then a process costs what it costs without.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import inspect
import io
import mmap
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.faults.orders import Order, Watcher, append, code_of, make

OPERATIONS = ("open", "write", "fsync", "rename", "unlink", "fallocate", "mmap")
ERRNOS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "ENOMEM", "EMFILE")}


class Injected(Exception):
    """The fault `exception`."""


def strike(fault: str, why: str) -> None:
    """Do it; `why` are an exception's words.

    Returns only after SIGSTOP and SIGCONT, or if the signal is handled.
    """
    if fault in ERRNOS:
        raise OSError(ERRNOS[fault], os.strerror(ERRNOS[fault]))
    if fault == "exception":
        raise Injected(why)
    if fault == "exit 0":
        os._exit(0)
    if fault == "SIGSEGV":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.Signals[fault])


class Trigger:
    """At most one order at a time; the newest counts."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._main = threading.get_ident()
        self._order: Order | None = None
        self._codes: frozenset[CodeType] = frozenset()
        self._armed = False
        self._left = 0
        self._depth = 0
        Watcher(folder, name, self._take)

    def _take(self, order: Order) -> None:
        self._order = None
        self._codes = frozenset(code_of(place) for place in order.places)
        self._left, self._depth, self._armed = order.at, 0, False
        self._order = order  # last: the main thread may look at any moment

    def ensure(self) -> None:
        """Trace while there is an order, and say so; in the main thread."""
        order = self._order
        if order is None:
            sys.settrace(None)
        elif not self._armed:
            self._armed = True
            sys.settrace(self.trace)
            make(order.mark(self._folder, "armed"))

    # ---- lines -------------------------------------------------------------------------------

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        """For ``sys.settrace``."""
        order = self._order
        if order is None or frame.f_code not in self._codes:
            return None
        if not order.operation:
            return self._lines
        self._depth += 1
        frame.f_trace_lines = False
        return self._within

    def _lines(self, frame: FrameType, event: str, arg: object) -> Any:
        order = self._order
        if event == "line" and order is not None:
            self._left -= 1
            if self._left <= 0:
                self._fire(order, f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        return self._lines

    # ---- system calls ------------------------------------------------------------------------

    def _within(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "return":
            self._depth -= 1
            order = self._order
            suspends = frame.f_code.co_flags & inspect.CO_COROUTINE
            if order is not None and not self._depth and not suspends:
                # the operation has passed: so many calls it does not make
                self._order = None
                append(self._folder / "fired.jsonl", self._line(order) | {"passed": True})
        return self._within

    def count(self, operation: str, what: object = "") -> None:
        """A system call is about to be made."""
        order = self._order
        if order is None or order.operation != operation or not self._depth:
            return
        if threading.get_ident() == self._main:
            self._left -= 1
            if self._left <= 0:
                self._fire(order, f"{operation} {what}")

    # ---- both --------------------------------------------------------------------------------

    def _line(self, order: Order) -> dict[str, Any]:
        now = {"time_s": time.time(), "mono_s": time.monotonic()}
        return {"id": order.id, "worker": self._name, "pid": os.getpid(), **now}

    def _fire(self, order: Order, where: str) -> None:
        self._order = None
        append(self._folder / "fired.jsonl", self._line(order) | {"where": where})
        strike(order.fault, f"injected for {order.id}")


_trigger: Trigger | None = None


def install(folder: Path, name: str) -> None:
    """Make this process, and its main thread, one that faults can be ordered in."""
    global _trigger
    _trigger = Trigger(folder, name)
    _count_calls(_trigger.count)
    ensure()


def ensure() -> None:
    """Begin to trace if an order has come, end if it has been obeyed; in the main thread."""
    if _trigger is not None:
        _trigger.ensure()


def _is_file(fd: int) -> bool:
    """Whether writing to it can fail like this: a pipe has no disk that is full."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _count_calls(count: Callable[..., None]) -> None:
    def counted(operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if operation != "write" or _is_file(args[0]):
                count(operation, args[0] if args else "")
            return function(*args, **kwargs)

        return call

    for operation, name in (
        ("open", "open"),
        ("write", "write"),
        ("fsync", "fsync"),
        ("rename", "replace"),
        ("rename", "rename"),
        ("unlink", "unlink"),
        ("fallocate", "posix_fallocate"),
    ):
        setattr(os, name, counted(operation, getattr(os, name)))

    class CountedMmap(mmap.mmap):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            count("mmap")
            return super().__new__(cls, *args, **kwargs)

    mmap.mmap = CountedMmap

    class CountedFile(io.FileIO):
        def write(self, data: Any) -> int | None:
            if _is_file(self.fileno()):
                count("write", self.name)
            return super().write(data)

    real = builtins.open

    def counted_open(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not isinstance(file, int):
            count("open", file)
        if not set(mode) & set("wax") or "+" in mode or buffering == 0:
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = CountedFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        buffered = io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        encoding = io.text_encoding(encoding)
        return io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)

    builtins.open = counted_open
    io.open = counted_open
