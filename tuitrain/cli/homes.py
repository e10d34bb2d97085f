"""Folders in which doctor tries things: made, held while somebody uses them, and swept later.

They lie where temporary files do, not where runs are made, and are removed on the way out. Of a
doctor that was killed one stays; the next doctor, or `tuitrain clean`, removes it. Whose process
lives is told by a lock on the folder itself, which ends with its holder, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tuitrain.supervisor.house.leftovers import is_held

_PREFIX = "tuitrain-doctor-"


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """A folder of one's own that is removed in the end; what others have left goes first.

    Raises:
        OSError: it cannot be made.
    """
    sweep_homes()
    path, fd = _made()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


def sweep_homes(*, dry_run: bool = False) -> list[Path]:
    """Remove this user's folders that nobody uses any more.

    Returns:
        Those that were removed, or would be.
    """
    found: list[Path] = []
    with contextlib.suppress(OSError):
        found = sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))
    return [path for path in found if _is_left(path, dry_run)]


def _made() -> tuple[Path, int]:
    """A new folder, and the descriptor that holds it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with contextlib.suppress(FileNotFoundError):  # it has been swept before it was held
            fd = _open(path)
            with contextlib.suppress(OSError):  # who sweeps it holds it, or nobody can
                fcntl.flock(fd, fcntl.LOCK_EX)
            if path.exists():
                return path, fd
            os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is_left(path: Path, dry_run: bool) -> bool:
    """Whether nobody used a folder, nor a run in it, so that it is gone or would be."""
    try:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            return False
        fd = _open(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any(is_held(run) for run in path.iterdir() if run.is_dir()):
                return False  # by its supervisor, which is about to end
            if not dry_run:
                shutil.rmtree(path)
        finally:
            os.close(fd)
    except OSError:  # held, gone, not readable, or nobody can tell
        return False
    return True
