"""What a worker prints, into its log, also when the disk is full.

Environments print. Python tells the one who prints that the disk is full, and an exception there
would end a run for a line that nobody reads; so the line is lost instead, and that is told.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any


class LogFile(io.FileIO):
    """A raw stream that takes whatever it is given.

    Attributes:
        lost_bytes: what could not be written.
        on_loss: called with an explanation at the first loss, and again only after writing has
            worked in between.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "w", closefd=False)
        self.lost_bytes = 0
        self.on_loss: Callable[[str], None] = _nobody
        self._failing = False

    def write(self, data: Any) -> int:
        """Write some or all of `data`; all that cannot be written counts as written."""
        try:
            written = super().write(data)
        except OSError as error:
            size = memoryview(data).nbytes
            self.lost_bytes += size
            told, self._failing = self._failing, True
            if not told:
                self.on_loss(f"cannot write its log: {error.strerror}; training goes on")
            return size
        self._failing = False
        return written


def set_level(level: str) -> None:
    """Let Python's `logging` write what is at least of this level (`run.log_level`).

    Warnings are written without a handler; one that is there would keep an environment from setting
    `logging` up for itself, and its own is kept.
    """
    if level in ("debug", "info"):
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(level.upper())


def text_stream(fd: int) -> tuple[io.TextIOWrapper, LogFile]:
    """A stream to print on, written line by line, and the file below it.

    Text that cannot be encoded must not fail the one who prints it either.
    """
    raw = LogFile(fd)
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, errors="backslashreplace", line_buffering=True), raw


def _nobody(text: str) -> None:
    """Until somebody listens."""
