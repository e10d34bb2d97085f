"""The user's code that a session was started with, and whether its files still hold it.

A worker that is started in the middle of a run imports what the files hold *then*. Half of a run
made with one environment and half with another would be worth nothing, so it is asked before.
"""

from __future__ import annotations

from tuitrain.config.provenance import IMPORTED, changed_sources, source_hashes
from tuitrain.config.schema import Config


class Sources:
    """Environment and network as they are now, to be compared later.

    Looking reads and parses files, so it is not for the event loop.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._now = source_hashes(config)

    def imported(self, hashes: dict[str, str]) -> None:
        """Watch these files too, by path with their hashes: the probe has told of them."""
        self._now[IMPORTED] = hashes

    def changed(self) -> list[str]:
        """One line per file that is not what it was when this object was made."""
        return changed_sources(self._now, self._config)
