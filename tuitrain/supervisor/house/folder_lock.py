"""A run folder has one supervisor, or one command that prepares it for one.

Whatever runtime directory this process has: it may not be the one the run was started with
(another login, `su`, cron), or may have been removed at logout. A second supervisor would then find
no house, take the living run's segments and processes for left-overs, and remove them.

A command that changes a folder before it starts the run holds the folder first, and hands the
descriptor on to the supervisor: there is no moment in which another command could come between.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tuitrain.supervisor.house.held_folder import HeldFolder
from tuitrain.supervisor.house.house import AlreadyRunning


def hold_folder(run_dir: Path, name: str) -> int:
    """Hold a run folder.

    Returns:
        A descriptor; the folder is held until it is closed, and with it all that were inherited.

    Raises:
        AlreadyRunning: another process holds it.
    """
    fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise AlreadyRunning(
            f"run {name} is already running, or is being started; if it is not listed, it was "
            f"started with another XDG_RUNTIME_DIR: {run_dir / 'runtime.json'} names its process "
            "and socket"
        ) from None
    except OSError:
        pass  # a file system without locks
    return fd


@contextlib.contextmanager
def sole_supervisor(run_dir: Path, name: str, held: int | None = None) -> Iterator[HeldFolder]:
    """Hold a run folder while the context lasts.

    Args:
        held: the descriptor by which whoever started this process holds it already; closed here.

    Raises:
        AlreadyRunning: another process holds it.
    """
    fd = hold_folder(run_dir, name) if held is None else held
    os.set_inheritable(fd, False)  # no worker may hold it
    try:
        yield HeldFolder(run_dir, fd)
    finally:
        os.close(fd)
