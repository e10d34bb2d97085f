"""Keeping the logs of workers within bounds, whatever their environments print.

A worker and all its processes write into the log themselves, so nobody can count on the way. The
file is cut while it is in use: everybody appends, so what comes next lies behind what is left.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 32 * 2**20
"""A log larger than this is cut to its beginning and its end."""

KEPT_BYTES = 2**20
"""So much of either."""


def cut(path: Path, max_bytes: int = MAX_BYTES, kept_bytes: int = KEPT_BYTES) -> int:
    """Cut the middle out of a log that has grown too large; returns how many bytes that were.

    The place is marked by a line. What is printed in the meantime can be lost.
    """
    with suppress(OSError):
        size = path.stat().st_size
        if size <= max_bytes:
            return 0
        fd = os.open(path, os.O_RDWR | os.O_APPEND)
        try:
            end = os.pread(fd, kept_bytes, size - kept_bytes)
            # to a whole line, where there is one
            end = end[end.find(b"\n") + 1 :]
            gone = size - kept_bytes - len(end)
            mark = f"\ntuitrain: the log had grown to {size:,} bytes; {gone:,} are left out here\n"
            os.ftruncate(fd, kept_bytes)
            os.write(fd, mark.encode() + end)
            return gone
        finally:
            os.close(fd)
    return 0
