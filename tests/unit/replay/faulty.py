"""Writers that break the commit protocol, one rule each. The tests must catch every one."""

from __future__ import annotations

from typing import Any

from tuitrain.replay.layout import HEADER_HEAD
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
