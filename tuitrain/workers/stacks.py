"""The stacks of a worker that hangs or raises: how they are had, and where in them to look.

Python's faulthandler writes them from a signal handler in C, so it also works while native code
holds the interpreter. The signal is one of the real-time signals, which environments hardly ever
touch. Imports no torch: the supervisor reads what comes of it.
"""

from __future__ import annotations

import faulthandler
import fcntl
import re
import signal
import sysconfig
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath

SIGNAL: signal.Signals = getattr(signal, "SIGRTMAX", signal.SIGUSR2)
"""At this a worker writes the stacks of all its threads into its log."""

_LOWEST_FD = 200
"""The log's own descriptor for stacks is above those that environments close by number."""

_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<function>.*)$')
_THREAD = re.compile(r"^(Current thread|Thread) 0x[0-9a-f]+.* \(most recent call first\):$")
_MAIN = ("tuitrain/workers/child.py", "main")


def own_descriptor(log_fd: int) -> int:
    """A descriptor of the log that outlives what an environment does to 1 and 2."""
    try:
        return fcntl.fcntl(log_fd, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FD)
    except OSError:  # the limit of descriptors is lower
        return log_fd


def answer(fd: int) -> None:
    """Write stacks to `fd` at `SIGNAL`, from now on, whatever the signal did before."""
    with suppress(AttributeError, OSError, RuntimeError, ValueError):
        faulthandler.unregister(SIGNAL)  # else the handler is taken to be still there
        faulthandler.register(SIGNAL, file=fd, all_threads=True, chain=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})


@dataclass(frozen=True)
class Frame:
    """One line of a stack."""

    file: str
    line: str
    function: str

    def __str__(self) -> str:
        return f"{PurePath(self.file).name}:{self.line} in {self.function}"


@dataclass(frozen=True)
class Stack:
    """One thread's frames, innermost first, and the lines they were written in."""

    frames: tuple[Frame, ...]
    lines: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether it reaches down to where a worker's main thread begins."""
        return any(f.file.endswith(_MAIN[0]) and f.function == _MAIN[1] for f in self.frames)

    def place(self) -> Frame | None:
        """Where a person should look: the innermost line that is the user's own.

        That is one outside Python's library, tuitrain and installed packages; without such, the
        innermost outside the first two; without such, the innermost.
        """
        for ours in (_not_users, _not_others, lambda _: False):
            for frame in self.frames:
                if not ours(frame.file):
                    return frame
        return None


def main_stack(text: str) -> Stack | None:
    """The main thread's stack in what faulthandler has written; None if there is none yet."""
    stacks: list[list[str]] = []
    for line in text.splitlines():
        if _THREAD.match(line):
            stacks.append([line])
        elif stacks and line.startswith("  "):
            stacks[-1].append(line)
    found = [_parsed(lines) for lines in stacks]
    whole = [stack for stack in found if stack.whole]
    # Threads are written newest first. A stack of more than 100 frames does not reach its end.
    return whole[0] if whole else found[-1] if found else None


def raised_at(error: BaseException) -> Frame | None:
    """Where a person should look for an exception's cause: see ``Stack.place``.

    What an exception was raised from is nearer to the cause than itself. None if no line of
    another's than tuitrain and Python's library had part in it.
    """
    frames: list[Frame] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        own = [Frame(f.filename, str(f.lineno), f.name) for f in _walked(link)]
        frames = own[::-1] + frames
        link = link.__cause__
    place = Stack(tuple(frames), ()).place()
    return None if place is None or _not_others(place.file) else place


def _walked(error: BaseException) -> traceback.StackSummary:
    return traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), lookup_lines=False
    )


def _parsed(lines: list[str]) -> Stack:
    matches = (_FRAME.match(line) for line in lines)
    return Stack(tuple(Frame(*m.groups()) for m in matches if m), tuple(lines))


_PATHS = sysconfig.get_paths()
_LIBRARY = (_PATHS["stdlib"], _PATHS["platstdlib"])
_PACKAGES = ("/site-packages/", "/dist-packages/")
_TUITRAIN = str(PurePath(__file__).parents[1]) + "/"


def _not_others(file: str) -> bool:
    installed = any(part in file for part in _PACKAGES)
    return file.startswith(("<", _TUITRAIN)) or (file.startswith(_LIBRARY) and not installed)


def _not_users(file: str) -> bool:
    return _not_others(file) or any(part in file for part in _PACKAGES)
