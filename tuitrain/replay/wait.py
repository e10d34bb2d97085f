"""How long somebody has waited, as it should count against a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LONGEST_LOOK_S: Final = 0.1
"""The longest time between two looks at the clock of somebody who runs."""


class Wait:
    """One wait, looked at every now and then.

    Time in which the waiting process did not run (it was stopped, or its container paused) does not
    count: whoever is waited for was paused with it, and gets its chance first.
    """

    __slots__ = ("_clock", "_deadline_s", "_looked_s", "waited_s")

    def __init__(self, deadline_s: float, clock: Callable[[], float]) -> None:
        self.waited_s = 0.0
        self._deadline_s = deadline_s
        self._clock = clock
        self._looked_s = clock()

    def over(self) -> bool:
        """Look at the clock; whether the deadline has passed."""
        now = self._clock()
        # Between two looks at most a nap is taken: a longer gap means that nobody ran.
        self.waited_s += min(now - self._looked_s, LONGEST_LOOK_S)
        self._looked_s = now
        return self.waited_s >= self._deadline_s
