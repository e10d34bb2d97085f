"""How a supervisor is started and tells its starter: JSON lines on an inherited pipe.

`{"event": "progress", "text"}` and `{"event": "warning", "text"}` any number of times, then once
`{"event": "ready", "run_id", "socket_path"}` or `{"event": "failed", "text"}`. The end of the pipe
without either means that the supervisor died. The starter may go away at any moment; nobody waits
for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path


def command_line(run_dir: Path, *options: str) -> list[str]:
    """The command that supervises a run folder.

    Without the working folder on the path: a `queue.py` there would take the place of Python's.
    References like `package.module:factory` are found in it all the same (see `loading.py`).
    """
    return [sys.executable, "-P", "-m", "tuitrain.supervisor", str(run_dir), *options]


class ReadyPipe:
    """The writing end; does nothing when there is no starter.

    Args:
        fd: an inherited descriptor, or None.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        if fd is not None:
            os.set_blocking(fd, False)
            os.set_inheritable(fd, False)  # no worker may hold it open

    def progress(self, text: str) -> None:
        """Say what is being done."""
        self._write(event="progress", text=text)

    def warning(self, text: str) -> None:
        """Say what a person should know before leaving the run alone."""
        self._write(event="warning", text=text)

    def ready(self, run_id: str, socket_path: str) -> None:
        """The run is up. Closes the pipe."""
        self._write(event="ready", run_id=run_id, socket_path=socket_path)
        self.close()

    def failed(self, text: str) -> None:
        """The run has ended; only read if it was never up. Closes the pipe."""
        self._write(event="failed", text=text)
        self.close()

    def close(self) -> None:
        """May be called twice."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write(self, **line: str) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, json.dumps(line).encode() + b"\n")
