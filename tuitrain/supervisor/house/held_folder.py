"""A run folder by its descriptor: known to its supervisor whatever becomes of its name.

Somebody may move or remove the folder of a living run, and another run may then be given its name.
What is written by name would be lost, or would end up in the other run's folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HeldFolder:
    """One run folder.

    Attributes:
        path: where it was when the run was started.
        fd: an open descriptor of it.
    """

    path: Path
    fd: int

    def stands(self) -> bool:
        """Whether it is where it was. Two looks at the file system."""
        return _is(self.path, self.fd)

    def now(self) -> Path | None:
        """Where it is; None if it was removed, or the system cannot tell where it went."""
        if self.stands():
            return self.path
        try:
            path = Path(os.readlink(f"/proc/self/fd/{self.fd}"))
        except OSError:  # macOS has no such list
            return None
        return path if _is(path, self.fd) else None

    def lost(self) -> str:
        """What has become of it, as a sentence without an end; "" if it is where it was."""
        if self.stands():
            return ""
        now = self.now()
        return f"the run folder {self.path} was " + (
            "removed" if now is None else f"moved to {now}"
        )


def _is(path: Path, fd: int) -> bool:
    """Whether a folder has this name; it has where that cannot be looked up just now."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # a network file system that does not answer, no permission
        return True
