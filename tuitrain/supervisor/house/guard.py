"""Ends what a killed supervisor leaves: a small process of its own that waits for nothing else.

Workers die with their supervisor by themselves. But what an environment has started is only in the
worker's process group, or has left even that; a worker that is killed first can kill none of it.
The guard reads a pipe that only the supervisor holds. At its end, which the kernel brings about
however the supervisor has died, it kills everything that carries that supervisor's mark, stopped or
not, and removes what the run had in memory, as the next command would.

Knows nothing of the run but the mark. A supervisor that ends by itself dismisses it first, unless
it could not remove everything: then it ends the pipe, as its death would.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

from tuitrain.supervisor.house.leftovers import sweep
from tuitrain.supervisor.house.marks import kill_of, unmarked
from tuitrain.supervisor.house.runtime import HouseError

TAKE_OVER_S = 10.0
"""So long the guard is waited for; then it goes on alone."""


class Guard:
    """The supervisor's end.

    Args:
        mark: of the supervisor, ``marks.supervisor_mark``.

    Raises:
        OSError: no process could be started.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._dismissed = False
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Of the guard's process."""
        return self._process.pid

    def ensure(self) -> bool:
        """Start it again if it has been killed, not by `dismiss`; True if it was.

        Raises:
            OSError: no process could be started.
        """
        if self._dismissed or self._process.poll() is None:
            return False
        self._close()
        self._process = self._start()
        return True

    def dismiss(self) -> None:
        """Nothing is left to be guarded. May be called twice."""
        self._dismissed = True
        self._process.kill()
        self._process.wait()
        self._close()

    def take_over(self) -> None:
        """Something is left that could not be removed: end it, as if this process had died."""
        self._dismissed = True
        self._close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(TAKE_OVER_S)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tuitrain.supervisor.house.guard", self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=unmarked(os.environ),  # or it would end itself
            start_new_session=True,
        )

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def main(mark: str) -> None:
    """Wait for the end of stdin, then end everything of the supervisor with this mark."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the supervisor, which may take long
    while os.read(0, 4096):
        pass
    kill_of(mark)
    with contextlib.suppress(HouseError, OSError):
        sweep()


if __name__ == "__main__":
    main(sys.argv[1])
