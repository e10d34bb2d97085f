"""What a reset leaves as it was: numbers that an episode has changed, and the next begins with.

By chance too a number is now and then what it was: where it has few values, as a pixel has. So it
is held against what another episode has ended with: chance makes that as likely, an incomplete
reset does not. What is the same from the beginning of an episode to its end is no state of it, but
belongs to its environment for ever. Pure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANCES = 4
"""So many times what chance makes is taken off."""
LEAST = 10
"""Of what is left in all: less may be chance."""


class Kept:
    """Counts over resets, for each of some numbers of an observation and for all together.

    Attributes:
        resets: looked at so far.
    """

    def __init__(self) -> None:
        self.resets = 0
        self._kept: NDArray[np.int64] | int = 0
        self._by_chance: NDArray[np.int64] | int = 0
        self._before: tuple[NDArray[Any], NDArray[np.bool_]] | None = None
        """End of the episode looked at last, and what it has changed."""

    def add(self, begun: NDArray[Any], ended: NDArray[Any], anew: NDArray[Any]) -> None:
        """Take in n resets, one after another of different environments where there are many.

        Args:
            begun, ended: [n, k], what the episode before has begun and ended with.
            anew: [n, k], what the next has begun with.
        """
        if not len(anew):
            return
        changed = ended != begun
        if self._before is None:
            self._before = ended[:1], changed[:1]
            begun, ended, anew, changed = begun[1:], ended[1:], anew[1:], changed[1:]
        others = np.concatenate([self._before[0], ended])
        others_changed = np.concatenate([self._before[1], changed])
        self._kept += _left(changed, ended, anew)
        self._by_chance += _left(others_changed[:-1], others[:-1], anew)
        self.resets += len(anew)
        self._before = others[-1:], others_changed[-1:]

    def share(self) -> float:
        """Of all resets, that left the number as it was which is left so most often; 0 to 1."""
        more = int(np.max(self._kept - CHANCES * self._by_chance))
        return more / self.resets if more >= LEAST else 0.0


def _left(changed: NDArray[np.bool_], ended: NDArray[Any], anew: NDArray[Any]) -> NDArray[np.int64]:
    """How often each number, and last all together, are found as they were left: [k + 1]."""
    same = anew == ended
    together = np.count_nonzero(changed.any(1) & same.all(1))
    return np.append(np.count_nonzero(changed & same, 0), together)
