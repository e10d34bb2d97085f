"""Where a worker stands is found out, within a bound: of one that is given up, or for a person.

It is asked for its stacks by a signal; what it writes into its log is looked at with every tick of
the supervisor, which never waits here. A process that is stopped cannot answer and is not asked.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from tuitrain import regular
from tuitrain.supervisor.crew.process import printable
from tuitrain.workers import stacks

ANSWER_S = 2.0
"""Who has written no stacks for so long will not."""

_LINES = 20
_READ_BYTES = 256_000

State = Literal["running", "stopped", "traced", "in the kernel"]

_STATES: dict[str, State] = {"T": "stopped", "t": "traced", "D": "in the kernel"}
_WORDS: dict[State, str] = {
    "stopped": "it is stopped (by SIGSTOP or the like)",
    "traced": "it is stopped (by a debugger)",
    "in the kernel": "it waits in the kernel (for a disk or network file system?)",
}


class Hang:
    """One worker that is asked for its stacks; what becomes of it then is another's to decide.

    Args:
        pid: of the worker, which has not been reaped.
        log: where it writes its stacks.
        told: what it has done too long, in words: `hung in "act" for 60 s`.
        now: the clock's seconds, as in ``over``.
    """

    def __init__(self, pid: int, log: Path, told: str, now: float) -> None:
        self._state = process_state(pid)
        self._told = told
        self._log = log
        self._until = now + ANSWER_S
        self._stack: stacks.Stack | None = None
        self._silent = f"it has not written them within {ANSWER_S:g} s"
        self._start, self._size = 0, -1
        if self._state in ("stopped", "traced"):
            self._until = now
        elif not catches(pid, stacks.SIGNAL):
            self._until = now
            self._silent = f"it has no handler of {stacks.SIGNAL.name}: not yet, or not any more"
        else:
            self._start = _write(log, f"\ntuitrain: {told}; stacks of all threads:\n")
            with suppress(ProcessLookupError):
                os.kill(pid, stacks.SIGNAL)

    def over(self, now: float) -> bool:
        """Whether all is known that will be."""
        if self._until <= now:
            return True
        size, before = _size(self._log), self._size
        self._size = size
        if size < self._start:  # the log has been cut
            self._start = 0
        if size > self._start:
            self._stack = stacks.main_stack(_read(self._log, self._start))
        # A stack too deep to be written to its end: it is over when no more comes.
        return self._stack is not None and (self._stack.whole or size == before)

    def how(self) -> str:
        """What is told as the cause, with the place in the code where it is known."""
        return printable(f"{self._told}: {self.where()}")

    def where(self) -> str:
        """Where it stands, or why that is not known."""
        place = self._stack.place() if self._stack is not None else None
        told = [_WORDS[self._state]] if self._state in _WORDS else []
        if place is not None:
            told.append(str(place))
        elif self._state not in _WORDS:
            told.append(f"no stacks could be had, {self._silent}")
        return printable(": ".join(told))

    def stack_lines(self) -> list[str]:
        """The main thread's stack, innermost frame first; empty if it could not be had."""
        if self._stack is None:
            return []
        return [printable(line) for line in self._stack.lines[:_LINES]]


def process_state(pid: int) -> State:
    """How the kernel sees a process's first thread."""
    with suppress(OSError, IndexError):
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return _STATES.get(letter, "running")
    return "running"


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal: it might end by it otherwise."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _write(log: Path, line: str) -> int:
    """Append to a log; returns where the next line will begin."""
    with suppress(OSError):
        # Not by a buffered file: the worker may be writing too.
        fd = regular.opener(str(log), os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)
    return _size(log)


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _read(log: Path, start: int) -> str:
    try:
        with open(log, "rb", opener=regular.opener) as file:
            file.seek(start)
            return file.read(_READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
