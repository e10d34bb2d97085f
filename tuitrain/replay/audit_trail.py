"""Audit entries on their way from a shard's writer to its readers: a small ring beside the rows.

An entry can be seen from the commit on that shows its row, and never before: its number is counted
up under the lock of that commit. Readers copy new entries under the read lock. So an entry that is
being written is never one that is being read, and of a writer that dies with one half written
nobody learns.
"""

from __future__ import annotations

from tuitrain.replay.audit import Entry
from tuitrain.replay.layout import AUDITS, HEADER_AUDITS, Columns


class AuditTrail:
    """The entries of one shard, for its writer."""

    def __init__(self, columns: Columns, shard: int) -> None:
        self._header = columns.header[shard]
        self._entries = columns.audits[shard]
        self._row = -1

    def put(self, entry: Entry) -> None:
        """Note it for the next commit; of several, the last one counts."""
        self._entries[self._header[HEADER_AUDITS] % AUDITS] = entry
        self._row = entry.row

    def show(self, head: int) -> None:
        """Rows before `head` can be read: so can what is noted of them. Call it under the lock."""
        if 0 <= self._row < head:
            self._header[HEADER_AUDITS] += 1
        self._row = -1


def between(columns: Columns, shard: int, known: int, count: int) -> list[Entry]:
    """Of a shard's first `count` entries those after the first `known`, if they are still there.

    Call it under the shard's read lock, with the count that it has. The oldest one's place may be
    written to by now.
    """
    numbers = range(max(known, count - AUDITS + 1), count)
    return [Entry(*columns.audits[shard, n % AUDITS].item()) for n in numbers]
