"""Writers that break one rule each: of the commit protocol, or of what a row says.

The tests must catch every one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tuitrain.replay.layout import BOUNDARY, HEADER_HEAD
from tuitrain.replay.shard import ShardWriter


class TailStays(ShardWriter):
    """Overwrites rows that can still be read."""

    def _move_tail(self, tail: int) -> bool:
        return True


class PassesPins(ShardWriter):
    """Overwrites rows that a reader is reading."""

    def _unpinned(self, tail: int) -> bool:
        return True


class HeadFirst(ShardWriter):
    """Announces rows before they are there."""

    def begin(self, rows: int, wait: Any = None) -> None:
        super().begin(rows, wait)
        self._header[HEADER_HEAD] = self._head + rows


class HidesTheCut(ShardWriter):
    """Goes on as if it were its predecessor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cut_at = -1


class LegalOfTheRowBefore(ShardWriter):
    """Writes one row late what can be done, as one does who has acted already."""

    def legal(self, row: int, rows: int) -> Any:
        places = super().legal(row, rows)
        return places if places[0] is None else [*places[1:], np.empty_like(places[0])]

    def put_legal(self, row: int, legal: Any) -> None:
        super().put_legal(min(row + 1, self._reserved_to), legal)


class EndsLate(ShardWriter):
    """Writes one row late that an episode is over."""

    def put_outcome(self, row: int, *columns: Any) -> None:
        action, reward, terminated, truncated, version, stamp = columns
        none = np.zeros_like(terminated)
        late = getattr(self, "_late", (none, none))
        self._late = terminated.copy(), truncated.copy()
        super().put_outcome(row, action, reward, *late, version, stamp)


class TruncatesAsIfTerminated(ShardWriter):
    """Has one word for both ends, as old environments had."""

    def put_outcome(self, row: int, *columns: Any) -> None:
        action, reward, terminated, truncated, version, stamp = columns
        both = terminated | truncated
        super().put_outcome(row, action, reward, both, truncated, version, stamp)


class NoBoundaries(ShardWriter):
    """Does not say which rows hold the last observation of an episode."""

    def put_marks(self, row: int, age: Any, flags: Any) -> None:
        super().put_marks(row, age, flags & ~np.uint8(BOUNDARY))


class AgesGoOn(ShardWriter):
    """Does not notice that an episode has begun."""

    def put_marks(self, row: int, age: Any, flags: Any) -> None:
        super().put_marks(row, age + row, flags)
