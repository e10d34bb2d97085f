"""What a worker does right now: named as a user would, timed, and shown to whoever looks.

A hung worker cannot say where it hangs. So every change of phase is also written into eight bytes
of shared memory, which the supervisor reads when a deadline has passed. A store of one aligned
int64 is one instruction: whoever reads sees a phase and how many changes there have been, never
half of each.
"""

from __future__ import annotations

import time
from typing import Final, Literal, NamedTuple, get_args

Phase = Literal[
    "start",
    "act",
    "env step",
    "commit",
    "sample",
    "copy",
    "update",
    "priorities",
    "audit",
    "publish",
    "evaluate",
    "save",
    "wait",
    "paused",
]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)
WORKING_PHASES: Final = tuple(p for p in PHASES if p not in ("start", "wait", "paused"))
"""Those that can take too long. To start has a deadline of its own; to wait is healthy."""

_CODES: Final = {phase: code for code, phase in enumerate(PHASES)}
_ENTRY: Final = 16
"""A word is the number of changes × 16 + the code of the phase."""
assert len(PHASES) <= _ENTRY
_now: Final = time.perf_counter


class Stay(NamedTuple):
    """One stay in a phase; `entry` differs from that of every other stay of the same worker."""

    phase: Phase
    entry: int


class Phases:
    """Seconds per phase of a work loop. Exactly one phase is current, so the sum is wall time.

    ``enter`` is called several times for every step of an environment, with cold caches: it is
    written for as few look-ups as can be.
    """

    __slots__ = ("_code", "_entries", "_seconds", "_since", "_word")

    def __init__(self) -> None:
        self._seconds = [0.0] * len(PHASES)
        self._code = _CODES["start"]
        self._entries = 0
        self._since = _now()
        self._word = memoryview(bytearray(8)).cast("q")

    def show_in(self, word: memoryview) -> None:
        """Write the current phase, and every later one, into `word`: one int64."""
        word[0] = self._word[0]
        self._word = word

    def enter(self, phase: Phase) -> Phase:
        """Make `phase` the current one and return the one before, to come back to it."""
        now = _now()
        before = self._code
        self._seconds[before] += now - self._since
        self._since = now
        self._code = code = _CODES[phase]
        self._entries = entries = self._entries + _ENTRY
        self._word[0] = entries + code
        return PHASES[before]

    def read(self) -> dict[str, float]:
        """Seconds of every phase there has been, up to now."""
        now = _now()
        self._seconds[self._code] += now - self._since
        self._since = now
        return {phase: s for phase, s in zip(PHASES, self._seconds, strict=True) if s}


def stay(word: int) -> Stay:
    """What a worker's word says."""
    return Stay(PHASES[word % _ENTRY], word // _ENTRY)


UNTIMED = Phases()
"""For callers who don't ask where the time goes."""
