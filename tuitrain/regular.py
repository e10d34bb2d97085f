"""Opening what lies in a run folder: a file, or an error, and never a wait.

Anybody can put a pipe or a device in a file's place. Opening a pipe waits for whoever holds its
other end, and a device has no end; a run folder is read by supervisors and commands that must not
wait.
"""

from __future__ import annotations

import errno
import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path

MOST_BYTES = 64 << 20
"""Of a file that is read at once: far more than any that tuitrain writes as text."""


class NotRegular(OSError):
    """There is something else in a file's place."""


def opener(path: str, flags: int) -> int:
    """For ``open(path, mode, opener=regular.opener)``; what it makes only its owner may read.

    Raises:
        NotRegular: it is no file.
        OSError: it cannot be opened.
    """
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise NotRegular(errno.EINVAL, "it is not a regular file", path)


def read(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """All of a file.

    Raises:
        OSError: it cannot be opened or read, is not a regular file, or is larger than `most_bytes`.
    """
    with open(path, "rb", opener=opener) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes:,} bytes", str(path))
    return data


def read_text(path: Path) -> str:
    """All of a text file.

    Raises:
        OSError: as ``read``.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read(path).decode()


def listed(folder: Path, *patterns: str) -> list[Path]:
    """What is in a folder under such names, in no order; nothing if there is no folder to look in.

    ``Path.glob`` says the same, from Python 3.12 on, of a folder that it could not look into.

    Raises:
        OSError: it cannot be told, for want of descriptors or of an answer by the disk.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    return [folder / name for name in names if any(fnmatchcase(name, p) for p in patterns)]
