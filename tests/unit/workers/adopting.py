"""A spawned process that adopts what it is given; a file of its own, so that it imports little."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing.connection import Connection

import numpy as np

from tuitrain.replay import segment
from tuitrain.replay.lock import LockFile, LockTimeout
from tuitrain.workers.handles import StoreHandles

HASH = bytes(range(32))
NBYTES = 800


def adopt(handles: StoreHandles, name: str, path: str, pipe: Connection, deadline_s: float) -> None:
    """Read, write, lock, and start something that is given nothing.

    Tells who was in the way of its lock, if somebody was, and what the started one had open.
    """
    memory = segment.adopt(handles.segments[0].fd, name, NBYTES, HASH)
    file = LockFile.adopt(handles.lock.fd, path)
    words = np.frombuffer(memory.buf, np.int64)
    words[1] = words[0] + 1
    listing = "import os; print(*[os.readlink(f'/proc/self/fd/{n}') for n in range(3, 50)" \
              " if os.path.exists(f'/proc/self/fd/{n}')])"  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-c", listing], close_fds=False, capture_output=True, text=True, check=True
    )
    try:
        with file.rwlock(0, "thing", deadline_s).write():
            pipe.send((None, told.stdout))
            pipe.recv()
    except LockTimeout as error:
        pipe.send((error.holder_pid, told.stdout))
        return
    pipe.send("let go")
    pipe.recv()
