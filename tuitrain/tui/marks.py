"""What happened to a run that its curves should show: restarts, resumes, rewinds, resyncs, changes.

A mark has a time; where that lies on an axis of steps or updates is known from the records around
it. Events say in their data which mark they make (`mark`); those of runs made before they did are
known by their words. Pure.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tuitrain.protocol import EventLine

if TYPE_CHECKING:
    from tuitrain.tui.curve import CurveView

MarkKind = Literal["resync", "restart", "resume", "rewind", "set"]
GLYPH: dict[MarkKind, str] = {
    "resync": "≡",
    "restart": "↻",
    "resume": "»",
    "rewind": "«",
    "set": "≈",
}
_SAID_EARLIER: tuple[tuple[MarkKind, re.Pattern[str]], ...] = (
    ("resync", re.compile(r"resync: ")),
    ("restart", re.compile(r"\S+ is back after ")),
    ("resume", re.compile(r"(the session before was killed, .*; )?resumes at ")),
)


@dataclass(frozen=True)
class Mark:
    """Something that happened at a time (unix seconds)."""

    kind: MarkKind
    time_s: float


def mark_of(event: EventLine) -> Mark | None:
    """What an event marks; None if nothing, or if it says that nothing came of it."""
    if event.source == "you" or event.level == "error":
        return None
    told = event.data.get("mark")
    if isinstance(told, str) and told in GLYPH:
        return Mark(told, event.time_s)
    for kind, words in _SAID_EARLIER:
        if words.match(event.text) and not (kind == "resync" and event.level == "warning"):
            return Mark(kind, event.time_s)
    return None


def place(mark: Mark, times: CurveView, axis: str) -> float | None:
    """Where a mark lies on an axis: at the last record that was made before it.

    Args:
        mark: What happened.
        times: A policy's records: their x, and as values their times (unix seconds).
        axis: `steps`, `updates` or `wall_s`.

    Returns:
        None before the first record, and where that record has no place on this axis.
    """
    (before,) = (times.low <= mark.time_s).nonzero()
    if not before.size:
        return None
    x = float(times.x(axis)[before[-1]])
    return x if math.isfinite(x) else None
