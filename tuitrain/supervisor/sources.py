"""The user's code that a session was started with, and whether its files still hold it.

A worker that is started in the middle of a run imports what the files hold *then*. Half of a run
made with one environment and half with another would be worth nothing, so it is asked before. Now
and then it is looked at without being asked, so that nobody is surprised by that.
"""

from __future__ import annotations

import os
from pathlib import Path

from tuitrain.config.provenance import IMPORTED, changed_sources, file_hash, source_hashes
from tuitrain.config.schema import Config


class Sources:
    """Environment and network as they are now, to be compared later.

    Looking reads and parses files, so it is not for the event loop.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._here = Path.cwd()
        self._now = source_hashes(config)
        self._seen: dict[str, tuple[tuple[int, int] | None, bool]] = {}
        """By path, time and size when it was read last, and whether it was what it had been."""

    def imported(self, hashes: dict[str, str]) -> None:
        """Watch these files too, by path with their hashes: the probe has told of them."""
        self._now[IMPORTED] = hashes

    def changed(self) -> list[str]:
        """One line per file that is not what it was when this object was made."""
        return changed_sources(self._now, self._config)

    def edited(self) -> list[str]:
        """Paths of files that are not what they were, from the working folder where they lie in it.

        Cheaper than ``changed``: a file is read only if its time or size is another than when it
        was read last, and files that are imported for the first time are not looked for.
        """
        known = {path: sha for files in self._now.values() for path, sha in files.items()}
        for path, sha256 in known.items():
            stamp = _stamp(path)
            if path not in self._seen or self._seen[path][0] != stamp:
                self._seen[path] = stamp, file_hash(Path(path)) == sha256
        return sorted(self._name(Path(path)) for path in known if not self._seen[path][1])

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._here) if path.is_relative_to(self._here) else path)


def _stamp(path: str) -> tuple[int, int] | None:
    """When a file was changed last (nanoseconds) and its bytes; None if it cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
